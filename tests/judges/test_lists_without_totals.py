"""Lists without a count: what one run misses, a later run finds.

Each test edits the list before one page, for each page of the two passes of a run. In some tests
both passes are edited at the same place, or the day has no calls for a second pass.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from tests.judges.list_exports import EXPORTED, export, held, run
from tests.judges.list_server import (
    CONTACTS,
    INVOICES,
    ITEMS,
    ListServer,
    Manners,
    Resource,
    records,
)
from zoho_async.export import ResourceSummary
from zoho_async.export.prover import Allowance

ROWS, PER_PAGE = 14, 5
#: A pass asks for three pages with rows, and for the empty one after them.
PASS = 4
#: Debit notes are another view of the list of invoices: its count after the first page, and then
#: the two passes of its one page.
VIEW = 3
#: Where there are debit notes: two pages with rows, and the empty one after them.
VIEW_ROWS, VIEW_PASS = 9, 3

Kind = Literal["delete", "insert", "modify"]

#: The row that is edited. An edit of the first row moves the most rows over the pages.
PLACES = [
    0,
    pytest.param(PER_PAGE - 1, marks=pytest.mark.long),
    pytest.param(ROWS - 2, marks=pytest.mark.long),
]

#: Items are read like contacts.
EDITED = [
    pytest.param(CONTACTS, id="contacts"),
    pytest.param(INVOICES, id="invoices"),
    pytest.param(ITEMS, id="items", marks=pytest.mark.long),
]


def a_list(resource: Resource, *, times: bool = True, moments: int = 1) -> ListServer:
    manners = Manners(largest_page=PER_PAGE, total="none", times=times)
    rows = [
        replace(one, modified=one.created + 60.0 * number)
        for number, one in enumerate(records(ROWS, moments=moments))
    ]
    return ListServer(rows, manners, resource=resource, most_calls=100)


def view_calls(resource: Resource) -> int:
    return VIEW if resource is INVOICES else 0


def exported(server: ListServer, to: Path) -> tuple[ResourceSummary, int]:
    """The result of one run a day later, and its calls."""
    done: list[ResourceSummary] = []

    async def work() -> None:
        one = await export(server, to)
        assert one is not None
        done.append(one)

    server.pass_time(86_400.0)
    calls = server.calls
    run(work())
    return done[0], server.calls - calls


@pytest.mark.parametrize("times", [True, False])
@pytest.mark.parametrize("resource", [CONTACTS, INVOICES, ITEMS], ids=lambda one: one.key)
def test_a_quiet_list_is_read_twice_once_and_then_by_its_changes(
    resource: Resource, times: bool, tmp_path: Path
) -> None:
    with a_list(resource, times=times) as server:
        whole = 2 * PASS + view_calls(resource)
        first, calls = exported(server, tmp_path)
        assert (first.completeness, first.note, calls) == ("uncheckable", None, whole)
        second, calls = exported(server, tmp_path)
        assert (second.mode, calls) == ("changed", 2)
        assert held(tmp_path, EXPORTED[resource]) == server.alive()


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", ["delete", "insert", "modify"])
@pytest.mark.parametrize("resource", EDITED)
def test_an_edit_before_any_page_of_the_first_run_loses_no_record(
    resource: Resource, kind: Kind, place: int, tmp_path: Path
) -> None:
    for page in range(2 * PASS + view_calls(resource)):
        to = tmp_path / str(page)
        with a_list(resource) as server:
            server.script = {page: (kind, place)}
            first, _ = exported(server, to)
            assert first.completeness in ("uncheckable", "proven")
            exported(server, to)
            assert held(to, EXPORTED[resource]) >= server.alive(), page


@pytest.mark.parametrize("resource", [CONTACTS, INVOICES, ITEMS], ids=lambda one: one.key)
def test_a_record_that_a_run_misses_is_found_by_the_next_one(
    resource: Resource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing_left(self: Allowance, calls: int) -> bool:
        return False

    view = view_calls(resource)
    for page, times in itertools.product(range(1, PASS - 1), (True, False)):
        to = tmp_path / f"{page}-{times}"
        with a_list(resource, times=times) as server:
            server.script = {page + bool(view): ("delete", 0)}  # after the count
            with monkeypatch.context() as poor:
                poor.setattr(Allowance, "take", nothing_left)
                first, calls = exported(server, to)
            assert (first.state, first.exit_code, calls) == (
                "uncheckable",
                0,
                PASS + max(0, view - 1),
            )
            assert first.note is not None
            assert "the next run reads the list again" in first.note
            assert not held(to, EXPORTED[resource]) >= server.alive(), "the attack works"
            second, calls = exported(server, to)
            assert (second.mode, second.note, calls) == ("compared", None, 2 * PASS + view)
            assert held(to, EXPORTED[resource]) >= server.alive(), page
            third, calls = exported(server, to)
            assert (third.mode, calls) == ("changed", 2)


def test_a_list_that_is_edited_in_both_passes_is_not_settled(tmp_path: Path) -> None:
    for page in range(1, PASS - 1):
        to = tmp_path / str(page)
        with a_list(ITEMS) as server:
            server.script = {page: ("delete", 0), PASS + page: ("delete", 0)}
            first, calls = exported(server, to)
            assert (first.note is not None, calls) == (True, 2 * PASS)
            second, _ = exported(server, to)
            assert (second.mode, second.note) == ("compared", None)


def test_changes_that_an_edit_hides_are_found_by_the_next_run(tmp_path: Path) -> None:
    """The filtered list of changes has pages too, and shrinks in the same way."""
    for page in range(1, PASS - 1):
        to = tmp_path / str(page)
        with a_list(INVOICES) as server:
            exported(server, to)
            server.pass_time(86_400.0)
            new = {server.insert() for _ in range(ROWS)}
            begin = server.mark
            server.script = {begin + page: ("delete", 0), begin + PASS + page: ("delete", 0)}
            second, _ = exported(server, to)
            assert second.mode == "changed"
            assert second.note is not None
            exported(server, to)
            assert held(to, "books.invoices") >= server.alive() >= new & server.alive()


def test_a_list_whose_borders_differ_is_proven_backwards_and_not_read_a_third_time(
    tmp_path: Path,
) -> None:
    with a_list(CONTACTS, moments=ROWS) as server:
        first, calls = exported(server, tmp_path)
        assert (first.completeness, calls) == ("proven", 2 * PASS + 1)


def test_an_empty_view_is_settled_but_proves_nothing(tmp_path: Path) -> None:
    """No count says that there are no debit notes, so the proof of the invoices is not enough."""
    with a_list(INVOICES, moments=ROWS) as server:
        first, calls = exported(server, tmp_path)
        assert (first.completeness, first.note) == ("uncheckable", None)
        assert calls == 2 * PASS + 1 + VIEW


def debit_notes() -> ListServer:
    """Invoices of which the list leaves out two pages of debit notes; nothing is counted."""
    manners = Manners(
        largest_page=PER_PAGE, total="none", hides=("void",), views=(("Type.DebitNote", ("void",)),)
    )
    rows = records(ROWS + VIEW_ROWS, moments=1)
    kinds = ["sent"] * ROWS + ["void"] * VIEW_ROWS
    truth = [
        replace(one, status=kind, modified=one.created + 60.0 * number)
        for number, (one, kind) in enumerate(zip(rows, kinds, strict=True))
    ]
    return ListServer(truth, manners, most_calls=100)


def test_each_view_is_read_twice_once_and_a_quiet_run_reads_the_changes_alone(
    tmp_path: Path,
) -> None:
    with debit_notes() as server:
        first, calls = exported(server, tmp_path)
        count = 1
        assert (first.completeness, first.note) == ("uncheckable", None)
        assert calls == 2 * PASS + count + 2 * VIEW_PASS
        assert held(tmp_path, "books.invoices") == server.alive()
        second, calls = exported(server, tmp_path)
        assert (second.mode, second.note, calls) == ("changed", None, 2)


def test_an_unsettled_view_holds_the_bookmark_of_the_whole_list(tmp_path: Path) -> None:
    """A debit note is missed in both passes over them; those over the invoices are equal."""
    with debit_notes() as server:
        begin = 2 * PASS + 1
        server.script = {begin + 1: ("delete", 0), begin + VIEW_PASS + 1: ("delete", 0)}
        first, _ = exported(server, tmp_path)
        assert first.note is not None
        assert "the next run reads the list again" in first.note
        second, _ = exported(server, tmp_path)
        assert (second.mode, second.note) == ("compared", None)
        assert held(tmp_path, "books.invoices") >= server.alive()


@pytest.mark.parametrize("place", PLACES[:2])
@pytest.mark.parametrize("kind", ["delete", "insert", "modify"])
def test_an_edit_before_any_page_of_the_views_loses_no_record(
    kind: Kind, place: int, tmp_path: Path
) -> None:
    for page in range(2 * PASS + 1 + 2 * VIEW_PASS):
        to = tmp_path / str(page)
        with debit_notes() as server:
            server.script = {page: (kind, place)}
            before = server.alive()
            exported(server, to)
            exported(server, to)
            assert held(to, "books.invoices") >= server.alive() & before, page


def test_the_least_calls_are_those_of_one_pass(tmp_path: Path) -> None:
    """The second pass brings no record."""
    rows = records(450, moments=1)
    with ListServer(rows, Manners(total="none"), resource=CONTACTS) as server:
        first, calls = exported(server, tmp_path)
        assert (first.least_calls, calls) == (3, 2 * (3 + 1))
