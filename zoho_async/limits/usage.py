"""The usage of one organization, and what each event does to it: plain values and pure functions.

All ledgers keep these values and call these functions, so all of them decide alike. ``now`` is
monotonic and ``wall`` is the wall clock, both in seconds. The ledger reads the clocks.

Model
-----
A call is *open* from its admission until its caller says how it ended. Then it is *held* in the
minute until no window can contain both it and a new call. Then it is forgotten.

A call that ended without a reply is also *abandoned*: Zoho may still work on it, so it counts in
flight for twice as long as slow replies took lately, but not longer than ``linger`` after it was
sent.

A reply also says how many calls the organization made today. `Usage.others` hears other clients by
it (`zoho_async.limits.others`).

Why not longer
--------------
A mistake costs more in the minute than in flight. The minute keeps the place of a lost call to the
last moment that matters (`zoho_async.limits`), because one call too many is a block. The limit of
calls in flight is soft: one call too many is a 1070, a second's pause and a smaller limit. Counting
every lost call for a minute and a half would cost more, because five timeouts would stop an
organization with five calls in flight for that long.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from heapq import heappop, heappush, nsmallest
from typing import Final, Literal, TypeAlias

import msgspec

from zoho_async.limits.block import NEVER, Block
from zoho_async.limits.concurrency import ConcurrencyLimit
from zoho_async.limits.daily_quota import HOUR, PROBE_EVERY, DailyQuota
from zoho_async.limits.models import Lane, Limits, Quota, Refusal, Snapshot, fewest_left
from zoho_async.limits.others import SHORTEST, Heard, Others
from zoho_async.limits.product_days import NEAR, Figure, ProductDays

#: Two synchronized clocks may still drift apart by a thousandth, so a minute here lasts that much
#: longer than Zoho's.
DRIFT: Final = 1.001
#: Seconds by which a timer may be early without being set again.
SOON: Final = 1e-6
#: How early a bulk call may come, in calls, to make up for one that came late. More would send
#: bulk calls in groups, once a minute, and people would wait for the gap between them.
SLACK: Final = 0.5

Reason: TypeAlias = Literal[
    "block",
    "slow_start",
    "day",
    "minute",
    "others",
    "in_flight",
    "ledger",
    "ledger_new",
    "pace",
    "bulk",
]


class LoggedCall(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An open call: when it was admitted (monotonic), and the worker that owns it.

    ``replied``: `Usage.replied` at that moment. ``product``: "" if not known.
    """

    taken: float
    owner: str
    replied: int = 0
    product: str = ""


class Usage(msgspec.Struct):
    """The usage of one organization. Moments are monotonic.

    Attributes:
        held: A heap of the moments when places of the minute become free.
        open: The open calls, by number of their place.
        abandoned: A heap of the moments until when lost calls count in flight.
        serial: The last number given to a place.
        slowest: How long slow replies took lately, in seconds.
        started: When the last call was admitted.
        paced: When the last call with an even pace was admitted.
        bulk: A heap of the moments when bulk calls will have been admitted a ``window`` ago.
        bucket_full_at: When the bucket of bulk calls is full.
        replied: Calls that had a reply and were not refused.
        unsure_until: Until when a call that was lost or refused may be counted by Zoho.
        others: Other clients of the organization. None until Zoho's counter was read.
        day: The daily quota. If products have their own, it counts all calls, without figures.
        products: The daily counters of products. None until Zoho's counter was read.
    """

    held: list[float] = []
    open: dict[int, LoggedCall] = {}
    abandoned: list[float] = []
    serial: int = 0
    slowest: float = 0.0
    started: float = NEVER
    paced: float = NEVER
    bulk: list[float] = []
    bucket_full_at: float = NEVER
    block: Block = msgspec.field(default_factory=Block)
    concurrency: ConcurrencyLimit = msgspec.field(default_factory=ConcurrencyLimit)
    day: DailyQuota = msgspec.field(default_factory=DailyQuota)
    replied: int = 0
    unsure_until: float = NEVER
    others: Others | None = None
    products: ProductDays | None = None


