"""Queries that people write give the same numbers in every destination, to the cent.

`_expected` computes each query by hand with `Decimal` from the rows that were sent. To add a
destination, add a function to `READERS` that returns its answers as a dict by `QUERIES`.
"""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal
from functools import cache
from pathlib import Path
from typing import Any, Final

import duckdb
import openpyxl
import pyarrow
import pytest

from tests.support import export_databases
from tests.support.postgresql_server import PostgresqlServer
from zoho_async.description import Field, load
from zoho_async.export.destinations.base import Table
from zoho_async.export.destinations.formats import Csv, Parquet
from zoho_async.export.destinations.formats.xlsx import Xlsx
from zoho_async.export.destinations.single_file import CompleteList
from zoho_async.sandbox.data.seed import SampleData
from zoho_async.sandbox.data.store import Store

postgresql = export_databases.postgresql

Answers = dict[str, Any]

#: The queries as SQL over the table ``{t}``; ``{a}``, ``{b}``, ``{c}`` are three factors.
QUERIES: Final = {
    "sum": "SELECT sum({a}) FROM {t}",
    "max": "SELECT max({a}) FROM {t}",
    "min": "SELECT min({a}) FROM {t}",
    "average": "SELECT avg({a}) FROM {t}",
    "order": "SELECT invoice_id FROM {t} ORDER BY {a} DESC, invoice_id LIMIT 9",
    "comparison": "SELECT count(*) FROM {t} WHERE {a} > 1000.01",
    "product": "SELECT sum({a} * {b} * {c}) FROM {t}",
    "months": (
        "SELECT substr(CAST(date AS VARCHAR(10)), 1, 7) AS month, sum({a}) FROM {t}"
        " GROUP BY 1 ORDER BY 1"
    ),
}

_ARITHMETIC: Final = Context(prec=200, rounding=ROUND_HALF_EVEN)
_INVENTED: Final = Table(
    name="books.invoices",
    row_id="invoice_id",
    fields=(
        Field(name="invoice_id", kind="id"),
        Field(name="date", kind="date"),
        *(Field(name=name, kind="decimal") for name in ("quantity", "rate", "exchange_rate")),
    ),
)
#: JSON texts of quantity, rate and exchange rate: text, exponents, negative, huge, many digits.
_NASTY: Final = (
    *[("0.1", "1", "1"), ("0.2", "1.0", "1")] * 150,
    ('"12.50"', "1E+2", "1"),
    ("-0", "-0.0", "1"),
    ("-3", "1999.99", "0.000018765"),
    ("1E+5", "1", "1.5"),
    ("1000.010000", "2", "1"),
    ("1000.01", "2", "1"),
    ("1000.02", "2", "1"),
    ("999999999.99", "-1", "1"),
    ("12345678901.25", "1", "1"),
    ("-12345678901.25", "1", "82.123456789"),
)


class Data:
    """Rows, the table that they are from, and its three factors."""

    def __init__(self, rows: list[bytes], table: Table, factors: tuple[str, str, str]) -> None:
        self.rows: Final = rows
        self.table: Final = table
        self.factors: Final = factors

    def sql(self, query: str, table: str) -> str:
        a, b, c = self.factors
        return QUERIES[query].format(t=table, a=a, b=b, c=c)


@cache
def _data(name: str) -> Data:
    if name == "nasty":
        lines = [
            f'{{"invoice_id":"{n:04}","date":"2026-{n % 12 + 1:02}-05","quantity":{quantity},'
            f'"rate":{rate},"exchange_rate":{exchange_rate}}}'
            for n, (quantity, rate, exchange_rate) in enumerate(_NASTY)
        ]
        rows = [line.encode() for line in lines]
        return Data(rows, _INVENTED, ("quantity", "rate", "exchange_rate"))
    store = Store(SampleData(7, "10234695", {"books.contacts": 40, "books.invoices": 400}))
    invoices = store.collection("books.invoices")
    fields = load("books").named("books.invoices.list").reply
    table = Table(name="books.invoices", row_id="invoice_id", fields=fields)
    rows = [invoices.encoded_row(number) for number in range(400)]
    return Data(rows, table, ("total", "balance", "exchange_rate"))


