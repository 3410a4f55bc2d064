"""Other clients are heard by Zoho's counter, and own calls leave room for them."""

from __future__ import annotations

import asyncio
import sqlite3
from itertools import pairwise
from pathlib import Path
from typing import Literal

import msgspec
import pytest

from benchmarks.suites.others import CASES, simulate
from tests.support.held_usage import HeldUsage
from zoho_async.clock import SYSTEM_CLOCK, LoopClock
from zoho_async.errors import ConfigurationError, WaitTooLong
from zoho_async.limits import Lane, Limits, MemoryLedger, Quota, Refusal, scheduler
from zoho_async.limits.block import Block
from zoho_async.limits.concurrency import ConcurrencyLimit
from zoho_async.limits.daily_quota import DailyQuota
from zoho_async.limits.others import REMEMBERED, Others
from zoho_async.limits.product_days import ProductDays
from zoho_async.limits.recovery import carry_over, delay, shift_clock
from zoho_async.limits.redis.offline import OfflineShare
from zoho_async.limits.sqlite import Row, SqliteFile
from zoho_async.limits.usage import (
    Denial,
    Ending,
    LoggedCall,
    Usage,
    abandon,
    is_blank,
    settle,
    to_snapshot,
)

DAY = 100_000


class Organization(HeldUsage):
    """One organization: our usage, a clock, and the counter of all its calls."""

    counter = 0

    def reply(
        self, place: int, *, counter: int | None = None, limit: int = DAY, took: float = 0.1
    ) -> None:
        if counter is None:
            self.counter = counter = self.counter + 1
        self.now += took
        ending = Ending("replied", took, Quota(limit, limit - counter))
        settle(self.usage, self.usage, place, ending, self.limits, self.now, self.now)

    def call(self) -> None:
        self.reply(self.place())

    def run(self, seconds: float, *, others: float, every: float = 2.0) -> None:
        """Call every few seconds while others make so many calls a minute."""
        for _ in range(int(seconds / every)):
            self.counter += round(others / 60 * every)
            self.call()
            self.now += every - 0.1

    @property
    def heard(self) -> float | None:
        return to_snapshot(self.usage, self.usage, self.limits, self.now, self.now).others

    @property
    def known(self) -> bool:
        return self.usage.others is not None and self.now < self.usage.others.known_until


def test_others_are_heard_by_the_steps_of_the_counter() -> None:
    org = Organization()
    assert org.heard is None
    org.run(15.0, others=60)
    assert org.heard == pytest.approx(24, abs=4)  # a few calls at once would be no rate
    org.run(120.0, others=30)
    assert org.heard == pytest.approx(30, abs=2)
    org.run(120.0, others=0)
    assert org.heard == pytest.approx(0, abs=1)


def test_who_is_alone_is_never_slowed_down() -> None:
    exclusive = Organization(Limits(limit=99, burst=99, in_flight=99))
    for _ in range(3):
        places = [exclusive.place("bulk") for _ in range(99)]
        assert exclusive.denied("bulk").reason == "minute"
        for place in reversed(places):  # replies in any order
            exclusive.reply(place, took=0.01)
        exclusive.now += 61
    assert not exclusive.known
    assert simulate(None, limits=Limits(limit=100, burst=20)).own[0] > 79.9


def test_bulk_calls_leave_to_others_what_they_use() -> None:
    org = Organization()
    org.run(120.0, others=30)
    sent: list[float] = []
    while org.now < 1240.0:
        answer = org.take("bulk")
        if isinstance(answer, Denial):
            assert answer.reason in ("bulk", "others")
            assert answer.wait is not None
            org.now += answer.wait + 0.001
            continue
        sent.append(org.now)
        own = 60 + len(sent)
        org.reply(answer, counter=own + int((org.now - 1000) / 2))
    last = [moment for moment in sent if moment > 1180]
    assert 80 - 30 - 10 - 4 <= len(last) <= 80 - 30 - 10 + 4
    apart = [later - moment for moment, later in pairwise(last)]
    assert max(apart) < 4  # evenly, not all at once and then nothing


