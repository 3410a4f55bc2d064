"""Copy the checkpoint of a destination into memory, to plan a run without starting it.

Model
-----
A plan is what a run would do, so the run's own code makes it. That code continues and begins
parts, which changes the checkpoint. Here it changes a copy in memory, and its sinks write nothing.
The destination is opened for reading alone (`Destination.read_only`).

The copy has the state of each resource and the pending records. It has no record index, which can
be large; `CheckpointCopy.records` has the number of its records.

Unknown
-------
Whether files or tables are still as the run before left them: only a run checks that. If a
person deleted a file, the run reads its list in full, and the plan says less.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

from zoho_async.export.checkpoint import records
from zoho_async.export.checkpoint.file import StateFile
from zoho_async.export.checkpoint.store import LAYOUT, PLACE, PLACE_COLUMNS, RESOURCE, TABLES
from zoho_async.export.destinations.base import Destination, Query, RecordedContents, Rounded, Table
from zoho_async.export.details import queue

_STATES: Final[dict[str, tuple[str, ...]]] = {
    RESOURCE: ("name", "state"),
    queue.TABLE: queue.COLUMNS,
}


class CheckpointCopy:
    """A `Destination` in memory with the checkpoint of ``destination``. Rows written are lost."""

    def __init__(self, destination: Destination) -> None:
        self.name: Final = destination.name
        self._destination: Final = destination
        self._records: dict[int, int] = {}

    def open(self) -> OpenCopy:
        """Read the checkpoint. Raises `ExportRunning` or `DestinationError`."""
        copy = OpenCopy(self.name, StateFile(Path(":memory:")))
        try:
            with self._destination.read_only() as query:
                if query is not None:
                    self._copy(query, copy.database)
        except BaseException:
            copy.close()
            raise
        return copy

    def records(self, resource: int) -> int:
        """Return the number of indexed records of resource number ``resource``."""
        return self._records.get(resource, 0)

    def _copy(self, query: Query, database: StateFile) -> None:
        for table in TABLES:
            database.execute(table)
        place = query(f"SELECT {', '.join(PLACE_COLUMNS)} FROM {PLACE}")
        database.insert(PLACE, PLACE_COLUMNS, place)
        if any(form != LAYOUT for form, *_ in place):
            return  # opening the checkpoint refuses it
        for table, columns in _STATES.items():
            rows = query(f"SELECT {', '.join(columns)} FROM {table}")
            database.insert(table, columns, rows)
        counted = f"SELECT resource, count(*) FROM {records.TABLE} GROUP BY resource"
        self._records = dict(query(counted))

    def read_only(self) -> AbstractContextManager[Query | None]:
        return self._destination.read_only()


class OpenCopy:
    """The open copy. ``database`` is in memory."""

    def __init__(self, name: str, database: StateFile) -> None:
        self.name: Final = name
        self.database: Final = database

    def sink(self, table: Table, part: str) -> NoSink:
        return NoSink(table.name)

    def finish(self) -> Rounded:
        return {}

    def close(self) -> None:
        self.database.close()


class NoSink:
    """A sink that writes nothing and misses nothing."""

    def __init__(self, name: str) -> None:
        self.name: Final = name

    def resume(self, mark: int) -> bool:
        return True

    def write(self, rows: Sequence[bytes]) -> int:
        return 0

    def mark_deleted(self, ids: Sequence[str], when: str) -> int:
        return 0

    def keep_as_part(self, part: str) -> None: ...

    def discard(self) -> None: ...

    def settle(self) -> None: ...

    def take_rounded(self) -> dict[str, int]:
        return {}

    def close(self) -> None: ...

    def sizes(self) -> dict[str, int]:
        return {}

    def find_missing(self, recorded: RecordedContents) -> str:
        return ""
