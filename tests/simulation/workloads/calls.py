"""Callers of one organization or several, in two lanes, and the judges of the limits.

A `Team` is the workers of one workload, which share limits. Each worker has callers, one call at a
time each. A caller may be cancelled in the middle of a call, and begins the next one a while later.
What a caller does is in the plan; when it does it, and how often it is cancelled, is drawn from the
seed.

The judges get what Zoho saw and what callers got (`tests.simulation.judges`). This module decides
which bound holds for which team, by what the documents say (docs/limits.md, docs/howto/limits.md).

The ledger of ``calls`` is in memory, so it has one worker. `limits` has the ledger in Redis.
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Coroutine
from functools import partial
from typing import Any, Final, Literal, TypeAlias
from weakref import WeakKeyDictionary

import msgspec

from tests.simulation import judges
from tests.simulation.assumptions import ZONES
from tests.simulation.judges import Findings, Heard, Intent
from tests.simulation.loop import Worker
from tests.simulation.plan import WorkloadPlan
from tests.simulation.workloads import API, Workload
from tests.simulation.world import World
from tests.simulation.zoho import Arrival, Zoho
from zoho_async import Credentials, Session, ZohoError
from zoho_async.books.types.contacts import ContactCreate
from zoho_async.errors import AmbiguousWrite, DailyQuotaExceeded, LedgerError, UsedAfterFork
from zoho_async.events import Called, Event
from zoho_async.limits import Lane, Ledger, Limits, MemoryLedger, Snapshot

ProductName: TypeAlias = Literal["books", "inventory", "invoice"]

#: The list that callers of each product read.
LISTS: Final[dict[ProductName, str]] = {
    "books": "contacts",
    "inventory": "items",
    "invoice": "estimates",
}
#: Seconds that a caller waits after an error of the limits, and after a spent day.
AFTER_ERROR: Final = 20.0
AFTER_DAY: Final = 3600.0
#: Seconds after a caller's end until its last call is canceled.
LONGEST_WAIT: Final = 100_000.0


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """One caller: at most ``calls`` calls of one product, ``gap`` seconds apart on average.

    It begins no call later than ``lasts`` seconds after its first. ``organization`` is the place in
    the plan's organizations. ``gives_up`` is the chance that a call is cancelled, within
    ``patience`` seconds. ``writes`` is the chance that a call creates a contact.
    """

    calls: int
    organization: int = 0
    lane: Lane = "interactive"
    product: ProductName = "books"
    starts: float = 0.0
    lasts: float = 86_400.0
    gap: float = 0.0
    max_wait: float | None = 60.0
    waits_for_reset: bool = False
    gives_up: float = 0.0
    patience: float = 5.0
    writes: float = 0.0


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """The callers of each worker, and the values of `Limits` that all workers use."""

    callers: tuple[Caller, ...]
    limits: dict[str, Any] = {}


class Answered(msgspec.Struct, frozen=True):
    """A reply that a worker got."""

    at: float
    worker: str
    method: str
    path: str
    organization: str


class Team:
    """The workers of one workload."""

    def __init__(self, world: World, plan: WorkloadPlan, options: Options) -> None:
        self.world: Final = world
        self.zoho: Final[Zoho] = world.zoho
        self.plan: Final = plan
        self.options = options
        self.limits: Final = Limits(**options.limits)
        self.findings: Final = Findings()
        self.answered: Final[list[Answered]] = []
        self.heard: Final[list[Heard]] = []
        self.intents: Final[list[Intent]] = []
        self.texts: Final[list[str]] = []
        self._created = 0
        for organization in plan.organizations:
            for path in LISTS.values():
                self.zoho.book(path, organization).fill(
                    len(options.callers) * len(plan.workers), moments=10
                )

    # -- what a worker does -----------------------------------------------------------------------

    def open_ledger(self, worker: Worker) -> Ledger:
        """Return the ledger of a new process."""
        return MemoryLedger()

    async def work(self, worker: Worker) -> None:
        """Run the callers of ``worker`` until all have ended, and close everything."""
        ledger = self.open_ledger(worker)
        first = self.plan.workers.index(worker.name) * len(self.options.callers)
        try:
            async with self.session(worker, ledger) as session:
                self.world.forks[worker.pid] = partial(self.work_forked, session, ledger)
                callers = enumerate(self.options.callers, first)
                await asyncio.gather(
                    *(self.call(worker, session, each, place) for place, each in callers)
                )
                await self._judge_rest(worker, session)
        finally:
            self.world.forks.pop(worker.pid, None)
        await ledger.close()

    async def work_forked(self, session: Session, ledger: Ledger, child: Worker) -> None:
        """Run a forked child, which has a copy of ``session`` and ``ledger``."""
        self.findings.check("P1 fork")
        try:
            await session.books.contacts.get("1")
        except UsedAfterFork:
            return
        except ZohoError:
            pass  # the call was sent all the same
        self.findings.say("P1 fork", self.world.loop.now, f"{child!r} used its parent's session")

    def session(self, worker: Worker, ledger: Ledger) -> Session:
        """Return a new session of ``worker``."""
        return Session(
            Credentials("1000.CLIENT", "client-secret", f"1000.refresh-{worker!r}"),
            organization=self.plan.organizations[0],
            limits=self.limits,
            ledger=ledger,
            clock=self.world.clock_of(worker),
            observer=partial(self._observe, worker),
        )

    async def call(self, worker: Worker, session: Session, caller: Caller, place: int) -> None:
        """Make the calls of one caller. ``place`` is the record that it reads."""
        chance = random.Random(f"{self.world.plan.seed}/{worker!r}/{place}")
        organization = self.organization_of(caller)
        view = session.for_organization(organization).with_options(
            lane=caller.lane, max_wait=caller.max_wait, wait_for_reset=caller.waits_for_reset
        )
        path = LISTS[caller.product]
        id = list(self.zoho.book(path, organization).records)[place]
        records = getattr(getattr(view, caller.product), path)
        await asyncio.sleep(caller.starts)
        ends = self.world.loop.now + caller.lasts
        for _ in range(caller.calls):
            if self.world.loop.now > ends:
                return
            if caller.writes and chance.random() < caller.writes:
                error = await self._create(view, organization, caller, ends, chance)
            else:
                error = await self._attempt(records.get(id), caller, ends, chance)
            if isinstance(error, DailyQuotaExceeded):
                await asyncio.sleep(AFTER_DAY * chance.uniform(0.5, 1.0))
            elif error is not None:
                await asyncio.sleep(AFTER_ERROR * chance.random())
            if caller.gap:
                await asyncio.sleep(chance.expovariate(1 / caller.gap))

    def organization_of(self, caller: Caller) -> str:
        return self.plan.organizations[caller.organization % len(self.plan.organizations)]

    async def _create(
        self,
        view: Session,
        organization: str,
        caller: Caller,
        ends: float,
        chance: random.Random,
    ) -> BaseException | None:
        """Create a contact, and note what its caller got to know."""
        self._created += 1
        name, began = f"Contact {self._created} of {organization}", self.world.loop.now
        intent = partial(Intent, "contacts", "create", name=name, at=began)
        place = len(self.intents)
        self.intents.append(intent("cut off"))  # until it ends
        found: list[Any] = []

        async def create() -> None:
            found.append(await view.books.contacts.create(ContactCreate(contact_name=name)))

        error = await self._attempt(create(), caller, ends, chance)
        if found:
            self.intents[place] = intent("returned", returned=str(found[0].contact_id))
        elif isinstance(error, AmbiguousWrite):
            self.intents[place] = intent("ambiguous")
        elif isinstance(error, ZohoError):
            self.intents[place] = intent("refused")
        return error

    async def _attempt(
        self, call: Coroutine[Any, Any, object], caller: Caller, ends: float, chance: random.Random
    ) -> BaseException | None:
        """Await ``call``, or cancel it. Returns its error."""
        # Other clients may use up every day, and then no call that waits for a reset ends.
        latest = ends + LONGEST_WAIT
        if caller.gives_up and chance.random() < caller.gives_up:
            latest = self.world.loop.now + caller.patience * chance.random() ** 2
        timeout = asyncio.timeout_at(latest)
        try:
            async with timeout:
                await call
        except Exception as error:
            if timeout.expired():
                self.world.note("gave up")
            else:
                self.texts.append(f"{error!r} {error}")
                judges.judge_error(self.findings, error, self.world.loop.now)
                self.world.note("error", f"{type(error).__name__}: {error}")
            return error
        return None

    def _observe(self, worker: Worker, event: Event) -> None:
        if not isinstance(event, Called):
            return
        self.world.counts["calls"] += 1
        now = self.world.loop.now
        if event.status is None or event.organization is None:
            return
        name = worker.name
        self.answered.append(Answered(now, name, event.method, event.path, event.organization))
        if event.code in (43, 44):
            self.world.note("refused", f"{event.code} {event.path}")
            self.heard.append(Heard(now, name, event.organization, self._least_wait(event, name)))

    def _least_wait(self, event: Called, worker: str) -> float | None:
        """Return the least Retry-After of the refusals that ``event`` may be about."""
        now, least = self.world.loop.now, None
        for one in reversed(self.zoho.log):
            if one.at < now - 60.0:
                break
            if one.worker == worker and one.refused == "block" and one.retry_after is not None:
                least = one.retry_after if least is None else min(least, one.retry_after)
        return least

    # -- judges -----------------------------------------------------------------------------------

    @property
    def arrivals(self) -> list[Arrival]:
        """What arrived for this team's organizations."""
        return [one for one in self.zoho.log if one.organization in self.plan.organizations]

    @property
    def is_alone(self) -> bool:
        """Whether all calls were counted in one ledger, which nothing was lost of."""
        return all(len(self.world.results[name]) == 1 for name in self.plan.workers)

    @property
    def is_prompt(self) -> bool:
        """Whether each request arrived within `Limits.linger` of being sent."""
        parted = any(
            fault.kind == "partition" and fault.host == API and fault.worker in self.plan.workers
            for fault in self.world.plan.faults
            if fault.seconds > self.limits.linger - 5.0
        )
        return not parted or not any(
            kind == "partition" and API in situation for kind, situation in self.world.faults
        )

    def happened(self, *kinds: str) -> bool:
        """Return whether any worker met a fault of these kinds."""
        return any(kind in kinds for kind, _ in self.world.faults)

    def judge(self) -> None:
        """Judge all promises, at the end, and report to the world."""
        findings, arrivals = self.findings, self.arrivals
        if self.is_alone and self.is_prompt:
            self._judge_minute(arrivals)
            self.judge_silence(arrivals)
        if self.is_alone and not self.happened("stop"):
            self.judge_flight(arrivals)
        if self.is_alone:
            self.judge_day(arrivals)
        for organization in self.plan.organizations:
            judges.judge_writes(
                findings,
                [one for one in self.intents if one.name.endswith(f" of {organization}")],
                self.zoho.book("contacts", organization).written,
                answered_in_order=not self.happened("stray_reply"),
            )
        judges.judge_secrets(findings, self.texts, self.zoho.accounts.secrets)
        judges.report(findings, self.world)

    def _one_ledger(self, arrivals: list[Arrival]) -> dict[str, str]:
        return {one.worker: "the ledger" for one in arrivals}

    def _judge_minute(self, arrivals: list[Arrival]) -> None:
        """P1 minute and P2 no block."""
        limit = self.limits.limit
        judges.judge_minute(
            self.findings, arrivals, limit=limit, ledgers=self._one_ledger(arrivals)
        )
        for organization in self.plan.organizations:
            judges.judge_blocks(
                self.findings,
                self.zoho.quotas[organization].minute.blocks,
                arrivals=sum(one.organization == organization for one in arrivals),
                limit=limit,
            )

    def judge_silence(self, arrivals: list[Arrival]) -> None:
        judges.judge_silence(
            self.findings, arrivals, self.heard, ledgers=self._one_ledger(arrivals)
        )

    def judge_flight(self, arrivals: list[Arrival]) -> None:
        judges.judge_in_flight(
            self.findings,
            arrivals,
            limit=self.limits.in_flight,
            answered=self._answered_numbers(arrivals),
            ledgers=self._one_ledger(arrivals),
        )

    def judge_day(self, arrivals: list[Arrival]) -> None:
        """P1 day, if the end of the day is known from the start and Zoho has such a day."""
        limits, quotas = self.limits, self.zoho.assumptions.quotas
        if limits.day is None or limits.time_zone != quotas.zone:
            return
        if quotas.day_kind != "midnight" or self.world.plan.clock_skew > 1.0:
            return
        judges.judge_day(
            self.findings,
            arrivals,
            start=self.zoho.start,
            zone=quotas.zone,
            limit=limits.day,
            per_product=quotas.per_product,
            ledgers=self._one_ledger(arrivals),
        )

    def _answered_numbers(self, arrivals: list[Arrival]) -> set[int]:
        """Return the numbers of the reads whose replies came.

        A caller reads one record, one call at a time. So a reply belongs to the last request for
        its record.
        """
        asked: defaultdict[tuple[str, str, str], list[Arrival]] = defaultdict(list)
        for one in arrivals:
            if one.method == "GET":
                asked[one.worker, one.organization, one.path].append(one)
        found: set[int] = set()
        for reply in self.answered:
            before = [
                one
                for one in asked[reply.worker, reply.organization, reply.path.strip("/")]
                if one.until <= reply.at
            ]
            if before:
                found.add(before[-1].number)
        return found

    async def _judge_rest(self, worker: Worker, session: Session) -> None:
        """P6: no call waits, and none is open once the last lost one has been forgotten."""
        await asyncio.sleep(self.limits.linger + 1.0)
        for organization in self.plan.organizations:
            try:
                snapshot = await session.for_organization(organization).snapshot()
            except LedgerError:
                continue  # it cannot be reached
            self.findings.check("P6")
            if sum(snapshot.waiting.values()) or self.open_calls(snapshot):
                self.findings.say(
                    "P6",
                    self.world.loop.now,
                    f"{worker!r} left {snapshot.in_flight} calls open and "
                    f"{sum(snapshot.waiting.values())} waiting in organization {organization}",
                )

    def open_calls(self, snapshot: Snapshot) -> int:
        """Return the open calls that this worker alone can have left."""
        return snapshot.in_flight


