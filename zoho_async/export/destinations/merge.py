"""The current state of a directory of files in one file a resource, without a call.

A resource's full file holds it as it was, and each file of its changes what became of some records
later: a new version, or the word that the record is gone. The merge writes the full file anew with
the last version of each record in the place of its first, what is new behind, and what is gone
nowhere. Then the changes are removed.

It may be ended at any moment:

- The new file takes the old one's name at one moment, by one rename; before it nothing happened.
- After it, the changes are removed the oldest first, each before the files of its lists. What is
  left of them holds the last versions, which the merged file holds too: merging again changes
  nothing.

Memory does not grow with the rows: the changes go into a database on the disk (made anew by each
merge), the full file streams past it.

A form that gives the rows back as Zoho sent them (`Readable`) is merged row by row as said above.
One that cannot merges its own files (`Columnar`): in these, what changed stands behind what did
not. Nothing may export into the directory meanwhile (it is taken as an export takes it).
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

import msgspec

from zoho_async._msgspec import decoder_of
from zoho_async.description import OperationFacts
from zoho_async.export.catalog import list_operation, row_facts
from zoho_async.export.checkpoint.records import key
from zoho_async.export.checkpoint.store import Checkpoint, ResourceState
from zoho_async.export.destinations.base import Table
from zoho_async.export.destinations.directory import (
    DELETED,
    FOLDER,
    Directory,
    Files,
    form,
    line,
    sync_directory,
)
from zoho_async.export.errors import CheckpointRefused
from zoho_async.export.writer import record_sizes, settle, table_of, writing
from zoho_async.wire import row_id

_STEP: Final = 1 << 20  # bytes written between two calls of the system


@runtime_checkable
class Readable(Protocol):
    """A form of file (`zoho_async.export.destinations.directory.Format`) that can be read back."""

    def read(self, path: Path) -> Iterable[bytes]:
        """The rows of a file as JSON objects, one after the other."""
        ...


@runtime_checkable
class Columnar(Protocol):
    """A form of file that merges its own."""

    def merge(self, full: Path, parts: Sequence[Path], scratch: Path, table: Table) -> int:
        """Merge the changes in ``parts``, the oldest first, into ``full``; its rows then.

        ``full`` changes at one moment, and merging again changes nothing. ``scratch`` is a file
        that may be used meanwhile.
        """
        ...


class Merged(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one resource: ``rows`` stand in ``file`` after ``changes`` files went in."""

    resource: str
    file: str
    rows: int
    changes: int


def merge(directory: Directory) -> list[Merged]:
    """Merge every resource of ``directory`` that has changes; what was merged.

    Blocks, as long as it takes. Raises `ExportRunning` while an export holds the directory,
    `CheckpointRefused` where there is none, and `DestinationError`.
    """
    if not (directory.path / FOLDER).is_dir():
        raise CheckpointRefused(
            f"{directory.name} holds no export: name the directory that `--to` named"
        )
    with writing(directory.name):
        database = directory.open(None)
    try:
        state = Checkpoint.open(database, None, name=directory.name)
        settle(state, directory, row_facts())
        with writing(directory.name):
            return [
                merged
                for position in state.positions()
                if (merged := _merge_recorded(directory, state, position)) is not None
            ]
    finally:
        directory.close()


def _merge_recorded(
    directory: Directory, state: Checkpoint, position: ResourceState
) -> Merged | None:
    """Merge one resource; the state does not say what is held while that changes."""
    files = directory.files(position.name)
    if not files.parts() or not position.sizes:
        return _merge_one(directory, position.name, details=position.details)
    table = table_of(position.name, row_facts().get(position.name))
    sink = directory.sink(table, "")
    if gone := sorted(position.sizes.keys() - sink.held().keys()):
        raise CheckpointRefused(
            f"{', '.join(gone)} in {files.full.parent} is missing: "
            "export again, which reads the list in full"
        )
    position = msgspec.structs.replace(position, sizes=None)
    with state.database.transaction():
        state.put(position)
    merged = _merge_one(directory, position.name, details=position.details)
    record_sizes(state, sink, position)
    return merged


