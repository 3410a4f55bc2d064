"""Apply the accounting rules to API calls: before a write, after it, and for verbs.

`check` runs before every create and update and `written` after it; `check_removal` runs before
every removal, `verb` before a verb, and `followed` after verbs and removals. `applying` has the
operations that move money between documents. A documented refusal has the code of the resource's
table if there is one, else 1000.

Documented: which invoices, retainers and bills cannot be deleted; voiding an invoice or a retainer
releases what was applied; a retainer is paid in full.

Assumed:

- Voiding a bill releases what was applied, too.
- Credits that were used cannot be voided or deleted.
- A total cannot fall below the settled amount.
- Removing a payment from an invoice leaves the payment, unused.
- A payment that was partly refunded, or that paid a retainer which was drawn, cannot be deleted.
- Bills of Inventory start as open and invoices of Billing as sent, the only documented statuses
  for an unpaid document there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import msgspec

from zoho_async.sandbox.api.context import RecordRef, RequestContext
from zoho_async.sandbox.data.collection import Collection
from zoho_async.sandbox.data.schemas import CollectionSchema
from zoho_async.sandbox.data.store import Store
from zoho_async.sandbox.records import journals
from zoho_async.sandbox.records.described import Described
from zoho_async.sandbox.replies import ApiRefusal
from zoho_async.sandbox.rules import (
    billables,
    conversions,
    exchange,
    orders,
    payments,
    pending,
    refunds,
    statuses,
    subscriptions,
    unbilled,
)
from zoho_async.sandbox.rules.amounts import exact, lines_of
from zoho_async.sandbox.rules.applying import RETAINER
from zoho_async.sandbox.rules.documents import DERIVED, SETTLING, Kind, kind_at
from zoho_async.sandbox.rules.settlement import FORBIDDEN, ApplicationLedger, End, end_of

_VOIDS: Final = frozenset({"status/void", "void"})
_WRITE_OFF: Final = "writeoff"
_UNDO_WRITE_OFF: Final = frozenset({"writeoff/cancel", "cancelwriteoff"})
_BY_STATE: Final = frozenset({"debt", "credit"})


class RulePlan(msgspec.Struct, frozen=True):
    """The follow-up of a checked write.

    ``applied`` are the new applications of a payment, or None to keep them. ``refunded`` is the
    amount of a refund before its change. ``parents`` are the documents from which this one is
    made.
    """

    applied: Sequence[tuple[End, Decimal]] | None = None
    refunded: Decimal = Decimal(0)
    parents: list[End] = []


def verb(store: Store, found: RecordRef, words: Sequence[str]) -> None:
    """Check and prepare a verb of a document. Raises `ApiRefusal` if it is not allowed."""
    document = end_of(found)
    if document is None:
        return
    kind, end = document
    if kind.role == "order":
        orders.verb(store, found, kind.word, words)
        return
    ledger, state, word = ApplicationLedger(store, found.schema.product), None, "/".join(words)
    if word in _VOIDS and kind.role in _BY_STATE:
        state = found.collection.state(found.index)
        if kind.role == "credit" and _used_amount(state) > 0:
            raise ApiRefusal(
                400, FORBIDDEN, "The credits were used: the note cannot be voided or deleted."
            )
        if exact(state.get("payment_drawn")) > 0:
            raise ApiRefusal(
                400, 9520, "The payment of this retainer was used: it cannot be voided."
            )
        if kind.role == "debt":
            ledger.undo_all(end)
            found.collection.change(found.index, {"write_off_amount": Decimal("0.0")})
    elif word == _WRITE_OFF and kind.role == "debt":
        state = found.collection.state(found.index)
        whole = exact(state.get("write_off_amount")) + exact(state.get("balance"))
        found.collection.change(found.index, {"write_off_amount": whole})
    elif word in _UNDO_WRITE_OFF and kind.role == "debt":
        found.collection.change(found.index, {"write_off_amount": Decimal("0.0")})


def followed(store: Store, found: RecordRef) -> None:
    """Update the parents of a document after a verb or a removal."""
    if kind_at(found.schema.path) is not None:
        end = (found.schema.path[0], found.id)
        conversions.renew(store, found.schema.product, end)
        conversions.show(store, found.schema.product, end)
        if end[0] == "invoices":
            billables.renew(store, found.schema.product, end)


# -- writes --------------------------------------------------------------------------------------


def kept(schema: CollectionSchema, body: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a body that a caller may set; derived fields are dropped."""
    kind = kind_at(schema.path)
    if kind is None:
        return dict(body)
    by_rules = DERIVED if kind.role == "payment" else DERIVED | {"status"}
    return {name: value for name, value in body.items() if name not in by_rules}


