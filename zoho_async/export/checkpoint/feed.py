"""What a list's checkpoint keeps about the change feed and about the cost of its reads."""

from __future__ import annotations

import msgspec

from zoho_async.export.incremental import Mode


class ListFeed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What earlier runs found out about a list and the change feed (`zoho_async.export.feed`).

    ``read`` is the start of the last read of the feed that this list used, None if there was none.
    ``seen`` has the entries of the overlap that were used, with their days. ``unnamed`` has records
    that the list showed as changed and the feed did not name, with the moment.

    ``checked`` is the start of the last read of the whole list, and ``interval`` the days until the
    next one while the feed is relied on; 0 if it is not. ``gap`` is how many more records were
    indexed then than the list counted, None if it did not count. ``records`` are indexed.

    ``calls`` has the calls for pages of the list in the last run of each mode; for ``feed`` also
    what a run would have taken that read the whole list. ``checks`` are the records that the last
    run fetched because the feed called them deleted, and ``feed_calls`` its calls for the feed.
    ``surplus`` is how many more records are indexed than the list counts, beyond the ``gap``; None
    if it was not counted. ``missed`` counts changes that the feed never named, ``delay`` is the
    largest delay that was measured, in seconds.
    """

    read: float | None = None
    seen: dict[str, str] = {}
    unnamed: dict[str, float] = {}
    checked: float | None = None
    interval: int = 0
    gap: int | None = None
    records: int = 0
    calls: dict[Mode, int] = {}
    checks: int = 0
    feed_calls: int = 0
    surplus: int | None = None
    missed: int = 0
    delay: float | None = None
