"""Import rows through the write journal, and go on after every kind of end.

Each worker imports rows of its own, with unique names, with or without a field for a token. A run
that ended early is run again. The judge compares the journal's file with what Zoho wrote.
"""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from weakref import WeakKeyDictionary

import anyio
import msgspec

from tests.simulation.faults import CONNECT, DISK, LINK
from tests.simulation.judges import Findings, judge_error, judge_import, report
from tests.simulation.loop import Worker
from tests.simulation.plan import WorkloadPlan
from tests.simulation.workloads import Workload
from tests.simulation.world import World
from zoho_async import Credentials, Session, ZohoError
from zoho_async.importer import Import, ImportOptions
from zoho_async.limits import Limits, MemoryLedger

LONGEST: Final = 2 * 86_400.0
_MOST_RUNS: Final = 8
_STATES: Final = {
    "written": "created",
    "unknown": "unknown",
    "sent": "unknown",
    "not_written": "refused",
    "planned": "",
}


@dataclass
class Progress:
    """How far one worker got, over all of its lives. ``said`` has the created rows by summary."""

    runs: int = 0
    said: list[int] = field(default_factory=list[int])
    findings: Findings = field(default_factory=Findings)


_PROGRESS: Final[WeakKeyDictionary[World, dict[str, Progress]]] = WeakKeyDictionary()


def draw(chance: random.Random) -> dict[str, Any]:
    return {
        "rows": chance.choice((1, 5, 30, 100)),
        "token": chance.random() < 0.7,
        "wait": chance.choice((0.0, 30.0, 300.0)),
        "existing": chance.choice((0, 5, 60)),
        "until_done": chance.random() < 0.06,  # it looks at the clock each second
    }


def prepare(world: World, plan: WorkloadPlan) -> None:
    """Let the list show what it has. The documents promise nothing about lists that do not."""
    _PROGRESS.setdefault(world, {})
    assert world.disk.root.is_dir()
    book = world.zoho.book("contacts", plan.organizations[0])
    book.manners = msgspec.structs.replace(
        book.manners,
        more="always" if book.manners.more == "always" else "honest",
        empty=0.0,
        bare=0.0,
        kinds=("insert", "modify"),
        key="",
        noun="",
        context=True,
    )
    book.fill(plan.options["existing"], moments=10, at=world.loop.now)


async def run(world: World, worker: Worker, plan: WorkloadPlan) -> bool:
    """Import until nothing remains. Returns whether every row is at Zoho."""
    progress = _PROGRESS[world].setdefault(worker.name, Progress())
    options = plan.options
    rows = [
        {"Name": f"{worker.name} row {number}", "Company name": f"Company {number}"}
        for number in range(options["rows"])
    ]
    chosen = ImportOptions(
        token_field="cf_token" if options["token"] else None,
        settle_wait=options["wait"],
        until_done=options["until_done"],
    )
    with anyio.move_on_after(LONGEST):
        async with Session(
            Credentials("1000.CLIENT", "the-secret", f"1000.{worker.name}"),
            organization=plan.organizations[0],
            clock=world.clock_of(worker),
            ledger=MemoryLedger(),
            limits=Limits(day=None),
        ) as zoho:
            while progress.runs < _MOST_RUNS:
                progress.runs += 1
                try:
                    async with Import(
                        zoho,
                        "books.contacts",
                        rows,
                        options=chosen,
                        journal=_journal(world, worker.name),
                        clock=world.clock_of(worker),
                    ) as job:
                        summary = await job.wait()
                except ZohoError as error:
                    judge_error(progress.findings, error, world.loop.now)
                    world.note(
                        "error",
                        f"{type(error).__name__}: {error}".replace(str(world.disk.root), ""),
                    )
                    await asyncio.sleep(3600.0)
                    continue
                progress.said.append(summary.created)
                world.note("imported", f"{summary.created} created, {len(summary.unknown)} unknown")
                if summary.done:
                    return True
                await asyncio.sleep(60.0)
    return False


def _journal(world: World, name: str) -> Path:
    return world.disk.root / f"{name}.journal"


def judge(world: World, plan: WorkloadPlan) -> None:
    book = world.zoho.book("contacts", plan.organizations[0])
    for name in plan.workers:
        progress = _PROGRESS[world].get(name)
        if progress is None:
            continue
        findings, now = progress.findings, world.loop.now
        rows = _rows(_journal(world, name))
        written = [one for one in book.written if one.name.startswith(f"{name} row ")]
        judge_import(findings, rows, written, tokens_kept=plan.options["token"], at=now)
        made = Counter(one.name for one in written if one.kind == "create")
        if planned := sorted(made.keys() - rows.keys()):
            findings.say("P4 import", now, f"written and not in the journal: {planned[:3]}")
        created = sum(state == "created" for state in rows.values())
        if progress.said and max(progress.said) > created:
            findings.say(
                "P4 import",
                now,
                f"a summary said {max(progress.said)} created, and the journal has {created}",
            )
        report(findings, world)


def _rows(path: Path) -> dict[str, str]:
    """The state of each row by its name, as the journal's file has it."""
    if not path.exists():
        return {}
    with closing(sqlite3.connect(path)) as journal:
        if not journal.execute("SELECT 1 FROM sqlite_master WHERE name = 'write'").fetchone():
            return {}
        found = journal.execute("SELECT body, state FROM write").fetchall()
    return {json.loads(body)["contact_name"]: _STATES[state] for body, state in found}


TABLE = {
    "imports": Workload(
        draw,
        run,
        prepare=prepare,
        judge=judge,
        workers=(1, 2),
        requests=120,
        faults=(*CONNECT, *LINK, "kill", "stop", *DISK),
    )
}
