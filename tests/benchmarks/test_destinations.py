"""`benchmarks.destinations` measures the same work, and its findings stay true."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.destinations import ALONE, COLUMNS, same, spool_of
from benchmarks.timing import apart

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
PLACES = {"jsonl": "{folder}", "sqlite": "sqlite:{folder}/invoices.sqlite"}


@linux
@pytest.mark.long
@pytest.mark.timeout(300)  # less than half a minute alone; other programs share the machine
@pytest.mark.parametrize("to", PLACES.values(), ids=PLACES)
def test_the_memory_of_an_export_does_not_grow_with_the_rows(to: str, tmp_path: Path) -> None:
    peaks = []
    for rows in (10_000, 60_000):
        folder = tmp_path / str(rows)
        folder.mkdir()
        spool = spool_of(rows, str(folder))
        cpu, peak = apart("benchmarks.destinations.ours", "measured", to, spool, str(folder))
        assert cpu > 0
        peaks.append(peak)
    assert peaks[1] - peaks[0] < 60


@linux
@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", ALONE)
def test_the_memory_of_a_file_does_not_grow_with_the_rows(name: str, tmp_path: Path) -> None:
    peaks = [
        apart("benchmarks.destinations", "took", "ours", name, spool_of(rows, str(tmp_path)))[2]
        for rows in (10_000, 60_000)
    ]
    assert peaks[1] - peaks[0] < 30


@pytest.mark.parametrize("name", [name for name in COLUMNS if name != "PostgreSQL"])
def test_ours_the_engine_and_what_is_made_by_hand_hold_the_same(name: str, tmp_path: Path) -> None:
    assert same(name, spool_of(300, str(tmp_path))) >= 300


@linux
@pytest.mark.long
@pytest.mark.timeout(300)  # some seconds alone; other programs share the machine
@pytest.mark.parametrize("name", [name for name in COLUMNS if name != "PostgreSQL"])
def test_a_destination_costs_less_than_the_same_made_by_hand(name: str, tmp_path: Path) -> None:
    """The least of some turns counts. A busy machine adds to all, so it gets more turns."""
    spool = spool_of(10_000, str(tmp_path))
    turns: list[list[float]] = []
    for turn in range(9):
        turns.append(
            [
                apart("benchmarks.destinations", "took", who, name, spool)[0]
                for who in ("ours", "by_hand")
            ]
        )
        ours, by_hand = map(min, zip(*turns, strict=True))
        if turn >= 2 and ours < 1.1 * by_hand:
            return
    pytest.fail(f"{ours:.2f} s, and {by_hand:.2f} s by hand")
