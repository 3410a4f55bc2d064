"""The output of the command during and after an export, and its exit codes."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from tests.support.export_summaries import FILE, summary
from tests.support.snapshots import idle_snapshot
from zoho_async.cli import export_plan, export_summary, outcome
from zoho_async.cli.export import day_note
from zoho_async.cli.lines import Lines, plan_lines
from zoho_async.cli.output import count, seconds, size
from zoho_async.cli.progress import Tracker
from zoho_async.cli.terminal import Terminal
from zoho_async.errors import (
    ConfigurationError,
    DailyQuotaExceeded,
    InvalidGrant,
    NotConnected,
    Request,
    WaitTooLong,
)
from zoho_async.events import Called
from zoho_async.export import (
    CheckpointRefused,
    DestinationError,
    Planned,
    PlannedResource,
    Progress,
    ResourceDone,
    ResourceFailed,
)
from zoho_async.export.incremental import Mode
from zoho_async.http.reply_errors import reply_error
from zoho_async.limits import Snapshot
from zoho_async.runtime import ledger_path, state_directory

CALLED = Called(
    method="GET",
    path="/invoices",
    organization="1",
    status=200,
    code=None,
    seconds=0.1,
    attempt=1,
)


def planned(*, rows: int | None = 6000, before: int = 0, finished: bool = False) -> Planned:
    one = PlannedResource(
        resource="books.invoices",
        file=FILE,
        rows=rows,
        calls=0 if finished else 30,
        rows_before=before,
        finished=finished,
    )
    return Planned(
        resources=(one,), rows=rows or 0, calls=one.calls, seconds=15.0, exact=rows is not None
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (count(1500, "row"), "1,500 rows"),
        (count(1, "row"), "1 row"),
        (size(999), "999 B"),
        (size(1_234_567), "1.2 MB"),
        (seconds(7.2), "8 s"),
        (seconds(65), "1 min 05 s"),
        (seconds(7800), "2 h 10 min"),
    ],
)
def test_numbers_read_as_people_write_them(text: str, expected: str) -> None:
    assert text == expected


def test_the_figures_show_rows_calls_rate_minute_day_and_time_to_go() -> None:
    time = [0.0]
    tracker = Tracker(lambda: time[0])
    tracker.rate = 2.0
    tracker.exported(planned())
    for page in range(1, 11):
        tracker.called(CALLED)
        tracker.exported(
            Progress(resource="books.invoices", page=page, rows=page * 200, total=6000, bytes=1)
        )
    time[0] = 4.0
    tracker.snapshot = Snapshot(
        minute_used=12,
        limit=90,
        next_place_in=0.0,
        in_flight=1,
        cap=10,
        day_used=12,
        day_limit=10_000,
        day_remaining=9_988,
        day_reset_in=60.0,
        blocked_for=0.0,
    )
    assert tracker.figures() == [
        "2,000 of 6,000 rows",
        "10 of 30 calls",
        "500 rows/s",
        "minute 12 of 90",
        "day 9,988 left",
        "10 s to go",
    ]


def test_rows_of_an_interrupted_run_do_not_count_into_the_rate() -> None:
    tracker = Tracker(lambda: 10.0)
    tracker.exported(planned(before=4000))
    assert tracker.rows == 4000
    assert tracker.rows_per_second == 0


def test_without_a_count_there_is_no_total_and_no_time() -> None:
    tracker = Tracker(lambda: 1.0)
    tracker.rate = 2.0
    tracker.exported(planned(rows=None))
    assert tracker.total is None
    assert tracker.to_go is None


def test_the_plan_names_each_resource_and_the_sum() -> None:
    assert plan_lines(planned()) == [
        "  books.invoices      6,000 rows   30 calls",
        "plan: 6,000 rows in 30 calls, about 15 s",
    ]
    assert "or more" in plan_lines(planned(rows=None))[0]
    assert "at least" in plan_lines(planned(rows=None))[-1]
    assert "4,000 already there" in plan_lines(planned(before=4000))[0]
    assert "already complete" in plan_lines(planned(finished=True))[0]


def test_without_a_terminal_lines_come_every_few_seconds_and_for_each_resource() -> None:
    time = [0.0]
    stream = io.StringIO()
    tracker = Tracker(lambda: time[0])
    with Lines(tracker, stream) as lines:
        for event in (
            planned(),
            ResourceDone(resource="books.invoices", file=FILE, rows=6000, total=6000, bytes=9),
        ):
            tracker.exported(event)
            lines.show(event)
        for tick in range(24):
            time[0] = tick / 2
            lines.tick()
    shown = stream.getvalue().splitlines()
    assert shown[2] == "books.invoices done: 6,000 rows"
    assert len(shown) == 3 + 2


def test_a_list_that_fails_is_shown_with_its_reason() -> None:
    error = reply_error(Request("GET", "/invoices", "1"), 401, 57, "not authorized", scope="S.READ")
    tracker = Tracker()
    tracker.exported(planned())
    stream = io.StringIO()
    event = ResourceFailed(resource="books.invoices", error=error)
    tracker.exported(event)
    Lines(tracker, stream).show(event)
    assert "needs S.READ" in stream.getvalue()
    assert tracker.resources["books.invoices"].state == "failed"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigurationError("x"), 2),
        (CheckpointRefused("x"), 2),
        (InvalidGrant("x"), 2),
        (DailyQuotaExceeded(datetime(2026, 1, 1, tzinfo=UTC)), 3),
        (reply_error(Request("GET", "/x"), 429, 45, ""), 3),
        (WaitTooLong(70), 1),
        (NotConnected(Request("GET", "/x"), "refused"), 1),
        (DestinationError(Path("x"), "No space left on device"), 1),
        (outcome.Interrupted(2), 130),
        (outcome.Interrupted(15), 143),
    ],
)
def test_each_error_has_its_exit_code(error: BaseException, code: int) -> None:
    assert outcome.exit_code(error, began=True) == code


def test_a_directory_that_cannot_be_written_from_the_start_is_bad_usage() -> None:
    assert outcome.exit_code(DestinationError(Path("x"), "Permission denied")) == 2


def test_the_summary_shows_rows_calls_the_fewest_possible_refusals_and_time() -> None:
    assert export_summary.as_lines(summary(rows=6000, total=6000)) == [
        "  out/books/invoices.jsonl      6,000 rows     1.2 MB   30 calls",
        "done: 6,000 rows in 16 s",
        "31 calls made, 30 the least possible, 0 refused",
    ]
    edited = summary(rows=6000, total=6001)
    assert "Zoho counted 6,001" in export_summary.as_lines(edited)[0]
    lines = msgspec.structs.replace(
        edited.resources[0], resource="books.chart_of_accounts.transactions"
    )
    shown = export_summary.as_lines(msgspec.structs.replace(edited, resources=(lines,)))
    assert "Zoho counted" not in shown[0]
    assert export_summary.as_lines(summary(rows=10, total=6000, done=False))[0].endswith("partial")


def test_the_summary_of_later_runs_counts_new_changed_and_deleted_records() -> None:
    (one,) = summary(rows=3, total=3).resources
    later = msgspec.structs.replace(one, mode="changed", rows=3, new=1, changed=2, deleted=1)
    none = msgspec.structs.replace(one, mode="changed", rows=0, new=0)
    shown = msgspec.structs.replace(summary(rows=3, total=3), resources=(later, none))
    lines = export_summary.as_lines(shown)
    assert "1 new, 2 changed, 1 deleted" in lines[0]
    assert "no changes" in lines[1]


def test_the_json_summary_has_the_documented_keys() -> None:
    shown = json.loads(
        export_summary.as_json(
            summary(rows=6000, total=6000), code=0, error=None, next_command=None
        )
    )
    assert shown["status"] == "done"
    assert (shown["rows"], shown["calls"], shown["least_calls"], shown["refused"]) == (
        6000,
        31,
        30,
        0,
    )
    assert shown["resources"][0]["file"] == str(FILE)
    nothing = json.loads(export_summary.as_json(None, code=2, error="no", next_command=None))
    assert nothing["status"] == "refused"
    assert nothing.keys() == shown.keys()
    documented = export_summary.__doc__ or ""
    assert all(f"``{key}``" in documented for key in [*shown, *shown["resources"][0]])


@pytest.mark.parametrize(
    ("environ", "platform", "expected"),
    [
        ({"HOME": "/home/x"}, "linux", "/home/x/.local/state/zoho-async"),
        ({"HOME": "/home/x", "XDG_STATE_HOME": "/state"}, "linux", "/state/zoho-async"),
        ({"HOME": "/home/x", "XDG_STATE_HOME": "rel"}, "linux", "/home/x/.local/state/zoho-async"),
        ({"HOME": "/Users/x"}, "darwin", "/Users/x/Library/Application Support/zoho-async"),
        ({"LOCALAPPDATA": "C:/x"}, "win32", "C:/x/zoho-async"),
    ],
)
def test_the_ledger_is_in_the_state_directory_of_the_platform(
    environ: dict[str, str], platform: str, expected: str
) -> None:
    assert state_directory(environ, platform) == Path(expected)


def test_the_ledger_can_be_moved_by_the_environment() -> None:
    assert ledger_path({"ZOHO_ASYNC_LEDGER": "/x/y.sqlite"}) == Path("/x/y.sqlite")


@pytest.mark.parametrize("width", [60, 100])
def test_a_terminal_shows_a_bar_for_each_resource_and_the_figures(width: int) -> None:
    screen = Console(file=io.StringIO(), force_terminal=True, width=width, record=True)
    tracker = Tracker(lambda: 2.0)
    with Terminal(tracker, screen) as terminal:
        tracker.exported(planned())
        terminal.show(planned())
        terminal.note("the day has 3 calls left")
        tracker.exported(Progress(resource="books.invoices", page=1, rows=200, total=6000, bytes=1))
    shown = screen.export_text()
    for words in ("plan: 6,000 rows in 30 calls", "books.invoices", "200 of 6,000", "rows/s"):
        assert words in shown


def test_a_plan_beyond_the_days_calls_gets_a_note() -> None:
    left = msgspec.structs.replace(
        idle_snapshot(day_limit=1000), day_used=990, day_remaining=10, day_reset_in=60.0
    )
    assert "10 calls left" in day_note(planned(), left)
    assert day_note(planned(finished=True), left) == ""
    assert day_note(planned(), None) == ""


def test_a_block_is_shown_while_the_first_pages_wait() -> None:
    tracker = Tracker()
    tracker.snapshot = msgspec.structs.replace(
        idle_snapshot(day_limit=None), next_place_in=None, blocked_for=840.0
    )
    assert tracker.figures() == [
        "reading the first pages",
        "minute 0 of 90",
        "blocked for 14 min 00 s",
    ]


@pytest.mark.parametrize(
    ("mode", "finished", "shown"),
    [
        ("full", False, False),
        ("changed", False, False),
        ("newest", False, True),
        ("compared", False, True),
        ("feed", False, True),
        ("feed", True, False),
    ],
)
def test_a_plan_says_if_it_leaves_out_the_calls_for_details(
    mode: Mode, finished: bool, shown: bool
) -> None:
    one = PlannedResource(
        resource="books.items", file="items", rows=None, calls=2, mode=mode, finished=finished
    )
    plan = Planned(resources=(one,), rows=0, calls=2, seconds=0.0, exact=False)
    text = "details: up to one more call for each new or changed record"
    assert (text in export_plan.as_lines(plan, details=True)) == shown
    assert text not in export_plan.as_lines(plan)
