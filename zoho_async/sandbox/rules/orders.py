"""Where estimates and orders stand, and what they show once something was taken of them.

An order *stands* where its last verb put it: draft, sent, accepted, declined, open, confirmed,
issued, billed, void, cancelled, or at a step of its approval. What it shows is

    where it stands         if it is void, cancelled or was marked as wholly taken,
    invoiced, billed        else while children that are there took something of it (see
    (or partly so)              `conversions`),
    expired                 an estimate that was sent, after its last day,
    where it stands         else.

So no verb hides that an order was invoiced, and once the last child is void or gone the order is
again what the last verb said.

Known from documents: which words there are; that an estimate cannot become a draft again (4041);
that after its last day it is no longer valid for acceptance; that accepting one can make a retainer
invoice of a percentage, above 0 and at most 100 (9526); the days of acceptance and refusal; that a
void sales order takes no invoices; that an invoiced sales order cannot be deleted.

Not known, and chosen: documents name what a verb is meant for ("mark a draft as open") without
saying that anything else is refused, so nothing else is. A cancelled purchase order is not billed,
as a void sales order is not invoiced; what was taken of either before stays with its children. An
order that was not given to anybody yet, or is not approved, can be invoiced. An estimate's retainer
is made by the first acceptance alone, and is a draft. Orders of Inventory begin as drafts and never
show what was taken of them in their status: no document there names such words. Substatuses are not
played: no reply has a field for the one that an order is in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from zoho_async.sandbox.api.context import RecordRef
from zoho_async.sandbox.api.render import allowed_statuses
from zoho_async.sandbox.api.verbs import status_after
from zoho_async.sandbox.data.resources import homes
from zoho_async.sandbox.data.store import Collection, Store
from zoho_async.sandbox.replies import ApiRefusal
from zoho_async.sandbox.rules.amounts import exact, money
from zoho_async.sandbox.rules.settlement import FORBIDDEN, End, today
from zoho_async.sandbox.rules.statuses import has_expired

_CLOSED: Final = frozenset({"void", "cancelled"})
_NO_DRAFT: Final = 4041
_NO_PERCENTAGE: Final = 9526
_DATED: Final = {"accepted": "accepted_date", "declined": "declined_date"}


def standing(store: Store, product: str, end: End, state: Mapping[str, Any]) -> str:
    """Where an order stands: as its last verb put it, or as it was found."""
    kept = store.thing(product, _place(end)).get("status")
    return str(state.get("status", "") if kept is None else kept)


def stand(store: Store, product: str, end: End, status: str) -> None:
    """Keep where an order stands."""
    store.keep_thing(product, _place(end), {"status": status})


def shown(stands: str, whole: str, taken: str) -> str:
    """The status of an order that stands there, of which so much (a status, or "") was taken."""
    return stands if stands in _CLOSED or stands == whole or not taken else taken


def check_open(store: Store, product: str, end: End, state: Mapping[str, Any]) -> None:
    """Refuse to make anything of what is void or cancelled. Raises `ApiRefusal`."""
    stands = standing(store, product, end, state)
    if stands in _CLOSED:
        raise ApiRefusal(400, FORBIDDEN, f"It is in {stands} status and cannot be linked.")


def check(
    word: str, collection: Collection, fields: dict[str, Any], asked: Any, index: int | None
) -> None:
    """Whether an order may be written so; ``asked`` is the status that the body wants.

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
        text = "Please enter a valid retainer percentage: above 0, and at most 100."
        raise ApiRefusal(400, _NO_PERCENTAGE, text)


def verb(store: Store, found: RecordRef, word: str, words: Sequence[str]) -> None:
    """What must happen before a verb of an order does its work. Raises `ApiRefusal`."""
    status = status_after(words, allowed_statuses(found.collection)) if words else ""
    if not status:
        return
    state, end = found.collection.state(found.index), (word, found.id)
    if word == "estimates" and status == "accepted":
        if has_expired(state, today()):
            raise ApiRefusal(400, FORBIDDEN, "The estimate has expired: it cannot be accepted.")
        _retain(store, found, end, state)
    stand(store, found.home.product, end, status)
    dated = _DATED.get(status)
    if dated in state:
        found.collection.change(found.index, {dated: today()})


def _retain(store: Store, found: RecordRef, end: End, state: Mapping[str, Any]) -> None:
    """Make the retainer invoice that an estimate asks for once it is accepted."""
    product = found.home.product
    home = homes(product).by_path.get(("retainerinvoices",))
    percentage = exact(state.get("retainer_percentage"))
    if home is None or state.get("accept_retainer") is not True or not percentage:
        return
    if store.thing(product, _place(end)).get("retainer"):
        return
    line = {
        "description": f"{state.get('estimate_number', '')} ({percentage}%)",
        "rate": money(exact(state.get("total")) * percentage / 100),
    }
    fields = {name: state.get(name, "") for name in ("customer_id", "customer_name")}
    retainers = store.at(home, ())
    made = retainers.add({**fields, "date": today(), "line_items": [line]})
    store.keep_thing(product, _place(end), {"retainer": retainers.id(made)})


def _place(end: End) -> str:
    return f"/{end[0]}/{end[1]}/@standing"
