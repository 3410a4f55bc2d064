"""What hearing promises, against any counter, any order of replies and any foreign client.

- Whatever the counter says, it stops an organization for about a window at most.
- The true number of foreign calls between two readings is within their bounds, although replies are
  reordered, calls are lost or never sent, and refused calls may or may not count.
- Foreign clients within the bound of `zoho_async.limits.others` cause no refusal.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.suites.others import HOUR, Client, Simulation
from tests.judges.minute import Minute
from tests.support.examples import examples
from zoho_async.limits import Lane, Limits, Quota, Refusal
from zoho_async.limits.others import Others
from zoho_async.limits.usage import Denial, Ending, Usage, abandon, settle, take

DAY = 1_000_000
LIMITS = Limits()


@settings(deadline=None, max_examples=examples(60))
@given(
    counters=st.lists(
        st.tuples(
            st.one_of(st.integers(-30, 200), st.integers(-5000, 5000)),
            st.sampled_from([DAY, DAY, DAY, DAY, 2 * DAY]),
            st.sampled_from([0.0, 0.3, 2.0, 7.5, 30.0, 70.0]),
        ),
        min_size=5,
        max_size=60,
    ),
    lane=st.sampled_from(["interactive", "bulk"]),
    took=st.sampled_from([0.0, 0.2, 5.0]),
)
def test_no_counter_stops_an_organization_for_longer_than_a_window(
    counters: list[tuple[int, int, float]], lane: Lane, took: float
) -> None:
    usage, now, counter = Usage(), 1000.0, 100_000
    for step, limit, pause in counters:
        asked = now
        while isinstance(answer := take(usage, usage, lane, LIMITS, now, now, ""), Denial):
            assert answer.reason in ("others", "bulk")
            assert answer.wait is not None
            now += answer.wait + 1e-4
        # A window until the reading is too old, and rounding of the waits before.
        assert now - asked <= LIMITS.window + 1.0
        counter = max(0, counter + step)
        now += took
        quota = Quota(limit, limit - counter)
        settle(usage, usage, answer, Ending("replied", took, quota), LIMITS, now, now)
        now += pause


class TrueCounts:
    """One organization whose calls arrive and are answered in any order."""

    def __init__(self, seed: int, *, refused_count: bool) -> None:
        self.chance = random.Random(seed)
        self.refused_count = refused_count
        self.usage = Usage()
        self.limits = Limits(limit=1000, burst=1000, in_flight=1000)
        self.now = 1000.0
        self.counter = 0
        self.foreign = 0
        self.open: dict[int, float] = {}
        #: Foreign calls before a reading, by the moments that name it.
        self.at: dict[tuple[float, float], int] = {}

    def run(self, steps: int) -> Iterator[None]:
        for _ in range(steps):
            self.now += self.chance.choice([0.0, 0.1, 0.5, 3.0])
            self.chance.choice(
                [self.call, self.call, self.answer, self.answer, self.foreign_calls, self.fail]
            )()
            yield

    def call(self) -> None:
        place = take(self.usage, self.usage, "bulk", self.limits, self.now, self.now, "")
        if not isinstance(place, Denial):
            self.open[place] = self.now

    def foreign_calls(self) -> None:
        calls = self.chance.choice([0, 0, 1, 2, 20])
        self.foreign += calls
        self.counter += calls

    def answer(self) -> None:
        """A call arrives, others come, and its reply arrives."""
        if not self.open:
            return
        place = self.chance.choice(list(self.open))
        admitted = self.open.pop(place)
        sent = self.chance.uniform(admitted, self.now)
        self.counter += 1
        counter, foreign = self.counter, self.foreign
        self.foreign_calls()
        self.now += self.chance.choice([0.001, 0.2])
        received = self.now
        quota = Quota(DAY, DAY - counter) if self.chance.random() < 0.8 else None
        ending = Ending("replied", received - sent, quota)
        settle(self.usage, self.usage, place, ending, self.limits, self.now, self.now)
        self.at[received - (received - sent), received] = foreign

    def fail(self) -> None:
        """A call is never sent, refused, or lost and counted or not."""
        if not self.open or self.chance.random() < 0.7:
            return
        place = self.chance.choice(list(self.open))
        sent = self.open.pop(place)
        how = self.chance.choice(["unsent", "refused", "lost", "dead"])
        since = self.now - sent
        if how == "unsent":
            ending = Ending("unsent")
        elif how == "refused":
            self.counter += self.refused_count
            ending = Ending("replied", since, None, Refusal(1070))
        else:
            ending = Ending("lost", since)
            self.counter += self.chance.choice([0, 1]) if since < self.limits.linger else 0
        if how == "dead":
            abandon(self.usage, self.usage.open.pop(place).taken, self.now, self.limits)
        else:
            settle(self.usage, self.usage, place, ending, self.limits, self.now, self.now)
        self.usage.concurrency.opens = 0.0


@settings(deadline=None, max_examples=examples(60))
@given(seed=st.integers(0, 2**32), refused_count=st.booleans())
def test_the_bounds_of_two_readings_hold(seed: int, refused_count: bool) -> None:
    counts = TrueCounts(seed, refused_count=refused_count)
    for _ in counts.run(300):
        others = counts.usage.others
        if others is None or len(others.readings) < 2:
            continue
        new = others.readings[-1]
        for old in others.readings[:-1]:
            true = counts.at[new.sent, new.received] - counts.at[old.sent, old.received]
            assert true <= new.most - old.least
            if old.sent >= counts.usage.unsure_until:
                assert true >= new.least - old.most


#: Calls at once and calls a minute, within the second condition: 2 rho window + sigma <= 100.
SIGMA, RHO = 12, 40


@st.composite
def buckets(draw: st.DrawFn) -> list[float]:
    """Moments that a bucket of SIGMA calls that refills at RHO a minute lets pass, greedily."""
    # Own calls are even when they come: the first ones have left the minute before.
    moments: list[float] = []
    tokens, now, full_at = float(SIGMA), 240.0, 240.0
    for _ in range(draw(st.integers(5, 25))):
        now += draw(st.sampled_from([0.0, 1.0, 10.0, 45.0, 61.0, 120.0]))  # silence
        for _ in range(draw(st.integers(1, 60))):
            tokens = min(SIGMA, tokens + (now - full_at) * RHO / 60)
            full_at = now
            if tokens < 1:
                now += (1 - tokens) * 60 / RHO + 1e-9
                tokens, full_at = 1.0, now
            tokens -= 1
            moments.append(now)
    return moments


@pytest.mark.parametrize("kind", ["rolling", "fixed"])
@settings(deadline=None, max_examples=examples(40))
@given(moments=buckets(), seed=st.integers(0, 1000), clicks=st.booleans())
def test_a_bucket_within_the_bound_causes_no_refusal(
    kind: str, moments: list[float], seed: int, clicks: bool
) -> None:
    judge = Minute(kind=kind)
    client = Client(LIMITS, "bulk")
    client.usage.others = Others(known_until=7 * 24 * HOUR)

    def foreign(_: random.Random) -> Iterator[float]:
        yield from moments
        yield float("inf")

    simulation = Simulation([client], foreign, judge=judge, seed=seed)
    simulation.run(moments[-1] + 120)
    assert judge.refused == 0
    assert client.done > (moments[-1] - 60) / 60 * 20
