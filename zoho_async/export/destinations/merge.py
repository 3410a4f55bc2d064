"""Merge the changes of a directory into one current file per resource. Makes no API calls.

Model
-----
The full file of a resource holds the records of the last full read. Each file of changes holds
later versions and deletions. The merge writes a new full file: the last version of each record in
its original position, new records at the end, deleted records left out. Then it removes the
changes.

A format that returns rows as Zoho sent them (`Readable`) is merged row by row. Other formats merge
their own files (`Columnar`); they put changed rows after unchanged ones.

Invariant
---------
A merge can stop at any moment, and merging again gives the same result.

Why it holds
------------
The new file replaces the old one by one rename. Before the rename nothing has changed. After it the
changes are removed, the oldest first, and each before its child files. The remaining changes hold
last versions, which the merged file holds too, so merging them again changes nothing.

Memory does not grow with the rows: changes go into a temporary database on disk, and the full file
is streamed. The directory is locked as for an export.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

import msgspec
from msgspec.structs import replace

from zoho_async._msgspec import decoder_of
from zoho_async.description import OperationFacts
from zoho_async.export.catalog import list_operation, rows_of
from zoho_async.export.checkpoint.records import key
from zoho_async.export.checkpoint.store import Checkpoint, ResourceState
from zoho_async.export.columns.schema import DELETED
from zoho_async.export.destinations.base import Table
from zoho_async.export.destinations.directory import (
    FOLDER,
    Directory,
    Files,
    OpenDirectory,
    finish_file,
    line,
)
from zoho_async.export.destinations.remote.commits import OpenRemote
from zoho_async.export.destinations.remote.destination import Remote
from zoho_async.export.errors import CheckpointRefused
from zoho_async.export.part_end import record_sizes, settle
from zoho_async.export.resource_store import recorded_table, writing
from zoho_async.files import DraftFile, remove
from zoho_async.wire import row_id


@runtime_checkable
class Readable(Protocol):
    """A `zoho_async.export.destinations.directory.Format` whose rows can be read back."""

    def read(self, path: Path) -> Iterable[bytes]:
        """The rows of a file as JSON objects."""
        ...


@runtime_checkable
class Columnar(Protocol):
    """A format that merges its own files."""

    def merge(self, full: Path, parts: Sequence[Path], scratch: Path, table: Table) -> int:
        """Merge ``parts``, the oldest first, into ``full`` and return its number of rows.

        ``full`` is replaced atomically, and merging again changes nothing. ``scratch`` is the path
        of a temporary file.
        """
        ...


class MergeResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result for one resource: ``file`` has ``rows`` after ``changes`` files were merged."""

    resource: str
    file: str
    rows: int
    changes: int


def merge(destination: Directory | Remote) -> list[MergeResult]:
    """Merge every resource of ``destination`` that has changes, and return the results.

    Files in an object store are downloaded, merged and committed, one resource at a time. Blocks
    until done. Raises `ExportRunning` if an export holds the destination, `CheckpointRefused` if it
    holds no export, and `DestinationError`.
    """
    if not destination.holds_export():
        raise CheckpointRefused(
            f"{destination.name} holds no export: name what was given to --to of the export"
        )
    with writing(destination.name):
        place: OpenDirectory | OpenRemote = destination.open()
    with closing(place):
        checkpoint = Checkpoint.open(place.database, None, name=place.name)
        settle(checkpoint, place, rows_of)
        with writing(place.name):
            return merge_changes(place, checkpoint)


def merge_changes(place: OpenDirectory | OpenRemote, checkpoint: Checkpoint) -> list[MergeResult]:
    """Merge like `merge`, in the open destination ``place``, whose parts are settled."""
    return [
        merged
        for state in checkpoint.states()
        if (merged := _merge_recorded(place, checkpoint, state)) is not None
    ]


def _merge_recorded(
    place: OpenDirectory | OpenRemote, checkpoint: Checkpoint, state: ResourceState
) -> MergeResult | None:
    """Merge one resource. The checkpoint holds no sizes while they change."""
    sink = place.sink(recorded_table(checkpoint, state, rows_of(state.name)), "")
    with place.local_copy(state.name) as directory:
        files = directory.files(state.name)
        if not files.parts() or not state.runs.sizes:
            merged = _merge_one(directory, checkpoint, state)
            return merged and replace(merged, file=sink.name)
        if gone := sorted(state.runs.sizes.keys() - sink.sizes().keys()):
            raise CheckpointRefused(
                f"{', '.join(gone)} in {os.path.dirname(sink.name)} is missing: "
                "run the export again, which reads the list in full, and then merge"
            )
        state = replace(state, runs=replace(state.runs, sizes=None))
        with checkpoint.database.transaction():
            checkpoint.put(state)
        merged = _merge_one(directory, checkpoint, state)
    record_sizes(checkpoint, sink, state)
    return merged and replace(merged, file=sink.name)


