"""Export lists into JSON Lines, several times, and go on after every kind of end.

Each worker has a directory of its own. Between two runs other people edit the lists. A run that
raised is run again, as a person would. The judge reads the files, and knows nothing of their
checkpoint.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from weakref import WeakKeyDictionary

import anyio

from tests.simulation.books import Book
from tests.simulation.faults import CONNECT, DISK, LINK
from tests.simulation.judges import (
    Findings,
    can_be_proven,
    judge_error,
    judge_export,
    report,
)
from tests.simulation.loop import Worker
from tests.simulation.plan import WorkloadPlan
from tests.simulation.workloads import Workload
from tests.simulation.world import World
from zoho_async import Credentials, Session, ZohoError
from zoho_async.export import Directory, Export, ExportOptions, Summary, merge
from zoho_async.limits import Limits, MemoryLedger

#: Lists whose paths are their names in the package.
LISTS: Final = {
    "contacts": "contacts",
    "items": "items",
    "invoices": "invoices",
    "bills": "bills",
    "expenses": "expenses",
    "sales_orders": "salesorders",
    "credit_notes": "creditnotes",
}
#: The longest that a worker goes on, in virtual seconds, and its most runs that raise.
LONGEST: Final = 2 * 86_400.0
_MOST_ERRORS: Final = 6


@dataclass
class Progress:
    """How far one worker got, over all of its lives.

    ``begun`` is the number of requests before the run that has not ended yet.
    """

    done: int = 0
    errors: int = 0
    begun: int | None = None
    findings: Findings = field(default_factory=Findings)


_PROGRESS: Final[WeakKeyDictionary[World, dict[str, Progress]]] = WeakKeyDictionary()


def draw(chance: random.Random) -> dict[str, Any]:
    names = sorted(LISTS)
    return {
        "lists": chance.sample(names, chance.choice((1, 1, 2, 2, 3))),
        "records": chance.choice((1, 8, 40, 120, 300, 800)),
        "moments": chance.choice((1, 3, 1000)),
        "runs": chance.choice((1, 2, 3, 4)),
        "edits": chance.choice((0, 1, 5, 30)),
        "pause": chance.choice((1.0, 600.0, 20_000.0)),
        "deletions": chance.random() < 0.5,
        "full_at": chance.choice((0, 0, 2, 3)),
        "merges": chance.random() < 0.3,
        "most_calls": chance.choice((20, 60, 150, 150)),
    }


def prepare(world: World, plan: WorkloadPlan) -> None:
    _PROGRESS.setdefault(world, {})
    assert world.disk.root.is_dir()
    options = plan.options
    for name in options["lists"]:
        world.zoho.book(LISTS[name], plan.organizations[0]).fill(
            options["records"], moments=options["moments"], at=world.loop.now
        )


async def run(world: World, worker: Worker, plan: WorkloadPlan) -> int:
    """Run the exports that are left, and return how many ended well in all lives."""
    progress = _PROGRESS[world].setdefault(worker.name, Progress())
    with anyio.move_on_after(LONGEST):
        async with Session(
            Credentials("1000.CLIENT", "the-secret", f"1000.{worker.name}"),
            organization=plan.organizations[0],
            clock=world.clock_of(worker),
            ledger=MemoryLedger(),
            limits=Limits(day=None),
        ) as zoho:
            while progress.done < plan.options["runs"] and progress.errors < _MOST_ERRORS:
                try:
                    await _export(world, worker, plan, zoho, progress)
                except ZohoError as error:
                    progress.errors += 1
                    judge_error(progress.findings, error, world.loop.now)
                    world.note(
                        "error",
                        f"{type(error).__name__}: {error}".replace(str(world.disk.root), ""),
                    )
                await asyncio.sleep(plan.options["pause"])
    return progress.done


async def _export(
    world: World, worker: Worker, plan: WorkloadPlan, zoho: Session, progress: Progress
) -> None:
    options, organization = plan.options, plan.organizations[0]
    folder = world.disk.root / worker.name
    if progress.begun is None:
        progress.begun = world.zoho.mark
    full = options["full_at"] == progress.done + 1
    chosen = ExportOptions(
        detect_deletions=options["deletions"] and not full,
        full=full,
        max_calls=options["most_calls"],
    )
    async with Export(
        zoho, options["lists"], to=folder, options=chosen, clock=world.clock_of(worker)
    ) as job:
        summary = await job.wait()
    world.note("exported", f"{summary.rows} rows, exit code {summary.exit_code}")
    _judge(world, plan, folder, summary, progress, detects=chosen.detect_deletions)
    if options["merges"]:
        before = _all_rows(world, plan, worker, progress.findings)
        await anyio.to_thread.run_sync(merge, Directory(folder))
        progress.findings.check("P3 export")
        if _all_rows(world, plan, worker, progress.findings) != before:
            progress.findings.say("P3 export", world.loop.now, "a merge changed the rows")
    progress.begun = None
    progress.done += 1
    for name in options["lists"]:
        book = world.zoho.book(LISTS[name], organization)
        for _ in range(options["edits"]):
            book.edit(world.loop.now, world.zoho.mark + 1)


def _all_rows(
    world: World, plan: WorkloadPlan, worker: Worker, findings: Findings
) -> list[set[str]]:
    """The ids in the files of each list."""
    return [
        set(
            rows_of(
                findings,
                world.disk.root / worker.name,
                f"books.{name}",
                world.zoho.book(LISTS[name], plan.organizations[0]),
                world.loop.now,
            )
        )
        for name in plan.options["lists"]
    ]


def _judge(
    world: World,
    plan: WorkloadPlan,
    folder: Path,
    summary: Summary,
    progress: Progress,
    *,
    detects: bool,
) -> None:
    """Compare the files of each list with what Zoho had."""
    findings, now = progress.findings, world.loop.now
    for one in summary.resources:
        book = world.zoho.book(LISTS[one.resource.partition(".")[2]], plan.organizations[0])
        held = rows_of(findings, folder, one.resource, book, now)
        judge_export(
            findings,
            held,
            one.state,
            book,
            book.manners,
            since=progress.begun or 0,
            until=world.zoho.mark,
            at=now,
        )
        if detects and one.state == "proven" and can_be_proven(book.manners):
            findings.check("P3 export")
            died = {id for id in held if id in book.records and not _lived(book, id, progress)}
            if died:
                findings.say(
                    "P3 export",
                    now,
                    f"{one.resource}: deleted before the run, and not marked: {sorted(died)[:5]}",
                )


def _lived(book: Book, id: str, progress: Progress) -> bool:
    """Whether a record was there after the run had begun."""
    died = book.records[id].died
    return died is None or died > (progress.begun or 0) + 1


def rows_of(findings: Findings, folder: Path, resource: str, book: Book, at: float) -> list[str]:
    """The ids of the records in the files of a list: the full file, then the changes in order."""
    product, _, name = resource.partition(".")
    full, changes = folder / product / f"{name}.jsonl", folder / product / f"{name}.changes"
    files = [full] if full.exists() else []
    if changes.is_dir():
        files += sorted(path for path in changes.iterdir() if path.suffix == ".jsonl")
    held: dict[str, None] = {}
    twice: list[str] = []
    id_field = book.resource.row_id
    for path in files:
        with open(path, "rb") as file:
            data = file.read()
        findings.check("P3 files")
        if data and not data.endswith(b"\n"):
            findings.say("P3 files", at, f"{path.name} ends within a row")
        for line in data.splitlines():
            try:
                row = json.loads(line)
            except ValueError:
                findings.say("P3 files", at, f"{path.name} has a broken row", repr(line[:80]))
                continue
            id = row.get(id_field, "")
            if "_deleted_time" in row:
                held.pop(id, None)
            else:
                if path == full and id and id in held:
                    twice.append(id)
                held[id] = None
            _judge_row(findings, row, book, at)
    return [*held, *twice]


def _judge_row(findings: Findings, row: dict[str, Any], book: Book, at: float) -> None:
    """A row shows the name that its record has: nobody changes names."""
    record = book.records.get(row.get(book.resource.row_id, ""))
    shown = row.get(book.resource.name)
    if record is None or shown is None:
        return
    if shown != record.fields.get(book.resource.name):
        findings.say("P3 export", at, f"record {record.id} has the name {shown}")


def judge(world: World, plan: WorkloadPlan) -> None:
    """Hand over what was found, and look for drafts that workers left."""
    for name in plan.workers:
        progress = _PROGRESS[world].get(name)
        if progress is not None:
            report(progress.findings, world)
    world.check("P6")
    if left := world.disk.open_files():
        names = ", ".join(os.path.basename(path) for path in left)
        world.violation("P6", f"files stay open: {names}")


TABLE = {
    "exports": Workload(
        draw,
        run,
        prepare=prepare,
        judge=judge,
        requests=120,
        faults=(*CONNECT, *LINK, "kill", "stop", *DISK, *DISK),
    )
}
