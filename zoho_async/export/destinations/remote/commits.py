"""Commit complete parts of lists to an object store.

Model
-----
A run works in the working directory (`zoho_async.export.destinations.remote.destination`). When a
part is complete, its list is committed:

1. Upload the files of the part under staged names, and the record index of the list.
2. Write the next manifest, which names both (`zoho_async.export.destinations.remote.manifest`).
3. Give the files their names: remove the changes that a full part replaces, copy the staged
   objects within the store, and remove them. Then remove the local files.

Invariant
---------
The newest manifest never covers a row that is not in the store, and a file under its final name is
always complete. A run can continue on any machine, also on one with an empty disk.

Why it holds
------------
It is the rule of a directory: the staged objects are the spool, and the manifest is the checkpoint.
Before step 2 nothing has changed. After it the staged objects exist until the files have their
names, and the next run, on any machine, repeats step 3. Staged objects that no manifest names are
removed.

A list is committed alone. What is half read stays in the working directory, so on the same machine
an interrupted run loses nothing. On another machine, each list continues from its last commit.

Unknown
-------
A run that pauses between steps 2 and 3 for longer than the lease of the manifest can, when it
wakes, replace a newer file by its own. The sizes in the checkpoint show that, unless both files
have the same size.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from zoho_async.export.checkpoint.file import StateFile
from zoho_async.export.checkpoint.store import Checkpoint, ResourceState
from zoho_async.export.destinations.base import RecordedContents, Rounded, Table
from zoho_async.export.destinations.directory import (
    CHILD,
    FOLDER,
    SUFFIXES,
    Directory,
    DirectorySink,
    find_missing,
)
from zoho_async.export.destinations.remote.manifest import (
    STAGED,
    CommittedList,
    Heartbeat,
    Manifest,
    ManifestLog,
)
from zoho_async.export.destinations.remote.snapshot import (
    CHECKPOINTS,
    snapshot_path,
    with_origin,
    write_snapshot,
)
from zoho_async.export.destinations.remote.store import ObjectStore, scratch_file
from zoho_async.export.errors import ExportRunning
from zoho_async.files import make_directory


class OpenRemote:
    """An object store that one run holds. ``database`` is the checkpoint's, in ``directory``."""

    def __init__(
        self,
        store: ObjectStore,
        log: ManifestLog,
        directory: Directory,
        database: StateFile,
        manifest: Manifest,
    ) -> None:
        self.name: Final = store.name
        self.database: Final = database
        self._store: Final = store
        self._log: Final = log
        self._directory: Final = directory
        self._manifest = manifest
        self._listed: Final[dict[str, dict[str, int]]] = {}
        self._heartbeat: Heartbeat | None = log.heartbeat()

    def sink(self, table: Table, part: str) -> RemoteSink:
        files = self._directory.files(table.name)
        local = DirectorySink(files, table, part, self._directory.format)
        return RemoteSink(self, local, table.name, part)

    def finish(self) -> Rounded:
        return {}  # each part was committed

    def close(self) -> None:
        """Say that the run has ended, and close the working directory."""
        heartbeat, self._heartbeat = self._heartbeat, None
        if heartbeat is None:
            return
        heartbeat.stop()
        try:
            if self._manifest.holder:
                self._commit(replace(with_origin(self.database, self._manifest), holder=""))
        finally:
            self.database.close()

    # -- what the store holds ---------------------------------------------------------------------

    def path(self, file: Path) -> str:
        """Return the path in the store of a file in the working directory."""
        return file.relative_to(self._directory.path).as_posix()

    def address(self, file: Path) -> str:
        """Return the address of a file in the working directory."""
        return f"{self.name}/{self.path(file)}"

    def sizes(self, resource: str) -> dict[str, int]:
        """Return the bytes of the files of a list, by their paths in the product's folder."""
        files = self._directory.files(resource)
        stem = resource.partition(".")[2]
        suffix = files.full.name.removeprefix(stem)
        found = {
            name: size
            for name, size in self._list(self.path(files.full.parent)).items()
            if name == files.full.name
            or (name.startswith(f"{stem}{CHILD}") and name.endswith(suffix))
        }
        for name, size in self._list(self.path(files.changes)).items():
            if name.endswith(suffix):
                found[f"{files.changes.name}/{name}"] = size
        return found

    def find_missing(self, resource: str, recorded: RecordedContents) -> str:
        """Implement `zoho_async.export.destinations.base.Sink.find_missing`."""
        files = self._directory.files(resource)
        stem = resource.partition(".")[2]
        folder = self.path(files.full.parent)
        full = [name for end in SUFFIXES if (name := stem + end) in self._list(folder)]
        return find_missing(recorded, files, f"{self.name}/{folder}", self.sizes(resource), full)

    def _list(self, folder: str) -> dict[str, int]:
        if folder not in self._listed:
            self._listed[folder] = self._store.list_objects(folder)
        return self._listed[folder]

    # -- commits ----------------------------------------------------------------------------------

    def commit_part(self, resource: str, part: str) -> None:
        """Commit a complete part of a list, if the store does not have it yet."""
        file = self._directory.files(resource).file(part)
        files = [file, *self._directory.files(resource).children(file)]
        self._commit_files(
            resource,
            {self.path(one): one for one in files if one.is_file()},
            replaces=not part,
        )

    def _commit_files(self, resource: str, files: dict[str, Path], *, replaces: bool) -> None:
        """Commit ``files``, by their paths in the store, with the state of the list."""
        state, before = self._state(resource), self._manifest.lists.get(resource)
        if not files and before is not None and _same(before.state, state):
            return
        token = uuid.uuid4().hex
        for path, file in files.items():
            self._store.upload(file, f"{STAGED}/{token}/{path}")
        sizes = {} if replaces else self.sizes(resource)
        product = f"{resource.partition('.')[0]}/"
        sizes |= {path.removeprefix(product): file.stat().st_size for path, file in files.items()}
        state = replace(state, runs=replace(state.runs, sizes=sizes))
        with scratch_file(self._directory.path / FOLDER) as scratch:
            write_snapshot(self.database, state, scratch)
            self._store.upload(scratch, snapshot_path(resource, token))
        committed = CommittedList(
            state=msgspec.to_builtins(state), token=token, replaces=replaces and bool(files)
        )
        manifest = with_origin(self.database, self._manifest)
        self._commit(replace(manifest, lists={**manifest.lists, resource: committed}))
        self._publish(resource, committed)
        for file in files.values():
            file.unlink()
        if before is not None:
            self._store.remove(snapshot_path(resource, before.token))

    def discard(self, resource: str) -> None:
        """Remove the files of a list, and then what the manifest knows of it. Idempotent."""
        folder = resource.partition(".")[0]
        for name in self.sizes(resource):
            self._store.remove(f"{folder}/{name}")
        self._listed.clear()
        committed = self._manifest.lists.get(resource)
        if committed is not None:
            manifest = with_origin(self.database, self._manifest)
            others = {name: one for name, one in manifest.lists.items() if name != resource}
            self._commit(replace(manifest, lists=others))
            self._store.remove(snapshot_path(resource, committed.token))

    def _state(self, resource: str) -> ResourceState:
        state = Checkpoint(self.database, self.name).state_of(resource)
        assert state is not None, f"{resource} was never begun"
        return state

    def _commit(self, manifest: Manifest) -> None:
        try:
            self._manifest = self._log.commit(manifest, self._manifest)
        except ExportRunning:
            self._manifest = replace(self._manifest, holder="")  # nothing to give back
            raise

    def _publish(self, resource: str, committed: CommittedList) -> None:
        """Give the staged files of a committed part their names. Idempotent."""
        folder = f"{STAGED}/{committed.token}"
        staged = sorted(self._store.find(folder), key=lambda path: CHILD not in path)
        changes = self.path(self._directory.files(resource).changes)
        if staged and committed.replaces:
            for path in self._store.find(changes):
                self._store.remove(path)
        for path in staged:  # child files first: if the parent has its name, its children do
            self._store.copy(path, path.removeprefix(f"{folder}/"))
        for path in staged:
            self._store.remove(path)
        self._listed.clear()

    def finish_commits(self) -> None:
        """Finish what the last run left half done, and remove what no manifest names."""
        lists = self._manifest.lists
        tokens = {committed.token: resource for resource, committed in lists.items()}
        staged = self._store.find(STAGED)
        for token in {_token_of(path) for path in staged} & tokens.keys():
            self._publish(tokens[token], lists[tokens[token]])
        for path in [*staged, *self._store.find(CHECKPOINTS)]:
            if _token_of(path) not in tokens:
                self._store.remove(path)

    # -- merging ----------------------------------------------------------------------------------

    @contextmanager
    def local_copy(self, resource: str) -> Generator[Directory]:
        """A directory with the files of ``resource``, to be merged there and then committed."""
        folder = self._directory.path / FOLDER / "merge"
        copy = Directory(folder, self._directory.format)
        files, product = copy.files(resource), resource.partition(".")[0]
        shutil.rmtree(folder, ignore_errors=True)
        make_directory(folder / FOLDER)
        try:
            sizes = self.sizes(resource)
            changed = any(name.startswith(f"{files.changes.name}/") for name in sizes)
            for name in sizes if changed else ():
                make_directory((files.full.parent / name).parent)
                self._store.download(f"{product}/{name}", files.full.parent / name)
            yield copy
            if changed and not files.parts():
                merged = [files.full, *files.children(files.full)]
                paths = {one.relative_to(folder).as_posix(): one for one in merged if one.is_file()}
                self._commit_files(resource, paths, replaces=True)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


