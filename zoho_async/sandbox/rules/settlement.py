"""Credits and payments as a ledger of applications.

An *application* says that so much of one document (a credit note, a payment, a retainer) stands
against another (an invoice, a bill). It is written at both ends, and every figure that it changes
is changed with it, so for each party

    sum(totals of debts) = sum(balances) + sum(applied) + sum(written off)

and a source is never used beyond what it has, nor a debt settled beyond its balance. The lists
below a document (its payments, its credits) have a row for each application, where the product has
such lists; each list has ids of its own.

What was applied to seeded documents before anything was written is in no ledger: their figures
start from what the seed says, and the rows that the seed puts into their lists move no money.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import msgspec

from zoho_async._msgspec import decoder_of
from zoho_async.sandbox.api.context import RecordRef, missing
from zoho_async.sandbox.data.resources import homes
from zoho_async.sandbox.data.seed import day
from zoho_async.sandbox.data.store import Collection, Store
from zoho_async.sandbox.data.values import is_list, is_object
from zoho_async.sandbox.replies import ENCODER, ApiRefusal
from zoho_async.sandbox.rules.amounts import exact, money
from zoho_async.sandbox.rules.documents import KINDS, LINKS, Kind

#: The word of a family and the id of one of its documents.
End: TypeAlias = tuple[str, str]

#: The code for what documents forbid without naming a code for it.
FORBIDDEN: Final = 1000
_EXCEEDS: Final = 24016


class Application(msgspec.Struct, frozen=True):
    """So much of a source stands against a target; the ids are those of its rows in lists."""

    source: End
    target: End
    amount: Decimal
    at_source: str
    at_target: str


_ROWS: Final = decoder_of(list[Application], float_hook=Decimal)


class ApplicationLedger:
    """The applications of one organization in one product."""

    def __init__(self, store: Store, product: str) -> None:
        self._store: Final = store
        self._product: Final = product

    # -- documents ------------------------------------------------------------------------------

    def collection(self, word: str) -> Collection | None:
        """The documents of a family, where the product has them."""
        home = homes(self._product).by_path.get((word,))
        return self._store.at(home, ()) if home is not None else None

    def find(self, end: End) -> tuple[Collection, int]:
        """A document. Raises `ApiRefusal` where there is none."""
        home = homes(self._product).by_path.get((end[0],))
        if home is None:
            raise ApiRefusal(400, 5, "Invalid URL Passed")
        collection = self._store.at(home, ())
        index = collection.find(end[1])
        if index is None:
            raise missing(collection, home)
        return collection, index

    def state(self, end: End) -> dict[str, Any]:
        """A document's fields. Raises `ApiRefusal` where there is none."""
        collection, index = self.find(end)
        return collection.state(index)

    def check(
        self,
        source: End,
        wanted: Sequence[tuple[End, Decimal]],
        state: Mapping[str, Any] | None = None,
        given_back: Mapping[End, Decimal] = MappingProxyType({}),
    ) -> None:
        """Whether all of this may be applied at once. Raises `ApiRefusal` for what may not be.

        ``state`` are the fields of a source that is not there yet, or is about to change;
        ``given_back`` is what comes free at the targets before.
        """
        of = self.state(source) if state is None else state
        party = KINDS[source[0]].party
        sums: dict[End, Decimal] = {}
        for target, amount in wanted:
            to = self.state(target)
            back = given_back.get(target, Decimal(0))
            _check_statuses(source, of, to, reopened=back > 0)
            if of.get(party) and to.get(party) and str(of[party]) != str(to[party]):
                raise ApiRefusal(400, 1002, f"The {_one(target[0])} belongs to somebody else.")
            if amount <= 0:
                raise ApiRefusal(400, 4, "Invalid value passed for amount_applied")
            sums[target] = sums.get(target, Decimal(0)) + amount
            if sums[target] > exact(to.get("balance")) + back:
                text = f"The amount entered is more than the balance due for this {_one(target[0])}"
                raise ApiRefusal(400, _EXCEEDS, text)
        left = left_of(KINDS[source[0]], of)
        if sum(sums.values(), Decimal(0)) > left:
            raise ApiRefusal(400, 4, "Invalid value passed for amount_applied: more than is left")

    # -- applications ---------------------------------------------------------------------------

    def rows(self, end: End) -> list[Application]:
        """The applications of a document, as source or target."""
        kept = self._store.thing(self._product, _place(end)).get("rows", [])
        return _ROWS.decode(ENCODER.encode(kept))

    def left(self, end: End) -> Decimal:
        """What a source has left to be applied or refunded."""
        return left_of(KINDS[end[0]], self.state(end))

    def apply(self, source: End, target: End, amount: Decimal) -> Application:
        """Apply so much of a source to a debt. Raises `ApiRefusal` for what cannot be."""
        self.check(source, [(target, amount)])
        link = LINKS[source[0], target[0]]
        row = self._row(source, target, amount)
        made = Application(
            source,
            target,
            amount,
            self._show(source, link.at_source, row),
            self._show(target, link.at_target, row),
        )
        for end in (source, target):
            self._keep(end, [*self.rows(end), made])
        self._grow(target, link.figure, amount)
        self._retell(source)
        return made

    def strike(self, row: Application) -> None:
        """Take an application back."""
        link = LINKS[row.source[0], row.target[0]]
        for end in (row.source, row.target):
            rows = self.rows(end)
            rows.remove(row)
            self._keep(end, rows)
        self._hide(row.source, link.at_source, row.at_source)
        self._hide(row.target, link.at_target, row.at_target)
        self._grow(row.target, link.figure, -row.amount)
        self._retell(row.source)

    def strike_all(self, end: End) -> None:
        """Take back every application of a document."""
        for row in self.rows(end):
            self.strike(row)

    def with_id(self, end: End, shown: str) -> Application | None:
        """The application that a list below a document shows under an id."""
        at = [row for row in self.rows(end) if shown in (row.at_source, row.at_target)]
        return at[0] if at else None

    def refund(self, end: End, amount: Decimal) -> None:
        """Give money of a source back (a negative amount: take that back)."""
        kind = KINDS[end[0]]
        figure = "amount_refunded" if kind.role == "payment" else "total_refunded_amount"
        self._grow(end, figure, amount)

    # -- what follows ---------------------------------------------------------------------------

    def _grow(self, end: End, figure: str, amount: Decimal) -> None:
        collection, index = self.find(end)
        figures = exact(collection.state(index).get(figure)) + amount
        collection.change(index, {figure: money(figures)})

    def _retell(self, source: End) -> None:
        """Tell a source what it was applied to; figures of seeded ones start from the seed's."""
        collection, index = self.find(source)
        kind, state = KINDS[source[0]], collection.state(index)
        rows = [row for row in self.rows(source) if row.source == source]
        total = sum((row.amount for row in rows), Decimal(0))
        if kind.role == "debt":
            collection.change(index, {"payment_drawn": money(total)})
            return
        told = [self._told(row) for row in rows if row.target[0] != "retainerinvoices"]
        changed: dict[str, Any] = {kind.listed: told}
        if kind.role == "payment":
            retained = [row.amount for row in rows if row.target[0] == "retainerinvoices"]
            if retained or state.get("retainer_amount"):
                changed["retainer_amount"] = money(sum(retained, Decimal(0)))
        else:
            before = exact(state.get("total_credits_used"))
            listed = state.get(kind.listed)
            listed = listed if is_list(listed) else []
            known = sum(
                (exact(each.get("amount")) for each in listed if is_object(each)), Decimal(0)
            )
            changed["total_credits_used"] = money(before - known + total)
        collection.change(index, changed)

    def _told(self, row: Application) -> dict[str, Any]:
        state = self.state(row.target)
        one = row.target[0].removesuffix("s")
        told: dict[str, Any] = {
            f"{one}_id": row.target[1],
            f"{one}_number": _number(row.target[0], state),
            "date": state.get("date", ""),
            "amount": row.amount,
            "amount_applied": row.amount,
        }
        if one == "bill":
            shown = row.at_source or row.at_target
            told |= {"balance": state.get("balance"), "total": state.get("total")}
            told |= {"due_date": state.get("due_date", "")}
            told["vendor_credit_bill_id" if row.at_source else "bill_payment_id"] = shown
        else:
            told |= {"invoice_amount": state.get("total"), "balance_amount": state.get("balance")}
        return told

    # -- lists ----------------------------------------------------------------------------------

    def _row(self, source: End, target: End, amount: Decimal) -> dict[str, Any]:
        """What any list may show of an application."""
        of, to = self.state(source), self.state(target)
        source_id, target_id = _id_fields(source[0]), _id_fields(target[0])
        now = today()
        return {
            source_id: source[1],
            target_id: target[1],
            "amount": amount,
            "amount_applied": amount,
            "credited_amount": amount,
            "date": now,
            "credited_date": now,
            "payment_number": of.get("payment_number", ""),
            "payment_mode": of.get("payment_mode", ""),
            "reference_number": of.get("reference_number", ""),
            "description": of.get("description", ""),
            "creditnote_number": _number(source[0], of),
            "creditnotes_number": _number(source[0], of),
            "invoice_number": _number(target[0], to),
            "bill_number": _number(target[0], to),
            "vendor_id": of.get("vendor_id", ""),
            "vendor_name": of.get("vendor_name", ""),
        }

    def _shown(self, end: End, word: str) -> Collection | None:
        home = homes(self._product).by_path.get((end[0], "{}", word)) if word else None
        return self._store.at(home, (end[1],)) if home is not None else None

    def _show(self, end: End, word: str, row: Mapping[str, Any]) -> str:
        shown = self._shown(end, word)
        if shown is None:
            return ""
        state = shown.resource.fresh(shown.world, shown.next_index)
        return shown.id(shown.add({name: each for name, each in row.items() if name in state}))

    def _hide(self, end: End, word: str, record_id: str) -> None:
        shown = self._shown(end, word)
        index = shown.find(record_id) if shown is not None else None
        if shown is not None and index is not None:
            shown.remove(index)

    def _keep(self, end: End, rows: list[Application]) -> None:
        kept = msgspec.to_builtins(rows, builtin_types=(Decimal,))
        self._store.keep_thing(self._product, _place(end), {"rows": kept})


