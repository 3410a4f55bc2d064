"""The change feeds of one job: which there are, and since when each is read.

A list keeps the moment up to which it used the feed of its product. The feed is read since the
earliest of these moments, at most `MOST_DAYS` ago. A list that used it before that is not covered
(`ChangeFeed.covers`), so it is read without the feed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping

from zoho_async.clock import Clock
from zoho_async.description import OperationFacts
from zoho_async.export.checkpoint.store import ResourceState
from zoho_async.export.events import ChangeFeedRead
from zoho_async.export.feed import DAY, FEEDS, MOST_DAYS, ChangeFeed, read_feed
from zoho_async.http.call import Budget
from zoho_async.session import Session


async def read_feeds(
    zoho: Session,
    since: Mapping[str, float | None],
    clock: Clock,
    *,
    budget: Budget,
    max_calls: int | None,
) -> dict[str, ChangeFeed]:
    """Read the feed of each product in ``since``, as `first_moments` returned it.

    That takes at most half of ``max_calls``, so that the lists get on, too.
    """
    most = sys.maxsize if max_calls is None else max_calls // 2
    half = Budget(most, within=budget)
    return {
        product: await read_feed(zoho, product, moment, clock, half)
        for product, moment in since.items()
    }


def expected_feeds(since: Mapping[str, float | None], now: float) -> dict[str, ChangeFeed]:
    """Return the feeds that a run would read, without entries, for a plan."""
    return {
        product: ChangeFeed(feed=FEEDS[product], began=now, since=moment)
        for product, moment in since.items()
    }


def first_moments(
    lists: Iterable[OperationFacts], states: Iterable[ResourceState], now: float
) -> dict[str, float | None]:
    """Return since when the feed of each product of ``lists`` is read; None if it never was."""
    resources = {facts.resource: facts.product for facts in lists if facts.product in FEEDS}
    found: dict[str, float | None] = dict.fromkeys(resources.values())
    for state in states:
        product, read = resources.get(state.name), state.feed.read
        if product is not None and read is not None:
            read = max(read, now - MOST_DAYS * DAY)
            before = found[product]
            found[product] = read if before is None else min(before, read)
    return found


def event_of(feed: ChangeFeed) -> ChangeFeedRead:
    """Return the event of a change feed that was read, or could not be."""
    return ChangeFeedRead(
        feed=feed.feed,
        status=feed.status,
        entries=len(feed.entries),
        calls=feed.calls,
        reason=feed.reason,
    )