def test_people_do_not_wait_for_others_that_no_reading_shows() -> None:
    """Another program of the same person made 30 calls just now, as a command after a command."""
    org = Organization()
    org.call()
    org.now += 1.0
    org.counter += 30
    for _ in range(80 - 32):
        org.call()
    assert org.known
    assert org.denied("interactive").reason == "others"
    fresh = Organization()
    fresh.call()
    fresh.now += 1.0
    fresh.counter += 30
    fresh.call()
    assert fresh.denied("bulk").reason in ("others", "bulk")
    fresh.now += 20.0  # without a reading
    fresh.call()


@pytest.mark.looptime
async def test_people_do_not_wait_for_bulk_calls_that_wait_for_a_guess() -> None:
    limits, ledger = Limits(in_flight=99), MemoryLedger()
    limiter = scheduler(
        "h/1", account="h/@", limits=limits, ledger=ledger, clock=LoopClock(), observer=None
    )
    counter = 0

    async def call(lane: Lane = "interactive") -> None:
        nonlocal counter
        slot = await limiter.admit(lane, max_wait=None if lane == "bulk" else 1.0)
        slot.sent()
        await asyncio.sleep(0.1)
        counter += 1
        await slot.replied(quota=Quota(DAY, DAY - counter))

    await call()
    await asyncio.sleep(1.0)
    counter += 40
    await call()
    bulk = asyncio.ensure_future(call("bulk"))
    for _ in range(6):  # some at once, so that it would be the turn of the bulk lane
        await asyncio.gather(*(call() for _ in range(6)))
    assert not bulk.done()
    bulk.cancel()


@pytest.mark.parametrize("lane", ["interactive", "bulk"])
def test_a_burst_of_others_stops_own_calls_until_it_left_the_minute(lane: Lane) -> None:
    org = Organization()
    org.run(90.0, others=30)
    org.counter += 60
    org.call()
    denial = org.denied(lane)
    assert denial.wait is not None
    assert 0 < denial.wait <= 60
    stopped, began = True, org.now
    while stopped:
        answer = org.take(lane)
        stopped = isinstance(answer, Denial)
        if isinstance(answer, Denial):
            assert answer.wait is not None
            org.now += answer.wait + 0.001
    assert 30 < org.now - began <= 61


def test_late_replies_change_nothing() -> None:
    org = Organization()
    org.call()
    slow = org.place()
    for _ in range(9):
        org.call()
        org.now += 1
    others = msgspec.json.encode(org.usage.others)
    ending = Ending("replied", 8.0, Quota(DAY, DAY - 3))  # sent before the last reading came
    settle(org.usage, org.usage, slow, ending, org.limits, org.now, org.now)
    assert msgspec.json.encode(org.usage.others) == others


@pytest.mark.parametrize(("counter", "limit"), [(20, DAY), (5000, DAY), (60, 2 * DAY)])
def test_a_counter_that_calls_do_not_explain_begins_hearing_again(counter: int, limit: int) -> None:
    org = Organization()
    org.run(30.0, others=60)
    assert org.heard is not None
    org.reply(org.place(), counter=counter, limit=limit)
    assert to_snapshot(org.usage, org.usage, org.limits, org.now, org.now).others is None
    org.counter = counter
    org.run(30.0, others=0)
    assert org.heard == pytest.approx(0, abs=1)


def test_two_counters_that_take_turns_are_not_heard_and_stop_nothing() -> None:
    """Two products with a counter each."""
    org = Organization(Limits(burst=90))
    books, inventory, waited = 1000, 4000, 0.0
    for number in range(500):
        answer = org.take("bulk")
        while isinstance(answer, Denial):
            assert answer.reason == "minute"
            assert answer.wait is not None
            waited += answer.wait + 0.001
            org.now += answer.wait + 0.001
            answer = org.take("bulk")
        if number % 2:
            books += 1
            org.reply(answer, counter=books)
        else:
            inventory += 1
            org.reply(answer, counter=inventory)
        assert not org.heard
    assert waited