class Denial(msgspec.Struct, frozen=True):
    """Why a call is not admitted now.

    ``wait`` is in seconds, None if it depends on replies. ``reset_at`` (wall clock) is set if the
    day is spent and its end is known. ``retry_after`` is when to ask again at the latest, in
    seconds, without a ``wait``. ``product`` is set if only this product's day is spent.
    """

    reason: Reason
    wait: float | None
    reset_at: float | None = None
    retry_after: float | None = None
    product: str = ""


class Ending(msgspec.Struct, frozen=True, gc=False):
    """How a call ended, and how long before its end it was sent (seconds).

    ``ago``: it ended this many seconds before ``now``, because the ending is noted later.
    ``unsure``: it may have ended this many seconds later than that, because the clock is not exact.
    """

    how: Literal["replied", "lost", "unsent"]
    since_sent: float = 0.0
    quota: Quota | None = None
    refusal: Refusal | None = None
    unsure: float = 0.0
    ago: float = 0.0


def take(
    usage: Usage,
    account: Usage,
    lane: Lane,
    limits: Limits,
    now: float,
    wall: float,
    owner: str,
    product: str = "",
) -> int | Denial:
    """Take a place for one call of ``lane``. Returns its number, or why there is no place now.

    ``account`` is the usage of the organization's account, which may be blocked as a whole.
    ``product`` is the product that is called, "" if that is not known.
    """
    _pass_minute(usage, now)
    day, products = usage.day, usage.products
    if (
        day.hour != wall // HOUR
        or (limits.time_zone if day.reset_at is None else day.reset_at <= wall)
        or (products is not None and products.days)
    ):
        _pass_day(usage, now, wall, limits.time_zone)
    block = None
    if usage.block.strikes or account.block.strikes:
        block = usage.block if usage.block.opens >= account.block.opens else account.block
        if now < block.opens:
            return Denial("block", block.opens - now)
    own_days: Sequence[DailyQuota] = ()
    probed: Sequence[DailyQuota] = ()
    if products is not None and products.days:
        own_days = products.of(product)
        checked = _check_days(usage, own_days, lane, limits, wall)
        if isinstance(checked, Denial):
            return msgspec.structs.replace(checked, product=product)
        probed = checked
    elif day.spent or day.left is not None or day.limit is not None or limits.day is not None:
        checked = _check_days(usage, (day,), lane, limits, wall)
        if isinstance(checked, Denial):
            return checked
        probed = checked
    if block is not None and block.is_slow_start(now, limits.window):
        apart = block.spacing(now, limits.limit, limits.window)
        if now < usage.started + apart:
            return Denial("slow_start", usage.started + apart - now)
    paced = lane == "bulk" and limits.pace == "even"
    if paced:
        apart = max(each.spacing(limits, wall) for each in own_days or (day,))
        if now < usage.paced + apart:
            return Denial("pace", usage.paced + apart - now)
    heard = None
    if usage.others is not None and now < usage.others.known_until:
        heard = usage.others.heard(limits, now)
    spread = lane == "bulk" and limits.burst < limits.limit
    if spread:
        denial = _deny_bulk(usage, limits, heard, now)
        if denial is not None:
            return denial
    places = len(usage.open)
    if (
        len(usage.held) + places >= limits.limit
        or places + len(usage.abandoned) >= limits.in_flight
        or usage.concurrency.cap
    ):
        denial = _deny_full(usage, limits, now)
        if denial is not None:
            return denial
    if heard is not None:
        denial = _deny_shared(usage, limits, heard, lane, now)
        if denial is not None:
            return denial
    usage.serial = place = usage.serial + 1
    usage.open[place] = LoggedCall(now, owner, usage.replied, product)
    usage.started = now
    if paced:
        usage.paced = now
    if spread:
        _count_bulk(usage, limits, heard, now)
    day.count(wall)
    for each in own_days:
        each.count(wall)
    for each in probed:
        each.probe = place
        each.probe_at = wall + PROBE_EVERY
    return place


