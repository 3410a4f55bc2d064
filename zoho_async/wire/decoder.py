"""From the bytes of a reply to the values that the description promises."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic

from zoho_async.events import Observer
from zoho_async.operation import ListOperation, Operation, T
from zoho_async.wire.record import PageContext


class PageBody(Generic[T]):
    """One page of a list: its ``rows``, its ``context``, and what else the envelope held."""

    def __init__(self, rows: list[T], context: PageContext | None) -> None:
        self.rows = rows
        self.context = context

    @property
    def extra(self) -> dict[str, Any]:
        """The undocumented keys of the envelope."""
        return {}


class Decoder:
    """Reads replies; remembers which fields drifted from their described types."""

    def __init__(self, *, strict: bool = False, observer: Observer | None = None) -> None:
        self.drift: Mapping[tuple[str, str], int] = {}

    def value(self, operation: Operation[T], body: bytes) -> T:
        """The value that ``operation`` answered. Raises `Unreadable`."""
        raise NotImplementedError

    def page(self, operation: ListOperation[T], body: bytes) -> PageBody[T]:
        """One page of the list. Raises `Unreadable`."""
        raise NotImplementedError
