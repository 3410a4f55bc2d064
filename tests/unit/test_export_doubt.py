"""A record is marked deleted only if that is known."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest

from zoho_async.description import Field, OperationFacts
from zoho_async.export.checkpoint.store import Checkpoint, ViewResult
from zoho_async.export.destinations import Sqlite
from zoho_async.export.destinations.base import Origin
from zoho_async.export.part_begin import open_store
from zoho_async.export.part_end import complete_part
from zoho_async.export.resource_store import RunOptions
from zoho_async.export.writer import ResourceWriter
from zoho_async.paging.completeness import Completeness
from zoho_async.wire import Page

ITEMS = OperationFacts(
    name="books.items.list",
    method="GET",
    path="/items",
    answer="list",
    row_id="item_id",
    reply=(Field(name="item_id", kind="id"), Field(name="name", kind="text")),
)
PLACE = Origin("10234695", "www.zohoapis.com")
WHEN = "2026-11-23T02:00:00+0000"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "books.sqlite"


def run(
    path: Path,
    ids: Sequence[str],
    *,
    completeness: Completeness,
    full: bool = True,
    since: float | None = None,
    narrowed: bool = False,
) -> None:
    """One run that reads the list as these rows."""
    place = Sqlite(path).open()
    state = Checkpoint.open(place.database, PLACE, name=place.name)
    state.enter("run", "20261123T020000Z")
    asked = RunOptions(full=full, since=since, narrowed=narrowed)
    writer = ResourceWriter(open_store(state, place, ITEMS, "all", asked))
    rows = [b'{"item_id":"%b","name":"A"}' % one.encode() for one in ids]
    with state.database.transaction():
        writer.write_pages([Page(number=1, rows=rows, ids=list(ids))])
    writer.end_view(ViewResult(completeness=completeness, believed=completeness == "proven"))
    complete_part(writer.store, WHEN)
    state.finish(["books.items"])
    writer.store.close()
    place.close()


def there(path: Path) -> dict[str, bool]:
    """Which records the database has, and whether it believes that they are there."""
    connection = sqlite3.connect(path)
    try:
        rows = connection.execute("SELECT item_id, _deleted_time IS NULL FROM books_items")
        return {item_id: bool(alive) for item_id, alive in rows}
    finally:
        connection.close()


def test_records_missing_from_a_proven_full_read_are_marked_deleted(path: Path) -> None:
    run(path, ["1", "2", "3"], completeness="proven")
    run(path, ["1", "3"], completeness="proven")
    assert there(path) == {"1": True, "2": False, "3": True}


@pytest.mark.parametrize("unproven", ["uncheckable", "changed", "short"])
def test_records_missing_from_an_unproven_read_stay(path: Path, unproven: Completeness) -> None:
    run(path, ["1", "2", "3"], completeness="proven")
    run(path, ["1", "3"], completeness=unproven)
    assert there(path) == {"1": True, "2": True, "3": True}
    run(path, ["1", "3"], completeness="proven")
    assert there(path) == {"1": True, "2": False, "3": True}


@pytest.mark.parametrize(("since", "narrowed"), [(1.0, False), (None, True)])
def test_records_outside_a_narrowed_full_read_stay(
    path: Path, since: float | None, narrowed: bool
) -> None:
    run(path, ["1", "2", "3"], completeness="proven")
    run(path, ["3"], completeness="proven", since=since, narrowed=narrowed)
    assert there(path) == {"1": True, "2": True, "3": True}


def test_a_missed_record_is_written_again_when_it_is_seen(path: Path) -> None:
    run(path, ["1", "2"], completeness="proven")
    run(path, ["1"], completeness="changed")
    connection = sqlite3.connect(path)
    connection.execute("UPDATE books_items SET name = 'stale'")
    connection.commit()
    connection.close()
    run(path, ["1", "2"], completeness="proven", full=False)
    connection = sqlite3.connect(path)
    names = dict(connection.execute("SELECT item_id, name FROM books_items"))
    connection.close()
    assert names == {"1": "stale", "2": "A"}  # the first was met by both, and had not changed
