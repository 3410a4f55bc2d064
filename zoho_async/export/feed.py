"""Read the change feed: the activity log of Zoho Books, which names what was changed.

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

Invariant. No record is marked deleted, and no row is written, because of an entry alone.

Unknown. How late an entry may be, how far back the feed goes, its order, and whether the dates in a
request have an effect. Whether it has entries for changes by API and by Zoho itself: not relied on,
but measured. Pages were seen to repeat. Then the rest of the feed cannot be read, and it is
`incomplete`: this run does not use it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import msgspec

from zoho_async.clock import Clock
from zoho_async.errors import ReplyError, ZohoError
from zoho_async.http.call import Budget
from zoho_async.session import Session

if TYPE_CHECKING:
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
FEEDS: Final[Mapping[str, str]] = {"books": "books.reports.activity_logs"}

FeedStatus: TypeAlias = Literal["read", "refused", "incomplete", "failed"]


class FeedEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One entry: its id, its ``day`` (``2026-01-31``), the id of the record, and what happened.

    Without an id it cannot be recognized, so it is used again by each run that reads it.
    ``identity`` recognizes it, "" if nothing does.
    """

    entry_id: str
    day: str
    record: str
    deleted: bool

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

    @property
    def oldest_kept(self) -> str:
        """The day from which on the next run reads entries again."""
        return _first_day(self.began).isoformat()


async def read_feed(
    zoho: Session, product: str, since: float | None, clock: Clock, budget: Budget
) -> ChangeFeed:
    """Read the feed of ``product`` from ``since`` on, less the overlap. None reads the overlap.

    ``budget`` caps the calls and counts them. A feed that cannot be read is returned with its
    status: the export does without it.
    """
    began = clock.time()
    feed = ChangeFeed(feed=FEEDS[product], began=began, since=since)
    first = _first_day(began if since is None else min(since, began))
    spent = budget.spent
    reading = _Reading(zoho.with_options(budget=budget), first, _last_day(began))
    try:
        ended = await reading.run()
    except ReplyError as error:
        status: FeedStatus = "failed" if error.status >= 500 else "refused"
        reason = str(error)
    except ZohoError as error:
        status, reason = "failed", str(error)
    else:
        status = "read" if ended else "incomplete"
        reason = "" if ended else "its pages repeat or do not end, so its end cannot be read"
    return msgspec.structs.replace(
        feed,
        began=began if reading.date is None else min(began, reading.date),
        status=status,
        reason=reason,
        entries=reading.entries,
        calls=budget.spent - spent,
    )


class _Reading:
    """Collects the entries from the day ``first`` to the day ``last``."""

    def __init__(self, zoho: Session, first: date, last: date) -> None:
        self.entries: list[FeedEntry] = []
        self._zoho: Final = zoho
        self._first: Final = first
        self._last: Final = last
        #: When the first page was sent, by Zoho's clock.
        self.date: float | None = None
        self._starts: Final[set[tuple[str, str, str]]] = set()
        self._known: Final[set[str]] = set()
        self._before = ""
        self._falls = False

    async def run(self) -> bool:
        """Read the pages one by one. Return whether the end of the days was reached."""
        from zoho_async.books.reports import activity_logs

        for number in range(1, MOST_PAGES + 1):
            page = await activity_logs(
                self._zoho,
                from_date=self._first,
                to_date=self._last,
                page=number,
                per_page=_PER_PAGE,
                allow_unconfirmed=True,
            )
            self.date = page.date if self.date is None else self.date
            entries = [_entry(row) for row in page.rows]
            starts = {(one.entry_id, one.day, one.record) for one in entries[:1]}
            if starts & self._starts:
                return False
            self._starts.update(starts)
            self._add(entries)
            if not page.has_more:  # without a page context, a full page may not be the last one
                return page.has_more is False or len(entries) < _PER_PAGE
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


def _first_day(since: float) -> date:
    moment = datetime.fromtimestamp(since, UTC) - _BEHIND
    return moment.date() - timedelta(days=OVERLAP)


def _last_day(now: float) -> date:
    return (datetime.fromtimestamp(now, UTC) + _AHEAD).date()