def test_replies_without_the_header_are_calls_of_ours() -> None:
    org = Organization()
    for number in range(60):
        place = org.place()
        org.counter += 1
        org.now += 0.1
        quota = Quota(DAY, DAY - org.counter) if number % 4 == 0 else Quota(reset=5.0)
        ending = Ending("replied", 0.1, quota if number % 4 in (0, 1) else None)
        settle(org.usage, org.usage, place, ending, org.limits, org.now, org.now)
        org.now += 1
    assert org.heard == 0
    assert not org.known


def test_lost_and_refused_calls_are_not_taken_for_others() -> None:
    org = Organization(Limits(in_flight=99))
    org.run(30.0, others=0)
    refused = Ending("replied", 1.0, None, Refusal(1070))
    for number in range(12):
        place = org.place()
        org.now += 1
        ending = Ending("lost", 1.0) if number != 6 else refused
        settle(org.usage, org.usage, place, ending, org.limits, org.now, org.now)
        org.now += 3
    org.counter += 12  # Zoho counted all of them
    org.run(60.0, others=0)
    assert not org.known


def test_calls_of_a_dead_worker_are_not_taken_for_others() -> None:
    org = Organization()
    org.run(30.0, others=0)
    for _ in range(5):
        org.place()
    org.counter += 5
    for place in list(org.usage.open):
        abandon(org.usage, org.usage.open.pop(place).taken, org.now, org.limits)
    org.run(60.0, others=0)
    assert not org.known


def test_others_are_remembered_for_seven_days_and_share_the_minute() -> None:
    org = Organization(Limits(limit=99, burst=99, in_flight=99))
    org.run(60.0, others=30)
    org.now += 3600
    assert org.heard is None  # too long ago
    places = [org.place() for _ in range(80)]
    denial = org.denied()
    assert (denial.reason, denial.wait) == ("others", None)  # a reply may change it
    assert not is_blank(org.usage, org.now, org.now)
    for place in places:
        org.reply(place, took=0.0)
    org.now += REMEMBERED
    for _ in range(99):
        org.place()


def test_a_head_start_is_what_others_leave_of_it() -> None:
    def head_start(org: Organization) -> int:
        places: list[int] = []
        while not isinstance(answer := org.take("bulk"), Denial):
            places.append(answer)
        return len(places)

    alone, quiet, busy, unknown = (Organization(Limits(in_flight=99)) for _ in range(4))
    assert head_start(alone) == 45
    quiet.run(80.0, others=30)
    quiet.run(80.0, others=0)
    assert 40 <= head_start(quiet) <= 45
    busy.run(120.0, others=30)
    assert 10 <= head_start(busy) <= 16
    unknown.run(120.0, others=30)
    unknown.now += 600
    assert head_start(unknown) == 1


def test_a_block_makes_careful_for_a_day() -> None:
    org = Organization(Limits(in_flight=99))
    org.run(60.0, others=30)
    place = org.place()
    ending = Ending("replied", 0.1, None, Refusal(44))
    settle(org.usage, org.usage, place, ending, org.limits, org.now, org.now)
    org.now += 12 * 3600
    for expected in (65, 80):
        places: list[int] = []
        while not isinstance(answer := org.take(), Denial):
            places.append(answer)
        assert len(places) == expected
        for each in places:
            org.reply(each, took=0.0)
        org.now += 13 * 3600


def test_the_total_is_an_option() -> None:
    org = Organization(Limits(total=40, in_flight=99))
    org.run(10.0, others=30)
    org.now += 600
    for _ in range(40):
        org.place()
    assert org.denied().reason == "others"
    with pytest.raises(ConfigurationError, match="total must be at least 1 call or None, got 0"):
        Limits(total=0)
    assert Limits(limit=1000).total_for(careful=False) == 800
    assert Limits(limit=60).total_for(careful=False) == 80
    assert Limits(total=90).total_for(careful=True) == 65


