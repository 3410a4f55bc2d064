"""The smallest workload: get records, a few at once."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from tests.simulation.judges import Findings, judge_error, judge_minute, report
from tests.simulation.loop import Worker
from tests.simulation.plan import WorkloadPlan
from tests.simulation.workloads import Workload
from tests.simulation.world import World
from zoho_async import Credentials, Session, ZohoError
from zoho_async.errors import UsedAfterFork
from zoho_async.limits import Limits, MemoryLedger


def draw(chance: random.Random) -> dict[str, Any]:
    return {"calls": chance.choice((300, 1000, 3000)), "at_once": chance.randint(1, 20)}


async def run(world: World, worker: Worker, plan: WorkloadPlan) -> int:
    findings = Findings()
    answered = 0
    calls = iter(range(plan.options["calls"]))

    async def caller(zoho: Session) -> None:
        nonlocal answered
        for number in calls:
            try:
                await zoho.books.contacts.get(str(number))
                answered += 1
            except ZohoError as error:
                judge_error(findings, error, world.loop.now)
                world.note("error", type(error).__name__)

    async with Session(
        Credentials("1000.CLIENT", "the-secret", f"1000.{worker.name}"),
        organization=plan.organizations[0],
        clock=world.clock_of(worker),
        ledger=MemoryLedger(),
        limits=Limits(day=None),
    ) as session:
        zoho = session.with_options(max_wait=None)

        async def child(forked: Worker) -> None:
            try:
                await zoho.books.contacts.get("1")
            except UsedAfterFork:
                findings.check("P1 fork")
            else:
                findings.say("P1 fork", world.loop.now, "a forked child used its parent's session")

        world.forks[worker.pid] = child
        await asyncio.gather(*(caller(zoho) for _ in range(plan.options["at_once"])))
    report(findings, world)
    return answered


def judge(world: World, plan: WorkloadPlan) -> None:
    """Each life has its ledger. A request that is on its way for too long is no evidence."""
    findings = Findings()
    late = any(one.kind == "partition" and one.seconds >= 30.0 for one in world.plan.faults)
    if not late and all(len(world.results[name]) == 1 for name in plan.workers):
        arrivals = [one for one in world.zoho.log if one.organization in plan.organizations]
        judge_minute(findings, arrivals, limit=Limits().limit)
    report(findings, world)


TABLE = {"probe": Workload(draw, run, judge=judge, requests=1000, weight=2.0)}
