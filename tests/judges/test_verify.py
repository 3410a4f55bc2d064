"""Verification is judged by books on paper: what it finds, and that it never accuses wrongly."""

from __future__ import annotations

import asyncio
import datetime as dt
import gc
import shutil
import sqlite3
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec
import pytest

from tests.judges.paper_books import EXPORTED, ORGANIZATION, PaperBooks
from tests.judges.raw_http import Request, Server
from zoho_async import Credentials, Limits, Session
from zoho_async.errors import BudgetSpent
from zoho_async.export import CheckpointRefused, Export
from zoho_async.export.options import ExportOptions, FormatName
from zoho_async.http.call import Budget
from zoho_async.limits import MemoryLedger
from zoho_async.reports import PeriodLength
from zoho_async.verify import Verification, certificate_text, plan_verification, verify

#: What is compared without account transactions and payables.
REST = {"receivables", "counts", "rows", "stock", "apart"}
TODAY = dt.datetime(2026, 4, 10, 12, tzinfo=dt.UTC)


class Judge:
    """Books on paper, and the mirror that an export made of them."""

    def __init__(self, books: PaperBooks, server: Server, home: Path) -> None:
        self.books = books
        self.server = server
        self.home = home

    async def export(
        self,
        to: str = "books.sqlite",
        options: ExportOptions = ExportOptions(),  # noqa: B008 - a frozen value
        lists: Sequence[str] = EXPORTED,
    ) -> Path:
        async with (
            self.session() as zoho,
            Export(zoho, lists, to=self.home / to, options=options) as job,
        ):
            assert (await job.wait()).exit_code == 0
        return self.home / to

    async def verify(self, mirror: Path, by: PeriodLength = "year") -> Verification:
        async with self.session() as zoho:
            return await verify(zoho, mirror, by=by, now=lambda: TODAY)

    @asynccontextmanager
    async def session(self) -> AsyncGenerator[Session]:
        async with Session(
            Credentials(client_id="1000.P", client_secret="s", refresh_token="r"),
            organization=ORGANIZATION,
            api_url=self.server.url,
            accounts_url=self.server.url,
            limits=Limits(limit=10**6, burst=10**6, in_flight=10**3),
            ledger=MemoryLedger(),
        ) as zoho:
            yield zoho


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A true export to SQLite, which tests copy."""
    with (books := PaperBooks()).serve() as server:
        return asyncio.run(Judge(books, server, tmp_path_factory.mktemp("exported")).export())


@pytest.fixture
def mirror(exported: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(exported, tmp_path))


@pytest.fixture
def judge(tmp_path: Path) -> Iterator[Judge]:
    books = PaperBooks()
    with books.serve() as server:
        yield Judge(books, server, tmp_path)


@pytest.mark.parametrize("by", ["year", "month"])
async def test_the_books_agree(judge: Judge, mirror: Path, by: PeriodLength) -> None:
    found = await judge.verify(mirror, by)
    assert {one.verdict for one in found.checks if one.zoho is not None} == {"agrees"}
    assert found.exit_code == 0
    apart = {(one.name, one.unit, str(one.mirror)) for one in found.checks if one.zoho is None}
    assert apart == {
        ("open credit notes", "EUR", "119"),
        ("unapplied customer payments", "no currency", "250"),
    }


# -- what it finds ------------------------------------------------------------------------------

LINES, INVOICES = "books_chart_of_accounts_transactions", "books_invoices"


class Forged(NamedTuple):
    """A change of the mirror, and the check that must find it with the record that it names."""

    sql: str
    subject: str
    name: str
    record: str


FORGED = {
    "row dropped": Forged(
        f"DELETE FROM {LINES} WHERE account_id = 'A2' AND transaction_id = 'I3'",
        *("accounts", "Sales", "invoice INV-3"),
    ),
    "rounding line dropped": Forged(
        f"DELETE FROM {LINES} WHERE account_id = 'A6'",
        *("accounts", "Rounding", "invoice INV-3"),
    ),
    "amount changed by a cent": Forged(
        f"UPDATE {LINES} SET debit_amount = 276.01 WHERE debit_amount = 276",
        *("accounts", "Bank", "customer payment 1"),
    ),
    "sign flipped": Forged(
        f"UPDATE {LINES} SET debit_amount = 1.89, credit_amount = NULL WHERE account_id = 'A7'",
        *("accounts", "Exchange Gain or Loss", "customer payment 1"),
    ),
    "date moved past the end": Forged(
        f"UPDATE {LINES} SET transaction_date = '2026-04-01' WHERE account_id = 'A8'",
        *("accounts", "Accounts Payable", "bills BILL-1"),
    ),
    "date moved into the period": Forged(
        f"UPDATE {LINES} SET transaction_date = '2026-03-31' WHERE transaction_id = 'I4'",
        *("accounts", "Sales", "invoice INV-4"),
    ),
    "first month cut": Forged(
        f"DELETE FROM {LINES} WHERE transaction_date < '2026-02-01'",
        *("accounts", "Tax Payable", "invoice INV-1"),
    ),
    "one of two equal lines dropped": Forged(
        f"DELETE FROM {LINES} WHERE _key = (SELECT max(_key) FROM {LINES}"
        " WHERE account_id = 'A9' AND transaction_id = 'J1')",
        *("accounts", "Rent", "journal 1"),
    ),
    "row duplicated": Forged(
        f"INSERT INTO {LINES} (_key, account_id, transaction_id, transaction_type, entry_number,"
        " transaction_date, currency_code, debit_amount) VALUES ('A1/99', 'A1', 'I1', 'invoice',"
        " 'INV-1', '2026-01-10', 'EUR', 1190)",
        *("accounts", "Accounts Receivable", "invoice INV-1"),
    ),
    "row that Zoho never had": Forged(
        f"INSERT INTO {LINES} (_key, account_id, transaction_id, transaction_type, entry_number,"
        " transaction_date, currency_code, credit_amount) VALUES ('A3/99', 'A3', 'X9', 'journal',"
        " '9', '2026-01-12', 'EUR', 5000)",
        *("accounts", "Bank", "journal 9"),
    ),
    "currency of a line swapped": Forged(
        f"UPDATE {LINES} SET currency_code = 'EUR' WHERE debit_amount = 456.85",
        *("accounts", "Accounts Receivable", "invoice INV-2"),
    ),
    "currency of an invoice swapped": Forged(
        f"UPDATE {INVOICES} SET currency_code = 'EUR' WHERE invoice_id = 'I2'",
        *("receivables", "Baker", "INV-2"),
    ),
    "currency of one invoice of several swapped": Forged(
        f"UPDATE {INVOICES} SET currency_code = 'USD' WHERE invoice_id = 'I3'",
        *("receivables", "Alba", "INV-3"),
    ),
    "balance changed": Forged(
        f"UPDATE {INVOICES} SET balance = 1190.01 WHERE invoice_id = 'I1'",
        *("receivables", "Alba", "INV-1"),
    ),
    "invoice dropped": Forged(
        f"DELETE FROM {INVOICES} WHERE invoice_id = 'I4'", "receivables", "Alba", "INV-4"
    ),
    "draft turned into an invoice": Forged(
        f"UPDATE {INVOICES} SET status = 'sent' WHERE invoice_id = 'I5'",
        *("receivables", "Alba", "INV-5"),
    ),
    "bill sign flipped": Forged(
        "UPDATE books_bills SET balance = -800", "payables", "Cole", "BILL-1"
    ),
    "list cut": Forged("DELETE FROM books_items", "counts", "books.items", "T1"),
}


def forge(mirror: Path, sql: str) -> None:
    """Change a mirror, and its index as well, so that only the comparison with Zoho can tell."""
    with closing(sqlite3.connect(mirror)) as database, database:
        database.execute(sql)
        for table in (LINES, INVOICES, "books_bills", "books_items"):
            number = "(SELECT CAST(state ->> '$.number' AS INT) FROM _zoho_resource WHERE name = ?)"
            name = table.replace("books_chart_of_accounts_", "books.chart_of_accounts.")
            name = name.replace("books_", "books.", 1)
            index = "_zoho_child" if table == LINES else "_zoho_record"
            key = {LINES: "_key", INVOICES: "invoice_id", "books_bills": "bill_id"}
            database.execute(
                f"DELETE FROM {index} WHERE resource = {number}"
                f" AND id NOT IN (SELECT {key.get(table, 'item_id')} FROM {table})",
                (name,),
            )


@pytest.mark.parametrize("by", ["year", "month"])
@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
async def test_a_forged_mirror_differs_and_the_record_is_named(
    judge: Judge, mirror: Path, forged: Forged, by: PeriodLength
) -> None:
    forge(mirror, forged.sql)
    found = await judge.verify(mirror, by)
    assert found.exit_code == 5
    named = {
        one.record
        for each in found.differing
        if (each.subject, each.name) == (forged.subject, forged.name)
        for one in each.differences
    }
    assert forged.record in named


@pytest.mark.parametrize(
    ("sql", "row"),
    [
        (f"DELETE FROM {LINES} WHERE transaction_id = 'J1' AND account_id = 'A3'", "A3/"),
        (f"DELETE FROM {INVOICES} WHERE invoice_id = 'I5'", "I5"),
        (f"INSERT INTO {INVOICES} (invoice_id, status) VALUES ('I6', 'draft')", "I6"),
    ],
)
async def test_rows_are_compared_with_those_that_the_export_wrote(
    judge: Judge, mirror: Path, sql: str, row: str
) -> None:
    """Without a call: a draft is in no report."""
    with closing(sqlite3.connect(mirror)) as database, database:
        database.execute(sql)
    found = await judge.verify(mirror)
    (rows,) = [each for each in found.differing if each.subject == "rows"]
    assert [one.id.startswith(row) for one in rows.differences] == [True]


# -- what it never says -------------------------------------------------------------------------

NOW = "2026-12-31T23:59:00+0100"


def invoice_posted_into_the_closed_period(books: PaperBooks) -> None:
    books.lists["invoices"].append(
        {
            **dict(books.lists["invoices"][0], invoice_id="I7", invoice_number="INV-7"),
            "created_time": NOW,
            "last_modified_time": NOW,
            "balance": 10.0,
            "total": 10.0,
        }
    )
    for account, side in (("A1", "debit_amount"), ("A2", "credit_amount")):
        line = dict(books.lines[0], account_id=account, transaction_id="I7", entry_number="INV-7")
        books.lines.append({**line, "debit_amount": "", "credit_amount": "", side: 10.0})
    quarter = books.trial_balances["1970-01-01", "2026-03-31"]
    quarter |= {"A1": "1363.73", "A2": "-1450.88"}
    books.receivables = (("C1", "Alba", "1359.99", "1359.99"), *books.receivables[1:])


def payment_of_an_invoice(books: PaperBooks) -> None:
    books.lists["invoices"][0] |= {"balance": 0.0, "status": "paid", "last_modified_time": NOW}
    books.receivables = (("C1", "Alba", "159.99", "159.99"), *books.receivables[1:])


def invoice_deleted(books: PaperBooks) -> None:
    del books.lists["invoices"][2]
    books.lines = [line for line in books.lines if line["transaction_id"] != "I3"]
    quarter = books.trial_balances["1970-01-01", "2026-03-31"]
    quarter |= {"A1": "1253.74", "A2": "-1356.85", "A4": "-171.00"}
    del quarter["A6"]
    books.receivables = (("C1", "Alba", "1250.00", "1250.00"), *books.receivables[1:])


def invoice_voided(books: PaperBooks) -> None:
    books.lists["invoices"][3] |= {"status": "void", "balance": 0.0, "last_modified_time": NOW}
    books.receivables = (("C1", "Alba", "1289.99", "1289.99"), *books.receivables[1:])


def aging_without_credits(books: PaperBooks) -> None:
    """A report that subtracts the credit and the advance."""
    books.receivables = (("C1", "Alba", "980.99", "980.99"), *books.receivables[1:])


def aging_at_another_rate(books: PaperBooks) -> None:
    """A report whose two amounts are equal, as if USD were the base currency."""
    books.receivables = (books.receivables[0], ("C2", "Baker", "200.00", "200.00"))


def trial_balance_with_other_signs(books: PaperBooks) -> None:
    for amounts in books.trial_balances.values():
        for account, amount in amounts.items():
            amounts[account] = amount[1:] if amount.startswith("-") else f"-{amount}"


def trial_balance_rounded(books: PaperBooks) -> None:
    for amounts in books.trial_balances.values():
        amounts |= {account: amount.partition(".")[0] for account, amount in amounts.items()}


def account_that_no_list_shows(books: PaperBooks) -> None:
    """The report has an account that was not in the chart of accounts when it was exported."""
    books.trial_balances["1970-01-01", "2026-03-31"]["A0"] = "15.00"
    books.lines.append(dict(books.lines[0], account_id="A0", debit_amount=15.0))


def stock_sold(books: PaperBooks) -> None:
    books.stock["T1"] = "6.00"


def one_status_became_another(books: PaperBooks) -> None:
    """Time passes: sent turns into overdue, and the document did not change. The report did."""
    books.lists["invoices"][3]["status"] = "overdue"
    aging_without_credits(books)


def rate_of_a_paid_invoice(books: PaperBooks) -> None:
    """The invoice changed, and with it the gain of its payment, which did not."""
    books.lists["invoices"][1]["last_modified_time"] = NOW
    for line in books.lines:
        if line["account_id"] != "A3" and line["transaction_id"] in ("I2", "P1"):
            for side in ("debit_amount", "credit_amount"):
                line[side] = line[side] and line[side] + 1
    books.trial_balances["1970-01-01", "2026-03-31"] |= {"A2": "-1441.88", "A7": "-2.89"}


def cost_of_stock_in_an_expense_account(books: PaperBooks) -> None:
    """A bill with an earlier date changed the cost of what another bill sold."""
    for line in books.lines:
        if line["transaction_id"] == "B1":
            for side in ("debit_amount", "credit_amount"):
                line[side] = line[side] and line[side] + 1
    books.trial_balances["1970-01-01", "2026-03-31"] |= {"A8": "-801.00", "A9": "821.00"}


TRUE = (
    rate_of_a_paid_invoice,
    *(invoice_posted_into_the_closed_period, payment_of_an_invoice, invoice_deleted),
    *(invoice_voided, aging_without_credits, aging_at_another_rate, stock_sold),
    account_that_no_list_shows,
    *(trial_balance_with_other_signs, trial_balance_rounded, one_status_became_another),
)


@pytest.mark.parametrize("change", TRUE, ids=lambda each: each.__name__)
async def test_a_true_export_never_differs(
    judge: Judge, mirror: Path, change: Callable[[PaperBooks], None]
) -> None:
    """Whatever changed in Zoho since, and however its reports add up."""
    change(judge.books)
    found = await judge.verify(mirror)
    assert found.differing == ()
    doubtful = [one for one in found.checks if one.verdict != "agrees" and one.zoho is not None]
    assert bool(doubtful) == (change is not aging_at_another_rate)


async def test_costs_of_stock_in_an_expense_account_never_differ(judge: Judge) -> None:
    for account in judge.books.lists["chartofaccounts"]:
        if account["account_id"] == "A8":
            account["account_type"] = "stock"
    mirror = await judge.export()
    cost_of_stock_in_an_expense_account(judge.books)
    found = await judge.verify(mirror)
    assert found.differing == ()
    assert {each.name for each in found.checks if each.set_apart} == {"Accounts Payable", "Rent"}


@pytest.mark.parametrize("change", TRUE, ids=lambda each: each.__name__)
@pytest.mark.parametrize("at", ["reports/trialbalance", "reports/aragingsummary", "invoices"])
async def test_changes_during_the_verification_are_no_difference(
    judge: Judge, mirror: Path, change: Callable[[PaperBooks], None], at: str
) -> None:
    pending = [change]

    def before(request: Request) -> None:
        if request.path.endswith(at) and pending and judge.books.asked.count(at):
            pending.pop()(judge.books)

    judge.books.asked.clear()
    judge.books.before = before
    assert (await judge.verify(mirror)).differing == ()


@pytest.mark.parametrize("form", ["duckdb", "jsonl.gz", "csv", "parquet"])
async def test_every_kind_of_mirror_has_the_same_digests(
    judge: Judge, mirror: Path, form: FormatName | Literal["duckdb"]
) -> None:
    if form == "duckdb":
        other = await judge.export("books.duckdb")
    else:
        other = await judge.export("files", ExportOptions(format=form))
    found = [await judge.verify(one) for one in (mirror, other)]
    assert [one.exit_code for one in found] == [0, 0]
    first, second = ([each.digest for each in one.tables] for one in found)
    assert first == second


async def test_files_are_compared_with_their_changes(judge: Judge) -> None:
    """A later run adds a file of changes; a line that occurs twice is named."""
    mirror = await judge.export("files")
    payment_of_an_invoice(judge.books)
    judge.books.lists["invoices"][0]["last_modified_time"] = "2026-04-09T10:00:00+0200"
    await judge.export("files")
    assert (mirror / "books" / "invoices.changes").is_dir()
    assert (await judge.verify(mirror)).exit_code == 0
    lines = mirror / "books" / "chart_of_accounts.transactions.jsonl"
    text = lines.read_text()
    lines.write_text(text + text.splitlines()[0] + "\n")
    found = await judge.verify(mirror)
    assert {one.subject for one in found.differing} == {"rows"}
    assert found.exit_code == 5


# -- what cannot be compared --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (ExportOptions(filter={"status": "overdue"}), "invoices: it was exported with a filter"),
        (ExportOptions(hash=("invoices:customer_id",)), "invoices: its columns were chosen"),
        (ExportOptions(exclude=("invoices:balance",)), "invoices: its columns were chosen"),
    ],
)
async def test_a_part_of_a_list_is_not_compared(
    judge: Judge, monkeypatch: pytest.MonkeyPatch, options: ExportOptions, reason: str
) -> None:
    monkeypatch.setenv("ZOHO_HASH_KEY", "0" * 64)
    mirror = await judge.export(options=options, lists=("invoices",))
    found = await judge.verify(mirror)
    assert {one.subject for one in found.checks} <= {"rows"}
    assert any(reason in line for line in found.not_compared)


async def test_account_transactions_of_changed_accounts_alone_are_not_compared(
    judge: Judge, mirror: Path
) -> None:
    """An account does not change with its transactions, so a later run does not read them."""
    again = await judge.export(mirror.name)
    assert again == mirror
    found = await judge.verify(mirror)
    assert {one.subject for one in found.checks} == {*REST, "payables"}
    assert any("--refresh-children all" in line for line in found.not_compared)
    await judge.export(mirror.name, ExportOptions(refresh_children="all"))
    assert "accounts" in {one.subject for one in (await judge.verify(mirror)).checks}


async def test_a_report_that_zoho_refuses_or_fails_to_make_is_not_compared(
    judge: Judge, mirror: Path
) -> None:
    judge.books.refused = {"reports/trialbalance"}
    judge.books.failing = {"reports/apagingsummary"}
    found = await judge.verify(mirror)
    assert {one.subject for one in found.checks} == REST
    assert found.exit_code == 0
    text = certificate_text(found)
    assert "You are not authorized" in text
    assert "Internal error" in text


async def test_a_mirror_does_not_agree_if_zoho_answers_nothing(judge: Judge, mirror: Path) -> None:
    """The rows agree with the export's own index, and that alone is no comparison with Zoho."""
    reports = ("trialbalance", "aragingsummary", "apagingsummary", "inventorysummary")
    judge.books.refused = {*judge.books.lists, *(f"reports/{one}" for one in reports)}
    found = await judge.verify(mirror)
    assert {one.subject for one in found.checks} == {"rows", "apart"}
    assert found.exit_code == 6
    assert "**Nothing could be compared with Zoho.**" in certificate_text(found)


