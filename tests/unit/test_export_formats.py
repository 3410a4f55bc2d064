"""Other programs read every row and every digit of the exported files."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from tests.support import export_rows
from zoho_async.export.columns.schema import shape_of
from zoho_async.export.columns.tables import Layout
from zoho_async.export.destinations.base import Table
from zoho_async.export.destinations.formats import Csv, Format, Gzip, Parquet, Zstandard
from zoho_async.export.destinations.formats.csv import fields

SHAPE = shape_of(export_rows.FIELDS)
TEXTS = shape_of(export_rows.FIELDS, texts=True)
ROWS = export_rows.rows(300)
TOTAL = sum(
    (total for row in ROWS if isinstance(total := export_rows.sent(row).get("total"), Decimal)),
    Decimal(0),
)
TOMBSTONE = b'{"invoice_id":"9","_deleted_time":"2026-11-23T02:00:00+0000"}'


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    path = tmp_path / "invoices.jsonl.part"
    path.write_bytes(b"".join(row + b"\n" for row in ROWS))
    return path


def made(form: Format, spool: Path, table: Table = export_rows.TABLE) -> Path:
    target = spool.with_name("invoices" + form.suffix)
    form.write(spool, target, table)
    return target


def assert_all_there(records: list[dict[str, Any]], shape: Any) -> None:
    assert len(records) == len(ROWS)
    for row, record in zip(ROWS, records, strict=True):
        said, held = export_rows.sent(row), export_rows.kept(shape, record)
        assert export_rows.same(said, held), (said, held)


@pytest.mark.parametrize(
    "form",
    [Gzip(), Zstandard(), Csv(), Parquet(), Parquet(flatten=True)],
    ids=["gzip", "zstd", "csv", "parquet", "flat parquet"],
)
def test_the_same_rows_give_the_same_bytes(form: Format, spool: Path) -> None:
    first = made(form, spool).read_bytes()
    files = sorted(path.name for path in spool.parent.iterdir())
    assert made(form, spool).read_bytes() == first
    assert sorted(path.name for path in spool.parent.iterdir()) == files
    assert not [name for name in files if name.endswith(".tmp")]


@pytest.mark.parametrize("program", ["gzip", "python"])
def test_gzip_gives_back_the_rows(spool: Path, program: str) -> None:
    path = made(Gzip(), spool)
    if program == "gzip":
        if shutil.which("gzip") is None:
            pytest.skip("gzip is not installed")
        unpacked = subprocess.run(["gzip", "-dc", path], capture_output=True, check=True).stdout
    else:
        import gzip

        unpacked = gzip.decompress(path.read_bytes())
    assert unpacked == spool.read_bytes()


def test_zstandard_gives_back_the_rows_and_knows_their_length(spool: Path) -> None:
    packed = made(Zstandard(), spool).read_bytes()
    assert zstandard.frame_content_size(packed) == spool.stat().st_size
    assert zstandard.ZstdDecompressor().decompress(packed) == spool.read_bytes()


def test_jq_reads_the_json_lines(spool: Path) -> None:
    if shutil.which("jq") is None:
        pytest.skip("jq is not installed")
    told = subprocess.run(
        ["jq", "-r", ".invoice_id"], input=spool.read_bytes(), capture_output=True, check=True
    ).stdout.decode()
    assert told.split() == [json.loads(row)["invoice_id"] for row in ROWS]


def test_csv_holds_every_value(spool: Path) -> None:
    with made(Csv(), spool).open(newline="", encoding="utf-8") as file:
        found = list(csv.DictReader(file, strict=True))
    shape = shape_of(export_rows.FIELDS, lists=False)
    assert list(found[0]) == [*(column.name for column in shape.columns), "_extra"]
    assert_all_there([{name: cell or None for name, cell in row.items()} for row in found], shape)
    totals = [Decimal(row["total"]) for row in found if row["total"]]
    assert sum(totals) == pytest.approx(TOTAL)


def test_csv_follows_the_rfc(spool: Path) -> None:
    spool.write_bytes(b'{"invoice_id":"1","customer_name":"a \\"b\\",\\nc","is_emailed":true}\n')
    text = made(Csv(), spool).read_bytes()
    assert text.startswith(b"invoice_id,customer_name,total,")
    assert b'\r\n1,"a ""b"",\nc",,,,true,' in text
    assert text.endswith(b"\r\n")


@given(st.lists(st.tuples(*[st.none() | st.text('ab,;" \r\n\t\x0b\0\u2028=', max_size=4)] * 3)))
def test_csv_quotes_as_the_module_csv_does(rows: list[tuple[str | None, ...]]) -> None:
    theirs = io.StringIO(newline="")
    csv.writer(theirs).writerows(rows)
    columns = [fields("text", column) for column in zip(*rows, strict=True)]
    ours = "".join(f"{','.join(row)}\r\n" for row in zip(*columns, strict=True))
    assert ours == theirs.getvalue()


def test_parquet_holds_every_value_with_lists_as_lists(spool: Path) -> None:
    table = pq.read_table(made(Parquet(), spool))
    assert_all_there(table.to_pylist(), TEXTS)
    assert table.schema.field("total").type == pa.decimal128(38, 6)
    assert table.schema.field("exchange_rate").type == pa.decimal128(38, 9)
    assert table.schema.field("date").type == pa.date32()
    assert table.schema.field("created_time").type == pa.timestamp("us", "UTC")
    assert pa.types.is_list(table.schema.field("line_items").type)


def test_duckdb_sums_the_parquet_to_the_last_digit(spool: Path) -> None:
    path = made(Parquet(), spool)
    table = pq.read_table(path)
    ((total, count),) = duckdb.execute(
        f"SELECT sum(total), count(*) FROM read_parquet('{path}')"
    ).fetchall()
    assert count == len(ROWS)
    assert total == sum(value for value in table["total"].to_pylist() if value is not None)
    ((lines,),) = duckdb.execute(
        f"SELECT sum(len(line_items)) FROM read_parquet('{path}')"
    ).fetchall()
    assert lines == sum(len(value or ()) for value in table["line_items"].to_pylist())


def test_flattened_parquet_holds_every_value_in_child_files(spool: Path) -> None:
    path = made(Parquet(flatten=True), spool)
    layout = Layout("invoices", "invoice_id", TEXTS)
    paths = [path, *(path.with_name(f"{table.name}.parquet") for table in layout.tables[1:])]
    tables = [pq.read_table(each).to_pylist() for each in paths]
    order = {one["invoice_id"]: n for n, one in enumerate(tables[0])}
    records = export_rows.joined(layout, TEXTS, tables)
    assert_all_there(sorted(records, key=lambda one: order[one["invoice_id"]]), TEXTS)


def test_flattened_rows_without_ids_are_numbered(spool: Path) -> None:
    spool.write_bytes(b'{"line_items":[{"rate":1.0}]}\n{"line_items":[{"rate":2.0}]}\n')
    table = Table(name="books.notes", row_id="", fields=export_rows.FIELDS)
    path = made(Parquet(flatten=True), spool, table)
    lines = pq.read_table(path.with_name("invoices__line_items.parquet")).to_pylist()
    assert [(line["_row_id"], line["rate"]) for line in lines] == [("1", 1), ("2", 2)]
    assert pq.read_table(path)["_row_id"].to_pylist() == ["1", "2"]


@pytest.mark.parametrize("flatten", [False, True])
def test_an_empty_list_still_gives_parquet_with_its_columns(spool: Path, flatten: bool) -> None:
    full = pq.read_schema(made(Parquet(flatten=flatten), spool))
    spool.write_bytes(b"")
    path = made(Parquet(flatten=flatten), spool)
    assert pq.read_schema(path).equals(full)
    assert pq.read_table(path).num_rows == 0


def test_an_empty_list_still_gives_csv_with_its_header(spool: Path) -> None:
    header = made(Csv(), spool).read_bytes().partition(b"\r\n")[0]
    spool.write_bytes(b"")
    assert made(Csv(), spool).read_bytes() == header + b"\r\n"


def test_tombstones_have_their_time(spool: Path) -> None:
    spool.write_bytes(TOMBSTONE + b"\n")
    (row,) = pq.read_table(made(Parquet(), spool)).to_pylist()
    assert row["invoice_id"] == "9"
    assert row["_deleted_time"].isoformat() == "2026-11-23T02:00:00+00:00"
    assert b"2026-11-23T02:00:00+0000" in made(Csv(), spool).read_bytes()


def test_large_files_come_in_several_row_groups(
    spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zoho_async.export.destinations.formats.parquet.GROUP", 20_000)
    monkeypatch.setattr("zoho_async.export.destinations.directory.PORTION", 10_000)
    path = made(Parquet(), spool)
    assert pq.ParquetFile(path).metadata.num_row_groups > 3
    assert_all_there(pq.read_table(path).to_pylist(), TEXTS)
