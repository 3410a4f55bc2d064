"""What is known of each record that was written: its id, its content, and when it was last seen.

One table in the state's database holds, for each record of a resource, a digest of its row and the
number of the *look* that met it last. A pass_number is one reading of the list, from page to page; they
are numbered upwards through all runs. That answers every question a run has:

- Was this row met in this pass_number, or in this run? Its number says so. (A list may repeat rows, and a
  walk that goes on after an interruption reads some again.)
- Did it change since it was written? The digest says so. It is of the row's bytes, 8 bytes long:
  one change in 2^64 would go unseen.
- Which records were not met at all? Those with a smaller number: what a sweep has to ask about.

A row is told once a run: a version that is met later in the same run has been modified since the
run began, and so lies above the watermark that the run may set.

Ids are digits that grow with time and a first read goes from old to new, so most of its pages lie
wholly above everything known: one comparison settles them and nothing is looked up. A row without
an id is known by a digest of its bytes: two rows equal to the last byte are one row.
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
#: Stands for a content that is not known to be what was written; no more likely than any other.
DOUBTED: Final = 0
_LOOKUP: Final = 500  # ids in one question, well within SQLite's oldest limit on variables


class IndexedRecord(msgspec.Struct, frozen=True):
    """A record as it was last met: the ``digest`` of its row, and the number of the ``pass_number``."""

    digest: int
    pass_number: int


def key(identity: str, row: bytes) -> str:
    """What stands for a row: its id, or a digest of its bytes where it has none."""
    return identity or "#" + hashlib.blake2b(row, digest_size=16).hexdigest()


def digest(row: bytes) -> int:
    """A row's content as a signed number of 64 bits."""
    return int.from_bytes(hashlib.blake2b(row, digest_size=8).digest(), "big", signed=True)


class RecordIndex:
    """The records of resource number ``resource``. Every method blocks on the database.

    ``largest`` is the largest id of digits that was ever remembered, "" for none.
    """

    def __init__(self, database: Database, resource: int, largest: str = "") -> None:
        self._database: Final = database
        self._resource: Final = resource
        self.largest = largest
        self.lookups = 0

    def of(self, keys: Iterable[str]) -> dict[str, IndexedRecord]:
        """Those of ``keys`` that are known."""
        asked = list(keys)
        if all(_number(one) > _number(self.largest) for one in asked):
            return {}
        self.lookups += 1
        found: dict[str, IndexedRecord] = {}
        for some in _slices(asked):
            marks = ",".join("?" * len(some))
            rows = self._database.execute(
                f"SELECT id, digest, pass_number FROM {TABLE} WHERE resource = ? AND id IN ({marks})",
                (self._resource, *some),
            )
            found.update(
                (one, IndexedRecord(content, pass_number)) for one, content, pass_number in rows
            )
        return found

    def count(self) -> int:
        """How many records are known."""
        ((number,),) = self._database.execute(
            f"SELECT count(*) FROM {TABLE} WHERE resource = ?", (self._resource,)
        )
        return int(number)

    def add(self, records: dict[str, int], pass_number: int, *, unknown: bool) -> None:
        """Remember what was met: digests by key; ``unknown`` says that none of them is known."""
        rows = [(self._resource, one, content, pass_number) for one, content in records.items()]
        if unknown:
            self._database.insert(TABLE, _COLUMNS, rows)
        else:
            self._database.upsert(TABLE, _COLUMNS[:2], _COLUMNS, rows)
        self.largest = max([self.largest, *records], key=_number)

    def unseen(self, since: int, after: str = "") -> list[str]:
        """Some keys after ``after``, in order, of records that no pass_number from ``since`` on met."""
        rows = self._database.execute(
            f"SELECT id FROM {TABLE} WHERE resource = ? AND pass_number < ? AND id > ?"
            f" ORDER BY id LIMIT {_LOOKUP}",
            (self._resource, since, after),
        )
        return [one for (one,) in rows]

    def absent(self, since: int, before: int, most: int) -> list[str]:
        """Some keys of records that a pass from ``since`` on met last, and none from ``before``."""
        rows = self._database.execute(
            f"SELECT id FROM {TABLE} WHERE resource = ? AND pass_number >= ? AND pass_number < ?"
            f" ORDER BY id LIMIT {most:d}",
            (self._resource, since, before),
        )
        return [one for (one,) in rows]

    def mark_answered(self, keys: Sequence[str], pass_number: int) -> None:
        """These records were there when pass ``pass_number`` ended."""
        for some in _slices(keys):
            marks = ",".join("?" * len(some))
            self._database.execute(
                f"UPDATE {TABLE} SET pass_number = ? WHERE resource = ? AND id IN ({marks})",
                (pass_number, self._resource, *some),
            )

    def doubt(self, since: int) -> None:
        """Of records that no pass_number from ``since`` on met it is not known what was written last."""
        self._database.execute(
            f"UPDATE {TABLE} SET digest = {DOUBTED} WHERE resource = ? AND pass_number < ?",
            (self._resource, since),
        )

    def forget(self, keys: Sequence[str]) -> None:
        """These records are gone."""
        for some in _slices(keys):
            marks = ",".join("?" * len(some))
            self._database.execute(
                f"DELETE FROM {TABLE} WHERE resource = ? AND id IN ({marks})",
                (self._resource, *some),
            )


def _number(one: str) -> tuple[int, str]:
    """Ids of digits in the order of their numbers; anything else before them all."""
    plain = one.isascii() and one.isdecimal() and one[0] != "0"
    return (len(one), one) if plain else (0, "")


def _slices(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(keys), _LOOKUP):
        yield keys[start : start + _LOOKUP]
