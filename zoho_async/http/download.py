"""Documents that Zoho makes or keeps: PDFs and images of records, attachments, receipts.

A `Download` asks for nothing until it is read, so nothing is held open by one that never is. While
its document arrives, it holds a connection and a place among the calls in flight; both are given
back when `Download.save` or `Download.read` return or raise, or when the block of `Download.open`
is left, whatever the reason. A document that breaks off is asked for again as any read is, except
inside `Download.open`, where some of it was handed out.
"""

from __future__ import annotations

import os
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Iterator,
    Sequence,
)
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from zoho_async.http.file_names import disposition_name, file_name
from zoho_async.http.transport import Opened

T = TypeVar("T")


class Document:
    """A document that is arriving: its head, and its bytes as they come.

    ``name`` is its file name without any folder, ``content_type`` its media type, ``size`` its
    length in bytes where Zoho tells it. Iterate over it for its bytes, once.
    """

    def __init__(
        self, opened: Opened, fallback: str, finish: Callable[[Document], Coroutine[Any, Any, None]]
    ) -> None:
        self._opened: Final = opened
        self._finish: Final = finish
        self._is_closed = False
        head = opened.headers
        self.content_type: Final = head.get("content-type", "").partition(";")[0].strip().lower()
        self.name: Final = _file_name(head.get("content-disposition", ""), fallback, self)
        length = head.get("content-length", "")
        plain = "content-encoding" not in head and length.isdecimal()
        self.size: Final = int(length) if plain else None

    def __repr__(self) -> str:
        size = "" if self.size is None else f", {self.size} bytes"
        return f"Document({self.name!r}, {self.content_type!r}{size})"

    def __aiter__(self) -> AsyncIterator[bytes]:
        """The bytes, in pieces as they come. Raises `ConnectionBroken` or `CallTimeout`."""
        return self._opened.chunks()

    async def read(self) -> bytes:
        """What is left of it. Raises as iterating does."""
        return (await self._opened.read()).body

    async def save(self, target: str | os.PathLike[str]) -> Path:
        """Write what is left of it; see `Download.save`."""
        from zoho_async.http.atomic_file import save  # programs that save nothing need no threads

        return await save(self, target, self.name)

    async def aclose(self) -> None:
        """Give the connection and the place in flight back. Calling it again does nothing."""
        if not self._is_closed:
            self._is_closed = True
            self._opened.close()
            await self._finish(self)


class Carrier(Protocol):
    """What gets a document, and hands it to ``use`` (again, if it breaks off)."""

    async def __call__(self, use: Callable[[Document], Awaitable[T]], /) -> T: ...


class Download:
    """A document that can be asked for, any number of times; each time is a call.

    All of its methods raise what `Session.call` raises, and `UnreadableReply` for an answer that is
    no document (HTML, an empty one, anything but a PDF where a PDF was asked for).
    """

    def __init__(self, carry: Carrier) -> None:
        self._carry: Final = carry

    async def save(self, target: str | os.PathLike[str]) -> Path:
        """Write it to ``target`` and return the path; it is never in memory as a whole.

        A ``target`` that is a folder, ends in a separator or has no suffix is a folder (made if
        need be), in which the document gets its own name, with a number where another file has it
        already. Any other is the file itself, which is replaced. The file appears when it is
        complete. Raises `OSError` where it cannot be written.
        """

        async def use(document: Document) -> Path:
            try:
                return await document.save(target)
            finally:
                await document.aclose()

        return await self._carry(use)

    async def read(self) -> bytes:
        """The whole document."""

        async def use(document: Document) -> bytes:
            try:
                return await document.read()
            finally:
                await document.aclose()

        return await self._carry(use)

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[Document]:
        """Ask for it and look at it while it arrives: ``async with pdf.open() as document``."""
        document = await self._carry(_as_it_is)
        try:
            yield document
        finally:
            await document.aclose()


class Downloads:
    """Documents of many records, one for each batch of ids; ``async for`` gives each `Download`.

    ``len`` says how many there are. Nothing is asked for but by those that are read.
    """

    def __init__(self, downloads: Sequence[Download]) -> None:
        self._downloads: Final = downloads

    def __len__(self) -> int:
        return len(self._downloads)

    def __aiter__(self) -> AsyncIterator[Download]:
        return _Each(iter(self._downloads))


class _Each:
    """An async iterator over what is there already."""

    def __init__(self, downloads: Iterator[Download]) -> None:
        self._downloads: Final = downloads

    def __aiter__(self) -> _Each:
        return self

    async def __anext__(self) -> Download:
        for download in self._downloads:
            return download
        raise StopAsyncIteration


async def _as_it_is(document: Document) -> Document:
    return document


def _file_name(disposition: str, fallback: str, document: Document) -> str:
    """The reply's own file name without any folder, or one made from the operation's."""
    kind = document.content_type.rpartition("/")[2]
    plain = kind if kind.isalnum() and len(kind) < 10 else "bin"
    return file_name(disposition_name(disposition), f"{fallback}.{plain}")
