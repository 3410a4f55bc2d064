"""A call's value together with the rest of its answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic, TypeAlias, TypeVar

import msgspec

from zoho_async.http.transport import Answer
from zoho_async.operation import ListOperation, Operation
from zoho_async.wire import read_envelope
from zoho_async.wire.text import untyped_object

T = TypeVar("T")

#: An operation and the answer to it.
ReplyCapture: TypeAlias = tuple[Operation[Any] | ListOperation[Any], Answer]


class Reply(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """The result of `Session.reply`: the function's ``value``, and the answer that it comes from.

    ``status`` and ``headers`` (names in lower case) are HTTP's, ``code`` and ``message`` Zoho's.
    ``extra`` holds the undocumented keys of the envelope, ``body`` the raw answer, ``seconds`` the
    time from sending to the last byte read.
    """

    value: T
    status: int
    headers: Mapping[str, str]
    code: int | None
    message: str
    extra: Mapping[str, Any]
    body: bytes
    seconds: float

    def __repr__(self) -> str:
        return f"Reply({self.value!r}, status={self.status}, message={self.message!r})"


def reply_of(value: T, capture: ReplyCapture) -> Reply[T]:
    """Join ``value`` with the answer that it comes from."""
    operation, answer = capture
    envelope = read_envelope(answer.body)
    return Reply(
        value=value,
        status=answer.status,
        headers={name.lower(): text for name, text in answer.headers.items()},
        code=envelope.code,
        message=envelope.message,
        extra=_undescribed(operation, answer.body),
        body=answer.body,
        seconds=answer.seconds,
    )


def _undescribed(operation: Operation[Any] | ListOperation[Any], body: bytes) -> dict[str, Any]:
    known = {"code", "message", operation.key}
    if isinstance(operation, ListOperation):
        known.add("page_context")
    elif not operation.key:
        known.update(getattr(operation.result, "__struct_encode_fields__", ()))
    return {name: value for name, value in untyped_object(body).items() if name not in known}
