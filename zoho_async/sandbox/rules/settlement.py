"""Credits and payments as a ledger of applications.

Model
-----
An *application* settles part of a target (an invoice, a bill) with part of a source (a credit
note, a payment, a retainer). It is stored with both documents, and every figure that it changes is
updated with it.

Invariant
---------
For each party

    sum(totals of debts) = sum(balances) + sum(applied) + sum(written off)

A source is never used beyond its amount, and a debt never settled beyond its balance. The lists
below a document (its payments, its credits) have a row per application if the product has such
lists. Each list has separate ids.

Seeded documents
----------------
The sample payments and credit notes of Books are applied to sample invoices (see `data.sales`).
These applications are in the ledger as if a caller had made them. The figures of other seeded
documents start from the seed's values. Seeded rows of lists below a document move no money.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import msgspec

from zoho_async._msgspec import decoder_of
from zoho_async.sandbox.api.context import RecordRef, missing
from zoho_async.sandbox.data.collection import Collection
from zoho_async.sandbox.data.schemas import schemas
from zoho_async.sandbox.data.store import Store
from zoho_async.sandbox.data.values import is_list, is_object
from zoho_async.sandbox.records.sales_events import CREDIT_NOTES, PAYMENTS, seeded_applications
from zoho_async.sandbox.replies import ENCODER, ApiRefusal
from zoho_async.sandbox.rules.amounts import exact, money
from zoho_async.sandbox.rules.documents import KINDS, LINKS, Kind

#: The family of a document and its id.
End: TypeAlias = tuple[str, str]

#: The code of a documented refusal for which no code is documented.
FORBIDDEN: Final = 1000
_EXCEEDS: Final = 24016


class Application(msgspec.Struct, frozen=True):
    """An amount of a source that settles a target, with the ids of its rows in lists."""

    source: End
    target: End
    amount: Decimal
    at_source: str
    at_target: str


#: The resources of the documents that the sample data applied to each other.
_SEEDED: Final = {
    "invoices": "books.invoices",
    "customerpayments": PAYMENTS,
    "creditnotes": CREDIT_NOTES,
}


_ROWS: Final = decoder_of(list[Application], float_hook=Decimal)


class ApplicationLedger:
    """The applications of one organization in one product."""

    def __init__(self, store: Store, product: str) -> None:
        self._store: Final = store
        self._product: Final = product

    # -- documents ------------------------------------------------------------------------------

    def collection(self, word: str) -> Collection | None:
        """The documents of a family, or None if the product has none."""
        schema = schemas(self._product).by_path.get((word,))
        return self._store.at(schema, ()) if schema is not None else None

    def find(self, end: End) -> tuple[Collection, int]:
        """Find a document. Raises `ApiRefusal` if it does not exist."""
        schema = schemas(self._product).by_path.get((end[0],))
        if schema is None:
            raise ApiRefusal(400, 5, "Invalid URL Passed")
        collection = self._store.at(schema, ())
        index = collection.find(end[1])
        if index is None:
            raise missing(collection, schema)
        return collection, index

    def state(self, end: End) -> dict[str, Any]:
        """A document's fields. Raises `ApiRefusal` if it does not exist."""
        collection, index = self.find(end)
        return collection.state(index)

    def check(
        self,
        source: End,
        wanted: Sequence[tuple[End, Decimal]],
        state: Mapping[str, Any] | None = None,
        given_back: Mapping[End, Decimal] = MappingProxyType({}),
    ) -> None:
        """Check applications that are to be made together. Raises `ApiRefusal`.

        ``state`` are the fields of a source that does not exist yet or is about to change.
        ``given_back`` is the amount that each target gets back first.
        """
        of = self.state(source) if state is None else state
        party = KINDS[source[0]].party
        sums: dict[End, Decimal] = {}
        for target, amount in wanted:
            to = self.state(target)
            back = given_back.get(target, Decimal(0))
            _check_statuses(source, of, to, reopened=back > 0)
            if of.get(party) and to.get(party) and str(of[party]) != str(to[party]):
                raise ApiRefusal(400, 1002, f"The {_one(target[0])} belongs to another party.")
            if amount <= 0:
                raise ApiRefusal(400, 4, "Invalid value passed for amount_applied")
            sums[target] = sums.get(target, Decimal(0)) + amount
            if sums[target] > exact(to.get("balance")) + back:
                text = f"The amount entered is more than the balance due for this {_one(target[0])}"
                raise ApiRefusal(400, _EXCEEDS, text)
        left = left_of(KINDS[source[0]], of)
        if sum(sums.values(), Decimal(0)) > left:
            raise ApiRefusal(
                400, 4, "Invalid value passed for amount_applied: more than the amount left"
            )

    # -- applications ---------------------------------------------------------------------------

    def rows(self, end: End) -> list[Application]:
        """The applications of a document, as source or target."""
        kept = self._store.thing(self._product, _place(end)).get("rows")
        return self._seeded(end) if kept is None else _ROWS.decode(ENCODER.encode(kept))

    def _seeded(self, end: End) -> list[Application]:
        """The applications of a sample document of which nothing was applied or undone since."""
        resource = _SEEDED.get(end[0])
        if resource is None or self._product != "books":
            return []
        world = self._store.world_of("books")
        index = world.index(resource, end[1])
        found = seeded_applications(world, end[0], index) if index is not None else []
        return [
            Application((source, source_id), (target, target_id), amount, "", "")
            for source, source_id, target, target_id, amount in found
        ]

    def left(self, end: End) -> Decimal:
        """The amount of a source that can still be applied or refunded."""
        return left_of(KINDS[end[0]], self.state(end))

    def apply(self, source: End, target: End, amount: Decimal) -> Application:
        """Apply an amount of a source to a debt. Raises `ApiRefusal` if that is not allowed."""
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
        self._update_source(source)
        return made

    def undo(self, row: Application) -> None:
        """Undo an application."""
        link = LINKS[row.source[0], row.target[0]]
        for end in (row.source, row.target):
            rows = self.rows(end)
            rows.remove(row)
            self._keep(end, rows)
        self._hide(row.source, link.at_source, row.at_source)
        self._hide(row.target, link.at_target, row.at_target)
        self._grow(row.target, link.figure, -row.amount)
        self._update_source(row.source)

    def undo_all(self, end: End) -> None:
        """Undo every application of a document."""
        for row in self.rows(end):
            self.undo(row)

    def with_id(self, end: End, shown: str) -> Application | None:
        """The application with this id in a list below a document."""
        at = [row for row in self.rows(end) if shown in (row.at_source, row.at_target)]
        return at[0] if at else None

    def refund(self, end: End, amount: Decimal) -> None:
        """Refund an amount of a source; a negative amount undoes a refund."""
        kind = KINDS[end[0]]
        figure = "amount_refunded" if kind.role == "payment" else "total_refunded_amount"
        self._grow(end, figure, amount)

    # -- derived figures ------------------------------------------------------------------------

    def _grow(self, end: End, figure: str, amount: Decimal) -> None:
        collection, index = self.find(end)
        figures = exact(collection.state(index).get(figure)) + amount
        collection.change(index, {figure: money(figures)})

    def _update_source(self, source: End) -> None:
        """Update a source's list of applications; seeded figures stay included."""
        collection, index = self.find(source)
        kind, state = KINDS[source[0]], collection.state(index)
        rows = [row for row in self.rows(source) if row.source == source]
        total = sum((row.amount for row in rows), Decimal(0))
        if kind.role == "debt":
            collection.change(index, {"payment_drawn": money(total)})
            return
        listed_rows = [self._listed_row(row) for row in rows if row.target[0] != "retainerinvoices"]
        changed: dict[str, Any] = {kind.listed: listed_rows}
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

    def _listed_row(self, row: Application) -> dict[str, Any]:
        state = self.state(row.target)
        one = row.target[0].removesuffix("s")
        row_fields: dict[str, Any] = {
            f"{one}_id": row.target[1],
            f"{one}_number": _number(row.target[0], state),
            "date": state.get("date", ""),
            "amount": row.amount,
            "amount_applied": row.amount,
        }
        if one == "bill":
            shown = row.at_source or row.at_target
            row_fields |= {"balance": state.get("balance"), "total": state.get("total")}
            row_fields |= {"due_date": state.get("due_date", "")}
            row_fields["vendor_credit_bill_id" if row.at_source else "bill_payment_id"] = shown
        else:
            row_fields |= {
                "invoice_amount": state.get("total"),
                "balance_amount": state.get("balance"),
            }
        return row_fields

    # -- lists ----------------------------------------------------------------------------------

    def _row(self, source: End, target: End, amount: Decimal) -> dict[str, Any]:
        """The row of an application, with the fields of every list that may show it."""
        of, to = self.state(source), self.state(target)
        source_id, target_id = _id_fields(source[0]), _id_fields(target[0])
        now = self._store.world.day_now()
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
        schema = schemas(self._product).by_path.get((end[0], "{}", word)) if word else None
        return self._store.at(schema, (end[1],)) if schema is not None else None

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


