"""What DuckDB's own JSON reader makes of the rows, in one statement: less than we do.

It leaves out what nobody describes, which is half of a row, and here the lists within rows too. A
value that does not fit ends it. Numbers come through floats, so that amounts of more than 17 digits
are others; without such, what its columns hold is equal (`same_columns`). The JSON reader of
pyarrow is no contender: it refuses a column in which amounts and blanks stand beside each other.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, Final

from benchmarks.destinations import SHAPE, Clock, Who, Work, bring
from zoho_async.export.destinations.duckdb import DuckDbEngine
from zoho_async.export.destinations.engine import listed

_NAMES: Final = listed([column.name for column in SHAPE.columns])


def _select(spool: Path) -> str:
    kinds = {column.path[0]: DuckDbEngine.types[column.kind] for column in SHAPE.columns}
    texts = ", ".join(f"'{name}': 'VARCHAR'" for name in kinds)
    columns = ", ".join(
        f'CAST(nullif(trim("{name}"), \'\') AS {kind}) AS "{name}"' for name, kind in kinds.items()
    )
    return f"SELECT {columns} FROM read_ndjson('{spool}', columns = {{{texts}}})"


def _duckdb(spool: Path, folder: Path, clock: Clock) -> None:
    connection = _connect(folder / "invoices.duckdb")
    with clock:
        connection.execute(f"CREATE TABLE books_invoices AS {_select(spool)}")
        connection.close()


def _parquet(spool: Path, folder: Path, clock: Clock) -> None:
    connection = _connect(folder / "scratch.duckdb")
    path = folder / "invoices.parquet"
    with clock:
        connection.execute(f"COPY ({_select(spool)}) TO '{path}' (COMPRESSION zstd)")


def _connect(path: Path) -> Any:
    import duckdb

    return duckdb.connect(str(path), config={"threads": 1})


WORKS: Final[dict[str, Work]] = {"DuckDB": _duckdb, "Parquet": _parquet}


def same_columns(name: str, spool: str) -> int:
    """How many rows have the same columns as ours. Raises `AssertionError` where they have not."""
    ours = _columns("ours", name, Path(spool))
    assert _columns("by_duckdb", name, Path(spool)) == ours, f"{name}: DuckDB reads other values"
    return len(ours)


def _columns(who: Who, name: str, spool: Path) -> list[Any]:
    with tempfile.TemporaryDirectory() as folder:
        bring(who, name, spool, Path(folder))
        table = f"'{folder}/invoices.parquet'" if name == "Parquet" else "books_invoices"
        connection = _connect(Path(folder, "invoices.duckdb"))
        found: list[Any] = connection.execute(
            f"SELECT {_NAMES} FROM {table} ORDER BY invoice_id"
        ).fetchall()
        return found
