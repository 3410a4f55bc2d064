"""A mirror that is kept true by daily runs with the change feed.

The writers are plain HTTP clients. What the mirror must hold is read from the sandbox's own store,
and what the feed may miss is decided here, by what the test hid from it.
"""

from __future__ import annotations

import json
import random
import re
import sqlite3
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, closing
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.command import Command, serving
from tests.support.plain_client import PlainClient, raw
from tests.support.unlimited_sandbox import strict_session
from zoho_async.cli.export_summary import as_lines
from zoho_async.errors import BudgetSpent
from zoho_async.export import Export, ExportOptions, Planned, ResourceSummary, Summary, feed
from zoho_async.sandbox import ActivityRules, Fault, Sandbox
from zoho_async.sandbox.data.schemas import schemas
from zoho_async.sandbox.data.store import RecordEvent
from zoho_async.sandbox.reports import activity
from zoho_async.session import Session

DAY: Final = 86_400.0
NUMBER: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?")
#: Noon, in the past: Zoho's clock in the headers is the real one.
START: Final = 1_780_315_200.0
IDS: Final = {
    "books.contacts": "contact_id",
    "books.invoices": "invoice_id",
    "books.expenses": "expense_id",
    "books.items": "item_id",
    "books.projects": "project_id",
}
LISTS: Final = tuple(name for name in IDS if name != "books.items")
#: Lists without a filter or an order by last modification.
BY_FEED: Final = ("books.expenses", "books.projects")
SIZES: Final = {
    "books.contacts": 410,
    "books.invoices": 220,
    "books.expenses": 650,
    "books.projects": 450,
    "books.items": 20,
}
FEW: Final = dict.fromkeys(SIZES, 5)


class Time:
    """The clock of the client, and the wall clock of the sandbox."""

    def __init__(self) -> None:
        self.now = START

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


