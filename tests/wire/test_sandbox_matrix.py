"""Every fault against every kind of operation. The table in the docs is the result of this run."""

from __future__ import annotations

from typing import get_args

import pytest

from tests.wire.matrix import DOCS, ROWS, table
from zoho_async.sandbox import FAULTS, FaultKind


def test_every_kind_of_fault_is_documented_and_in_the_matrix() -> None:
    assert list(get_args(FaultKind)) == list(FAULTS)
    assert {row.title.split("`")[1] for row in ROWS} == set(FAULTS)


@pytest.mark.long
@pytest.mark.timeout(300)
async def test_no_fault_loses_repeats_or_leaks_anything_and_the_docs_have_each_outcome() -> None:
    found = await table()
    assert found == DOCS.read_text(encoding="utf-8"), (
        "run `python -m tests.wire.matrix` and review the changes"
    )
