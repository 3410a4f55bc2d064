"""A call's value together with the rest of its answer.

Model: `with_reply` awaits a call in its own task and context. While the call runs, `record_answer`
keeps the last answer of that context. Tasks that the call starts inherit the context, so their
answers count too. Other tasks have other contexts, so calls that run at the same time do not mix.
"""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine, Mapping
from contextvars import ContextVar
from inspect import iscoroutine
from typing import Any, Final, Generic, TypeVar

import msgspec

from zoho_async.http.transport import Answer
from zoho_async.operation import ListOperation, Operation
from zoho_async.wire import read_envelope
from zoho_async.wire.text import untyped_object

T = TypeVar("T")


class Reply(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """The result of `Session.reply`: the call's ``value``, and the answer that it comes from.

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


class _Recorder:
    """Keeps the last answer of a context, and the operation that it answers."""

    operation: Operation[Any] | ListOperation[Any] | None = None
    answer: Answer | None = None


_RECORDER: Final[ContextVar[_Recorder | None]] = ContextVar("zoho_async_reply", default=None)


def record_answer(operation: Operation[Any] | ListOperation[Any] | None, answer: Answer) -> None:
    """Keep ``answer`` if `with_reply` waits for it. A call of any path has no ``operation``."""
    recorder = _RECORDER.get()
    if recorder is not None:
        recorder.operation, recorder.answer = operation, answer


def with_reply(call: Awaitable[T]) -> Coroutine[Any, Any, Reply[T]]:
    """Await ``call``, and join its value with the last answer that it received.

    Raises what ``call`` raises, and `TypeError` if it is not awaitable or makes no API call. A
    coroutine that is not awaited, because the result is cancelled before it starts, is closed.
    """
    if not hasattr(call, "__await__"):
        raise TypeError(f'reply takes a call such as zoho.books.invoices.get("1"), got {call!r}')
    return _with_reply(_Owner(call))


class _Owner(Generic[T]):
    """Closes a coroutine when nothing can await it any more."""

    def __init__(self, call: Awaitable[T]) -> None:
        self.call: Final = call

    def __del__(self) -> None:
        if iscoroutine(self.call):
            self.call.close()


async def _with_reply(owner: _Owner[T]) -> Reply[T]:
    recorder, outer = _Recorder(), _RECORDER.get()
    previous = _RECORDER.set(recorder)
    try:
        value = await owner.call
    finally:
        _RECORDER.reset(previous)
    if recorder.answer is None:
        raise TypeError("no API call was made; pass the call itself, not a task that makes it")
    if outer is not None:
        outer.operation, outer.answer = recorder.operation, recorder.answer
    return _joined(value, recorder.operation, recorder.answer)


def _joined(
    value: T, operation: Operation[Any] | ListOperation[Any] | None, answer: Answer
) -> Reply[T]:
    envelope = read_envelope(answer.body)
    return Reply(
        value=value,
        status=answer.status,
        headers={name.lower(): text for name, text in answer.headers.items()},
        code=envelope.code,
        message=envelope.message,
        extra={} if operation is None else _undescribed(operation, answer.body),
        body=answer.body,
        seconds=answer.seconds,
    )


def _undescribed(operation: Operation[Any] | ListOperation[Any], body: bytes) -> dict[str, Any]:
    known = {"code", "message", operation.key.partition(".")[0]}
    if isinstance(operation, ListOperation):
        known.add("page_context")
    elif not operation.key:
        known.update(getattr(operation.result, "__struct_encode_fields__", ()))
    return {name: value for name, value in untyped_object(body).items() if name not in known}