def check(
    ask: RequestContext,
    schema: CollectionSchema,
    collection: Collection,
    fields: dict[str, Any],
    index: int | None,
) -> RulePlan:
    """Check the fields of a write and plan its follow-up. Raises `ApiRefusal`."""
    kind = kind_at(schema.path)
    if schema.path == subscriptions.PATH:
        subscriptions.prepare(ask, fields, collection.state(index) if index is not None else {})
    billables.prepare(ask.store, schema, collection, fields, index)
    if kind is None:
        if schema.path == journals.PATH:
            known = collection.state(index) if index is not None else {}
            journals.check_balance(known | fields)
        refunds.check(ask, collection, fields, index)
        before = collection.state(index) if index is not None else {}
        return RulePlan(refunded=exact(before.get("amount")))
    asked, allowed = fields.get("status"), kept(schema, fields)
    for name in [name for name in fields if name not in allowed]:
        del fields[name]
    if kind.word == "creditnotes" and index is None:
        fields["status"] = "draft" if fields.get("is_draft") is True else "open"
    if kind.role == "debt" and index is None and _has_no_statuses(collection):
        fields["status"] = kind.opened
    if kind.role == "order":
        orders.check(kind.word, collection, fields, asked, index)
    if kind.word == "invoices":
        own = collection.id(index) if index is not None else ""
        billables.check(ask.store, schema.product, fields, own)
    _fill_taxes(ask, fields)
    before = collection.state(index) if index is not None else {}
    exchange.fill_currency(ask, fields, before)
    parents = conversions.prepare(ask, schema, fields)
    ledger = ApplicationLedger(ask.store, schema.product)
    if kind.role == "payment":
        applied = payments.check(kind, ledger, collection, fields, index)
        if index is None:
            exchange.fill_rate(ledger, fields, applied or ())
        return RulePlan(applied=applied)
    if kind.role in _BY_STATE and index is not None:
        _check_change(kind, collection, fields, index)
    return RulePlan(parents=parents)


def written(ask: RequestContext, found: RecordRef, plan: RulePlan) -> None:
    """Carry out the plan of a checked write."""
    kind = kind_at(found.schema.path)
    if ask.facts.name == "billing.subscriptions.create" and unbilled.is_wanted(ask):
        unbilled.first_term(ask.store, found)
    if kind is None:
        refunds.written(ask, found, plan.refunded)
        return
    end = (kind.word, found.id)
    if plan.parents:
        conversions.follow(ask.store, found, plan.parents)
    else:
        conversions.renew(ask.store, found.schema.product, end)
    conversions.show(ask.store, found.schema.product, end)
    if kind.word == "invoices":
        billables.renew(ask.store, found.schema.product, end)
        pending.name_lines(ask.store, found)
    if plan.applied is None:
        return
    ledger = ApplicationLedger(ask.store, found.schema.product)
    for row in ledger.rows(end):
        if row.target[0] != RETAINER:
            ledger.undo(row)
    for target, amount in plan.applied:
        ledger.apply(end, target, amount)


def _has_no_statuses(collection: Collection) -> bool:
    """Whether the description names no status, so that it has no draft status either."""
    return isinstance(collection.resource, Described) and not collection.resource.statuses


