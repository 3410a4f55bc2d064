"""The states of lists and the exit codes that follow: one table, everywhere the same."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from tests.support.export_summaries import summary
from tests.support.list_in_memory import a_list, export
from zoho_async.cli import export_summary
from zoho_async.cli.options import EXPORT_EPILOGUE
from zoho_async.errors import Request, UnreadableReply, ZohoError
from zoho_async.export.errors import ExportIncomplete
from zoho_async.export.multi import together
from zoho_async.export.outcomes import (
    EXIT_CODES,
    PRECEDENCE,
    STATES,
    ListState,
    code_of,
    complete_state,
    worst,
)
from zoho_async.export.refusals import refusal_of
from zoho_async.http.reply_errors import reply_error
from zoho_async.paging.completeness import Completeness

PAGE = Path(__file__).parents[2] / "docs/howto/completeness.md"
ASKED = Request("GET", "/items", "1")


def test_the_table_of_the_documentation_is_the_one_of_the_code() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.*) \| (.*) \| (\d) \| (\d) \|$", PAGE.read_text(), re.M)
    assert rows == [
        (row.state, row.meaning, row.shown, str(row.exit_code), str(row.strict)) for row in STATES
    ]
    assert tuple(row.state for row in STATES) == get_args(ListState)


def test_the_exit_codes_of_the_documentation_and_of_help_are_those_of_the_code() -> None:
    rows = re.findall(r"^\| (\d+) \| (.*) \|$", PAGE.read_text(), re.M)
    assert dict(rows) == {str(code): meaning for code, meaning in EXIT_CODES.items()}
    for code, meaning in EXIT_CODES.items():
        assert f"- {code}: {meaning}" in EXPORT_EPILOGUE


@pytest.mark.parametrize(
    ("completeness", "runs", "accepted", "code", "strict"),
    [
        ("proven", 0, False, 0, 0),
        ("uncheckable", 0, False, 0, 4),
        (None, 0, False, 0, 4),
        ("changed", 1, False, 0, 4),
        ("changed", 2, False, 0, 4),
        ("changed", 3, False, 4, 4),
        ("changed", 4, True, 4, 4),
        ("short", 0, False, 4, 4),
        ("short", 0, True, 0, 4),
    ],
)
def test_a_complete_list_ends_with_the_code_of_the_table(
    completeness: Completeness | None, runs: int, accepted: bool, code: int, strict: int
) -> None:
    state = complete_state(completeness, changed_runs=runs, accepted=accepted)
    assert code_of(state, strict=False) == code
    assert code_of(state, strict=True) == strict


@pytest.mark.parametrize(
    ("codes", "code"),
    [([], 0), ([0, 4], 4), ([4, 1, 0], 1), ([4, 1, 3], 3), ([3, 2, 1, 4], 2)],
)
def test_the_first_code_in_precedence_counts(codes: list[int], code: int) -> None:
    assert worst(codes) == code
    assert worst(reversed(codes)) == code
    assert set(PRECEDENCE) == {0, 1, 2, 3, 4}


@pytest.mark.parametrize(
    ("error", "refusal"),
    [
        (reply_error(ASKED, 400, 4, "No."), "400/4"),
        (reply_error(ASKED, 401, 57, "No."), "401/57"),
        (reply_error(ASKED, 403, None, "No."), "403/None"),
        (reply_error(ASKED, 200, 9, "No."), "200/9"),
        (reply_error(ASKED, 500, 1000, "Oh."), ""),
        (reply_error(ASKED, 503, 4, "Oh."), ""),
        (reply_error(ASKED, 408, None, "Late."), ""),
        (UnreadableReply(ASKED, "it is HTML"), ""),
    ],
)
def test_a_temporary_failure_is_not_stored_as_a_refusal(error: ZohoError, refusal: str) -> None:
    assert refusal_of(error) == refusal


def test_a_list_that_changes_in_each_run_is_incomplete_from_the_third_run_on(
    tmp_path: Path,
) -> None:
    zoho = a_list("items", 12)

    def delete_and_insert() -> None:
        zoho.delete(0)
        zoho.insert(99)

    states: list[tuple[ListState, int]] = []
    for quiet in (False, False, False, False, True, False):
        zoho.before_call = (lambda: None) if quiet else delete_and_insert
        zoho.now += 10_000
        done = export(zoho, tmp_path, "items")
        states.append((done.resources[0].state, done.exit_code))
    assert states == [
        ("changed", 0),
        ("changed", 0),
        ("keeps_changing", 4),
        ("keeps_changing", 4),
        ("proven", 0),
        ("changed", 0),
    ]


def test_a_short_list_is_named_with_the_number_missing_and_how_to_accept_it() -> None:
    told = summary(rows=5, total=8)
    short = msgspec.structs.replace(
        told.resources[0], completeness="short", missing=3, state="short", exit_code=4
    )
    told = msgspec.structs.replace(told, resources=(short,), exit_code=4)
    assert "(short: 3 records missing)" in export_summary.as_lines(told)[0]
    text = str(ExportIncomplete(told))
    assert "3 records" in text
    assert "--accept short:books.invoices" in text
    assert ExportIncomplete(told).summary.incomplete == (short,)


def test_the_worst_organization_decides_the_exit_code_of_all() -> None:
    good = summary(rows=5, total=5)
    short = msgspec.structs.replace(good.resources[0], state="short", exit_code=4)
    bad = msgspec.structs.replace(good, resources=(short,), exit_code=4)
    assert together("out", {"1": good, "2": bad}).exit_code == 4
    assert together("out", {"1": good, "2": good}).exit_code == 0