def test_a_row_of_an_older_version_is_read() -> None:
    row = msgspec.msgpack.decode(msgspec.msgpack.encode(Usage(open={7: LoggedCall(1.0, "w")})))
    for name in ("replied", "unsure_until", "others"):
        del row[name]
    row["open"] = {7: [1.0, "w"]}
    usage = msgspec.msgpack.decode(msgspec.msgpack.encode(row), type=Usage, strict=False)
    assert (usage.replied, usage.others) == (0, None)
    assert usage.open[7] == LoggedCall(1.0, "w", 0)


def test_a_restart_or_a_lost_ledger_keeps_what_was_known_and_hears_again() -> None:
    org = Organization()
    org.run(60.0, others=30)
    others = org.usage.others
    assert others is not None
    known_until = others.known_until
    fresh = Usage()
    carry_over(fresh, org.usage)
    assert fresh.others == Others(known_until=known_until)
    place = org.place()
    opened = org.usage.open[place]
    shift_clock(org.usage, 50.0)
    assert others == Others(others.limit, others.count, [], known_until + 50.0)
    assert opened.replied == 30
    assert org.usage.open[place] == LoggedCall(opened.taken + 50.0, opened.owner, 30)


def test_each_moment_moves_with_the_clock_and_no_moment_of_the_day() -> None:
    def usage(now: float) -> Usage:
        quota = DailyQuota(renewed=now, refused=now + 1, reset_at=9.0, probe_at=9.0)
        return Usage(
            held=[now + 2, now + 5],
            open={1: LoggedCall(now + 3, "worker", 7, "books")},
            abandoned=[now + 4],
            started=now + 5,
            paced=now + 6,
            bulk=[now + 7],
            bucket_full_at=now + 8,
            block=Block(now + 9, now + 10, 2),
            concurrency=ConcurrencyLimit(3, now + 11, now + 12, 4),
            day=quota,
            unsure_until=now + 13,
            others=Others(known_until=now + 14, careful_until=now + 15),
            products=ProductDays(days={"books": msgspec.structs.replace(quota, used=5)}),
        )

    moved = usage(0.0)
    shift_clock(moved, 1000.0)
    assert moved == usage(1000.0)


def test_without_two_readings_nothing_is_known_of_others() -> None:
    limits = Limits()
    heard = Others().heard(limits, 100.0)
    assert not heard.known
    assert not heard.covered
    assert (heard.calls, heard.bulk) == (0.0, heard.total - limits.burst)


def test_every_process_hears_what_one_of_them_read(tmp_path: Path) -> None:
    first, second = (SqliteFile(tmp_path / "limits.db", owner=name) for name in "ab")
    now = 1000.0
    for number in range(30):
        place = first.take("k", "k", "bulk", Limits(), now, now)
        assert not isinstance(place, Denial)
        ending = Ending("replied", 0.1, Quota(DAY, DAY - 2 * number))
        first.settle("k", "k", place, ending, Limits(), now + 0.1, now)
        now += 2.0
    seen = [each.snapshot("k", "k", Limits(), now, now).others for each in (first, second)]
    assert seen == [pytest.approx(30, abs=2)] * 2
    first.close()
    second.close()


def test_a_wait_for_others_says_so() -> None:
    async def wait() -> None:
        limiter = scheduler(
            "h/1",
            account="h/@",
            limits=Limits(total=1),
            ledger=MemoryLedger(),
            clock=SYSTEM_CLOCK,
            observer=None,
        )
        for counter in (1, 9):
            slot = await limiter.admit()
            slot.sent()
            await slot.replied(quota=Quota(DAY, DAY - counter))
        with pytest.raises(WaitTooLong, match="calls of other clients to leave the minute"):
            await limiter.admit(max_wait=1.0)

    asyncio.run(wait())


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.left])
@pytest.mark.parametrize("kind", ["rolling", "fixed"])
def test_no_foreign_client_within_the_bound_causes_a_block(name: str, kind: str) -> None:
    case = CASES[name]
    assert simulate(case.foreign, kind=kind, hours=0.5, seed=3).blocks == 0


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.left])
def test_own_calls_use_what_a_foreign_client_leaves(name: str) -> None:
    case = CASES[name]
    assert case.left is not None
    assert simulate(case.foreign, hours=2).own[0] >= 0.95 * case.left


