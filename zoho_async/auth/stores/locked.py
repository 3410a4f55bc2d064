"""A file lock between processes.

The kernel releases the lock when its holder dies, so it never needs to be broken. It is held for
the time of one small read and write.

A forked child inherits the open file, and with it the lock: the child would keep it after its
parent released it. So the child first closes its copies, which leaves the parent's lock as it is.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from zoho_async import fork
from zoho_async.errors import TokenStoreError

#: Longest wait for the lock, and pause between two tries, in seconds.
_PATIENCE: Final = 30.0
_PAUSE: Final = 0.005


class _Files:
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


_FILES: Final = _Files()


@contextmanager
def locked(path: Path) -> Generator[None]:
    """Hold the lock file ``path``, created if missing. Blocks: call it off the event loop.

    Raises `TokenStoreError` if another process holds it for too long, `OSError` if it cannot be
    created.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = _FILES.open(path)
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
        _FILES.close(file)


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


def write_private(path: Path, content: bytes) -> None:
    """Replace ``path`` by ``content``, whole or not at all, readable by its owner only."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.new")
    draft.unlink(missing_ok=True)
    file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(file, "wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
