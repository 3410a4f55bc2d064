"""Workers that share the limits of their organizations in one Redis, which fails.

The callers are those of `calls`. Beyond the faults of workers and links, the plan has faults of
Redis itself, at moments of the world: it restarts empty or with an older snapshot, fails over to a
replica that lacks the last writes, loses its scripts or single keys, stalls, refuses writes, sets
its clock back, and workers are parted from it in one direction or both.

What is not drawn, because the documents exclude it (`zoho_async.limits.redis.epoch`, Unknown): a
clock that is set forward, an old master that serves on, and a command that Redis runs after the
worker gave it up while workers have shares.

Which bound holds:

- P1 minute and P2 no block: always, if requests arrive within `Limits.linger`, and, with shares, if
  no command of Redis came later than its worker waited.
- P1 in flight and P1 day: if Redis lost nothing and was always reached. Else calls that are not
  known cannot be counted.
- P2 silence: of all workers if Redis lost nothing and was always reached. Else of each worker that
  was not killed: it remembers the block that it heard of.
"""

from __future__ import annotations

import copy
import random
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal, TypeAlias, cast
from weakref import WeakKeyDictionary

import msgspec

from tests.simulation import judges
from tests.simulation.faults import CONNECT, STREAM, WORKER
from tests.simulation.loop import Worker
from tests.simulation.plan import WorkloadPlan
from tests.simulation.redis_model import CANNOT_SAVE, LOADING, OUT_OF_MEMORY, READ_ONLY, Snapshot
from tests.simulation.redis_network import HOST, URL, RedisServer, Way
from tests.simulation.workloads import ACCOUNTS, API, Workload, calls
from tests.simulation.workloads.calls import Team, judge, run
from tests.simulation.world import World
from tests.simulation.zoho import Arrival
from zoho_async import Session
from zoho_async.limits import Ledger, RedisLedger
from zoho_async.limits import Snapshot as Usage

Kind: TypeAlias = Literal[
    "restart", "restore", "failover", "flush", "lose_key", "script_flush", "stall", "slow",
    "refuse", "step", "part",
]  # fmt: skip
#: Faults after which Redis knows less than before.
LOSSES: Final[tuple[Kind, ...]] = ("restart", "restore", "failover", "flush", "lose_key")
#: Seconds between two snapshots that a restart may use.
SAVES: Final = 45.0
#: A worker gives a command up after two tries of 5 seconds.
GIVEN_UP: Final = 8.0
REFUSALS: Final = (READ_ONLY, OUT_OF_MEMORY, CANNOT_SAVE, LOADING)


class RedisFault(msgspec.Struct, frozen=True, kw_only=True):
    """A fault of Redis, ``at`` seconds after the start.

    ``seconds`` is how long it lasts, how much a failover loses, or how far the clock is set back.
    ``worker`` is the place of the worker that is parted, ``way`` what is lost, ``text`` a refusal.
    """

    kind: Kind
    at: float
    seconds: float = 0.0
    worker: int = 0
    way: Way = "both"
    text: str = ""


class Options(calls.Options, frozen=True, kw_only=True):
    """``share`` is what each worker may send without Redis, None for nothing."""

    redis: tuple[RedisFault, ...] = ()
    share: float | None = None
    max_offline: float = 600.0
    lease: float = 15.0
    initialized: bool = False


@dataclass
class _Redis:
    """The server of a world, and its last snapshot."""

    server: RedisServer
    saved: Snapshot | None = None


_SERVERS: Final[WeakKeyDictionary[World, _Redis]] = WeakKeyDictionary()


def _redis_of(world: World) -> _Redis:
    found = _SERVERS.get(world)
    if found is None:
        found = _SERVERS[world] = _Redis(RedisServer(world))
    return found


