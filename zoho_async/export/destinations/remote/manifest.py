"""The manifests of an export in an object store: what it holds, and which run writes to it.

    TO/.zoho-export/manifest/000000000012.json    the newest manifest; older ones are removed
    TO/.zoho-export/alive                         written again and again by the run that holds TO

Model
-----
A manifest names for each list its state and the objects that belong to it, and says which run holds
the destination. Manifests are numbered. Every change is a new manifest, and the one with the
highest number counts. A run that begins writes a manifest that names it. So does every commit of a
list, and the end of the run.

Invariant
---------
Of two runs, at most one can write the next manifest, and the other one learns of it.

Why it holds
------------
A manifest is created on the condition that its name is free. A run that paused may create a number
that was used and removed. So after each write the run lists the manifests and reads the newest: if
that is not its own, its write does not count and the run ends. Reading back also settles the case
that the reply to a write is lost.

A run that ended
----------------
A killed run cannot say that it ended. Its manifest and ``alive`` get old: after `LEASE` seconds by
the clock of the store, another run may begin. On the same machine it may begin at once, because the
lock of the working directory shows that no other run uses it.

Unknown
-------
A store that ignores the condition (some servers that imitate S3) lets two runs write the same
number. If both do so within the moment between writing and reading back, both believe in theirs
until the next commit of either one.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from zoho_async._msgspec import decoder_of
from zoho_async.export.destinations.directory import FOLDER
from zoho_async.export.destinations.remote.store import ObjectStore
from zoho_async.export.errors import CheckpointRefused, DestinationError, ExportRunning
from zoho_async.files import replace_file
from zoho_async.wire.text import UNDECODABLE

#: Seconds without a sign of life after which a run counts as ended.
LEASE: Final = 180.0
_BEAT: Final = LEASE / 6
LAYOUT: Final = 1
#: The folder of objects that no manifest names yet.
STAGED: Final = f"{FOLDER}/staged"
_MANIFESTS: Final = f"{FOLDER}/manifest"
_ALIVE: Final = f"{FOLDER}/alive"


class CommittedList(msgspec.Struct, frozen=True, kw_only=True):
    """What the destination holds of a list.

    ``state`` is its `ResourceState`, as JSON. ``token`` names its record index and the folder of
    the files that its last part brought. If it ``replaces``, they replace all files of the list.
    """

    state: dict[str, Any]
    token: str
    replaces: bool


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The contents of a destination. ``holder`` is the run that holds it, "" for none.

    ``format`` is that of the files, ``form`` the version of the checkpoint's tables. The rest is
    what the checkpoint knows of the export and of its run.
    """

    layout: int = LAYOUT
    id: str = ""
    number: int = 0
    holder: str = ""
    format: str
    form: int = 0
    organization: str = ""
    host: str = ""
    run: str = ""
    stamp: str = ""
    lists: dict[str, CommittedList] = {}


_MANIFEST: Final = decoder_of(Manifest)


class _Layout(msgspec.Struct, frozen=True):
    layout: int


_LAYOUT: Final = decoder_of(_Layout)


class ManifestLog:
    """The manifests in ``store``. ``seen`` is the local file of the ids that this directory knows.

    Every method blocks, and raises `DestinationError`.
    """

    def __init__(self, store: ObjectStore, seen: Path) -> None:
        self._store: Final = store
        self._seen: Final = seen

    def newest(self) -> Manifest | None:
        """Return the newest manifest; None for no export."""
        while names := self._names():
            content = self._store.read(f"{_MANIFESTS}/{names[-1]}")
            if content is not None:  # else a run replaced it since it was listed
                return self._decode(content)
        return None

    def _names(self) -> list[str]:
        return sorted(one for one in self._store.list_objects(_MANIFESTS) if one.endswith(".json"))

    def _decode(self, content: bytes) -> Manifest:
        try:
            if (held := _LAYOUT.decode(content).layout) != LAYOUT:
                raise CheckpointRefused(
                    f"{self._store.name} was written by another version of zoho-async "
                    f"(layout {held}, this version has {LAYOUT}); use that version, "
                    "or choose another place"
                )
            return _MANIFEST.decode(content)
        except UNDECODABLE as problem:
            raise CheckpointRefused(
                f"the newest object in {self._store.name}/{_MANIFESTS} cannot be read ({problem}); "
                "choose another place"
            ) from problem

    def knows(self, manifest: Manifest) -> bool:
        """Whether the last commit came from this working directory."""
        try:
            return manifest.id in self._seen.read_text("utf-8").split()
        except FileNotFoundError:
            return False

    def commit(self, manifest: Manifest, before: Manifest | None) -> Manifest:
        """Write ``manifest`` as the one after ``before``, and return it with its number.

        Raises `ExportRunning` if another run wrote one since ``before``.
        """
        number = before.number + 1 if before else 1
        manifest = replace(manifest, id=uuid.uuid4().hex, number=number)
        self._remember([before.id] if before else [], manifest.id)
        failure: DestinationError | None = None
        try:
            self._store.create(_path(number), msgspec.json.encode(manifest))
        except DestinationError as problem:
            failure = problem
        now = self.newest()
        if now is not None and now.id == manifest.id:
            for name in self._names():
                if name < _name(number):
                    self._store.remove(f"{_MANIFESTS}/{name}")
            return manifest
        newest = now.number if now else 0
        if failure is not None and newest < number:
            raise failure
        if failure is None and newest > number:  # it has a number that was used before
            self._store.remove(_path(number))
        raise ExportRunning(self._store.name)

    def _remember(self, before: list[str], identity: str) -> None:
        """Note the manifest before it is written: the process may end in between."""
        replace_file(self._seen, " ".join([*before, identity]).encode())

    # -- signs of life ----------------------------------------------------------------------------

    def check_free(self, manifest: Manifest | None) -> None:
        """Check that no run holds the destination, and that this one may write and delete there.

        Raises `ExportRunning`, and `DestinationError` for missing permissions.
        """
        probe = f"{STAGED}/{uuid.uuid4().hex}/probe"
        self._store.write(probe, b"")
        now = self._store.time_written(probe)
        self._store.remove(probe)
        if manifest is None or not manifest.holder or self.knows(manifest) or now is None:
            return
        signs = [self._store.time_written(one) for one in (_ALIVE, _path(manifest.number))]
        last = max((one for one in signs if one is not None), default=None)
        if last is not None and (age := (now - last).total_seconds()) < LEASE:
            raise ExportRunning(
                f"{self._store.name} (run {manifest.holder}, last sign of life {age:.0f} s ago; "
                f"if it was killed, another run can begin {LEASE - age:.0f} s from now)"
            )

    def heartbeat(self) -> Heartbeat:
        """Begin to write signs of life."""
        return Heartbeat(lambda: self._store.write(_ALIVE, b""))


class Heartbeat:
    """A thread that gives a sign of life now and then, until `stop`.

    A sign that fails is left out: the next commit shows if another run has taken over.
    """

    def __init__(self, beat: Callable[[], None]) -> None:
        self._beat: Final = beat
        self._ended: Final = threading.Event()
        self._thread: Final = threading.Thread(target=self._run, name="zoho-alive", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._ended.wait(_BEAT):
            try:
                self._beat()
            except DestinationError:
                continue

    def stop(self) -> None:
        """Stop, and wait for a sign under way."""
        self._ended.set()
        self._thread.join()


def _name(number: int) -> str:
    return f"{number:012}.json"


def _path(number: int) -> str:
    return f"{_MANIFESTS}/{_name(number)}"
