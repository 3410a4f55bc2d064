"""A single file as a destination: one list in ``invoices.csv``, or many in ``books.xlsx``.

    invoices.csv                                 all rows as they are now
    .invoices.csv.zoho-export/                   a directory of JSON Lines, with the checkpoint
    .invoices.csv.zoho-export/made.json          what invoices.csv was made from
    .invoices.csv.zoho-export/making/            the next invoices.csv, until it is complete

Model
-----
A file of these formats cannot take changes: a compressed file, a workbook or a Parquet file is
written once. So the rows go into a hidden directory, which is an ordinary
`zoho_async.export.destinations.directory`, and later runs read only what changed. At the end of a
run the changes are merged there, and the file is made again from all rows and renamed.

Invariant
---------
The file is always complete: it holds the rows of a run that ended. What a run that was interrupted
wrote is in the hidden directory, and the next run continues from there.

Why it holds
------------
What is durable, in this order: the rows and the checkpoint of each page; the merged rows; the new
file in ``making``; ``made.json``, which allows the old file and the new one; the new file under its
name, by one atomic rename; and last, in the checkpoint, that the run has ended. After a crash
between two steps the next run repeats those that are missing. It makes no calls for that.

Files changed by hand
---------------------
A file with other contents than ``made.json`` says was changed by a person, and one without
``made.json`` is a person's. The contents are compared if the size or the time is another one. Such
a file is never replaced: the run is refused before any call, and it is enough to move the file
away. A file that is missing is made again from the hidden directory.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final, Protocol

import msgspec

from zoho_async import __version__
from zoho_async._msgspec import decoder_of
from zoho_async.export.catalog import rows_of
from zoho_async.export.checkpoint.store import Checkpoint
from zoho_async.export.columns.observed import Observer
from zoho_async.export.destinations.base import Database, Query, Rounded, Sink, Table
from zoho_async.export.destinations.directory import (
    Directory,
    DirectorySink,
    Files,
    Format,
    OpenDirectory,
)
from zoho_async.export.destinations.merge import merge_changes
from zoho_async.export.errors import CheckpointRefused, DestinationError, ExportRunning
from zoho_async.export.resource_store import recorded_table, writing
from zoho_async.files import replace_file, sync_and_move

_MADE: Final = "made.json"
_MAKING: Final = "making"


class CompleteList(msgspec.Struct, frozen=True):
    """The rows of one list, as JSON Lines in the file ``rows``."""

    table: Table
    rows: Path


class FileMaker(Protocol):
    """Makes a file of lists."""

    @property
    def name(self) -> str:
        """The format and its options: ``csv --excel``."""
        ...

    @property
    def most_lists(self) -> int | None:
        """The most lists that a file holds; None for any number."""
        ...

    def write(self, lists: Sequence[CompleteList], target: Path) -> Rounded:
        """Write ``lists`` to ``target``, in bounded memory. Temporary files are next to it.

        Return what was rounded.
        """
        ...


class OneList:
    """Makes a file of one list in a `Format`; None is JSON Lines."""

    most_lists: int | None = 1

    def __init__(self, form: Format | None) -> None:
        self._format: Final = form
        self.name: Final = form.name if form else "jsonl"

    def write(self, lists: Sequence[CompleteList], target: Path) -> Rounded:
        (one,) = lists
        if self._format is None:
            shutil.copyfile(one.rows, target)
            return {}
        return {one.table.name: self._format.write(one.rows, target, one.table) or {}}


class _Made(msgspec.Struct, frozen=True):
    """What the file was made from.

    ``digests`` are those of the file before and after, ``file`` is the size and the time of the
    new one, and ``sources`` are those of the files of rows, by name. ``maker`` made it.
    """

    digests: tuple[str, ...]
    file: tuple[int, int]
    sources: dict[str, tuple[int, int]]
    maker: str


_MADE_DECODER: Final = decoder_of(_Made)


class SingleFile:
    """The file ``path`` as a destination. ``suffix`` is the end of its name, as it is written."""

    def __init__(self, path: Path, suffix: str, maker: FileMaker) -> None:
        self.path: Final = path
        self.suffix: Final = suffix
        self.maker: Final = maker
        self.name: Final = str(path)

    @property
    def _hidden(self) -> Directory:
        return Directory(self.path.with_name(f".{self.path.name}.zoho-export"))

    def read_only(self) -> AbstractContextManager[Query | None]:
        return self._hidden.read_only()

    def open(self) -> OpenSingleFile:
        hidden = self._hidden
        self._check_path(hidden.path)
        try:
            place = hidden.open()
        except ExportRunning:
            raise ExportRunning(self.path) from None
        except DestinationError as problem:
            raise DestinationError(self.path, str(problem.__cause__ or problem)) from problem
        try:
            with writing(self.name):
                return OpenSingleFile(self, hidden, place)
        except BaseException:
            place.close()
            raise

    def _check_path(self, hidden: Path) -> None:
        if not hidden.exists() and os.path.lexists(self.path):
            raise _not_ours(self.path)


class OpenSingleFile:
    """A file that one run holds."""

    def __init__(self, destination: SingleFile, hidden: Directory, place: OpenDirectory) -> None:
        self.name: Final = destination.name
        self._path: Final = destination.path
        self._maker: Final = destination.maker
        self._hidden: Final = hidden
        self._place: Final = place
        self._making: Final = hidden.path / _MAKING
        #: The observers of the run's lists. They learn the fields when the file is made.
        self._observers: Final[dict[str, Observer | None]] = {}
        self._check_file()

    @property
    def database(self) -> Database:
        return self._place.database

    def sink(self, table: Table, part: str) -> Sink:
        if self._maker.most_lists == 1:
            self._check_list(table.name)
            shown = self.name
        else:
            shown = f"{table.name.removeprefix('books.')} in {self.name}"
        self._observers[table.name] = table.observer
        return _Sink(shown, self._hidden.files(table.name), table, part)

    def finish(self) -> Rounded:
        checkpoint = Checkpoint(self.database, self.name)
        merge_changes(self._place, checkpoint)
        lists = self._lists(checkpoint)
        sources = {one.table.name: _identity(one.rows) for one in lists}
        before, maker = self._read_made(), f"{self._maker.name} {__version__}"
        current = before is not None and (before.sources, before.maker) == (sources, maker)
        if current and before is not None and _identity_if_there(self._path) == before.file:
            return {}
        return self._make(lists, sources, maker) if lists else {}

    def close(self) -> None:
        self._place.close()

    def _make(
        self, lists: Sequence[CompleteList], sources: dict[str, tuple[int, int]], maker: str
    ) -> Rounded:
        shutil.rmtree(self._making, ignore_errors=True)
        self._making.mkdir()
        try:
            made = self._making / self._path.name
            rounded = self._maker.write(lists, made)
            for one in lists:
                if one.table.observer is not None:
                    one.table.observer.store()
            self._check_file()  # a person may have changed it during the run
            digests = tuple(_digest(path) for path in (self._path, made) if path.exists())
            note = _Made(digests, _identity(made), sources, maker)
            replace_file(self._hidden.path / _MADE, msgspec.json.encode(note))
            sync_and_move(made, self._path)
            return rounded
        finally:
            shutil.rmtree(self._making, ignore_errors=True)

    def _lists(self, checkpoint: Checkpoint) -> list[CompleteList]:
        """The lists that were read to their end, with all of their rows."""
        lists: list[CompleteList] = []
        for state in checkpoint.states():
            facts, rows = rows_of(state.name), self._hidden.files(state.name).full
            if facts is not None and rows.exists():
                table = recorded_table(checkpoint, state, facts)
                if (observer := self._observers.get(state.name)) is not None:
                    table = msgspec.structs.replace(table, observer=observer)
                lists.append(CompleteList(table, rows))
        return lists

    def _read_made(self) -> _Made | None:
        try:
            return _MADE_DECODER.decode((self._hidden.path / _MADE).read_bytes())
        except (FileNotFoundError, msgspec.DecodeError):
            return None

    def _check_file(self) -> None:
        """Raise `CheckpointRefused` if the file is a person's, or was changed by one."""
        found, made = _identity_if_there(self._path), self._read_made()
        if found is None or (made is not None and found == made.file):
            return
        if made is None or _digest(self._path) not in made.digests:
            raise _not_ours(self._path)

    def _check_list(self, name: str) -> None:
        """Raise `CheckpointRefused` if the file holds another list."""
        states = Checkpoint(self.database, self.name).states()
        begun = [one.name for one in states if one.status != "resting" or one.bookmark.finished]
        if others := [one for one in begun if one != name]:
            raise CheckpointRefused(
                f"{self._path} holds {others[0]}, and this run exports {name}; "
                "choose another file, or a workbook (.xlsx) or a database for both"
            )


class _Sink(DirectorySink):
    """Writes a part to the hidden directory. Its name is that of the file."""

    def __init__(self, shown: str, files: Files, table: Table, part: str) -> None:
        super().__init__(files, table, part, None)
        self._shown: Final = shown

    @property
    def name(self) -> str:
        return self._shown


def _identity(path: Path) -> tuple[int, int]:
    """The size and the time of a file, which tell its versions apart."""
    status = path.lstat()
    return status.st_size, status.st_mtime_ns


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _identity_if_there(path: Path) -> tuple[int, int] | None:
    try:
        return _identity(path)
    except FileNotFoundError:
        return None


def _not_ours(path: Path) -> CheckpointRefused:
    return CheckpointRefused(
        f"{path} was changed by hand, or an export did not write it, and is not replaced; "
        "move or rename it and run the same command again, or choose another file"
    )
