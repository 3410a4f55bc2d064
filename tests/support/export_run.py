"""A directory that one run of an export holds, and rows to write into it."""

from __future__ import annotations

from pathlib import Path

import msgspec

from zoho_async.description import OperationFacts
from zoho_async.export.checkpoint.store import Checkpoint
from zoho_async.export.destinations.base import Destination, Origin
from zoho_async.export.destinations.directory import Directory, Format, line
from zoho_async.export.part_begin import open_store
from zoho_async.export.part_end import settle
from zoho_async.export.resource_store import RunOptions, writing
from zoho_async.export.writer import ResourceWriter
from zoho_async.wire import Page

PLACE = Origin("10234695", "www.zohoapis.com")
LISTS = {
    name: OperationFacts(
        name=f"{name}.list",
        method="GET",
        path="/invoices",
        answer="list",
        row_id="invoice_id",
        order="created_time",
    )
    for name in ("books.invoices", "books.estimates")
}


class Run:
    """A directory, or the destination ``to``, that one run holds as a job holds it."""

    def __init__(
        self,
        path: Path,
        run: str = "run",
        stamp: str = "20261123T020000Z",
        form: Format | None = None,
        to: Destination | None = None,
    ) -> None:
        self.path = path
        with writing(str(path)):
            self.place = (to or Directory(path, form)).open()
        self.database = self.place.database
        self.state = Checkpoint.open(self.database, PLACE, name=self.place.name)
        settle(self.state, self.place, LISTS.get)
        self.state.enter(run, stamp)

    def writer(
        self, request: str = "all", *, identified: bool = True, asked: RunOptions | None = None
    ) -> ResourceWriter:
        facts = LISTS["books.invoices"]
        if not identified:
            facts = msgspec.structs.replace(facts, row_id="")
        options = asked or RunOptions()
        return ResourceWriter(open_store(self.state, self.place, facts, request, options))

    def write_pages(
        self, writer: ResourceWriter, page: int, rows: list[bytes], ids: list[str]
    ) -> int:
        """Land a page; how many rows it brought."""
        before = writer.state.part.rows
        with writing(str(self.path)), self.state.database.transaction():
            writer.write_pages([Page(number=page, rows=rows, ids=ids)])
        return writer.state.part.rows - before

    def close(self) -> None:
        self.place.close()

    @property
    def file(self) -> Path:
        return self.path / "books/invoices.jsonl"

    @property
    def part(self) -> Path:
        return self.path / "books/invoices.jsonl.part"

    @property
    def changes(self) -> list[Path]:
        return sorted((self.path / "books/invoices.changes").glob("*"))


WHEN = "2026-11-23T02:00:00+0000"


def rows(*ids: int) -> tuple[list[bytes], list[str]]:
    return [b'{"invoice_id":"%d"}' % one for one in ids], [str(one) for one in ids]


def text(*ids: int) -> bytes:
    return b"".join(map(line, rows(*ids)[0]))
