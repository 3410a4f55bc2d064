"""The change feeds of one job: which there are, since when each is read, and which list uses which.

A list keeps the moment up to which it used the feed of its product. The feed is read since the
earliest of these moments, at most `MOST_DAYS` ago. A list that used it before that is not covered
(`ChangeFeed.covers`), so it is read without the feed.

The events of Billing are read only if that can spare more pages than it takes
(`zoho_async.export.quiet`).
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from zoho_async.clock import Clock
from zoho_async.description import OperationFacts
from zoho_async.export.checkpoint.store import ResourceState
from zoho_async.export.deletions import DeletionDetector
from zoho_async.export.events import ChangeFeedRead
from zoho_async.export.feed import (
    ANNOUNCED,
    DAY,
    FEEDS,
    MOST_DAYS,
    NAMING,
    ChangeFeed,
    read_feed,
)
from zoho_async.export.feed_pass import FeedPass
from zoho_async.export.quiet import QuietPass, spared_pages
from zoho_async.export.write_queue import Blocking
from zoho_async.export.writer import ResourceWriter
from zoho_async.http.call import Budget
from zoho_async.session import Session


class WantedFeed(msgspec.Struct, frozen=True, kw_only=True):
    """A feed to read: ``since`` when, None if it never was, and how many pages at most."""

    since: float | None = None
    most_pages: int | None = None


async def read_feeds(
    zoho: Session,
    wanted: Mapping[str, WantedFeed],
    clock: Clock,
    *,
    budget: Budget,
    max_calls: int | None,
) -> dict[str, ChangeFeed]:
    """Read the feed of each product in ``wanted``, as `wanted_feeds` returned it.

    That takes at most half of ``max_calls``, so that the lists get on, too.
    """
    most = sys.maxsize if max_calls is None else max_calls // 2
    half = Budget(most, within=budget)
    return {
        product: await read_feed(zoho, product, one.since, clock, half, one.most_pages)
        for product, one in wanted.items()
    }


def expected_feeds(wanted: Mapping[str, WantedFeed], now: float) -> dict[str, ChangeFeed]:
    """Return the feeds that a run would read, without entries, for a plan."""
    return {
        product: ChangeFeed(feed=FEEDS[product], began=now, since=one.since)
        for product, one in wanted.items()
    }


def wanted_feeds(
    lists: Sequence[OperationFacts], states: Iterable[ResourceState], now: float
) -> dict[str, WantedFeed]:
    """Return the feeds that a run over ``lists`` reads, by product."""
    known = {state.name: state for state in states}
    found: dict[str, WantedFeed] = {}
    for product in FEEDS:
        own = [facts for facts in lists if facts.product == product]
        states_of = [known[facts.resource] for facts in own if facts.resource in known]
        reads = [state.feed.read for state in states_of if state.feed.read is not None]
        since = max(min(reads), now - MOST_DAYS * DAY) if reads else None
        most_pages = None if product in NAMING else spared_pages(own, known) - 1
        if own and (most_pages is None or most_pages > 0):
            found[product] = WantedFeed(since=since, most_pages=most_pages)
    return found


def feed_pass_of(
    feed: ChangeFeed | None,
    writer: ResourceWriter,
    detector: DeletionDetector,
    blocking: Blocking,
    clock: Clock,
) -> FeedPass:
    """Return what a run does for the list of ``writer`` with the ``feed`` of its product."""
    if writer.facts.resource in ANNOUNCED:
        return QuietPass(feed, writer, detector, blocking, clock)
    names = writer.facts.product in NAMING
    return FeedPass(feed if names else None, writer, detector, blocking, clock)


def event_of(feed: ChangeFeed) -> ChangeFeedRead:
    """Return the event of a change feed that was read, or could not be."""
    return ChangeFeedRead(
        feed=feed.feed,
        status=feed.status,
        entries=len(feed.entries),
        calls=feed.calls,
        reason=feed.reason,
    )
