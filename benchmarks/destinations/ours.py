"""The part of an export that follows the arrival of its rows."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Final

from benchmarks.destinations import PLACE, TABLE, Clock, Work
from zoho_async.export.destinations.directory import portions
from zoho_async.export.destinations.formats import Csv, Format, Gzip, Parquet, Xlsx, Zstandard
from zoho_async.export.destinations.open import open_destination
from zoho_async.export.destinations.single_file import CompleteList

_PAGE: Final = 200


def _file(form: Callable[[], Format]) -> Work:
    def work(spool: Path, folder: Path, clock: Clock) -> None:
        made = form()
        with clock:
            made.write(spool, folder / ("invoices" + made.suffix), TABLE)

    return work


def _workbook(spool: Path, folder: Path, clock: Clock) -> None:
    with clock:
        Xlsx(flatten=True).write([CompleteList(TABLE, spool)], folder / "invoices.xlsx")


def _database(to: str) -> Work:
    def work(spool: Path, folder: Path, clock: Clock) -> None:
        with closing(open_destination(address(to, folder)).open()) as place:
            engine = place.database
            sink = place.sink(TABLE, "")
            sink.resume(0)
            for lines in portions(spool):
                rows = lines.splitlines()  # they come one by one in an export
                with clock, engine.transaction():
                    sink.write(rows)
            with clock:
                place.close()

    return work


def address(to: str, folder: Path) -> str:
    """``to`` of a place within ``folder``, or on the server."""
    return to.format(folder=folder, postgresql=os.environ.get("BENCHMARK_POSTGRESQL"))


WORKS: Final[dict[str, Work]] = {
    "gzip": _file(Gzip),
    "zstd": _file(Zstandard),
    "CSV": _file(Csv),
    "CSV, flattened": _file(lambda: Csv(flatten=True)),
    "CSV for Excel": _file(lambda: Csv(excel=True)),
    "XLSX": _workbook,
    "Parquet": _file(Parquet),
    "Parquet, flattened": _file(lambda: Parquet(flatten=True)),
    "SQLite": _database("sqlite:{folder}/invoices.sqlite"),
    "DuckDB": _database("duckdb:{folder}/invoices.duckdb"),
    "PostgreSQL": _database("{postgresql}"),
}


def land(to: str, spool: Path, folder: Path) -> None:
    """All of it: pages, with the state, the records' digests and the final form."""
    from zoho_async.description import load
    from zoho_async.export.catalog import list_operation
    from zoho_async.export.checkpoint.store import Checkpoint
    from zoho_async.export.part_begin import open_store
    from zoho_async.export.part_end import complete_part
    from zoho_async.export.resource_store import RunOptions
    from zoho_async.export.writer import ResourceWriter
    from zoho_async.wire import Page, row_id

    facts = load("books").named("books.invoices.list")
    operation = list_operation(facts)
    with closing(open_destination(address(to, folder)).open()) as place:
        state = Checkpoint.open(place.database, PLACE, name=place.name)
        state.enter("benchmark", "20261123T020000Z")
        writer = ResourceWriter(open_store(state, place, facts, "all", RunOptions(restart=True)))
        for number, rows in enumerate(_pages(spool), 1):
            page = Page(number=number, rows=rows, ids=[row_id(operation, row) for row in rows])
            with state.database.transaction():
                writer.write_pages([page])
        complete_part(writer.store, "2026-11-23T02:00:00+0000")
        writer.store.close()


def _pages(spool: Path) -> Iterator[list[bytes]]:
    with spool.open("rb") as lines:
        while rows := [line.rstrip(b"\n") for line in islice(lines, _PAGE)]:
            yield rows


def measured(to: str, spool: str, folder: str) -> tuple[float, float]:
    """CPU seconds and peak megabytes of `land`; call it in a separate process."""
    from benchmarks.timing import memory

    clock = Clock()
    with clock:
        land(to, Path(spool), Path(folder))
    return clock.cpu, memory("VmHWM")
