"""Files to upload: from a path, from bytes, or from an async iterator of bytes.

Zoho's rules are checked before anything is sent: the type by the file name's extension, and the
size if it is known (an iterator without a ``size`` is counted while it is sent). A file is read
while it is sent, and again for each further attempt. An iterator can be read only once.
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
    """A file to send under ``name``.

    ``content`` is bytes, a path, or an async iterable of bytes, for which ``size`` in bytes may be
    given. ``check=False`` skips the documented rules for types and sizes and lets Zoho decide.
    """

    __slots__ = ("_begun", "check", "content", "name", "size")

    def __init__(
        self, name: str, content: Content, *, size: int | None = None, check: bool = True
    ) -> None:
        if not name or any(mark in name for mark in '\r\n"/\\'):
            raise ValueError(f"{name!r} is not a file name; pass a name without a folder or quotes")
        given = cast(object, content)  # callers often pass a path as str
        if not isinstance(given, bytes | os.PathLike | AsyncIterable):
            raise TypeError(
                f"the content of {name} must be bytes, a pathlib.Path or an async iterator of "
                f"bytes, got {type(given).__name__}"
            )
        self.name: Final = name
        self.content: Final = content
        self.size: Final = len(content) if isinstance(content, bytes) else size
        self.check: Final = check
        self._begun = False

    @classmethod
    def from_path(cls, path: str | os.PathLike[str], *, check: bool = True) -> Upload:
        """The file at ``path``, under its own name. It is read while it is sent."""
        return cls(Path(path).name, Path(path), check=check)

    def __repr__(self) -> str:
        size = "" if self.size is None else f", {self.size} bytes"
        return f"Upload({self.name!r}{size})"

    @property
    def extension(self) -> str:
        """The name's extension in lower case, without the dot."""
        return self.name.rpartition(".")[2].lower() if "." in self.name else ""

    @property
    def content_type(self) -> str:
        """The media type for the name's extension."""
        return _TYPES.get(self.extension, "application/octet-stream")

    @property
    def is_spent(self) -> bool:
        """Whether it was read and cannot be read again."""
        return self._begun and isinstance(self.content, AsyncIterator)

    async def length(self) -> int | None:
        """The size in bytes, or None if it is not known. Raises `OSError` if it is missing."""
        if not isinstance(self.content, os.PathLike):
            return self.size
        from anyio import to_thread  # needed for files only

        return await to_thread.run_sync(_length, self.content)

    async def chunks(self) -> AsyncGenerator[bytes]:
        """The content in pieces. Raises `ValueError` if it is an iterator that was read before."""
        if self.is_spent:
            raise ValueError(
                f"{self.name} comes from an iterator that was read before; pass its path or bytes"
            )
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
            finally:  # close it now instead of when it is collected
                if isinstance(source, AsyncGenerator):
                    await source.aclose()


class _Reader:
    """A file that is read on threads, one piece at a time.

    A cancelled caller stops waiting for its thread, but the thread continues: `close` waits for it,
    and reads that have not started return nothing.
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
    """Raise `ValueError` for a file that Zoho does not accept, according to the documents."""
    if not file.check:
        return
    lift = "Upload(..., check=False) sends it anyway"
    if types and file.extension not in types:
        raise ValueError(f"{file.name}: Zoho accepts {', '.join(types)} here; {lift}")
    if length is not None and length > most:
        raise ValueError(f"{file.name} has {length} bytes, but Zoho accepts {most}; {lift}")
    if length == 0:
        raise ValueError(f"{file.name} is empty; {lift}")


def _length(path: os.PathLike[str]) -> int:
    """The size of a file that can be opened."""
    with open(path, "rb") as file:
        return os.fstat(file.fileno()).st_size


class Writable(Protocol):
    """Takes the bytes of a part."""

    async def write(self, chunk: bytes) -> None: ...


class MultipartForm:
    """Fields and files of one call. It can be sent as often as its files can be read.

    ``lengths`` are the known sizes of the files, ``most`` is the maximum size of the checked ones.
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
        """The form for one attempt. Sending uses it up."""
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
        raise TypeError("an upload cannot be decoded as text")

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
                    raise ValueError(
                        f"{self._file.name} has more than the expected {self._length} bytes"
                    )
                if self._most is not None and written > self._most:
                    raise ValueError(
                        f"{self._file.name} has more than the {self._most} bytes that Zoho accepts"
                    )
                await writer.write(chunk)
        if self._length is not None and written < self._length:
            raise ValueError(f"{self._file.name} ended after {written} of {self._length} bytes")