class Fleet(Team):
    """The workers of one workload, with their ledger in Redis."""

    options: Options

    def __init__(self, world: World, plan: WorkloadPlan, options: Options) -> None:
        super().__init__(world, plan, options)
        self._redis: Final = _redis_of(world)
        self._saves = 0
        for fault in options.redis:
            world.loop.call_later(fault.at, self._hit, fault, context=world.outside)
        if options.redis:
            world.loop.call_later(SAVES, self._save, context=world.outside)
        if options.initialized:
            self._redis.server.model.initialize()

    def open_ledger(self, worker: Worker) -> Ledger:
        options = self.options
        return RedisLedger(
            URL, share=options.share, lease=options.lease, max_offline=options.max_offline
        )

    async def work_forked(self, session: Session, ledger: Ledger, child: Worker) -> None:
        """A child uses a copy of its parent's ledger, with a session of its own."""
        own = cast(Any, copy.copy(ledger))
        own._workers = copy.copy(own._workers)
        own._process = copy.copy(own._process)
        await super().work_forked(session, ledger, child)
        if self.options.share is not None:
            return  # its share would be one more
        async with self.session(child, own) as opened:
            caller = msgspec.structs.replace(self.options.callers[0], calls=10, starts=0.0)
            await self.call(child, opened, caller, 0)
        await own.close()

    def open_calls(self, snapshot: Usage) -> int:
        """Return 0: the calls may be of any worker."""
        return 0

    # -- faults -----------------------------------------------------------------------------------

    def _save(self) -> None:
        """Save the data now and later, as long as a restart may use it."""
        self._redis.saved = self._redis.server.model.save()
        self._saves += 1
        if self._saves * SAVES < max(fault.at for fault in self.options.redis):
            self.world.loop.call_later(SAVES, self._save, context=self.world.outside)

    def _hit(self, fault: RedisFault) -> None:
        server, model = self._redis.server, self._redis.server.model
        self.world.count_fault(f"redis {fault.kind}", fault.text.split(" ", 1)[0])
        later = partial(self.world.loop.call_later, fault.seconds, context=self.world.outside)
        match fault.kind:
            case "restart" | "restore":
                model.stop()
                later(model.restart, self._redis.saved if fault.kind == "restore" else None)
            case "failover":
                model.failover(fault.seconds)
            case "flush":
                model.flush()
            case "lose_key":
                model.lose_key(fault.worker)
            case "script_flush":
                model.flush_scripts()
            case "stall":
                server.stall(fault.seconds)
            case "slow":
                server.slow = 0.05
                later(setattr, server, "slow", 0.0)
            case "refuse":
                model.refusal = fault.text
                later(setattr, model, "refusal", "")
            case "step":
                model.step(-fault.seconds)
            case "part":
                name = self.plan.workers[fault.worker % len(self.plan.workers)]
                server.part(name, fault.seconds, fault.way)

    # -- judges -----------------------------------------------------------------------------------

    @property
    def is_alone(self) -> bool:
        """Whether all calls are in one count: always but for calls that Redis ran too late."""
        return True

    @property
    def is_prompt(self) -> bool:
        late = self.options.share is not None and self.happened("partition", "late")
        return super().is_prompt and not late

    @property
    def is_whole(self) -> bool:
        """Whether Redis lost nothing and was always reached."""
        if any(kind.startswith("redis ") for kind, _ in self.world.faults):
            return False
        return not any(HOST in situation for _, situation in self.world.faults)

    def judge(self) -> None:
        super().judge()
        model = self._redis.server.model
        if model.unknown:
            self.world.violation("simulation", f"Redis has no {model.unknown[0]}")

    def judge_flight(self, arrivals: list[Arrival]) -> None:
        if self.is_whole:
            super().judge_flight(arrivals)

    def judge_day(self, arrivals: list[Arrival]) -> None:
        if self.is_whole:
            super().judge_day(arrivals)

    def judge_silence(self, arrivals: list[Arrival]) -> None:
        if self.is_whole:
            super().judge_silence(arrivals)
            return
        alive = [name for name in self.plan.workers if len(self.world.results[name]) == 1]
        judges.judge_silence(
            self.findings,
            [one for one in arrivals if one.worker in alive],
            [one for one in self.heard if one.worker in alive],
        )


def prepare(world: World, plan: WorkloadPlan) -> None:
    options = msgspec.convert(plan.options, Options)
    calls.TEAMS.setdefault(world, {})[plan.workers] = Fleet(world, plan, options)


def draw(chance: random.Random) -> dict[str, Any]:
    callers = chance.choice((1, 2, 4, 10))
    each = max(2, chance.choice((40, 120, 300)) // callers)
    lasts = chance.choice((300.0, 900.0, 3_600.0))
    drawn = [calls.draw_caller(chance, each, lasts) for _ in range(callers)]
    for caller in drawn:
        # Waiters of a ledger in Redis ask each second, so long waits take long here.
        caller["waits_for_reset"] = False
        if caller["max_wait"] is None and chance.random() < 0.7:
            caller["max_wait"] = 120.0
    share = chance.choice((None, None, None, 0.25))
    return {
        "limits": calls.draw_limits(chance),
        "callers": drawn,
        "redis": [] if chance.random() < 0.3 else draw_faults(chance, lasts, share),
        "share": share,
        "max_offline": chance.choice((60.0, 600.0)),
        "lease": chance.choice((15.0, 15.0, 15.0, 5.0)),
        "initialized": chance.random() < 0.6,
    }


def draw_faults(chance: random.Random, lasts: float, share: float | None) -> list[dict[str, Any]]:
    """Draw faults of Redis."""
    kinds: tuple[Kind, ...] = (
        *LOSSES, "script_flush", "stall", "slow", "refuse", "step", "part", "part", "part",
    )  # fmt: skip
    found: list[dict[str, Any]] = []
    for _ in range(chance.choice((1, 1, 3, 8))):
        kind = chance.choice(kinds)
        longest = 400.0 if share is not None else 90.0
        seconds = chance.choice((0.5, 3.0, 12.0, 40.0, longest)) * chance.uniform(0.5, 1.0)
        if kind == "failover":
            seconds = chance.choice((0.1, 2.0, 30.0)) * chance.random()
        elif kind == "stall":
            seconds = min(seconds, GIVEN_UP)
        found.append(
            {
                "kind": kind,
                "at": chance.choice((100.0, 300.0, lasts)) * chance.random(),
                "seconds": seconds,
                "worker": chance.randint(0, 3),
                "way": chance.choice(("to", "from", "both")),
                "text": chance.choice(REFUSALS) if kind == "refuse" else "",
            }
        )
    return found


TABLE: Final = {
    "limits": Workload(
        draw,
        run,
        prepare,
        judge,
        workers=(1, 3),
        organizations=(1, 2),
        hosts=(API, API, ACCOUNTS, HOST),
        requests=200,
        faults=(*CONNECT, *STREAM, *WORKER, "kill", "stop"),
        weight=1.0,
    )
}
