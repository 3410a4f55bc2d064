"""Read the change feeds: the activity log of Books names what was changed, Billing lists events.

Model. An entry names a day, a record, and what happened to it. An export uses entries as hints:

- A record that the feed calls deleted is fetched by its id. Only a reply that says "no such record"
  counts, as in `zoho_async.export.deletions`.
- A list that can neither be filtered nor sorted by last modification is read only where the feed
  names its records, instead of as a whole (`zoho_async.export.feed_pass`).
- Each read of a list measures the feed: which changes did it not name, and how late was it?

Entries have days and no times, and may come late. So each run reads the days again since `OVERLAP`
before the last run, and drops the entries that it used before, by their ids, days and records: it
is not known whether an id is used again. An interrupted list
uses the same entries again: its checkpoint changes only after it was read.

The list of Billing's events has the type and the time of each, and names no record. What it is
used for is in `zoho_async.export.quiet`.

Invariant. No record is marked deleted, and no row is written, because of an entry alone.

Unknown. How late an entry may be, how far back the feed goes, its order, and whether the dates in a
request have an effect. Whether it has entries for changes by API and by Zoho itself: not relied on,
but measured. Pages were seen to repeat. Then the rest of the feed cannot be read, and it is
`incomplete`: this run does not use it. That Billing pages its events is not described either: 200
events without a page context count as a page that others follow.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import msgspec

from zoho_async.clock import Clock
from zoho_async.errors import ReplyError, ZohoError
from zoho_async.export.checkpoint.feed import ListFeed
from zoho_async.http.call import Budget
from zoho_async.session import Session
from zoho_async.wire import Page

if TYPE_CHECKING:
    from zoho_async.billing.types.events import Event
    from zoho_async.books.types.reports import ReportActivityLogs

#: Days that each run reads again: an entry may come so late.
OVERLAP: Final = 2
#: The most days since which a run reads the feed. A list that was last read before is read whole.
MOST_DAYS: Final = 14
DAY: Final = 86_400.0
#: Time zones of organizations: from 12 hours behind UTC to 14 hours ahead.
_BEHIND: Final = timedelta(hours=12)
_AHEAD: Final = timedelta(hours=14)
#: The most pages of one run. A longer feed does not answer the dates that are asked for.
MOST_PAGES: Final = 100
_PER_PAGE: Final = 200
#: The name of the feed of each product that has one.
FEEDS: Final[Mapping[str, str]] = {
    "books": "books.reports.activity_logs",
    "billing": "billing.events",
}

#: The products whose feed names records.
NAMING: Final = frozenset({"books"})
#: The lists of Billing whose changes have events.
ANNOUNCED: Final = frozenset({"billing.invoices", "billing.subscriptions"})

FeedStatus: TypeAlias = Literal["read", "refused", "incomplete", "failed"]


class FeedEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One entry: its id, its ``day`` (``2026-01-31``), the id of the record, and what happened.

    Without an id it cannot be recognized, so it is used again by each run that reads it.
    ``identity`` recognizes it, "" if nothing does. An event of Billing has no ``record``, but its
    ``time`` in seconds since 1970.
    """

    entry_id: str
    day: str
    record: str = ""
    deleted: bool = False
    time: float | None = None

    @property
    def identity(self) -> str:
        what = "deleted" if self.deleted else "changed"
        return " ".join((self.entry_id, self.day, self.record, what)) if self.entry_id else ""


class ChangeFeed(msgspec.Struct, frozen=True, kw_only=True):
    """The feed as one run read it, with the entries since ``since``.

    ``began`` is the moment of its first page, by the earlier of our clock and Zoho's. ``status`` is
    ``read``, ``refused`` (Zoho's answer is in ``reason``), ``incomplete`` (it could not be read to
    its end) or ``failed``. ``calls`` were made.
    """

    feed: str
    began: float
    since: float | None = None
    status: FeedStatus = "read"
    reason: str = ""
    entries: Sequence[FeedEntry] = ()
    calls: int = 0

    @property
    def usable(self) -> bool:
        return self.status == "read"

    def covers(self, read: float | None) -> bool:
        """Whether it was read without a gap since a list used it at the moment ``read``."""
        since = self.began if self.since is None else self.since
        return self.usable and read is not None and read >= min(since, self.began)

    def unused(self, known: ListFeed) -> list[FeedEntry]:
        """Return the entries that the list of ``known`` has not used yet.

        Entries before the overlap of its last run are not new to it.
        """
        first = _first_day(self.began if known.read is None else known.read).isoformat()
        return [
            one
            for one in self.entries
            if one.identity not in known.seen and (not one.day or one.day >= first)
        ]

    @property
    def oldest_kept(self) -> str:
        """The day from which on the next run reads entries again."""
        return _first_day(self.began).isoformat()