def _pass_minute(usage: Usage, now: float) -> None:
    held = usage.held
    while held and held[0] <= now:
        heappop(held)
    bulk = usage.bulk
    while bulk and bulk[0] <= now:
        heappop(bulk)
    abandoned = usage.abandoned
    while abandoned and abandoned[0] <= now:
        heappop(abandoned)


def _pass_day(usage: Usage, now: float, wall: float, time_zone: str | None) -> None:
    usage.day.pass_time(now, wall, len(usage.open), time_zone)
    if usage.products is not None:
        for product, each in usage.products.days.items():
            each.pass_time(now, wall, _open_calls(usage, product), time_zone)


def _open_calls(usage: Usage, product: str) -> int:
    """Return the open calls that may be of ``product``."""
    return sum(call.product in ("", product) for call in usage.open.values())


def _check_days(
    usage: Usage, days: Sequence[DailyQuota], lane: Lane, limits: Limits, wall: float
) -> Denial | Sequence[DailyQuota]:
    """Return the denial if the calls of a day are used up, else the days that the call probes."""
    probed: list[DailyQuota] = []
    for day in days:
        kept = day.reserved_from(lane, limits)
        remaining = day.remaining(limits)
        if remaining is not None and remaining <= kept:
            denial = _deny_spent_day(usage, day, kept, wall)
            if denial is not None:
                return denial
            probed.append(day)
    return probed


def _deny_spent_day(usage: Usage, day: DailyQuota, kept: int, wall: float) -> Denial | None:
    """Return the denial for a spent day, or None if this call may probe it."""
    opens_at = day.opens_at(kept)
    if opens_at is not None:
        return Denial("day", max(0.0, opens_at - wall), opens_at)
    if wall < day.probe_at:
        asks_at = min(day.probe_at, day.reset_at or day.probe_at)
        return Denial("day", max(0.0, asks_at - wall))
    return Denial("day", None) if usage.open else None


def _deny_bulk(usage: Usage, limits: Limits, heard: Heard | None, now: float) -> Denial | None:
    """Return the denial if bulk calls used up their part of the minute, or come too fast."""
    bulk, most = len(usage.bulk), _bulk_limit(usage, limits, heard)
    over = bulk - int(most) + 1
    if over > 0:
        return Denial("bulk", _frees_in(usage.bulk, over, now))
    if heard is None:
        if bulk < limits.head_start:
            return None
    elif (
        heard.known
        and bulk + heard.calls < limits.head_start
        # Own calls must be even while others call, so only after a pause.
        and (not bulk or usage.bulk[0] > now + (1 - SHORTEST) * limits.window)
    ):
        return None
    rate = most / limits.window
    # The rate may have been lower when the bucket was emptied.
    opens = min(usage.bucket_full_at, now + (1 + SLACK) / rate) - SLACK / rate
    return Denial("bulk", opens - now) if now < opens - SOON else None


def _bulk_limit(usage: Usage, limits: Limits, heard: Heard | None) -> float:
    """Return the bulk calls that others leave in a ``window``. At least one."""
    if heard is None:
        return limits.bulk_limit
    most = heard.bulk
    if heard.refill > most:
        own = len(usage.held) + len(usage.open)
        if own + heard.calls < heard.total - limits.burst:
            most = heard.refill
    return max(1.0, min(most, limits.bulk_limit))


def _count_bulk(usage: Usage, limits: Limits, heard: Heard | None, now: float) -> None:
    heappush(usage.bulk, now + limits.window)
    rate = _bulk_limit(usage, limits, heard) / limits.window
    # Calls of the head start empty the bucket, but leave no debt.
    full_at = max(usage.bucket_full_at, now) + 1 / rate
    usage.bucket_full_at = min(full_at, now + (1 + SLACK) / rate)


