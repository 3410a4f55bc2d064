"""What `benchmarks.destinations` measures of whole landings: memory that does not grow."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.destinations import measure, spool_of

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")


@linux
@pytest.mark.long
@pytest.mark.timeout(300)  # less than half a minute alone; other programs share the machine
def test_the_memory_of_an_export_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    spools = []
    for rows in (10_000, 60_000):
        folder = tmp_path / str(rows)
        folder.mkdir()
        spools.append(spool_of(rows, folder))
    for name in ("jsonl", "sqlite"):
        few, many = (measure(name, spool, landed=True) for spool in spools)
        assert many.memory - few.memory < 60, name


@linux
def test_a_landing_is_measured_whole(tmp_path: Path) -> None:
    measured = measure("jsonl", spool_of(300, tmp_path), landed=True)
    assert 0 < measured.memory < 500
    assert measured.cpu > 0