def _merge_one(directory: Directory, resource: str, *, details: bool) -> Merged | None:
    files = directory.files(resource)
    parts = files.parts()
    facts = row_facts().get(resource)
    if not parts and any(map(files.is_foreign, files.changes.glob("*Z*"))):
        raise CheckpointRefused(f"the changes in {files.changes} are files of another form")
    if not parts or facts is None or not files.full.exists():
        _remove(files, [])
        return None
    table = table_of(resource, facts, details=details)
    rows = _merged(directory, files, parts, facts, table)
    _remove(files, parts)
    return Merged(resource=resource, file=str(files.full), rows=rows, changes=len(parts))


def _merged(
    directory: Directory, files: Files, parts: Sequence[Path], facts: OperationFacts, table: Table
) -> int:
    form_of_files: object = directory.format
    if isinstance(form_of_files, Columnar):
        scratch = directory.path / FOLDER / "merge.sqlite"
        return form_of_files.merge(files.full, parts, scratch, table)
    spool = directory.path / FOLDER / "merge.jsonl"
    with _latest(directory.path / FOLDER / "merge.sqlite") as latest:
        for part in parts:
            latest.take(_rows_of(directory, part), facts)
        rows = _write(spool, latest.applied(_rows_of(directory, files.full), facts))
    form(spool, files.full, table, directory.format)
    return rows


def _rows_of(directory: Directory, path: Path) -> Iterable[bytes]:
    if directory.format is None:
        return _lines(path)
    if isinstance(directory.format, Readable):
        return directory.format.read(path)
    raise CheckpointRefused(
        f"{path} cannot be merged: files of this form cannot be read back; "
        "read all anew with --full instead"
    )


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        for one in file:
            yield one.rstrip(b"\n")


def _write(path: Path, rows: Iterator[bytes]) -> int:
    """Write ``rows`` durably; their number."""
    count = 0
    path.unlink(missing_ok=True)  # it may be a link
    with path.open("wb", buffering=_STEP) as file:
        for row in rows:
            file.write(line(row))
            count += 1
        file.flush()
        os.fsync(file.fileno())
    return count


def _remove(files: Files, parts: Sequence[Path]) -> None:
    """Take out changes that are merged, and what an earlier merge left of such."""
    for part in parts:
        part.unlink()
        sync_directory(files.changes)  # the order of the removals is what a crash relies on
    for orphan in files.orphans():
        orphan.unlink()
    if files.changes.is_dir() and not any(files.changes.iterdir()):
        files.changes.rmdir()


class _Latest:
    """The last version of each changed record, on the disk. ``row`` NULL: the record is gone."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database: Final = database
        database.execute(
            "CREATE TABLE latest (id TEXT PRIMARY KEY, row BLOB, number INTEGER, used INTEGER)"
            " WITHOUT ROWID"
        )
        self._number = 0

    def take(self, rows: Iterable[bytes], facts: OperationFacts) -> None:
        """Take the rows of the next file of changes."""
        operation = list_operation(facts)
        for row in rows:
            self._number += 1
            identity = key(row_id(operation, row), row)
            self._database.execute(
                "INSERT INTO latest VALUES (?, ?, ?, 0)"
                " ON CONFLICT (id) DO UPDATE SET row = excluded.row",
                (identity, None if _is_tombstone(row) else row, self._number),
            )

    def applied(self, rows: Iterable[bytes], facts: OperationFacts) -> Iterator[bytes]:
        """``rows`` of the full file as they are now, and behind them those that are new."""
        operation = list_operation(facts)
        for row in rows:
            identity = key(row_id(operation, row), row)
            found = self._database.execute(
                "SELECT row FROM latest WHERE id = ?", (identity,)
            ).fetchone()
            if found is None:
                yield row
                continue
            self._database.execute("UPDATE latest SET used = 1 WHERE id = ?", (identity,))
            if found[0] is not None:
                yield found[0]
        new = "SELECT row FROM latest WHERE used = 0 AND row IS NOT NULL ORDER BY number"
        for (row,) in self._database.execute(new):
            yield row


@contextmanager
def _latest(path: Path) -> Generator[_Latest]:
    """A database of its own at ``path`` that nobody needs afterwards."""
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = OFF")
        database.execute("PRAGMA synchronous = OFF")
        yield _Latest(database)
    path.unlink(missing_ok=True)


class _Gone(msgspec.Struct):
    deleted: object = msgspec.field(name=DELETED, default=None)


_GONE: Final = decoder_of(_Gone)


def _is_tombstone(row: bytes) -> bool:
    return DELETED.encode() in row and bool(_GONE.decode(row).deleted)


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
