"""Odd and hostile answers at the client: nothing sent is lost, nothing is invented."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from zoho_async import Credentials, Session
from zoho_async.books import contacts, invoices
from zoho_async.errors import AccountsUnavailable, AmbiguousWrite, UnreadableReply
from zoho_async.http import transport
from zoho_async.http.retry import Policy
from zoho_async.limits import Limits, MemoryLedger
from zoho_async.sandbox import ODD_VALUES, Fault, Sandbox

#: A field of each kind that an invoice's row has.
FIELDS = (
    *("invoice_number", "customer_id", "total", "due_days", "date", "created_time"),
    *("is_emailed", "exchange_rate", "price_precision", "custom_field_hash", "documents"),
)


@pytest.fixture
async def box() -> AsyncIterator[Sandbox]:
    async with Sandbox(sizes={"contacts": 30, "invoices": 4}, per_minute=10_000) as box:
        yield box


@pytest.fixture
async def zoho(box: Sandbox) -> AsyncIterator[Session]:
    session = Session(
        Credentials.from_env(box.environment()),
        organization=box.organization,
        api_url=box.url,
        accounts_url=box.accounts_url,
        limits=Limits(limit=10_000, burst=10_000),
        ledger=MemoryLedger(),
        retry=Policy(base=0.0),
    )
    async with session:
        yield session


def reached(record: Any, field: str) -> Any:
    """A field of a record: its typed value, else the raw value in ``extra``."""
    typed = getattr(record, field, None)
    return record.extra.get(field) if typed is None else typed


@pytest.mark.parametrize("value", ODD_VALUES.values(), ids=list(ODD_VALUES))
async def test_an_odd_value_loses_no_row_no_other_field_and_not_itself(
    box: Sandbox, zoho: Session, value: Any
) -> None:
    truth = [msgspec.json.decode(row) for row in box.truth("invoices")]
    for field in FIELDS:
        box.faults[:] = [Fault(kind="odd", field=field, value=value, path="*/invoices", times=None)]
        rows = [row async for row in invoices.list(zoho)]
        assert [row.invoice_id for row in rows] == [each["invoice_id"] for each in truth]
        for row, sent in zip(rows, truth, strict=True):
            assert row.status == sent["status"]
            if field != "total":
                assert row.total == Decimal(str(sent["total"]))
            found = reached(row, field)
            blank = value is None or (isinstance(value, str) and not value.strip())
            if blank:
                assert not str(found or "").strip()
            else:
                assert found is not None, f"{field}: {value!r} is lost"


@pytest.mark.parametrize("blank", [None, "", " "])
async def test_a_page_with_blank_rows_and_more_pages_is_not_an_empty_list(
    box: Sandbox, zoho: Session, blank: Any
) -> None:
    box.faults.append(Fault(kind="wrong_type", field="contacts", value=blank, after=1))
    rows = aiter(contacts.list(zoho, per_page=10))
    for _ in range(10):
        await anext(rows)
    with pytest.raises(UnreadableReply, match="announces more pages"):
        await anext(rows)


@pytest.mark.parametrize("blank", [None, ""])
async def test_a_list_with_blank_rows_and_no_more_pages_is_empty(
    blank: Any, zoho: Session, box: Sandbox
) -> None:
    rule = Fault(kind="wrong_type", field="contacts", value=blank, times=None)
    box.faults.append(rule)
    page = await contacts.list(zoho, per_page=200)
    assert page.rows == []


async def test_an_endless_body_is_cut_before_it_fills_the_memory(
    box: Sandbox, zoho: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "MOST_BYTES", 200_000)
    box.faults.append(Fault(kind="endless", times=None))
    with pytest.raises(UnreadableReply, match="longer than 200,000 bytes"):
        await zoho.request("GET", "/contacts")
    with pytest.raises(AmbiguousWrite):
        await zoho.request("POST", "/contacts", body={"contact_name": "Once"})
    assert len(box.truth("contacts")) == 31


def test_invalid_utf_8_from_the_accounts_server_is_unavailable() -> None:
    from zoho_async.auth.reply import granted

    with pytest.raises(AccountsUnavailable) as caught:
        granted(200, b'{"access_token":"1000.\xff"}', "refresh_token")
    assert "1000" not in f"{caught.value!r}{caught.value.__cause__!r}"
