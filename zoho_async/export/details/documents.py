"""Save the documents of one record: what Zoho prints of it, and all of its attachments.

Model. A record has any number of attachments, each a document with an id. The read of the single
record lists them in ``documents``. ``/attachment`` of a record returns the last one only, or JSON
that names several. So a record costs one call for its read and one per document that is not saved
yet. ``/attachment`` is used only if the read lists no documents.

Files, in the folder of the resource:

    INV-1-460001.pdf             what Zoho prints, written again when the record changes
    460001/7001_receipt.png      the document 7001, under the name that it had when it was saved
    460001/receipt.png           a file without an id (a receipt, an image)

Invariants.

- *Nothing that was saved is deleted or replaced*, except the print. The name of a document's file
  begins with its id, so it is unique, and it is found again after a rename at Zoho. A file without
  an id gets the next free name, unless a file with the same content exists.
- *Nothing is downloaded twice.* The folder is the record of what was saved: a document with a file
  is not requested. A file that a person removed is downloaded again with its record.
- *One document never stops another.* A document that is refused, missing or broken is a `Failure`.
  Its record stays in the queue, and the next run tries again.
- *Every file is whole.* Documents are downloaded to a hidden folder ``.*.part``, and renamed
  durably before the queue drops the record.

The print is named by the number of the record and its id, or by its id alone if the row has no
number. When a print is written, the one under an earlier number, or under the name that version
0.1.0 gave it (``460001.pdf``), is removed. The folder of attachments is named by the id alone,
because a number can change.

Names come from outside, so `zoho_async.http.file_names` makes file names of them. A record's folder
that is a symbolic link is refused, since it may point anywhere.

Unknown. Whether an attachment changes the record's time of modification. If it does not, a later
run finds it only when the record changes, or when everything is read again.
"""

from __future__ import annotations

import filecmp
import os
import shutil
import tempfile
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import anyio.to_thread
import msgspec

from zoho_async.description import OperationFacts
from zoho_async.errors import (
    AuthError,
    CallTimeout,
    ConnectionBroken,
    InvalidToken,
    LimitError,
    NotAuthorized,
    OrganizationError,
    ReplyError,
    UnreadableReply,
    says_gone,
)
from zoho_async.export.catalog import list_operation
from zoho_async.export.details.operations import ATTACHMENT, PDF, DocumentSources, record_in
from zoho_async.export.details.queue import PendingRecord
from zoho_async.files import make_directory, move, remove
from zoho_async.http.file_names import LONGEST, component, file_name
from zoho_async.operation import PRODUCTS, Operation
from zoho_async.session import Session
from zoho_async.wire import Unreadable
from zoho_async.wire.text import is_array, is_object, untyped

#: Errors that end the run, even if a document caused them.
_ENDS_RUN: Final = (LimitError, AuthError, InvalidToken, OrganizationError)
_DRAFT: Final = ".part"
_PDF_TYPE: Final = "application/pdf"
#: The most bytes of a record's number in the name of its print.
_LONGEST_NUMBER: Final = 100
#: The path of a document by its id alone. Undocumented; tried live.
_BY_ID: Final = "/documents/{document_id}"


class ListedDocument(msgspec.Struct, frozen=True):
    """A document as its record lists it."""

    id: str
    name: str


class Failure(msgspec.Struct, frozen=True):
    """A document that could not be saved. ``document`` is its id, or its kind."""

    document: str
    reason: str


class SaveResult(msgspec.Struct, frozen=True):
    """The result for one record: how many files were saved, and what failed."""

    files: int
    failures: tuple[Failure, ...] = ()


class _Refused(Exception):
    """A document cannot be requested, or its file cannot be written."""


class _RecordResult:
    """The result for one record so far. Documents are downloaded to ``holder``."""

    def __init__(self, holder: Path) -> None:
        self.holder: Final = holder
        self.files = 0
        self.failures: Final[list[Failure]] = []


