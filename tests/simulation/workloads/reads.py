"""Plain calls and lists: what a program does that reads, and now and then writes.

One worker has a session, a ledger in memory and an organization. It takes drawn steps, some of them
at the same time: loops over lists in each form, loops that are left, single pages, single records,
and writes. What it got is judged when the world ends. A worker that is killed begins again, with an
empty ledger, so its limits are judged only if it lived once.
"""

from __future__ import annotations

import asyncio
import random
import warnings
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Final, Literal, cast
from weakref import WeakKeyDictionary

import msgspec

from tests.judges.arrivals import most_in_flight
from tests.simulation.judges import (
    Findings,
    Heard,
    Intent,
    Outcome,
    Reading,
    judge_blocks,
    judge_error,
    judge_minute,
    judge_reading,
    judge_secrets,
    judge_silence,
    judge_tokens,
    judge_writes,
    report,
)
from tests.simulation.loop import Worker
from tests.simulation.plan import WorkloadPlan
from tests.simulation.workloads import Workload
from tests.simulation.world import World
from zoho_async import Credentials, Limits, Session, ZohoError
from zoho_async.books.contacts import ContactCreate, ContactInput
from zoho_async.errors import AmbiguousWrite, NotFound, UnconfirmedFilter
from zoho_async.events import Called, Refused
from zoho_async.limits import MemoryLedger
from zoho_async.paging import Pager

KIND: Final = "reads"

#: Lists that are read, as Zoho's path and the package's name.
LISTS: Final = {
    "contacts": "contacts",
    "items": "items",
    "invoices": "invoices",
    "estimates": "estimates",
    "salesorders": "sales_orders",
    "customerpayments": "customer_payments",
    "chartofaccounts": "chart_of_accounts",
}
STEPS: Final = (
    *("loop", "loop", "loop", "filtered", "raw", "raw", "raw pages", "pages", "into", "left"),
    *("page", "get", "get", "create", "create", "update", "delete", "nap"),
)


class Options(msgspec.Struct, frozen=True):
    """What each worker of the workload does.

    ``rows`` are the records of each list at the start, created at ``moments`` times, the last of
    them ``young`` seconds before the start. ``together`` steps run at the same time.
    """

    steps: int = 20
    rows: int = 60
    moments: int = 20
    young: float = 86_400.0
    together: int = 1
    limit: int = 90
    burst: int = 10
    in_flight: int = 10
    lane: str = "bulk"
    max_wait: float | None = None
    strict: bool = False
    seed: int = 0


def draw(chance: random.Random) -> dict[str, Any]:
    """Draw the options of one workload."""
    limit = chance.choice((90, 90, 90, 60, 20))
    options: dict[str, Any] = msgspec.to_builtins(
        Options(
            steps=chance.choice((5, 20, 60)),
            rows=chance.choice((0, 1, 9, 10, 60, 150)),
            moments=chance.choice((1, 5, 1000)),
            young=chance.choice((86_400.0, 86_400.0, 86_400.0, 20.0)),
            together=chance.choice((1, 1, 3, 12)),
            limit=limit,
            burst=chance.choice((1, 10, limit)),
            in_flight=chance.choice((1, 5, 10)),
            lane=chance.choice(("bulk", "bulk", "interactive")),
            max_wait=chance.choice((None, None, 5.0, 60.0)),
            strict=chance.random() < 0.15,
            seed=chance.getrandbits(32),
        )
    )
    return options


class Row(msgspec.Struct):
    """A row of one's own shape."""

    contact_id: str
    contact_name: str = ""


#: The lives of each world's workers.
_LIVES: Final[WeakKeyDictionary[World, list[Reader]]] = WeakKeyDictionary()