class Company:
    """Writers, the mirror, and the clock."""

    def __init__(self, client: PlainClient, zoho: Session, clock: Time, to: Path) -> None:
        self.client = client
        self.sandbox = client.sandbox
        self.zoho = zoho
        self.clock = clock
        self.file = to / "books.sqlite"
        self.to = f"sqlite:{self.file}"
        self.chance = random.Random(4)
        self.planned: list[int] = []
        self.made: list[int] = []
        self.last: Summary
        self.deleted: set[str] = set()
        self.invoices: list[str] = []
        self.contacts: list[str] = []

    # -- writers ----------------------------------------------------------------------------------

    async def write(self, method: str, path: str, **body: Any) -> Any:
        self.clock.now += 60.0
        answer = await self.client.call(method, path, json=body or None)
        assert answer.status < 300, (method, path, answer.body)
        return answer.json

    def ids(self, name: str) -> list[str]:
        return [json.loads(row)[IDS[name]] for row in self.sandbox.truth(name)]

    def some(self, name: str) -> str:
        """A record, mostly one of the newest."""
        ids = self.ids(name)
        return ids[-1 - int(len(ids) * self.chance.random() ** 4)]

    async def delete(self, path: str, record: str) -> None:
        await self.write("DELETE", f"/{path}/{record}")
        self.deleted.add(record)

    async def work(self) -> None:
        """A day of writers: creates, edits, voids, comments and deletes."""
        party = self.ids("books.contacts")[0]
        await self.work_on_invoices(party)
        self.contacts.append(await self.contact())
        for _ in range(2):
            note = f"n {self.clock.now}"
            await self.write("PUT", f"/contacts/{self.some('books.contacts')}", company_name=note)
        if len(self.contacts) > 1:
            await self.delete("contacts", self.contacts.pop(0))
        for _ in range(3):
            await self.write("POST", "/expenses", **self.expense())
        for _ in range(3):
            await self.write("PUT", f"/expenses/{self.some('books.expenses')}", **self.expense())
        await self.delete("expenses", self.some("books.expenses"))
        await self.write("POST", "/projects", **self.project(party))
        await self.write("PUT", f"/projects/{self.some('books.projects')}", **self.project(party))
        if self.chance.random() < 0.3:
            await self.delete("projects", self.some("books.projects"))

    async def contact(self) -> str:
        made = await self.write("POST", "/contacts", contact_name=f"C {self.clock.now}")
        record: str = made["contact"]["contact_id"]
        return record

    async def work_on_invoices(self, party: str) -> None:
        """Two new invoices, a comment, and an older one that is voided or deleted."""
        for _ in range(2):
            line = {"name": "work", "rate": self.chance.randrange(5, 500)}
            made = await self.write("POST", "/invoices", customer_id=party, line_items=[line])
            self.invoices.append(made["invoice"]["invoice_id"])
        await self.write("POST", f"/invoices/{self.invoices[-1]}/status/sent")
        await self.write("POST", f"/invoices/{self.invoices[0]}/comments", description="hello")
        if len(self.invoices) > 4:
            await self.delete("invoices", self.invoices.pop(0))
            await self.write("POST", f"/invoices/{self.invoices.pop(0)}/status/void")

    def project(self, party: str) -> dict[str, Any]:
        return {
            "project_name": f"P {self.clock.now}",
            "customer_id": party,
            "billing_type": "based_on_task_hours",
            "user_id": self.sandbox.store().world.user_id,
        }

    def expense(self) -> dict[str, Any]:
        account = self.sandbox.store().collection("books.chart_of_accounts")
        return {
            "account_id": account.id(5),
            "paid_through_account_id": account.id(1),
            "date": "2026-06-01",
            "amount": self.chance.randrange(1, 900),
            "reference_number": f"R {self.clock.now}",
        }

    # -- the mirror -------------------------------------------------------------------------------

    def job(self, *names: str, **options: Any) -> Export:
        wanted = ExportOptions(change_feed=True, **options)
        return Export(self.zoho, names or LISTS, to=self.to, options=wanted, clock=self.clock)

    async def plan(self, *names: str) -> Planned:
        return await self.job(*names).plan()

    async def run(self, *names: str, **options: Any) -> Summary:
        self.clock.now += 60.0
        async with self.job(*names, **options) as job:
            return await job.wait()

    def differences(self, *names: str) -> dict[str, set[str]]:
        """The records in which the mirror differs from the sandbox, by list."""
        found: dict[str, set[str]] = {}
        for name in names or LISTS:
            said: dict[str, dict[str, Any]] = {}
            for row in self.sandbox.truth(name):
                one = json.loads(row, parse_float=Decimal)
                said[one[IDS[name]]] = one
            held = self.rows(name)
            wrong = said.keys() ^ held.keys()
            for one in said.keys() & held.keys():
                if not equal(said[one], held[one]):
                    wrong.add(one)
            if wrong:
                found[name] = wrong
        return found

    def rows(self, name: str) -> dict[str, dict[str, Any]]:
        """The rows of the mirror that are not marked deleted, each once."""
        with closing(sqlite3.connect(self.file)) as connection:
            connection.row_factory = sqlite3.Row
            table = name.replace(".", "_")
            rows = connection.execute(f'SELECT * FROM "{table}" WHERE _deleted_time IS NULL')
            held = [dict(row) for row in rows]
        by_id = {row[IDS[name]]: row for row in held}
        assert len(by_id) == len(held)
        return by_id


def equal(said: dict[str, Any], held: dict[str, Any]) -> bool:
    """Whether a row of the mirror has the texts and numbers of a record."""
    for field, value in said.items():
        if field not in held or field.endswith("_time") or isinstance(value, list | dict):
            continue
        if value is None and held[field] is None:
            continue
        kept = held[field]
        if isinstance(value, bool):
            same = bool(kept) is value
        elif isinstance(value, Decimal | int):
            same = kept is not None and float(kept) == float(value)  # `_exact` has more digits
        elif NUMBER.fullmatch(str(value or "")):
            same = kept is not None and Decimal(str(kept)) == Decimal(str(value))
        else:
            same = (kept or "") == value
        if not same:
            return False
    return True


@asynccontextmanager
async def company(to: Path, **rules: Any) -> AsyncGenerator[Company]:
    clock = Time()
    own: dict[str, Any] = {"sizes": SIZES, "wall_clock": clock.time} | rules
    sandbox = Sandbox(per_minute=10**6, per_day=10**6, in_flight=10**3, **own)
    async with raw(sandbox) as client, strict_session(sandbox) as zoho:
        yield Company(client, zoho, clock, to)


