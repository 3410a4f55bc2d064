"""The ids that a walk has written, on disk beside its checkpoint.

A list may repeat rows, and a resumed walk reads some again, so each row is looked up before it is
written. Ids are digits that grow with time and the walk goes from old to new, so most pages lie
wholly above everything seen: one comparison settles them and nothing is looked up.

Ids of digits are kept as integers (they compare as numbers, as 8 bytes); what is no such number is
kept as text, which SQLite orders after all integers. A row without an id is known by a digest of
its bytes: two rows equal to the last byte are one row.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

Key: TypeAlias = int | str

_LARGEST: Final = 2**63 - 1
_LOOKUP: Final = 500  # ids in one question, well within SQLite's oldest limit on variables


def key(identity: str, row: bytes) -> Key:
    """What stands for a row: its id, or a digest of its bytes where it has none."""
    if not identity:
        return "#" + hashlib.blake2b(row, digest_size=16).hexdigest()
    if identity.isascii() and identity.isdecimal() and identity[0] != "0":
        number = int(identity)
        if number <= _LARGEST:
            return number
    return identity


class SeenIds:
    """The ids of one resource in the checkpoint's database. Every method blocks on the disk."""

    SCHEMA: Final = (
        "CREATE TABLE IF NOT EXISTS seen (resource INTEGER NOT NULL, id NOT NULL,"
        " PRIMARY KEY (resource, id)) WITHOUT ROWID"
    )

    def __init__(self, database: sqlite3.Connection, resource: int) -> None:
        self._database: Final = database
        self._resource: Final = resource
        self._largest: int | None = None
        self.look_ups = 0
        self.reload()

    def reload(self) -> None:
        """Read the largest number again, after a start or a transaction that was rolled back."""
        row = self._database.execute(
            "SELECT id FROM seen WHERE resource = ? AND typeof(id) = 'integer'"
            " ORDER BY id DESC LIMIT 1",
            (self._resource,),
        ).fetchone()
        self._largest = row[0] if row else None

    def __contains__(self, one: Key) -> bool:
        return bool(self._known([one]))

    def fresh(self, keys: Sequence[Key]) -> list[int]:
        """The places in ``keys`` that hold one not seen before, its first place each."""
        first: dict[Key, int] = {}
        for place, one in enumerate(keys):
            first.setdefault(one, place)
        known = self._known(first) if first and not self._above_all(first) else frozenset[Key]()
        return [place for one, place in first.items() if one not in known]

    def add(self, keys: Iterable[Key]) -> None:
        """Keep ``keys`` within the caller's transaction."""
        kept = list(keys)
        self._database.executemany(
            "INSERT INTO seen VALUES (?, ?)", ((self._resource, one) for one in kept)
        )
        numbers = [one for one in kept if isinstance(one, int)]
        if numbers:
            self._largest = max(numbers if self._largest is None else [*numbers, self._largest])

    def _above_all(self, keys: Iterable[Key]) -> bool:
        largest = self._largest if self._largest is not None else -1
        return all(isinstance(one, int) and one > largest for one in keys)

    def _known(self, keys: Iterable[Key]) -> frozenset[Key]:
        self.look_ups += 1
        asked = list(keys)
        found: set[Key] = set()
        for start in range(0, len(asked), _LOOKUP):
            some = asked[start : start + _LOOKUP]
            marks = ",".join("?" * len(some))
            rows = self._database.execute(
                f"SELECT id FROM seen WHERE resource = ? AND id IN ({marks})",
                (self._resource, *some),
            )
            found.update(one for (one,) in rows)
        return frozenset(found)