# -- the table ----------------------------------------------------------------------------------

TEAMS: Final[WeakKeyDictionary[World, dict[tuple[str, ...], Team]]] = WeakKeyDictionary()


def team_of(world: World, plan: WorkloadPlan) -> Team:
    return TEAMS[world][plan.workers]


def prepare(world: World, plan: WorkloadPlan) -> None:
    options = msgspec.convert(plan.options, Options)
    TEAMS.setdefault(world, {})[plan.workers] = Team(world, plan, options)


async def run(world: World, worker: Worker, plan: WorkloadPlan) -> None:
    await team_of(world, plan).work(worker)


def judge(world: World, plan: WorkloadPlan) -> None:
    team_of(world, plan).judge()


def draw_limits(chance: random.Random) -> dict[str, Any]:
    """Draw values of `Limits`."""
    found: dict[str, Any] = chance.choice(
        (
            {},
            {},
            {"limit": 60, "burst": 10},
            {"limit": 100, "burst": 100},
            {"limit": 90, "burst": 90},
            {"limit": 20, "burst": 5},
            {"limit": 90, "burst": 1},
        )
    )
    found = found | chance.choice(({}, {"in_flight": 5}, {"in_flight": 2}, {"in_flight": 30}))
    if chance.random() < 0.4:
        found |= {"day": chance.choice((50, 150, 400, 1_000, 5_000))}
    if chance.random() < 0.6:
        found |= {"time_zone": chance.choice(ZONES)}
    if chance.random() < 0.2:
        found |= {"pace": "even"}
    if chance.random() < 0.2:
        found |= {"reserve": chance.choice((0.0, 0.5, 20))}
    if chance.random() < 0.1:
        found |= {"block_scope": chance.choice(("organization", "account"))}
    return found


