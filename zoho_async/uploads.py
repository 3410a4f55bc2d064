"""Files to be sent: from a path, from bytes, or from an async iterator of bytes.

What Zoho takes is checked before anything is sent: the kind of file by its name's ending, the size
where it is known (an iterator without a ``size`` is counted as it goes). A file is read while it is
sent, and again for every further attempt; an iterator can be read once only.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from io import BufferedReader
from pathlib import Path
from threading import Lock
from typing import Final, TypeAlias

Content: TypeAlias = bytes | os.PathLike[str] | AsyncIterable[bytes]

_PIECE: Final = 256 * 1024
_TYPES: Final = {
    "bmp": "image/bmp",
    "csv": "text/csv",
    "doc": "application/msword",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "gif": "image/gif",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "pdf": "application/pdf",
    "png": "image/png",
    "webp": "image/webp",
    "xls": "application/vnd.ms-excel",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "xml": "application/xml",
}


class Upload:
    """A file to be sent under ``name``.

    ``content`` is bytes, a path, or an async iterable of bytes, whose ``size`` in bytes may be
    given. ``check=False`` sends it whatever the documents say of types and sizes: Zoho decides.
    """

    __slots__ = ("_begun", "check", "content", "name", "size")

    def __init__(
        self, name: str, content: Content, *, size: int | None = None, check: bool = True
    ) -> None:
        if not name or any(mark in name for mark in '\r\n"/\\'):
            raise ValueError(f"{name!r} is no name of a file")
        self.name: Final = name
        self.content: Final = content
        self.size: Final = len(content) if isinstance(content, bytes) else size
        self.check: Final = check
        self._begun = False

    @classmethod
    def from_path(cls, path: str | os.PathLike[str], *, check: bool = True) -> Upload:
        """The file at ``path``, under its own name. It is read when it is sent."""
        return cls(Path(path).name, Path(path), check=check)

    def __repr__(self) -> str:
        size = "" if self.size is None else f", {self.size} bytes"
        return f"Upload({self.name!r}{size})"

    @property
    def extension(self) -> str:
        """What the name ends in, in lower case and without the dot."""
        return self.name.rpartition(".")[2].lower() if "." in self.name else ""

    @property
    def content_type(self) -> str:
        """The media type that goes with the name."""
        return _TYPES.get(self.extension, "application/octet-stream")

    @property
    def is_spent(self) -> bool:
        """Whether it was read, and cannot be read again."""
        return self._begun and isinstance(self.content, AsyncIterator)

    async def length(self) -> int | None:
        """The size in bytes, or None where it is not known. Raises `OSError` for no such file."""
        if not isinstance(self.content, os.PathLike):
            return self.size
        from anyio import to_thread  # programs without files do not load it

        return await to_thread.run_sync(_length, self.content)

    async def chunks(self) -> AsyncGenerator[bytes]:
        """The content in pieces. Raises `ValueError` where an iterator was read before."""
        if self.is_spent:
            raise ValueError(f"{self.name} comes from an iterator, which was read before")
        self._begun = True
        if isinstance(self.content, bytes):
            view = memoryview(self.content)
            for start in range(0, len(view), _PIECE):
                yield bytes(view[start : start + _PIECE])
        elif isinstance(self.content, os.PathLike):
            from anyio import CancelScope, to_thread

            reader = _Reader(self.content)
            try:
                while piece := await to_thread.run_sync(reader.read):
                    yield piece
            finally:
                with CancelScope(shield=True):
                    await to_thread.run_sync(reader.close)
        else:
            async for piece in self.content:
                yield piece


class _Reader:
    """A file that is read on threads, one piece at a time.

    Who waits for a thread may be cancelled, and the thread goes on: so `close` waits for it, and
    what was still to be read is not.
    """

    def __init__(self, path: os.PathLike[str]) -> None:
        self._path: Final = path
        self._turn: Final = Lock()
        self._is_closed = False
        self._file: BufferedReader | None = None

    def read(self) -> bytes:
        with self._turn:
            if self._is_closed:
                return b""
            if self._file is None:
                self._file = open(self._path, "rb")  # noqa: SIM115 - `close` closes it
            return self._file.read(_PIECE)

    def close(self) -> None:
        with self._turn:
            self._is_closed = True
            if self._file is not None:
                self._file.close()


def checked(file: Upload, length: int | None, types: tuple[str, ...], most: int) -> None:
    """Raise `ValueError` for a file that the documents say is not taken."""
    if not file.check:
        return
    lift = "Upload(..., check=False) sends it all the same"
    if types and file.extension not in types:
        raise ValueError(f"{file.name}: Zoho takes {', '.join(types)} here; {lift}")
    if length is not None and length > most:
        raise ValueError(f"{file.name} has {length} bytes, and Zoho takes {most}; {lift}")
    if length == 0:
        raise ValueError(f"{file.name} is empty; {lift}")


def _length(path: os.PathLike[str]) -> int:
    """The size of a file that can be opened."""
    with open(path, "rb") as file:
        return os.fstat(file.fileno()).st_size