async def test_used_up_calls_end_the_verification_and_leave_nothing_behind(
    judge: Judge, mirror: Path
) -> None:
    """No step is left that was created and never awaited: that would be a warning."""
    async with judge.session() as zoho:
        with pytest.raises(BudgetSpent):
            await verify(zoho.with_options(budget=Budget(3)), mirror, now=lambda: TODAY)
    gc.collect()


async def test_a_list_that_is_refused_when_it_is_read_again_is_not_compared(
    judge: Judge, mirror: Path
) -> None:
    forge(mirror, FORGED["list cut"].sql)

    def before(request: Request) -> None:
        if request.path.endswith("/items") and "items" in judge.books.asked:
            judge.books.refused = {"items"}

    judge.books.asked.clear()
    judge.books.before = before
    found = await judge.verify(mirror)
    assert "books.items" not in {each.name for each in found.checks if each.subject == "counts"}
    assert any("You are not authorized" in line for line in found.not_compared)


async def test_a_mirror_of_another_organization_is_refused(judge: Judge, mirror: Path) -> None:
    with closing(sqlite3.connect(mirror)) as database, database:
        database.execute("UPDATE _zoho_place SET organization = '701'")
    with pytest.raises(CheckpointRefused, match="organization 701"):
        await judge.verify(mirror)
    with pytest.raises(CheckpointRefused, match="holds no export"):
        await judge.verify(mirror.with_name("other.sqlite"))


