"""The engines alone, and DuckDB's own JSON reader.

The engines get values that were prepared for them, the same number at a time.

DuckDB's JSON reader (`READERS`) reads the rows in one statement and yields less than we do. It
drops fields that are not described (half of a row) and here the lists within rows. A value that
does not fit ends it. Numbers pass through floats, so amounts of more than 17 digits change; without
such amounts its columns are equal to ours (`same_columns`). The JSON reader of pyarrow is no
contender: it refuses a column with both amounts and blanks.
"""

from __future__ import annotations

import csv
import gzip
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from benchmarks.destinations import CSV, FLAT, LAYOUT, NESTED, SHAPE, Clock, Who, Work, bring
from zoho_async.export.columns.batch import ColumnReader, RowBatch
from zoho_async.export.columns.numbers import NumberStorage
from zoho_async.export.columns.schema import ColumnShape
from zoho_async.export.columns.tables import FlatTable, Layout
from zoho_async.export.destinations import duckdb as our_duckdb
from zoho_async.export.destinations import postgresql as our_postgresql
from zoho_async.export.destinations.directory import portions
from zoho_async.export.destinations.duckdb import DuckDbEngine
from zoho_async.export.destinations.engine import definitions, quote_all
from zoho_async.export.destinations.formats.parquet import GROUP
from zoho_async.export.destinations.sqlite import rows_of


def _batches(spool: Path, shape: ColumnShape, numbers: NumberStorage) -> Iterator[RowBatch]:
    reader = ColumnReader(shape, numbers)
    for lines in portions(spool):
        yield reader.read(lines)


def _columns(
    spool: Path, shape: ColumnShape, layout: Layout, numbers: NumberStorage = "decimal"
) -> Iterator[list[list[Sequence[Any]]]]:
    """For each portion the columns of each table."""
    reader = ColumnReader(shape, numbers)
    for lines in portions(spool):
        batch = reader.read(lines)
        yield layout.split(batch, layout.ids(batch, lines))


def _gzip(spool: Path, folder: Path, clock: Clock) -> None:
    with clock, spool.open("rb") as rows, gzip.open(folder / "invoices.gz", "wb", 6) as packed:
        shutil.copyfileobj(rows, packed, 1 << 20)


def _zstd(spool: Path, folder: Path, clock: Clock) -> None:
    import zstandard

    with clock, spool.open("rb") as rows, (folder / "invoices.zst").open("wb") as packed:
        zstandard.ZstdCompressor(3).copy_stream(rows, packed)