#: Errors that concern one document only.
_ONE_DOCUMENT: Final = (
    *(ReplyError, UnreadableReply, ConnectionBroken, CallTimeout),
    *(Unreadable, _Refused, ValueError),
)


class Documents:
    """Saves the documents of the records of one resource into ``folder``."""

    def __init__(self, zoho: Session, documents: DocumentSources, folder: Path) -> None:
        self.calls = 0
        self.answered = 0  # the calls that brought a document, or the list of a record's documents
        self._zoho: Final = zoho
        self._sources: Final = documents
        self._folder: Final = folder
        self._closed: Final[set[str]] = set()

    def prepare(self) -> None:
        """Remove the unfinished downloads of a killed run. Blocks."""
        for draft in self._folder.glob(f".*{_DRAFT}"):
            if draft.is_dir() and not draft.is_symlink():
                shutil.rmtree(draft, ignore_errors=True)
            else:
                draft.unlink(missing_ok=True)

    async def save(self, record: PendingRecord) -> SaveResult:
        """Save what ``record`` asks for and is not there yet. Raises what ends the run."""
        words, _, number = record.argument.partition("\n")
        wanted = words.split()
        result = _RecordResult(await anyio.to_thread.run_sync(_holder_in, self._folder))
        try:
            if ATTACHMENT in wanted:
                await self._attempt(result, ATTACHMENT, self._save_attachments(result, record))
            for name, facts in self._sources.attachments.items():
                if name in wanted and name != ATTACHMENT:
                    await self._attempt(result, name, self._save_without_id(result, record, facts))
            if (
                PDF in wanted and self._sources.printed is not None
            ):  # last, because it is not kept if cut off
                await self._attempt(result, PDF, self._save_print(result, record, number))
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(_remove, result.holder)
        return SaveResult(result.files, tuple(result.failures))

    async def _attempt(
        self, result: _RecordResult, what: str, work: Coroutine[Any, Any, None]
    ) -> None:
        """Do ``work``; keep its failure if it concerns only the document."""
        try:
            await work
        except _ONE_DOCUMENT as error:
            result.failures.append(Failure(what, str(_raise_if_fatal(error))))

    # -- the kinds of documents --------------------------------------------------------------------

    async def _save_print(self, result: _RecordResult, record: PendingRecord, number: str) -> None:
        assert self._sources.printed is not None
        operation = _file_at(self._sources.printed, accept=_PDF_TYPE)
        path = await self._download_if_present(operation, (record.id,), result)
        if path is not None:
            target = self._folder / print_name(record.id, number)
            await self._move_to(result, path, target)
            await anyio.to_thread.run_sync(_remove_earlier_prints, target, record)

    async def _save_attachments(self, result: _RecordResult, record: PendingRecord) -> None:
        last = self._sources.attachments.get(ATTACHMENT)
        listed = await self._list_documents(record.id)
        if listed is None and last is not None:
            try:
                await self._save_without_id(result, record, last)
            except UnreadableReply:
                listed = await self._list_from_attachment(last, record.id)
        place = self._folder / component(record.id)
        there = await anyio.to_thread.run_sync(_ids_in, place)
        for one in listed or ():
            if component(one.id) not in there:
                only = last if len(listed or ()) == 1 else None
                await self._attempt(
                    result, one.id, self._save_attachment(result, record, one, place, only)
                )

    async def _save_attachment(
        self,
        result: _RecordResult,
        record: PendingRecord,
        one: ListedDocument,
        place: Path,
        last: OperationFacts | None,
    ) -> None:
        """Save the document ``one``; ``last`` is another way to it if it is the only one."""
        try:
            path = await self._download_by_id(result, record.id, one.id)
        except _ONE_DOCUMENT as error:
            _raise_if_fatal(error)
            found = (
                await self._download_if_present(_file_at(last), (record.id,), result)
                if last
                else None
            )
            if found is None:
                raise
            path = found
        front = f"{component(one.id)}_"
        name = file_name(one.name, path.name, LONGEST)
        await self._move_to(result, path, place / f"{front}{name}")

    async def _save_without_id(
        self, result: _RecordResult, record: PendingRecord, facts: OperationFacts
    ) -> None:
        path = await self._download_if_present(_file_at(facts), (record.id,), result)
        if path is not None:
            place = self._folder / component(record.id)
            result.files += await anyio.to_thread.run_sync(_add, path, place)

    async def _move_to(self, result: _RecordResult, path: Path, target: Path) -> None:
        await anyio.to_thread.run_sync(_move, path, target)
        result.files += 1

    # -- questions ---------------------------------------------------------------------------------

    async def _list_documents(self, identity: str) -> list[ListedDocument] | None:
        """Return the documents that the read of a record lists; None if it lists none."""
        read = self._sources.read
        if read is None:
            return None

        def documents(body: bytes) -> list[ListedDocument] | None:
            with suppress(msgspec.DecodeError):
                if row := record_in(read, body, self._sources.row_id):
                    return documents_in(untyped(row))
            raise Unreadable(f"the reply holds no record {identity}")

        return await self._request(read, identity, documents)

    async def _list_from_attachment(
        self, facts: OperationFacts, identity: str
    ) -> list[ListedDocument]:
        """Return the documents that ``/attachment`` names in JSON instead of a file."""

        def documents(body: bytes) -> list[ListedDocument]:
            if found := documents_in(untyped(body)):
                return found
            raise Unreadable("the reply is no document and names none")

        return await self._request(facts, identity, documents) or []

    async def _request(
        self,
        facts: OperationFacts,
        identity: str,
        read: Callable[[bytes], list[ListedDocument] | None],
    ) -> list[ListedDocument] | None:
        self.calls += 1
        try:
            _, found = await self._zoho.fetch_page(list_operation(facts), read, ids=(identity,))
        except ReplyError as error:
            if says_gone(error):
                return []
            raise
        self.answered += 1
        return found

    async def _download_by_id(self, result: _RecordResult, identity: str, document: str) -> Path:
        """Download one document by its id, by the first way that works."""
        ways: list[tuple[Operation[bytes], Sequence[str]]] = []
        ways.append((_document_by_id(self._sources.product), (document,)))
        ways += [(_file_at(facts), (identity, document)) for facts in self._sources.by_id]
        failure: Exception = _Refused("the scopes allow no access to documents by their ids")
        for operation, ids in ways:
            if operation.path in self._closed:
                continue
            try:
                return await self._download(operation, ids, result)
            except _ONE_DOCUMENT as error:
                failure = _raise_if_fatal(error)
                if isinstance(error, NotAuthorized):  # it is the same for all documents
                    self._closed.add(operation.path)
        raise failure

    async def _download_if_present(
        self, operation: Operation[bytes], ids: Sequence[str], result: _RecordResult
    ) -> Path | None:
        """Download a document; None if Zoho says that it does not exist."""
        try:
            return await self._download(operation, ids, result)
        except ReplyError as error:
            if says_gone(error):
                return None
            raise

    async def _download(
        self, operation: Operation[bytes], ids: Sequence[str], result: _RecordResult
    ) -> Path:
        query = {"accept": "pdf"} if operation.accept == _PDF_TYPE else {}
        download = self._zoho.download(operation, ids=ids, query=query)
        self.calls += 1
        path = await download.save(f"{result.holder}/")
        self.answered += 1
        return path


