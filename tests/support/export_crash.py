"""``python -m tests.support.export_crash``: a process that writes rows until it is killed.

It reads commands from its input and runs each in a child process, which prints one line per step.
A child needs no new interpreter.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pyarrow.parquet  # loaded once, for all children

from tests.support import export_rows
from zoho_async.export.destinations import directory
from zoho_async.export.destinations.base import Table
from zoho_async.export.destinations.formats import Csv, Format, Gzip, Parquet, Zstandard
from zoho_async.export.destinations.open import open_destination

__all__ = ["duckdb", "psycopg", "pyarrow"]

PAGES = 15
FORMS: dict[str, Callable[[], Format]] = {
    "jsonl.gz": Gzip,
    "jsonl.zst": Zstandard,
    "csv": Csv,
    "flat csv": lambda: Csv(flatten=True),
    "parquet": Parquet,
    "flat parquet": lambda: Parquet(flatten=True),
}
_LINE = '{"tags":[{}]}'


def page(number: int) -> list[bytes]:
    """Rows of page ``number``: some new ones, and those of the page before once more, changed."""
    return [
        export_rows._object(
            {
                "invoice_id": f'"{one}"',
                "total": f"{number}.{one % 100:02}",
                "line_items": f"[{','.join([_LINE] * ((number + one) % 3))}]",
            }
        ).encode()
        for one in range(max(1, number * 20 - 19), number * 20 + 20)
    ]


def step(name: str) -> None:
    """Tell of a step, after which the process may be gone."""
    os.write(1, f"{name}\n".encode())


def land(to: str) -> None:
    """Land the pages that the state does not speak of yet."""
    place = open_destination(to).open()
    engine: Any = place.database
    step("open")
    with engine.transaction():
        engine.execute("CREATE TABLE IF NOT EXISTS _zoho_test (id BIGINT PRIMARY KEY, page BIGINT)")
    sink = place.sink(export_rows.TABLE, "")
    sink.resume(0)
    step("resumed")
    done = engine.execute("SELECT page FROM _zoho_test")
    for number in range(done[0][0] + 1 if done else 1, PAGES + 1):
        with engine.transaction():
            step("begun")
            sink.write(page(number))
            step("written")
            engine.upsert("_zoho_test", ["id"], ["id", "page"], [(1, number)])
            step("promised")
        step("durable")
    place.close()


def settle(name: str, rows: Path, table: Table = export_rows.TABLE) -> None:
    """Bring ``rows`` into their final form, as a directory does."""
    form = FORMS[name]()
    target = rows.with_name("invoices" + form.suffix)
    made = target.with_name(target.name + ".tmp")
    form.write(rows, made, table)
    step("made")
    with made.open("rb+") as file:
        os.fsync(file.fileno())
    made.replace(target)
    step("named")
    rows.unlink()


def _tell_portions() -> None:
    whole = directory.portions

    def told(rows: Path) -> Iterator[bytes]:
        for lines in whole(rows):
            step("portion")
            yield lines

    for module in ("tables", "parquet"):
        sys.modules[f"zoho_async.export.destinations.formats.{module}"].__dict__["portions"] = told
    directory.PORTION = 20_000


def _do(command: str) -> None:
    kind, _, given = command.partition("\t")
    if kind == "land":
        land(given)
    else:
        _tell_portions()
        settle(kind, Path(given))


def main() -> None:
    """Do one command after the other."""
    for command in sys.stdin:
        child = os.fork()
        if not child:
            step(f"pid {os.getpid()}")
            _do(command.rstrip("\n"))
            os._exit(0)
        os.waitpid(child, 0)
        step("ended")


if __name__ == "__main__":
    main()
