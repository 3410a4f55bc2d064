"""JSON Lines, durable to a known length.

`append` returns only after the bytes are on the disk; whoever then writes down the length may
promise those rows. What lies beyond a promised length was never promised: `reopen` cuts it off.

A row keeps its own bytes. Only raw line breaks between its tokens become spaces (inside JSON text
they cannot stand unescaped), so that one row is one line.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

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