@pytest.mark.parametrize("rate", [20, 40])
def test_interactive_calls_do_not_wait_behind_bulk_calls_and_others(rate: int) -> None:
    found = simulate(CASES[f"{rate} a minute"].foreign, hours=2, interactive=6)
    assert found.blocks == 0
    assert len(found.waits) > 600
    assert found.slow is not None
    assert found.slow < 6


def test_bulk_calls_follow_at_once_if_others_stop() -> None:
    org = Organization(Limits(in_flight=99))
    org.run(180.0, others=30)
    org.run(30.0, others=0)
    others = org.usage.others
    assert others is not None
    heard = others.heard(org.limits, org.now)
    assert heard.calls > 12  # those of the last minute still count
    assert heard.bulk < 60
    assert heard.refill == pytest.approx(70, abs=4)


@pytest.mark.parametrize("clients", [2, 3])
def test_clients_that_hear_each_other_are_not_blocked(clients: int) -> None:
    found = simulate(None, clients=clients, hours=2)
    assert found.blocks == 0
    assert sum(found.own) >= 0.9 * 70
    assert clients > 2 or min(found.own) >= 0.95 * 35
    assert simulate(None, hears=False, clients=clients, hours=2).blocks > 0.9


def test_an_ending_that_is_written_late_gives_the_same_reading() -> None:
    at_once, late = Organization(), Organization()
    for org in (at_once, late):
        org.call()
    quota = Quota(DAY, DAY - 5)
    for org, seconds in ((at_once, 0.0), (late, 4.0)):
        org.now = 1020.0
        place = org.place()
        org.now += 0.5 + seconds
        ending = delay(Ending("replied", 0.5, quota), seconds)
        settle(org.usage, org.usage, place, ending, org.limits, org.now, org.now)
    assert late.usage.others == at_once.usage.others
    assert late.usage.others is not None
    reading = late.usage.others.readings[-1]
    assert (reading.sent, reading.received) == (1020.0, 1020.5)


def test_a_reading_has_true_bounds_though_another_process_wrote_later(tmp_path: Path) -> None:
    first, second = (SqliteFile(tmp_path / "limits.db", owner=name) for name in "ab")
    limits, ending = Limits(), Ending("replied", 0.5, Quota(DAY, DAY - 1))
    place = first.take("1", "1", "interactive", limits, 1000.0, 1000.0)
    assert isinstance(place, int)
    assert isinstance(second.take("1", "1", "interactive", limits, 1003.0, 1003.0), int)
    first.settle("1", "1", place, ending, limits, 1001.0, 1001.0)  # it waited for the lock
    connection = sqlite3.connect(tmp_path / "limits.db")
    (state,) = connection.execute("SELECT state FROM usage").fetchone()
    connection.close()
    others = msgspec.msgpack.decode(state, type=Row).usage.others
    assert others is not None
    assert [(each.sent, each.received) for each in others.readings] == [(1000.5, 1001.0)]
    first.close()
    second.close()


def test_calls_that_were_sent_offline_are_not_taken_for_others() -> None:
    org, offline = Organization(), OfflineShare(1.0)
    for _ in range(8):
        org.call()
        org.now += 10.0
    quota = Quota(DAY, DAY - org.counter)
    for number in range(6):
        place = offline.take("1", "1", "interactive", org.limits, org)
        assert isinstance(place, int)
        how: Literal["replied", "lost"] = "lost" if number == 5 else "replied"
        offline.settle("1", "1", place, Ending(how, 0.1, quota), org.limits, org)
        org.counter += how == "replied"  # the lost one arrives later
    offline.enter("1", "1", org.usage, org, org.now, lease=15.0)
    org.call()
    org.counter += 1
    org.now += 20.0
    org.call()
    org.now += 20.0
    org.call()
    assert org.heard == pytest.approx(0, abs=2)
    assert not org.known
