"""Every fault against everything a client does; the table in the docs is what this run found."""

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
async def test_no_fault_loses_doubles_or_leaks_anything_and_the_docs_say_what_comes_of_each() -> (
    None
):
    told = await table()
    assert told == DOCS.read_text(encoding="utf-8"), (
        "run `python -m tests.wire.matrix` and look at what has changed"
    )