def left_of(kind: Kind, state: Mapping[str, Any]) -> Decimal:
    """The amount of a source in this state that can still be applied or refunded."""
    if kind.role == "payment":
        return exact(state.get("unused_amount", state.get("amount")))
    if kind.role == "credit":
        return exact(state.get("balance"))
    return exact(state.get("payment_made")) - exact(state.get("payment_drawn"))


def end_of(found: RecordRef) -> tuple[Kind, End] | None:
    """The family and end of a record, or None if it is not a document."""
    path = found.schema.path
    kind = KINDS.get(path[0]) if len(path) == 1 else None
    return (kind, (kind.word, found.id)) if kind is not None else None


def _check_statuses(
    source: End, of: Mapping[str, Any], to: Mapping[str, Any], *, reopened: bool
) -> None:
    """Refuse an application by the statuses of its ends. Raises `ApiRefusal`."""
    status, target = of.get("status"), to.get("status")
    if source[0] == "creditnotes":
        if status == "closed":
            raise ApiRefusal(400, 12003, "Credit notes that are closed cannot be applied")
        if status == "void":
            raise ApiRefusal(400, 12004, "Credit notes that are void cannot be applied")
        if target == "draft":
            raise ApiRefusal(400, 12005, "Credits cannot be applied to draft invoices")
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
