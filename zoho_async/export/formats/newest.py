"""Merging files of columns: which file has the last word about each record.

Rows of these files cannot be turned back into what Zoho sent, and need not be. A merge only
chooses: of all rows with one id it keeps the one in the youngest file that has any, unless that one
says that the record is gone. What is kept is moved as it stands, column by column, so it is as
exact as it was.

The full file is source 0, the files of changes follow from the oldest on. A file holds an id at
most once (a run tells a record once), so "the youngest source of each changed id" says it all:

- a row of source 0 stays where no change names its id;
- a row of a change stays where its source is the id's youngest and the record is not gone;
- rows of child tables belong to the id in their ``_row_id`` and follow the same rule.

Merging what is already merged changes nothing: every id that a change names is taken out of source
0 and put back from the same change. So each file may be merged by itself, as often as it takes.

Rows with a blank id stand for themselves, by a digest of their content.

The ids of changes are kept in a database on the disk, so memory does not grow with them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from zoho_async.export.errors import CheckpointRefused

#: Ids in one question, well within SQLite's oldest limit on variables; a multiple is read at once.
_LOOKUP: Final = 500
ROWS: Final = 4 * _LOOKUP


class Newest:
    """The youngest source of each changed id."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database: Final = database
        database.execute(
            "CREATE TABLE newest (id TEXT PRIMARY KEY, source INTEGER, gone INTEGER) WITHOUT ROWID"
        )

    def add(self, source: int, ids: Sequence[str], gone: Sequence[bool]) -> None:
        """``source``, which is younger than any before, has rows with these ids."""
        self._database.executemany(
            "INSERT OR REPLACE INTO newest VALUES (?, ?, ?)",
            ((one, source, is_gone) for one, is_gone in zip(ids, gone, strict=True)),
        )

    def kept(self, source: int, ids: Sequence[str]) -> list[bool]:
        """Which of the rows of ``source`` that belong to these ids stay."""
        found: dict[str, tuple[int, int]] = {}
        distinct = list(dict.fromkeys(ids))
        for start in range(0, len(distinct), _LOOKUP):
            some = distinct[start : start + _LOOKUP]
            marks = ",".join("?" * len(some))
            rows = self._database.execute(
                f"SELECT id, source, gone FROM newest WHERE id IN ({marks})", some
            )
            found.update((one, (number, gone)) for one, number, gone in rows)
        untouched = (source, 0)
        return [found.get(one, untouched) == untouched for one in ids]


@contextmanager
def newest(scratch: Path) -> Generator[Newest]:
    """An empty `Newest` in the file ``scratch``, which nobody needs afterwards."""
    scratch.unlink(missing_ok=True)
    with closing(sqlite3.connect(scratch, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = OFF")
        database.execute("PRAGMA synchronous = OFF")
        database.execute("BEGIN")
        yield Newest(database)
    scratch.unlink(missing_ok=True)


def no_column(path: Path, name: str) -> CheckpointRefused:
    """What to raise for a file that is not as this version writes it."""
    return CheckpointRefused(
        f"{path} cannot be merged: its column {name} is missing, or of another type than in the "
        "other files; read all anew with --full instead"
    )
