"""The disk of one simulated machine, under `zoho_async.files`.

Model. Files are real ones in a temporary directory, so the package reads them as always. Each
change that goes through `zoho_async.files` is also recorded. If a process dies, its changes stay,
its open files are closed and its locks are free. If the machine loses power, a file keeps the
content of its last ``fsync``, and of what was written since a drawn part: nothing, all, or a torn
piece. A directory keeps the names of its last ``fsync``, and of the later changes of names a drawn
number, in their order.

Faults hit one call of one worker: the ``nth`` that it makes, over all of its lives.

SQLite is not simulated. Its commits are durable, and a dead worker's connections are closed, which
rolls its open transaction back.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import random
import shutil
import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable
from pathlib import Path
from typing import Any, Final, Protocol
from unittest import mock

from tests.simulation.faults import DISK, Fault
from tests.simulation.loop import WORKER, VirtualLoop, Worker
from zoho_async import files

#: Begins the name of a directory; the process id and a moment follow.
_PREFIX: Final = "zoho-simulation-"
#: Calls that need room.
_NEEDS_ROOM: Final = frozenset({"create", "write", "fsync", "mkdir", "link"})


class Died(BaseException):
    """The process of the running callback ended within a call. Nothing of it runs any more."""


class Machine(Protocol):
    """What the disk needs of a world."""

    @property
    def loop(self) -> VirtualLoop: ...
    @property
    def after_kill(self) -> Callable[[Worker, Fault], None]: ...

    def kill(self, worker: Worker) -> None: ...
    def count_fault(self, kind: str, situation: str) -> None: ...


class _Node:
    """The content of a file. ``dirty`` is the first byte that was changed since its sync."""

    def __init__(self, durable: bytes, mode: int, dirty: int | None) -> None:
        self.durable: Final = bytearray(durable)
        self.mode: Final = mode
        self.dirty = dirty
        #: The content when the last name was removed.
        self.last = b""
        #: SQLite writes it, past this model.
        self.is_database = False


#: A change of a name that is not durable yet: the directory, and what it changes in the table.
_Change = tuple[str, Callable[[dict[str, _Node | None]], None]]


class Disk:
    """One machine's file system. Its directory is ``root``; `close` deletes it."""

    def __init__(self, world: Machine, seed: object, faults: Iterable[Fault] = ()) -> None:
        self.root: Final = _new_directory()
        #: Calls by worker, over all of its lives.
        self.calls: Final[Counter[str]] = Counter()
        self._world: Final = world
        self._random: Final = random.Random(f"{seed}/disk")
        self._faults: Final = {
            (fault.worker, fault.nth): fault for fault in faults if fault.kind in DISK
        }
        self._workers: Final[dict[int, Worker]] = {}
        self._full_until: Final[dict[str, float]] = {}
        self._held_until: Final[dict[str, float]] = {}
        self._open: Final[dict[int, tuple[str, _Node | None, Worker | None]]] = {}
        self._locks: Final[dict[str, int]] = {}
        #: Files and directories (None) by their paths, as programs see them and as they would
        #: survive. Only those that were changed through `zoho_async.files`.
        self._live: Final[dict[str, _Node | None]] = {}
        self._durable: dict[str, _Node | None] = {}
        self._changes: list[_Change] = []
        self._connections: Final[list[tuple[Worker | None, sqlite3.Connection]]] = []
        self._connect: Final = sqlite3.connect

    @contextlib.contextmanager
    def installed(self) -> Generator[None]:
        """Put this disk under the package."""
        with contextlib.ExitStack() as stack:
            for name, double in (
                ("os", _Calls(self)),
                ("shutil", _Trees(self)),
                ("fcntl", _Locks(self)),
                ("time", _Time(self)),
            ):
                stack.enter_context(mock.patch.object(files, name, double))
            stack.enter_context(mock.patch.object(sqlite3, "connect", self._connect_database))
            stack.enter_context(mock.patch.object(Path, "read_bytes", self._reader()))
            yield

    def close(self) -> None:
        """Close everything, and delete the directory."""
        for descriptor in list(self._open):
            os.close(descriptor)
        self._open.clear()
        self._end_connections(every=True)
        shutil.rmtree(self.root, ignore_errors=True)

    # -- what tests and judges use -----------------------------------------------------------------

    def lose_power(self, fault: Fault) -> None:
        """Kill every worker that used this disk, and keep what a disk keeps."""
        dying = [
            worker
            for worker in self._workers.values()
            if not worker.dead and worker.task is not None and not worker.task.done()
        ]
        for worker in dying:
            self._world.kill(worker)
        self._end_connections()
        self._crash()
        for worker in dying:
            self._world.after_kill(worker, fault)

    def shown(self, error: BaseException) -> str:
        """The error for the story, without the directory, which is another one in each run."""
        return f"{type(error).__name__}: {error}".replace(str(self.root), "")

    def open_files(self) -> list[str]:
        """The files that living workers have open through `zoho_async.files`."""
        return sorted(
            path for path, _, worker in self._open.values() if worker is None or not worker.dead
        )

    # -- calls -------------------------------------------------------------------------------------

    def enter(self, call: str, partly: Callable[[], object] | None = None) -> None:
        """Count a call of the running worker, and let its fault hit. ``partly`` does half of it."""
        worker = WORKER.get()
        if worker is None:
            return
        if worker.dead:
            raise Died
        self._workers[worker.pid] = worker
        self.calls[worker.name] += 1
        fault = self._faults.pop((worker.name, self.calls[worker.name]), None)
        if fault is not None:
            self._hit(worker, fault, call, partly)
        if call in _NEEDS_ROOM and self._full_until.get(worker.name, 0.0) > self._world.loop.now:
            if partly is not None:
                partly()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _hit(
        self, worker: Worker, fault: Fault, call: str, partly: Callable[[], object] | None
    ) -> None:
        self._world.count_fault(fault.kind, call)
        now = self._world.loop.now
        match fault.kind:
            case "disk_full":
                self._full_until[worker.name] = now + fault.seconds
            case "lock_held":
                self._held_until[worker.name] = now + fault.seconds
            case "disk_error":
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            case _:
                if partly is not None and self._random.random() < 0.5:
                    partly()
                if fault.kind == "power":
                    self.lose_power(fault)
                else:
                    self._world.kill(worker)
                    self._end_connections()
                    self._world.after_kill(worker, fault)
                raise Died

    def _reader(self) -> Callable[[Path], bytes]:
        real = Path.read_bytes

        def read_bytes(path: Path) -> bytes:
            if path.is_relative_to(self.root):
                self.enter("read")
            return real(path)

        return read_bytes

    # -- changes -----------------------------------------------------------------------------------

    def opened(self, descriptor: int, path: str, created: bool, truncated: bool) -> None:
        node: _Node | None = None
        status = os.fstat(descriptor)
        if not os.path.isdir(path):
            if created:
                node = _Node(b"", status.st_mode & 0o777, 0)
                self._change(path, _named(path, node))
            else:
                node = self._node(path, status.st_mode & 0o777)
                if truncated:
                    node.dirty = 0
        self._open[descriptor] = (path, node, WORKER.get())

    def changed(self, descriptor: int, start: int) -> None:
        node = self._open[descriptor][1]
        assert node is not None, "a directory was written"
        node.dirty = start if node.dirty is None else min(node.dirty, start)

    def synced(self, descriptor: int) -> None:
        path, node, _ = self._open[descriptor]
        if node is not None:
            if node.dirty is not None:
                del node.durable[node.dirty :]
                size = os.fstat(descriptor).st_size
                read = os.open(path, os.O_RDONLY) if os.path.exists(path) else descriptor
                node.durable.extend(os.pread(read, size - node.dirty, node.dirty))
                if read != descriptor:
                    os.close(read)
                node.dirty = None
            return
        later: list[_Change] = []
        for directory, change in self._changes:
            if directory == path:
                change(self._durable)
            else:
                later.append((directory, change))
        self._changes = later

    def closed(self, descriptor: int) -> None:
        path = self._open.pop(descriptor)[0]
        if self._locks.get(path) == descriptor:
            del self._locks[path]

    def renamed(self, source: str, target: str) -> None:
        node = self._live.pop(source)
        self._live[target] = node

        def change(names: dict[str, _Node | None]) -> None:
            names.pop(source, None)
            names[target] = node

        self._changes.append((os.path.dirname(target), change))

    def linked(self, source: str, target: str) -> None:
        self._change(target, _named(target, self._live[source]))

    def removing(self, path: str) -> None:
        """Keep the content of a file whose name is about to go."""
        node = self._node(path, 0o644)
        if node.dirty is not None:
            node.last = _content(path)

    def removed(self, path: str) -> None:
        self._change(path, lambda names: names.pop(path, None))

    def made_directory(self, path: str) -> None:
        self._change(path, _named(path, None))

    def remove_tree(self, path: str) -> None:
        """Delete a directory, one name after the other."""
        for directory, _, names in os.walk(path, topdown=False):
            for name in sorted(names):
                one = os.path.join(directory, name)
                self.enter("unlink")
                self.removing(one)
                os.unlink(one)
                self.removed(one)
            self.enter("rmdir")
            os.rmdir(directory)
            self.removed(directory)

    def try_lock(self, descriptor: int) -> None:
        path, _, worker = self._open[descriptor]
        holder = self._open.get(self._locks.get(path, -1))
        is_held = holder is not None and (holder[2] is None or not holder[2].dead)
        name = "" if worker is None else worker.name
        if is_held or self._held_until.get(name, 0.0) > self._world.loop.now:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        self._locks[path] = descriptor

    def wait(self, seconds: float) -> None:
        """A thread waits. The world has no threads, so all of it stands still meanwhile."""
        self._world.loop.now += seconds

    def _node(self, path: str, mode: int) -> _Node:
        """The node of a file. One that something else made is not durable."""
        node = self._live.get(path)
        if node is None:
            node = self._live[path] = _Node(b"", mode, 0)
            self._durable.setdefault(path, node)
        return node

    def _change(self, path: str, change: Callable[[dict[str, _Node | None]], Any]) -> None:
        change(self._live)
        self._changes.append((os.path.dirname(path), change))

    # -- the machine ends --------------------------------------------------------------------------

    def _crash(self) -> None:
        chance, durable = self._random, self._durable
        for directory in dict.fromkeys(one for one, _ in self._changes):
            changes = [change for one, change in self._changes if one == directory]
            for change in changes[: chance.randint(0, len(changes))]:
                change(durable)
        self._changes = []
        content = {
            path: self._survives(node, path) for path, node in durable.items() if node is not None
        }
        for path in sorted(self._live.keys() - durable.keys(), reverse=True):
            if os.path.isdir(path):
                shutil.rmtree(path)
            elif os.path.exists(path):
                os.unlink(path)
        for path in sorted(path for path, node in durable.items() if node is None):
            if os.path.isdir(os.path.dirname(path)):
                os.makedirs(path, exist_ok=True)
        kept: dict[str, _Node | None] = {}
        for path, node in durable.items():
            if not os.path.isdir(os.path.dirname(path)):
                continue  # its directory was lost
            kept[path] = node
            if node is not None:
                new = not os.path.exists(path)
                if not node.is_database:
                    Path(path).write_bytes(content[path])
                if new:
                    os.chmod(path, node.mode)
                node.durable[:] = content[path]
                node.dirty = None
        self._durable = kept
        self._live.clear()
        self._live.update(kept)

    def _survives(self, node: _Node, path: str) -> bytes:
        """The content after the end of the machine."""
        durable = bytes(node.durable)
        if node.dirty is None or node.is_database:
            return durable
        names = [name for name, other in self._live.items() if other is node]
        live = _content(names[0]) if names else node.last
        match self._random.choice(("old", "new", "torn", "zeros")):
            case "old":
                return durable
            case "new":
                return live
            case kind:
                cut = self._random.randint(min(node.dirty, len(live)), len(live))
                return live[:cut] + (bytes(len(live) - cut) if kind == "zeros" else b"")

    # -- SQLite ------------------------------------------------------------------------------------

    def _connect_database(self, *args: Any, **options: Any) -> sqlite3.Connection:
        worker = WORKER.get()
        if worker is not None and worker.dead:
            raise Died
        self._end_connections()
        connection: sqlite3.Connection = self._connect(*args, **options)
        node = self._live.get(os.path.abspath(args[0]))
        if node is not None:
            node.is_database = True
        self._connections.append((worker, connection))
        return connection

    def _end_connections(self, *, every: bool = False) -> None:
        """Close the connections of dead workers. This rolls their transactions back."""
        left: list[tuple[Worker | None, sqlite3.Connection]] = []
        for worker, connection in self._connections:
            if every or (worker is not None and worker.dead):
                connection.close()
            else:
                left.append((worker, connection))
        self._connections[:] = left


