"""The queue of records whose details, children or files are still to be fetched.

Model. The queue of a resource is a table in the destination's database. Records go in with the page
that named them, and come out with what was fetched, each in one transaction with the rows.

Invariant. Every record is fetched once, whatever interrupts the run. Records come out in the order
in which they went in.

A part begins with an empty queue, except for files and the refresh. If documents were saved once, a
run that saves none still queues the records that are new or changed, for the next run that does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Literal, TypeAlias

import msgspec

from zoho_async.export.destinations.base import Database

TABLE: Final = "_zoho_pending"
SCHEMA: Final = (
    f"CREATE TABLE IF NOT EXISTS {TABLE} (resource BIGINT NOT NULL, work TEXT NOT NULL,"
    " place BIGINT NOT NULL, id TEXT NOT NULL, argument TEXT NOT NULL, known BIGINT NOT NULL,"
    " PRIMARY KEY (resource, work, place))"
)
COLUMNS: Final = ("resource", "work", "place", "id", "argument", "known")

Work: TypeAlias = Literal["rows", "files", "refresh"]


class PendingRecord(msgspec.Struct, frozen=True):
    """A record that is to be fetched.

    ``place`` is its number in the queue, ``argument`` is sent with the request, and ``known`` says
    that an earlier part wrote rows of it.
    """

    place: int
    id: str
    argument: str
    known: bool


class Queue:
    """The pending records of resource number ``resource``. Every method blocks."""

    def __init__(self, database: Database, resource: int) -> None:
        self._database: Final = database
        self._resource: Final = resource

    def add(self, work: Work, records: Iterable[PendingRecord]) -> None:
        """Add records."""
        rows = [
            (self._resource, work, record.place, record.id, record.argument, int(record.known))
            for record in records
        ]
        if rows:
            self._database.insert(TABLE, COLUMNS, rows)

    def next(self, work: Work, most: int, after: int = 0) -> list[PendingRecord]:
        """Return the first ``most`` records after place ``after``, in their order."""
        rows = self._database.execute(
            f"SELECT place, id, argument, known FROM {TABLE}"
            f" WHERE resource = ? AND work = ? AND place > ? ORDER BY place LIMIT {most}",
            (self._resource, work, after),
        )
        return [
            PendingRecord(place, one, argument, bool(known)) for place, one, argument, known in rows
        ]

    def count(self, work: Work) -> int:
        """Return the number of pending records."""
        ((number,),) = self._database.execute(
            f"SELECT count(*) FROM {TABLE} WHERE resource = ? AND work = ?", (self._resource, work)
        )
        return int(number)

    def remove(self, work: Work, places: Sequence[int]) -> None:
        """Remove records."""
        if not places:
            return
        marks = ",".join("?" * len(places))
        self._database.execute(
            f"DELETE FROM {TABLE} WHERE resource = ? AND work = ? AND place IN ({marks})",
            (self._resource, work, *places),
        )

    def remove_records(self, work: Work, ids: Sequence[str]) -> None:
        """Remove every entry of the records ``ids``, at most 500."""
        marks = ",".join("?" * len(ids))
        self._database.execute(
            f"DELETE FROM {TABLE} WHERE resource = ? AND work = ? AND id IN ({marks})",
            (self._resource, work, *ids),
        )

    def begin(self, *, keep: int) -> None:
        """Empty the queue, except for files and the refresh of the first ``keep`` places."""
        self._database.execute(
            f"DELETE FROM {TABLE} WHERE resource = ? AND (work = 'rows' OR place > ?)",
            (self._resource, keep),
        )

    def keep_newest(self, work: Work) -> None:
        """Keep only the newest entry of each record."""
        self._database.execute(
            f"DELETE FROM {TABLE} WHERE resource = ? AND work = ? AND place NOT IN"
            f" (SELECT max(place) FROM {TABLE} WHERE resource = ? AND work = ? GROUP BY id)",
            (self._resource, work, self._resource, work),
        )
