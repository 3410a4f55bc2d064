"""Numbers that a column does not hold are counted, and destinations of another layout refused."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.support import export_databases
from tests.support.export_databases import Target, assert_current, export, sandbox, session, table
from zoho_async.cli.outcome import exit_code
from zoho_async.export import (
    CheckpointRefused,
    Directory,
    Export,
    ExportOptions,
    Summary,
    merge,
)
from zoho_async.export.destinations.formats import Parquet
from zoho_async.export.errors import ExportIncomplete
from zoho_async.sandbox import Sandbox
from zoho_async.session import Session

target, postgresql = export_databases.target, export_databases.postgresql

MANY_DIGITS = Decimal("12.3456789012345678901")


async def run(zoho: Session, to: str, **asked: object) -> Summary:
    options = ExportOptions(**asked)  # type: ignore[arg-type]  # passed on
    async with Export(zoho, ["books.invoices"], to=to, options=options) as job:
        return await job.wait()


def give_many_digits(server: Sandbox) -> str:
    """Give one invoice an adjustment with many digits. Return its id."""
    invoices = server.store().collection("invoices")
    invoices.change(7, {"adjustment": MANY_DIGITS})
    (one,) = (
        row["invoice_id"]
        for row in map(_parsed, server.truth("books.invoices"))
        if row["adjustment"] == MANY_DIGITS
    )
    return str(one)


def _parsed(row: bytes) -> dict[str, object]:
    parsed: dict[str, object] = json.loads(row, parse_float=Decimal)
    return parsed


async def test_a_rounded_number_is_exact_and_counted_and_strict_refuses_it(target: Target) -> None:
    async with sandbox() as server, session(server) as zoho:
        one = give_many_digits(server)
        summary = await run(zoho, target.to, strict=True)
        assert (summary.rounded, summary.exit_code) == (1, 4)
        assert summary.resources[0].rounded == {"adjustment": 1}
        assert "books.invoices: numbers with more digits" in str(ExportIncomplete(summary))
        assert "adjustment (1)" in str(ExportIncomplete(summary))
        (row,) = (row for row in table(target, "books.invoices") if row["invoice_id"] == one)
        assert json.loads(row["_exact"]) == {"adjustment": str(MANY_DIGITS)}
        assert abs(Decimal(str(row["adjustment"])) - MANY_DIGITS) < Decimal("0.000001")
        again = await run(zoho, target.to, strict=True)  # nothing is written, so nothing is rounded
        assert (again.rounded, again.exit_code) == (0, 0)


@pytest.mark.parametrize(("format", "rounded"), [("parquet", 1), ("csv", 0), ("jsonl", 0)])
async def test_files_count_what_they_round(tmp_path: Path, format: str, rounded: int) -> None:
    async with sandbox() as server, session(server) as zoho:
        give_many_digits(server)
        summary = await run(zoho, str(tmp_path), format=format)
        assert (summary.rounded, summary.exit_code) == (rounded, 0)


@pytest.mark.parametrize(("suffix", "code"), [(".parquet", 4), (".xlsx", 4), (".csv", 0)])
async def test_single_files_count_what_they_round(tmp_path: Path, suffix: str, code: int) -> None:
    async with sandbox() as server, session(server) as zoho:
        give_many_digits(server)
        summary = await run(zoho, str(tmp_path / f"invoices{suffix}"), strict=True)
        assert (summary.rounded, summary.exit_code) == (bool(code), code)
        again = await run(zoho, str(tmp_path / f"invoices{suffix}"), strict=True)
        assert (again.rounded, again.exit_code) == (0, 0)


@pytest.mark.parametrize("flatten", [False, True])
async def test_a_merge_keeps_exact_digits(tmp_path: Path, flatten: bool) -> None:
    async with sandbox() as server, session(server) as zoho:
        await run(zoho, str(tmp_path), format="parquet", flatten=flatten)
        one = give_many_digits(server)
        assert (await run(zoho, str(tmp_path))).rounded == 1
        (merged,) = merge(Directory(tmp_path, Parquet(flatten=flatten)))
        rows = pq.read_table(merged.file).to_pylist()
        exact = {row["invoice_id"]: row["_exact"] for row in rows if row["_exact"]}
        assert exact == {one: json.dumps({"adjustment": str(MANY_DIGITS)}, separators=(",", ":"))}


async def test_another_layout_is_refused_before_any_call_and_restart_rebuilds_it(
    target: Target,
) -> None:
    async with sandbox() as server, session(server) as zoho:
        await export(zoho, target.to)
        place = target.make().open()
        database = place.database
        with database.transaction():  # as 0.1.0 left it
            database.execute("UPDATE _zoho_place SET form = 6")
            database.execute("DROP TABLE books_invoices")
            database.execute(
                "CREATE TABLE books_invoices (invoice_id TEXT PRIMARY KEY, total TEXT)"
            )
            database.execute("INSERT INTO books_invoices VALUES ('1', '9926.08')")
        place.close()
        calls = server.calls
        told = "layout 6.*`zoho-async export books.contacts books.invoices --restart`"
        with pytest.raises(CheckpointRefused, match=told) as refused:
            await export(zoho, target.to)
        assert server.calls == calls
        assert exit_code(refused.value) == 2
        await export(zoho, target.to, restart=True)
        assert_current(target, server)
        assert await export(zoho, target.to) == 0
        assert_current(target, server)


async def test_a_directory_of_another_layout_is_refused_and_restart_rebuilds_it(
    tmp_path: Path,
) -> None:
    async with sandbox() as server, session(server) as zoho:
        await run(zoho, str(tmp_path), format="parquet")
        place = Directory(tmp_path, Parquet()).open()
        place.database.execute("UPDATE _zoho_place SET form = 6")
        place.close()
        calls = server.calls
        with pytest.raises(CheckpointRefused, match=r"layout 6.*--restart"):
            await run(zoho, str(tmp_path))
        with pytest.raises(CheckpointRefused, match=r"layout 6.*--restart"):
            merge(Directory(tmp_path, Parquet()))
        assert server.calls == calls
        assert (await run(zoho, str(tmp_path), restart=True)).done