def _new_directory() -> Path:
    """A new directory in memory. Those of processes that were killed are deleted."""
    if not os.path.isdir("/dev/shm"):
        return Path(tempfile.mkdtemp())
    for path in Path("/dev/shm").glob(f"{_PREFIX}*"):
        if not os.path.exists(f"/proc/{path.name.split('-')[2]}"):
            shutil.rmtree(path, ignore_errors=True)
    # Neither by `os.getpid` nor by chance: both are the seed's.
    root = Path(f"/dev/shm/{_PREFIX}{os.readlink('/proc/self')}-{time.monotonic_ns():x}")
    root.mkdir(mode=0o700)
    return root


def _content(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _named(path: str, node: _Node | None) -> Callable[[dict[str, _Node | None]], None]:
    def change(names: dict[str, _Node | None]) -> None:
        names[path] = node

    return change


class _Calls:
    """``os`` for `zoho_async.files`."""

    def __init__(self, disk: Disk) -> None:
        self._disk: Final = disk

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def open(self, path: Path, flags: int, mode: int = 0o777) -> int:
        place = os.path.abspath(path)
        created = bool(flags & os.O_CREAT) and not os.path.lexists(place)
        self._disk.enter("create" if created else "open")
        descriptor = os.open(place, flags, mode)
        self._disk.opened(descriptor, place, created, bool(flags & os.O_TRUNC))
        return descriptor

    def close(self, descriptor: int) -> None:
        self._disk.closed(descriptor)
        os.close(descriptor)

    def write(self, descriptor: int, data: memoryview) -> int:
        start = os.lseek(descriptor, 0, os.SEEK_CUR)

        def partly() -> None:
            os.write(descriptor, data[: len(data) // 2])
            self._disk.changed(descriptor, start)

        self._disk.enter("write", partly)
        written = os.write(descriptor, data)
        self._disk.changed(descriptor, start)
        return written

    def ftruncate(self, descriptor: int, length: int) -> None:
        self._disk.enter("truncate")
        if os.fstat(descriptor).st_size != length:
            os.ftruncate(descriptor, length)
            self._disk.changed(descriptor, length)

    def fsync(self, descriptor: int) -> None:
        self._disk.enter("fsync")
        self._disk.synced(descriptor)

    def replace(self, source: Path, target: Path) -> None:
        self._disk.enter("rename")
        made, place = os.path.abspath(source), os.path.abspath(target)
        self._disk.removing(made)
        if os.path.lexists(place):
            self._disk.removing(place)
        os.replace(made, place)
        self._disk.renamed(made, place)

    def link(self, source: Path, target: Path) -> None:
        self._disk.enter("link")
        os.link(source, target)
        self._disk.linked(os.path.abspath(source), os.path.abspath(target))

    def unlink(self, path: Path) -> None:
        place = os.path.abspath(path)
        self._disk.enter("unlink")
        if os.path.lexists(place):
            self._disk.removing(place)
        os.unlink(place)
        self._disk.removed(place)

    def mkdir(self, path: Path, mode: int = 0o777) -> None:
        self._disk.enter("mkdir")
        os.mkdir(path, mode)
        self._disk.made_directory(os.path.abspath(path))


class _Trees:
    """``shutil`` for `zoho_async.files`."""

    def __init__(self, disk: Disk) -> None:
        self._disk: Final = disk

    def rmtree(self, path: Path) -> None:
        self._disk.remove_tree(os.path.abspath(path))


class _Locks:
    """``fcntl`` for `zoho_async.files`."""

    LOCK_EX: Final = fcntl.LOCK_EX
    LOCK_NB: Final = fcntl.LOCK_NB

    def __init__(self, disk: Disk) -> None:
        self._disk: Final = disk

    def flock(self, descriptor: int, operation: int) -> None:
        self._disk.enter("lock")
        self._disk.try_lock(descriptor)


class _Time:
    """``time`` for `zoho_async.files`."""

    def __init__(self, disk: Disk) -> None:
        self._disk: Final = disk

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        self._disk.wait(seconds)
