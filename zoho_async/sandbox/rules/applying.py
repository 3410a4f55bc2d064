"""The operations that apply credits and payments to debts, from either end, and take that back.

A body names sources for the debt of its path, or debts for the source of its path; all of it is
granted or nothing (see `settlement`). A row below a document names one application, by the id that
the list shows; what was drawn of a retainer is named by the invoice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from zoho_async.sandbox.api.context import RecordRef, RequestContext
from zoho_async.sandbox.api.render import reply_values
from zoho_async.sandbox.data.values import is_list, is_object
from zoho_async.sandbox.replies import ApiRefusal, ApiReply, success
from zoho_async.sandbox.rules.amounts import exact
from zoho_async.sandbox.rules.documents import LINKS, Kind
from zoho_async.sandbox.rules.settlement import Application, ApplicationLedger, End

#: The lists of a body that names sources: the family, and the field with the id.
_SOURCES: Final[Mapping[str, tuple[tuple[str, ...], str]]] = {
    "invoice_payments": (("customerpayments", "payments"), "payment_id"),
    "apply_creditnotes": (("creditnotes",), "creditnote_id"),
    "bill_payments": (("vendorpayments",), "payment_id"),
    "apply_vendor_credits": (("vendorcredits",), "vendor_credit_id"),
}
#: The lists of a body that names targets.
_TARGETS: Final[Mapping[str, tuple[str, str]]] = {
    "invoices": ("invoices", "invoice_id"),
    "invoice_payments": ("invoices", "invoice_id"),
    "bills": ("bills", "bill_id"),
}
RETAINER: Final = "retainerinvoices"


def answer(ask: RequestContext, kind: Kind, end: End) -> ApiReply | None:
    """The answer to what is applied to or of this document, else None. Raises `ApiRefusal`."""
    ledger = ApplicationLedger(ask.store, ask.facts.product)
    words = "/".join(ask.tail)
    if len(ask.ids) == 2 and not ask.tail and ask.call.method == "DELETE":
        row = _row(ledger, end, ask.ids[1])
        if row is None and _is_invoice(ask.records[1]):
            raise ApiRefusal(404, 1002, "Nothing of this retainer was applied to that invoice.")
        if row is None:
            return None
        ledger.strike(row)
        return success("The application has been deleted.")
    if len(ask.ids) != 1 or ask.call.method != "POST":
        return None
    if kind.role == "debt" and words == "credits":
        return _credited(ask, ledger, end)
    if words in _TARGETS and (kind.word, words) in LINKS:
        return _applied(ask, ledger, end)
    return None


def _is_invoice(found: RecordRef | None) -> bool:
    return found is not None and found.home.path == ("invoices",)


def _row(ledger: ApplicationLedger, end: End, shown: str) -> Application | None:
    if end[0] != RETAINER:
        return ledger.with_id(end, shown)
    drawn = [each for each in ledger.rows(end) if each.target == ("invoices", shown)]
    return drawn[-1] if drawn else None


def _credited(ask: RequestContext, ledger: ApplicationLedger, target: End) -> ApiReply:
    """Sources that the body names are applied to the debt that the path names."""
    wanted: list[tuple[End, Decimal]] = []
    for name, (words, id_field) in _SOURCES.items():
        rows = ask.call.body.get(name)
        for each in _objects(rows):
            words_here = [word for word in words if ledger.collection(word) is not None]
            if (words_here[:1] or [""])[0] and (words_here[0], target[0]) in LINKS:
                source = (words_here[0], str(each.get(id_field, "")))
                wanted.append((source, exact(each.get("amount_applied"))))
    sums: dict[End, Decimal] = {}
    for source, amount in wanted:
        sums[source] = sums.get(source, Decimal(0)) + amount
    for source, amount in sums.items():
        ledger.check(source, [(target, amount)])
    _within(ledger, target, sum(sums.values(), Decimal(0)))
    made = [ledger.apply(source, target, amount) for source, amount in sums.items()]
    rows_told: list[dict[str, Any]] = [
        {
            "creditnotes_invoice_id": row.at_target,
            "creditnote_id": row.source[1],
            "invoice_id": target[1],
            "amount_applied": row.amount,
        }
        for row in made
    ]
    return _done(ask, "Credits have been applied.", {"apply_creditnotes": rows_told})


def _within(ledger: ApplicationLedger, target: End, amount: Decimal) -> None:
    if amount > exact(ledger.state(target).get("balance")):
        text = "The amount entered is more than the balance due"
        raise ApiRefusal(400, 24016, text)


def _applied(ask: RequestContext, ledger: ApplicationLedger, source: End) -> ApiReply:
    """The source that the path names is applied to the debts that the body names."""
    asked = list(wanted(ask.call.body, source[0]))
    ledger.check(source, asked)
    for target, amount in asked:
        ledger.apply(source, target, amount)
    told = [
        {f"{target[0].removesuffix('s')}_id": target[1], "amount_applied": amount}
        for target, amount in asked
    ]
    return _done(ask, "Credits have been applied.", {ask.tail[0]: told})


def _done(ask: RequestContext, message: str, state: dict[str, Any]) -> ApiReply:
    facts = ask.facts
    values = reply_values(facts, None, None, state) if facts.answer != "done" else {}
    return success(message, values, status=facts.status if facts.status == 201 else 200)


def wanted(body: Mapping[str, Any], source: str) -> Iterator[tuple[End, Decimal]]:
    """The debts that a body wants a source applied to; rows of nothing are left out."""
    for name, (target, id_field) in _TARGETS.items():
        if (source, target) not in LINKS:
            continue
        for each in _objects(body.get(name)):
            amount = exact(each.get("amount_applied"))
            if amount:
                yield (target, str(each.get(id_field, ""))), amount


def _objects(rows: Any) -> list[dict[str, Any]]:
    return [each for each in rows if is_object(each)] if is_list(rows) else []