def _merge_one(
    directory: Directory, checkpoint: Checkpoint, state: ResourceState
) -> MergeResult | None:
    resource = state.name
    files = directory.files(resource)
    parts = files.parts()
    facts = rows_of(resource)
    if not parts and any(map(files.is_foreign, files.changes.glob("*Z*"))):
        raise CheckpointRefused(f"the changes in {files.changes} are files of another format")
    if not parts or facts is None or not files.full.exists():
        _remove(files, [])
        return None
    table = recorded_table(checkpoint, state, facts)
    rows = _merge_files(directory, files, parts, facts, table)
    _remove(files, parts)
    return MergeResult(resource=resource, file=str(files.full), rows=rows, changes=len(parts))


def _merge_files(
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
        rows = _write(spool, latest.apply_to(_rows_of(directory, files.full), facts))
    finish_file(spool, files.full, table, directory.format)
    return rows


def _rows_of(directory: Directory, path: Path) -> Iterable[bytes]:
    if directory.format is None:
        return _lines(path)
    if isinstance(directory.format, Readable):
        return directory.format.read(path)
    raise CheckpointRefused(
        f"{path} cannot be merged, because this file format cannot be read back; "
        "run the export with --full instead"
    )


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        for one in file:
            yield one.rstrip(b"\n")


def _write(path: Path, rows: Iterator[bytes]) -> int:
    """Write ``rows`` durably and return their number."""
    count = 0
    path.unlink(missing_ok=True)
    draft = DraftFile(path)
    try:
        for row in rows:
            draft.write(line(row))
            count += 1
        draft.sync()
    except BaseException:
        draft.discard()
        raise
    return count


def _remove(files: Files, parts: Sequence[Path]) -> None:
    """Remove merged changes, and what an interrupted merge left of them."""
    remove(*parts)  # crash safety depends on the order of removals
    remove(*files.orphans())
    if files.changes.is_dir() and not any(files.changes.iterdir()):
        files.changes.rmdir()


class _Latest:
    """The last version of each changed record, on disk. A NULL row means deleted."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database: Final = database
        database.execute(
            "CREATE TABLE latest (id TEXT PRIMARY KEY, row BLOB, number INTEGER, used INTEGER)"
            " WITHOUT ROWID"
        )
        self._number = 0

    def take(self, rows: Iterable[bytes], facts: OperationFacts) -> None:
        """Add the rows of the next file of changes."""
        operation = list_operation(facts)
        for row in rows:
            self._number += 1
            identity = key(row_id(operation, row), row)
            self._database.execute(
                "INSERT INTO latest VALUES (?, ?, ?, 0)"
                " ON CONFLICT (id) DO UPDATE SET row = excluded.row",
                (identity, None if _is_tombstone(row) else row, self._number),
            )

    def apply_to(self, rows: Iterable[bytes], facts: OperationFacts) -> Iterator[bytes]:
        """Yield the rows of the full file in their last version, then the new rows."""
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
    """A temporary database at ``path``."""
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = OFF")
        database.execute("PRAGMA synchronous = OFF")
        yield _Latest(database)
    path.unlink(missing_ok=True)


_ROW: Final = decoder_of(dict[str, object])


def _is_tombstone(row: bytes) -> bool:
    """Whether a row marks a deleted record: it holds the id and the time, and no other field.

    A record of Zoho can have a field with the name of ours.
    """
    if DELETED.encode() not in row:
        return False
    fields = _ROW.decode(row)
    return len(fields) == 2 and bool(fields.get(DELETED))


#: Ids per query, within the limit on variables of old SQLite versions; `ROWS` is a multiple.
_LOOKUP: Final = 500
ROWS: Final = 4 * _LOOKUP


class NewestSources:
    """The newest source file of each changed id."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database: Final = database
        database.execute(
            "CREATE TABLE newest (id TEXT PRIMARY KEY, source INTEGER, gone INTEGER) WITHOUT ROWID"
        )

    def add(self, source: int, ids: Sequence[str], gone: Sequence[bool]) -> None:
        """Add the ids of ``source``, which is newer than all sources before it."""
        self._database.executemany(
            "INSERT OR REPLACE INTO newest VALUES (?, ?, ?)",
            ((one, source, is_gone) for one, is_gone in zip(ids, gone, strict=True)),
        )

    def select(self, source: int, ids: Sequence[str]) -> list[bool]:
        """Return for each row of ``source``, by its id, whether the merged file keeps it."""
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
def newest_sources(scratch: Path) -> Generator[NewestSources]:
    """An empty `NewestSources` in the temporary file ``scratch``."""
    scratch.unlink(missing_ok=True)
    with closing(sqlite3.connect(scratch, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = OFF")
        database.execute("PRAGMA synchronous = OFF")
        database.execute("BEGIN")
        yield NewestSources(database)
    scratch.unlink(missing_ok=True)


def unmergeable_column(path: Path, name: str) -> CheckpointRefused:
    """The error for a file whose columns differ from those that this version writes."""
    return CheckpointRefused(
        f"{path} cannot be merged: column {name} is missing, or its type differs from the other "
        "files; run the export with --full instead"
    )