async def read_feed(
    zoho: Session,
    product: str,
    since: float | None,
    clock: Clock,
    budget: Budget,
    most_pages: int | None = None,
) -> ChangeFeed:
    """Read the feed of ``product`` from ``since`` on, less the overlap. None reads the overlap.

    ``budget`` caps the calls and counts them. A feed that has more than ``most_pages`` pages
    (`MOST_PAGES` if None) is incomplete. A feed that cannot be read is returned with its status:
    the export does without it.
    """
    began = clock.time()
    feed = ChangeFeed(feed=FEEDS[product], began=began, since=since)
    first = _first_day(began if since is None else min(since, began))
    spent = budget.spent
    limited = zoho.with_options(budget=budget)
    if product == "billing":
        source = _events(limited)
    else:
        source = _activities(limited, first, _last_day(began))
    reading = _Reading(first, source, MOST_PAGES if most_pages is None else most_pages)
    try:
        ended = await reading.run()
    except ReplyError as error:
        status: FeedStatus = "failed" if error.status >= 500 else "refused"
        reason = str(error)
    except ZohoError as error:
        status, reason = "failed", str(error)
    else:
        status = "read" if ended else "incomplete"
        reason = "" if ended else reading.problem
    return msgspec.structs.replace(
        feed,
        began=began if reading.date is None else min(began, reading.date),
        status=status,
        reason=reason,
        entries=reading.entries,
        calls=budget.spent - spent,
    )


class _FeedPage(msgspec.Struct, frozen=True):
    """A page of a feed, and when it was sent by Zoho's clock."""

    entries: list[FeedEntry]
    has_more: bool
    date: float | None


#: Returns the page of a number, from 1.
_Source: TypeAlias = Callable[[int], Awaitable[_FeedPage]]


def _activities(zoho: Session, first: date, last: date) -> _Source:
    from zoho_async.books.reports import activity_logs

    async def page_at(number: int) -> _FeedPage:
        page = await activity_logs(
            zoho,
            from_date=first,
            to_date=last,
            page=number,
            per_page=_PER_PAGE,
            allow_unconfirmed=True,
        )
        return _FeedPage([_entry(row) for row in page.rows], _has_more(page), page.date)

    return page_at


def _events(zoho: Session) -> _Source:
    from zoho_async.billing import events

    async def page_at(number: int) -> _FeedPage:
        page = await events.list(zoho, page=number, per_page=_PER_PAGE)
        return _FeedPage([_event(row) for row in page.rows], _has_more(page), page.date)

    return page_at


def _has_more(page: Page[Any]) -> bool:
    """Whether pages follow. Without a page context, a full page may not be the last one."""
    return len(page) >= _PER_PAGE if page.has_more is None else page.has_more


class _Reading:
    """Collects the entries of ``source`` from the day ``first`` on."""

    def __init__(self, first: date, source: _Source, most_pages: int) -> None:
        self.entries: list[FeedEntry] = []
        self.problem = f"it has more than {most_pages} pages"
        self._first: Final = first
        self._source: Final = source
        self._most_pages: Final = most_pages
        #: When the first page was sent, by Zoho's clock.
        self.date: float | None = None
        self._starts: Final[set[tuple[str, str, str]]] = set()
        self._known: Final[set[str]] = set()
        self._before = ""
        self._falls = False

    async def run(self) -> bool:
        """Read the pages one by one. Return whether the end of the days was reached."""
        for number in range(1, self._most_pages + 1):
            page = await self._source(number)
            self.date = page.date if self.date is None else self.date
            entries = page.entries
            starts = {(one.entry_id, one.day, one.record) for one in entries[:1]}
            if starts & self._starts:
                self.problem = "its pages repeat, so its end cannot be read"
                return False
            self._starts.update(starts)
            self._add(entries)
            if not page.has_more:
                return True
            if self._is_past(entries):
                return True
        return False

    def _is_past(self, entries: Sequence[FeedEntry]) -> bool:
        """Whether later pages are older than the days: dates were ignored, and days go down."""
        days = [one.day for one in entries]
        before, self._before = self._before, days[-1] if days else ""
        falls = days == sorted(days, reverse=True)
        self._falls |= falls and bool(days) and days[-1] < (before or days[0])
        return falls and self._falls and days[0] < self._first.isoformat()

    def _add(self, entries: Sequence[FeedEntry]) -> None:
        first = self._first.isoformat()
        for one in entries:
            if one.identity in self._known or (one.day and one.day < first):
                continue
            self._known.update({one.identity} - {""})
            self.entries.append(one)


def _entry(row: ReportActivityLogs) -> FeedEntry:
    details = row.activity_details
    record = (details.transaction_id if details else "") or ""
    what = (details.operation_type if details else "") or row.description or ""
    day = "" if row.date is None else row.date.isoformat()
    return FeedEntry(
        entry_id=row.activity_id or str(row.extra.get("id") or ""),
        day=day,
        record=record,
        deleted="delete" in what.casefold(),
    )


def _event(row: Event) -> FeedEntry:
    moment = row.event_time
    return FeedEntry(
        entry_id=row.event_id,
        day="" if moment is None else moment.date().isoformat(),
        time=None if moment is None or moment.tzinfo is None else moment.timestamp(),
    )


def _first_day(since: float) -> date:
    moment = datetime.fromtimestamp(since, UTC) - _BEHIND
    return moment.date() - timedelta(days=OVERLAP)


def _last_day(now: float) -> date:
    return (datetime.fromtimestamp(now, UTC) + _AHEAD).date()