def _deny_shared(
    usage: Usage, limits: Limits, heard: Heard, lane: Lane, now: float
) -> Denial | None:
    """Return the denial if own calls and those of others fill the total that they share."""
    others = heard.calls if lane == "bulk" else heard.seen
    own = len(usage.held) + len(usage.open)
    over = int(own + others - heard.total) + 1
    if over <= 0 or usage.others is None:
        return None
    frees = _frees_in(usage.held, over, now)
    if others:
        changes = usage.others.changes_in(limits, now)
        frees = changes if frees is None else min(frees, changes)
    # What was before the first reading stays a guess for long. People must not wait for it.
    guessed = not heard.covered and own + heard.seen <= heard.total - 1
    return Denial("bulk" if lane == "bulk" and guessed else "others", frees)


def _deny_full(usage: Usage, limits: Limits, now: float) -> Denial | None:
    """Return the denial if the minute is full or too many calls are in flight."""
    held = usage.held
    over = len(held) + len(usage.open) - limits.limit + 1
    if over > 0:
        return Denial("minute", _frees_in(held, over, now))
    concurrency = usage.concurrency
    if now < concurrency.opens:
        return Denial("in_flight", concurrency.opens - now)
    most = limits.in_flight
    allowed = concurrency.at(now, most) if concurrency.cap else most
    if len(usage.open) + len(usage.abandoned) < allowed:
        return None
    waits = [until - now for until in usage.abandoned[:1]]
    growth = concurrency.grows_in(now, most)
    if growth is not None:
        waits.append(growth)
    retry_after = min(waits) if waits else None
    # A reply may come earlier than either. Without open calls, no reply comes.
    return Denial("in_flight", None if usage.open else retry_after, retry_after=retry_after)


def _frees_in(held: list[float], over: int, now: float) -> float | None:
    """Return the seconds until ``over`` places are free, or None if open calls hold them."""
    if over > len(held):
        return None
    return (held[0] if over == 1 else nsmallest(over, held)[-1]) - now


def settle(
    usage: Usage,
    account: Usage,
    place: int,
    ending: Ending,
    limits: Limits,
    now: float,
    wall: float,
    owner: str = "",
) -> float:
    """Note how the call in ``place`` ended. Returns how long nothing may be sent, in seconds.

    If ``owner`` was taken for dead, its place was abandoned already, and a ledger that lost its
    data may have given the number to another call. Then the ending frees no place, and a reply
    counts once more.
    """
    day, products = usage.day, usage.products
    if (
        day.hour != wall // HOUR
        or (limits.time_zone if day.reset_at is None else day.reset_at <= wall)
        or (products is not None and products.days)
    ):
        _pass_day(usage, now, wall, limits.time_zone)
    opened = usage.open.pop(place, None)
    if opened is not None and opened.owner != owner:
        usage.open[place] = opened
        opened = None
    how, since_sent, quota, refusal = ending.how, ending.since_sent, ending.quota, ending.refusal
    if how == "unsent":
        if opened is not None:
            _undo_admission(usage, place, opened.product)
        return 0.0
    if how == "lost":
        abandon(usage, now - ending.ago + ending.unsure - since_sent, now, limits)
        return 0.0
    heappush(usage.held, now - ending.ago + ending.unsure + limits.window * DRIFT)
    usage.slowest = max(since_sent, usage.slowest * 0.95)
    if opened is not None and refusal is None:
        usage.replied += 1
        if quota is not None:
            _hear_others(usage, opened, ending, quota, limits, now)
            _hear_products(usage, opened.product, ending, quota, now, wall)
    else:
        usage.unsure_until = max(usage.unsure_until, now + ending.unsure)
    if (
        quota is not None
        or refusal is not None
        or usage.concurrency.strikes
        or day.probe == place
        or (products is not None and products.days)  # which it may probe
    ):
        began, product = now - ending.ago - since_sent, ""
        if opened is not None:
            # A reply proves something from its admission on, which came first.
            began, product = min(began, opened.taken), opened.product
        return _apply_reply(usage, account, place, product, ending, limits, began, now, wall)
    return 0.0