# -- by hand ---------------------------------------------------------------------------------------


@cache
def _expected(name: str) -> Mapping[str, Any]:
    data = _data(name)
    sent = [json.loads(row, parse_float=Decimal) for row in data.rows]
    factors = [[Decimal(str(row[name])) for name in data.factors] for row in sent]
    firsts = [first for first, _, _ in factors]
    months: dict[str, Decimal] = defaultdict(Decimal)
    for row, first in zip(sent, firsts, strict=True):
        months[row["date"][:7]] = _ARITHMETIC.add(months[row["date"][:7]], first)
    order = sorted(zip(firsts, sent, strict=True), key=lambda one: (-one[0], one[1]["invoice_id"]))
    product = Decimal(0)
    for a, b, c in factors:
        product = _ARITHMETIC.add(product, _ARITHMETIC.multiply(_ARITHMETIC.multiply(a, b), c))
    return {
        "sum": sum(firsts),
        "max": max(firsts),
        "min": min(firsts),
        "average": _ARITHMETIC.divide(Decimal(sum(firsts)), len(firsts)),
        "order": [row["invoice_id"] for _, row in order[:9]],
        "comparison": sum(first > Decimal("1000.01") for first in firsts),
        "product": product,
        "months": sorted(months.items()),
    }


def _cents(value: Any) -> Any:
    """``value`` with its numbers rounded to two decimals."""
    if isinstance(value, list | tuple):
        return [_cents(one) for one in value]
    if isinstance(value, str):
        return value
    return _ARITHMETIC.quantize(Decimal(str(value)), Decimal("0.01")) + 0


# -- the destinations ------------------------------------------------------------------------------


def _answers(data: Data, table: str, ask: Callable[[str], list[tuple[Any, ...]]]) -> Answers:
    """The answers of an SQL engine."""
    found: Answers = {}
    for query in QUERIES:
        rows = ask(data.sql(query, table))
        single = len(rows[0]) == 1
        values = [row[0] for row in rows] if single else rows
        found[query] = values if query in ("order", "months") else values[0]
    return found


def _database(target: export_databases.Target, data: Data) -> Answers:
    export_databases.load(target, data.table, data.rows)
    return _answers(
        data, "books_invoices", lambda sql: [tuple(row.values()) for row in target.ask(sql)]
    )


def _sqlite(data: Data, folder: Path) -> Answers:
    target = export_databases.sqlite_target(folder)
    answers = _database(target, data)
    assert target.ask("PRAGMA integrity_check") == [{"integrity_check": "ok"}]  # types, too
    return answers


def _duckdb(data: Data, folder: Path) -> Answers:
    return _database(export_databases.duckdb_target(folder), data)


def _file(form: Csv | Parquet, data: Data, folder: Path) -> Path:
    spool = folder / "invoices.jsonl.part"
    spool.write_bytes(b"".join(row + b"\n" for row in data.rows))
    target = folder / ("invoices" + form.suffix)
    form.write(spool, target, data.table)
    return target


def _parquet_duckdb(data: Data, folder: Path) -> Answers:
    path = _file(Parquet(), data, folder)
    return _answers(data, f"'{path}'", lambda sql: duckdb.execute(sql).fetchall())


def _csv_duckdb(data: Data, folder: Path) -> Answers:
    path = _file(Csv(), data, folder)
    table = f"read_csv('{path}', types = {{'invoice_id': 'VARCHAR'}})"
    return _answers(data, table, lambda sql: duckdb.execute(sql).fetchall())


