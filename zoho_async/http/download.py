"""Documents that Zoho creates or stores: PDFs and images of records, attachments, receipts.

A `Download` makes no call until it is read, so an unused one holds nothing open. While its document
arrives, it holds a connection and a slot of the concurrency limit. Both are released when
`Download.save` or `Download.read` return or raise, or when the block of `Download.open` ends. If a
document breaks off, the call is repeated as for any read, except inside `Download.open`, where the
caller already has part of it.
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
from typing import Any, Final, NamedTuple, Protocol, TypeVar, cast

from zoho_async.http.file_names import disposition_name, file_name
from zoho_async.http.transport import OpenResponse

T = TypeVar("T")


class Document:
    """A document that is arriving: its headers, and its bytes as they come.

    ``name`` is its file name without a folder, ``content_type`` its media type, ``size`` its length
    in bytes if Zoho sends it. Iterate over it once to get its bytes.
    """

    def __init__(
        self,
        opened: OpenResponse,
        fallback: str,
        finish: Callable[[Document], Coroutine[Any, Any, None]],
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
        """The bytes, in pieces as they arrive. Raises `ConnectionBroken` or `CallTimeout`."""
        return self._opened.chunks()

    async def read(self) -> bytes:
        """Read the rest of it. Raises as iterating does."""
        return (await self._opened.read()).body

    async def save(self, target: str | os.PathLike[str]) -> Path:
        """Write the rest of it to ``target``; see `Download.save`."""
        from zoho_async.http.atomic_file import save  # loads threads, which few programs need

        return await save(self, target, self.name)

    async def aclose(self) -> None:
        """Release the connection and the slot. Calling it again does nothing."""
        if not self._is_closed:
            self._is_closed = True
            self._opened.close()
            await self._finish(self)


class DocumentCall(Protocol):
    """Gets a document and passes it to ``use``; does so again if it breaks off."""

    async def __call__(self, use: Callable[[Document], Awaitable[T]], /) -> T: ...


class Download:
    """A document to get, any number of times. Each time is a call.

    All methods raise what `Session.call` raises, and `UnreadableReply` for an answer that is not a
    document (HTML, an empty one, or not a PDF if a PDF was requested).
    """

    def __init__(self, call: DocumentCall) -> None:
        self._call: Final = call

    async def save(self, target: str | os.PathLike[str]) -> Path:
        """Write it to ``target`` and return the path. It is never in memory as a whole.

        A ``target`` that is a folder, ends in a separator or has no suffix is a folder (created if
        missing): the document gets its own name, with a number if that name exists. Any other
        ``target`` is the file itself, which is replaced. The file appears once it is complete.
        Raises `OSError` if it cannot be written.
        """

        async def use(document: Document) -> Path:
            try:
                return await document.save(target)
            finally:
                await document.aclose()

        return await self._call(use)

    async def read(self) -> bytes:
        """Read the whole document into memory."""

        async def use(document: Document) -> bytes:
            try:
                return await document.read()
            finally:
                await document.aclose()

        return await self._call(use)

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[Document]:
        """Get it and process it while it arrives: ``async with pdf.open() as document``."""
        document = await self._call(_unchanged)
        try:
            yield document
        finally:
            await document.aclose()


class Downloads:
    """Documents of many records, one per batch of ids. ``async for`` gives each `Download`.

    ``len`` is the number of documents. Only a document that is read makes a call.
    """

    def __init__(self, downloads: Sequence[Download]) -> None:
        self._downloads: Final = downloads

    def __len__(self) -> int:
        return len(self._downloads)

    def __aiter__(self) -> AsyncIterator[Download]:
        return _Each(iter(self._downloads))


class _Each:
    """An async iterator over existing values."""

    def __init__(self, downloads: Iterator[Download]) -> None:
        self._downloads: Final = downloads

    def __aiter__(self) -> _Each:
        return self

    async def __anext__(self) -> Download:
        for download in self._downloads:
            return download
        raise StopAsyncIteration


class Attachment(NamedTuple):
    """An attached file of a record; ``file`` makes no call until it is read."""

    document_id: str
    file_name: str
    file: Download


def attachments(download: Callable[[str], Download], record: object) -> list[Attachment]:
    """All attached files of a record, in their order.

    The record must be the one of a ``get``: rows of lists do not name their files.

    Args:
        download: ``zoho.books.documents.download``, or that of ``zoho.inventory``.
        record: The record, such as the result of ``zoho.books.bills.get``.
    """
    rows: Any = getattr(record, "documents", None) or getattr(record, "extra", {}).get("documents")
    found: list[Attachment] = []
    for row in rows or ():
        number, name = (_value(row, each) for each in ("document_id", "file_name"))
        if number:
            found.append(Attachment(str(number), str(name or ""), download(str(number))))
    return found


def _value(row: Any, name: str) -> Any:
    if isinstance(row, dict):
        return cast(dict[str, Any], row).get(name)
    return getattr(row, name, None)


async def _unchanged(document: Document) -> Document:
    return document


def _file_name(disposition: str, fallback: str, document: Document) -> str:
    """The reply's own file name without a folder, or one made from the operation's name."""
    kind = document.content_type.rpartition("/")[2]
    plain = kind if kind.isalnum() and len(kind) < 10 else "bin"
    return file_name(disposition_name(disposition), f"{fallback}.{plain}")
