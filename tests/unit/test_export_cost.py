"""The cheapest way to read a list, by what earlier runs showed."""

from __future__ import annotations

from typing import Any, Final

import pytest

from zoho_async.export.catalog import all_lists
from zoho_async.export.checkpoint.feed import ListFeed
from zoho_async.export.checkpoint.store import ListBookmark, ResourceState
from zoho_async.export.cost import WHOLE_DAYS, Way, cheapest, next_interval
from zoho_async.export.incremental import Capabilities

DAY: Final = 86_400.0
NOW: Final = 1_000 * DAY


def way(
    resource: str,
    *,
    able: Capabilities = Capabilities(),  # noqa: B008 - a frozen value
    feed: bool = True,
    restricted: bool = False,
    **known: Any,
) -> Way:
    given: dict[str, Any] = {"checked": NOW - DAY, "interval": 4, "gap": 0, "records": 30_000}
    state = ResourceState(
        name=resource,
        bookmark=ListBookmark(finished=True, watermark=NOW, capabilities=able),
        feed=ListFeed(read=NOW - DAY, **(given | known)),
    )
    facts = all_lists()[resource]
    return cheapest(facts, state, now=NOW, feed=feed, restricted=restricted)


def test_a_filter_that_works_is_cheapest_and_never_replaced_by_the_feed() -> None:
    found = way("books.contacts", calls={"changed": 3, "feed": 1})
    assert (found.mode, found.calls) == ("changed", 3)
    assert "150 calls" in found.reason


def test_without_a_filter_the_order_is_next_and_then_the_feed() -> None:
    no_filter, neither = Capabilities(changes=False), Capabilities(changes=False, newest=False)
    assert way("books.bills", able=no_filter).mode == "newest"
    assert way("books.bills", able=neither, calls={"feed": 7}).mode == "feed"
    assert way("books.expenses", calls={"feed": 7}).calls == 7


def test_a_list_of_one_page_is_read_whole_because_that_shows_deletions() -> None:
    assert way("books.contacts", records=200).mode == "compared"
    assert way("books.contacts", records=201).mode == "changed"
    assert way("books.journals", records=400).mode == "compared"  # newest takes two


@pytest.mark.parametrize("resource", ["books.contacts", "books.expenses"])
def test_every_list_is_read_whole_in_time(resource: str) -> None:
    assert way(resource, interval=30, checked=NOW - WHOLE_DAYS * DAY).mode == "compared"
    assert way(resource, interval=30, checked=NOW - WHOLE_DAYS * DAY + 1).mode != "compared"
    assert way(resource, interval=30, checked=None).mode == "compared"


def test_a_filtered_list_is_not_read_by_the_feed() -> None:
    assert way("books.expenses", restricted=True).mode == "compared"
    assert way("books.contacts", restricted=True, checked=None).mode == "changed"


@pytest.mark.parametrize("known", [{"interval": 0}, {"gap": None}, {"checked": NOW - 4 * DAY}])
def test_the_feed_must_have_earned_its_use(known: dict[str, Any]) -> None:
    found = way("books.expenses", **known)
    assert (found.mode, found.calls) == ("compared", 150)
    assert "change feed" in found.reason


def test_without_the_feed_the_list_is_read_whole() -> None:
    assert way("books.expenses", feed=False).mode == "compared"
    assert way("books.time_entries").mode == "compared"  # it is not sorted by creation
    assert way("books.expenses.list_comments".replace("list_", "")).mode == "compared"  # children


def test_the_interval_doubles_and_one_miss_ends_it() -> None:
    known, seen = ListFeed(), list[int]()
    for _ in range(7):
        known = ListFeed(interval=next_interval(known, agreed=True))
        seen.append(known.interval)
    assert seen == [1, 2, 4, 8, 16, 30, 30]
    assert next_interval(known, agreed=False) == 0