@pytest.mark.parametrize("name", ["notes.sqlite", "notes.duckdb"])
async def test_a_database_of_another_program_is_left_as_it_is(judge: Judge, name: str) -> None:
    file = judge.home / name
    library: Any = sqlite3 if file.suffix == ".sqlite" else pytest.importorskip("duckdb")
    with closing(library.connect(str(file))) as database:
        database.execute("CREATE TABLE notes (text VARCHAR)")
    before = file.read_bytes()
    with pytest.raises(CheckpointRefused, match="holds no export"):
        await judge.verify(file)
    assert file.read_bytes() == before
    async with judge.session() as zoho:
        assert (await Export(zoho, ["invoices"], to=file).plan()).calls > 0
    assert file.read_bytes() == before


async def test_the_price_is_the_number_of_calls(judge: Judge, mirror: Path) -> None:
    async with judge.session() as zoho:
        plan = await plan_verification(zoho, mirror, by="month", now=lambda: TODAY)
        assert judge.books.asked == []
        found = await verify(zoho, mirror, by="month", now=lambda: TODAY)
    assert plan.calls == found.calls == len(judge.books.asked)


async def test_the_certificate_begins_as_its_documentation_shows(
    judge: Judge, mirror: Path
) -> None:
    forge(mirror, FORGED["amount changed by a cent"].sql)
    found = await judge.verify(mirror)
    text = certificate_text(msgspec.structs.replace(found, mirror="books.sqlite"))
    page = (Path(__file__).parents[2] / "docs" / "howto" / "verify.md").read_text("utf-8")
    _, _, rest = page.partition("```markdown\n")
    assert text.startswith(rest.partition("```")[0])


