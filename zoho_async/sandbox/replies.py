"""What the sandbox answers: a reply as bytes, and the refusals that handlers raise."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import msgspec

#: Amounts that callers sent are kept as exact decimals and answered as JSON numbers.
ENCODER: Final = msgspec.json.Encoder(decimal_format="number")

JSON_TYPE: Final = "application/json;charset=UTF-8"


class ReplyPage(msgspec.Struct, kw_only=True):
    """A page of a list before it is joined: rows as bytes under ``key``, and its context."""

    key: str
    rows: list[bytes]
    context: dict[str, Any]

    def joined(self) -> bytes:
        body = b'{"code":0,"message":"success","%b":[%b],"page_context":%b}'
        context = ENCODER.encode(self.context)
        return body % (self.key.encode(), b",".join(self.rows), context)


class ApiReply(msgspec.Struct, kw_only=True):
    """A whole answer: HTTP ``status``, ``body``, further ``headers`` and Zoho's own ``code``.

    A list's answer keeps its ``page`` apart, so that a fault can still change it.
    """

    status: int = 200
    body: bytes = b""
    code: int | None = 0
    content_type: str = JSON_TYPE
    headers: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    page: ReplyPage | None = None

    def content(self) -> bytes:
        return self.body if self.page is None else self.page.joined()


class ApiRefusal(Exception):
    """An answer other than success, raised from anywhere below a handler."""

    def __init__(
        self, status: int, code: int, message: str, *, error_info: list[str] | None = None
    ) -> None:
        super().__init__(f"{status} {code} {message}")
        self.status: Final = status
        self.code: Final = code
        self.message: Final = message
        self.error_info: Final = error_info

    def reply(self) -> ApiReply:
        body: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.error_info is not None:
            body["error_info"] = self.error_info
        return ApiReply(status=self.status, code=self.code, body=ENCODER.encode(body))


def invalid(parameter: str) -> ApiRefusal:
    """A parameter in the query has a value that cannot be."""
    return ApiRefusal(400, 2, f"Invalid value passed for {parameter}")


def invalid_field(field: str) -> ApiRefusal:
    """A field of the body is missing or has a value that cannot be."""
    return ApiRefusal(400, 4, f"Invalid value passed for {field}")


def success(
    message: str,
    values: Mapping[str, Any] | None = None,
    *,
    status: int = 200,
    headers: dict[str, str] | None = None,
) -> ApiReply:
    """``{code: 0, message, **values}``."""
    body = ENCODER.encode({"code": 0, "message": message, **(values or {})})
    return ApiReply(status=status, body=body, headers=headers or {})


def pointed(amount: Decimal) -> Decimal:
    """With a decimal point, as every amount on the wire."""
    exponent = amount.as_tuple().exponent
    whole = isinstance(exponent, int) and exponent >= 0
    return Decimal(f"{amount:f}.0") if whole else amount
