"""Estimates and orders: their own status, and the status that they show.

Model
-----
The *own status* of an order is the one that its last verb set: draft, sent, accepted, declined,
open, confirmed, issued, billed, void, cancelled, or a step of its approval. The order shows

    its own status          if it is void, cancelled or was marked as fully converted,
    invoiced, billed        while existing children took a quantity of it (or the partial
                            status; see `conversions`),
    expired                 for a sent estimate after its last day,
    its own status          otherwise.

Why it holds
------------
No verb hides that an order was invoiced. After the last child is void or deleted, the order shows
what the last verb set.

Documented
----------
The statuses. An estimate cannot become a draft again (4041). After its last day it cannot be
accepted. Accepting an estimate can create a retainer invoice of a percentage, above 0 and at most
100 (9526). The dates of acceptance and refusal are stored. A void sales order takes no invoices,
and an invoiced one cannot be deleted.

Assumed
-------
- Zoho says what a verb is for ("mark a draft as open") but not that it fails otherwise, so it
  never does.
- A cancelled purchase order is not billed, as a void sales order is not invoiced. Earlier children
  of either stay.
- An order that was not sent or not approved can be invoiced.
- Only the first acceptance of an estimate creates the retainer, as a draft.
- Orders of Inventory start as drafts and never show in their status what was converted, because
  no such status is documented there.

Substatuses are not simulated: no reply has a field for the current one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from zoho_async.sandbox.api.context import RecordRef
from zoho_async.sandbox.api.render import allowed_statuses
from zoho_async.sandbox.api.verbs import status_after
from zoho_async.sandbox.data.collection import Collection
from zoho_async.sandbox.data.schemas import schemas
from zoho_async.sandbox.data.store import Store
from zoho_async.sandbox.replies import ApiRefusal
from zoho_async.sandbox.rules.amounts import exact, money
from zoho_async.sandbox.rules.settlement import FORBIDDEN, End
from zoho_async.sandbox.rules.statuses import has_expired

_CLOSED: Final = frozenset({"void", "cancelled"})
_NO_DRAFT: Final = 4041
_NO_PERCENTAGE: Final = 9526
_DATED: Final = {"accepted": "accepted_date", "declined": "declined_date"}


def own_status(store: Store, product: str, end: End, state: Mapping[str, Any]) -> str:
    """An order's own status: the one that its last verb set, or the seeded one."""
    kept = store.thing(product, _place(end)).get("status")
    return str(state.get("status", "") if kept is None else kept)


def set_own_status(store: Store, product: str, end: End, status: str) -> None:
    """Store an order's own status."""
    store.keep_thing(product, _place(end), {"status": status})


def shown_status(own: str, whole: str, taken: str) -> str:
    """The status to show for an own status and the status of the quantity taken (or "")."""
    return own if own in _CLOSED or own == whole or not taken else taken


def check_open(store: Store, product: str, end: End, state: Mapping[str, Any]) -> None:
    """Refuse a child of a void or cancelled order. Raises `ApiRefusal`."""
    status = own_status(store, product, end, state)
    if status in _CLOSED:
        raise ApiRefusal(400, FORBIDDEN, f"It is in {status} status and cannot be linked.")


def check(
    word: str, collection: Collection, fields: dict[str, Any], asked: Any, index: int | None
) -> None:
    """Check a write of an order; ``asked`` is the status in the body.

    Raises `ApiRefusal`.
    """
    if index is None:
        fields["status"] = "draft"
    if word != "estimates":
        return
    if index is not None and asked == "draft" and collection.state(index)["status"] != "draft":
        raise ApiRefusal(400, _NO_DRAFT, "Estimate status cannot be changed to Draft.")
    percentage = fields.get("retainer_percentage")
    if percentage not in (None, "") and not 0 < exact(percentage) <= 100:
        text = "Please enter a valid retainer percentage: above 0 and at most 100."
        raise ApiRefusal(400, _NO_PERCENTAGE, text)


def verb(store: Store, found: RecordRef, word: str, words: Sequence[str]) -> None:
    """Do what precedes a verb of an order. Raises `ApiRefusal` if it is not allowed."""
    status = status_after(words, allowed_statuses(found.collection)) if words else ""
    if not status:
        return
    state, end = found.collection.state(found.index), (word, found.id)
    if word == "estimates" and status == "accepted":
        if has_expired(state, store.world.day_now()):
            raise ApiRefusal(400, FORBIDDEN, "The estimate is expired and cannot be accepted.")
        _create_retainer(store, found, end, state)
    set_own_status(store, found.schema.product, end, status)
    dated = _DATED.get(status)
    if dated in state:
        found.collection.change(found.index, {dated: store.world.day_now()})


def _create_retainer(store: Store, found: RecordRef, end: End, state: Mapping[str, Any]) -> None:
    """Create the retainer invoice that an estimate requires on acceptance."""
    product = found.schema.product
    schema = schemas(product).by_path.get(("retainerinvoices",))
    percentage = exact(state.get("retainer_percentage"))
    if schema is None or state.get("accept_retainer") is not True or not percentage:
        return
    if store.thing(product, _place(end)).get("retainer"):
        return
    line = {
        "description": f"{state.get('estimate_number', '')} ({percentage}%)",
        "rate": money(exact(state.get("total")) * percentage / 100),
    }
    fields = {name: state.get(name, "") for name in ("customer_id", "customer_name")}
    retainers = store.at(schema, ())
    made = retainers.add({**fields, "date": store.world.day_now(), "line_items": [line]})
    store.keep_thing(product, _place(end), {"retainer": retainers.id(made)})


def _place(end: End) -> str:
    return f"/{end[0]}/{end[1]}/@standing"
