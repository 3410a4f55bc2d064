"""Count the fields whose values do not match their described types."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from zoho_async.errors import DecodeError
from zoho_async.events import Drifted, Observer
from zoho_async.wire.coerce import ReportMisfit

_REPORTED: Final = frozenset(10**power for power in range(12))


class Drift(Mapping[tuple[str, str], int]):
    """The number of rows whose field became ``None``, by record name and field path.

    The observer gets an event at the first row, the tenth, the hundredth and so on. With ``strict``
    the first misfit raises `DecodeError` instead.
    """

    def __init__(self, *, strict: bool = False, observer: Observer | None = None) -> None:
        self._rows: dict[tuple[str, str], int] = {}
        self._strict = strict
        self._observer = observer

    def __getitem__(self, field: tuple[str, str]) -> int:
        return self._rows[field]

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        return repr(self._rows)

    @contextmanager
    def row(self, record: str) -> Generator[ReportMisfit]:
        """Collect the misfits of one row. A field counts once per row."""
        misfits: dict[str, tuple[str, str]] = {}

        def report(field: str, expected: str, found: str) -> None:
            if self._strict:
                where = f"{record}.{field}" if field else record
                raise DecodeError(f"{where} should be {expected}, but Zoho sent a JSON {found}")
            misfits.setdefault(field, (expected, found))

        yield report
        for field, (expected, found) in misfits.items():
            self._count(record, field, expected, found)

    def _count(self, record: str, field: str, expected: str, found: str) -> None:
        count = self._rows[record, field] = self._rows.get((record, field), 0) + 1
        if self._observer is not None and count in _REPORTED:
            self._observer(
                Drifted(record=record, field=field, expected=expected, found=found, count=count)
            )
