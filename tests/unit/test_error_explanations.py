"""An error says what its code means in its resource. Its class does not change."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aioresponses import aioresponses

from zoho_async import Credentials, Session
from zoho_async.billing import plans
from zoho_async.books import bank_rules, contacts, invoices
from zoho_async.description import load
from zoho_async.errors import InvalidRequest, InvalidToken, NotFound, ReplyError, Request
from zoho_async.http.reply_errors import GLOBAL_CODES, reply_error
from zoho_async.http.retry import Policy
from zoho_async.limits import MemoryLedger

ANYTHING = re.compile(r"https://www\.zohoapis\.com/.*")
PAGE = Path(__file__).parents[3] / "shared" / "reference" / "docs" / "zoho-invoice-v3.txt"
#: The tables of the Invoice page, in its order.
TABLES = [
    "items",
    "contacts",
    "estimates",
    "invoices",
    "recurring_invoices",
    "customer_payments",
    "retainer_invoices",
    "credit_notes",
    "expenses",
]


@pytest.fixture
async def zoho(credentials: Credentials) -> AsyncIterator[Session]:
    session = Session(
        credentials, organization="10234695", ledger=MemoryLedger(), retry=Policy(base=0.0)
    )
    async with session:
        yield session


def answers(mocked: aioresponses, method: str, status: int, code: int) -> None:
    mocked.post(
        "https://accounts.zoho.com/oauth/v2/token",
        payload={"access_token": "1000.token", "expires_in": 3600},
    )
    payload = {"code": code, "message": "Zoho says no"}
    mocked.add(ANYTHING, method, status=status, payload=payload)


async def test_a_code_is_explained_as_its_resource_documents_it(
    mocked: aioresponses, zoho: Session
) -> None:
    answers(mocked, "DELETE", 400, 4001)
    with pytest.raises(InvalidRequest) as refused:
        await invoices.delete(zoho, "460000000")
    meaning = "payments were recorded: the invoice cannot be deleted"
    assert refused.value.explanation == meaning
    assert "Zoho says no" in str(refused.value)
    assert f"code 4001 means: {meaning}" in str(refused.value)


async def test_the_same_code_means_another_thing_in_another_resource(
    mocked: aioresponses, zoho: Session
) -> None:
    answers(mocked, "GET", 404, 1002)
    with pytest.raises(NotFound) as refused:
        await contacts.get(zoho, "460000000")
    assert refused.value.explanation == "no such contact"


async def test_a_list_explains_its_errors_too(mocked: aioresponses, zoho: Session) -> None:
    answers(mocked, "GET", 400, 101002)
    with pytest.raises(InvalidRequest) as refused:
        async for _ in plans.list(zoho):
            pass
    assert refused.value.explanation == "no such plan"


async def test_an_undocumented_code_shows_zohos_message_only(
    mocked: aioresponses, zoho: Session
) -> None:
    answers(mocked, "GET", 400, 1002)
    with pytest.raises(InvalidRequest) as refused:
        await bank_rules.get(zoho, "460000000")
    assert refused.value.explanation == ""
    assert "means" not in str(refused.value)


@pytest.mark.parametrize("status", [200, 400, 401, 404, 429, 500])
def test_an_explanation_never_changes_the_exception(status: int) -> None:
    request = Request("GET", "/items")
    for code in (2, 1001, 3004, 101002):
        plain = reply_error(request, status, code, "no")
        said: ReplyError = reply_error(request, status, code, "no", codes={code: "a meaning"})
        assert type(said) is type(plain)
        assert said.explanation == "a meaning"


@pytest.mark.parametrize("code", GLOBAL_CODES)
def test_no_resource_explains_a_code_that_means_the_same_everywhere(code: int) -> None:
    error = reply_error(Request("GET", "/items"), 401, code, "no", codes={code: "another"})
    assert error.explanation == ""
    products: Any = (load(product).errors for product in ("books", "invoice", "billing"))
    assert all(code not in table for errors in products for table in errors.values())


def test_an_explanation_does_not_change_a_token_error() -> None:
    error = reply_error(Request("GET", "/items"), 401, 14, "no", codes={14: "the name is taken"})
    assert type(error) is InvalidToken


@pytest.mark.skipif(not PAGE.exists(), reason="the page of Zoho Invoice is not next to this clone")
def test_every_code_of_the_pages_tables_is_explained() -> None:
    text = PAGE.read_text(encoding="utf-8")
    tables = text.split("Possible error codes:")[1:]
    assert len(tables) == len(TABLES)
    errors = load("invoice").errors
    for resource, table in zip(TABLES, tables, strict=True):
        rows = re.findall(r"^(\d{4,6})\D", table.partition("Example")[0], re.MULTILINE)
        assert rows
        assert {int(row) for row in rows} == set(errors[f"invoice.{resource}"])
