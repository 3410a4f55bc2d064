"""A directory destination: one file per resource, and one per later run with changes.

    DIR/.zoho-export/checkpoint.sqlite           the checkpoint
    DIR/.zoho-export/format                      the format of the files, written once
    DIR/books/invoices.jsonl                     the last full read, or the last merge
    DIR/books/invoices.changes/20261123T020000Z.jsonl   new, changed and deleted records of a run

Model
-----
The rows of a part first go to a spool file of JSON Lines (``invoices.jsonl.part``). It is durable
up to the mark in the checkpoint. When the checkpoint marks the part complete, `settle` converts
the spool to its `Format` and gives it its final name by one atomic rename. JSON Lines need no
conversion.

Invariant
---------
A name without ``.part`` always holds a complete part.

Why it holds
------------
The spool exists until the final file does, so a crash is repaired by settling again.

A full part replaces everything before it. `settle` removes all older changes first and renames
then. In the other order a crash between the two steps would leave old changes over new rows.

Symbolic links
--------------
The directory itself may be a link. Inside it nothing is written through a symbolic link: a linked
file is replaced, and a linked spool is refused.

Deleted records
---------------
A deleted record is a row ``{"invoice_id": "...", "_deleted_time": "..."}`` among the changes. A
full part needs no such rows, because it starts empty.

Files changed by hand
---------------------
At the end of a part the checkpoint stores the size of each file, and the next run compares. If a
file is missing or empty, its list is read in full. If its size differs, a person changed it. A full
read would replace it, so the run is refused until the user passes ``--full``. The same applies to
files without a checkpoint. An edit that keeps the size is not noticed, because no file is read.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final, Protocol

import msgspec

from zoho_async.export.checkpoint.file import StateFile, query_of_file
from zoho_async.export.columns.schema import DELETED
from zoho_async.export.destinations.base import Query, RecordedContents, Rounded, Table
from zoho_async.export.errors import CheckpointRefused, DestinationChanged, DestinationError
from zoho_async.files import (
    AppendedFile,
    make_directory,
    move,
    remove,
    remove_directory,
    replace_file,
    sync_and_move,
)


def line(row: bytes) -> bytes:
    """``row`` as one line that ends with a line break."""
    if b"\n" in row or b"\r" in row:
        row = row.replace(b"\r", b" ").replace(b"\n", b" ")
    return row + b"\n"


FOLDER: Final = ".zoho-export"

#: The separator between the name of a file and the name of a list in its rows.
CHILD: Final = "__"
JSON_LINES: Final = "jsonl"
#: The file name suffixes of all formats.
SUFFIXES: Final = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".csv", ".parquet")

#: Names of resources and parts: ``books.invoices.comments``, ``20261123T020000Z_000001``.
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_]*(\.[A-Za-z0-9_]+)*")
_SPOOL: Final = ".jsonl.part"
_FORMAT: Final = "format"
#: Finds a checkpoint of an old version, which wrote only JSON Lines and no format file.
_HAS_OLD_STATE: Final = "SELECT 1 FROM sqlite_master WHERE name = '_zoho_resource'"


def recorded_format(path: Path) -> str | None:
    """The name of the format of the export in ``path``, or None if there is no export."""
    try:
        return (path / FOLDER / _FORMAT).read_text(encoding="utf-8").strip()
    except OSError:
        return None


class Format(Protocol):
    """A file format that a spool can be converted to."""

    @property
    def name(self) -> str:
        """The name stored in the directory, in the words of ``--format``: ``parquet --flatten``."""
        ...

    @property
    def suffix(self) -> str:
        """The file name suffix, such as ``.parquet``."""
        ...

    def write(self, rows: Path, target: Path, table: Table) -> Mapping[str, int] | None:
        """Convert the JSON Lines in ``rows`` to the file ``target``, in bounded memory.

        Return how many numbers were rounded, by field; None if the format rounds none. The caller
        syncs the file and renames it.
        """
        ...


class Files:
    """The paths of one resource's files. ``suffix`` is that of their format."""

    def __init__(self, directory: Path, resource: str, suffix: str) -> None:
        product, _, name = _checked_name(directory, resource).partition(".")
        self.resource: Final = resource
        self._directory: Final = directory
        self.full: Final = directory / product / (name + suffix)
        self.changes: Final = directory / product / f"{name}.changes"
        self._suffix: Final = suffix

    def file(self, part: str) -> Path:
        """The file of ``part``."""
        if not part:
            return self.full
        return self.changes / (_checked_name(self._directory, part) + self._suffix)

    def spool(self, part: str) -> Path:
        """The spool file of ``part``."""
        path = self.file(part)
        return path.with_name(path.name.removesuffix(self._suffix) + _SPOOL)

    def parts(self) -> list[Path]:
        """The complete files of changes, the oldest first."""
        found = [path for path in self._in_changes() if CHILD not in path.name]
        return sorted(found, key=lambda path: path.name.removesuffix(self._suffix))

    def children(self, file: Path) -> list[Path]:
        """The child files of ``file``, if lists are flattened."""
        stem = file.name.removesuffix(self._suffix)
        return sorted(file.parent.glob(f"{stem}{CHILD}*{self._suffix}"))

    def orphans(self) -> list[Path]:
        """Child files among the changes whose parent file is gone."""
        parts = self.parts()
        kept = {child for part in parts for child in self.children(part)}
        return sorted({*self._in_changes()} - kept - {*parts})

    def _in_changes(self) -> list[Path]:
        return list(self.changes.glob("*" + self._suffix)) if self.changes.is_dir() else []

    def sizes(self) -> dict[str, int]:
        """The bytes of each complete file, by its path relative to the full file's directory."""
        whole = [self.full, *self.parts()]
        found = [*whole, *(child for file in whole for child in self.children(file))]
        return {
            path.relative_to(self.full.parent).as_posix(): path.stat().st_size
            for path in found
            if path.is_file()
        }

    def full_files(self) -> list[Path]:
        """The existing full files, in any format."""
        stem = self.full.name.removesuffix(self._suffix)
        return [path for end in SUFFIXES if (path := self.full.with_name(stem + end)).is_file()]

    def is_foreign(self, path: Path) -> bool:
        """Whether a file among the changes is complete and has another format."""
        # Files of a killed run or merge are incomplete, and the next run writes them again.
        return path.suffix not in (".part", ".tmp") and not path.name.endswith(self._suffix)


