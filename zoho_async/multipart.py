"""The multipart form that files travel in.

A part writes its file to the connection piece by piece and never holds more than one piece. Where
the sizes of all files are known, the form says its length at the start; where one is not, it goes
in chunks. A source that fails (a file that vanished, an iterator that raised) ends the connection
in the middle of the form, which no server can take for a whole one; aiohttp would report that as a
broken connection, so the form remembers what really happened.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from typing import Any, Final, Protocol

import aiohttp
from aiohttp.abc import AbstractStreamWriter

from zoho_async.uploads import Upload


class Writable(Protocol):
    """What takes the bytes of a part."""

    async def write(self, chunk: bytes) -> None: ...


class Form:
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

    def __init__(self, form: Form, file: Upload, length: int | None, most: int | None) -> None:
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
