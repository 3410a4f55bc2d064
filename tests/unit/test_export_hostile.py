"""Names and values from outside in tables, columns, SQL and files: held exactly, and no more."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import export_databases, export_rows, hostile
from tests.support.export_databases import Target, load
from zoho_async.description import Field
from zoho_async.export import Directory
from zoho_async.export.columns.batch import ColumnReader
from zoho_async.export.columns.schema import EXTRA, LONGEST_NAME, shape_of, short_name
from zoho_async.export.columns.tables import Layout
from zoho_async.export.destinations.base import Table
from zoho_async.export.destinations.engine import literal, quote
from zoho_async.export.destinations.formats import Csv, Parquet
from zoho_async.export.destinations.open import open_destination
from zoho_async.export.destinations.postgresql import PostgreSql
from zoho_async.export.errors import DestinationError
from zoho_async.http.file_names import component

_NO_FIELD = {*map(chr, range(32)), '"', "\\"}
target, postgresql = export_databases.target, export_databases.postgresql


def rows_of(target: Target, table: str) -> list[dict[str, Any]]:
    return target.ask(f"SELECT * FROM {quote(table)}")


# -- names of tables and columns ------------------------------------------------------------------


@pytest.mark.parametrize("name", hostile.EVERY)
def test_a_name_becomes_one_that_each_database_holds(name: str) -> None:
    short = short_name(name)
    assert 0 < len(short.encode()) <= LONGEST_NAME
    assert short.isprintable()
    assert quote(short)


def test_fields_with_hostile_names_are_columns_that_hold_their_values(target: Target) -> None:
    # Descriptions are ours: they have no name that a struct of msgspec cannot have.
    names = [name for name in dict.fromkeys(hostile.EVERY) if name and not set(name) & _NO_FIELD]
    encodable = [name for name in names if name.encode("utf-8", "ignore").decode() == name]
    fields = tuple(Field(name=name, kind="text") for name in encodable)
    lists = Field(name="l'?%s", kind="list", fields=(Field(name="%(a)s?", kind="text"),))
    table = Table(name='books.in"v?%s', row_id="?%", fields=(*fields, lists))
    shape = shape_of(table.fields, table.row_id)
    columns = {column.path[-1]: column.name for column in shape.columns}
    assert len({name.casefold() for name in columns.values()}) == len(columns)
    sent = {name: f"value of {number}" for number, name in enumerate(encodable)}
    row = json.dumps({"?%": "7", **sent, "l'?%s": [{"%(a)s?": "in a list"}]}).encode()
    load(target, table, [row])
    load(target, table, [row], part="20261123T020000Z")  # and again, over what is there
    (held,) = rows_of(target, 'books_in"v?%s')
    assert {name: held[columns[name]] for name in sent} == sent
    child = Layout('books_in"v?%s', "?%", shape).tables[1]
    (inner,) = rows_of(target, child.name)
    assert inner["%(a)s?"] == "in a list"


def test_quoted_refuses_what_no_database_holds() -> None:
    for name in ("", "a\0b", "a\ud800b"):
        with pytest.raises(ValueError, match="cannot be the name"):
            quote(name)


@pytest.mark.parametrize("text", hostile.STORABLE)
def test_a_literal_is_the_text(text: str) -> None:
    with closing(sqlite3.connect(":memory:")) as database:
        assert database.execute(f"SELECT {literal(text)}").fetchone() == (text,)


# -- values ---------------------------------------------------------------------------------------

FIELDS = (
    Field(name="invoice_id", kind="id"),
    Field(name="name", kind="text"),
    Field(name="total", kind="decimal"),
    Field(name="tags", kind="list", element="text"),
    Field(name="lines", kind="list", fields=(Field(name="note", kind="text"),)),
)
TABLE = Table(name="books.invoices", row_id="invoice_id", fields=FIELDS)
VALUES = [one for one in dict.fromkeys(hostile.EVERY) if one.strip(" ")]


def sent(number: int, value: str) -> bytes:
    fields = {"name": value, "total": value, "tags": [value, "x"], "lines": [{"note": value}]}
    return json.dumps({"invoice_id": str(number), **fields, "unknown": value}).encode()


def check(value: str, row: Any, note: Any, texts: Any) -> None:
    """What was sent is in its columns or, where these cannot hold it, in ``_extra``."""
    extra = json.loads(row[EXTRA] or "{}")
    assert extra.pop("unknown") == value
    assert (row["name"] if row["name"] is not None else extra["name"]) == value
    assert extra.get("total", row["total"]) == value
    assert json.loads(note[EXTRA] or "{}").get("note", note["note"]) == value
    assert extra.get("tags", texts) == [value, "x"]


def test_hostile_values_are_held_exactly_in_every_database(target: Target) -> None:
    pages = [sent(number, value) for number, value in enumerate(VALUES)]
    load(target, TABLE, pages)
    load(target, TABLE, pages, part="20261123T020000Z")
    rows = {row["invoice_id"]: row for row in rows_of(target, "books_invoices")}
    notes = {row["_row_id"]: row for row in rows_of(target, "books_invoices__lines")}
    assert len(rows) == len(VALUES)
    for number, value in enumerate(VALUES):
        row = rows[str(number)]
        check(value, row, notes[str(number)], json.loads(row["tags"] or "null"))


def test_hostile_ids_name_their_rows_and_no_others(target: Target) -> None:
    ids = [
        one for one in VALUES if "\0" not in one and one.encode("utf-8", "ignore").decode() == one
    ]
    rows = [json.dumps({"invoice_id": one, "name": "old"}).encode() for one in ids]
    load(target, TABLE, rows)
    load(target, TABLE, [rows[0].replace(b"old", b"new")], part="20261123T020000Z")
    found = {row["invoice_id"]: row["name"] for row in rows_of(target, "books_invoices")}
    assert found == dict.fromkeys(ids, "old") | {ids[0]: "new"}


def test_a_state_holds_hostile_texts_in_parameters_and_arrays(target: Target) -> None:
    texts = [
        one for one in VALUES if "\0" not in one and one.encode("utf-8", "ignore").decode() == one
    ]
    with closing(target.make().open()) as place:
        engine = place.database
        with engine.transaction():
            engine.execute('CREATE TABLE "odd?%s" ("a?" TEXT NOT NULL, "b%" TEXT NOT NULL)')
            engine.insert("odd?%s", ("a?", "b%"), [(one, one) for one in texts])
        for one in texts:
            found = engine.execute(
                'SELECT "b%" FROM "odd?%s" WHERE "a?" = ? AND \'?%s\' <> ?', [one, "x"]
            )
            assert found == [(one,)]


def test_halves_of_pairs_survive_in_files_of_columns(tmp_path: Path) -> None:
    import csv

    import pyarrow.parquet

    row = rb'{"invoice_id":"1","name":"a\ud83d","lines":[{"note":"\ude00b","z":"\ud83d\ude00"}]}'
    for format in (Parquet(), Csv()):
        spool, target = tmp_path / "invoices.jsonl.part", tmp_path / f"invoices{format.suffix}"
        spool.write_bytes(row + b"\n")
        format.write(spool, target, TABLE)
    (held,) = pyarrow.parquet.read_table(tmp_path / "invoices.parquet").to_pylist()
    assert json.loads(held[EXTRA]) == {"name": "a\ud83d"}
    assert json.loads(held["lines"][0][EXTRA]) == {"note": "\ude00b", "z": "😀"}
    with (tmp_path / "invoices.csv").open(encoding="utf-8-sig", newline="") as file:
        (told,) = csv.DictReader(file)
    assert "\\ud83d" in told[EXTRA]


@given(st.text(st.characters(exclude_categories=()), min_size=1))
def test_any_text_is_in_its_column_or_in_extra(value: str) -> None:
    if not value.strip(" ") or "~half-" in value:
        return
    batch = ColumnReader(shape_of(FIELDS, "invoice_id")).read(sent(1, value) + b"\n")
    names = [column.name for column in ColumnReader(shape_of(FIELDS, "invoice_id")).shape.columns]
    extra = json.loads(batch.extra[0] or "{}")
    (name,) = batch.values[names.index("name")]
    assert extra.get("name", name) == value
    assert extra["unknown"] == value


# -- places ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("organization", [one for one in hostile.EVERY if one])
def test_an_organization_names_a_place_below_the_one_given(
    organization: str, tmp_path: Path
) -> None:
    one = component(organization)
    assert open_destination(tmp_path, organization=organization).name == str(tmp_path / one)
    file = open_destination(tmp_path / "a.db", organization=organization)
    assert Path(file.name).parent == tmp_path
    database = open_destination("postgresql://u@h/d", organization=organization)
    assert isinstance(database, PostgreSql)
    assert database.name.endswith(f"schema zoho_{one}")


@pytest.mark.parametrize(
    "name", ["../../victim", "books.../victim", "/victim", "books.a/b", "a\\b", "", "a\0"]
)
def test_no_resource_and_no_part_leads_out_of_a_directory(name: str, tmp_path: Path) -> None:
    directory = Directory(tmp_path / "to")
    with pytest.raises(DestinationError, match="is not a valid file name"):
        directory.files(name)
    if name:
        with pytest.raises(DestinationError, match="is not a valid file name"):
            directory.files("books.invoices").file(name)


@pytest.mark.parametrize("form", [Csv(flatten=True), Parquet(flatten=True)])
def test_no_child_file_and_no_merged_file_is_written_through_a_link(
    form: Csv | Parquet, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    spool = tmp_path / "invoices.jsonl.part"
    spool.write_bytes(b'{"invoice_id":"1","line_items":[{"rate":1.0}]}\n')
    full = tmp_path / f"invoices{form.suffix}"
    full.with_name(f"invoices__line_items{form.suffix}.tmp").symlink_to(victim)
    form.write(spool, full, export_rows.TABLE)
    full.with_name(f"{full.name}.tmp").symlink_to(victim)
    assert form.merge(full, [], tmp_path / "scratch", export_rows.TABLE) == 1
    assert victim.read_bytes() == b"mine"


def test_nothing_is_written_through_a_link_in_a_directory(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    directory = Directory(tmp_path / "to", Csv())
    with closing(directory.open()) as place:
        files = directory.files("books.invoices")
        files.full.parent.mkdir(parents=True)
        spool = files.spool("")
        spool.symlink_to(victim)
        sink = place.sink(TABLE, "")
        with pytest.raises(OSError, match="symbolic link"):
            sink.resume(0)
        spool.unlink()
        sink.resume(0)
        sink.write([b'{"invoice_id":"1"}'])
        files.full.symlink_to(victim)
        files.full.with_name("invoices.csv.tmp").symlink_to(victim)
        sink.settle()
        assert not files.full.is_symlink()
        assert b"invoice_id" in files.full.read_bytes()
    assert victim.read_bytes() == b"mine"