def _checked_name(directory: Path, name: str) -> str:
    """Return ``name`` if it is a safe file name. It may come from a caller or a checkpoint."""
    if _NAME.fullmatch(name):
        return name
    raise DestinationError(directory, f"{name!r} is not a valid file name")


class Directory:
    """A directory as a destination. The default ``format`` is JSON Lines."""

    def __init__(self, path: str | os.PathLike[str], format: Format | None = None) -> None:
        self.path: Final = Path(path)
        self.format: Final = format

    @property
    def name(self) -> str:
        return str(self.path)

    def files(self, resource: str) -> Files:
        """The paths of the files of ``resource``."""
        return Files(self.path, resource, self.format.suffix if self.format else ".jsonl")

    def holds_export(self) -> bool:
        """Whether an export was ever written here."""
        return (self.path / FOLDER).is_dir()

    def organizations(self) -> list[str]:
        """The directories of the organizations in this one, if it holds several."""
        nested = sorted(self.path.glob(f"*/{FOLDER}"))
        return [] if self.holds_export() else [str(path.parent) for path in nested]

    def open(self) -> OpenDirectory:
        try:
            make_directory(self.path / FOLDER)
        except OSError as problem:
            raise DestinationError(self.path, problem.strerror or str(problem)) from problem
        database = StateFile(self.path / FOLDER / "checkpoint.sqlite")
        try:
            self._record_format(database)
        except BaseException:
            database.close()
            raise
        return OpenDirectory(self, database)

    def read_only(self) -> AbstractContextManager[Query | None]:
        return query_of_file(self.path / FOLDER / "checkpoint.sqlite")

    def _record_format(self, database: StateFile) -> None:
        """Store the format of the files, or refuse a second format in one directory."""
        mine = self.format.name if self.format else JSON_LINES
        held = recorded_format(self.path)
        if held is None and database.execute(_HAS_OLD_STATE):
            held = JSON_LINES
        if held is None:
            file = self.path / FOLDER / _FORMAT
            replace_file(file, f"{mine}\n".encode())
        elif held != mine:
            raise CheckpointRefused(
                f"{self.path} holds files of --format {held}, but this export uses {mine}: "
                f"use --format {held} (or omit it), or export to another directory"
            )


class OpenDirectory:
    """A directory that one run holds. ``database`` is the file of its checkpoint."""

    def __init__(self, directory: Directory, database: StateFile) -> None:
        self.name: Final = directory.name
        self.database: Final = database
        self._directory: Final = directory

    def sink(self, table: Table, part: str) -> DirectorySink:
        directory = self._directory
        return DirectorySink(directory.files(table.name), table, part, directory.format)

    @contextmanager
    def local_copy(self, resource: str) -> Generator[Directory]:
        """The directory in which the files of ``resource`` can be merged."""
        yield self._directory

    def finish(self) -> Rounded:
        return {}  # each part was settled

    def close(self) -> None:
        self.database.close()


