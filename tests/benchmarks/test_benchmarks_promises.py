"""The benchmarks measure what they say, and the client has not become slower."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from benchmarks import __main__ as command
from benchmarks.report import Reach, Table, printed
from benchmarks.suites import SUITES
from benchmarks.suites.rate import START, run_held, seconds_for
from benchmarks.timing import differences
from zoho_async import Limits
from zoho_async.books.types.invoices import Invoice

HERE = Path(__file__).parents[2]


def test_a_peer_that_returns_floats_for_money_is_reported_and_not_equal() -> None:
    truth = [Invoice(invoice_id="1", total=Decimal("12.50"))]
    assert differences(truth, [{"invoice_id": "1", "total": 12.5}]) == ["float for Decimal"]
    assert differences(truth, [Invoice(invoice_id="1", total=Decimal("12.50"))]) == []


@pytest.mark.parametrize(
    "rows", [[], [{"invoice_id": "2", "total": 12.5}], [{"invoice_id": "1", "total": 12.6}]]
)
def test_a_contender_that_does_other_work_is_found_out(rows: list[Any]) -> None:
    with pytest.raises(AssertionError):
        differences([Invoice(invoice_id="1", total=Decimal("12.50"))], rows)


def test_a_day_in_held_time_takes_no_time_and_ends_when_it_should() -> None:
    async def day() -> float:
        await asyncio.sleep(86_400)
        return asyncio.get_running_loop().time() - START

    assert run_held(day()) == pytest.approx(86_400)


def test_waiting_for_what_time_cannot_bring_is_an_error_in_held_time() -> None:
    async def forever() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(RuntimeError, match="all tasks wait"):
        run_held(forever())


@pytest.mark.parametrize(
    ("limits", "seconds"), [(Limits(), 69.22), (Limits(burst=90), 60.66), (Limits(limit=100), 61.6)]
)
def test_a_hundred_calls_take_as_long_as_the_limits_say(limits: Limits, seconds: float) -> None:
    assert seconds_for(100, limits) == pytest.approx(seconds, abs=0.05)


def test_every_table_can_be_asked_for_by_name() -> None:
    for entry in SUITES.values():
        assert callable(entry.load())


def test_a_missed_reach_is_printed_as_missed() -> None:
    table = Table(key="x", title="T", columns=["who", "us"], rows=[["we", 3.0]])
    table.reach = [Reach("cost", 3.0, 2.0, " us")]
    assert "MISSED: cost: 3 us (at most 2)" in printed(table)


@pytest.mark.long
def test_a_quick_run_measures_writes_and_draws(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the extra `bench` is not installed")
    figures = tmp_path / "figures.json"
    options = ["--quick", "--only", "page", "--only", "pace", "--only", "day"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *options, "--json", str(figures), "--plots", tmp_path],
        cwd=HERE,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    results = msgspec.json.decode(figures.read_bytes(), type=command.Results)
    assert [table.key for table in results.tables] == ["page", "pace", "day"]
    assert all(each.reached for each in results.tables[2].reach)
    assert {path.name for path in tmp_path.glob("*.svg")} == {"page.svg", "day.svg"}


@pytest.mark.long
def test_the_client_has_not_become_slower_than_the_floor_permits() -> None:
    """Noise only adds, so a ratio that was missed is measured once more."""
    pytest.importorskip("httpx", reason="the extra `bench` is not installed")
    command = [sys.executable, "-m", "benchmarks", "--guard"]
    for _ in range(2):
        done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, timeout=140)
        if done.returncode == 0:
            return
    pytest.fail(done.stdout + done.stderr)