async def days(firm: Company, number: int) -> AsyncIterator[Summary]:
    """Days of work, each with a run. The plan is made before the run, and both are printed."""
    for day in range(number):
        await firm.work()
        planned = (await firm.plan()).calls
        summary = await firm.run()
        modes = {one.resource.partition(".")[2]: one.mode for one in summary.resources}
        print(f"day {day}: planned {planned}, made {summary.calls} calls, {modes}")
        firm.planned.append(planned)
        firm.made.append(summary.calls)
        firm.last = summary
        yield summary
        firm.clock.now += DAY


def of(summary: Summary, resource: str) -> ResourceSummary:
    return next(one for one in summary.resources if one.resource == resource)


@pytest.mark.long
async def test_after_each_run_of_a_month_the_mirror_equals_the_books(tmp_path: Path) -> None:
    async with company(tmp_path) as firm:
        modes: set[tuple[str, str]] = set()
        async for summary in days(firm, 31):
            assert firm.differences() == {}
            assert [one.exit_code for one in summary.resources] == [0] * len(LISTS)
            modes |= {(one.resource, one.mode) for one in summary.resources}
        made, planned = sum(firm.made), sum(firm.planned)
        print(f"month: planned {planned}, made {made} calls")
        assert abs(made - planned) <= 0.1 * made
        assert {(name, "feed") for name in BY_FEED} <= modes
        assert ("books.contacts", "changed") in modes
        assert ("books.contacts", "compared") in modes  # deleted records are looked for monthly


LATE: Final = ActivityRules(late_days=1)
REFUSED: Final = Fault(
    kind="code", path="/books/v3/reports/activitylogs", status=401, code=57, times=None
)


@pytest.mark.long
async def test_a_feed_that_is_a_day_late_delays_deletions_alone(tmp_path: Path) -> None:
    """Lists without a filter are read whole. The count shows deletions that wait for the feed."""
    async with company(tmp_path, activity=LATE) as firm:
        delays: list[float] = []
        async for summary in days(firm, 8):
            waiting = firm.differences()
            assert waiting.keys() <= {"books.contacts", "books.invoices"}
            assert all(ids <= firm.deleted for ids in waiting.values())
            surplus = of(summary, "books.contacts").surplus
            assert surplus == len(waiting.get("books.contacts", ()))
            delays += [one.feed_delay for one in summary.resources if one.feed_delay]
        assert delays
        assert max(delays) < 2 * DAY
        firm.clock.now += 2 * DAY
        await firm.run()
        assert firm.differences() == {}


@pytest.mark.long
@pytest.mark.parametrize("how", ["deletions hidden", "refused", "repeats"])
async def test_without_the_feed_deletions_wait_for_a_whole_read_and_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    rules: dict[str, dict[str, Any]] = {
        "deletions hidden": {"activity": ActivityRules(hidden=("deleted",))},
        "refused": {"faults": [REFUSED]},
        "repeats": {"activity": ActivityRules(repeats=True)},
    }
    status = {"deletions hidden": "read", "refused": "refused", "repeats": "incomplete"}[how]
    monkeypatch.setattr(feed, "_PER_PAGE", 5)
    async with company(tmp_path, **rules[how]) as firm:
        async for summary in days(firm, 6):
            (read,) = summary.feeds
            assert read.status == status
            assert bool(read.reason) == (status != "read")
            waiting = firm.differences()
            assert waiting.keys() <= {"books.contacts", "books.invoices"}
            assert all(ids <= firm.deleted for ids in waiting.values())
            surplus = of(summary, "books.contacts").surplus
            assert surplus == len(waiting.get("books.contacts", ()))
        assert firm.differences()["books.contacts"]
        assert "not found yet" in "\n".join(as_lines(firm.last))
        firm.clock.now += 30 * DAY
        await firm.run()
        assert firm.differences() == {}


