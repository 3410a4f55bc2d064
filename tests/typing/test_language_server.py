"""What an editor shows for bound calls: hover, signature help and completion."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.language_server import Editor, Question, editor

pytest.importorskip("pyright", reason="the language server comes with pyright")
pytestmark = pytest.mark.long

HEAD = "from zoho_async import Session\n\n\nasync def use(zoho: Session) -> None:\n    "
BULK = 'zoho.with_options(lane="bulk")'

#: A question, the place that ``|`` marks, and what the answer contains.
PLACES: list[tuple[Question, str, list[str]]] = [
    ("hover", "zoho.bo|oks", ["books: ZohoBooks", "Zoho Books"]),
    ("hover", "zoho.books.invo|ices", ["invoices: InvoicesResource", "Invoices."]),
    (
        "hover",
        "zoho.books.invoices.ge|t",
        ["invoice_id: str | int", "Invoice]", "Get one invoice", "Scope: ZohoBooks.invoices.READ"],
    ),
    ("hover", "reply = await zoho.reply(zoho.books.taxes.get(1))\n    re|ply", ["Reply[Tax]"]),
    (
        "signatureHelp",
        "zoho.books.invoices.list(|)",
        ["status: ", "date_after: date | None", "Pager[Invoice]", "List invoices"],
    ),
    (
        "signatureHelp",
        f"{BULK}.inventory.packages.get(|)",
        ["(package_id: str | int, *, extra_query", "Package]", "Get one package"],
    ),
    ("signatureHelp", "zoho.books.invoices.get(|)", ['"invoice_id: Id of the invoice."']),
    (
        "hover",
        "async for row in zoho.books.invoices.list():\n        row.bal|ance",
        ["balance: Decimal | None", "Amount still open"],
    ),
    ("completion", "zoho.|", ["books", "invoice", "billing", "inventory", "for_organization"]),
    ("completion", "zoho.for_organization(2).billing.|", ["subscriptions", "plans", "coupons"]),
    ("completion", "zoho.books.invoices.|", ["list", "get", "create", "mark_as_sent"]),
    ("completion", "zoho.books.invoices.list(|)", ["status=", "customer_id=", "per_page="]),
    ("completion", 'zoho.books.invoices.list(status="|")', ['"overdue"', '"partially_paid"']),
    (
        "completion",
        "async for row in zoho.invoice.estimates.list():\n        row.|",
        ["estimate_number", "total", "customer_name"],
    ),
]


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Editor]:
    with editor(tmp_path_factory.mktemp("program")) as found:
        yield found


@pytest.mark.timeout(240)
@pytest.mark.parametrize(("question", "place", "shown"), PLACES)
def test_an_editor_shows(opened: Editor, question: Question, place: str, shown: list[str]) -> None:
    answer = opened.ask(question, f"{HEAD}{place}\n")
    found = answer.split() if question == "completion" else answer
    assert [each for each in shown if each not in found] == []


@pytest.mark.timeout(240)
def test_an_editor_knows_no_call_that_does_not_exist(opened: Editor) -> None:
    assert "vanish: Unknown" in opened.ask("hover", f"{HEAD}zoho.books.invoices.vanis|h\n")
    assert "crm: Unknown" in opened.ask("hover", f"{HEAD}zoho.cr|m\n")
