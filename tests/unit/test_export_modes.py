"""How a list is read this time, and from which moment on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.list_in_memory import PER_PAGE, a_list, export
from zoho_async.export import Margin
from zoho_async.export.catalog import exportable
from zoho_async.export.incremental import (
    Capabilities,
    Mode,
    choose,
    query_of,
    stamp,
    watermark_after,
    zoho_time,
)
from zoho_async.wire.page import moment, times_of

NOTHING = Capabilities()


@pytest.mark.parametrize(
    ("resource", "capabilities", "mode"),
    [
        ("books.contacts", NOTHING, "changed"),
        ("books.contacts", Capabilities(changes=False), "newest"),
        ("books.contacts", Capabilities(changes=False, newest=False), "compared"),
        ("books.items", Capabilities(changes=False), "compared"),
        ("books.journals", NOTHING, "newest"),
        ("books.journals", Capabilities(newest=False), "compared"),
        ("books.projects", NOTHING, "compared"),
        ("inventory.bills", NOTHING, "compared"),
    ],
)
def test_a_list_is_read_by_what_it_can_do(
    resource: str, capabilities: Capabilities, mode: Mode
) -> None:
    facts = exportable()[resource]
    assert choose(facts, known=True, watermark=1.0, capabilities=capabilities) == mode
    assert choose(facts, known=False, watermark=1.0, capabilities=capabilities) == "full"
    assert choose(facts, known=True, watermark=None, capabilities=capabilities) == "compared"
    assert choose(facts, known=True, watermark=1.0, capabilities=capabilities, full=True) == "full"
    swept = choose(
        facts, known=True, watermark=1.0, capabilities=capabilities, detect_deletions=True
    )
    assert swept == "compared"


@pytest.mark.parametrize(
    ("before", "begun", "newest", "after"),
    [
        (None, 1000.0, None, 700.0),
        (None, 1000.0, 400.0, 400.0),
        (None, 1000.0, 999.0, 700.0),
        (800.0, 1000.0, 999.0, 800.0),
        (300.0, 1000.0, None, 700.0),
        (600.0, 1000.0, 500.0, 600.0),
    ],
)
def test_the_watermark_stays_before_the_start_and_never_goes_back(
    before: float | None, begun: float, newest: float | None, after: float
) -> None:
    assert watermark_after(before, begun=begun, newest=newest, margin=Margin()) == after


def test_times_are_read_with_their_offset_and_written_as_zoho_takes_them() -> None:
    assert moment("2026-06-09T09:45:19-0400") == moment("2026-06-09T13:45:19+0000")
    assert zoho_time(moment("2026-06-09T09:45:19-0400") or 0) == "2026-06-09T13:45:19+0000"
    assert stamp(moment("2026-11-23T02:00:00+0000") or 0) == "20261123T020000Z"
    assert [moment(text) for text in ("", " ", "2026-06-09T09:45:19", "soon", 7, None)] == [
        None
    ] * 6
    assert times_of(b'{"created_time":""}').created is None
    assert times_of(b"[]").modified is None


def test_a_filter_starts_a_second_before_the_watermark() -> None:
    facts = exportable()["books.contacts"]
    low = moment("2026-11-23T02:00:00+0000")
    asked = query_of(facts, "changed", {"status": "active"}, low)
    assert asked == {"status": "active", "last_modified_time": "2026-11-23T01:59:59+0000"}
    newest = query_of(facts, "newest", {}, low)
    assert newest == {"sort_column": "last_modified_time", "sort_order": "D"}
    assert query_of(facts, "full", {}, None) == {}


@pytest.mark.parametrize("skew", [-7000.0, 0.0, 7000.0])
def test_a_change_behind_the_reader_arrives_by_the_next_run_whatever_our_clock_says(
    tmp_path: Path, skew: float
) -> None:
    zoho = a_list("contacts", 5 * PER_PAGE)
    zoho.skew = skew

    def edit() -> None:
        zoho.now += 100
        if zoho.calls == 2:
            zoho.edit(0, 77)  # was read already
        if zoho.calls == 3:
            zoho.edit(14, 78)  # later than that, and still to be read

    zoho.before_call = edit
    export(zoho, tmp_path, "contacts", margin=Margin(start=0, row=1))
    zoho.before_call = lambda: None
    zoho.now += 10_000
    summary = export(zoho, tmp_path, "contacts")
    assert summary.resources[0].changed >= 1
    (part,) = (tmp_path / "books/contacts.changes").iterdir()
    assert b'"name":77' in part.read_bytes()


def test_a_deletion_before_the_reader_hides_no_other_row(
    tmp_path: Path,
) -> None:
    zoho = a_list("contacts", 4 * PER_PAGE)

    def delete() -> None:
        if zoho.calls == 1:
            zoho.delete(0)

    zoho.before_call = delete
    summary = export(zoho, tmp_path, "contacts")
    assert (summary.resources[0].proven, summary.rows) == (True, 12)
    assert zoho.calls == 5 + 4  # the end that moved is proven, then a look backwards


@pytest.mark.parametrize("resource", ["contacts", "items", "projects", "journals"])
def test_an_unchanged_list_is_proven_without_an_extra_call(tmp_path: Path, resource: str) -> None:
    zoho = a_list(resource, 4 * PER_PAGE)
    summary = export(zoho, tmp_path, resource)
    assert (summary.resources[0].proven, zoho.calls) == (True, 4)


def test_a_list_that_keeps_changing_is_unproven_and_compared_next_time(
    tmp_path: Path,
) -> None:
    zoho = a_list("items", 4 * PER_PAGE)

    def delete_and_insert() -> None:
        zoho.delete(0)
        zoho.insert(99)

    zoho.before_call = delete_and_insert
    first = export(zoho, tmp_path, "items").resources[0]
    assert (first.proven, first.status, first.pages) == (False, "done", 3 * 4)
    zoho.before_call = lambda: None
    zoho.now += 10_000
    second = export(zoho, tmp_path, "items").resources[0]
    assert (second.mode, second.proven) == ("compared", True)
    zoho.now += 10_000
    assert export(zoho, tmp_path, "items").resources[0].mode == "changed"


def test_newest_rows_are_read_page_by_page_until_the_watermark(tmp_path: Path) -> None:
    zoho = a_list("journals", 8 * PER_PAGE)
    export(zoho, tmp_path, "journals")
    for place in range(PER_PAGE + 1):
        zoho.edit(place, 50)
        zoho.now += 1
    zoho.now += 10_000
    calls = zoho.calls
    summary = export(zoho, tmp_path, "journals").resources[0]
    assert (summary.mode, summary.changed, summary.proven) == ("newest", PER_PAGE + 1, True)
    # two pages, one page with rows before the watermark, and one call for the proof
    assert zoho.calls - calls == 3 + 1
