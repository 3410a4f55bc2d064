"""A simulated year in three time zones, in both nights in which the clocks change.

A bulk job wants more calls than each day has. Interactive calls come at random. The judge counts by
local days and refuses calls over the quota.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest

from tests.judges.days import ZONES, DayJudge, utc
from zoho_async.limits import Lane, Limits, Quota, Refusal
from zoho_async.limits.usage import Denial, Ending, Usage, settle, take

QUOTA = 60
RESERVE = 10
PEOPLE = 14
YEAR = 364
#: Calls within this time of midnight may count for either day, in seconds.
CLOSE = 10.0


@dataclass
class Client:
    """One client with one call at a time. Its clock differs from Zoho's by ``skew`` seconds."""

    judge: DayJudge
    limits: Limits
    #: The share of replies with headers.
    headers: float
    chance: random.Random
    skew: float
    usage: Usage = field(default_factory=Usage)
    close: set[int] = field(default_factory=set)
    #: By day, the calls left when the bulk job could make no more, right after its last call.
    stopped: dict[int, int] = field(default_factory=dict)
    last: Lane = "interactive"

    def call(self, lane: Lane, now: float) -> float | Denial:
        """Make a call. Returns when its reply is here."""
        wall = now + self.skew
        place = take(self.usage, self.usage, lane, self.limits, now, wall, "")
        if isinstance(place, Denial):
            return place
        arrives = now + self.chance.uniform(0.05, 0.5)
        replied = arrives + self.chance.uniform(0.05, 0.5)
        accepted = self.judge.arrive(arrives)
        self.last = lane
        midnight = self.judge.midnight(arrives)
        if lane == "interactive" and midnight - arrives < CLOSE:
            self.close.add(self.judge.local_day(midnight))
        if lane == "interactive" and self.judge.midnight(arrives - CLOSE) != midnight:
            self.close.add(self.judge.local_day(arrives))
        quota = None
        if self.chance.random() < self.headers:
            # Whole seconds, and one second short at times.
            reset = int(midnight - arrives) - (self.chance.random() < 0.3)
            quota = Quota(self.judge.quota, self.judge.left(arrives), max(0, reset))
        refusal = None if accepted else Refusal(45)
        ending = Ending("replied", replied - now, quota, refusal)
        wall = replied + self.skew
        settle(self.usage, self.usage, place, ending, self.limits, replied, wall)
        return replied

    def live(self, begins: float, ends: float) -> None:
        """Make bulk calls as often as possible, and interactive calls at random."""
        people = sorted(
            self.chance.uniform(begins, ends) for _ in range(int((ends - begins) / 86_400) * PEOPLE)
        )
        now, bulk_at = begins, begins
        while now < ends:
            if people and people[0] <= bulk_at:
                now = max(now, people.pop(0))
                answer = self.call("interactive", now)
                now = now if isinstance(answer, Denial) else answer
                continue
            now = max(now, bulk_at)
            answer = self.call("bulk", now)
            if isinstance(answer, Denial):
                bulk_at = now + max(0.01, 1.0 if answer.wait is None else answer.wait)
                if answer.reason == "day" and self.last == "bulk":
                    self.stopped[self.judge.local_day(now)] = self.judge.left(now)
                    self.last = "interactive"
            else:
                now = bulk_at = answer


def days_of(zone: str, knows: str, seed: int) -> Client:
    chance = random.Random(f"{zone} {knows} {seed}")
    limits = Limits(
        limit=100,
        burst=100,
        in_flight=10,
        reserve=RESERVE,
        day=None if knows == "headers" else QUOTA,
        time_zone=None if knows in ("headers", "nothing") else zone,
    )
    headers = {"headers": 1.0, "zone": 0.0, "both": 0.3, "nothing": 0.0}[knows]
    client = Client(DayJudge(zone, QUOTA), limits, headers, chance, chance.uniform(-1.5, 1.5))
    begins = utc(1, 3, 0) + chance.uniform(0, 86_400)
    client.live(begins, begins + YEAR * 86_400)
    return client


@pytest.mark.parametrize("knows", ["zone", "headers", "both"])
@pytest.mark.parametrize("zone", ZONES)
def test_no_call_of_a_year_exceeds_the_day_and_bulk_leaves_its_reserve(
    zone: str, knows: str
) -> None:
    client = days_of(zone, knows, 1)
    judge = client.judge
    assert {23, 24, 25} == set(judge.lengths())
    assert judge.refused == 0
    assert len(client.stopped) >= YEAR - 10
    left = {calls for day, calls in client.stopped.items() if day not in client.close}
    assert left == {RESERVE}
    assert len(client.close) < 10


@pytest.mark.parametrize("zone", ZONES)
def test_without_a_zone_or_headers_the_count_covers_the_last_24_hours(zone: str) -> None:
    client = days_of(zone, "nothing", 1)
    assert client.judge.refused == 0
    assert sum(client.judge.calls.values()) > QUOTA * YEAR * 0.8
