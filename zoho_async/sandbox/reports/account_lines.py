"""Answer the list of an account's transactions from the books.

The rows have the amounts of the base currency. Only ``date_start`` and ``date_end`` filter them;
whether Zoho sends the amounts of another currency for some types is not known.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from zoho_async.sandbox.api.context import ApiCall
from zoho_async.sandbox.data.schemas import schemas
from zoho_async.sandbox.data.store import Store
from zoho_async.sandbox.records import currencies
from zoho_async.sandbox.replies import ApiReply, invalid, success
from zoho_async.sandbox.reports.entries import BookEntry, Posting
from zoho_async.sandbox.reports.ledger import Books, books_of, prepare_books
from zoho_async.sandbox.reports.query import ReportRules, question_of
from zoho_async.sandbox.rules.amounts import money

#: The operation that this module answers.
OPERATION: Final = "books.chart_of_accounts.list_transactions"
_RULES: Final = ReportRules("transactions", (), default="", name="Account Transactions", most=200)


async def answer_lines(call: ApiCall, store: Store) -> ApiReply:
    """Answer with the entries of one account, newest first. Raises `ApiRefusal`."""
    account = call.params.get("account_id", "")
    if not account:
        raise invalid("account_id")
    await prepare_books(store, call.product)
    books = books_of(store, call.product)
    first, last = call.params.get("date_start", ""), call.params.get("date_end", "") or "9999"
    currency_ids = _currencies(store, call.product)
    rows = [
        _row(books, posting, entry, currency_ids)
        for posting in books.postings
        if first <= posting.date <= last
        for entry in posting.entries
        if entry.account == account and entry.amount
    ]
    rows.reverse()
    asked = question_of(_RULES, call.params, store.world.day_now())
    context = {
        name: value
        for name, value in asked.context(len(rows)).items()
        if name in ("page", "per_page", "has_more_page", "report_name", "total", "total_pages")
    }
    return success("success", {_RULES.key: list(asked.page_of(rows)), "page_context": context})


def _currencies(store: Store, product: str) -> dict[str, str]:
    """The ids of the currencies by their codes."""
    known = store.at(schemas(product).by_path[currencies.PATH], ())
    return {str(known.state(one).get("currency_code")): known.id(one) for one in known.indexes()}


def _row(
    books: Books, posting: Posting, entry: BookEntry, currency_ids: Mapping[str, str]
) -> dict[str, Any]:
    others = [each for each in posting.entries if (each.amount > 0) != (entry.amount > 0)]
    offset = books.chart.account(others[0].account).name if len(others) == 1 else ""
    is_debit = entry.amount > 0
    return {
        "categorized_transaction_id": "",
        "transaction_type": posting.kind,
        "transaction_status": "",
        "transaction_source": "",
        "transaction_id": posting.id,
        "transaction_date": posting.date,
        "account_id": entry.account,
        "customer_id": posting.party,
        "payee": posting.party_name,
        "description": "",
        "entry_number": posting.number,
        "currency_id": currency_ids.get(posting.currency, ""),
        "currency_code": posting.currency,
        "debit_or_credit": "debit" if is_debit else "credit",
        "offset_account_name": offset,
        "reference_number": posting.reference,
        "reconcile_status": "",
        "debit_amount": money(entry.amount) if is_debit else "",
        "credit_amount": "" if is_debit else money(-entry.amount),
    }
