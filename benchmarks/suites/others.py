"""Other clients in the same organization: blocks and own calls, with and without hearing them.

A simulation of hours: a heap of events, no sleeps. Own clients always have calls waiting and use
the functions of `zoho_async.limits.usage`. Foreign clients do not wait for anyone. A judge that
shares no code with the package counts all arrivals, in rolling or in fixed minutes.

A deaf client gets the same replies without Zoho's counter.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from heapq import heappop, heappush
from itertools import count
from typing import Final, TypeAlias

import msgspec

from benchmarks.report import Reach, Table
from benchmarks.suites import Run
from tests.judges.minute import Minute
from zoho_async.limits import Lane, Limits, Quota, Refusal
from zoho_async.limits import usage as usages
from zoho_async.limits.usage import Denial, Ending, Usage

HOUR: Final = 3600.0
DAY_LIMIT: Final = 1_000_000
_EVERY: Final = 300.0

#: The moments at which a foreign client calls, from now on.
Foreign: TypeAlias = Callable[[random.Random], Iterator[float]]


def steady(rate: float) -> Foreign:
    """``rate`` calls a minute, evenly, a little off."""

    def calls(chance: random.Random) -> Iterator[float]:
        for number in count(1):
            yield (number + chance.uniform(-0.4, 0.4)) * 60 / rate

    return calls


def on_and_off(rate: float) -> Foreign:
    """``rate`` calls a minute for five minutes, then five minutes of silence."""

    def calls(chance: random.Random) -> Iterator[float]:
        return (moment for moment in steady(rate)(chance) if moment // _EVERY % 2)

    return calls


def cron(calls: int, *, apart: float) -> Foreign:
    """``calls`` every five minutes, ``apart`` seconds from each other."""

    def moments(chance: random.Random) -> Iterator[float]:
        for start in count(1):
            began = start * _EVERY + chance.uniform(0, 5)
            for number in range(calls):
                yield began + number * apart

    return moments


def clicks(rate: float) -> Foreign:
    """People: ``rate`` calls a minute by chance. `Simulation` keeps them out of the counter."""

    def calls(chance: random.Random) -> Iterator[float]:
        moment = 0.0
        while True:
            moment += chance.expovariate(rate / 60)
            yield moment

    return calls


class Client(msgspec.Struct):
    """An own client with calls of one lane waiting at any time.

    ``interactive`` calls a minute come by chance and go first. ``waiting`` is when they came, and
    ``waits`` how long they waited. ``done`` is the calls of ``lane``.
    """

    limits: Limits
    lane: Lane = "bulk"
    hears: bool = True
    interactive: float = 0.0
    usage: Usage = msgspec.field(default_factory=Usage)
    waiting: deque[float] = msgspec.field(default_factory=deque[float])
    waits: list[float] = []
    done: int = 0
    wake: int = 0


class Simulation:
    """One organization, its clients and its judge."""

    def __init__(
        self,
        clients: list[Client],
        foreign: Foreign | None = None,
        *,
        judge: Minute,
        click: bool = False,
        latency: tuple[float, float] = (0.2, 0.8),
        seed: int = 0,
    ) -> None:
        self.clients: Final = clients
        self.judge: Final = judge
        self.foreign_done = 0
        self._click: Final = click
        self._latency: Final = latency
        self._chance: Final = random.Random(seed)
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        self._numbers: Final = count()
        self._foreign: Final = None if foreign is None else foreign(random.Random(seed + 1))
        for client in clients:
            self._at(0.0, partial(self._ask, client))
            if client.interactive:
                moments = clicks(client.interactive)(random.Random(seed + 2))
                self._at(next(moments), partial(self._come, client, moments))
        self._next_foreign()

    def run(self, seconds: float) -> None:
        """Run for so long."""
        while self._events and self._events[0][0] < seconds:
            now, _, event = heappop(self._events)
            event(now)

    def _at(self, moment: float, event: Callable[[float], None]) -> None:
        heappush(self._events, (moment, next(self._numbers), event))

    def _next_foreign(self) -> None:
        if self._foreign is not None:
            self._at(next(self._foreign), self._call_foreign)

    def _call_foreign(self, now: float) -> None:
        self.foreign_done += self.judge.arrive(now, click=self._click)
        self._next_foreign()

    def _come(self, client: Client, moments: Iterator[float], now: float) -> None:
        client.waiting.append(now)
        self._at(next(moments), partial(self._come, client, moments))
        self._ask(client, now)

    def _ask(self, client: Client, now: float) -> None:
        client.wake += 1
        while True:
            lane: Lane = "interactive" if client.waiting else client.lane
            answer = usages.take(client.usage, client.usage, lane, client.limits, now, now, "")
            if isinstance(answer, Denial):
                break
            counts = not client.waiting
            if client.waiting:
                client.waits.append(now - client.waiting.popleft())
            out = self._chance.uniform(*self._latency) / 2
            self._at(now + out, self._arrival(client, answer, now, counts))
        if answer.wait is not None:
            number = client.wake

            def wake(moment: float) -> None:
                if client.wake == number:
                    self._ask(client, moment)

            self._at(now + answer.wait + 1e-4, wake)

    def _arrival(
        self, client: Client, place: int, sent: float, counts: bool
    ) -> Callable[[float], None]:
        def arrive(now: float) -> None:
            admitted = self.judge.arrive(now)
            left = DAY_LIMIT - self.judge.count
            back = self._chance.uniform(*self._latency) / 2
            self._at(now + back, self._reply(client, place, sent, admitted, counts, left))

        return arrive

    def _reply(
        self,
        client: Client,
        place: int,
        sent: float,
        admitted: bool,
        counts: bool,
        left: int,
    ) -> Callable[[float], None]:
        def reply(now: float) -> None:
            client.done += admitted and counts
            ending = Ending(
                "replied",
                now - sent,
                Quota(DAY_LIMIT, left, 80_000.0) if client.hears else None,
                None if admitted else Refusal(44),
            )
            usages.settle(client.usage, client.usage, place, ending, client.limits, now, now)
            self._ask(client, now)

        return reply


class Case(msgspec.Struct, frozen=True):
    """A foreign client, and what it leaves of T less ``burst`` (None: it exceeds the bound)."""

    foreign: Foreign | None = None
    left: float | None = None
    click: bool = False
    limits: Limits | None = None
    clients: int = 1
    interactive: float = 0.0


CASES: Final[dict[str, Case]] = {
    "none": Case(left=80.0),
    "20 a minute": Case(steady(20), 50.0),
    "40 a minute": Case(steady(40), 30.0),
    "60 a minute, 5 minutes on and off": Case(on_and_off(60), 40.0),
    "15 every 5 minutes, in series": Case(cron(15, apart=0.7), 67.0),
    "15 every 5 minutes, at once": Case(cron(15, apart=0.0), 67.0),
    "30 every 5 minutes, in series": Case(cron(30, apart=0.7), 64.0),
    "30 every 5 minutes, at once": Case(cron(30, apart=0.0)),
    "60 every 5 minutes, in series": Case(cron(60, apart=0.7)),
    "60 every 5 minutes, at once": Case(cron(60, apart=0.0)),
    "people, 8 clicks a minute": Case(clicks(8), click=True),
}
#: Two such clients, and clients with interactive calls in the same minute.
_MORE: Final[dict[str, Case]] = {
    "another such client": Case(left=35.0, clients=2),
    "another such client, burst 90": Case(limits=Limits(burst=90), clients=2),
    "none, and 6 interactive calls": Case(left=80.0, interactive=6),
    "20 a minute, and 6 interactive calls": Case(steady(20), 50.0, interactive=6),
    "40 a minute, and 6 interactive calls": Case(steady(40), 30.0, interactive=6),
}


class Outcome(msgspec.Struct, frozen=True):
    """Blocks an hour, own calls a minute of each client, and the most calls in one minute.

    ``waits`` are those of the interactive calls, in seconds.
    """

    blocks: float
    own: list[float]
    worst: int
    waits: list[float]

    @property
    def slow(self) -> float | None:
        """The wait that one of a hundred interactive calls exceeds."""
        return sorted(self.waits)[len(self.waits) * 99 // 100] if self.waits else None


def simulate(
    foreign: Foreign | None,
    *,
    hears: bool = True,
    clients: int = 1,
    limits: Limits | None = None,
    lane: Lane = "bulk",
    kind: str = "rolling",
    hours: float = 4.0,
    click: bool = False,
    interactive: float = 0.0,
    latency: tuple[float, float] = (0.2, 0.8),
    seed: int = 0,
) -> Outcome:
    """Run own clients next to a foreign one."""
    judge = Minute(kind=kind)
    own = [Client(limits or Limits(), lane, hears, interactive) for _ in range(clients)]
    simulation = Simulation(own, foreign, judge=judge, click=click, latency=latency, seed=seed)
    simulation.run(hours * HOUR)
    minutes = hours * 60
    return Outcome(
        len(judge.blocks) / hours,
        [each.done / minutes for each in own],
        judge.worst,
        [wait for each in own for wait in each.waits],
    )


def others(run: Run) -> Table:
    """Foreign clients in the same organization: blocks and own calls, deaf and hearing."""
    hours = float(run.either(3, 1))
    table = Table(
        key="others",
        title=f"Bulk calls next to other clients in {hours:g} simulated hours, deaf and hearing",
        columns=[
            *("others", "left", "blocks an hour, deaf", "calls a minute, deaf"),
            *("blocks an hour", "calls a minute", "worst minute", "interactive wait p99 s"),
        ],
    )
    for name, case in (CASES | _MORE).items():
        _add(table, name, case, hours)
    bulk = [row for row in table.rows if row[1] and row[-1] is None]
    unused = 1 - min(float(row[5] or 0) / float(row[1] or 1) for row in bulk)
    table.reach.append(Reach("part left unused, bulk calls only", unused, 0.05))
    within = sum(float(row[4] or 0) for row in table.rows if row[1] is not None)
    table.reach.append(Reach("blocks within the bound", within, 0))
    table.notes.append("the worse of rolling and fixed minutes; a block lasts 15 minutes")
    table.notes.append(
        "calls a minute: of bulk; one of 100 interactive calls waits longer than p99"
    )
    table.notes.append("left: T - others - burst, on average; none where others exceed the bound")
    return table


def _add(table: Table, name: str, case: Case, hours: float) -> None:
    deaf, heard = (
        [
            simulate(
                case.foreign,
                hears=hears,
                kind=kind,
                hours=hours,
                click=case.click,
                clients=case.clients,
                limits=case.limits,
                interactive=case.interactive,
            )
            for kind in ("rolling", "fixed")
        ]
        for hears in (False, True)
    )
    table.add(
        name,
        case.left,
        max(each.blocks for each in deaf),
        min(min(each.own) for each in deaf),
        max(each.blocks for each in heard),
        min(min(each.own) for each in heard),
        max(each.worst for each in heard),
        max((each.slow for each in heard if each.slow is not None), default=None),
    )
