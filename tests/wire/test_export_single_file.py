"""``--to invoices.csv``: one file that is always whole, and reads only what changed."""

from __future__ import annotations

import csv
import errno
import gzip
import json
import os
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from openpyxl import load_workbook

from tests.support.export_databases import sandbox, session
from zoho_async import Session
from zoho_async.errors import BudgetSpent, ConfigurationError
from zoho_async.export import (
    CheckpointRefused,
    DestinationError,
    Export,
    ExportOptions,
    ExportRunning,
    Summary,
)
from zoho_async.export.destinations.single_file import OneList


async def export(zoho: Session, to: Path, *lists: str, **options: Any) -> Summary:
    async with Export(zoho, lists or ("invoices",), to=to, options=ExportOptions(**options)) as job:
        return await job.wait()


def ids(path: Path) -> list[str]:
    """The ids in a file, in their order."""
    if path.suffix == ".csv":
        with path.open(newline="", encoding="utf-8-sig") as file:
            return [row["invoice_id"].strip('="') for row in csv.DictReader(file)]
    if path.suffix == ".parquet":
        found: list[str] = pq.read_table(path)["invoice_id"].to_pylist()
        return found
    if path.suffix == ".xlsx":
        sheet = load_workbook(path)["invoices"]
        header, *rows = sheet.iter_rows(values_only=True)
        return [str(row[header.index("invoice_id")]) for row in rows]
    data = path.read_bytes()
    if path.suffix == ".gz":
        data = gzip.decompress(data)
    return [json.loads(row)["invoice_id"] for row in data.splitlines()]


def true_ids(server: Any) -> list[str]:
    return [json.loads(row)["invoice_id"] for row in server.truth("invoices")]


@pytest.mark.parametrize(
    "suffix", [".csv", ".parquet", ".xlsx", ".jsonl", ".jsonl.gz", ".jsonl.zst"]
)
async def test_a_later_run_reads_what_changed_and_one_file_stays_one(
    suffix: str, tmp_path: Path
) -> None:
    path = tmp_path / f"invoices{suffix}"
    async with sandbox() as server, session(server) as zoho:
        await export(zoho, path)
        invoices = server.store().collection("invoices")
        invoices.change(7, {"reference_number": "CHANGED"})
        invoices.add({"reference_number": "ADDED"})
        invoices.remove(3)
        summary = await export(zoho, path, detect_deletions=True)
        assert summary.rows_new == 2
        if suffix != ".jsonl.zst":
            assert sorted(ids(path)) == sorted(true_ids(server))
        before = path.stat()
        again = await export(zoho, path)
        assert again.rows_new == 0
        assert path.stat().st_mtime_ns == before.st_mtime_ns  # nothing new, so not written
    assert [one for one in os.listdir(tmp_path) if not one.startswith(".")] == [path.name]


async def test_an_interrupted_run_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "invoices.csv"
    async with sandbox() as server, session(server) as zoho:
        with pytest.raises(BudgetSpent):
            await export(zoho, path, max_calls=1)
        assert not path.exists()
        await export(zoho, path)
        before = path.read_bytes()
        with pytest.raises(BudgetSpent):
            await export(zoho, path, full=True, max_calls=1)
        assert path.read_bytes() == before
        await export(zoho, path, full=True)
        assert sorted(ids(path)) == sorted(true_ids(server))


async def test_a_full_disk_while_the_file_is_made_costs_no_calls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "invoices.csv"

    def full(*_: object) -> None:
        (tmp_path / ".invoices.csv.zoho-export/making/invoices.csv").write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    async with sandbox() as server, session(server) as zoho:
        with monkeypatch.context() as patch:
            patch.setattr(OneList, "write", full)
            with pytest.raises(DestinationError, match=r"invoices\.csv: No space left.*make room"):
                await export(zoho, path)
        assert not path.exists()
        assert not (tmp_path / ".invoices.csv.zoho-export/making").exists()
        summary = await export(zoho, path)
        assert summary.calls == 0
        assert len(ids(path)) == len(true_ids(server))


@pytest.mark.parametrize("suffix", [".csv", ".xlsx"])
async def test_a_file_that_another_program_has_open_is_said(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"invoices{suffix}"
    replace = os.replace

    def refused(made: Path, target: Path) -> None:  # as Windows does
        if target == path:
            raise PermissionError(errno.EACCES, "Access is denied")
        replace(made, target)

    async with sandbox() as server, session(server) as zoho:
        await export(zoho, path)
        server.store().collection("invoices").add({"reference_number": "ADDED"})
        before = path.read_bytes()
        with monkeypatch.context() as patch:
            patch.setattr("os.replace", refused)
            with pytest.raises(DestinationError, match="Access is denied"):
                await export(zoho, path)
        assert path.read_bytes() == before
        await export(zoho, path)
        assert sorted(ids(path)) == sorted(true_ids(server))


@pytest.mark.parametrize("edit", [(b"", b"a note\r\n"), (b"overdue", b"OVERDUE")])
async def test_a_file_changed_by_hand_is_never_replaced(
    tmp_path: Path, edit: tuple[bytes, bytes]
) -> None:
    path = tmp_path / "invoices.csv"
    async with sandbox() as server, session(server) as zoho:
        path.write_bytes(b"mine")
        with pytest.raises(CheckpointRefused, match="move or rename it"):
            await export(zoho, path)
        assert os.listdir(tmp_path) == ["invoices.csv"]
        path.unlink()
        await export(zoho, path)
        made = path.read_bytes()
        os.utime(path, (1, 1))  # a copy of the file is no edit
        await export(zoho, path)
        edited, calls = made.replace(*edit, 1), server.calls
        assert edited != made
        path.write_bytes(edited)
        with pytest.raises(CheckpointRefused, match="changed by hand"):
            await export(zoho, path, full=True)
        assert (path.read_bytes(), server.calls) == (edited, calls)
        path.rename(tmp_path / "mine.csv")
        await export(zoho, path)
        assert sorted(ids(path)) == sorted(true_ids(server))


async def test_a_file_holds_the_list_that_it_began_with(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    async with sandbox() as server, session(server) as zoho:
        await export(zoho, path, "invoices")
        calls = server.calls
        with pytest.raises(CheckpointRefused, match=r"holds books\.invoices"):
            await export(zoho, path, "contacts")
        with pytest.raises(ConfigurationError, match=r"holds one list.*--to .*rows\.xlsx"):
            await export(zoho, path, "contacts", "invoices")
        assert server.calls == calls


async def test_a_workbook_has_a_sheet_per_list_and_takes_more_lists(tmp_path: Path) -> None:
    path = tmp_path / "books.xlsx"
    async with sandbox() as server, session(server) as zoho:
        await export(zoho, path, "invoices")
        await export(zoho, path, "contacts", "invoices")
        book = load_workbook(path)
        assert book.sheetnames == ["contacts", "invoices"]
        for name in book.sheetnames:
            assert book[name].max_row - 1 == len(server.truth(name))


async def test_one_run_at_a_time_writes_a_file(tmp_path: Path) -> None:
    path = tmp_path / "invoices.csv"
    async with (
        sandbox() as server,
        session(server) as zoho,
        Export(zoho, ("invoices",), to=path),
    ):
        with pytest.raises(ExportRunning, match=r"into \S*/invoices\.csv,"):
            await export(zoho, path)


async def test_a_directory_that_cannot_be_written_is_said_before_any_call(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    async with sandbox() as server, session(server) as zoho:
        with pytest.raises(DestinationError, match=r"cannot write to \S*/file/invoices\.csv"):
            await export(zoho, tmp_path / "file/invoices.csv")
        assert server.calls == 0
