"""Index the records that were written: their id, their content and the last pass that saw them.

Model. One table in the destination's database has, per record of a resource, a digest of its row
and the number of the pass that saw it last. A pass is one read of the list, page by page. Passes
are numbered upwards through all runs. This answers every question of a run:

- Did this pass, or this run, see the row? Its number says so. (A list may repeat rows, and an
  interrupted pass reads some again.)
- Did the row change since it was written? The digest says so. It covers the bytes of the row in 8
  bytes: one change in 2^64 goes unseen.
- Which records were not seen at all? Those with a smaller number; deletion detection checks them.

Each row is written once per run. A version that appears later in the run was modified after the run
began, so it lies above the watermark that the run may set.

Cost. Ids are digits that grow with time, and a first read goes from old to new. Most of its pages
lie above every indexed id, so one comparison settles them and nothing is looked up. A row without
an id is indexed by a digest of its bytes: rows that are equal to the last byte are one row.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from zoho_async.export.destinations.base import Database

TABLE: Final = "_zoho_record"
SCHEMA: Final = (
    f"CREATE TABLE IF NOT EXISTS {TABLE} (resource BIGINT NOT NULL, id TEXT NOT NULL,"
    " digest BIGINT NOT NULL, pass_number BIGINT NOT NULL, PRIMARY KEY (resource, id))"
)
_COLUMNS: Final = ("resource", "id", "digest", "pass_number")
#: The digest of a record whose written content is not known.
DOUBTED: Final = 0
_LOOKUP: Final = 500  # ids per query, within SQLite's oldest limit on variables


class IndexedRecord(msgspec.Struct, frozen=True):
    """A record as it was last seen: the digest of its row, and the number of the pass."""

    digest: int
    pass_number: int


def key(identity: str, row: bytes) -> str:
    """Return the key of a row: its id, or a digest of its bytes if it has none."""
    return identity or "#" + hashlib.blake2b(row, digest_size=16).hexdigest()


def digest(row: bytes) -> int:
    """Return the digest of a row's content, a signed number of 64 bits."""
    return int.from_bytes(hashlib.blake2b(row, digest_size=8).digest(), "big", signed=True)


class RecordIndex:
    """The records of resource number ``resource``. Every method blocks on the database.

    ``largest`` is the largest id of digits that was ever indexed, "" for none.
    """

    def __init__(self, database: Database, resource: int, largest: str = "") -> None:
        self._database: Final = database
        self._resource: Final = resource
        self.largest = largest
        self.lookups = 0

    def find(self, keys: Iterable[str]) -> dict[str, IndexedRecord]:
        """Return the indexed records among ``keys``."""
        asked = list(keys)
        if not asked or _number(_extremes(asked)[0]) > _number(self.largest):
            return {}
        self.lookups += 1
        found: dict[str, IndexedRecord] = {}
        for some in _slices(asked):
            marks = ",".join("?" * len(some))
            rows = self._database.execute(
                f"SELECT id, digest, pass_number FROM {TABLE}"
                f" WHERE resource = ? AND id IN ({marks})",
                (self._resource, *some),
            )
            found.update(
                (one, IndexedRecord(content, pass_number)) for one, content, pass_number in rows
            )
        return found

    def find_prefix(self, prefix: str) -> dict[str, int]:
        """Return the digests of the records whose keys begin with ``prefix``."""
        rows = self._database.execute(
            f"SELECT id, digest FROM {TABLE} WHERE resource = ? AND substr(id, 1, ?) = ?",
            (self._resource, len(prefix), prefix),
        )
        return dict(rows)

    def count(self) -> int:
        """Return the number of indexed records."""
        ((number,),) = self._database.execute(
            f"SELECT count(*) FROM {TABLE} WHERE resource = ?", (self._resource,)
        )
        return int(number)

    def places(self, keys: Sequence[str]) -> dict[str, int]:
        """Return the places of records among all, from 1 for the largest id on."""
        found: dict[str, int] = {}
        for some in _slices(keys):
            marks = ",".join("?" * len(some))
            rows = self._database.execute(
                "SELECT id, place FROM (SELECT id, ROW_NUMBER() OVER"
                f" (ORDER BY length(id) DESC, id DESC) AS place FROM {TABLE} WHERE resource = ?)"
                f" AS placed WHERE id IN ({marks})",
                (self._resource, *some),
            )
            found.update((one, int(place)) for one, place in rows)
        return found

    def add(self, records: dict[str, int], pass_number: int, *, unknown: bool) -> None:
        """Index records: digests by key. ``unknown`` says that none of them is indexed."""
        rows = [(self._resource, one, content, pass_number) for one, content in records.items()]
        if unknown:
            self._database.insert(TABLE, _COLUMNS, rows)
        else:
            self._database.upsert(TABLE, _COLUMNS[:2], _COLUMNS, rows)
        if records:
            self.largest = max(self.largest, _extremes([*records])[1], key=_number)

    def find_unseen(self, since: int, after: str = "") -> list[str]:
        """Return some keys after ``after``, sorted, that no pass from ``since`` on saw."""
        rows = self._database.execute(
            f"SELECT id FROM {TABLE} WHERE resource = ? AND pass_number < ? AND id > ?"
            f" ORDER BY id LIMIT {_LOOKUP}",
            (self._resource, since, after),
        )
        return [one for (one,) in rows]

    def find_absent(self, since: int, before: int, most: int) -> list[str]:
        """Return some keys that a pass from ``since`` on saw, and none from ``before`` on."""
        rows = self._database.execute(
            f"SELECT id FROM {TABLE} WHERE resource = ? AND pass_number >= ? AND pass_number < ?"
            f" ORDER BY id LIMIT {most:d}",
            (self._resource, since, before),
        )
        return [one for (one,) in rows]

    def mark_answered(self, keys: Sequence[str], pass_number: int) -> None:
        """Store that these records existed when pass ``pass_number`` ended."""
        for some in _slices(keys):
            marks = ",".join("?" * len(some))
            self._database.execute(
                f"UPDATE {TABLE} SET pass_number = ? WHERE resource = ? AND id IN ({marks})",
                (pass_number, self._resource, *some),
            )

    def doubt(self, since: int) -> None:
        """Mark the content of records that no pass from ``since`` on saw as unknown."""
        self._database.execute(
            f"UPDATE {TABLE} SET digest = {DOUBTED} WHERE resource = ? AND pass_number < ?",
            (self._resource, since),
        )

    def forget(self, keys: Sequence[str]) -> None:
        """Remove records from the index."""
        for some in _slices(keys):
            marks = ",".join("?" * len(some))
            self._database.execute(
                f"DELETE FROM {TABLE} WHERE resource = ? AND id IN ({marks})",
                (self._resource, *some),
            )


def _number(one: str) -> tuple[int, str]:
    """Sort ids of digits by their numbers, and anything else before them."""
    plain = one.isascii() and one.isdecimal() and one[0] != "0"
    return (len(one), one) if plain else (0, "")


def _extremes(keys: Sequence[str]) -> tuple[str, str]:
    """Return the smallest and the largest of ``keys`` by `_number`."""
    joined = "".join(keys)
    if joined.isascii() and joined.isdecimal() and len({*map(len, keys)}) == 1:
        return min(keys), max(keys)  # texts of one length are sorted like their numbers
    return min(keys, key=_number), max(keys, key=_number)


def _slices(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(keys), _LOOKUP):
        yield keys[start : start + _LOOKUP]
