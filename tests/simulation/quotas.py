"""Zoho's limits of one organization: its minute, its day, its open calls, and who else calls.

Model: calls arrive in the order of time. Before each of them, the calls of other clients and the
clicks of people up to that moment are counted. Other clients keep silent during a block, and come
again when it ends. The day is one of `tests.judges.days`, or the last 24 hours.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from tests.judges.days import DayJudge
from tests.simulation.assumptions import Crowd, Quotas

Refused: TypeAlias = Literal["", "block", "day", "in_flight"]

MINUTE: Final = 60.0
DAY: Final = 86_400.0
#: The code of each refusal but the block's, which the assumptions choose.
CODES: Final = {"day": 45, "in_flight": 1070}
#: Other clients with more calls than this at once do not exist: it bounds the work per request.
MOST_BETWEEN: Final = 200_000


@dataclass(slots=True)
class Block:
    """A block that began ``at``, with the calls that the minute held then: own, others, clicks.

    Refused calls that count are among them. ``cause`` is whose call began it.
    """

    at: float
    own: int
    others: int
    clicks: int
    cause: str


class Minute:
    """Counts the calls of a minute, and blocks the organization when they are too many."""

    def __init__(self, quotas: Quotas) -> None:
        self._quotas: Final = quotas
        self._recent: Final[deque[tuple[float, str]]] = deque()
        self.blocked_until = float("-inf")
        self.blocks: Final[list[Block]] = []
        self.worst = 0

    def arrive(self, at: float, kind: str) -> bool:
        """Count a call: "own", "others" or "clicks". Returns whether it is admitted."""
        quotas, recent = self._quotas, self._recent
        if at < self.blocked_until:
            if quotas.extends and kind == "own":
                self.blocked_until = at + quotas.block
            if quotas.refused_count:
                recent.append((at, kind))
            return False
        self._forget(at)
        if len(recent) >= quotas.limit:
            kinds = [each for _, each in recent]
            self.blocks.append(
                Block(
                    at,
                    kinds.count("own") + (kind == "own"),
                    kinds.count("others") + (kind == "others"),
                    kinds.count("clicks") + (kind == "clicks"),
                    kind,
                )
            )
            self.blocked_until = at + quotas.block
            return False
        recent.append((at, kind))
        self.worst = max(self.worst, len(recent))
        return True

    def _forget(self, at: float) -> None:
        recent = self._recent
        if self._quotas.minute == "rolling":
            while recent and recent[0][0] <= at - MINUTE:
                recent.popleft()
            return
        now = (at + self._quotas.phase) // MINUTE
        while recent and (recent[0][0] + self._quotas.phase) // MINUTE != now:
            recent.popleft()


class Day:
    """The calls of a day. Moments are of the wall clock."""

    def __init__(self, quotas: Quotas) -> None:
        self._quotas: Final = quotas
        self._judge: Final = DayJudge(quotas.zone, quotas.day)
        self._rolling: Final[deque[float]] = deque()

    def arrive(self, wall: float, calls: int = 1) -> bool:
        """Count calls. Returns whether there was room for the last one."""
        if self._quotas.day_kind == "midnight":
            admitted = False
            for _ in range(calls):
                admitted = self._judge.arrive(wall)
            return admitted
        if self.left(wall) <= 0:
            return False
        self._rolling.extend([wall] * calls)
        return True

    def left(self, wall: float) -> int:
        if self._quotas.day_kind == "midnight":
            return max(0, self._judge.left(wall))
        while self._rolling and self._rolling[0] <= wall - DAY:
            self._rolling.popleft()
        return max(0, self._quotas.day - len(self._rolling))

    def reset_in(self, wall: float) -> float:
        if self._quotas.day_kind == "midnight":
            return self._judge.midnight(wall) - wall
        return self._rolling[0] + DAY - wall if self._rolling else DAY


@dataclass
class Organization:
    """The limits of one organization. ``start`` is the wall clock when the virtual one is 0."""

    quotas: Quotas
    crowd: Crowd
    chance: random.Random
    start: float
    minute: Minute = field(init=False)
    foreign_calls: int = 0
    clicks: int = 0
    _days: dict[str, Day] = field(default_factory=dict[str, Day])
    _open: list[float] = field(default_factory=list[float])
    _shown: dict[str, deque[int]] = field(default_factory=dict[str, deque[int]])

    def __post_init__(self) -> None:
        self.minute = Minute(self.quotas)
        self._coming = _coming(self.crowd, self.chance)
        self._next = next(self._coming)

    def arrive(self, at: float, product: str, *, copied: bool = False) -> Refused:
        """Count a call, and those of others before it. Returns why it is refused, or ""."""
        self._others_until(at)
        if not self.minute.arrive(at, "others" if copied else "own"):
            return "block"
        while self._open and self._open[0] <= at:
            heapq.heappop(self._open)
        if len(self._open) >= self.quotas.in_flight:
            return "in_flight"
        if not self.day(product).arrive(self.start + at):
            return "day"
        return ""

    def keep_open(self, until: float) -> None:
        """A call is being worked on until then."""
        heapq.heappush(self._open, until)

    def day(self, product: str) -> Day:
        key = product if self.quotas.per_product else ""
        found = self._days.get(key)
        if found is None:
            found = self._days[key] = Day(self.quotas)
        return found

    def headers(self, at: float, product: str) -> dict[str, str]:
        """The counter of the day, as replies show it."""
        quotas, wall = self.quotas, self.start + at
        if quotas.headers == "none" or (quotas.headers == "some" and self.chance.random() < 0.5):
            return {}
        day = self.day(product)
        left = day.left(wall)
        if quotas.lag:
            shown = self._shown.setdefault(product if quotas.per_product else "", deque())
            shown.append(left)
            left = shown.popleft() if len(shown) > quotas.lag else shown[0]
        return {
            "X-Rate-Limit-Limit": str(quotas.day),
            "X-Rate-Limit-Remaining": str(left),
            "X-Rate-Limit-Reset": str(max(0, int(day.reset_in(wall)) - quotas.short)),
        }

    def code(self, refused: Refused) -> int:
        return self.quotas.code if refused == "block" else CODES[refused]

    def retry_after(self, at: float, refused: Refused) -> str | None:
        if not self.quotas.tells:
            return None
        if refused == "block":
            return str(int(self.minute.blocked_until - at) + 1)
        return None if refused == "day" else "1"

    def _others_until(self, at: float) -> None:
        if self._next[0] > at:
            return
        day, most = self.day("books"), MOST_BETWEEN
        while self._next[0] <= at and most:
            moment, kind = self._next
            self._next = next(self._coming)
            most -= 1
            if kind == "clicks":
                self.clicks += 1
                self.minute.arrive(moment, kind)
            elif moment >= self.minute.blocked_until and self._leaves_half(day, moment):
                self.foreign_calls += 1
                if self.minute.arrive(moment, kind):
                    day.arrive(self.start + moment)

    def _leaves_half(self, day: Day, moment: float) -> bool:
        """Other clients stop for the day when half of it is used. Else nothing would be left."""
        return 2 * day.left(self.start + moment) > self.quotas.day


def _coming(crowd: Crowd, chance: random.Random) -> Iterator[tuple[float, str]]:
    """The moments of calls of others, in order, without an end."""
    streams: list[Iterator[tuple[float, str]]] = []
    if crowd.steady:
        streams.append(_evenly(MINUTE / crowd.steady, chance))
    if crowd.burst:
        streams.append(_bursts(crowd.burst, crowd.every, chance))
    if crowd.clicks:
        streams.append(_clicks(crowd.clicks, crowd.most_clicks, chance))
    yield from heapq.merge(*streams)
    while True:
        yield float("inf"), "others"


def _evenly(gap: float, chance: random.Random) -> Iterator[tuple[float, str]]:
    at = chance.uniform(0.0, gap)
    while True:
        yield at, "others"
        at += gap


def _bursts(size: int, every: float, chance: random.Random) -> Iterator[tuple[float, str]]:
    at = chance.uniform(0.0, every)
    while True:
        for number in range(size):
            yield at + number * 0.1, "others"
        at += every


def _clicks(rate: float, most: int, chance: random.Random) -> Iterator[tuple[float, str]]:
    """People click by chance, but never more than ``most`` times in any minute."""
    at, recent = 0.0, deque[float]()
    while True:
        at += chance.expovariate(rate / MINUTE)
        if len(recent) == most:
            at = max(at, recent.popleft() + MINUTE * 1.01)
        recent.append(at)
        yield at, "clicks"
