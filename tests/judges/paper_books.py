"""Books worked out on paper, and a server that answers from them.

Nothing here adds up: each amount of a report is written down as it was worked out by hand. The
organization keeps its books in EUR. Its first quarter of 2026:

1. INV-1, 10 January, Alba, EUR: 1,000.00 and 19 % tax 190.00, total 1,190.00.
2. INV-2, 31 January, Baker, USD: 500.00 at 0.9137 is 456.85 EUR.
3. INV-3, 14 February, Alba: 84.03 and tax 15.97 is 100.00, adjusted by -0.01 to 99.99.
4. Payment 1, 20 February, Baker: 300.00 USD at 0.92 is 276.00 EUR, for 274.11 of INV-2: a gain of
   1.89 on the exchange.
5. CN-1, 25 February, Alba: a credit of 100.00 and tax 19.00, total 119.00, not applied.
6. BILL-1, 1 March, Cole: rent of 800.00.
7. Payment 2, 5 March, Alba: an advance of 250.00.
8. Journal 1, 31 March: rent of 10.00 in two equal lines, paid from the bank.
9. INV-4, 2 April, Alba: 60.00, after the quarter. INV-5 is a draft of 999.00.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.judges.raw_http import Reply, Request, Server, is_token_request, token_reply

Row = dict[str, Any]

ORGANIZATION = "700"
ACCOUNTS = {
    "A1": ("Accounts Receivable", "accounts_receivable"),
    "A2": ("Sales", "income"),
    "A3": ("Bank", "bank"),
    "A4": ("Tax Payable", "other_current_liability"),
    "A5": ("Advances", "other_current_liability"),
    "A6": ("Rounding", "other_expense"),
    "A7": ("Exchange Gain or Loss", "other_expense"),
    "A8": ("Accounts Payable", "accounts_payable"),
    "A9": ("Rent", "expense"),
}
#: Account, type, id, number, day, currency, debit, credit.
LINES = """
A1 invoice I1 INV-1 2026-01-10 EUR 1190.00 -
A2 invoice I1 INV-1 2026-01-10 EUR - 1000.00
A4 invoice I1 INV-1 2026-01-10 EUR - 190.00
A1 invoice I2 INV-2 2026-01-31 USD 456.85 -
A2 invoice I2 INV-2 2026-01-31 USD - 456.85
A1 invoice I3 INV-3 2026-02-14 EUR 99.99 -
A2 invoice I3 INV-3 2026-02-14 EUR - 84.03
A4 invoice I3 INV-3 2026-02-14 EUR - 15.97
A6 invoice I3 INV-3 2026-02-14 EUR 0.01 -
A3 customer_payment P1 1 2026-02-20 USD 276.00 -
A1 customer_payment P1 1 2026-02-20 USD - 274.11
A7 customer_payment P1 1 2026-02-20 USD - 1.89
A1 credit_notes N1 CN-1 2026-02-25 EUR - 119.00
A2 credit_notes N1 CN-1 2026-02-25 EUR 100.00 -
A4 credit_notes N1 CN-1 2026-02-25 EUR 19.00 -
A9 bills B1 BILL-1 2026-03-01 EUR 800.00 -
A8 bills B1 BILL-1 2026-03-01 EUR - 800.00
A3 customer_payment P2 2 2026-03-05 EUR 250.00 -
A5 customer_payment P2 2 2026-03-05 EUR - 250.00
A9 journal J1 1 2026-03-31 EUR 10.00 -
A9 journal J1 1 2026-03-31 EUR 10.00 -
A3 journal J1 1 2026-03-31 EUR - 20.00
A1 invoice I4 INV-4 2026-04-02 EUR 60.00 -
A2 invoice I4 INV-4 2026-04-02 EUR - 60.00
"""
#: The net debit of each account in a period, by its first and last day.
TRIAL_BALANCES = {
    ("1970-01-01", "2026-03-31"): {
        "A1": "1353.73",
        "A2": "-1440.88",
        "A3": "506.00",
        "A4": "-186.97",
        "A5": "-250.00",
        "A6": "0.01",
        "A7": "-1.89",
        "A8": "-800.00",
        "A9": "820.00",
    },
    ("1970-01-01", "2026-01-31"): {"A1": "1646.85", "A2": "-1456.85", "A4": "-190.00"},
    ("2026-02-01", "2026-02-28"): {
        "A1": "-293.12",
        "A2": "15.97",
        "A3": "276.00",
        "A4": "3.03",
        "A6": "0.01",
        "A7": "-1.89",
    },
    ("2026-03-01", "2026-03-31"): {
        "A3": "230.00",
        "A5": "-250.00",
        "A8": "-800.00",
        "A9": "820.00",
    },
}
#: Contact, name, total in EUR, total in the contact's currency.
RECEIVABLES = (("C1", "Alba", "1349.99", "1349.99"), ("C2", "Baker", "182.74", "200.00"))
PAYABLES = (("V1", "Cole", "800.00", "800.00"),)
#: Id, number, contact, currency, status, day, total, balance.
INVOICES = """
I1 INV-1 C1 EUR overdue 2026-01-10 1190.00 1190.00
I2 INV-2 C2 USD partially_paid 2026-01-31 500.00 200.00
I3 INV-3 C1 EUR overdue 2026-02-14 99.99 99.99
I4 INV-4 C1 EUR sent 2026-04-02 60.00 60.00
I5 INV-5 C1 EUR draft 2026-04-03 999.00 999.00
"""
NAMES = {"C1": "Alba", "C2": "Baker", "V1": "Cole"}


def _fields(text: str) -> list[list[str]]:
    return [line.split() for line in text.strip().splitlines()]


def _lists() -> dict[str, list[Row]]:
    lists: dict[str, list[Row]] = {
        "chartofaccounts": [
            {"account_id": identity, "account_name": name, "account_type": kind}
            for identity, (name, kind) in ACCOUNTS.items()
        ],
        "invoices": [
            {
                "invoice_id": identity,
                "invoice_number": number,
                "customer_id": contact,
                "customer_name": NAMES[contact],
                "currency_code": currency,
                "status": status,
                "date": day,
                "total": float(total),
                "balance": float(balance),
            }
            for identity, number, contact, currency, status, day, total, balance in _fields(
                INVOICES
            )
        ],
        "bills": [
            {
                "bill_id": "B1",
                "bill_number": "BILL-1",
                "vendor_id": "V1",
                "vendor_name": "Cole",
                "currency_code": "EUR",
                "status": "open",
                "date": "2026-03-01",
                "total": 800.0,
                "balance": 800.0,
            }
        ],
        "creditnotes": [
            {
                "creditnote_id": "N1",
                "creditnote_number": "CN-1",
                "customer_id": "C1",
                "currency_code": "EUR",
                "status": "open",
                "date": "2026-02-25",
                "total": 119.0,
                "balance": 119.0,
            }
        ],
        "customerpayments": [
            {"payment_id": "P1", "date": "2026-02-20", "amount": 300.0, "unused_amount": 0.0},
            {"payment_id": "P2", "date": "2026-03-05", "amount": 250.0, "unused_amount": 250.0},
        ],
        "items": [{"item_id": "T1", "name": "Chair", "rate": 84.03, "stock_on_hand": 7.0}],
        "journals": [{"journal_id": "J1", "journal_date": "2026-03-31", "total": 20.0}],
    }
    for rows in lists.values():
        for row in rows:
            day = row.get("date") or row.get("journal_date") or "2026-01-01"
            row |= dict.fromkeys(("created_time", "last_modified_time"), f"{day}T09:00:00+0100")
    return lists


def _lines() -> list[Row]:
    return [
        {
            "account_id": account,
            "transaction_type": kind,
            "transaction_id": identity,
            "entry_number": number,
            "transaction_date": day,
            "currency_code": currency,
            "debit_amount": "" if debit == "-" else float(debit),
            "credit_amount": "" if credit == "-" else float(credit),
        }
        for account, kind, identity, number, day, currency, debit, credit in _fields(LINES)
    ]


#: The path of a list: its field with the id, and the key of a single record.
_SINGLE = {
    "chartofaccounts": ("account_id", "chart_of_account"),
    "invoices": ("invoice_id", "invoice"),
    "bills": ("bill_id", "bill"),
    "creditnotes": ("creditnote_id", "creditnote"),
    "customerpayments": ("payment_id", "payment"),
    "items": ("item_id", "item"),
    "journals": ("journal_id", "journal"),
}
EXPORTED = (
    *("chart_of_accounts", "chart_of_accounts.transactions", "invoices", "bills"),
    *("credit_notes", "customer_payments", "items"),
)


@dataclass
class PaperBooks:
    """The server's state, which tests change. ``before`` is called before each answer."""

    lists: dict[str, list[Row]] = field(default_factory=_lists)
    lines: list[Row] = field(default_factory=_lines)
    trial_balances: dict[tuple[str, str], dict[str, str]] = field(
        default_factory=lambda: copy.deepcopy(TRIAL_BALANCES)
    )
    receivables: tuple[tuple[str, str, str, str], ...] = RECEIVABLES
    payables: tuple[tuple[str, str, str, str], ...] = PAYABLES
    stock: dict[str, str] = field(default_factory=lambda: {"T1": "7.00"})
    before: Callable[[Request], None] = lambda _: None
    refused: set[str] = field(default_factory=set[str])
    failing: set[str] = field(default_factory=set[str])
    asked: list[str] = field(default_factory=list[str])

    def serve(self) -> Server:
        return Server(self._answer)

    async def _answer(self, request: Request) -> Reply:
        if is_token_request(request):
            return token_reply()
        self.before(request)
        path = request.path.removeprefix("/books/v3/")
        self.asked.append(path)
        if path in self.refused:
            return Reply(401, {"code": 57, "message": "You are not authorized"}, date=time.time())
        if path in self.failing:
            return Reply(500, {"code": 1000, "message": "Internal error"}, date=time.time())
        found = self._body(path, request.query)
        status, body = (200, {"code": 0, "message": "success", **found}) if found else NOT_FOUND
        return Reply(status=status, body=json.dumps(body).encode(), date=time.time())

    def _body(self, path: str, query: dict[str, str]) -> Row | None:
        head, _, rest = path.partition("/")
        if path == "organizations":
            own = {"organization_id": ORGANIZATION, "name": "Paper & Sons", "currency_code": "EUR"}
            return {"organizations": [{**own, "time_zone": "Europe/Berlin"}]}
        if head == "reports":
            return self._report(rest, query)
        if path == "chartofaccounts/accounttransactions":
            account = query["account_id"]
            return _page("transactions", [r for r in self.lines if r["account_id"] == account])
        identity, key = _SINGLE[head]
        if rest:
            rows = [row for row in self.lists[head] if row[identity] == rest]
            return {key: rows[0]} if rows else None
        rows = self.lists[head]
        for name in ("customer_id", "vendor_id"):
            if name in query:
                rows = [row for row in rows if row.get(name) == query[name]]
        if query.get("filter_by", "").startswith("Type."):
            rows = []  # no debit notes
        return _page(head, rows, query.get("filter_by", "Status.All"))

    def _report(self, name: str, query: dict[str, str]) -> Row | None:
        if name == "trialbalance":
            days = query["from_date"], query["to_date"]
            return {
                "trialbalance": [
                    {
                        "name": "",
                        "account_transactions": [
                            {"name": "Accounts", "account_transactions": _nodes(amounts)}
                            for amounts in [self.trial_balances.get(days, {})]
                        ],
                    }
                ],
                "page_context": {
                    "from_date": days[0],
                    "to_date": days[1],
                    "report_basis": "Accrual",
                    "applied_filter": query["filter_by"],
                },
            }
        if name in ("aragingsummary", "apagingsummary"):
            receivable = name == "aragingsummary"
            rows = [
                {"id": one, "name": title, "total": float(base), "fcy_total": float(foreign)}
                for one, title, base, foreign in (self.receivables if receivable else self.payables)
            ]
            top = {"group_list": [{"name": "none", "group_list": rows}]}
            return {"invoice" if receivable else "bills": top, "page_context": _CONTEXT}
        if name == "inventorysummary":
            rows = [
                {"item_id": one, "quantity_available": float(number)}
                for one, number in self.stock.items()
            ]
            context = {**_CONTEXT, "total": len(rows), "total_pages": 1}
            return {"inventory": [{"item_details": rows}], "page_context": context}
        return None


NOT_FOUND = (404, {"code": 1002, "message": "Record does not exist."})
_CONTEXT = {"page": 1, "per_page": 200, "has_more_page": False}


def _page(key: str, rows: list[Row], applied: str = "") -> Row:
    context = {**_CONTEXT, "total": len(rows), "total_pages": 1}
    return {key: rows, "page_context": context | ({"applied_filter": applied} if applied else {})}


def _nodes(amounts: dict[str, str]) -> list[Row]:
    return [
        {
            "name": ACCOUNTS.get(account, (account,))[0],
            "account_id": account,
            "net_debit_total": "" if amount.startswith("-") else float(amount),
            "net_credit_total": float(amount[1:]) if amount.startswith("-") else "",
        }
        for account, amount in amounts.items()
    ]
