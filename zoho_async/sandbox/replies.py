"""Replies as bytes, and the errors that handlers raise."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import msgspec

#: Encodes exact decimals as JSON numbers.
ENCODER: Final = msgspec.json.Encoder(decimal_format="number")

JSON_TYPE: Final = "application/json;charset=UTF-8"


class ReplyPage(msgspec.Struct, kw_only=True):
    """A page of a list before encoding: rows as bytes under ``key``, and the page context."""

    key: str
    rows: list[bytes]
    context: dict[str, Any]

    def joined(self) -> bytes:
        body = b'{"code":0,"message":"success","%b":[%b],"page_context":%b}'
        context = ENCODER.encode(self.context)
        return body % (self.key.encode(), b",".join(self.rows), context)


class ApiReply(msgspec.Struct, kw_only=True):
    """A reply: HTTP ``status``, ``body``, ``headers``, and Zoho's ``code``.

    The reply of a list keeps its ``page`` unencoded, so that a fault can still change it.
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
    """An error reply. Handlers raise it."""

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
    """Return the error for an invalid query parameter."""
    return ApiRefusal(400, 2, f"Invalid value passed for {parameter}")


def invalid_field(field: str) -> ApiRefusal:
    """Return the error for a body field that is missing or invalid."""
    return ApiRefusal(400, 4, f"Invalid value passed for {field}")


def success(
    message: str,
    values: Mapping[str, Any] | None = None,
    *,
    status: int = 200,
    headers: dict[str, str] | None = None,
) -> ApiReply:
    """Return the reply ``{code: 0, message, **values}``."""
    body = ENCODER.encode({"code": 0, "message": message, **(values or {})})
    return ApiReply(status=status, body=body, headers=headers or {})


def pointed(amount: Decimal) -> Decimal:
    """Return the amount with a decimal point, as amounts are on the wire."""
    exponent = amount.as_tuple().exponent
    whole = isinstance(exponent, int) and exponent >= 0
    return Decimal(f"{amount:f}.0") if whole else amount
