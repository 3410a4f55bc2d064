"""A destination in an object store: the files of a directory below an address such as ``s3://``.

    TO/books/invoices.jsonl                                 as in a directory
    TO/books/invoices.changes/20261123T020000Z.jsonl
    TO/.zoho-export/manifest/000000000012.json              what TO holds, and who writes to it
    TO/.zoho-export/checkpoint/books.invoices.<token>.sqlite   the record index of one list
    TO/.zoho-export/staged/<token>/books/invoices.jsonl     files on their way to their names

An object store has no append, rename or lock. So a run works in a local directory, the *working
directory*: a `Directory` with the spools and the checkpoint. When a part of a list is complete, it
is committed (`zoho_async.export.destinations.remote.commits`).

The working directory
---------------------
It is in the user's directory for state, one per address. It is used if it knows the newest
manifest. Otherwise another machine was there in between, and it is filled again from the store.
Deleting it between runs costs only what was half read.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from zoho_async.export.checkpoint.file import StateFile, query_of_file
from zoho_async.export.destinations.base import Query
from zoho_async.export.destinations.directory import (
    FOLDER,
    JSON_LINES,
    Directory,
)
from zoho_async.export.destinations.remote.commits import OpenRemote
from zoho_async.export.destinations.remote.manifest import Manifest, ManifestLog
from zoho_async.export.destinations.remote.snapshot import (
    clear,
    enter_origin,
    read_snapshot,
    snapshot_path,
    states_in,
)
from zoho_async.export.destinations.remote.store import ObjectStore, scratch_file
from zoho_async.export.errors import CheckpointRefused, DestinationError, ExportRunning
from zoho_async.files import make_directory, replace_file
from zoho_async.runtime import state_directory


class Remote:
    """Files below ``address``, in an object store.

    ``files`` makes the `Directory` of a path, in the format of the files; a directory with files
    keeps its format. ``work`` is the directory below which the working directory is.
    """

    def __init__(
        self,
        address: str,
        files: Callable[[Path], Directory] = Directory,
        *,
        work: Path | None = None,
    ) -> None:
        """Check the address, without a call. Raises `DestinationError` and `MissingExtra`."""
        self._store: Final = ObjectStore(address)
        self._files: Final = files
        self.name: Final = self._store.name
        base = work or state_directory(os.environ) / "exports"
        self.work: Final = base / hashlib.sha256(self.name.encode()).hexdigest()[:32]
        files(self.work)  # refuses an invalid format

    def open(self) -> OpenRemote:
        store, work = self._store, self.work
        store.connect()
        try:
            make_directory(work / FOLDER)
        except OSError as problem:
            raise DestinationError(work, problem.strerror or str(problem)) from problem
        database = _lock_directory(work, self.name)
        try:
            log = ManifestLog(store, work / FOLDER / "manifests")
            held = log.newest()
            directory = self._directory(held)
            log.check_free(held)
            if held is None or not log.knows(held):
                _fill(work, database, store, held)
            claimed = replace(
                held or Manifest(format=_format_of(directory)),
                holder=f"{platform.node() or 'unknown'}/{os.getpid()}",
            )
            place = OpenRemote(store, log, directory, database, log.commit(claimed, held))
        except BaseException:
            database.close()
            raise
        try:
            place.finish_commits()
        except BaseException:
            with suppress(DestinationError):
                place.close()
            raise
        return place

    @contextmanager
    def read_only(self) -> Generator[Query | None]:
        self._store.connect()
        log = ManifestLog(self._store, self.work / FOLDER / "manifests")
        held = log.newest()
        if held is None:
            yield None
        elif log.knows(held):
            with query_of_file(self.work / FOLDER / "checkpoint.sqlite") as query:
                yield query
        else:
            with tempfile.TemporaryDirectory(prefix="zoho-async-") as folder:
                copy = Path(folder)
                make_directory(copy / FOLDER)
                with closing(StateFile(copy / FOLDER / "checkpoint.sqlite")) as database:
                    _fill(copy, database, self._store, held)
                    yield database.execute

    def organizations(self) -> list[str]:
        """Return the addresses of the organizations below this one, if it holds several. Blocks."""
        self._store.connect()
        own = f"{FOLDER}/manifest"
        if self._store.list_objects(own):
            return []
        names = self._store.folders("")
        return [
            f"{self.name}/{name}" for name in names if self._store.list_objects(f"{name}/{own}")
        ]

    def holds_export(self) -> bool:
        """Whether an export was ever written here. Blocks."""
        self._store.connect()
        return bool(self._store.list_objects(f"{FOLDER}/manifest"))

    def _directory(self, held: Manifest | None) -> Directory:
        """Return the working directory with the format of the files in the store."""
        file = self.work / FOLDER / "format"
        if held is None:
            file.unlink(missing_ok=True)
        else:
            replace_file(file, f"{held.format}\n".encode())
        directory = self._files(self.work)
        mine = _format_of(directory)
        if held is not None and held.format != mine:
            raise CheckpointRefused(
                f"{self.name} holds files of --format {held.format}, but this export uses {mine}: "
                f"use --format {held.format} (or omit it), or export to another address"
            )
        return directory


def _lock_directory(work: Path, name: str) -> StateFile:
    """Open the checkpoint in the working directory. Raises `ExportRunning` with ``name``."""
    try:
        return StateFile(work / FOLDER / "checkpoint.sqlite")
    except ExportRunning:
        raise ExportRunning(name) from None


def _fill(work: Path, database: StateFile, store: ObjectStore, held: Manifest | None) -> None:
    """Make the working directory what the store holds. It is out of date or empty."""
    clear(database)
    for folder in work.iterdir():
        if folder.is_dir() and folder.name != FOLDER:
            shutil.rmtree(folder)
    if held is None or not held.form:
        return
    enter_origin(database, held)
    for resource, state in states_in(held).items():
        with scratch_file(work / FOLDER) as scratch:
            store.download(snapshot_path(resource, held.lists[resource].token), scratch)
            read_snapshot(database, state, scratch)


def _format_of(directory: Directory) -> str:
    return directory.format.name if directory.format else JSON_LINES
