"""Documents that are made of others: estimates, orders, and what became of them.

A parent is named in the query (``POST /invoices?salesorder_id=``), or in the body where the
description has a field for it. Each child says how much of each line of its parent it took: by the
line's id (``salesorder_item_id``), or by the item where it names none. What was taken of an order
is the sum over its children that are there and not void, so that voiding or removing one gives it
back; the order's status follows. An instant invoice takes what is left.

Zoho's documents do not say that more than what was ordered is refused, so it is not; only an
instant invoice never takes more. Packages, receipts and shipments count for nothing here. A status
is set only where the description of the resource allows that word.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

import msgspec

from zoho_async.sandbox.homes import Home, homes
from zoho_async.sandbox.records.described import Described
from zoho_async.sandbox.replies import ApiRefusal
from zoho_async.sandbox.request import Ask, Found, missing, texts
from zoho_async.sandbox.rules.amounts import exact, lines_of, plain
from zoho_async.sandbox.rules.settlement import FORBIDDEN, End
from zoho_async.sandbox.store import Collection, Store
from zoho_async.sandbox.values import is_list

_INSTANT: Final = "/invoices/fromsalesorder"


class Conversion(msgspec.Struct, frozen=True):
    """A parent that becomes a child.

    ``names`` are what the parent's id is called. ``line`` names the parent's line in one of the
    child, ``taken`` is the parent's figure of it, and ``whole`` and ``part`` are its statuses; ""
    where there is none. ``shown`` is the list of children that a parent may have.
    """

    parent: str
    child: str
    names: tuple[str, ...]
    line: str = ""
    taken: str = ""
    whole: str = ""
    part: str = ""
    shown: str = ""


CONVERSIONS: Final = (
    Conversion("estimates", "salesorders", ("estimate_id",)),
    Conversion("estimates", "invoices", ("estimate_id",), whole="invoiced"),
    Conversion(
        *("salesorders", "invoices", ("salesorder_id",), "salesorder_item_id"),
        *("quantity_invoiced", "invoiced", "partially_invoiced", "invoices"),
    ),
    Conversion("salesorders", "purchaseorders", ("salesorder_id",)),
    Conversion(
        *("purchaseorders", "bills", ("purchaseorder_id", "purchaseorder_ids")),
        *("purchaseorder_item_id", "quantity_billed", "billed", "partially_billed", "bills"),
    ),
)
_BY_PAIR: Final = {(each.parent, each.child): each for each in CONVERSIONS}


def prepare(ask: Ask, home: Home, fields: dict[str, Any]) -> list[End]:
    """The parents of a child that is about to be made; an instant invoice gets its lines.

    Raises `ApiRefusal` for a parent that is not there, or of which nothing is left.
    """
    found = list(_parents(ask, home, fields))
    for word, parent_id in found:
        collection, index = _document(ask.store, home.product, (word, parent_id))
        if ask.facts.path == _INSTANT:
            fields["line_items"] = _rest(collection.state(index))
            if not fields["line_items"]:
                raise ApiRefusal(400, FORBIDDEN, "The sales order has been invoiced already.")
    return found


def follow(ask: Ask, child: Found, parents: list[End]) -> None:
    """Note that a child was made of these parents, and bring them up to date."""
    store, product = ask.store, child.home.product
    end = (child.home.path[0], child.id)
    if parents:
        store.keep_thing(product, _place(end), {"parents": [list(each) for each in parents]})
    for parent in parents:
        children = [*_ends(store, product, parent, "children"), end]
        store.keep_thing(product, _place(parent), {"children": [list(each) for each in children]})
        name = _BY_PAIR[parent[0], end[0]].names[0]
        if name in child.collection.state(child.index):
            child.collection.change(child.index, {name: parent[1]})
    renew(store, product, end)


def renew(store: Store, product: str, child: End) -> None:
    """Bring the parents of a child up to date, after it changed, became void, or went."""
    for parent in _ends(store, product, child, "parents"):
        conversion = _BY_PAIR[parent[0], child[0]]
        home = homes(product).by_path[parent[0],]
        collection = store.at(home, ())
        index = collection.find(parent[1])
        if index is not None:
            changed = _after(store, product, conversion, parent, collection.state(index))
            allowed = collection.resource
            words = allowed.statuses if isinstance(allowed, Described) else ()
            if changed.get("status") not in (None, *words):
                del changed["status"]
            collection.change(index, changed)


def is_taken(store: Store, product: str, parent: End) -> bool:
    """Whether something was invoiced or billed of a document."""
    pairs = ((each, _BY_PAIR[parent[0], each[0]]) for each in _live(store, product, parent))
    return any(conversion.whole for _, conversion in pairs)


# -- what a parent is afterwards ------------------------------------------------------------------


def _after(
    store: Store, product: str, conversion: Conversion, parent: End, state: dict[str, Any]
) -> dict[str, Any]:
    children = [
        (end, _document(store, product, end))
        for end in _live(store, product, parent)
        if end[0] == conversion.child
    ]
    if not conversion.line:
        if not conversion.whole:
            return {}
        return {"status": conversion.whole if children else _before(state, conversion)}
    states = [collection.state(index) for _, (collection, index) in children]
    name, lines = lines_of(state)
    taken = _taken(lines, states, conversion.line)
    ordered = [exact(line.get("quantity", 1)) for line in lines]
    changed: dict[str, Any] = {
        name or "line_items": [
            {**line, conversion.taken: plain(much)}
            | ({"is_invoiced": much >= wanted} if "is_invoiced" in line else {})
            for line, much, wanted in zip(lines, taken, ordered, strict=True)
        ]
    }
    if conversion.taken in state:
        changed[conversion.taken] = plain(sum(taken, Decimal(0)))
    if conversion.shown in state and is_list(state[conversion.shown]):
        changed[conversion.shown] = [
            {f"{end[0].removesuffix('s')}_id": end[1], **_summary(each)}
            for (end, _), each in zip(children, states, strict=True)
        ]
    if not any(taken):
        changed["status"] = _before(state, conversion)
    else:
        whole = all(much >= wanted for much, wanted in zip(taken, ordered, strict=True))
        changed["status"] = conversion.whole if whole else conversion.part
    return changed


def _before(state: Mapping[str, Any], conversion: Conversion) -> Any:
    """The status of a parent of which nothing is taken any more."""
    status = state.get("status", "")
    again = "open" if conversion.line else "sent"
    return again if status in (conversion.whole, conversion.part) else status


def _taken(lines: list[dict[str, Any]], children: list[dict[str, Any]], name: str) -> list[Decimal]:
    """How much of each line the children took."""
    taken = [Decimal(0)] * len(lines)
    ids = {str(line.get("line_item_id")): number for number, line in enumerate(lines)}
    for child in children:
        for line in lines_of(child)[1]:
            number = ids.get(str(line.get(name)))
            if number is None and not line.get(name):
                number = _of_item(lines, line, taken)
            if number is not None:
                taken[number] += exact(line.get("quantity", 1))
    return taken


def _of_item(
    lines: list[dict[str, Any]], line: Mapping[str, Any], taken: list[Decimal]
) -> int | None:
    """The line of the same item: the first of which something is left, or the first."""
    same = [
        number
        for number, each in enumerate(lines)
        if line.get("item_id") and str(each.get("item_id")) == str(line["item_id"])
    ]
    open_ones = (n for n in same if taken[n] < exact(lines[n].get("quantity", 1)))
    return next(open_ones, same[0] if same else None)


def _rest(order: dict[str, Any]) -> list[dict[str, Any]]:
    """The lines of an order as an invoice takes them: what is left of each."""
    rest: list[dict[str, Any]] = []
    for line in lines_of(order)[1]:
        left = exact(line.get("quantity", 1)) - exact(line.get("quantity_invoiced"))
        if left > 0:
            kept = {name: value for name, value in line.items() if name != "line_item_id"}
            number = line.get("line_item_id", "")
            rest.append({**kept, "quantity": plain(left), "salesorder_item_id": number})
    return rest


def _summary(state: Mapping[str, Any]) -> dict[str, Any]:
    names = ("invoice_number", "bill_number", "status", "date", "due_date", "total", "balance")
    return {name: state[name] for name in names if name in state}


# -- who is whose ---------------------------------------------------------------------------------


def _parents(ask: Ask, home: Home, fields: Mapping[str, Any]) -> Iterator[End]:
    described = {field.name for field in ask.facts.body}
    for conversion in CONVERSIONS:
        if (conversion.child,) != home.path or (conversion.parent,) not in ask.homes.by_path:
            continue
        for name in conversion.names:
            named = ask.call.params.get(name) or (fields.get(name) if name in described else None)
            plain_ids = texts(named) if isinstance(named, str | list) else []
            for parent_id in dict.fromkeys(plain_ids):
                yield conversion.parent, parent_id


def _document(store: Store, product: str, end: End) -> tuple[Collection, int]:
    home = homes(product).by_path[end[0],]
    collection = store.at(home, ())
    index = collection.find(end[1])
    if index is None:
        raise missing(collection, home)
    return collection, index


def _live(store: Store, product: str, parent: End) -> Iterator[End]:
    """The children that are there and not void."""
    for end in _ends(store, product, parent, "children"):
        collection = store.at(homes(product).by_path[end[0],], ())
        index = collection.find(end[1])
        if index is not None and collection.state(index).get("status") != "void":
            yield end


def _ends(store: Store, product: str, end: End, name: str) -> list[End]:
    rows: Any = store.thing(product, _place(end)).get(name, [])
    return [(str(word), str(record_id)) for word, record_id in rows]


def _place(end: End) -> str:
    return f"/{end[0]}/{end[1]}/@conversions"