@pytest.mark.long
async def test_edits_that_the_feed_does_not_show_end_the_reliance_on_it(tmp_path: Path) -> None:
    async with company(tmp_path) as firm:
        async for summary in days(firm, 6):
            assert of(summary, "books.contacts").exit_code == 0
            assert firm.differences() == {}
        assert of(firm.last, "books.expenses").mode == "feed"
        firm.sandbox.activity.hidden = ("updated",)
        wrong: set[str] = set()
        async for summary in days(firm, 4):
            expenses = of(summary, "books.expenses")
            missed = firm.differences()
            wrong |= missed.get("books.expenses", set())
            assert missed.keys() <= set(BY_FEED)  # lists with a filter do not rely on the feed
            assert expenses.mode == "feed" or "books.expenses" not in missed
            assert expenses.mode == "compared" or "is found on" in str(expenses.note)
            if expenses.mode == "compared":
                break
        assert wrong
        assert of(firm.last, "books.expenses").unnamed >= len(wrong)
        async for summary in days(firm, 3):
            assert of(summary, "books.expenses").mode == "compared"
            assert "books.expenses" not in firm.differences()


async def test_a_record_that_the_feed_calls_deleted_is_kept_if_it_exists(tmp_path: Path) -> None:
    """The feed of this test says so of every record, and of one that never was."""
    async with company(tmp_path, sizes=FEW) as firm:
        gone = await firm.contact()
        await firm.run()
        ids = [gone, *firm.ids("books.contacts")[:3], "999"]
        await firm.write("DELETE", f"/contacts/{gone}")
        store = firm.sandbox.store()
        contacts = schemas("books").by_name["books.contacts"]
        for one in ids[1:]:
            event = RecordEvent("deleted", "contact", one, {}, contacts)
            activity.log_entry(store, event)
        firm.clock.now += DAY
        summary = await firm.run()
        assert of(summary, "books.contacts").deleted == 1
        assert firm.differences() == {}


async def test_an_interrupted_run_uses_the_same_entries_again(tmp_path: Path) -> None:
    async with company(tmp_path, sizes=FEW) as firm:
        gone = await firm.contact()
        await firm.run()
        await firm.write("DELETE", f"/contacts/{gone}")
        firm.clock.now += DAY
        calls = 0
        for calls in range(1, 9):
            try:
                await firm.run(max_calls=calls)
            except BudgetSpent:
                continue
            break
        assert calls > 2
        assert firm.differences() == {}


async def relied_on(firm: Company) -> list[str]:
    """Bring a list of expenses so far that the next run reads it by the feed. Return its ids."""
    await firm.run("books.expenses")
    firm.clock.now += DAY
    await firm.run("books.expenses")
    firm.clock.now += DAY / 2
    return firm.ids("books.expenses")


EXPENSES: Final = FEW | {"books.expenses": 450}


async def test_an_interrupted_read_by_the_feed_is_not_believed_without_it(tmp_path: Path) -> None:
    async with company(tmp_path, sizes=EXPENSES) as firm:
        oldest, *_ = await relied_on(firm)
        await firm.write("PUT", f"/expenses/{oldest}", **firm.expense())
        with pytest.raises(BudgetSpent):
            await firm.run("books.expenses", max_calls=2)
        firm.sandbox.faults.append(REFUSED)
        summary = await firm.run("books.expenses")
        assert of(summary, "books.expenses").mode == "compared"
        assert firm.differences("books.expenses") == {}


async def test_a_record_that_changes_after_an_interrupted_run_read_it_is_read_again(
    tmp_path: Path,
) -> None:
    async with company(tmp_path, sizes=EXPENSES) as firm:
        oldest, *_, newest = await relied_on(firm)
        for one in (oldest, newest):
            await firm.write("PUT", f"/expenses/{one}", **firm.expense())
        with pytest.raises(BudgetSpent):  # after the first page, which shows the newest
            await firm.run("books.expenses", max_calls=2)
        firm.clock.now += DAY / 10
        await firm.write("PUT", f"/expenses/{newest}", **firm.expense())
        assert of(await firm.run("books.expenses"), "books.expenses").mode == "feed"
        assert firm.differences("books.expenses") == {}


async def test_entries_wait_while_a_part_of_another_run_is_continued(tmp_path: Path) -> None:
    """A record changes after its page was read, and the run that completes the list skips it."""
    async with company(tmp_path, sizes=EXPENSES) as firm:
        oldest, *_ = await relied_on(firm)
        firm.clock.now += 2 * DAY  # the whole list is due
        with pytest.raises(BudgetSpent):
            await firm.run("books.expenses", max_calls=3)
        await firm.write("PUT", f"/expenses/{oldest}", **firm.expense())
        firm.clock.now += DAY / 10
        assert of(await firm.run("books.expenses"), "books.expenses").mode == "compared"
        assert firm.differences("books.expenses") == {"books.expenses": {oldest}}
        firm.clock.now += DAY / 10
        assert of(await firm.run("books.expenses"), "books.expenses").mode == "feed"
        assert firm.differences("books.expenses") == {}