def _fill_taxes(ask: RequestContext, fields: Mapping[str, Any]) -> None:
    """Copy the percentage of each line's tax into the line."""
    for line in lines_of(fields)[1]:
        tax_id = line.get("tax_id")
        if not tax_id or line.get("tax_percentage") not in (None, ""):
            continue
        for schema in ask.schemas.for_name("tax_id"):
            taxes = ask.store.at(schema, ())
            index = taxes.find(str(tax_id))
            if index is not None:
                tax = taxes.state(index)
                line["tax_percentage"] = tax.get("tax_percentage", "")
                line["tax_name"] = line.get("tax_name") or tax.get("tax_name", "")
                break


def _check_change(kind: Kind, collection: Collection, fields: dict[str, Any], index: int) -> None:
    """Refuse another party, or a total below the settled amount, after money has moved."""
    state = collection.state(index)
    moved = _used_amount(state) if kind.role == "credit" else _settled_amount(state)
    if moved <= 0:
        return
    party = fields.get(kind.party)
    if party and str(party) != str(state.get(kind.party)):
        code = 3010 if kind.word == "invoices" else FORBIDDEN
        raise ApiRefusal(400, code, "The party cannot change: payments or credits were recorded.")
    after = state | fields
    statuses.settle(kind, after, seeded=True, today="")
    if kind.word == "retainerinvoices" and exact(after.get("total")) != exact(state.get("total")):
        raise ApiRefusal(400, 9533, "The amount cannot change after a payment was recorded.")
    if exact(after.get("balance")) < 0:
        raise ApiRefusal(400, FORBIDDEN, "The total cannot be less than the settled amount.")


def _settled_amount(state: Mapping[str, Any]) -> Decimal:
    return sum((exact(state.get(name)) for name in SETTLING), Decimal(0))


def _used_amount(state: Mapping[str, Any]) -> Decimal:
    return exact(state.get("total_credits_used")) + exact(state.get("total_refunded_amount"))


# -- removals ------------------------------------------------------------------------------------


def check_removal(store: Store, found: RecordRef) -> None:
    """Refuse a removal that Zoho forbids; otherwise release what was applied.

    Raises `ApiRefusal`.
    """
    document = end_of(found)
    state = found.collection.state(found.index)
    if document is None:
        billables.check_removal(store, found)
        refunds.removed(store, found, state)
        return
    kind, end = document
    if kind.word == "invoices" and exact(state.get("payment_made")) > 0:
        raise ApiRefusal(400, 4001, "Payments have been recorded: it cannot be deleted.")
    if kind.word == "invoices" and exact(state.get("credits_applied")) > 0:
        raise ApiRefusal(400, 12008, "This invoice has credits applied: it cannot be deleted.")
    if kind.word == "retainerinvoices" and exact(state.get("payment_made")) > 0:
        raise ApiRefusal(400, 9520, "Payments have been recorded: it cannot be deleted.")
    if kind.role == "order" and conversions.is_taken(store, found.schema.product, end):
        raise ApiRefusal(400, FORBIDDEN, "It has been invoiced or billed: it cannot be deleted.")
    if kind.word == "unbilledcharges":
        unbilled.forget(store, end[1])
    if kind.role == "debt" and _settled_amount(state) > exact(state.get("write_off_amount")):
        raise ApiRefusal(400, FORBIDDEN, "It has payments or credits: it cannot be deleted.")
    if kind.role == "credit" and _used_amount(state) > 0:
        raise ApiRefusal(
            400, FORBIDDEN, "The credits were used: the note cannot be voided or deleted."
        )
    if kind.role == "payment":
        if exact(state.get("amount_refunded")) > 0:
            raise ApiRefusal(400, FORBIDDEN, "The payment was refunded: it cannot be deleted.")
        ledger = ApplicationLedger(store, found.schema.product)
        for row in ledger.rows(end):
            if exact(ledger.state(row.target).get("payment_drawn")) > 0:
                raise ApiRefusal(
                    400, FORBIDDEN, "The retainer was used: its payment cannot be deleted."
                )
        ledger.undo_all(end)
