"""Every fault against every kind of operation. The table in the docs is the result of this run."""

from __future__ import annotations

from typing import get_args

import pytest

from tests.wire.matrix import COLUMNS, DOCS, LASTING, ROWS, outcomes, table
from zoho_async.sandbox import FAULTS, FaultKind


def test_every_kind_of_fault_is_documented_and_in_the_matrix() -> None:
    assert list(get_args(FaultKind)) == list(FAULTS)
    assert {row.title.split("`")[1] for row in ROWS} == set(FAULTS)


async def test_no_fault_of_a_token_request_changes_its_documented_outcome() -> None:
    """One of the columns. The long test runs all of them."""
    once, always = await outcomes(["refresh"])
    place = 2 + COLUMNS.index("refresh")
    documented = [line.split("|") for line in DOCS.read_text("utf-8").splitlines()]
    cells = [line[place].strip() for line in documented if len(line) == len(COLUMNS) + 3]
    rows = len(ROWS)
    # Each table begins with its names and a rule.
    assert [cell for (cell,) in once] == cells[2 : 2 + rows]
    assert [cell for (cell,) in always] == cells[2 + rows + 2 :]
    assert len(always) == len(LASTING)


@pytest.mark.long
@pytest.mark.timeout(300)
async def test_no_fault_loses_repeats_or_leaks_anything_and_the_docs_have_each_outcome() -> None:
    found = await table()
    assert found == DOCS.read_text(encoding="utf-8"), (
        "run `python -m tests.wire.matrix` and review the changes"
    )
