"""One page of a list, from its reply to its reader or its destination.

A page keeps its type on the whole way: `Decoder.page` and `raw_page` make it from a body, paging
adds its number and its date, and an export writes it.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, Final, Generic, TypeVar, cast

import msgspec

from zoho_async._msgspec import decoder_of
from zoho_async.wire.record import PageContext, Record

T_co = TypeVar("T_co", covariant=True)

MODIFIED: Final = "last_modified_time"
CREATED: Final = "created_time"

#: Id values that mean "no id".
_NO_IDS: Final = (None, "", "-1", -1)


class RowTimes(msgspec.Struct, frozen=True):
    """The creation and modification time of a row in seconds since 1970, None if missing."""

    created: float | None
    modified: float | None

    def there_since(self, *, narrowed: bool) -> float | None:
        """The time since which the row is in its list. ``narrowed`` means a filtered list."""
        return self.modified if narrowed or self.created is None else self.created


class Page(msgspec.Struct, Generic[T_co], frozen=True, kw_only=True, eq=False):
    """One page of a list. Iteration and ``len()`` are those of its ``rows``.

    Attributes:
        rows: The rows: records, values of your own shape, or the bytes that Zoho sent.
        ids: The ids of ``rows``, "" for a row without one.
        context: Zoho's ``page_context``, empty if Zoho sent none.
        has_more: Whether Zoho announced another page; None if it sent no page context.
        total: The number of rows in the whole list, None if Zoho did not count them.
        number: The number of the page, from 1.
        date: A time by Zoho's clock just before Zoho made the page, in seconds since 1970; None if
            unknown.
        seconds: The duration of the call without waits for the limits.
        read_times: Returns the times of ``rows``.
        read_extra: Returns the undocumented keys of the reply.
    """

    rows: list[T_co]
    ids: list[str]
    context: PageContext = msgspec.field(default_factory=PageContext)
    has_more: bool | None = None
    total: int | None = None
    number: int = 1
    date: float | None = None
    seconds: float = 0.0
    read_times: Callable[[], list[RowTimes]] = list[RowTimes]
    read_extra: Callable[[], dict[str, Any]] = dict[str, Any]

    @property
    def extra(self) -> dict[str, Any]:
        """The undocumented keys of the reply that held this page."""
        return self.read_extra()

    def __iter__(self) -> Iterator[T_co]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return f"<Page {self.number} of {len(self.rows)} rows>"


def page_with(
    rows: list[T_co],
    ids: list[str],
    context: PageContext | None,
    read_times: Callable[[], list[RowTimes]],
    read_extra: Callable[[], dict[str, Any]] = dict[str, Any],
) -> Page[T_co]:
    """The page of a reply with ``context``, None if Zoho sent none."""
    if context is None:
        return Page(rows=rows, ids=ids, read_times=read_times, read_extra=read_extra)
    return Page(
        rows=rows,
        ids=ids,
        context=context,
        has_more=bool(context.has_more_page),
        total=context.total,
        read_times=read_times,
        read_extra=read_extra,
    )


# -- ids and times of rows ----------------------------------------------------------------------


def as_id(value: object) -> str:
    """The text of an id, "" for none."""
    return "" if value in _NO_IDS else str(value)


def ids_of(row: Any, name: str, records: list[Any]) -> list[str]:
    """The ids of decoded ``records`` of type ``row``, from Zoho's field ``name``."""
    found = list(map(getter(row, name), records))
    if set(map(type, found)) == {str} and not {"", "-1"} & set(found):  # nearly always
        return cast(list[str], found)
    return list(map(as_id, found))


@functools.cache
def getter(row: Any, name: str) -> Callable[[object], object]:
    """A function that returns what a record of type ``row`` has for Zoho's field ``name``.

    It looks into ``extra`` if no field is described, and returns None if there is no value.
    """
    if not name:
        return lambda _: None
    sent: tuple[str, ...] = getattr(row, "__struct_encode_fields__", ())
    if name in sent:
        fields: tuple[str, ...] = getattr(row, "__struct_fields__", ())
        return operator.attrgetter(fields[sent.index(name)])
    return lambda record: record.extra.get(name) if isinstance(record, Record) else None


def times_of_records(row: Any, records: list[Any]) -> list[RowTimes]:
    """The times of decoded ``records`` of type ``row``."""
    created, modified = getter(row, CREATED), getter(row, MODIFIED)
    return [RowTimes(moment(created(one)), moment(modified(one))) for one in records]


class RowMoments(msgspec.Struct):
    """The times of a row as Zoho sent them."""

    created_time: object = None
    last_modified_time: object = None


_TIMES: Final = decoder_of(RowMoments)


def times_of(row: bytes) -> RowTimes:
    """The times in the bytes of a row."""
    try:
        times = _TIMES.decode(row)
    except msgspec.DecodeError:
        return RowTimes(None, None)
    return RowTimes(moment(times.created_time), moment(times.last_modified_time))


def moment(text: object) -> float | None:
    """Convert ``2026-06-09T09:45:19-0400`` to seconds since 1970, or None if invalid.

    A time without an offset is ambiguous, so it is invalid.
    """
    if isinstance(text, datetime):
        return text.timestamp() if text.tzinfo is not None else None
    if not isinstance(text, str) or not text:
        return None
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        return None
    return parsed.timestamp() if parsed.tzinfo is not None else None
