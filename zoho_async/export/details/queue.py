"""Records that a list named and that are still to be asked for: their details, children or files.

The queue of a resource stands in the state's database. Records go in with the page that named them
and come out with what was asked for, each in one transaction with the rows it brings, so that every
record is asked for once, whatever ends the run between. They come out in the order in which they
went in.

A part begins with an empty queue, but for the documents that are *owed*: where they were saved
once, a run that is not asked for any still puts the records that it found new or changed in, and
leaves them for the next that is.
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
_COLUMNS: Final = ("resource", "work", "place", "id", "argument", "known")

Work: TypeAlias = Literal["rows", "files"]


class PendingRecord(msgspec.Struct, frozen=True):
    """A record that is to be asked for.

    ``place`` is its number in the queue; ``argument`` what goes into the question; ``known`` says that
    rows of it were written by an earlier part.
    """

    place: int
    id: str
    argument: str
    known: bool


class Queue:
    """What is due of resource number ``resource``. Every method blocks on the database."""

    def __init__(self, database: Database, resource: int) -> None:
        self._database: Final = database
        self._resource: Final = resource

    def add(self, work: Work, records: Iterable[PendingRecord]) -> None:
        """Put records in."""
        rows = [
            (self._resource, work, record.place, record.id, record.argument, int(record.known))
            for record in records
        ]
        if rows:
            self._database.insert(TABLE, _COLUMNS, rows)

    def next(self, work: Work, most: int, after: int = 0) -> list[PendingRecord]:
        """The first ``most`` records behind place ``after``, in their order."""
        rows = self._database.execute(
            f"SELECT place, id, argument, known FROM {TABLE}"
            f" WHERE resource = ? AND work = ? AND place > ? ORDER BY place LIMIT {most}",
            (self._resource, work, after),
        )
        return [
            PendingRecord(place, one, argument, bool(known)) for place, one, argument, known in rows
        ]

    def count(self, work: Work) -> int:
        """How many records are record."""
        ((number,),) = self._database.execute(
            f"SELECT count(*) FROM {TABLE} WHERE resource = ? AND work = ?", (self._resource, work)
        )
        return int(number)

    def done(self, work: Work, places: Sequence[int]) -> None:
        """Take records out."""
        if not places:
            return
        marks = ",".join("?" * len(places))
        self._database.execute(
            f"DELETE FROM {TABLE} WHERE resource = ? AND work = ? AND place IN ({marks})",
            (self._resource, work, *places),
        )

    def begin(self, *, keep_files: int) -> None:
        """Begin with nothing, or with what is owed of the first ``keep_files`` places."""
        self._database.execute(
            f"DELETE FROM {TABLE} WHERE resource = ? AND (work <> 'files' OR place > ?)",
            (self._resource, keep_files),
        )

    def keep_newest(self, work: Work) -> None:
        """Leave each record in once, as it was put in last."""
        self._database.execute(
            f"DELETE FROM {TABLE} WHERE resource = ? AND work = ? AND place NOT IN"
            f" (SELECT max(place) FROM {TABLE} WHERE resource = ? AND work = ? GROUP BY id)",
            (self._resource, work, self._resource, work),
        )