async def test_entries_that_are_read_again_for_another_list_are_not_used_again(
    tmp_path: Path,
) -> None:
    async with company(tmp_path, sizes=EXPENSES) as firm:
        await firm.run("books.contacts")
        oldest, *_ = await relied_on(firm)
        await firm.write("PUT", f"/expenses/{oldest}", **firm.expense())
        assert of(await firm.run("books.expenses"), "books.expenses").pages == 2
        firm.clock.now += 4 * DAY
        await firm.run("books.expenses")
        firm.clock.now += DAY
        summary = await firm.run("books.expenses", "books.contacts")
        one = of(summary, "books.expenses")
        assert (one.mode, one.pages) == ("feed", 1)
        assert firm.differences("books.expenses", "books.contacts") == {}


async def test_changes_before_the_days_that_are_read_do_not_count_against_the_feed(
    tmp_path: Path,
) -> None:
    async with company(tmp_path, sizes=EXPENSES) as firm:
        oldest, *_ = await relied_on(firm)
        await firm.write("PUT", f"/expenses/{oldest}", **firm.expense())
        firm.clock.now += 25 * DAY
        one = of(await firm.run("books.expenses"), "books.expenses")
        assert (one.mode, one.changed, one.unnamed) == ("compared", 1, 0)
        assert firm.differences("books.expenses") == {}
        firm.clock.now += DAY / 2
        assert of(await firm.run("books.expenses"), "books.expenses").mode == "feed"


async def test_a_deletion_that_the_feed_hides_is_noticed_at_once_in_a_list_read_by_it(
    tmp_path: Path,
) -> None:
    async with company(tmp_path, sizes=EXPENSES) as firm:
        oldest, *_, newest = await relied_on(firm)
        firm.sandbox.activity.hidden = ("deleted",)
        await firm.write("POST", "/expenses", **firm.expense())
        await firm.write("DELETE", f"/expenses/{oldest}")
        await firm.write("PUT", f"/expenses/{newest}", **firm.expense())
        summary = await firm.run("books.expenses")
        (one,) = summary.resources
        assert (one.mode, one.deleted, one.new, one.changed) == ("compared", 1, 1, 1)
        assert firm.differences("books.expenses") == {}
        assert "does not explain" in one.reason


async def test_details_of_records_that_the_feed_names_cost_one_call_each(tmp_path: Path) -> None:
    async with company(tmp_path, sizes=EXPENSES) as firm:
        await firm.run("books.expenses", details=True)
        firm.clock.now += DAY
        await firm.run("books.expenses")
        firm.clock.now += DAY / 2
        oldest, *_ = firm.ids("books.expenses")
        await firm.write("PUT", f"/expenses/{oldest}", **firm.expense())
        await firm.write("POST", "/expenses", **firm.expense())
        summary = await firm.run("books.expenses")
        (one,) = summary.resources
        # Two pages of the list, two records, and one call for the feed.
        assert (one.mode, one.pages, one.records, summary.calls) == ("feed", 2, 2, 5)
        held = firm.rows("books.expenses")
        said = {row["expense_id"]: row for row in map(json.loads, firm.sandbox.truth("expenses"))}
        assert held.keys() == said.keys()
        assert held[oldest]["reference_number"] == said[oldest]["reference_number"]


@pytest.mark.parametrize("to", ["files", "books.duckdb", "typed.parquet"])
async def test_other_destinations_take_the_same_tombstones(tmp_path: Path, to: str) -> None:
    async with company(tmp_path, sizes=EXPENSES) as firm:
        firm.to = str(tmp_path / to.removesuffix(".parquet"))
        options: dict[str, Any] = {"format": "parquet"} if to.endswith(".parquet") else {}
        gone = await firm.contact()
        for _ in range(2):
            await firm.run(**options)
            firm.clock.now += DAY
        firm.clock.now -= DAY / 2
        oldest, other, *_ = firm.ids("books.expenses")
        await firm.write("DELETE", f"/expenses/{other}")
        await firm.write("PUT", f"/expenses/{oldest}", **firm.expense())
        await firm.write("DELETE", f"/contacts/{gone}")
        summary = await firm.run(**options)
        assert [(one.mode, one.deleted, one.changed) for one in summary.resources] == [
            ("compared", 1, 0),
            ("compared", 0, 0),
            ("feed", 1, 1),
            ("compared", 0, 0),
        ]
        again = await firm.run(**options)
        assert [one.rows + one.deleted for one in again.resources] == [0, 0, 0, 0]