def print_name(identity: str, number: str) -> str:
    """The file name of the print of a record: ``INV-000123-4600000012345.pdf``.

    >>> print_name("460001", "INV/24-25/7"), print_name("460001", "")
    ('INV-24-25-7-460001.pdf', '460001.pdf')
    """
    shown = file_name(number.replace("/", "-").replace("\\", "-"), "", _LONGEST_NUMBER)
    return f"{shown}-{component(identity)}.pdf" if shown else f"{component(identity)}.pdf"


def documents_in(record: object) -> list[ListedDocument] | None:
    """Return the documents that ``record`` lists; None if the list cannot be relied on."""
    rows: object = record.get("documents") if is_object(record) else None
    if not is_object(record) or not is_array(rows):
        return None
    found: dict[str, ListedDocument] = {}
    for row in rows:
        identity = str(row.get("document_id") or "").strip() if is_object(row) else ""
        if identity:
            found[identity] = ListedDocument(identity, str(row.get("file_name") or ""))
    if not found and (rows or record.get("has_attachment") in (True, "true")):
        return None
    return list(found.values())


def _raise_if_fatal(error: Exception) -> Exception:
    """Return ``error`` if it concerns one document; raise it if it ends the run."""
    if isinstance(error, _ENDS_RUN):
        raise error
    return error