def today() -> str:
    """The day on which what is written now is written."""
    return day(int(time.time()))


def left_of(kind: Kind, state: Mapping[str, Any]) -> Decimal:
    """What a source in this state has left to be applied or refunded."""
    if kind.role == "payment":
        return exact(state.get("unused_amount", state.get("amount")))
    if kind.role == "credit":
        return exact(state.get("balance"))
    return exact(state.get("payment_made")) - exact(state.get("payment_drawn"))


def end_of(found: RecordRef) -> tuple[Kind, End] | None:
    """The family and name of a record, if it is a document of one."""
    path = found.home.path
    kind = KINDS.get(path[0]) if len(path) == 1 else None
    return (kind, (kind.word, found.id)) if kind is not None else None


def _check_statuses(
    source: End, of: Mapping[str, Any], to: Mapping[str, Any], *, reopened: bool
) -> None:
    """What the tables of codes say may not be applied. Raises `ApiRefusal`."""
    status, target = of.get("status"), to.get("status")
    if source[0] == "creditnotes":
        if status == "closed":
            raise ApiRefusal(400, 12003, "Credit notes that are closed cannot be applied")
        if status == "void":
            raise ApiRefusal(400, 12004, "Credit notes that are void cannot be applied")
        if target == "draft":
            raise ApiRefusal(400, 12005, "Credits cannot be applied to drafts of invoices")
        if target == "paid" and not reopened:
            raise ApiRefusal(400, 12006, "Credits cannot be applied to closed invoices")
        if target == "void":
            raise ApiRefusal(400, 12007, "Credits cannot be applied to void invoices")


def _one(word: str) -> str:
    return word.removesuffix("s")


def _id_fields(word: str) -> str:
    known = {"vendorcredits": "vendor_credit_id", "retainerinvoices": "retainerinvoice_id"}
    return known.get(word) or ("payment_id" if "payments" in word else f"{word[:-1]}_id")


def _number(word: str, state: Mapping[str, Any]) -> str:
    one = {"vendorcredits": "vendor_credit"}.get(word, word.removesuffix("s"))
    return str(state.get(f"{one}_number") or state.get("number") or "")


def _place(end: End) -> str:
    return f"/{end[0]}/{end[1]}/@applications"
