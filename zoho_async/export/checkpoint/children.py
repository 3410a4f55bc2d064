"""Index the children that were written, with their parent, their content and their last pass.

Works as `zoho_async.export.checkpoint.records`, for rows that are read through a parent. The
children of a parent are read completely, so a known child that is missing was deleted.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from zoho_async.export.checkpoint.records import IndexedRecord
from zoho_async.export.destinations.base import Database

TABLE: Final = "_zoho_child"
SCHEMA: Final = (
    f"CREATE TABLE IF NOT EXISTS {TABLE} (resource BIGINT NOT NULL, parent TEXT NOT NULL,"
    " id TEXT NOT NULL, digest BIGINT NOT NULL, pass_number BIGINT NOT NULL,"
    " PRIMARY KEY (resource, parent, id))"
)
_COLUMNS: Final = ("resource", "parent", "id", "digest", "pass_number")
_LOOKUP: Final = 500


class ChildIndex:
    """The index of the children of resource number ``resource``. Every method blocks."""

    def __init__(self, database: Database, resource: int) -> None:
        self._database: Final = database
        self._resource: Final = resource

    def find(self, parent: str, keys: Collection[str]) -> dict[str, IndexedRecord]:
        """Return the indexed children of ``parent`` among ``keys``."""
        found: dict[str, IndexedRecord] = {}
        for some in _slices(list(keys)):
            marks = ",".join("?" * len(some))
            rows = self._database.execute(
                f"SELECT id, digest, pass_number FROM {TABLE}"
                f" WHERE resource = ? AND parent = ? AND id IN ({marks})",
                (self._resource, parent, *some),
            )
            found.update(
                (one, IndexedRecord(content, pass_number)) for one, content, pass_number in rows
            )
        return found

    def count(self) -> int:
        """Return the number of indexed children."""
        ((number,),) = self._database.execute(
            f"SELECT count(*) FROM {TABLE} WHERE resource = ?", (self._resource,)
        )
        return int(number)

    def add(self, parent: str, records: dict[str, int], pass_number: int) -> None:
        """Index children: digests by key."""
        rows = [
            (self._resource, parent, one, content, pass_number) for one, content in records.items()
        ]
        if rows:
            self._database.upsert(TABLE, _COLUMNS[:3], _COLUMNS, rows)

    def find_unseen(self, parent: str, since: int | None = None) -> list[str]:
        """Return some children of ``parent`` that no pass from ``since`` on saw, or any of them."""
        unseen = "" if since is None else f" AND pass_number < {since:d}"
        rows = self._database.execute(
            f"SELECT id FROM {TABLE} WHERE resource = ? AND parent = ?{unseen}"
            f" ORDER BY id LIMIT {_LOOKUP}",
            (self._resource, parent),
        )
        return [one for (one,) in rows]

    def forget(self, parent: str, keys: Sequence[str]) -> None:
        """Remove children from the index."""
        for some in _slices(keys):
            marks = ",".join("?" * len(some))
            self._database.execute(
                f"DELETE FROM {TABLE} WHERE resource = ? AND parent = ? AND id IN ({marks})",
                (self._resource, parent, *some),
            )


def _slices(keys: Sequence[str]) -> list[Sequence[str]]:
    return [keys[start : start + _LOOKUP] for start in range(0, len(keys), _LOOKUP)]
