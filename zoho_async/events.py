"""The events that a session sends to its observer.

An observer is a callable that takes one event. It runs on the event loop and must return at once.
Without an observer no event is built. Events carry no token, no body and no query value.

An observer that raises changes no outcome: the event loop's exception handler gets its exception,
which is logged unless the program has set another handler. Exceptions outside `Exception`
(`SystemExit`, `KeyboardInterrupt`, a cancellation) pass through.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TypeAlias

import msgspec


class Called(msgspec.Struct, frozen=True, kw_only=True):
    """One request was answered or failed. ``seconds`` is from sending to the last byte read."""

    method: str
    path: str
    organization: str | None
    status: int | None
    code: int | None
    seconds: float
    attempt: int


class Retried(msgspec.Struct, frozen=True, kw_only=True):
    """A call will be tried again after ``delay`` seconds. ``cause`` is the exception's class."""

    method: str
    path: str
    organization: str | None
    attempt: int
    delay: float
    cause: str


class Waited(msgspec.Struct, frozen=True, kw_only=True):
    """A call waited ``seconds`` for its organization's limits."""

    organization: str | None
    lane: str
    seconds: float


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """Zoho refused a call because of its limits. Nothing is sent for ``blocked_for`` seconds."""

    organization: str | None
    code: int | None
    blocked_for: float


class BlockStarted(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing is sent for an organization for ``seconds``: Zoho blocked it, or its day is used up.

    Only the client whose call was refused sends this event. Others that share the ledger wait
    without one.
    """

    organization: str | None
    seconds: float


class LedgerStarted(msgspec.Struct, frozen=True, kw_only=True):
    """A shared ledger is new or lost its counts. Nothing is sent for ``seconds``.

    After that time every call that the ledger may not know of has left the minute.
    """

    organization: str | None
    seconds: float


class Refreshed(msgspec.Struct, frozen=True, kw_only=True):
    """A new access token arrived. It lives ``expires_in`` seconds."""

    expires_in: float


class Drifted(msgspec.Struct, frozen=True, kw_only=True):
    """A value did not fit its described type and became ``None``. ``count`` is the number so far.

    ``field`` is the path within the record (``line_items[].rate``), ``found`` the JSON type that
    Zoho sent.
    """

    record: str
    field: str
    expected: str
    found: str
    count: int


class Paged(msgspec.Struct, frozen=True, kw_only=True):
    """A page of a list was read: ``rows`` in the reply, of which ``new`` were not read before."""

    path: str
    organization: str | None
    page: int
    rows: int
    new: int
    has_more_page: bool


class Unconfirmed(msgspec.Struct, frozen=True, kw_only=True):
    """A list's reply does not confirm these ``filters``. Zoho may have ignored them."""

    path: str
    organization: str | None
    filters: tuple[str, ...]


class Exported(msgspec.Struct, frozen=True, kw_only=True):
    """An export wrote a resource to its end. ``rows`` is the number of rows in this part.

    ``mode`` is how it was read (``full``, ``changed``, ``newest``, ``compared``), ``calls`` the
    number of API calls. `zoho_async.export.ExportEvent` has more detail.
    """

    resource: str
    organization: str | None
    mode: str
    rows: int
    deleted: int
    calls: int


Event: TypeAlias = (
    Called
    | Retried
    | Waited
    | Refused
    | BlockStarted
    | LedgerStarted
    | Refreshed
    | Drifted
    | Paged
    | Unconfirmed
    | Exported
)
Observer: TypeAlias = Callable[[Event], None]


def guarded(observer: Observer | None) -> Observer | None:
    """Wrap ``observer`` so that its exceptions go to the event loop's exception handler."""
    if observer is None or isinstance(observer, _Guarded):
        return observer
    return _Guarded(observer)


class _Guarded:
    """An observer that does not raise."""

    __slots__ = ("_observer",)

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    def __call__(self, event: Event) -> None:
        try:
            self._observer(event)
        except Exception as error:
            message = f"the observer raised an exception for {type(event).__name__}"
            try:
                loop = asyncio.get_running_loop()
            except RuntimeError:  # a value may be decoded in any thread
                logging.getLogger("zoho_async").exception(message)
            else:
                loop.call_exception_handler({"message": message, "exception": error})
