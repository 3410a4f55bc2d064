"""The effect of each event on usage, as plain values with a fixed clock."""

from __future__ import annotations

import math
from typing import Literal

import pytest

from tests.support.held_usage import HeldUsage
from zoho_async.limits import Limits, Quota, Refusal
from zoho_async.limits.block import Block
from zoho_async.limits.usage import Denial, Ending, Usage, settle, to_snapshot

LIMITS = Limits()
EPOCH = 1_790_000_000.0


class Organization(HeldUsage):
    """Usage with a clock that the test sets."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        super().__init__(limits, ahead=EPOCH)

    @property
    def wall(self) -> float:
        return self.time()

    def reply(
        self,
        place: int,
        *,
        quota: Quota | None = None,
        code: int | None = None,
        retry_after: float | None = None,
        took: float = 0.0,
    ) -> float:
        self.now += took
        refusal = None if code is None else Refusal(code, retry_after)
        ending = Ending("replied", took, quota, refusal)
        return settle(self.usage, self.account, place, ending, self.limits, self.now, self.wall)

    def call(self, *, quota: Quota | None = None, code: int | None = None) -> float:
        return self.reply(self.place(), quota=quota, code=code)

    @property
    def left(self) -> int | None:
        return to_snapshot(self.usage, self.account, self.limits, self.now, self.wall).day_remaining


# -- blocks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["replied", "lost", "unsent"])
def test_a_call_that_was_not_refused_blocks_nothing(
    how: Literal["replied", "lost", "unsent"],
) -> None:
    org = Organization()
    ending = Ending(how)
    assert settle(org.usage, org.account, org.place(), ending, LIMITS, org.now, org.wall) == 0.0


@pytest.mark.parametrize("code", [43, 44, 429, None])
def test_an_unknown_refusal_blocks_for_15_minutes(code: int | None) -> None:
    org = Organization()
    ending = Ending("replied", 0.0, None, Refusal(code))
    blocked = settle(org.usage, org.account, org.place(), ending, LIMITS, org.now, org.wall)
    assert blocked == 900.0
    assert org.denied() == Denial("block", 900.0)


def test_retry_after_sets_the_length_of_a_block() -> None:
    org = Organization()
    assert org.reply(org.place(), code=44, retry_after=3600.0) == 3600.0


def test_calls_on_their_way_when_a_block_began_belong_to_it() -> None:
    org = Organization()
    first, *others = [org.place() for _ in range(10)]
    org.reply(first, code=44, took=1.0)
    for place in others:
        assert org.reply(place, code=44, took=0.1) < 900.0


def test_repeated_blocks_last_longer_up_to_an_hour() -> None:
    org = Organization()
    lasted: list[float] = []
    for _ in range(4):
        lasted.append(org.call(code=44))
        org.now += lasted[-1]
    assert lasted == [900.0, 1800.0, 3600.0, 3600.0]


def test_a_block_long_after_the_last_one_counts_as_the_first() -> None:
    org = Organization()
    org.now += org.call(code=44) + 8 * 60
    assert org.call(code=44) == 900.0


@pytest.mark.parametrize(
    ("scope", "code", "own", "whole"),
    [
        ("code", 43, False, True),
        ("code", 44, True, False),
        ("organization", 43, True, False),
        ("account", 44, False, True),
    ],
)
def test_the_scope_of_a_block_can_be_chosen(scope: str, code: int, own: bool, whole: bool) -> None:
    org = Organization(Limits(block_scope=scope))  # type: ignore[arg-type]  # from parameters
    org.call(code=code)
    assert (org.usage.block.opens > org.now) is own
    assert (org.account.block.opens > org.now) is whole
    assert org.denied().reason == "block"


# -- in flight -------------------------------------------------------------------------------------


def test_1070_never_leaves_less_than_one_call_and_grows_back() -> None:
    org = Organization(Limits(in_flight=5))
    caps: list[int] = []
    for _ in range(8):
        org.now += org.call(code=1070)
        caps.append(org.usage.concurrency.cap)
    assert caps[-1] == 1
    org.now += 4 * 60
    assert to_snapshot(org.usage, org.account, org.limits, org.now, org.wall).cap == 5


def test_pauses_double_with_each_1070_and_reset_after_a_success() -> None:
    org = Organization()
    pauses = [0.0]
    for _ in range(7):
        pauses.append(org.call(code=1070))
        org.now += pauses[-1]
    assert pauses[1:] == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    org.call()
    assert org.call(code=1070) == 1.0


def test_an_abandoned_call_counts_in_flight_about_as_long_as_replies_take() -> None:
    org = Organization(Limits(in_flight=1))
    org.reply(org.place(), took=2.0)
    place = org.place()
    settle(org.usage, org.account, place, Ending("lost", 0.0), org.limits, org.now, org.wall)
    assert org.denied() == Denial("in_flight", 4.0, retry_after=4.0)


# -- the day ---------------------------------------------------------------------------------------


def test_only_decreases_of_the_days_figures_are_accepted() -> None:
    org = Organization()
    org.call(quota=Quota(1000, 500, 600.0))
    assert org.left == 500
    org.call(quota=Quota(1000, 300, 600.0))
    org.call(quota=Quota(1000, 400, 600.0))  # out of order
    assert org.left == 299


def test_calls_in_flight_are_subtracted_from_the_days_figures() -> None:
    org = Organization()
    first, _, _ = (org.place() for _ in range(3))
    org.reply(first, quota=Quota(1000, 10, 600.0))
    assert org.left == 8


def test_a_new_day_starts_from_zero_and_ignores_late_figures_of_the_old_one() -> None:
    org = Organization()
    late = org.place()
    org.call(quota=Quota(1000, 1, 100.0))
    assert org.denied().reason == "day"
    org.now += 102.0
    org.place()
    org.reply(late, quota=Quota(1000, 0, 0.0))
    assert org.left is not None
    assert org.left > 900


def test_a_spent_day_sends_nothing_before_the_reset() -> None:
    org = Organization()
    assert org.call(code=45, quota=Quota(1000, 0, 3600.0)) == 3602.0
    denial = org.denied()
    assert denial.wait == 3602.0
    assert denial.reset_at == org.wall + 3602.0
    org.now += 3602.0
    org.place()


def test_a_spent_day_without_a_reset_is_probed_once_an_hour() -> None:
    org = Organization()
    org.call(code=45)
    assert org.denied() == Denial("day", 3600.0)
    org.now += 3600.0
    probe = org.place()
    assert org.denied().reason == "day"  # one probe at a time
    org.reply(probe, code=45)
    assert org.denied() == Denial("day", 3600.0)
    org.now += 3600.0
    org.reply(org.place(), quota=Quota(1000, 990, None))
    assert org.left == 990
    org.place()


def test_a_45_with_calls_left_on_it_is_a_block() -> None:
    org = Organization()
    assert org.call(code=45, quota=Quota(1000, 700, 3600.0)) == 900.0
    assert org.denied().reason == "block"


def test_a_45_that_a_newer_reply_contradicts_is_a_block() -> None:
    org = Organization()
    first = org.place()
    org.now += 1.0
    second = org.place()
    spent = Ending("replied", 1.0, None, Refusal(45))
    settle(org.usage, org.account, first, spent, org.limits, org.now, org.wall)
    assert org.denied().reason == "day"
    assert org.reply(second, quota=Quota(1000, 700, 3600.0)) == 900.0
    assert org.denied().reason == "block"


def test_a_reply_to_an_earlier_call_does_not_contradict_a_45() -> None:
    org = Organization()
    first = org.place()
    org.now += 1.0
    second = org.place()
    org.reply(second, code=45)
    org.reply(first, quota=Quota(1000, 700, 3600.0))
    assert org.denied().reason == "day"


def test_our_own_count_never_contradicts_a_45() -> None:
    org = Organization(Limits(day=10_000))
    org.call(code=45)
    assert org.denied().reason == "day"


def test_the_day_of_the_caller_applies_to_any_24_hours() -> None:
    org = Organization(Limits(day=5, reserve=0))
    for _ in range(5):
        org.call()
        org.now += 3600.0
    denial = org.denied()
    assert denial.reason == "day"
    assert denial.wait is not None
    org.now += denial.wait
    org.call()
    assert org.denied().reason == "day"


@pytest.mark.parametrize(("reserve", "kept"), [(0.0, 0), (0.1, 10), (7, 7)])
def test_bulk_leaves_the_reserve_to_interactive_calls(reserve: float, kept: int) -> None:
    org = Organization(Limits(reserve=reserve))
    org.call(quota=Quota(100, kept, 600.0))
    assert org.denied("bulk").reason == "day"
    if kept:
        org.place("interactive")


# -- the minute ------------------------------------------------------------------------------------


def test_smaller_limits_wait_for_all_places_above_them() -> None:
    org = Organization(Limits(limit=10, burst=10))
    for _ in range(10):
        org.call()
        org.now += 1.0
    org.limits = Limits(limit=8, burst=8)
    denial = org.denied()
    assert denial.wait is not None
    assert denial.wait == pytest.approx(60.06 - 8.0)


def test_the_wait_for_open_calls_is_not_known() -> None:
    org = Organization(Limits(limit=2, burst=2))
    org.place()
    org.place()
    assert org.denied() == Denial("minute", None)


def test_usage_survives_encoding_and_decoding() -> None:
    import msgspec

    org = Organization()
    org.call(quota=Quota(1000, 500, 600.0))
    org.place()
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(org.usage), type=Usage)
    assert again == org.usage
    assert again.block.opens == -math.inf


def test_the_slow_start_admits_nothing_before_the_block_opens() -> None:
    """The spacing is defined at every moment, even a window before the end of the block."""
    block = Block(closed=0.0, opens=900.0, strikes=1)
    assert [block.spacing(now, 80, 60.0) for now in (0.0, 840.0, 899.9)] == [math.inf] * 3
    assert block.spacing(900.0, 80, 60.0) == 6.0
    assert block.spacing(960.0, 80, 60.0) == 3.0