async def test_a_name_cannot_forge_the_certificate(judge: Judge, mirror: Path) -> None:
    """Names come from a server: they are one cell of a table, and no markup."""
    judge.books.receivables = (
        ("C1", "Alba |\n# All agree <b>**\x1b[2J", "5.00", "5.00"),
        *judge.books.receivables[1:],
    )
    with closing(sqlite3.connect(mirror)) as database, database:
        database.execute("UPDATE books_invoices SET customer_name = NULL")
    text = certificate_text(await judge.verify(mirror))
    assert "Alba \\|?\\# All agree \\<b\\>\\*\\*?\\[2J" in text
    assert "\x1b" not in text


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ({"$.part.mode": "feed"}, "change feed"),
        ({"$.status": "reading"}, "not finished"),
        ({"$.bookmark.completeness": "short"}, "not proven complete (short)"),
        ({"$.passes.completeness": "changed"}, "not proven complete (changed)"),
    ],
)
async def test_a_list_that_may_be_older_than_it_says_is_not_compared(
    judge: Judge, mirror: Path, state: dict[str, str], reason: str
) -> None:
    with closing(sqlite3.connect(mirror)) as database, database:
        for path, value in state.items():
            database.execute(
                "UPDATE _zoho_resource SET state = json_set(state, ?, ?)"
                " WHERE name = 'books.invoices'",
                (path, value),
            )
    payment_of_an_invoice(judge.books)
    judge.books.lists["invoices"][0]["last_modified_time"] = "2026-04-09T10:00:00+0200"
    found = await judge.verify(mirror)
    assert "receivables" not in {one.subject for one in found.checks}
    assert any(reason in line for line in found.not_compared)
