"""Files: a directory with one file a resource, and one more for what each later run brought.

    DIR/.zoho-export/checkpoint.sqlite           the state (`statefile`)
    DIR/.zoho-export/format                      the form of its files, written once
    DIR/books/invoices.jsonl                     the last full read, or the last merge
    DIR/books/invoices.changes/20261123T020000Z.jsonl   what a later run found new, changed or gone

The rows of a part are first spooled as plain JSON Lines beside its place (``invoices.jsonl.part``),
durable to the mark that the state promises. When the state says that the part is complete, `settle`
gives it its final form under its own name by one atomic rename, for JSON Lines the spool itself,
for any other `Format` what that makes of it. So a name without ``.part`` always holds a whole part,
and an end at any moment is put right by settling again: the spool is there until the form is.

A full part takes the place of everything before it. So its settling first removes the changes that
are older (all of them), and then renames: were the order the other way round, an end between the
two would leave old changes over new rows.

What the caller named may be a link to anywhere. Below it nothing is written through a symbolic
link: a file that is one is replaced, and a spool that is one is refused.

A deleted record is a row ``{"invoice_id": "...", "_deleted_time": "..."}`` among the changes. The
file of a full part begins empty, and what it does not hold needs no such row.

At the end of a part the checkpoint records the size of each file. The next run compares: a file
that is missing or empty is gone, and its list is read in full. A file of another size was changed
by hand, and a full read would replace it, so the run is refused until a person asks for that with
``--full``. The same holds for files that are there without a checkpoint. An edit that keeps the
size is not noticed, because no file is read.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, Protocol

import msgspec

from zoho_async.export.checkpoint.file import StateFile
from zoho_async.export.destinations.base import Database, Origin, Recorded, Table
from zoho_async.export.errors import CheckpointRefused, DestinationChanged, DestinationError

#: No file is written through a link with its name, if the system can tell.
_OPENED: Final = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)


def line(row: bytes) -> bytes:
    """``row`` as one line, its line break included."""
    if b"\n" in row or b"\r" in row:
        row = row.replace(b"\r", b" ").replace(b"\n", b" ")
    return row + b"\n"


def sync_directory(directory: Path) -> None:
    """Make the names in ``directory`` durable, where the system can (Windows has no such call)."""
    if os.name == "nt":
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def take_name(made: Path, target: Path) -> None:
    """Give the file ``made`` the name ``target``, whole and durably, at one moment."""
    with made.open("rb+") as file:
        os.fsync(file.fileno())
    made.replace(target)
    sync_directory(target.parent)


def make_directory(directory: Path) -> None:
    """Make ``directory`` and those above it, durably, where they are not there yet."""
    if not directory.exists():
        make_directory(directory.parent)
        directory.mkdir(exist_ok=True)
        sync_directory(directory.parent)


class JsonLines:
    """A file of rows. Every method blocks on the disk and raises `OSError` as it comes."""

    def __init__(self, path: Path) -> None:
        self.path: Final = path
        self._descriptor: int | None = None

    def reopen(self, length: int) -> bool:
        """Open for appending after the first ``length`` bytes; the rest is cut off.

        False, and nothing is opened, when the file holds fewer bytes than that: then what was
        promised is not there and the list must be read anew.
        """
        self.close()
        make_directory(self.path.parent)
        descriptor = os.open(self.path, _OPENED, 0o644)
        if os.fstat(descriptor).st_size < length:
            os.close(descriptor)
            return False
        os.ftruncate(descriptor, length)
        os.lseek(descriptor, length, os.SEEK_SET)
        os.fsync(descriptor)
        sync_directory(self.path.parent)
        self._descriptor = descriptor
        return True

    def append(self, rows: Iterable[bytes]) -> int:
        """Write ``rows`` durably; the number of bytes they took."""
        assert self._descriptor is not None, "the file is not open"
        data = memoryview(b"".join(map(line, rows)))
        written = 0
        while written < len(data):
            written += os.write(self._descriptor, data[written:])
        if written:
            os.fsync(self._descriptor)
        return written

    def close(self) -> None:
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)


FOLDER: Final = ".zoho-export"
DELETED: Final = "_deleted_time"

#: Stands between the names of a file and of the list in its rows.
CHILD: Final = "__"
JSON_LINES: Final = "jsonl"
#: The ends of the names of all forms.
SUFFIXES: Final = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".csv", ".parquet")

#: Names of resources and parts: ``books.invoices.comments``, ``20261123T020000Z_000001``.
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_]*(\.[A-Za-z0-9_]+)*")
_SPOOL: Final = ".jsonl.part"
_FORMAT: Final = "format"
#: Whether there is state of a version that wrote JSON Lines only and no name of a form.
_EARLIER: Final = "SELECT 1 FROM sqlite_master WHERE name = '_zoho_resource'"


def remembered(path: Path) -> str | None:
    """The name of the form that the files of an export in ``path`` have; None where none is."""
    try:
        return (path / FOLDER / _FORMAT).read_text(encoding="utf-8").strip()
    except OSError:
        return None


class Format(Protocol):
    """A form of file that rows can be brought into."""

    @property
    def name(self) -> str:
        """What a directory remembers its form by, as ``--format`` has it: ``parquet --flatten``."""
        ...

    @property
    def suffix(self) -> str:
        """Such as ``.parquet``."""
        ...

    def write(self, rows: Path, target: Path, table: Table) -> None:
        """Make ``target`` of the JSON Lines in ``rows``; memory does not grow with them.

        Whoever calls makes the file durable and gives it its name.
        """
        ...


class Files:
    """Where the files of one resource are. ``suffix`` is that of their form."""

    def __init__(self, directory: Path, resource: str, suffix: str) -> None:
        product, _, name = _checked(directory, resource).partition(".")
        self._directory: Final = directory
        self.full: Final = directory / product / (name + suffix)
        self.changes: Final = directory / product / f"{name}.changes"
        self._suffix: Final = suffix

    def of(self, part: str) -> Path:
        """The file of ``part``."""
        if not part:
            return self.full
        return self.changes / (_checked(self._directory, part) + self._suffix)

    def spool(self, part: str) -> Path:
        """Where the rows of ``part`` are gathered."""
        path = self.of(part)
        return path.with_name(path.name.removesuffix(self._suffix) + _SPOOL)

    def parts(self) -> list[Path]:
        """The files of the changes that are complete, the oldest first."""
        found = [path for path in self._in_changes() if CHILD not in path.name]
        return sorted(found, key=lambda path: path.name.removesuffix(self._suffix))

    def children(self, file: Path) -> list[Path]:
        """The files that hold the lists of the rows in ``file``, where these are flattened."""
        stem = file.name.removesuffix(self._suffix)
        return sorted(file.parent.glob(f"{stem}{CHILD}*{self._suffix}"))

    def orphans(self) -> list[Path]:
        """Such files among the changes whose rows are no longer there."""
        parts = self.parts()
        kept = {child for part in parts for child in self.children(part)}
        return sorted({*self._in_changes()} - kept - {*parts})

    def _in_changes(self) -> list[Path]:
        return list(self.changes.glob("*" + self._suffix)) if self.changes.is_dir() else []

    def sizes(self) -> dict[str, int]:
        """The bytes of each complete file, by its path beside that of the full part."""
        whole = [self.full, *self.parts()]
        found = [*whole, *(child for file in whole for child in self.children(file))]
        return {
            path.relative_to(self.full.parent).as_posix(): path.stat().st_size
            for path in found
            if path.is_file()
        }

    def of_any_form(self) -> list[Path]:
        """The files of full parts that are there, in whatever form."""
        stem = self.full.name.removesuffix(self._suffix)
        return [path for end in SUFFIXES if (path := self.full.with_name(stem + end)).is_file()]

    def is_foreign(self, path: Path) -> bool:
        """Whether a file among the changes is complete and of another form."""
        # What a run or a merge was killed over is neither: it is gone over again.
        return path.suffix not in (".part", ".tmp") and not path.name.endswith(self._suffix)


def _checked(directory: Path, name: str) -> str:
    """``name``, which a caller or a checkpoint gave, if it can lead nowhere else."""
    if _NAME.fullmatch(name):
        return name
    raise DestinationError(directory, f"{name!r} cannot be the name of a file")


class Directory:
    """A directory as a destination; ``format`` None is JSON Lines."""

    def __init__(self, path: str | os.PathLike[str], format: Format | None = None) -> None:
        self.path: Final = Path(path)
        self.format: Final = format
        self._state: StateFile | None = None

    @property
    def name(self) -> str:
        return str(self.path)

    def files(self, resource: str) -> Files:
        """Where the files of ``resource`` are."""
        return Files(self.path, resource, self.format.suffix if self.format else ".jsonl")

    def open(self, place: Origin | None) -> Database:
        try:
            make_directory(self.path / FOLDER)
        except OSError as problem:
            raise DestinationError(self.path, problem.strerror or str(problem)) from problem
        self._state = StateFile(self.path / FOLDER / "checkpoint.sqlite")
        try:
            self._keep_format()
        except BaseException:
            self.close()
            raise
        return self._state

    def _keep_format(self) -> None:
        """Remember the form of the files; one directory has one."""
        mine = self.format.name if self.format else JSON_LINES
        held = remembered(self.path)
        if held is None and self._state and self._state.execute(_EARLIER):
            held = JSON_LINES
        if held is None:
            file = self.path / FOLDER / _FORMAT
            made = file.with_name(file.name + ".tmp")
            made.write_text(mine + "\n", encoding="utf-8")
            take_name(made, file)
        elif held != mine:
            raise CheckpointRefused(
                f"{self.path} holds files of --format {held}, and this export is of {mine}: "
                f"go on with --format {held} (or leave it out), or choose another place"
            )

    def sink(self, table: Table, part: str) -> DirectorySink:
        return DirectorySink(self.files(table.name), table, part, self.format)

    def close(self) -> None:
        if self._state is not None:
            self._state.close()
            self._state = None


class DirectorySink:
    """The file of one resource's part."""

    def __init__(self, files: Files, table: Table, part: str, format: Format | None) -> None:
        self._files: Final = files
        self._table: Final = table
        self._part: Final = part
        self._format: Final = format
        self._spool: Final = JsonLines(files.spool(part))
        self._mark = 0
        self._open = False

    @property
    def name(self) -> str:
        return str(self._files.of(self._part))

    def resume(self, mark: int) -> bool:
        self._mark = mark
        self._open = False
        if mark == 0 and self._part:
            self._spool.path.unlink(missing_ok=True)
            return True  # changes that bring nothing leave no file
        self._open = self._spool.reopen(mark)
        return self._open

    def write(self, rows: Sequence[bytes]) -> int:
        if rows and not self._open:
            self._open = self._spool.reopen(0)
        if rows:
            self._mark += self._spool.append(rows)
        return self._mark

    def bury(self, ids: Sequence[str], when: str) -> int:
        if not self._part:
            return self._mark
        tombstones = [
            msgspec.json.encode({self._table.row_id: identity, DELETED: when}) for identity in ids
        ]
        return self.write(tombstones)

    def keep_as(self, part: str) -> None:
        self.close()
        target = self._files.spool(part)
        if not self._spool.path.exists():
            return
        make_directory(target.parent)
        self._spool.path.replace(target)
        if not target.stat().st_size:
            target.unlink()
        sync_directory(target.parent)
        sync_directory(self._spool.path.parent)

    def settle(self) -> None:
        self.close()
        spool = self._spool.path
        if not spool.exists():
            return
        target = self._files.of(self._part)
        if not self._part and self._files.changes.exists():
            shutil.rmtree(self._files.changes)
            sync_directory(target.parent)
        form(spool, target, self._table, self._format)

    def close(self) -> None:
        self._spool.close()
        self._open = False

    def held(self) -> dict[str, int]:
        return self._files.sizes()

    def missing(self, recorded: Recorded) -> str:
        if recorded.whole:
            return ""
        if not recorded.begun:
            if found := self._files.of_any_form():
                cause = f"{found[0]} is there, but the checkpoint of its export is not"
                raise DestinationChanged(self._table.name, cause, "--restart")
            return ""
        if recorded.sizes is None:  # written by an earlier version
            there = recorded.reading or self._files.full.exists()
            return "" if there else f"{self._files.full} is missing"
        now = self._files.sizes()
        for name, size in recorded.sizes.items():
            if now.get(name, 0) not in (0, size):
                cause = (
                    f"{self._files.full.parent / name} was changed by hand: "
                    f"it has {now[name]:,} bytes and was written with {size:,}"
                )
                raise DestinationChanged(self._table.name, cause, "--full")
        gone = [name for name, size in recorded.sizes.items() if size and not now.get(name)]
        return ", ".join(f"{self._files.full.parent / name} is missing" for name in gone)


def form(spool: Path, target: Path, table: Table, format: Format | None) -> None:
    """Give the rows in ``spool`` their form and their name ``target``, at one moment."""
    if format is None:
        spool.replace(target)
        sync_directory(target.parent)
        return
    made = target.with_name(target.name + ".tmp")
    made.unlink(missing_ok=True)  # nothing is written through a link that has its name
    format.write(spool, made, table)
    take_name(made, target)
    spool.unlink()


#: Bytes of rows read at once: about a thousand rows. A column of them costs Arrow and a database as
#: much as some hundred values, whatever it holds.
PORTION = 2 << 20


def portions(rows: Path) -> Iterator[bytes]:
    """The lines of a spool, about a thousand at a time."""
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
