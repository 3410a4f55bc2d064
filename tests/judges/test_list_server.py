"""Readers of lists against an adversary that knows the truth.

For every list server that the strategies make, whatever is claimed is judged by what existed:

- What is claimed ``proven`` holds every record of some moment of the reading.
- An export's destination loses no record that still exists, unless that state is ``proven`` or two
  passes a minute apart showed the same records.
- Reading ends.

Each proof assumes that a list reports no wrong number as if it were right. A total that is too
small by the number of missed rows looks like a right one, and an empty page in a list without
totals looks like its end. Such servers are generated too, and judged by the other promises.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from tests.judges.list_exports import EXPORTED, export, held, run, session, tell
from tests.judges.list_server import (
    CONTACTS,
    INVOICES,
    ITEMS,
    ListServer,
    Manners,
    Resource,
    records,
)
from zoho_async import ZohoError
from zoho_async.books import contacts, invoices, items

#: These servers confirm no filter.
pytestmark = pytest.mark.filterwarnings("ignore::zoho_async.errors.UnconfirmedFilter")

LISTS: dict[Resource, Callable[..., Any]] = {
    INVOICES: invoices.list,
    CONTACTS: contacts.list,
    ITEMS: items.list,
}

#: Far above what any reading of these lists needs; far below "thousands of calls".
MOST_CALLS = 400

chances = st.sampled_from([0.0, 0.0, 0.0, 0.2, 0.5])

manners = st.builds(
    Manners,
    largest_page=st.sampled_from([5, 10, 200]),
    ties=st.sampled_from(["steady", "flipped", "shuffled"]),
    edits=chances,
    kinds=st.sampled_from(
        [("delete",), ("insert",), ("delete", "insert"), ("delete", "insert", "modify")]
    ),
    seconds=st.sampled_from([0.1, 1.0, 30.0]),
    skew=st.sampled_from([0.0, 0.0, -5.0, 5.0]),
    total=st.sampled_from(["honest", "honest", "none", "too big", "too small", "changing"]),
    option=st.sampled_from(["honored", "honored", "ignored", "refused", "always"]),
    more=st.sampled_from(["honest", "honest", "always", "never", "random"]),
    ignores_page=st.sampled_from([False, False, False, True]),
    ignores_sort=st.booleans(),
    ignores_filters=st.booleans(),
    empty=st.sampled_from([0.0, 0.0, 0.0, 0.2]),
    bare=st.sampled_from([0.0, 0.0, 0.0, 0.2]),
    repeats=chances,
    nameless=st.sampled_from([0, 0, 0, 2]),
    times=st.sampled_from([True, True, False]),
    key=st.sampled_from([None, None, None, None, None, "invoice_list"]),
)
truths = st.builds(
    records,
    st.sampled_from([0, 1, 4, 5, 6, 10, 12, 23, 40]),
    moments=st.sampled_from([1, 2, 5, 100]),
    before=st.sampled_from([86_400.0, 40 * 86_400.0]),
)
seeds = st.integers(0, 2**16)
resources = st.sampled_from([INVOICES, INVOICES, CONTACTS, ITEMS])


def tells_wrong_numbers(behavior: Manners) -> bool:
    """Whether the list breaks the premise of every proof (see the module)."""
    uncounted = behavior.total == "none" or behavior.option in ("ignored", "refused")
    return behavior.total == "too small" or (uncounted and behavior.empty + behavior.bare > 0)


# -- iterating ------------------------------------------------------------------------------------


async def iterate(server: ListServer, status: str | None) -> None:
    row_id = server.resource.row_id
    since = server.mark
    async with session(server) as zoho:
        query = {} if status is None else {"extra_query": {"status": status}}
        pager = LISTS[server.resource](zoho, **query)
        try:
            found = [str(getattr(row, row_id) or "") async for row in pager]
        except ZohoError as error:
            tell(f"{type(error).__name__}: {error}")
            assert not server.exhausted
            return
    tell(f"{pager.completeness} with {len(found)} rows in {server.calls} calls")
    assert not server.exhausted
    named = [one for one in found if one]
    assert len(named) == len(set(named)), "no row comes twice"
    assert set(named) <= server.sometime(since), "no row comes from nowhere"
    if pager.completeness == "proven" and not tells_wrong_numbers(server.manners):
        shown = status is not None and not server.manners.ignores_filters
        assert server.is_complete(named, since, shown=shown), "what is proven is complete"


def judge_iterating(
    behavior: Manners,
    truth: list[Any],
    number: int,
    resource: Resource,
    status: str | None,
) -> None:
    tell(f"{behavior} {len(truth)} records, seed {number}, {resource.key}, status {status}")
    with ListServer(
        truth, behavior, seed=number, resource=resource, most_calls=MOST_CALLS
    ) as server:
        run(iterate(server, status))


iterating = given(manners, truths, seeds, resources, st.sampled_from([None, None, "draft", "paid"]))


@seed(14)
@settings(max_examples=60)
@iterating
def test_what_a_loop_claims_is_proven_is_complete(
    behavior: Manners, truth: list[Any], number: int, resource: Resource, status: str | None
) -> None:
    judge_iterating(behavior, truth, number, resource, status)


@pytest.mark.long
@pytest.mark.timeout(300)
@settings(max_examples=1500)
@iterating
def test_what_many_loops_claim_is_proven_is_complete(
    behavior: Manners, truth: list[Any], number: int, resource: Resource, status: str | None
) -> None:
    judge_iterating(behavior, truth, number, resource, status)


# -- exporting ------------------------------------------------------------------------------------


async def export_twice(
    server: ListServer, later: Manners, options: dict[str, bool], *, strictly: bool = False
) -> None:
    resource = EXPORTED[server.resource]
    with tempfile.TemporaryDirectory() as folder:
        before: set[str] = set()
        for behavior, asked in ((server.manners, {}), (later, options)):
            server.manners = behavior
            since, server.calls = server.mark, 0
            done = await export(server, Path(folder), **asked)
            now = held(Path(folder), resource)
            state = None if done is None else (done.status, done.completeness, done.error)
            tell(f"{state} holds {len(now)} after {server.calls} calls; before {len(before)}")
            assert not server.exhausted
            lost = frozenset((before - now) & server.alive())
            if server.is_confirmed(lost, since, apart=59.0):
                lost = frozenset()
            proven = done is not None and done.completeness == "proven"
            honest = not tells_wrong_numbers(behavior)
            rows_came = not behavior.empty and not behavior.bare
            if honest or strictly or (rows_came and not proven):
                assert not lost, "nothing fuller is replaced"
            if proven and honest and options.get("full", True):
                assert server.is_complete(now, since) or server.is_complete(now, 0), (
                    "what is proven is complete"
                )
            before = now


def judge_exporting(
    behavior: Manners,
    later: Manners,
    truth: list[Any],
    number: int,
    resource: Resource,
    options: dict[str, bool],
) -> None:
    tell(f"{behavior}, then {later} {len(truth)} records, seed {number}, {resource.key}, {options}")
    with ListServer(
        truth, behavior, seed=number, resource=resource, most_calls=MOST_CALLS
    ) as server:
        run(export_twice(server, later, options))


exporting = given(
    manners,
    manners,
    truths,
    seeds,
    resources,
    st.sampled_from([{"full": True}, {"restart": True}, {"detect_deletions": True}, {}]),
)


@seed(14)
@settings(max_examples=12)
@exporting
def test_what_an_export_claims_is_proven_is_complete_and_nothing_fuller_is_replaced(
    behavior: Manners,
    later: Manners,
    truth: list[Any],
    number: int,
    resource: Resource,
    options: dict[str, bool],
) -> None:
    judge_exporting(behavior, later, truth, number, resource, options)


@pytest.mark.long
@pytest.mark.timeout(300)
@settings(max_examples=200)
@exporting
def test_what_many_exports_claim_is_proven_is_complete_and_nothing_fuller_is_replaced(
    behavior: Manners,
    later: Manners,
    truth: list[Any],
    number: int,
    resource: Resource,
    options: dict[str, bool],
) -> None:
    judge_exporting(behavior, later, truth, number, resource, options)


# -- examples that were found broken ---------------------------------------------------------------


def one_moment() -> ListServer:
    """450 invoices with one ``created_time``; page 1 orders the tie otherwise than later pages."""
    return ListServer(records(450, moments=1), Manners(ties="flipped"), most_calls=MOST_CALLS)


def test_rows_that_ties_hide_from_a_loop_are_never_claimed_to_be_there() -> None:
    with one_moment() as server:
        run(iterate(server, None))


@pytest.mark.parametrize("options", [{}, {"full": True}, {"detect_deletions": True}])
def test_rows_that_ties_hide_from_an_export_are_never_claimed_to_be_there(
    options: dict[str, bool],
) -> None:
    with one_moment() as server:
        run(export_twice(server, server.manners, options))


def test_a_reply_without_rows_replaces_nothing() -> None:
    """Five rows, then ``{"code": 0, "page_context": {"total": 5}}``."""
    with ListServer(records(5, moments=5), most_calls=MOST_CALLS) as server:
        run(export_twice(server, Manners(bare=1.0), {"full": True}))


def test_paging_ends_where_page_is_ignored_and_rows_have_no_id() -> None:
    behavior = Manners(ignores_page=True, more="never", nameless=1, total="none")
    with ListServer(records(1, moments=1), behavior, most_calls=20) as server:
        run(iterate(server, None))


def test_a_page_without_rows_in_a_list_without_totals_replaces_nothing() -> None:
    """Page 2 of 3 comes without its rows, in two passes a minute apart; page 3 has rows."""
    usual: dict[str, Any] = {"largest_page": 5, "seconds": 0.1, "kinds": ("delete",)}
    first, later = Manners(**usual, total="none"), Manners(**usual, option="ignored", bare=0.2)
    with ListServer(records(12, moments=2), first, seed=3594, most_calls=MOST_CALLS) as server:
        run(export_twice(server, later, {"full": True}, strictly=True))
