"""Checks of a payment: the debts that it pays, and the amounts.

A payment of a retainer pays it in full. Its amount (9521, 9523) and its party cannot change. Any
other payment names the debts that it pays and releases those that it no longer names. Rows with a
zero amount are ignored. Inventory describes no payment of a retainer, so retainers stay unpaid
there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from zoho_async.sandbox.data.collection import Collection
from zoho_async.sandbox.replies import ApiRefusal, invalid_field
from zoho_async.sandbox.rules.amounts import exact
from zoho_async.sandbox.rules.applying import RETAINER, wanted
from zoho_async.sandbox.rules.documents import Kind
from zoho_async.sandbox.rules.settlement import FORBIDDEN, ApplicationLedger, End


def check(
    kind: Kind,
    ledger: ApplicationLedger,
    collection: Collection,
    fields: dict[str, Any],
    index: int | None,
) -> Sequence[tuple[End, Decimal]] | None:
    """The new applications of a payment, or None to keep the current ones.

    Raises `ApiRefusal`.
    """
    state = collection.state(index) if index is not None else {}
    end = (kind.word, collection.id(index) if index is not None else "")
    amount = exact(fields.get("amount", state.get("amount")))
    rows = ledger.rows(end) if index is not None else []
    drawn = exact(state.get("retainer_amount"))
    if drawn and amount != exact(state.get("amount")):
        raise ApiRefusal(400, 9523, "The amount of a retainer's payment cannot be changed.")
    party = str(fields.get(kind.party) or state.get(kind.party) or "")
    if drawn and party != str(state.get(kind.party)):
        raise ApiRefusal(400, FORBIDDEN, "The party of a retainer's payment cannot be changed.")
    if amount < 0:
        raise invalid_field("amount")
    named = kind.listed in fields
    asked = list(wanted(fields, kind.word))
    if not named:
        asked = [(row.target, row.amount) for row in rows if row.target[0] != RETAINER]
    retainer = _retainer(ledger, fields) if index is None and not asked else None
    if retainer is not None:
        if amount != exact(ledger.state(retainer).get("balance")):
            raise ApiRefusal(400, 9521, "Partial payment for retainer invoice is not allowed.")
        asked = [(retainer, amount)]
    left = amount - exact(state.get("amount_refunded")) - drawn
    if left < 0:
        raise invalid_field("amount")
    back: dict[End, Decimal] = {}
    for row in rows:
        back[row.target] = back.get(row.target, Decimal(0)) + row.amount
    ledger.check(end, asked, {kind.party: party, "unused_amount": left}, back)
    if not named and retainer is None:
        return None
    fields[kind.listed] = []
    return asked


def _retainer(ledger: ApplicationLedger, fields: Mapping[str, Any]) -> End | None:
    named = fields.get("retainerinvoice_id")
    known = named and ledger.collection(RETAINER) is not None
    return (RETAINER, str(named)) if known else None
