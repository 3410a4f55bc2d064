"""One list exported into any destination, run by run, and what each destination holds of it.

Only clients of the destinations read them here: SQL drivers, ``csv`` and ``pyarrow``.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from tests.support.export_databases import Target
from tests.support.export_rows import FIELDS
from zoho_async.description import OperationFacts
from zoho_async.export import Destination
from zoho_async.export.checkpoint.store import Checkpoint
from zoho_async.export.columns.observed import SchemaChange
from zoho_async.export.destinations.base import Origin
from zoho_async.export.destinations.directory import Directory
from zoho_async.export.part_begin import open_store
from zoho_async.export.part_end import complete_part, settle
from zoho_async.export.resource_store import RunOptions
from zoho_async.export.writer import ResourceWriter
from zoho_async.wire import Page
from zoho_async.wire.text import untyped_object

WHEN = "2026-11-23T02:00:00+0000"
FACTS = OperationFacts(
    name="books.invoices.list",
    method="GET",
    path="/invoices",
    answer="list",
    row_id="invoice_id",
    order="created_time",
    reply=FIELDS,
)


class Killed(Exception):
    """The process ended here."""


class Place:
    """A destination, and ``read``, which returns its rows by record id, the newest of each."""

    def __init__(
        self, make: Callable[[], Destination], read: Callable[[], list[dict[str, Any]]]
    ) -> None:
        self.make = make
        self.read = read

    def rows(self) -> dict[str, dict[str, Any]]:
        return {row["invoice_id"]: row for row in self.read()}

    def columns(self) -> set[str]:
        return {name for row in self.read() for name in row}


def database_place(target: Target) -> Place:
    return Place(target.make, lambda: target.ask('SELECT * FROM "books_invoices"'))


def directory_place(path: Path, form: Any) -> Place:
    def read() -> list[dict[str, Any]]:
        files = Directory(path, form).files(FACTS.resource)
        paths = [each for each in (files.full, *files.parts()) if each.exists()]
        return [row for each in paths for row in _file_rows(each)]

    return Place(lambda: Directory(path, form), read)


def _file_rows(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()  # type: ignore[no-any-return]  # pyarrow has no types
    with path.open(newline="", encoding="utf-8") as text:
        rows = list(csv.DictReader(text, strict=True))
    return [{name: value or None for name, value in row.items()} for row in rows]


def run(
    place: Place,
    name: str,
    pages: Sequence[Iterable[bytes]],
    *,
    kill_after: int | None = None,
    batch: int = 1,
) -> tuple[SchemaChange, ...]:
    """One run that reads ``pages``, ``batch`` of them per transaction.

    With ``kill_after`` it ends in the transaction after so many.
    """
    with closing(place.make().open()) as opened:
        database = opened.database
        checkpoint = Checkpoint.open(database, Origin("1", "host"), name=opened.name)
        settle(checkpoint, opened, {FACTS.resource: FACTS}.get)
        checkpoint.enter(name, "20261123T020000Z")
        store = open_store(checkpoint, opened, FACTS, "all", RunOptions())
        writer = ResourceWriter(store)
        numbered = [_page(number, rows) for number, rows in enumerate(pages, 1)]
        ahead = [page for page in numbered if page.number > store.state.part.page]
        try:
            for count, start in enumerate(range(0, len(ahead), batch)):
                with database.transaction():
                    writer.write_pages(ahead[start : start + batch])
                    if count == kill_after:
                        raise Killed
            complete_part(store, WHEN)
            checkpoint.finish([FACTS.resource])
            return store.schema_changes()
        finally:
            store.close()


def _page(number: int, rows: Iterable[bytes]) -> Page[bytes]:
    held = list(rows)
    ids = [str(untyped_object(row)["invoice_id"]) for row in held]
    return Page(number=number, rows=held, ids=ids)