def _apply_reply(
    usage: Usage,
    account: Usage,
    place: int,
    product: str,
    ending: Ending,
    limits: Limits,
    began: float,
    now: float,
    wall: float,
) -> float:
    """Apply the figures and the refusal of a reply to a call that was admitted at ``began``."""
    if ending.refusal is None:
        usage.concurrency.call_accepted(admitted=began)
    blocked_for = 0.0
    if _apply_figures(usage, place, product, ending, limits, began, now, wall):
        blocked_for = usage.block.call_refused(
            now, admitted=began, retry_after=None, window=limits.window
        )
    if ending.refusal is not None:
        blocked_for = _apply_refusal(usage, account, product, ending, limits, began, now, wall)
    return blocked_for


def _apply_figures(
    usage: Usage,
    place: int,
    product: str,
    ending: Ending,
    limits: Limits,
    began: float,
    now: float,
    wall: float,
) -> bool:
    """Apply the figures of a reply. Returns whether they contradict a 45."""
    quota, day, open_calls = ending.quota, usage.day, len(usage.open)
    days: Sequence[DailyQuota] = (day,)
    own: DailyQuota | None = day
    if usage.products is not None and usage.products.days:
        if quota is not None:
            reset = Quota(reset=quota.reset)
            day.apply_quota(reset, began, now, wall, limits, open_calls, False)
        days, own = usage.products.of(product), usage.products.days.get(product)
        open_calls = _open_calls(usage, product)
    probing = False
    if ending.refusal is None:
        for each in days:
            if each.probe == place:
                each.start_day(began, wall, open_calls)
                probing = probing or each is own
    if quota is None or own is None:
        return False
    return own.apply_quota(quota, began, now, wall, limits, open_calls, probing)


def _hear_others(
    usage: Usage, opened: LoggedCall, ending: Ending, quota: Quota, limits: Limits, now: float
) -> None:
    """Read Zoho's counter of the organization's calls."""
    limit, remaining = quota.limit, quota.remaining
    if limit is None or remaining is None or not 0 <= remaining <= limit:
        return
    if usage.others is None:
        usage.others = Others()
    usage.others.hear(
        limit,
        remaining,
        now - ending.ago - ending.since_sent,
        now - ending.ago + ending.unsure,
        opened.replied,
        usage.replied + len(usage.open),
        usage.unsure_until,
        limits,
    )


def _hear_products(
    usage: Usage, product: str, ending: Ending, quota: Quota, now: float, wall: float
) -> None:
    """Compare the counters of products, and start their own quotas once they are separate."""
    limit, remaining, reset = quota.limit, quota.remaining, quota.reset
    if not product or limit is None or remaining is None or not 0 <= remaining <= limit:
        return
    if reset is not None and reset < NEAR:
        return
    if usage.products is None:
        usage.products = ProductDays()
    products, ended = usage.products, now - ending.ago
    reset_at = None if reset is None else wall + reset
    figure = Figure(product, limit, remaining, ended + ending.unsure, reset_at, len(usage.open))
    before = products.hear(figure, ended - ending.since_sent)
    if before is not None:
        if not products.days:
            usage.day.forget_figures()
        later = before.open_calls + _open_calls(usage, before.product)
        products.start(before, usage.day, later, wall)
    if products.days:
        products.start(figure, usage.day, _open_calls(usage, product), wall)


def _undo_admission(usage: Usage, place: int, product: str) -> None:
    for day in _days_of(usage, product):
        day.uncount()
        if day.probe == place:
            day.probe_at = 0.0


def _days_of(usage: Usage, product: str) -> Sequence[DailyQuota]:
    """Return the days that count a call of ``product``."""
    if usage.products is None or not usage.products.days:
        return (usage.day,)
    return (usage.day, *usage.products.of(product))


def abandon(usage: Usage, sent: float, now: float, limits: Limits) -> None:
    """Count a call without a reply that was sent at ``sent``. It arrives within ``linger``."""
    arrives = sent + limits.linger
    usage.unsure_until = max(usage.unsure_until, arrives)
    heappush(usage.held, arrives + limits.window * DRIFT)
    busy = min(arrives, now + 2 * usage.slowest) if usage.slowest else arrives
    if busy > now:
        heappush(usage.abandoned, busy)