class DirectorySink:
    """Writes one part of a resource to its file."""

    def __init__(self, files: Files, table: Table, part: str, format: Format | None) -> None:
        self._files: Final = files
        self._table: Final = table
        self._part: Final = part
        self._format: Final = format
        self._spool: Final = AppendedFile(files.spool(part))
        self._mark = 0
        self._open = False
        self._rounded: Final[Counter[str]] = Counter()

    @property
    def target(self) -> Path:
        """The file of the part once it is complete."""
        return self._files.file(self._part)

    @property
    def name(self) -> str:
        """The file that holds the rows: the spool file until the part is complete."""
        spool = self._spool.path
        return str(spool if self._mark and spool.exists() else self.target)

    def resume(self, mark: int) -> bool:
        self._mark = mark
        self._open = False
        if mark == 0 and self._part:
            remove(self._spool.path)
            return True  # a part without changes leaves no file
        self._open = self._spool.reopen(mark)
        return self._open

    def write(self, rows: Sequence[bytes]) -> int:
        if rows and not self._open:
            self._open = self._spool.reopen(0)
        if rows:
            self._mark += self._spool.append(b"".join(map(line, rows)))
        return self._mark

    def mark_deleted(self, ids: Sequence[str], when: str) -> int:
        if not self._part:
            return self._mark
        tombstones = [
            msgspec.json.encode({self._table.row_id: identity, DELETED: when}) for identity in ids
        ]
        return self.write(tombstones)

    def keep_as_part(self, part: str) -> None:
        self.close()
        target = self._files.spool(part)
        if not self._spool.path.exists():
            return
        make_directory(target.parent)
        move(self._spool.path, target)
        if not target.stat().st_size:
            remove(target)

    def settle(self) -> None:
        self.close()
        spool = self._spool.path
        if not spool.exists():
            return
        target = self.target
        if not self._part:
            remove_directory(self._files.changes)
        self._rounded.update(finish_file(spool, target, self._table, self._format))

    def take_rounded(self) -> Mapping[str, int]:
        rounded = dict(self._rounded)
        self._rounded.clear()
        return rounded

    def discard(self) -> None:
        self.close()
        remove_directory(self._files.changes)
        whole = self._files.full
        remove(whole, *self._files.children(whole), self._files.spool(""))

    def close(self) -> None:
        self._spool.close()
        self._open = False

    def sizes(self) -> dict[str, int]:
        return self._files.sizes()

    def find_missing(self, recorded: RecordedContents) -> str:
        files = self._files
        full = [path.name for path in files.full_files()]
        return find_missing(recorded, files, str(files.full.parent), files.sizes(), full)


def find_missing(
    recorded: RecordedContents,
    files: Files,
    folder: str,
    sizes: Mapping[str, int],
    full: Sequence[str],
) -> str:
    """Compare the ``sizes`` of the files of a resource with the checkpoint (`Sink.find_missing`).

    ``full`` are the names of its full files, in any format, and ``folder`` is where they are.
    """
    name = files.full.name
    if recorded.whole:
        return ""
    if not recorded.begun:
        if full:
            cause = f"{folder}/{full[0]} exists, but its checkpoint is missing"
            raise DestinationChanged(files.resource, cause, "--restart")
        return ""
    if recorded.sizes is None:  # written by an earlier version
        return "" if recorded.reading or name in full else f"{folder}/{name} is missing"
    for each, size in recorded.sizes.items():
        if sizes.get(each, 0) not in (0, size):
            cause = (
                f"{folder}/{each} was changed by hand: "
                f"it has {sizes[each]:,} bytes and was written with {size:,}"
            )
            raise DestinationChanged(files.resource, cause, "--full")
    gone = [each for each, size in recorded.sizes.items() if size and not sizes.get(each)]
    return ", ".join(f"{folder}/{each} is missing" for each in gone)


def finish_file(
    spool: Path, target: Path, table: Table, format: Format | None
) -> Mapping[str, int]:
    """Convert ``spool`` to ``format`` and rename the result to ``target`` atomically.

    Return how many numbers were rounded, by field.
    """
    if format is None:
        move(spool, target)
        return {}
    made = target.with_name(target.name + ".tmp")
    made.unlink(missing_ok=True)  # it may be a symbolic link
    rounded = format.write(spool, made, table)
    sync_and_move(made, target)
    if table.observer is not None:  # before the rows that showed its fields are removed
        table.observer.store()
    remove(spool)
    return rounded or {}


#: Bytes of rows read at once, about a thousand rows. Each column has a fixed cost in Arrow and in
#: databases of about a hundred values.
PORTION = 2 << 20


def portions(rows: Path) -> Iterator[bytes]:
    """Read the lines of a spool, about a thousand at a time."""
    rest = b""
    with rows.open("rb", buffering=0) as spool:
        while read := spool.read(PORTION):
            end = read.rfind(b"\n") + 1
            if end:
                yield b"".join((rest, memoryview(read)[:end]))
                rest = read[end:]
            else:
                rest += read
    if rest:
        yield rest + b"\n"
