"""Files to be sent: from a path, from bytes, or from an async iterator of bytes.

What Zoho takes is checked before anything is sent: the kind of file by its name's ending, the size
where it is known (an iterator without a ``size`` is counted as it goes). A file is read while it is
sent, and again for every further attempt; an iterator can be read once only.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Mapping
from contextlib import aclosing
from io import BufferedReader
from pathlib import Path
from threading import Lock
from typing import Any, Final, Protocol, TypeAlias, cast

import aiohttp
from aiohttp.abc import AbstractStreamWriter

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
        given = cast(object, content)  # a path as text is easily taken for one
        if not isinstance(given, bytes | os.PathLike | AsyncIterable):
            raise TypeError(
                f"{name} is given as {type(given).__name__}; give bytes, a pathlib.Path, or an "
                "async iterator of bytes"
            )
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
            source = aiter(self.content)
            try:
                async for piece in source:
                    yield piece
            finally:  # what it holds open is given up now, and not some time later
                if isinstance(source, AsyncGenerator):
                    await source.aclose()


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


class Writable(Protocol):
    """What takes the bytes of a part."""

    async def write(self, chunk: bytes) -> None: ...


class MultipartForm:
    """Fields and files of one call. It can be sent as often as its files can be read.

    ``lengths`` are the sizes of the files as they were looked up, ``most`` is the greatest size of
    those that are checked.
    """

    def __init__(
        self,
        fields: Mapping[str, str],
        files: Mapping[str, Upload],
        *,
        lengths: Mapping[str, int | None],
        most: int,
    ) -> None:
        self._fields: Final = fields
        self._files: Final = files
        self._lengths: Final = lengths
        self._most: Final = most
        self.failure: Exception | None = None

    @property
    def is_spent(self) -> bool:
        """Whether a file was read that cannot be read again."""
        return any(file.is_spent for file in self._files.values())

    def body(self) -> aiohttp.MultipartWriter:
        """The form for one attempt; sending uses it up."""
        self.failure = None
        writer = aiohttp.MultipartWriter("form-data")
        for name, text in self._fields.items():
            field = aiohttp.payload.StringPayload(text)
            field.set_content_disposition("form-data", quote_fields=False, name=name)
            writer.append_payload(field)
        for name, file in self._files.items():
            most = self._most if file.check else None
            part = _Part(self, file, self._lengths[name], most)
            part.set_content_disposition(
                "form-data", quote_fields=False, name=name, filename=file.name
            )
            writer.append_payload(part)
        return writer


class _Part(aiohttp.Payload):
    """One file of a form."""

    def __init__(
        self, form: MultipartForm, file: Upload, length: int | None, most: int | None
    ) -> None:
        super().__init__(file, content_type=file.content_type)
        self._form: Final = form
        self._file: Final = file
        self._length: Final = length
        self._most: Final = most

    @property
    def size(self) -> int | None:
        return self._length

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        raise TypeError("a file that is being sent is no text")

    async def write(self, writer: AbstractStreamWriter | Any) -> None:
        try:
            await self._write(writer)
        except Exception as error:
            if not isinstance(error, ConnectionError | aiohttp.ClientError):
                self._form.failure = error
            raise

    async def _write(self, writer: Writable) -> None:
        written = 0
        async with aclosing(self._file.chunks()) as chunks:
            async for chunk in chunks:
                written += len(chunk)
                if self._length is not None and written > self._length:
                    raise ValueError(f"{self._file.name} holds more than {self._length} bytes")
                if self._most is not None and written > self._most:
                    raise ValueError(f"{self._file.name} holds more than {self._most} bytes")
                await writer.write(chunk)
        if self._length is not None and written < self._length:
            raise ValueError(f"{self._file.name} ended after {written} of {self._length} bytes")
