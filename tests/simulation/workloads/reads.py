"""Plain calls and lists: what a program does that reads, and now and then writes.

Each worker has a session, a ledger and an organization. It makes a drawn row of steps, some of them
at the same time: loops over lists in each form, loops that are left, single pages, single records,
and writes. What it got is judged at the end of each worker, when its session is closed.
"""

from __future__ import annotations

import asyncio
import random
import warnings
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any, Final

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
from tests.simulation.world import World
from tests.simulation.zoho import ORGANIZATIONS, Zoho, zoho_of
from zoho_async import Credentials, Limits, Session, ZohoError
from zoho_async.books.contacts import ContactCreate, ContactInput
from zoho_async.errors import AmbiguousWrite, NotFound
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


class Reader:
    """One worker. See the module."""

    def __init__(self, world: World, worker: Worker, plan: WorkloadPlan) -> None:
        self.world: Final = world
        self.worker: Final = worker
        self.zoho: Final[Zoho] = zoho_of(world)
        self.options: Final = msgspec.convert(plan.options, Options)
        place = plan.workers.index(worker.name)
        base = int(plan.options.get("organization", 0))
        self.organization: Final = ORGANIZATIONS[(base + place) % len(ORGANIZATIONS)]
        self.random: Final = random.Random(f"{self.options.seed}/{worker!r}")
        self.findings: Final = Findings()
        self.texts: Final[list[str]] = []
        self.intents: Final[list[Intent]] = []
        self.heard: Final[list[Heard]] = []
        self.spans: Final[list[tuple[float, float]]] = []
        self.changed: Final[set[str]] = set()
        self._names = 0

    @property
    def now(self) -> float:
        return self.world.loop.now

    async def run(self) -> None:
        options = self.options
        for path in LISTS:
            book = self.zoho.book(path, self.organization)
            if not book.records:
                moments = max(1, min(options.moments, options.rows))
                book.fill(options.rows, moments=moments, before=options.young, at=self.now)
        session = Session(
            Credentials("1000.CLIENT", "a-client-secret", f"1000.refresh-{self.worker.name}"),
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
        self._judge_end(usage.in_flight, sum(usage.waiting.values()))

    def _observe(self, event: object) -> None:
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
            with warnings.catch_warnings():
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
        name = f"Made by {self.worker.name} {self.worker.life} {self._names}"
        returned = ""

        async def create() -> None:
            nonlocal returned
            returned = (await books.contacts.create(ContactCreate(contact_name=name))).contact_id

        outcome = await self._write(create)
        self.intents.append(
            Intent("contacts", "create", outcome, name, returned=returned, at=self.now)
        )

    async def _change(self, step: str, books: Any) -> None:
        """Update or delete a record that nothing else of this workload changes."""
        book = self.zoho.book("items", self.organization)
        free = [one.id for one in book.alive() if one.id not in self.changed]
        if not free:
            return
        record = self.random.choice(free)
        self.changed.add(record)
        if step == "update":
            change = ContactInput(company_name="Changed")
            record = self._contact() or record
            outcome = await self._write(lambda: books.contacts.update(record, change))
            self.intents.append(Intent("contacts", "update", outcome, record=record, at=self.now))
            return
        outcome = await self._write(lambda: books.items.delete(record))
        self.intents.append(Intent("items", "delete", outcome, record=record, at=self.now))

    def _contact(self) -> str:
        """A contact that was not changed before, "" without one."""
        book = self.zoho.book("contacts", self.organization)
        free = [one.id for one in book.alive() if one.id not in self.changed]
        found = self.random.choice(free) if free else ""
        self.changed.add(found)
        return found

    async def _write(self, write: Callable[[], Awaitable[Any]]) -> Outcome:
        try:
            await write()
        except AmbiguousWrite as error:
            self._note_error(error)
            return "ambiguous"
        except ZohoError as error:
            self._note_error(error)
            return "refused"
        return "returned"

    # -- the end ----------------------------------------------------------------------------------

    def _judge_end(self, in_flight: int, waiting: int) -> None:
        findings, zoho, world = self.findings, self.zoho, self.world
        name = self.worker.name
        mine = [one for one in zoho.log if one.worker == name]
        written = zoho.book("contacts", self.organization).written
        judge_writes(
            findings, self.intents, [*written, *zoho.book("items", self.organization).written]
        )
        judge_silence(findings, mine, self.heard)
        judge_secrets(findings, self.texts, zoho.accounts.secrets, self.now)
        findings.check("P1 in flight", len(self.spans))
        if most_in_flight(self.spans) > self.options.in_flight:
            findings.say("P1 in flight", self.now, f"{most_in_flight(self.spans)} calls at once")
        findings.check("P6")
        left = world.network.open_connections(self.worker)
        if waiting or left:
            findings.say("P6", self.now, f"{waiting} calls wait, {left} connections are open")
        self._judge_limits(mine)
        world.counts["calls"] += len(mine)
        report(findings, world)

    def _judge_limits(self, mine: Sequence[Any]) -> None:
        """Only requests that may be late for longer than ``linger`` are no evidence."""
        late = any(
            one.kind == "partition" and one.seconds >= 30.0 for one in self.world.plan.faults
        )
        if late:
            return
        limit = self.options.limit
        judge_minute(self.findings, mine, limit=limit)
        usage = self.zoho.quotas[self.organization]
        if {one.worker for one in self.zoho.log if one.organization == self.organization} == {
            self.worker.name
        }:
            judge_blocks(self.findings, usage.minute.blocks, arrivals=len(mine), limit=limit)
        refresh = f"1000.refresh-{self.worker.name}"
        judge_tokens(self.findings, [one for one in self.zoho.accounts.asked if one[1] == refresh])


async def run(world: World, worker: Worker, plan: WorkloadPlan) -> None:
    """Be one worker of the workload, and report what is broken."""
    await Reader(world, worker, plan).run()


def _getters(row_id: str, name: str) -> tuple[Callable[[Any], str], Callable[[Any], str]]:
    """How a row shows its id and its name: as an attribute, a key, or in ``extra``."""

    def value(row: Any, field: str) -> str:
        found = row.get(field) if isinstance(row, dict) else getattr(row, field, None)
        if found is None and not isinstance(row, dict):
            found = getattr(row, "extra", {}).get(field)
        return "" if found is None else str(found)

    return (lambda row: value(row, row_id)), (lambda row: value(row, name))
