"""Operations that apply credits and payments to debts, and undo that.

A body names sources for the debt of its path, or debts for the source of its path. Either every
application of a request is made or none (see `settlement`). A DELETE names one application by the
id that the list shows. The amount drawn from a retainer is named by the invoice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from zoho_async.description import OperationFacts
from zoho_async.sandbox.api.context import (
    OperationHandler,
    RecordRef,
    RequestContext,
    tail_of,
)
from zoho_async.sandbox.api.render import reply_values
from zoho_async.sandbox.data.schemas import schemas
from zoho_async.sandbox.data.values import is_list, is_object
from zoho_async.sandbox.replies import ApiRefusal, ApiReply, success
from zoho_async.sandbox.rules.amounts import exact
from zoho_async.sandbox.rules.documents import LINKS, kind_at
from zoho_async.sandbox.rules.settlement import Application, ApplicationLedger, End, end_of

#: Lists of a body that name sources: the families, and the field with the id.
_SOURCES: Final[Mapping[str, tuple[tuple[str, ...], str]]] = {
    "invoice_payments": (("customerpayments", "payments"), "payment_id"),
    "apply_creditnotes": (("creditnotes",), "creditnote_id"),
    "bill_payments": (("vendorpayments",), "payment_id"),
    "apply_vendor_credits": (("vendorcredits",), "vendor_credit_id"),
}
#: Lists of a body that name targets: the family, and the field with the id.
_TARGETS: Final[Mapping[str, tuple[str, str]]] = {
    "invoices": ("invoices", "invoice_id"),
    "invoice_payments": ("invoices", "invoice_id"),
    "bills": ("bills", "bill_id"),
}
RETAINER: Final = "retainerinvoices"
#: The lists below a document whose elements are applications.
_LISTS: Final = frozenset({"invoices", "bills", "payments", "creditsapplied"})


def handler_of(facts: OperationFacts) -> OperationHandler | None:
    """Return the handler of an operation that applies something or undoes that, else None."""
    along = schemas(facts.product).along(facts.path)
    kind = kind_at(along[0].path) if along and along[0] is not None else None
    if kind is None:
        return None
    words = "/".join(tail_of(facts.path))
    if len(along) == 2 and not words and facts.method == "DELETE":
        return _undo if facts.path.split("/")[-2] in _LISTS else None
    if len(along) != 1 or facts.method != "POST":
        return None
    if kind.role == "debt" and words == "credits":
        return _apply_sources
    return _apply_source if words in _TARGETS and (kind.word, words) in LINKS else None


def _path_end(ask: RequestContext) -> tuple[ApplicationLedger, End]:
    """Return the ledger, and the document that the path names first."""
    found = ask.records[0]
    document = end_of(found) if found is not None else None
    assert document is not None  # `handler_of` chose the operation for its kind
    return ApplicationLedger(ask.store, ask.facts.product), document[1]


def _undo(ask: RequestContext) -> ApiReply | None:
    """Remove one application. A seeded row is not one and is removed as usual."""
    ledger, end = _path_end(ask)
    row = _row(ledger, end, ask.ids[1])
    if row is None and _is_invoice(ask.records[1]):
        raise ApiRefusal(404, 1002, "The retainer was not applied to this invoice.")
    if row is None:
        return None
    ledger.undo(row)
    return success("The application has been deleted.")


def _is_invoice(found: RecordRef | None) -> bool:
    return found is not None and found.schema.path == ("invoices",)


def _row(ledger: ApplicationLedger, end: End, shown: str) -> Application | None:
    if end[0] != RETAINER:
        return ledger.with_id(end, shown)
    drawn = [each for each in ledger.rows(end) if each.target == ("invoices", shown)]
    return drawn[-1] if drawn else None


def _apply_sources(ask: RequestContext) -> ApiReply:
    """Apply the sources of the body to the debt of the path."""
    ledger, target = _path_end(ask)
    wanted: list[tuple[End, Decimal]] = []
    for name, (words, id_field) in _SOURCES.items():
        word = next((each for each in words if ledger.collection(each) is not None), "")
        if (word, target[0]) in LINKS:
            wanted += [
                ((word, str(row.get(id_field, ""))), exact(row.get("amount_applied")))
                for row in _objects(ask.call.body.get(name))
            ]
    sums: dict[End, Decimal] = {}
    for source, amount in wanted:
        sums[source] = sums.get(source, Decimal(0)) + amount
    for source, amount in sums.items():
        ledger.check(source, [(target, amount)])
    _within(ledger, target, sum(sums.values(), Decimal(0)))
    made = [ledger.apply(source, target, amount) for source, amount in sums.items()]
    shown: list[dict[str, Any]] = [
        {
            "creditnotes_invoice_id": row.at_target,
            "creditnote_id": row.source[1],
            "invoice_id": target[1],
            "amount_applied": row.amount,
        }
        for row in made
    ]
    return _done(ask, "Credits have been applied.", {"apply_creditnotes": shown})


def _within(ledger: ApplicationLedger, target: End, amount: Decimal) -> None:
    if amount > exact(ledger.state(target).get("balance")):
        text = "The amount entered is more than the balance due"
        raise ApiRefusal(400, 24016, text)


def _apply_source(ask: RequestContext) -> ApiReply:
    """Apply the source of the path to the debts of the body."""
    ledger, source = _path_end(ask)
    asked = list(wanted(ask.call.body, source[0]))
    ledger.check(source, asked)
    for target, amount in asked:
        ledger.apply(source, target, amount)
    applied = [
        {f"{target[0].removesuffix('s')}_id": target[1], "amount_applied": amount}
        for target, amount in asked
    ]
    return _done(ask, "Credits have been applied.", {ask.tail[0]: applied})


def _done(ask: RequestContext, message: str, state: dict[str, Any]) -> ApiReply:
    facts = ask.facts
    values = reply_values(facts, None, None, state) if facts.answer != "done" else {}
    return success(message, values, status=facts.status if facts.status == 201 else 200)


def wanted(body: Mapping[str, Any], source: str) -> Iterator[tuple[End, Decimal]]:
    """The debts and amounts to which a body applies a source; zero amounts are left out."""
    for name, (target, id_field) in _TARGETS.items():
        if (source, target) not in LINKS:
            continue
        for each in _objects(body.get(name)):
            amount = exact(each.get("amount_applied"))
            if amount:
                yield (target, str(each.get(id_field, ""))), amount


def _objects(rows: Any) -> list[dict[str, Any]]:
    return [each for each in rows if is_object(each)] if is_list(rows) else []
