"""Where the rules meet the calls: what a write may not do, and what follows from it.

`answer` plays the operations that move money between documents. `check` and `written` stand around
every create and update, `check_removal` before every removal, `verb` before a verb does its work,
and `followed` after both. What documents forbid has the code of the resource's own table where it
has one, and 1000 else.

Known from documents: which invoices, retainers and bills may not be deleted; that voiding an
invoice or a retainer frees what was applied; that a retainer is paid in full. Not known, and
chosen: voiding a bill frees what was applied too; credits that were used can be neither voided nor
deleted; a total cannot fall below what is settled; removing a payment from an invoice leaves the
payment there, unused; deleting a payment that was partly refunded is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import msgspec

from zoho_async.sandbox.homes import Home
from zoho_async.sandbox.replies import ApiRefusal, Reply, invalid_field, success
from zoho_async.sandbox.request import Ask, Found
from zoho_async.sandbox.rules import conversions, statuses, subscriptions
from zoho_async.sandbox.rules.amounts import exact, lines_of
from zoho_async.sandbox.rules.documents import KINDS, LINKS, SETTLING, WORKED_OUT, Kind, kind_at
from zoho_async.sandbox.rules.settlement import FORBIDDEN, End, Ledger, end_of
from zoho_async.sandbox.store import Collection, Store
from zoho_async.sandbox.telling import told_state
from zoho_async.sandbox.values import is_list, is_object

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
_RETAINER: Final = "retainerinvoices"
_VOIDS: Final = frozenset({"status/void", "void"})
_WRITE_OFF: Final = "writeoff"
_UNDO_WRITE_OFF: Final = frozenset({"writeoff/cancel", "cancelwriteoff"})
_BY_STATE: Final = frozenset({"debt", "credit"})


class Plan(msgspec.Struct, frozen=True):
    """What a checked write does then: apply a payment anew, where ``applied`` is not None.

    ``refunded`` is the amount of a refund before its change, ``parents`` are what a new document
    is made of.
    """

    applied: Sequence[tuple[End, Decimal]] | None = None
    refunded: Decimal = Decimal(0)
    parents: list[End] = []


def answer(ask: Ask) -> Reply | None:
    """The answer to what moves money between documents, else None. Raises `ApiRefusal`."""
    found = ask.found[0] if ask.found else None
    document = end_of(found) if found is not None else None
    if found is None or document is None:
        return None
    kind, end = document
    ledger = Ledger(ask.store, ask.facts.product)
    words = "/".join(ask.tail)
    if len(ask.ids) == 2 and not ask.tail and ask.call.method == "DELETE":
        row = ledger.with_id(end, ask.ids[1])
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
    verb(ask.store, found, ask.tail)
    return None


def verb(store: Store, found: Found, words: Sequence[str]) -> None:
    """What must happen before a verb does its work. Raises `ApiRefusal` for one that may not."""
    document = end_of(found)
    if document is None:
        return
    kind, end = document
    ledger, state, word = Ledger(store, found.home.product), None, "/".join(words)
    if word in _VOIDS and kind.role in _BY_STATE:
        state = found.collection.state(found.index)
        if kind.role == "credit" and _used(state) > 0:
            raise ApiRefusal(400, FORBIDDEN, "Credits of this note were used: it stays.")
        if exact(state.get("payment_drawn")) > 0:
            raise ApiRefusal(400, 9520, "The payment of this retainer was drawn: it stays.")
        if kind.role == "debt":
            ledger.strike_all(end)
            found.collection.change(found.index, {"write_off_amount": Decimal("0.0")})
    elif word == _WRITE_OFF and kind.role == "debt":
        state = found.collection.state(found.index)
        whole = exact(state.get("write_off_amount")) + exact(state.get("balance"))
        found.collection.change(found.index, {"write_off_amount": whole})
    elif word in _UNDO_WRITE_OFF and kind.role == "debt":
        found.collection.change(found.index, {"write_off_amount": Decimal("0.0")})


def followed(store: Store, found: Found) -> None:
    """Bring the parents of a document up to date, after a verb or its removal."""
    if kind_at(found.home.path) is not None:
        conversions.renew(store, found.home.product, (found.home.path[0], found.id))


# -- applying ------------------------------------------------------------------------------------


def _credited(ask: Ask, ledger: Ledger, target: End) -> Reply:
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


def _within(ledger: Ledger, target: End, amount: Decimal) -> None:
    if amount > exact(ledger.state(target).get("balance")):
        text = "The amount entered is more than the balance due"
        raise ApiRefusal(400, 24016, text)


def _applied(ask: Ask, ledger: Ledger, source: End) -> Reply:
    """The source that the path names is applied to the debts that the body names."""
    wanted = list(_wanted(ask.call.body, source[0]))
    ledger.check(source, wanted)
    for target, amount in wanted:
        ledger.apply(source, target, amount)
    told = [
        {f"{target[0].removesuffix('s')}_id": target[1], "amount_applied": amount}
        for target, amount in wanted
    ]
    return _done(ask, "Credits have been applied.", {ask.tail[0]: told})


def _done(ask: Ask, message: str, state: dict[str, Any]) -> Reply:
    facts = ask.facts
    values = told_state(facts, None, None, state) if facts.answer != "done" else {}
    return success(message, values, status=facts.status if facts.status == 201 else 200)


def _wanted(body: Mapping[str, Any], source: str) -> Iterator[tuple[End, Decimal]]:
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


# -- around every write --------------------------------------------------------------------------


def kept(home: Home, body: Mapping[str, Any]) -> dict[str, Any]:
    """What a body may set of a document: not what follows from other fields."""
    kind = kind_at(home.path)
    if kind is None:
        return dict(body)
    by_rules = WORKED_OUT | {"status"} if kind.role in _BY_STATE else WORKED_OUT
    return {name: value for name, value in body.items() if name not in by_rules}


def check(
    ask: Ask, home: Home, collection: Collection, fields: dict[str, Any], index: int | None
) -> Plan:
    """Whether these fields may be written, and what is to be done then. Raises `ApiRefusal`."""
    kind = kind_at(home.path)
    if home.path == subscriptions.HOME:
        subscriptions.prepare(ask, fields, collection.state(index) if index is not None else {})
    if kind is None:
        _check_refund(ask, collection, fields, index)
        before = collection.state(index) if index is not None else {}
        return Plan(refunded=exact(before.get("amount")))
    allowed = kept(home, fields)
    for name in [name for name in fields if name not in allowed]:
        del fields[name]
    if kind.word == "creditnotes" and index is None:
        fields["status"] = "draft" if fields.get("is_draft") is True else "open"
    if ask.tail == ["charge"]:
        subscriptions.charged(ask, fields)
    _fill_taxes(ask, fields)
    parents = conversions.prepare(ask, home, fields) if index is None else []
    ledger = Ledger(ask.store, home.product)
    if kind.role == "payment":
        return _check_payment(kind, ledger, collection, fields, index)
    if kind.role in _BY_STATE and index is not None:
        _check_change(kind, collection, fields, index)
    return Plan(parents=parents)


def written(ask: Ask, found: Found, plan: Plan) -> None:
    """Do what follows from a write that was checked."""
    kind = kind_at(found.home.path)
    if kind is None:
        _refunded(ask, found, plan.refunded)
        return
    end = (kind.word, found.id)
    if plan.parents:
        conversions.follow(ask, found, plan.parents)
    else:
        conversions.renew(ask.store, found.home.product, end)
    if plan.applied is None:
        return
    ledger = Ledger(ask.store, found.home.product)
    for row in ledger.rows(end):
        if row.target[0] != _RETAINER:
            ledger.strike(row)
    for target, amount in plan.applied:
        ledger.apply(end, target, amount)


def _fill_taxes(ask: Ask, fields: Mapping[str, Any]) -> None:
    """Give lines that name a tax its percentage."""
    for line in lines_of(fields)[1]:
        tax_id = line.get("tax_id")
        if not tax_id or line.get("tax_percentage") not in (None, ""):
            continue
        for home in ask.homes.for_name("tax_id"):
            taxes = ask.store.at(home, ())
            index = taxes.find(str(tax_id))
            if index is not None:
                tax = taxes.state(index)
                line["tax_percentage"] = tax.get("tax_percentage", "")
                line["tax_name"] = line.get("tax_name") or tax.get("tax_name", "")
                break


def _check_payment(
    kind: Kind,
    ledger: Ledger,
    collection: Collection,
    fields: dict[str, Any],
    index: int | None,
) -> Plan:
    state = collection.state(index) if index is not None else {}
    end = (kind.word, collection.id(index) if index is not None else "")
    amount = exact(fields.get("amount", state.get("amount")))
    rows = ledger.rows(end) if index is not None else []
    drawn = exact(state.get("retainer_amount"))
    if drawn and amount != exact(state.get("amount")):
        raise ApiRefusal(400, 9523, "The amount of a retainer's payment cannot be changed.")
    party = str(fields.get(kind.party) or state.get(kind.party) or "")
    if amount < 0:
        raise invalid_field("amount")
    named = kind.listed in fields
    wanted = list(_wanted(fields, kind.word))
    if not named:
        wanted = [(row.target, row.amount) for row in rows if row.target[0] != _RETAINER]
    retainer = _retainer(ledger, fields) if index is None and not wanted else None
    if retainer is not None:
        if amount != exact(ledger.state(retainer).get("balance")):
            raise ApiRefusal(400, 9521, "Partial payment for retainer invoice is not allowed.")
        wanted = [(retainer, amount)]
    left = amount - exact(state.get("amount_refunded")) - drawn
    if left < 0:
        raise invalid_field("amount")
    back: dict[End, Decimal] = {}
    for row in rows:
        back[row.target] = back.get(row.target, Decimal(0)) + row.amount
    ledger.check(end, wanted, {kind.party: party, "unused_amount": left}, back)
    if not named and retainer is None:
        return Plan()
    fields[kind.listed] = []
    return Plan(applied=wanted)


def _retainer(ledger: Ledger, fields: Mapping[str, Any]) -> End | None:
    named = fields.get("retainerinvoice_id")
    known = named and ledger.collection(_RETAINER) is not None
    return (_RETAINER, str(named)) if known else None


def _check_change(kind: Kind, collection: Collection, fields: dict[str, Any], index: int) -> None:
    """A document of which something is settled or used keeps its party, and enough of its total."""
    state = collection.state(index)
    moved = _used(state) if kind.role == "credit" else _settled(state)
    if moved <= 0:
        return
    party = fields.get(kind.party)
    if party and str(party) != str(state.get(kind.party)):
        code = 3010 if kind.word == "invoices" else FORBIDDEN
        raise ApiRefusal(400, code, "It cannot be another's: payments or credits were recorded.")
    after = state | fields
    statuses.settle(kind, after, seeded=True, today="")
    if kind.word == "retainerinvoices" and exact(after.get("total")) != exact(state.get("total")):
        raise ApiRefusal(400, 9533, "The amount cannot change once a payment is recorded.")
    if exact(after.get("balance")) < 0:
        raise ApiRefusal(400, FORBIDDEN, "The total cannot be less than what is settled.")


def _settled(state: Mapping[str, Any]) -> Decimal:
    return sum((exact(state.get(name)) for name in SETTLING), Decimal(0))


def _used(state: Mapping[str, Any]) -> Decimal:
    return exact(state.get("total_credits_used")) + exact(state.get("total_refunded_amount"))


# -- refunds -------------------------------------------------------------------------------------


def _refund_of(ask: Ask) -> tuple[Kind, End] | None:
    """The source whose refund a call writes."""
    shape = [part for part in ask.facts.path.split("/") if part]
    source = ask.found[0] if ask.found else None
    document = end_of(source) if source is not None and "refunds" in shape[2:3] else None
    return document if document is not None and document[0].role != "debt" else None


def _check_refund(
    ask: Ask, collection: Collection, fields: Mapping[str, Any], index: int | None
) -> None:
    document = _refund_of(ask)
    if document is None or "amount" not in fields:
        return
    if index is not None and not _is_made(collection, index):
        return
    before = exact(collection.state(index).get("amount")) if index is not None else Decimal(0)
    amount = exact(fields.get("amount"))
    left = Ledger(ask.store, ask.facts.product).left(document[1])
    if amount <= 0 or amount - before > left:
        raise ApiRefusal(400, 4, "Invalid value passed for amount: more than is left")


def _refunded(ask: Ask, found: Found, before: Decimal) -> None:
    document = _refund_of(ask)
    if document is None or not _is_made(found.collection, found.index):
        return
    amount = exact(found.collection.state(found.index).get("amount"))
    more = amount - before
    if more:
        Ledger(ask.store, ask.facts.product).refund(document[1], more)


def _is_made(collection: Collection, index: int) -> bool:
    """Whether a caller made a record, and not the seed."""
    resource = collection.resource
    return index >= collection.world.size(resource.name, resource.default_rows)


# -- removals ------------------------------------------------------------------------------------


def check_removal(store: Store, found: Found) -> None:
    """Refuse to remove what documents say must stay; free what was applied of what may go.

    Raises `ApiRefusal`.
    """
    document = end_of(found)
    state = found.collection.state(found.index)
    if document is None:
        _unrefund(store, found, state)
        return
    kind, end = document
    if kind.word == "invoices" and exact(state.get("payment_made")) > 0:
        raise ApiRefusal(400, 4001, "Payments have been recorded: it cannot be deleted.")
    if kind.word == "invoices" and exact(state.get("credits_applied")) > 0:
        raise ApiRefusal(400, 12008, "This invoice has credits applied: it cannot be deleted.")
    if kind.word == "retainerinvoices" and exact(state.get("payment_made")) > 0:
        raise ApiRefusal(400, 9520, "Payments have been recorded: it cannot be deleted.")
    if kind.role == "order" and conversions.is_taken(store, found.home.product, end):
        raise ApiRefusal(400, FORBIDDEN, "It has been invoiced or billed: it cannot be deleted.")
    if kind.role == "debt" and _settled(state) > exact(state.get("write_off_amount")):
        raise ApiRefusal(400, FORBIDDEN, "It has payments or credits: it cannot be deleted.")
    if kind.role == "credit" and _used(state) > 0:
        raise ApiRefusal(400, FORBIDDEN, "Credits of this note were used: it stays.")
    if kind.role == "payment":
        if exact(state.get("amount_refunded")) > 0:
            raise ApiRefusal(400, FORBIDDEN, "The payment was refunded: it stays.")
        Ledger(store, found.home.product).strike_all(end)


def _unrefund(store: Store, found: Found, state: Mapping[str, Any]) -> None:
    path, above = found.home.path, getattr(found.collection.resource, "parents", {})
    kind = KINDS.get(path[0]) if path[1:] == ("{}", "refunds") else None
    if kind is not None and above and _is_made(found.collection, found.index):
        end = (kind.word, str(next(iter(above.values()))))
        Ledger(store, found.home.product).refund(end, -exact(state.get("amount")))