def _csv(spool: Path, folder: Path, clock: Clock) -> None:
    words = {True: "true", False: "false"}
    with (folder / "invoices.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*(column.name for column in CSV.columns), "_extra"])
        for batch in _batches(spool, CSV, "digits"):
            columns = [
                [words.get(cell) for cell in cells] if column.kind == "boolean" else cells
                for column, cells in zip(CSV.columns, batch.values, strict=True)
            ]
            rows = list(zip(*columns, batch.extra, strict=True))
            with clock:
                writer.writerows(rows)


def _parquet(spool: Path, folder: Path, clock: Clock) -> None:
    from zoho_async.export.columns.arrow import Arrow

    arrow = Arrow(_pyarrow())
    tables = ([arrow.nested(NESTED, batch)] for batch in _batches(spool, NESTED, "decimal"))
    _write_parquet([folder / "invoices.parquet"], [arrow.nested_schema(NESTED)], tables, clock)


def _flat_parquet(spool: Path, folder: Path, clock: Clock) -> None:
    from zoho_async.export.columns.arrow import Arrow

    arrow = Arrow(_pyarrow())
    tables = (
        [
            arrow.flat(each.columns, values)
            for each, values in zip(FLAT.tables, portion, strict=True)
        ]
        for portion in _columns(spool, NESTED, FLAT)
    )
    paths = [folder / f"{each.name}.parquet" for each in FLAT.tables]
    _write_parquet(paths, [arrow.schema(each.columns) for each in FLAT.tables], tables, clock)


def _write_parquet(
    paths: list[Path], schemas: list[Any], portions_of: Iterator[list[Any]], clock: Clock
) -> None:
    import pyarrow.parquet as pq

    with clock:
        writers = [
            pq.ParquetWriter(path, schema, compression="zstd")
            for path, schema in zip(paths, schemas, strict=True)
        ]
    waiting: list[list[Any]] = [[] for _ in writers]

    def flush(at: int) -> None:
        if waiting[at]:
            table = _pyarrow().concat_tables(waiting[at])
            with clock:
                writers[at].write_table(table, row_group_size=max(1, table.num_rows))
            waiting[at] = []

    for tables in portions_of:
        for at, table in enumerate(tables):
            waiting[at].append(table)
            if sum(each.nbytes for each in waiting[at]) >= GROUP:
                flush(at)
    for at, writer in enumerate(writers):
        flush(at)
        with clock:
            writer.close()


def _sqlite(spool: Path, folder: Path, clock: Clock) -> None:
    path = folder / "invoices.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        inserts = []
        for table in LAYOUT.tables:
            names = quote_all([column.name for column in table.columns])
            connection.execute(
                f"CREATE TABLE {table.name} ({names}, PRIMARY KEY ({quote_all(table.key)}))"
            )
            marks = ", ".join("?" * len(table.columns))
            inserts.append(f"INSERT INTO {table.name} VALUES ({marks})")
        for portion in _columns(spool, SHAPE, LAYOUT, "double"):
            rows = [
                list(rows_of(table, values))
                for table, values in zip(LAYOUT.tables, portion, strict=True)
            ]
            with clock:
                connection.execute("BEGIN")
                for insert, some in zip(inserts, rows, strict=True):
                    connection.executemany(insert, some)
                connection.execute("COMMIT")


def _duckdb(spool: Path, folder: Path, clock: Clock) -> None:
    import duckdb

    from zoho_async.export.columns.arrow import Arrow

    arrow = Arrow(_pyarrow())
    connection = duckdb.connect(str(folder / "invoices.duckdb"))
    for table in LAYOUT.tables:
        defined = definitions(table, our_duckdb.DuckDbEngine.types)
        connection.execute(f"CREATE TABLE {table.name} ({defined})")
    for portion in _columns(spool, SHAPE, LAYOUT):
        tables = [
            arrow.flat(table.columns, values)
            for table, values in zip(LAYOUT.tables, portion, strict=True)
        ]
        with clock:
            connection.execute("BEGIN")
            for table, rows in zip(LAYOUT.tables, tables, strict=True):
                connection.register("portion", rows)
                connection.execute(f"INSERT INTO {table.name} SELECT * FROM portion")
                connection.unregister("portion")
            connection.execute("COMMIT")
    with clock:
        connection.close()


def _postgresql(spool: Path, folder: Path, clock: Clock) -> None:
    with postgresql_tables() as connection:
        for portion in _columns(spool, SHAPE, LAYOUT):
            texts = [
                our_postgresql.copy_text(table, values)
                for table, values in zip(LAYOUT.tables, portion, strict=True)
            ]
            with clock:
                for table, text in zip(LAYOUT.tables, texts, strict=True):
                    statement = f"COPY {table.name} FROM STDIN".encode()
                    with connection.cursor() as cursor, cursor.copy(statement) as copy:
                        copy.write(text)
                connection.commit()


def postgresql_tables() -> Any:
    """A connection to the server, with the tables made in it."""
    import psycopg

    connection = psycopg.connect(os.environ["BENCHMARK_POSTGRESQL"])
    for table in LAYOUT.tables:
        connection.execute(_created(table).encode())
    connection.commit()
    return connection


def _created(table: FlatTable) -> str:
    defined = definitions(table, our_postgresql.PostgreSqlEngine.types)
    return f"CREATE TABLE {table.name} ({defined}, PRIMARY KEY ({quote_all(table.key)}))"


def _pyarrow() -> Any:
    import pyarrow

    return pyarrow


WORKS: Final[dict[str, Work]] = {
    "gzip": _gzip,
    "zstd": _zstd,
    "CSV": _csv,
    "Parquet": _parquet,
    "Parquet, flattened": _flat_parquet,
    "SQLite": _sqlite,
    "DuckDB": _duckdb,
    "PostgreSQL": _postgresql,
}


# -- DuckDB's JSON reader --------------------------------------------------------------------------

_NAMES: Final = quote_all([column.name for column in SHAPE.columns])


def _select(spool: Path) -> str:
    kinds = {column.path[0]: DuckDbEngine.types[column.kind] for column in SHAPE.columns}
    texts = ", ".join(f"'{name}': 'VARCHAR'" for name in kinds)
    columns = ", ".join(
        f'CAST(nullif(trim("{name}"), \'\') AS {kind}) AS "{name}"' for name, kind in kinds.items()
    )
    return f"SELECT {columns} FROM read_ndjson('{spool}', columns = {{{texts}}})"


def _read_duckdb(spool: Path, folder: Path, clock: Clock) -> None:
    connection = _connect(folder / "invoices.duckdb")
    with clock:
        connection.execute(f"CREATE TABLE books_invoices AS {_select(spool)}")
        connection.close()


def _read_parquet(spool: Path, folder: Path, clock: Clock) -> None:
    connection = _connect(folder / "scratch.duckdb")
    path = folder / "invoices.parquet"
    with clock:
        connection.execute(f"COPY ({_select(spool)}) TO '{path}' (COMPRESSION zstd)")


def _connect(path: Path) -> Any:
    import duckdb

    return duckdb.connect(str(path), config={"threads": 1})


READERS: Final[dict[str, Work]] = {"DuckDB": _read_duckdb, "Parquet": _read_parquet}


def same_columns(name: str, spool: str) -> int:
    """Return how many rows have equal columns in both. Raises `AssertionError` if they differ."""
    ours = _columns_read("ours", name, Path(spool))
    assert _columns_read("by_duckdb", name, Path(spool)) == ours, (
        f"{name}: DuckDB reads other values"
    )
    return len(ours)


def _columns_read(who: Who, name: str, spool: Path) -> list[Any]:
    with tempfile.TemporaryDirectory() as folder:
        bring(who, name, spool, Path(folder))
        table = f"'{folder}/invoices.parquet'" if name == "Parquet" else "books_invoices"
        connection = _connect(Path(folder, "invoices.duckdb"))
        found: list[Any] = connection.execute(
            f"SELECT {_NAMES} FROM {table} ORDER BY invoice_id"
        ).fetchall()
        return found
