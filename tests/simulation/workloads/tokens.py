"""Share one token file between the workers of a machine.

The workers call now and then, so that they ask for tokens at the same time. Processes die and the
machine loses power while the file is locked or replaced. The judge counts the requests for tokens,
and reads the file after each call.
"""

from __future__ import annotations

import asyncio
import json
import random
import stat
from pathlib import Path
from typing import Any, Final
from weakref import WeakKeyDictionary

import anyio

from tests.simulation.faults import CONNECT, DISK, LINK
from tests.simulation.judges import Findings, judge_error, judge_tokens, report
from tests.simulation.loop import Worker
from tests.simulation.plan import WorkloadPlan
from tests.simulation.workloads import ACCOUNTS, API, Workload
from tests.simulation.world import World
from zoho_async import Credentials, Session, ZohoError
from zoho_async.auth import FileStore
from zoho_async.limits import Limits, MemoryLedger

LONGEST: Final = 86_400.0
_FINDINGS: Final[WeakKeyDictionary[World, Findings]] = WeakKeyDictionary()
_DONE: Final[WeakKeyDictionary[World, dict[str, int]]] = WeakKeyDictionary()


def draw(chance: random.Random) -> dict[str, Any]:
    return {
        "calls": chance.choice((5, 20, 60)),
        "at_once": chance.choice((1, 3)),
        "pause": chance.choice((1.0, 30.0, 300.0, 1800.0)),
        "lease": chance.choice((5.0, 60.0)),
    }


def prepare(world: World, plan: WorkloadPlan) -> None:
    _FINDINGS.setdefault(world, Findings())
    _DONE.setdefault(world, {})
    assert world.disk.root.is_dir()


def _file(world: World, plan: WorkloadPlan) -> Path:
    return world.disk.root / plan.organizations[0] / "tokens.json"


def _refresh(plan: WorkloadPlan) -> str:
    return f"1000.shared.{plan.organizations[0]}"


async def run(world: World, worker: Worker, plan: WorkloadPlan) -> int:
    """Make the calls that are left, and return how many were answered in this life."""
    findings, done, options = _FINDINGS[world], _DONE[world], plan.options
    chance = random.Random(f"{world.plan.seed}/{worker!r}/tokens")
    # All processes of a machine have one wall clock.
    store = FileStore(_file(world, plan), lease=options["lease"], now=world.clock.time)
    answered = 0

    async def caller(zoho: Session) -> None:
        nonlocal answered
        while done.get(worker.name, 0) < options["calls"]:
            done[worker.name] = done.get(worker.name, 0) + 1
            try:
                await zoho.request("GET", "/contacts", query={"per_page": 1})
                answered += 1
            except ZohoError as error:
                judge_error(findings, error, world.loop.now)
                world.note(
                    "error", f"{type(error).__name__}: {error}".replace(str(world.disk.root), "")
                )
            judge_file(findings, world, _file(world, plan))
            await asyncio.sleep(options["pause"] * chance.random())

    with anyio.move_on_after(LONGEST):
        async with Session(
            Credentials("1000.CLIENT", "the-secret", _refresh(plan)),
            organization=plan.organizations[0],
            clock=world.clock_of(worker),
            ledger=MemoryLedger(),
            limits=Limits(day=None),
            tokens=store,
        ) as session:
            zoho = session.with_options(max_wait=900.0)
            await asyncio.gather(*(caller(zoho) for _ in range(options["at_once"])))
    await store.close()
    return answered


def judge_file(findings: Findings, world: World, path: Path) -> None:
    """The token file is whole and private, and its tokens are Zoho's."""
    if not path.exists():
        return
    findings.check("P3 files")
    with open(path, "rb") as file:
        data = file.read()
    try:
        states = json.loads(data)["tokens"].values()
    except (ValueError, KeyError):
        findings.say("P3 files", world.loop.now, "the token file is broken", repr(data[:80]))
        return
    for state in states:
        if state.get("token") and state["token"] not in world.zoho.accounts.secrets:
            findings.say("P3 files", world.loop.now, "the token file has a token of no one")
    if stat.S_IMODE(path.stat().st_mode) != 0o600:
        findings.say("P3 files", world.loop.now, "others can read the token file")


def judge(world: World, plan: WorkloadPlan) -> None:
    findings = _FINDINGS[world]
    judge_file(findings, world, _file(world, plan))
    asked = [one for one in world.zoho.accounts.asked if one[1] == _refresh(plan)]
    judge_tokens(findings, asked)
    report(findings, world)
    _FINDINGS[world] = Findings()


TABLE = {
    "tokens": Workload(
        draw,
        run,
        prepare=prepare,
        judge=judge,
        workers=(1, 4),
        requests=40,
        hosts=(API, ACCOUNTS, ACCOUNTS),
        faults=(*CONNECT, *LINK, "kill", "stop", *DISK, *DISK),
    )
}