def draw_caller(chance: random.Random, calls: int, lasts: float) -> dict[str, Any]:
    """Draw one caller of about ``calls`` calls, which ends after ``lasts`` seconds."""
    bulk = chance.random() < 0.5
    return {
        "calls": chance.randint(calls // 2, calls),
        "organization": chance.randint(0, 3),
        "lane": "bulk" if bulk else "interactive",
        "product": chance.choice(("books", "books", "inventory", "invoice")),
        "starts": chance.choice((0.0, 0.0, 30.0, 200.0)) * chance.random(),
        "lasts": lasts,
        "gap": chance.choice((0.0, 0.5, 5.0) if bulk else (0.0, 2.0, 10.0, 60.0)),
        "max_wait": chance.choice((None, None, 600.0) if bulk else (1.0, 60.0, 60.0, None)),
        "waits_for_reset": bulk and chance.random() < 0.3,
        "gives_up": chance.choice((0.0, 0.0, 0.05, 0.3)),
        "patience": chance.choice((0.5, 5.0, 60.0)),
        "writes": chance.choice((0.0, 0.0, 0.1)),
    }


def draw(chance: random.Random) -> dict[str, Any]:
    callers = chance.choice((1, 3, 8, 30))
    calls, lasts = (
        chance.choice((100, 400, 1_500)) // callers,
        chance.choice((3_600.0, 20_000.0, 200_000.0)),
    )
    return {
        "limits": draw_limits(chance),
        "callers": [draw_caller(chance, max(2, calls), lasts) for _ in range(callers)],
    }


TABLE: Final = {
    "calls": Workload(draw, run, prepare, judge, organizations=(1, 3), requests=300, weight=3.0)
}