class RemoteSink:
    """Writes one part of a list to the working directory, and commits it when it is complete."""

    def __init__(self, place: OpenRemote, local: DirectorySink, resource: str, part: str) -> None:
        self._place: Final = place
        self._local: Final = local
        self._resource: Final = resource
        self._part: Final = part

    @property
    def name(self) -> str:
        return self._place.address(self._local.target)

    def resume(self, mark: int) -> bool:
        return self._local.resume(mark)

    def write(self, rows: Sequence[bytes]) -> int:
        return self._local.write(rows)

    def mark_deleted(self, ids: Sequence[str], when: str) -> int:
        return self._local.mark_deleted(ids, when)

    def keep_as_part(self, part: str) -> None:
        self._local.keep_as_part(part)

    def settle(self) -> None:
        self._local.settle()
        self._place.commit_part(self._resource, self._part)

    def take_rounded(self) -> Mapping[str, int]:
        return self._local.take_rounded()

    def discard(self) -> None:
        self._local.discard()
        self._place.discard(self._resource)

    def close(self) -> None:
        self._local.close()

    def sizes(self) -> dict[str, int]:
        return self._place.sizes(self._resource)

    def find_missing(self, recorded: RecordedContents) -> str:
        return self._place.find_missing(self._resource, recorded)


def _same(committed: dict[str, Any], state: ResourceState) -> bool:
    """Whether the states differ at most in the sizes of files."""
    before = msgspec.convert(committed, ResourceState)
    return replace(before, runs=state.runs) == state


def _token_of(path: str) -> str:
    """Return the token in the path of a staged file or of a snapshot."""
    inside = path.removeprefix(f"{STAGED}/")
    return inside.split("/")[0] if inside != path else path.removesuffix(".sqlite").split(".")[-1]
