"""The package's own files: replaced whole, appended, moved, locked.

Model
-----
If a process ends, the file system keeps everything that it wrote. If the machine ends, it keeps
only what was synced: the content of a file by ``fsync`` of the file, its name by ``fsync`` of the
directory. Of the rest it may keep any part. A rename replaces a name in one step.

Invariant
---------
A name holds the old content or the new content, whole. What a function of this module changed is
on the disk when it returns.

Why it holds
------------
New content goes to a draft in the same directory. The draft is synced, then renamed, then the
directory is synced. So the name never appears before the content.

The kernel releases a lock when its holder dies, so a lock never needs to be broken. A forked child
inherits the open file, and with it the lock: the child would keep it after its parent released it.
So the child first closes its copies, which leaves the parent's lock as it is.

Unknown
-------
A disk that loses what it reported as written. Windows and some network shares cannot sync a
directory; there a rename may be lost if the machine ends. Locks work on local disks, but not on
every network share.

All functions block: call them off the event loop. Temporary files whose content may be lost are
written elsewhere. Tests replace ``os``, ``shutil``, ``fcntl`` and ``time`` in this module by a
simulated disk.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from zoho_async import fork
from zoho_async.errors import TokenStoreError

#: Longest wait for a lock, and pause between two tries, in seconds.
_PATIENCE: Final = 30.0
_PAUSE: Final = 0.005
#: Bytes that a draft collects before it writes them.
_BLOCK: Final = 1 << 20
#: O_NOFOLLOW refuses symbolic links where the system supports it. O_EXCL always does.
_BINARY: Final = getattr(os, "O_BINARY", 0)
_APPENDED: Final = os.O_RDWR | os.O_CREAT | _BINARY | getattr(os, "O_NOFOLLOW", 0)
_CREATED: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY
#: Errors of a file system that cannot sync a directory, or does not let us open it.
_NO_SYNC: Final = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EACCES, errno.EPERM})

# -- directories -------------------------------------------------------------------------------


def sync_directory(directory: Path) -> None:
    """Make the file names in ``directory`` durable, if the file system can."""
    if os.name == "nt":
        return
    try:
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as problem:
        if problem.errno not in _NO_SYNC:
            raise


def make_directory(directory: Path, mode: int = 0o777) -> None:
    """Create ``directory`` with ``mode``, and its missing parents.

    Its name is made durable also if it exists: who created it may have died before doing so.
    """
    if not directory.exists():
        make_directory(directory.parent)
        with suppress(FileExistsError):  # another process was faster
            os.mkdir(directory, mode)
    sync_directory(directory.parent)


def remove_directory(directory: Path) -> None:
    """Delete ``directory`` with everything in it, if it exists."""
    if directory.exists():
        shutil.rmtree(directory)
        sync_directory(directory.parent)


# -- whole files -------------------------------------------------------------------------------


class DraftFile:
    """A new file ``path``, which must not exist yet. Its writer moves it when it is complete."""

    def __init__(self, path: Path, mode: int = 0o666) -> None:
        self.path: Final = path
        self._waiting: Final = bytearray()
        self._descriptor: int | None = os.open(path, _CREATED, mode)

    def write(self, data: bytes) -> None:
        """Add ``data``. It is on the disk after `sync`."""
        self._waiting.extend(data)
        if len(self._waiting) >= _BLOCK:
            self._flush()

    def sync(self) -> None:
        """Write everything to the disk and close the file."""
        self._flush()
        assert self._descriptor is not None, "the file is not open"
        os.fsync(self._descriptor)
        self._close()

    def discard(self) -> None:
        """Close the file, and delete it unless it was moved."""
        self._close()
        with suppress(FileNotFoundError):
            os.unlink(self.path)

    def _flush(self) -> None:
        assert self._descriptor is not None, "the file is not open"
        waiting = bytes(self._waiting)
        self._waiting.clear()
        _write_all(self._descriptor, waiting)

    def _close(self) -> None:
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)


def replace_file(path: Path, content: bytes, mode: int = 0o666) -> None:
    """Replace ``path`` by a file with ``content``, whole or not at all. A link is replaced too."""
    draft_path = path.with_name(f".{path.name}.{os.getpid()}.new")
    with suppress(FileNotFoundError):
        os.unlink(draft_path)  # of a killed process with this number
    draft = DraftFile(draft_path, mode)
    try:
        draft.write(content)
        draft.sync()
        move(draft.path, path)
    except BaseException:
        draft.discard()
        raise


def write_private(path: Path, content: bytes) -> None:
    """Replace ``path`` like `replace_file`, readable by its owner only. Creates its directory."""
    make_directory(path.parent, 0o700)
    replace_file(path, content, 0o600)


def create_private(path: Path, content: bytes) -> bool:
    """Create ``path`` with ``content``, whole or not at all, readable by its owner only.

    Creates its directory. Returns False, and changes nothing, if ``path`` exists.
    """
    make_directory(path.parent, 0o700)
    draft = DraftFile(path.with_name(f".{secrets.token_hex(8)}.new"), 0o600)
    try:
        draft.write(content)
        draft.sync()
        return claim(draft.path, path)
    finally:
        draft.discard()


def overwrite(path: Path, content: bytes) -> None:
    """Write ``content`` into the file itself, created if missing.

    For a lock file, which must not be replaced. A crash may leave it empty or cut off.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _BINARY, 0o666)
    try:
        _write_all(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def private_database(path: Path) -> Path:
    """Return the real path of a SQLite file, created empty and readable by its owner only.

    Creates its directory. An existing file is not opened: closing it would release the locks that
    this process has on it (POSIX). Its name is made durable too: who created it may have died
    before doing so.
    """
    path = Path(os.path.realpath(path))  # O_EXCL follows no link
    make_directory(path.parent, 0o700)
    with suppress(FileExistsError):
        os.close(os.open(path, _CREATED, 0o600))
    sync_directory(path.parent)
    return path


# -- names -------------------------------------------------------------------------------------


def move(made: Path, target: Path) -> None:
    """Rename ``made``, whose content is on the disk, to ``target``, which is replaced."""
    os.replace(made, target)
    sync_directory(target.parent)
    if made.parent != target.parent:
        sync_directory(made.parent)


def sync_and_move(made: Path, target: Path) -> None:
    """Sync a file that a library wrote, and `move` it."""
    descriptor = os.open(made, os.O_RDWR | _BINARY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    move(made, target)


def claim(draft: Path, path: Path) -> bool:
    """Give the synced ``draft`` the name ``path`` unless it is taken. Returns whether it did.

    The draft may keep its own name too.
    """
    try:
        os.link(draft, path)
    except FileExistsError:
        sync_directory(path.parent)  # who created it may have died before this
        return False
    except OSError:  # a file system without hard links
        if path.exists():
            return False
        os.replace(draft, path)
    sync_directory(path.parent)
    return True


def remove(*paths: Path) -> None:
    """Delete these files, one after the other, if they exist."""
    for path in paths:
        try:
            os.unlink(path)
        except FileNotFoundError:
            continue
        sync_directory(path.parent)


# -- appending ---------------------------------------------------------------------------------


class AppendedFile:
    """A file that only grows. Symbolic links are refused."""

    def __init__(self, path: Path) -> None:
        self.path: Final = path
        self._descriptor: int | None = None

    def reopen(self, length: int) -> bool:
        """Truncate the file to ``length`` bytes and open it for appending.

        Return False and open nothing if the file is shorter: bytes that the caller knows as written
        are missing.
        """
        self.close()
        make_directory(self.path.parent)
        descriptor = os.open(self.path, _APPENDED, 0o644)
        try:
            if os.fstat(descriptor).st_size < length:
                return False
            os.ftruncate(descriptor, length)
            os.lseek(descriptor, length, os.SEEK_SET)
            os.fsync(descriptor)
            sync_directory(self.path.parent)
            self._descriptor = descriptor
        finally:
            if self._descriptor is None:
                os.close(descriptor)
        return True

    def append(self, data: bytes) -> int:
        """Write ``data`` durably and return the number of bytes."""
        assert self._descriptor is not None, "the file is not open"
        if data:
            _write_all(self._descriptor, data)
            os.fsync(self._descriptor)
        return len(data)

    def close(self) -> None:
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)


def _write_all(descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]


# -- locks -------------------------------------------------------------------------------------


class _LockFiles:
    """The lock files that this process has open."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: set[int] = set()
        fork.register(self, last=True)

    def open(self, path: Path) -> int:
        with self._lock:
            file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            self._open.add(file)
        return file

    def close(self, file: int) -> None:
        with self._lock:
            if file in self._open:  # else it was the parent's, and is closed
                self._open.discard(file)
                os.close(file)

    def before_fork(self) -> None:
        self._lock.acquire()

    def after_fork(self, *, child: bool) -> None:
        if child:
            for file in self._open:
                os.close(file)
            self._open.clear()
        self._lock.release()


_LOCK_FILES: Final = _LockFiles()


@contextmanager
def locked(path: Path) -> Generator[None]:
    """Hold the lock file ``path``, created if missing, for the time of a small read and write.

    Raises `TokenStoreError` if another process holds it for too long, `OSError` if it cannot be
    created.
    """
    make_directory(path.parent, 0o700)
    file = _LOCK_FILES.open(path)
    try:
        until = time.monotonic() + _PATIENCE
        while not _try_lock(file):
            if time.monotonic() > until:
                raise TokenStoreError(
                    f"another process has held {path} for {_PATIENCE:.0f} s; stop that process"
                )
            time.sleep(_PAUSE)
        yield
    finally:
        _LOCK_FILES.close(file)


if sys.platform == "win32":
    import msvcrt

    def _try_lock(file: int) -> bool:
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _try_lock(file: int) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