def test_the_command_shows_the_change_feed_and_the_reasons(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = FEW | {"books.contacts": 250}
    with serving(Sandbox(sizes=sizes)) as sandbox:
        command = Command(sandbox.environment(), tmp_path, monkeypatch, capsys)
        to = str(tmp_path / "books.sqlite")
        job = ("export", "contacts", "projects", "--change-feed", "--to", to)
        code, _, err = command(*job)
        assert code == 0
        assert "books.reports.activity_logs: 0 entries in 1 call" in err
        code, out, _ = command(*job, "--details", "--plan-only")
        assert code == 0
        assert "books.contacts: full" not in out
        assert "details:" not in out  # they are counted, as in any first read
        plan = command.json(*job, "--plan-only")
        assert plan["feed_calls"] == 1
        assert {one["resource"]: (one["mode"], one["calls"]) for one in plan["resources"]} == {
            "books.contacts": ("changed", 2),  # one page, and one count
            "books.projects": ("compared", 1),
        }
        assert "is described; the whole list takes 2 calls" in plan["resources"][0]["reason"]
        sandbox.faults.append(REFUSED)
        summary = command.json(*job)
        (read,) = summary["feeds"]
        assert (read["status"], read["calls"]) == ("refused", 2)  # a new token does not help
        code, out, err = command(*job)
        assert code == 0
        assert "refused" in out
        assert "lists are read without it" in err


#: 100,000 records.
LARGE: Final = {"books.contacts": 40_000, "books.items": 30_000, "books.expenses": 30_000}


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_100_000_records_with_500_changes_a_day_take_less_than_50_calls(
    tmp_path: Path,
) -> None:
    """Contacts and items are read by their filter, expenses by the feed alone.

    Changed expenses are mostly among the newest 2,000, and 3 a day are anywhere.
    """
    async with company(tmp_path, sizes=LARGE | {"books.invoices": 0}) as firm:
        lists = ("books.contacts", "books.items", "books.expenses")
        store = firm.sandbox.store()
        usual: list[int] = []
        for day in range(6):
            await a_day_of_500(firm)
            plan = await firm.plan(*lists)
            summary = await firm.run(*lists)
            modes = {one.resource: (one.mode, one.calls) for one in summary.resources}
            feed_calls = sum(one.calls for one in summary.feeds)
            print(f"day {day}: planned {plan.calls}, made {summary.calls} ({modes}, {feed_calls})")
            if of(summary, "books.expenses").mode == "feed":
                usual.append(summary.calls)
            firm.clock.now += DAY
        for name in lists:
            assert len(firm.rows(name)) == sum(1 for _ in store.rows(name).indexes())
        assert firm.differences(*lists) == {}
        assert usual
        assert max(usual) < 50


async def a_day_of_500(firm: Company) -> None:
    store, chance = firm.sandbox.store(), firm.chance

    ids = {
        name: [collection.id(index) for index in collection.indexes()][::-1]
        for name in ("books.contacts", "books.items", "books.expenses")
        for collection in [store.collection(name)]
    }

    def one_of(name: str, newest: int) -> str:
        return ids[name].pop(chance.randrange(newest))

    for number in range(200):
        contact = one_of("books.contacts", 39_000)
        await firm.write("PUT", f"/contacts/{contact}", company_name=f"n {number}")
    for number in range(150):
        body = {"name": f"i {firm.clock.now}", "rate": number}
        await firm.write("PUT", f"/items/{one_of('books.items', 29_000)}", **body)
    for _ in range(50):
        await firm.write("POST", "/expenses", **firm.expense())
    for number in range(95):
        record = one_of("books.expenses", 2_000 if number > 2 else 29_000)
        await firm.write("PUT", f"/expenses/{record}", **firm.expense())
    for _ in range(5):
        await firm.write("DELETE", f"/expenses/{one_of('books.expenses', 1_900)}")