def _parquet_polars(data: Data, folder: Path) -> Answers:
    polars = pytest.importorskip("polars")
    frame = polars.read_parquet(_file(Parquet(), data, folder))
    a, b, c = map(polars.col, data.factors)
    months = frame.group_by(polars.col("date").dt.strftime("%Y-%m")).agg(a.sum()).sort("date")
    return {
        "sum": frame.select(a.sum()).item(),
        "max": frame.select(a.max()).item(),
        "min": frame.select(a.min()).item(),
        "average": frame.select(a.mean()).item(),
        "order": frame.sort([a, "invoice_id"], descending=[True, False])["invoice_id"].to_list()[
            :9
        ],
        "comparison": frame.filter(a > Decimal("1000.01")).height,
        "product": frame.select((a * b * c).sum()).item(),
        "months": months.rows(),
    }


def _parquet_pandas(data: Data, folder: Path) -> Answers:
    pandas = pytest.importorskip("pandas")
    frame = pandas.read_parquet(_file(Parquet(), data, folder))
    a, b, c = (frame[name] for name in data.factors)
    month = pandas.to_datetime(frame["date"]).dt.strftime("%Y-%m")
    ordered = frame.sort_values([data.factors[0], "invoice_id"], ascending=[False, True])
    return {
        "sum": a.sum(),
        "max": a.max(),
        "min": a.min(),
        "average": a.mean(),
        "order": ordered["invoice_id"].to_list()[:9],
        "comparison": int((a > Decimal("1000.01")).sum()),
        "product": (a * b * c).sum(),
        "months": list(a.groupby(month).sum().items()),
    }


def _xlsx_sqlite(data: Data, folder: Path) -> Answers:
    """The cells of the sheet, as doubles and dates, in a table without types."""
    spool, target = folder / "invoices.jsonl", folder / "books.xlsx"
    spool.write_bytes(b"".join(row + b"\n" for row in data.rows))
    Xlsx().write([CompleteList(data.table, spool)], target)
    header, *rows = openpyxl.load_workbook(target)["invoices"].iter_rows(values_only=True)
    names = ", ".join(f'"{name}"' for name in header)
    marks = ", ".join("?" * len(header))
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute(f"CREATE TABLE invoices ({names})")
        values = [
            [str(cell) if isinstance(cell, datetime) else cell for cell in row] for row in rows
        ]
        database.executemany(f"INSERT INTO invoices VALUES ({marks})", values)
        return _answers(data, "invoices", lambda sql: database.execute(sql).fetchall())


READERS: Final[dict[str, Callable[[Data, Path], Answers]]] = {
    "sqlite": _sqlite,
    "duckdb": _duckdb,
    "parquet by duckdb": _parquet_duckdb,
    "parquet by polars": _parquet_polars,
    "parquet by pandas": _parquet_pandas,
    "csv by duckdb": _csv_duckdb,
    "xlsx": _xlsx_sqlite,
}


@pytest.mark.parametrize("name", ["sample", "nasty"])
@pytest.mark.parametrize("reader", READERS)
def test_natural_queries_are_right_to_the_cent(reader: str, name: str, tmp_path: Path) -> None:
    answers = READERS[reader](_data(name), tmp_path)
    for query in QUERIES:
        assert _cents(answers[query]) == _cents(_expected(name)[query]), query


def test_pandas_with_pyarrow_types_sums_and_compares_but_cannot_multiply(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    path = _file(Parquet(), _data("nasty"), tmp_path)
    frame = pandas.read_parquet(path, dtype_backend="pyarrow")
    assert _cents(frame["quantity"].sum()) == _cents(_expected("nasty")["sum"])
    assert (frame["quantity"] > Decimal("1000.01")).sum() == _expected("nasty")["comparison"]
    with pytest.raises(pyarrow.ArrowInvalid, match="precision out of range"):
        frame["quantity"] * frame["rate"]


@pytest.mark.parametrize("name", ["sample", "nasty"])
def test_natural_queries_are_right_in_postgresql(name: str, postgresql: PostgresqlServer) -> None:
    target = export_databases.postgresql_target(postgresql.create(f"queries_{name}"))
    answers = _database(target, _data(name))
    for query in QUERIES:
        assert _cents(answers[query]) == _cents(_expected(name)[query]), query