class Reader:
    """One life of a worker. See the module."""

    def __init__(self, world: World, worker: Worker, plan: WorkloadPlan) -> None:
        self.world: Final = world
        self.worker: Final = worker
        self.zoho: Final = world.zoho
        self.options: Final = msgspec.convert(plan.options, Options)
        self.organization: Final = plan.organizations[0]
        self.random: Final = random.Random(f"{self.options.seed}/{worker!r}")
        self.findings: Final = Findings()
        self.texts: Final[list[str]] = []
        self.intents: Final[dict[tuple[str, str], Intent]] = {}
        self.heard: Final[list[Heard]] = []
        self.spans: Final[list[tuple[float, float]]] = []
        self._names = 0
        self._refresh: Final = f"1000.refresh-{worker.name}"

    @property
    def now(self) -> float:
        return self.world.loop.now

    async def run(self) -> None:
        options = self.options
        session = Session(
            Credentials("1000.CLIENT", "a-client-secret", self._refresh),
            organization=self.organization,
            clock=self.world.clock_of(self.worker),
            ledger=MemoryLedger(),
            limits=Limits(limit=options.limit, burst=options.burst, in_flight=options.in_flight),
            observer=self._observe,
            strict=options.strict,
        )
        async with session:
            books = session.with_options(
                lane=options.lane,  # type: ignore[arg-type]
                max_wait=options.max_wait,
                wait_for_reset=options.max_wait is None,
            ).books
            steps = [self.random.choice(STEPS) for _ in range(options.steps)]
            while steps:
                some, steps = steps[: options.together], steps[options.together :]
                await asyncio.gather(*(self._step(each, books) for each in some))
            usage = await session.snapshot()
            waiting = sum(usage.waiting.values())
            self.findings.check("P6")
            if waiting:
                self.findings.say(
                    "P6", self.now, f"{waiting} calls are counted as waiting, and none waits"
                )

    def _observe(self, event: object) -> None:
        if not isinstance(event, Called) or len(self.spans) % 20 == 0:
            self.texts.append(repr(event))
        if isinstance(event, Called) and event.status is not None:
            # Inexact by the rounding of floats, so a microsecond is left out at both ends.
            self.spans.append((self.now - event.seconds + 1e-6, self.now - 1e-6))
        if isinstance(event, Refused) and event.code in (43, 44):
            known = [
                one.retry_after
                for one in self.zoho.log
                if one.worker == self.worker.name and one.refused == "block" and not one.copied
            ]
            if known:
                self.heard.append(Heard(self.now, self.worker.name, self.organization, known[-1]))

    # -- steps ------------------------------------------------------------------------------------

    async def _step(self, step: str, books: Any) -> None:
        try:
            await self._take(step, books)
        except ZohoError as error:
            self._note_error(error)
        except Exception as error:
            judge_error(self.findings, error, self.now)
            self.world.note("error", f"{step}: {error!r}")

    def _note_error(self, error: ZohoError) -> None:
        judge_error(self.findings, error, self.now)
        self.texts.extend([str(error), repr(error), repr(error.__cause__)])
        self.world.counts[f"error {type(error).__name__}"] += 1

    async def _take(self, step: str, books: Any) -> None:
        path = self.random.choice(list(LISTS))
        resource = getattr(books, LISTS[path])
        match step:
            case "loop" | "raw" | "raw pages" | "pages" | "left" | "filtered":
                await self._loop(step, path, resource)
            case "into":
                await self._loop(step, "contacts", books.contacts)
            case "page":
                await self._page(path, resource)
            case "get":
                await self._get(books)
            case "create":
                await self._create(books)
            case "update" | "delete":
                await self._change(step, books)
            case _:
                await asyncio.sleep(self.random.choice((1.0, 30.0, 90.0, 4000.0)))

    async def _loop(self, step: str, path: str, resource: Any) -> None:
        book = self.zoho.book(path, self.organization)
        since = self.zoho.mark
        status = "overdue" if step == "filtered" and path == "invoices" else ""
        pager: Pager[Any] = resource.list(status=status) if status else resource.list()
        if step == "into":
            pager = pager.into(Row)
        most = self.random.randint(0, 20) if step == "left" else -1
        ids: list[str] = []
        names: list[str] = []
        id_of, name_of = _getters(book.resource.row_id, book.resource.name)
        state = ""
        try:
            if step in ("raw pages", "pages"):
                pages = pager.pages() if step == "pages" else pager.raw_pages()
                async with pages:
                    async for page in pages:
                        ids += page.ids
            else:
                rows = pager.raw() if step == "raw" else aiter(pager)
                async with aclosing(rows):
                    async for row in rows:
                        if step == "raw":
                            row = msgspec.json.decode(row)
                        ids.append(id_of(row))
                        names.append(name_of(row))
                        if len(ids) == most:
                            break
            state = "" if most >= 0 else pager.completeness or ""
            if step == "raw pages" and state != "proven":
                state = ""  # its reader, an export, looks for evidence in the times of rows
        finally:
            if step == "raw pages":  # repeated rows are kept
                ids = list(dict.fromkeys(ids))
            # A filter that Zoho ignores lists all, so its rows are judged as those of all.
            manners = book.manners
            if "filters" in manners.ignores:
                status = ""
            reading = Reading(
                path,
                since,
                self.zoho.mark,
                tuple(ids),
                state,
                tuple(names) if names else None,
                status,
                self.now,
            )
            judge_reading(self.findings, reading, book, manners)
            self.world.counts[f"list {state or 'without an end'}"] += 1
            self.world.note("list", f"{path} {step}: {len(ids)} rows, {state or 'no end'}")

    async def _page(self, path: str, resource: Any) -> None:
        book = self.zoho.book(path, self.organization)
        since = self.zoho.mark
        page = await resource.list(per_page=self.random.choice((5, 50, 200)))
        ids = tuple(dict.fromkeys(page.ids))
        reading = Reading(path, since, self.zoho.mark, ids, "", None, "", self.now)
        judge_reading(self.findings, reading, book, book.manners)

    async def _get(self, books: Any) -> None:
        book = self.zoho.book("contacts", self.organization)
        if not book.records:
            return
        record = self.random.choice(list(book.records.values()))
        since = self.zoho.mark
        try:
            found = await books.contacts.get(record.id)
        except NotFound:
            return
        self.findings.check("P3 once")
        if found.contact_id != record.id or (record.died or since + 1) <= since:
            self.findings.say("P3 once", self.now, f"contact {record.id} came as {found!r:.200}")

    async def _create(self, books: Any) -> None:
        self._names += 1
        name = f"Made by {self.worker!r} {self._names}"

        async def create() -> str:
            found = await books.contacts.create(ContactCreate(contact_name=name))
            return str(found.contact_id)

        await self._write(Intent("contacts", "create", "cut off", name, at=self.now), create)

    async def _change(self, step: str, books: Any) -> None:
        """Update or delete a record that nothing else of this workload changes."""
        path = "contacts" if step == "update" else "items"
        alive = self.zoho.book(path, self.organization).alive()
        free = [one.id for one in alive if one.id not in _changed(self.world)]
        if not free:
            return
        record = self.random.choice(free)
        _changed(self.world).add(record)

        async def change() -> str:
            if step == "update":
                await books.contacts.update(record, ContactInput(company_name="Changed"))
            else:
                await books.items.delete(record)
            return ""

        kind: Literal["update", "delete"] = "update" if step == "update" else "delete"
        await self._write(Intent(path, kind, "cut off", record=record, at=self.now), change)

    async def _write(self, intent: Intent, write: Callable[[], Awaitable[str]]) -> None:
        """Make a write, and note how it ended. A killed worker notes nothing more."""
        key = intent.kind, intent.name or intent.record
        self.intents[key] = intent
        outcome: Outcome = "returned"
        returned = ""
        try:
            returned = await write()
        except AmbiguousWrite as error:
            self._note_error(error)
            outcome = "ambiguous"
        except ZohoError as error:
            self._note_error(error)
            outcome = "refused"
        self.intents[key] = replace(intent, outcome=outcome, returned=returned)

    # -- the end ----------------------------------------------------------------------------------

    def judge(self, *, lives: int) -> None:
        """Judge what this life got. The limits only if it was the only one."""
        findings, zoho = self.findings, self.zoho
        name = self.worker.name
        mine = [one for one in zoho.log if one.worker == name]
        books = [zoho.book(path, self.organization) for path in ("contacts", "items")]
        written = [one for book in books for one in book.written]
        judge_writes(
            findings,
            self.intents.values(),
            written,
            answered_in_order=all(kind != "stray_reply" for kind, _ in self.world.faults),
        )
        judge_secrets(findings, self.texts, zoho.accounts.secrets, self.now)
        findings.check("P1 in flight", len(self.spans))
        if most_in_flight(self.spans) > self.options.in_flight:
            findings.say("P1 in flight", self.now, f"{most_in_flight(self.spans)} calls at once")
        if lives == 1:
            judge_silence(findings, mine, self.heard)
            asked = [one for one in zoho.accounts.asked if one[1] == self._refresh]
            judge_tokens(findings, asked)
            if not self._may_be_late():
                judge_minute(findings, mine, limit=self.options.limit)
                blocks = zoho.quotas[self.organization].minute.blocks
                judge_blocks(findings, blocks, arrivals=len(mine), limit=self.options.limit)
        report(findings, self.world)

    def _may_be_late(self) -> bool:
        """Whether a request can be on its way for longer than ``linger``."""
        return any(
            one.kind == "partition" and one.worker == self.worker.name and one.seconds > 25.0
            for one in self.world.plan.faults
        )


