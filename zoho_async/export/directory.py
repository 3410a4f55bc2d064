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

A deleted record is a row ``{"invoice_id": "...", "_deleted_time": "..."}`` among the changes. The
file of a full part begins empty, and what it does not hold needs no such row.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

import msgspec

from zoho_async.export.destination import Database, Place, Table
from zoho_async.export.errors import CheckpointRefused, DestinationError
from zoho_async.export.jsonl import JsonLines, make_directory, sync_directory, take_name
from zoho_async.export.statefile import StateFile

FOLDER: Final = ".zoho-export"
DELETED: Final = "_deleted_time"

#: Stands between the names of a file and of the list in its rows.
CHILD: Final = "__"
JSON_LINES: Final = "jsonl"

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
        product, _, name = resource.partition(".")
        self.full: Final = directory / product / (name + suffix)
        self.changes: Final = directory / product / f"{name}.changes"
        self._suffix: Final = suffix

    def of(self, part: str) -> Path:
        """The file of ``part``."""
        return self.changes / (part + self._suffix) if part else self.full

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

    def is_foreign(self, path: Path) -> bool:
        """Whether a file among the changes is complete and of another form."""
        # What a run or a merge was killed over is neither: it is gone over again.
        return path.suffix not in (".part", ".tmp") and not path.name.endswith(self._suffix)


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

    def open(self, place: Place | None) -> Database:
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


def form(spool: Path, target: Path, table: Table, format: Format | None) -> None:
    """Give the rows in ``spool`` their form and their name ``target``, at one moment."""
    if format is None:
        spool.replace(target)
        sync_directory(target.parent)
        return
    made = target.with_name(target.name + ".tmp")
    format.write(spool, made, table)
    take_name(made, target)
    spool.unlink()
