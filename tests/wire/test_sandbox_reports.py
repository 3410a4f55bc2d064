"""Reports of the sandbox over HTTP, with amounts that were computed on paper.

Each example writes documents with a plain HTTP client and reads the reports of March 2024. All
documents of the sample data are older or absent.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date
from typing import Any

import pytest

from tests.support.plain_client import PlainClient, raw, token_of
from zoho_async.sandbox import Sandbox
from zoho_async.sandbox.data.schemas import schemas

MARCH = {"from_date": "2024-03-01", "to_date": "2024-03-31"}
CUSTOM = {"filter_by": "TransactionDate.CustomDate", **MARCH}
#: No sample documents, so that every amount is one of the test's.
EMPTY: dict[str, int] = dict.fromkeys(
    (
        *("invoices", "bills", "credit_notes", "vendor_credits", "retainer_invoices"),
        *("customer_payments", "vendor_payments", "expenses", "journals"),
        *("bank_transactions", "sales_receipts"),
    ),
    0,
)


@pytest.fixture
async def books() -> AsyncIterator[PlainClient]:
    async with raw(Sandbox(sizes=EMPTY)) as client:
        yield client


async def post(client: PlainClient, path: str, **body: Any) -> Any:
    answer = await client.call("POST", path, json=body)
    assert answer.status < 300, answer.body
    return answer.json


async def report(client: PlainClient, name: str, **query: Any) -> Any:
    answer = await client.get(f"/reports/{name}", **(CUSTOM | query))
    assert answer.status == 200, answer.body
    return answer.json


def party(client: PlainClient) -> str:
    contacts = client.sandbox.store().collection("books.contacts")
    return contacts.id(0)


async def invoice(client: PlainClient, **fields: Any) -> str:
    """A sent invoice of 10 March, due on 20 March."""
    fields = {"date": "2024-03-10", "due_date": "2024-03-20", **fields}
    made = await post(client, "/invoices", customer_id=party(client), **fields)
    invoice_id: str = made["invoice"]["invoice_id"]
    await post(client, f"/invoices/{invoice_id}/status/sent")
    return invoice_id


async def pay(client: PlainClient, invoice_id: str, amount: Any, applied: Any, **more: Any) -> Any:
    fields = {"date": "2024-03-15", "payment_mode": "cash", "amount": amount, **more}
    rows = [{"invoice_id": invoice_id, "amount_applied": applied}]
    return await post(
        client, "/customerpayments", customer_id=party(client), invoices=rows, **fields
    )


async def trial(client: PlainClient, **query: Any) -> dict[str, tuple[Any, Any]]:
    """The net debit and net credit of every account."""
    root = (await report(client, "trialbalance", **query))["trialbalance"][0]
    return {
        row["name"]: (row["net_debit_total"], row["net_credit_total"])
        for group in root["account_transactions"]
        for row in group["account_transactions"]
    }


async def profit(client: PlainClient, **query: Any) -> list[Any]:
    """Gross, operating and net profit."""
    sections = (await report(client, "profitandloss", **query))["profit_and_loss"]
    return [section["total"] for section in sections]


async def aged(client: PlainClient, last: str = "2024-03-31") -> dict[str, Any]:
    """The intervals of receivables that are not zero, by due date."""
    days = {"filter_by": "InvoiceDueDate.CustomDate", "to_date": last}
    whole = (await report(client, "aragingsummary", **days))["invoice"]
    found = {row["interval"]: row["amount"] for row in whole["intervals"] if row["amount"]}
    assert sum(found.values()) == whole["total"]
    return found


# -- amounts on paper ---------------------------------------------------------------------------


async def test_a_partial_payment_with_tax(books: PlainClient) -> None:
    # 3 x 100.00 = 300.00; tax 10% = 30.00; total 330.00. Paid 120.00; open 330 - 120 = 210.00.
    one = await invoice(
        books, line_items=[{"name": "a", "rate": 100, "quantity": 3, "tax_percentage": "10"}]
    )
    await pay(books, one, 120, 120)
    assert await trial(books) == {
        "Accounts Receivable": (210.0, ""),
        "Undeposited Funds": (120.0, ""),
        "Tax Payable": ("", 30.0),
        "Sales": ("", 300.0),
    }
    assert await profit(books) == [300.0, 300.0, 300.0]
    # Due on 20 March: 11 days old on the 31st, not due on the 20th, 46 days old on 5 May.
    assert await aged(books) == {"days_1-15": 210.0}
    assert await aged(books, "2024-03-20") == {"current": 210.0}
    assert await aged(books, "2024-05-05") == {"days_above_45": 210.0}
    # The payment of 15 March counts on that day; the day before, the whole invoice was open.
    assert await aged(books, "2024-03-15") == {"current": 210.0}
    assert await aged(books, "2024-03-14") == {"current": 330.0}


async def test_cash_basis_counts_the_part_that_was_paid(books: PlainClient) -> None:
    # 120 of 330 was paid: sales 300 x 120/330 = 109.0909 -> 109.09, tax 30 x 120/330 = 10.91.
    one = await invoice(
        books, line_items=[{"name": "a", "rate": 100, "quantity": 3, "tax_percentage": "10"}]
    )
    await pay(books, one, 120, 120)
    assert await trial(books, cash_based="true") == {
        "Undeposited Funds": (120.0, ""),
        "Tax Payable": ("", 10.91),
        "Sales": ("", 109.09),
    }
    # The rest: 210 of 330. Sales 300 - 109.09 = 190.91, so nothing is lost to rounding.
    await pay(books, one, 210, 210, date="2024-03-16")
    assert (await trial(books, cash_based="true"))["Sales"] == ("", 300.0)
    body = await report(books, "profitandloss", cash_based="true")
    assert body["page_context"]["report_basis"] == "Cash"
    assert [each["total"] for each in body["profit_and_loss"]] == [300.0, 300.0, 300.0]


async def test_a_foreign_currency(books: PlainClient) -> None:
    # Invoice: 100.00 at 1.10 = 110.00. Payment: 80.00 of it at 1.20 = 96.00 of money.
    # Receivable settled: 80.00 x 1.10 = 88.00; gain 96.00 - 88.00 = 8.00. Open: 20 x 1.1 = 22.00.
    one = await invoice(books, exchange_rate=1.1, line_items=[{"name": "a", "rate": 100}])
    await pay(books, one, 80, 80, exchange_rate=1.2)
    assert await trial(books) == {
        "Accounts Receivable": (22.0, ""),
        "Undeposited Funds": (96.0, ""),
        "Sales": ("", 110.0),
        "Exchange Gain or Loss": ("", 8.0),
    }
    assert await profit(books) == [110.0, 110.0, 118.0]  # net: 110 + 8
    assert await aged(books) == {"days_1-15": 22.0}
    rows = (await report(books, "aragingsummary", filter_by="InvoiceDueDate.CustomDate"))["invoice"]
    assert rows["group_list"][0]["group_list"][0]["fcy_total"] == 20.0
    # The rest at 1.05: money 20 x 1.05 = 21.00, receivable 22.00, loss 1.00; gains 8 - 1 = 7.00.
    await pay(books, one, 20, 20, exchange_rate=1.05)
    assert await trial(books) == {
        "Undeposited Funds": (117.0, ""),
        "Sales": ("", 110.0),
        "Exchange Gain or Loss": ("", 7.0),
    }
    assert await aged(books) == {}


async def test_a_document_in_a_named_currency_has_its_rate(books: PlainClient) -> None:
    store = books.sandbox.store()
    currencies = store.at(schemas("books").by_path["settings", "currencies"], ())
    euro = currencies.state(1)
    assert (euro["currency_code"], euro["exchange_rate"]) == ("EUR", 1.08)
    one = await invoice(
        books, currency_id=currencies.id(1), line_items=[{"name": "a", "rate": 100}]
    )
    shown = (await books.get(f"/invoices/{one}")).json["invoice"]
    assert (shown["currency_code"], shown["exchange_rate"]) == ("EUR", 1.08)
    await pay(books, one, 100, 100)  # without a rate: that of the invoice, so no gain
    assert await trial(books) == {
        "Undeposited Funds": (108.0, ""),  # 100 x 1.08
        "Sales": ("", 108.0),
    }


async def test_rounding_leaves_no_cent_behind(books: PlainClient) -> None:
    # Three lines of 0.33 at 1.25 are 0.4125 -> 0.41 each; together 1.23.
    # The total 0.99 x 1.25 = 1.2375 -> 1.24 is due. The cent goes to Rounding Off.
    lines = [
        {"name": name, "rate": "0.33", "account_id": account(books, number)}
        for name, number in (("a", 4), ("b", 5), ("c", 7))
    ]
    one = await invoice(books, exchange_rate=1.25, line_items=lines)
    assert await trial(books) == {
        "Accounts Receivable": (1.24, ""),
        "Sales": ("", 0.41),
        "General Income": ("", 0.41),
        "Other Charges": ("", 0.41),
        "Rounding Off": ("", 0.01),
    }
    # Three payments of 0.33: 0.41 each would leave 1.24 - 1.23 = 0.01 open for ever.
    for number in range(3):
        await pay(books, one, "0.33", "0.33", date=f"2024-03-{15 + number}", exchange_rate=1.25)
    left = await trial(books)
    assert "Accounts Receivable" not in left
    assert left["Undeposited Funds"] == (1.23, "")
    assert left["Exchange Gain or Loss"] == (0.01, "")
    assert await aged(books) == {}


async def test_discount_shipping_adjustment_and_tax_in_the_rates(books: PlainClient) -> None:
    # 2 x 119.00 = 238.00 with 19% inside. Discount 10% = 23.80. Taxable 214.20: tax
    # 214.20 x 19/119 = 34.20. Total 238.00 - 23.80 + 5.00 shipping - 0.20 = 219.00.
    # Sales: 238.00 - 34.20 = 203.80. Check: 203.80 + 34.20 - 23.80 + 5.00 - 0.20 = 219.00.
    await invoice(
        books,
        is_inclusive_tax=True,
        discount="10%",
        discount_type="entity_level",
        is_discount_before_tax=True,
        shipping_charge=5,
        adjustment="-0.20",
        line_items=[{"name": "a", "rate": 119, "quantity": 2, "tax_percentage": "19"}],
    )
    assert await trial(books) == {
        "Accounts Receivable": (219.0, ""),
        "Tax Payable": ("", 34.2),
        "Sales": ("", 203.8),
        "Discount": (23.8, ""),
        "Shipping Charge": ("", 5.0),
        "Other Charges": (0.2, ""),
    }
    assert await profit(books) == [184.8, 184.8, 184.8]  # 203.80 - 23.80 + 5.00 - 0.20


async def test_a_credit_note_is_applied_and_refunded(books: PlainClient) -> None:
    # Invoice 200.00. Credit note 50.00 + 10% = 55.00. Applied 30.00, refunded 20.00, unused 5.00.
    one = await invoice(books, line_items=[{"name": "a", "rate": 200}])
    line = {"name": "a", "rate": 50, "quantity": 1, "tax_percentage": "10"}
    made = await post(
        books,
        "/creditnotes",
        customer_id=party(books),
        creditnote_number="CN-9",
        date="2024-03-12",
        line_items=[line],
    )
    note = made["creditnote"]["creditnote_id"]
    rows = [{"invoice_id": one, "amount_applied": 30}]
    await post(books, f"/creditnotes/{note}/invoices", invoices=rows)
    refund = {"date": "2024-03-13", "refund_mode": "cash", "amount": 20}
    await post(books, f"/creditnotes/{note}/refunds", **refund, from_account_id=account(books, 3))
    # Receivables: 200 - 30 applied = 170 open, less 5 of unused credit = 165.
    assert await trial(books) == {
        "Accounts Receivable": (165.0, ""),
        "Petty Cash": ("", 20.0),
        "Tax Payable": (5.0, ""),
        "Sales": ("", 150.0),  # 200 - 50
    }
    assert await aged(books) == {"days_1-15": 170.0}
    [row] = (await report(books, "customerbalances"))["customerbalances"]
    assert (row["invoice_balance"], row["available_credits"]) == (170.0, 5.0)
    assert row["bcy_balance"] == 165.0


async def test_purchases_and_the_balance_sheet(books: PlainClient) -> None:
    # The owner puts in 1,000.00. A bill of 2 x 150.00 = 300.00 and 20% tax = 360.00; 100.00 paid.
    # An expense of 59.50 with 19% inside: 50.00 and 9.50 of tax, paid from petty cash.
    rows = [
        {"account_id": account(books, 3), "amount": 1000, "debit_or_credit": "debit"},
        {"account_id": account(books, 21), "amount": 1000, "debit_or_credit": "credit"},
    ]
    await post(books, "/journals", journal_date="2024-03-01", line_items=rows, status="published")
    line = {"name": "a", "rate": 150, "quantity": 2, "tax_percentage": "20"}
    bill = {"date": "2024-03-05", "due_date": "2024-04-05", "bill_number": "B-9"}
    made = await post(books, "/bills", vendor_id=party(books), line_items=[line], **bill)
    bill_id = made["bill"]["bill_id"]
    await post(books, f"/bills/{bill_id}/status/open")
    await post(
        books,
        "/vendorpayments",
        vendor_id=party(books),
        amount=100,
        date="2024-03-06",
        paid_through_account_id=account(books, 3),
        bills=[{"bill_id": bill_id, "amount_applied": 100}],
    )
    tax = await post(books, "/settings/taxes", tax_name="MwSt", tax_percentage=19, tax_type="tax")
    await post(
        books,
        "/expenses",
        account_id=account(books, 17),
        date="2024-03-07",
        amount="59.50",
        tax_id=tax["tax"]["tax_id"],
        is_inclusive_tax=True,
        paid_through_account_id=account(books, 3),
    )
    assert await trial(books) == {
        "Petty Cash": (840.5, ""),  # 1000 - 100 - 59.50
        "Accounts Payable": ("", 260.0),  # 360 - 100
        "Tax Payable": (69.5, ""),  # 60 + 9.50
        "Owner's Equity": ("", 1000.0),
        "Cost of Goods Sold": (300.0, ""),
        "Bank Fees and Charges": (50.0, ""),
    }
    assert await profit(books) == [-300.0, -350.0, -350.0]
    assets, claims = (await report(books, "balancesheet"))["balance_sheet"]
    # Assets 840.50; liabilities 260.00 - 69.50 = 190.50; equity 1000 - 350 = 650.00.
    assert (assets["total"], claims["total"]) == (840.5, 840.5)
    liabilities, equities = claims["account_transactions"]
    assert (liabilities["total"], equities["total"]) == (190.5, 650.0)
    leaves = {leaf["name"]: leaf["total"] for leaf in equities["account_transactions"]}
    assert leaves == {"Owner's Equity": 1000.0, "Current Year Earnings": -350.0}
    # A year later the loss is in retained earnings.
    later = await report(books, "balancesheet", to_date="2025-03-31")
    equities = later["balance_sheet"][1]["account_transactions"][1]
    leaves = {leaf["name"]: leaf["total"] for leaf in equities["account_transactions"]}
    assert leaves == {
        "Owner's Equity": 1000.0,
        "Retained Earnings": -350.0,
        "Current Year Earnings": 0.0,
    }
    aging = await report(books, "apagingsummary", filter_by="BillDueDate.CustomDate")
    assert aging["bills"]["intervals"][0]["amount"] == aging["bills"]["total"] == 260.0
    flow = (await report(books, "cashflow"))["cash_flow"]
    assert [each["total"] for each in flow] == [0.0, 840.5, 840.5]


def account(client: PlainClient, number: int) -> str:
    accounts = client.sandbox.store().at(schemas("books").by_path["chartofaccounts",], ())
    return accounts.id(number)


async def test_void_documents_drafts_and_write_offs(books: PlainClient) -> None:
    draft = {"customer_id": party(books), "date": "2024-03-10"}
    await post(books, "/invoices", **draft, line_items=[{"name": "a", "rate": 7}])
    one = await invoice(books, line_items=[{"name": "a", "rate": 11}])
    await post(books, f"/invoices/{one}/status/void")
    assert await trial(books) == {}
    # 13.00 sold, 5.00 paid, 8.00 written off: profit 13 - 8 = 5, nothing is open.
    other = await invoice(books, line_items=[{"name": "a", "rate": 13}])
    await pay(books, other, 5, 5)
    await post(books, f"/invoices/{other}/writeoff")
    assert await trial(books) == {
        "Undeposited Funds": (5.0, ""),
        "Sales": ("", 13.0),
        "Bad Debt": (8.0, ""),
    }
    assert await profit(books) == [13.0, 5.0, 5.0]
    assert await profit(books, cash_based="true") == [5.0, 5.0, 5.0]


async def test_an_excess_payment_is_unearned_until_it_is_applied(books: PlainClient) -> None:
    one = await invoice(books, line_items=[{"name": "a", "rate": 10}])
    two = await invoice(books, date="2024-03-20", line_items=[{"name": "a", "rate": 6}])
    made = await pay(books, one, 15, 10)
    assert (await trial(books))["Unearned Revenue"] == ("", 5.0)
    rows = [{"payment_id": made["payment"]["payment_id"], "amount_applied": 5}]
    await post(books, f"/invoices/{two}/credits", invoice_payments=rows)
    assert await trial(books) == {
        "Accounts Receivable": (1.0, ""),
        "Undeposited Funds": (15.0, ""),
        "Sales": ("", 16.0),
    }
    # It was applied to an invoice of 20 March: on the 19th the 5.00 were still unearned.
    assert (await trial(books, to_date="2024-03-19"))["Unearned Revenue"] == ("", 5.0)


# -- parameters ---------------------------------------------------------------------------------


async def test_dates_without_the_filter_are_ignored_in_silence(books: PlainClient) -> None:
    await invoice(books, line_items=[{"name": "a", "rate": 40}])
    alone = (await books.get("/reports/profitandloss", **MARCH)).json
    today = date.today()
    assert alone["page_context"]["from_date"] == f"{today:%Y-%m}-01" or today.day in (1, 28, 31)
    assert alone["page_context"]["from_date"] > "2024-03-31"
    assert alone["page_context"]["applied_filter"] == "TransactionDate.ThisMonth"
    assert [each["total"] for each in alone["profit_and_loss"]] == [0.0, 0.0, 0.0]
    wrong = await report(books, "aragingsummary")  # the filter of another report
    assert wrong["page_context"]["applied_filter"] == "InvoiceDueDate.Today"
    right = await report(books, "profitandloss")
    context = right["page_context"]
    assert (context["from_date"], context["to_date"]) == ("2024-03-01", "2024-03-31")
    assert context["applied_filter"] == "TransactionDate.CustomDate"
    assert context["report_basis"] == "Accrual"
    balance = (await books.get("/reports/balancesheet", **MARCH)).json["page_context"]
    assert balance["as_of_date"] > "2024-03-31"
    assert "from_date" not in balance
    trial_context = (await books.get("/reports/trialbalance", **MARCH)).json["page_context"]
    assert trial_context["as_of_date"] == balance["as_of_date"]


async def test_a_rule_narrows_the_accounts_and_is_repeated(books: PlainClient) -> None:
    await invoice(books, line_items=[{"name": "a", "rate": 40}])
    column = '{"index":1,"field":"account_id","value":["%s"],"comparator":"in","group":"report"}'
    rule = '{"columns":[%s],"criteria_string":"1"}' % (column % account(books, 4))
    body = await report(books, "accounttransaction", rule=rule, per_page=1)
    [row] = body["account_transactions"][0]["account_transactions"]
    assert (row["account_name"], row["debit"], row["credit"]) == ("Sales", "", 40.0)
    assert body["page_context"]["rule"]["criteria_string"] == "1"
    assert body["page_context"]["has_more_page"] is False
    ledger = await report(books, "generalledger", rule=rule)
    assert [each["name"] for each in ledger["generalledger"]] == ["Sales"]


async def test_lists_have_pages_and_totals(books: PlainClient) -> None:
    for number in range(3):
        await invoice(books, line_items=[{"name": "a", "rate": number + 1}])
    pages = [
        await report(books, "accounttransaction", page=number, per_page=4, response_option=1)
        for number in (1, 2)
    ]
    counts = [len(each["account_transactions"][0]["account_transactions"]) for each in pages]
    assert counts == [4, 2]  # two entries per invoice
    assert [each["page_context"]["has_more_page"] for each in pages] == [True, False]
    assert pages[0]["page_context"]["total"] == 6
    assert pages[0]["page_context"]["total_pages"] == 2


async def test_show_rows_all_includes_accounts_without_postings(books: PlainClient) -> None:
    assert await trial(books) == {}
    assert "Drawings" in await trial(books, show_rows="all")


async def test_unknown_names_and_missing_scopes_are_refused(books: PlainClient) -> None:
    for name in ("accounttransactions", "agedreceivables", "profitloss"):
        answer = await books.get(f"/reports/{name}")
        assert (answer.status, answer.code) == (404, 5)
    wrong = await books.get("/reports/profitandloss", **(CUSTOM | {"from_date": "March"}))
    assert (wrong.status, wrong.code) == (400, 2)
    for scope, expected in (
        ("ZohoBooks.accountants.READ", (401, 57)),
        ("ZohoInventory.reports.READ", (401, 57)),
        ("ZohoBooks.reports.READ", (200, 0)),
    ):
        grant = {"grant_type": "client_credentials", "scope": scope}
        _, narrow = await token_of(books.sandbox, books.http, **grant)
        answer = await books.call("GET", "/reports/profitandloss", token=narrow["access_token"])
        assert (answer.status, answer.code) == expected


async def test_an_unbalanced_journal_is_refused(books: PlainClient) -> None:
    rows = [
        {"account_id": account(books, 3), "amount": 10, "debit_or_credit": "debit"},
        {"account_id": account(books, 21), "amount": 9, "debit_or_credit": "credit"},
    ]
    body = {"journal_date": "2024-03-01", "line_items": rows}
    answer = await books.call("POST", "/journals", json=body)
    assert (answer.status, answer.code) == (400, 1000)


# -- activity -----------------------------------------------------------------------------------


async def test_the_activity_log_says_what_was_written(books: PlainClient) -> None:
    one = await invoice(books, invoice_number="A-1", line_items=[{"name": "a", "rate": 5}])
    await books.call("PUT", f"/invoices/{one}", json={"notes": "x"})
    await pay(books, one, 2, 2)  # changes the invoice, which the call does not name
    other = await invoice(books, invoice_number="A-2", line_items=[{"name": "a", "rate": 5}])
    await books.call("DELETE", f"/invoices/{other}")
    body = (await books.get("/reports/activitylogs")).json
    rows = body["activity_logs"]
    assert [
        (
            row["activity_details"]["operation_type"],
            row["ref_transaction_type"],
            row["activity_details"]["transaction_name"],
        )
        for row in rows[::-1]
    ] == [
        ("created", "invoice", "A-1"),
        ("updated", "invoice", "A-1"),
        ("updated", "invoice", "A-1"),
        ("created", "payment", rows[3]["activity_details"]["transaction_name"]),
        ("created", "invoice", "A-2"),
        ("updated", "invoice", "A-2"),
        ("deleted", "invoice", "A-2"),
    ]
    assert rows[0]["activity_details"]["transaction_id"] == other
    assert rows[0]["user_name"] == "Sam Sandbox"
    assert rows[0]["description"] == 'Invoice "A-2" of amount 5.0 deleted'
    assert len({row["activity_id"] for row in rows}) == len(rows)
    assert body["page_context"]["per_page"] == 200
    page = (await books.get("/reports/activitylogs", page=2, per_page=4)).json
    assert page["activity_logs"] == rows[4:]


async def test_a_file_keeps_the_activity_log(tmp_path: Any) -> None:
    file = tmp_path / "sandbox.db"
    for expected in (1, 2):
        async with raw(Sandbox(sizes=EMPTY, file=file)) as client:
            line = {"name": "a", "rate": 5}
            await post(client, "/invoices", customer_id=party(client), line_items=[line])
            rows = (await client.get("/reports/activitylogs")).json["activity_logs"]
            assert len(rows) == expected
            assert len({row["activity_id"] for row in rows}) == expected


async def test_inventory_has_its_own_reports() -> None:
    async with raw(Sandbox(sizes={"inventory.invoices": 3})) as client:
        base = f"{client.sandbox.url}/inventory/v1/reports"
        headers = {"Authorization": f"Zoho-oauthtoken {client.token}"}
        days = {"filter_by": "TransactionDate.CustomDate", "from_date": "2020-01-01"}
        async with client.http.get(f"{base}/salesbyitem", params=days, headers=headers) as reply:
            assert (await reply.json())["page_context"]["from_date"] == "2020-01-01"
        async with client.http.get(f"{base}/profitandloss", headers=headers) as reply:
            assert (reply.status, (await reply.json())["code"]) == (404, 5)