async def run(world: World, worker: Worker, plan: WorkloadPlan) -> None:
    """Be one life of the worker."""
    warnings.simplefilter("ignore", UnconfirmedFilter)
    reader = Reader(world, worker, plan)
    _LIVES.setdefault(world, []).append(reader)
    await reader.run()


def prepare(world: World, plan: WorkloadPlan) -> None:
    """Fill the lists."""
    options = msgspec.convert(plan.options, Options)
    moments = max(1, min(options.moments, options.rows))
    for path in LISTS:
        book = world.zoho.book(path, plan.organizations[0])
        book.fill(options.rows, moments=moments, before=options.young, at=world.loop.now)


def judge(world: World, plan: WorkloadPlan) -> None:
    """Judge all lives of the workload's worker."""
    lives = [one for one in _LIVES.get(world, ()) if one.worker.name in plan.workers]
    for one in lives:
        one.judge(lives=len(lives))


_CHANGED: Final[WeakKeyDictionary[World, set[str]]] = WeakKeyDictionary()


def _changed(world: World) -> set[str]:
    """The records of ``world`` that were updated or deleted."""
    return _CHANGED.setdefault(world, set())


def _getters(row_id: str, name: str) -> tuple[Callable[[Any], str], Callable[[Any], str]]:
    """How a row shows its id and its name: as an attribute, a key, or in ``extra``."""

    def value(row: Any, field: str) -> str:
        if isinstance(row, dict):
            return str(cast("dict[str, Any]", row).get(field) or "")
        found = getattr(row, field, None)
        if found is None:
            found = getattr(row, "extra", {}).get(field)
        return "" if found is None else str(found)

    return (lambda row: value(row, row_id)), (lambda row: value(row, name))


TABLE: Final = {KIND: Workload(draw, run, prepare=prepare, judge=judge, requests=100, weight=3.0)}
