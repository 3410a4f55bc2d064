"""A careful program without this package, with the same values as result.

It decodes each row, with numbers as `Decimal`, converts its fields by the description, and keeps
other fields as JSON. Each engine then gets rows in the way that its manual starts with. It is less
careful than we are: a value that does not fit its column ends it, and so does an empty text in a
column of JSON. A number with more digits than a double has loses them.
"""

from __future__ import annotations

import csv
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any, Final

import msgspec

from benchmarks.destinations import CSV, FLAT, LAYOUT, NESTED, SHAPE, Clock, Work
from benchmarks.destinations.engines import postgresql_tables
from zoho_async.export.columns.schema import EXACT, EXTRA, ColumnKind, ColumnShape
from zoho_async.export.columns.tables import Layout
from zoho_async.export.destinations.duckdb import DuckDbEngine
from zoho_async.export.destinations.engine import definitions, quote_all

_MANY: Final = 1_000  # rows that go to an engine at once
_BLANKS: Final = (None, "", " ")

_decode: Final = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal).decode
_encode: Final = msgspec.json.Encoder(decimal_format="number").encode

Row = dict[str, Any]
_Types = dict[ColumnKind, Callable[[Any], Any]]


def _json(value: Any) -> str:
    return _encode(value).decode()


def _utc(moment: str) -> str:
    return datetime.fromisoformat(moment).astimezone(UTC).isoformat()


_TYPED: Final[_Types] = {
    "text": str,
    "decimal": Decimal,
    "exchange_rate": Decimal,
    "integer": int,
    "boolean": bool,
    "date": date.fromisoformat,
    "time": datetime.fromisoformat,
    "json": _json,
    "texts": list,
}
_CSV: Final[_Types] = {
    **_TYPED,
    "decimal": str,
    "exchange_rate": str,
    "boolean": lambda value: "true" if value else "false",
    "date": str,
    "time": str,
}
_SQLITE: Final[_Types] = {
    **_TYPED,
    "decimal": float,
    "exchange_rate": float,
    "date": str,
    "time": _utc,
}


def _rows(spool: Path, shape: ColumnShape, types: _Types) -> Iterator[Row]:
    with spool.open("rb") as lines:
        for line in lines:
            yield _row(_decode(line), shape, types)


def _row(sent: Row, shape: ColumnShape, types: _Types) -> Row:
    row: Row = {}
    for column in shape.columns:
        (name,) = column.path  # no object within these rows is described
        value = sent.pop(name, None)
        row[column.name] = None if value in _BLANKS else types[column.kind](value)
    for nested in shape.lists:
        elements = sent.pop(nested.path[0], None)
        if elements in _BLANKS:
            row[nested.name] = None
        else:
            row[nested.name] = [_row(element, nested.shape, types) for element in elements]
    row[EXACT] = None
    rest = {name: value for name, value in sorted(sent.items()) if value not in _BLANKS}
    row[EXTRA] = _json(rest) if rest else None
    return row


def _many(rows: Iterator[Row]) -> Iterator[list[Row]]:
    while some := list(islice(rows, _MANY)):
        yield some


def _tables(rows: Iterable[Row], layout: Layout, shape: ColumnShape) -> list[list[tuple[Any, ...]]]:
    """Rows of each table; the lists hold no lists."""
    names = [[column.name for column in table.columns] for table in layout.tables]
    found: list[list[tuple[Any, ...]]] = [[] for _ in layout.tables]
    for row in rows:
        found[0].append(tuple([row[name] for name in names[0]]))
        for number, nested in enumerate(shape.lists, 1):
            for place, element in enumerate(row[nested.name] or (), 1):
                cells = [element[name] for name in names[number][2:]]
                found[number].append((found[0][-1][0], place, *cells))
    return found


def _csv(spool: Path, folder: Path, clock: Clock) -> None:
    names = [*(column.name for column in CSV.columns), EXTRA]
    with clock, (folder / "invoices.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, names, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(_rows(spool, CSV, _CSV))


def _parquet(spool: Path, folder: Path, clock: Clock) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from zoho_async.export.columns.arrow import Arrow

    schema = Arrow(pa).nested_schema(NESTED)
    path = folder / "invoices.parquet"
    with clock, pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for rows in _many(_rows(spool, NESTED, _TYPED)):
            writer.write_batch(pa.RecordBatch.from_pylist(rows, schema))


def _flat_parquet(spool: Path, folder: Path, clock: Clock) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from zoho_async.export.columns.arrow import Arrow

    schemas = [Arrow(pa).schema(each.columns) for each in FLAT.tables]
    writers = [
        pq.ParquetWriter(folder / f"{each.name}.parquet", schema, compression="zstd")
        for each, schema in zip(FLAT.tables, schemas, strict=True)
    ]
    with clock:
        for rows in _many(_rows(spool, NESTED, _TYPED)):
            tables = _tables(rows, FLAT, NESTED)
            for writer, schema, some in zip(writers, schemas, tables, strict=True):
                if some:
                    writer.write_table(_arrow_table(pa, schema, some))
        for writer in writers:
            writer.close()


def _arrow_table(pa: Any, schema: Any, rows: list[tuple[Any, ...]]) -> Any:
    columns = [
        pa.array(cells, field.type)
        for cells, field in zip(zip(*rows, strict=True), schema, strict=True)
    ]
    return pa.table(columns, schema=schema)


def _sqlite(spool: Path, folder: Path, clock: Clock) -> None:
    with closing(sqlite3.connect(folder / "invoices.sqlite", isolation_level=None)) as connection:
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
        with clock:
            for rows in _many(_rows(spool, SHAPE, _SQLITE)):
                connection.execute("BEGIN")
                for insert, some in zip(inserts, _tables(rows, LAYOUT, SHAPE), strict=True):
                    connection.executemany(insert, some)
                connection.execute("COMMIT")


def _duckdb(spool: Path, folder: Path, clock: Clock) -> None:
    import duckdb
    import pyarrow as pa

    from zoho_async.export.columns.arrow import Arrow

    schemas = [Arrow(pa).schema(each.columns) for each in LAYOUT.tables]
    connection = duckdb.connect(str(folder / "invoices.duckdb"))
    for table in LAYOUT.tables:
        defined = definitions(table, DuckDbEngine.types)
        connection.execute(f"CREATE TABLE {table.name} ({defined})")
    with clock:
        for rows in _many(_rows(spool, SHAPE, _TYPED)):
            connection.execute("BEGIN")
            tables = _tables(rows, LAYOUT, SHAPE)
            for table, schema, some in zip(LAYOUT.tables, schemas, tables, strict=True):
                if some:
                    connection.register("portion", _arrow_table(pa, schema, some))
                    connection.execute(f"INSERT INTO {table.name} SELECT * FROM portion")
                    connection.unregister("portion")
            connection.execute("COMMIT")
        connection.close()


def _postgresql(spool: Path, folder: Path, clock: Clock) -> None:
    with postgresql_tables() as connection, clock:
        for rows in _many(_rows(spool, SHAPE, _TYPED)):
            tables = _tables(rows, LAYOUT, SHAPE)
            for table, some in zip(LAYOUT.tables, tables, strict=True):
                statement = f"COPY {table.name} FROM STDIN".encode()
                with connection.cursor() as cursor, cursor.copy(statement) as copy:
                    for row in some:
                        copy.write_row(row)
            connection.commit()


WORKS: Final[dict[str, Work]] = {
    "CSV": _csv,
    "Parquet": _parquet,
    "Parquet, flattened": _flat_parquet,
    "SQLite": _sqlite,
    "DuckDB": _duckdb,
    "PostgreSQL": _postgresql,
}
