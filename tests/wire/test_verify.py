"""``zoho-async verify`` against the sandbox: the command, its exit codes and its certificate."""

from __future__ import annotations

import datetime as dt
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import anyio
import pytest

from tests.support.command import Command, serving
from tests.support.unlimited_sandbox import strict_session
from zoho_async import Session
from zoho_async.books.customer_payments import CustomerPaymentCreate
from zoho_async.books.invoices import InvoiceCreate
from zoho_async.books.types.customer_payments import CustomerPaymentInvoiceInput
from zoho_async.books.types.invoices import InvoiceLineItemInput
from zoho_async.export import Export
from zoho_async.sandbox import Sandbox
from zoho_async.verify import verify

SIZES = {"contacts": 20, "invoices": 60, "bills": 30, "items": 10}
FAST = ("--minute", "0.1")
LISTS = ("chart_of_accounts", "chart_of_accounts.transactions", "invoices", "bills")


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    made = Sandbox(sizes=SIZES, minute=0.1, per_minute=10**6, per_day=10**6)
    made.tokens.per_window = 10**6
    with serving(made):
        yield made


def test_an_export_of_the_sample_agrees_and_a_forged_one_differs(command: Command) -> None:
    mirror, certificate = Path("books.sqlite"), Path("books.md")
    assert command("export", *LISTS, "--to", str(mirror), *FAST)[0] == 0
    code, out, _ = command(
        "verify", str(mirror), "--by", "month", "--certificate", str(certificate), *FAST
    )
    assert code == 0
    assert max(map(len, out.splitlines())) <= 80
    assert "differs" not in out
    text = certificate.read_text()
    assert "All " in text
    assert "| Accounts Receivable |" in text
    with closing(sqlite3.connect(mirror)) as database, database:
        database.execute(
            "UPDATE books_invoices SET balance = balance + 0.01 WHERE invoice_id ="
            " (SELECT max(invoice_id) FROM books_invoices WHERE status = 'overdue')"
        )
    found = command.json("verify", str(mirror), "--certificate", "books.json", *FAST)
    assert (found["verdict"], found["exit_code"]) == ("differs", 5)
    assert json.loads(Path("books.json").read_text())["verdict"] == "differs"
    Path("file").touch()
    code, out, err = command("verify", str(mirror), "--certificate", "file/books.md", *FAST)
    assert (code, "differs: " in out, "cannot write to file/books.md" in err) == (2, True, True)
    code, out, _ = command("verify", str(mirror), *FAST)
    assert code == 5
    assert "differs: " in out
    assert "INV-" in out


def test_the_price_is_printed_without_a_call(
    command: Command, sandbox: Sandbox, tmp_path: Path
) -> None:
    mirror = str(tmp_path / "lines")
    assert command("export", "invoices", "--to", mirror)[0] == 0
    before = sandbox.calls
    code, out, _ = command("verify", mirror, "--plan-only")
    assert (code, sandbox.calls) == (0, before)
    assert "chart_of_accounts.transactions" in out
    assert max(map(len, out.splitlines())) <= 80
    assert "calls if everything agrees" in out


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("none.sqlite",), "holds no export"),
        (("none.sqlite", "--certificate", "books.pdf"), "ends in .md, .txt or .json"),
        (("none.sqlite", "--plan-only", "--certificate", "books.md"), "leave out --certificate"),
    ],
)
def test_wrong_usage_ends_with_code_2(
    command: Command, sandbox: Sandbox, tmp_path: Path, arguments: tuple[str, ...], error: str
) -> None:
    before = sandbox.calls
    code, _, err = command("verify", str(tmp_path / arguments[0]), *arguments[1:])
    assert (code, sandbox.calls) == (2, before)
    assert error in err


async def test_a_writer_during_the_verification_makes_no_difference(tmp_path: Path) -> None:
    """It bills, pays and voids while the reports and the lists are read."""
    sizes = {"contacts": 5, "invoices": 20, "bills": 5}
    sandbox = Sandbox(sizes=sizes, per_minute=10**6, per_day=10**6, in_flight=10**3)
    sandbox.tokens.per_window = 10**6
    with serving(sandbox):
        async with strict_session(sandbox) as zoho:
            mirror = tmp_path / "books.sqlite"
            async with Export(zoho, LISTS, to=mirror) as job:
                await job.wait()
            async with anyio.create_task_group() as group:
                for _ in range(5):
                    group.start_soon(write_documents, zoho)
                assert (await verify(zoho, mirror)).differing == ()
            assert (await verify(zoho, mirror)).differing == ()


async def write_documents(zoho: Session) -> None:
    """Post an invoice into a closed month, pay the half of it, and void another one."""
    contacts = await zoho.books.contacts.list()
    customer = next(one.contact_id for one in contacts if one.contact_type == "customer")
    day = dt.date(2025, 6, 15)
    lines = [InvoiceLineItemInput(name="Chair", rate=Decimal(100), quantity=1)]
    made = [
        await zoho.books.invoices.create(
            InvoiceCreate(customer_id=customer, line_items=lines, date=day)
        )
        for _ in range(2)
    ]
    for one in made:
        await zoho.books.invoices.mark_as_sent(one.invoice_id)
    await zoho.books.customer_payments.create(
        CustomerPaymentCreate(
            customer_id=customer,
            payment_mode="cash",
            amount=Decimal(50),
            invoices=[
                CustomerPaymentInvoiceInput(
                    invoice_id=made[0].invoice_id, amount_applied=Decimal(50)
                )
            ],
            date=day,
        )
    )
    await zoho.books.invoices.void(made[1].invoice_id)