def _apply_refusal(
    usage: Usage,
    account: Usage,
    product: str,
    ending: Ending,
    limits: Limits,
    began: float,
    now: float,
    wall: float,
) -> float:
    refusal = ending.refusal or Refusal()
    quota = ending.quota
    kind = refusal.kind
    if kind == "in_flight":
        return usage.concurrency.call_refused(
            now, admitted=began, retry_after=refusal.retry_after, most=limits.in_flight
        )
    if kind == "day":
        if quota is None or quota.remaining is None or quota.remaining <= 0:
            sent = now - ending.ago - ending.since_sent
            days: Sequence[DailyQuota] = (usage.day,)
            if usage.products is not None and usage.products.days:
                days = usage.products.own(product)
            until = wall
            for day in days:
                day.mark_spent(refusal, began, sent, wall, limits)
                opens_at = day.opens_at(0)
                until = max(until, day.probe_at if opens_at is None else opens_at)
            return until - wall
        kind = "organization"
    if limits.block_scope != "code":
        kind = limits.block_scope
    if usage.others is None:
        usage.others = Others()
    usage.others.note_block(now)
    block = account.block if kind == "account" else usage.block
    return block.call_refused(
        now, admitted=began, retry_after=refusal.retry_after, window=limits.window
    )


def to_snapshot(usage: Usage, account: Usage, limits: Limits, now: float, wall: float) -> Snapshot:
    """Return the usage for people to read."""
    _pass_minute(usage, now)
    _pass_day(usage, now, wall, limits.time_zone)
    days = {} if usage.products is None else usage.products.days
    products = {name: day.to_quota(limits, wall) for name, day in days.items()}
    own = fewest_left(products.values()) if products else usage.day.to_quota(limits, wall)
    over = len(usage.held) + len(usage.open) - limits.limit + 1
    return Snapshot(
        minute_used=len(usage.held) + len(usage.open),
        limit=limits.limit,
        next_place_in=_frees_in(usage.held, over, now) if over > 0 else 0.0,
        in_flight=len(usage.open) + len(usage.abandoned),
        cap=usage.concurrency.at(now, limits.in_flight),
        day_used=usage.day.used,
        day_limit=own.limit,
        day_remaining=own.remaining,
        day_reset_in=own.reset_in,
        day_resets_at=own.resets_at,
        blocked_for=max(0.0, usage.block.opens - now, account.block.opens - now),
        others=_others_per_minute(usage, limits, now),
        products=products,
    )


def _others_per_minute(usage: Usage, limits: Limits, now: float) -> float | None:
    """Return the calls a minute of other clients, or None if they are not known now."""
    if usage.others is None or not (heard := usage.others.heard(limits, now)).known:
        return None
    return 60.0 * heard.rate if now < usage.others.known_until else 0.0


def is_blank(usage: Usage, now: float, wall: float) -> bool:
    """Return whether empty usage would give the same answers from now on."""
    usage = copy.copy(usage)
    usage.day = copy.copy(usage.day)  # without the time zone, the next reset would be wrong
    usage.products = copy.deepcopy(usage.products)
    _pass_minute(usage, now)
    _pass_day(usage, now, wall, None)
    days = [usage.day, *(() if usage.products is None else usage.products.days.values())]
    # Twice the longest time that a block or a smaller cap has an effect.
    past = now - 2 * HOUR
    return not (
        usage.open
        or usage.held
        or usage.abandoned
        or any(day.used or day.spent for day in days)
        or any(day.reset_at is not None and not day.predicted for day in days)
        or usage.bulk
        or usage.bucket_full_at > now
        or (usage.others is not None and usage.others.known_until > now)
        or max(usage.block.opens, usage.concurrency.shrunk, usage.concurrency.opens) > past
    )