def _file_at(facts: OperationFacts, accept: str = "*/*") -> Operation[bytes]:
    return Operation(
        name=facts.name,
        product=PRODUCTS[facts.product],
        method="GET",
        path=facts.path,
        result=bytes,
        scope=facts.scope,
        accept=accept,
    )


def _document_by_id(product: str) -> Operation[bytes]:
    return Operation(
        name=f"{product}.documents.get",
        product=PRODUCTS[product],
        method="GET",
        path=_BY_ID,
        result=bytes,
        accept="*/*",
    )


# -- the disk --------------------------------------------------------------------------------------


def _holder_in(folder: Path) -> Path:
    make_directory(folder)
    return Path(tempfile.mkdtemp(prefix=".", suffix=_DRAFT, dir=folder))


def _remove(holder: Path) -> None:
    shutil.rmtree(holder, ignore_errors=True)


def _names_in(place: Path) -> list[str]:
    """List the folder of a record. Raises `_Refused` if it is not a folder."""
    if place.is_symlink():
        raise _Refused(f"{place} is a symbolic link")
    try:
        return os.listdir(place)
    except FileNotFoundError:
        return []
    except NotADirectoryError:
        raise _Refused(f"{place} is not a folder") from None


def _ids_in(place: Path) -> set[str]:
    """Return the ids of the documents saved in a record's folder, as `component`s."""
    return {front for name in _names_in(place) for front, line, _ in [name.partition("_")] if line}


def _move(path: Path, target: Path) -> None:
    """Rename ``path``, durably. A link at ``target`` is replaced, not the file it points to."""
    if target.parent.is_symlink() or (target.is_dir() and not target.is_symlink()):
        raise _Refused(f"{target} is in the way")
    make_directory(target.parent)
    move(path, target)


def _remove_earlier_prints(target: Path, record: PendingRecord) -> None:
    """Remove the prints of ``record`` under other names than ``target``.

    Only a changed record can have one under another number.
    """
    identity, folder = component(record.id), target.parent
    found = {folder / f"{identity}.pdf"}
    if record.known and identity.isdigit():
        found.update(folder.glob(f"*-{identity}.pdf"))
    for path in found - {target}:
        # A file system that ignores case has one file under both names.
        if path.is_file() and not path.is_symlink() and not path.samefile(target):
            remove(path)


def _add(path: Path, place: Path) -> int:
    """Move ``path`` into ``place``, unless its content is there. Return how many were added."""
    names = _names_in(place)
    for name in names:
        there = place / name
        if there.is_file() and not there.is_symlink() and filecmp.cmp(there, path, shallow=False):
            return 0
    # A name that begins with digits and _ would be taken for a document with that id.
    stem, suffix = path.stem, path.suffix
    if stem.partition("_")[0].isdigit():
        stem = f"_{stem}"
    taken = {name.casefold() for name in names}
    numbered = (f"{stem} ({number}){suffix}" for number in range(2, len(taken) + 3))
    free = next(name for name in (f"{stem}{suffix}", *numbered) if name.casefold() not in taken)
    _move(path, place / free)
    return 1
