"""Documents that are made from other documents: estimates, orders and their children.

Model
-----
The parent is named in the query (``POST /invoices?salesorder_id=``), or in the body if the
description has a field for it. Each line of a child takes a quantity of a line of its parent. The
line is found by id (``salesorder_item_id``), or by item if there is no id.

The quantity taken from an order is the sum over its children that exist and are not void. Voiding
or deleting a child therefore gives its quantity back, and the order's status follows (see
`orders`). Children that the sandbox creates take the remaining quantity (see `rest`).

Unknown
-------
Zoho does not document that more than the ordered quantity is refused, so it is not refused. Only
`rest` never exceeds it. Packages, receipts and shipments do not count here. A status is set only
if the description of the resource allows it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import msgspec

from zoho_async.sandbox.api.context import RecordRef, RequestContext, missing, texts
from zoho_async.sandbox.api.render import allowed_statuses
from zoho_async.sandbox.data.collection import Collection
from zoho_async.sandbox.data.schemas import CollectionSchema, schemas
from zoho_async.sandbox.data.store import Store
from zoho_async.sandbox.data.values import is_list
from zoho_async.sandbox.replies import ApiRefusal
from zoho_async.sandbox.rules import orders, unbilled
from zoho_async.sandbox.rules.amounts import exact, lines_of, plain
from zoho_async.sandbox.rules.settlement import FORBIDDEN, End


class Conversion(msgspec.Struct, frozen=True):
    """A parent that becomes a child.

    ``names`` are the fields with the parent's id. ``line`` names the parent's line in a line of the
    child, ``taken`` is the parent's figure for the quantity, and ``whole`` and ``part`` are its
    statuses; "" without such a field. ``shown`` is the list of children in the parent.
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
    Conversion("estimates", "invoices", ("estimate_id", "invoiced_estimate_id"), whole="invoiced"),
    Conversion(
        *("salesorders", "invoices", ("salesorder_id",), "salesorder_item_id"),
        *("quantity_invoiced", "invoiced", "partially_invoiced", "invoices"),
    ),
    Conversion("salesorders", "purchaseorders", ("salesorder_id",)),
    Conversion("unbilledcharges", "invoices", (), whole="invoiced"),
    Conversion(
        *("purchaseorders", "bills", ("purchaseorder_id", "purchaseorder_ids")),
        *("purchaseorder_item_id", "quantity_billed", "billed", "partially_billed", "bills"),
    ),
)
_BY_PAIR: Final = {(each.parent, each.child): each for each in CONVERSIONS}
#: For each parent, the conversion that decides its status.
_DECIDING: Final = {each.parent: each for each in CONVERSIONS if each.whole}


def prepare(ask: RequestContext, schema: CollectionSchema, fields: Mapping[str, Any]) -> list[End]:
    """The parents of a child that is about to be written.

    Raises `ApiRefusal` if a parent does not exist, is void or is cancelled.
    """
    found = list(dict.fromkeys(_parents(ask, schema, fields)))
    for parent in found:
        collection, index = _document(ask.store, schema.product, parent)
        orders.check_open(ask.store, schema.product, parent, collection.state(index))
    return found


def follow(store: Store, child: RecordRef, parents: Sequence[End]) -> None:
    """Record the parents of a child, and update them."""
    product = child.schema.product
    end = (child.schema.path[0], child.id)
    if parents:
        every = dict.fromkeys([*_ends(store, product, end, "parents"), *parents])
        store.keep_thing(product, _place(end), {"parents": [list(each) for each in every]})
    for parent in parents:
        children = dict.fromkeys([*_ends(store, product, parent, "children"), end])
        collection, index = _document(store, product, parent)
        own_status = orders.own_status(store, product, parent, collection.state(index))
        orders.set_own_status(store, product, parent, own_status)
        store.keep_thing(product, _place(parent), {"children": [list(each) for each in children]})
        state = child.collection.state(child.index)
        names = [name for name in _BY_PAIR[parent[0], end[0]].names[:1] if name in state]
        if names:
            child.collection.change(child.index, {names[0]: parent[1]})
    renew(store, product, end)


def renew(store: Store, product: str, child: End) -> None:
    """Update the parents of a child after it changed, became void or was deleted."""
    for parent in _ends(store, product, child, "parents"):
        show(store, product, parent)


def show(store: Store, product: str, parent: End) -> None:
    """Update a parent: the quantity taken of each line, and the status."""
    conversion = _DECIDING.get(parent[0])
    schema = schemas(product).by_path.get((parent[0],))
    if conversion is None or schema is None or not store.thing(product, _place(parent)):
        return
    collection = store.at(schema, ())
    index = collection.find(parent[1])
    if index is None:
        return
    state = collection.state(index)
    own_status = orders.own_status(store, product, parent, state)
    changed, taken = _after(store, product, conversion, parent, state)
    words = allowed_statuses(collection)
    if taken in words or not taken:
        changed["status"] = orders.shown_status(own_status, conversion.whole, taken)
    collection.change(index, changed)


def is_taken(store: Store, product: str, parent: End) -> bool:
    """Whether an invoice or a bill was made from a document."""
    pairs = ((each, _BY_PAIR[parent[0], each[0]]) for each in _live(store, product, parent))
    return any(conversion.whole for _, conversion in pairs)


# -- the state of a parent ------------------------------------------------------------------------


def _after(
    store: Store, product: str, conversion: Conversion, parent: End, state: dict[str, Any]
) -> tuple[dict[str, Any], str]:
    """A parent's derived fields, and the status for the quantity taken ("": nothing)."""
    children = [
        (end, _document(store, product, end))
        for end in _live(store, product, parent)
        if end[0] == conversion.child
    ]
    if not conversion.line:
        return {}, conversion.whole if children else ""
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
        return changed, ""
    whole = all(much >= wanted for much, wanted in zip(taken, ordered, strict=True))
    return changed, conversion.whole if whole else conversion.part


def _taken(lines: list[dict[str, Any]], children: list[dict[str, Any]], name: str) -> list[Decimal]:
    """The quantity that the children took of each line."""
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
    """The line of the same item: the first with a quantity left, else the first."""
    same = [
        number
        for number, each in enumerate(lines)
        if line.get("item_id") and str(each.get("item_id")) == str(line["item_id"])
    ]
    open_ones = (n for n in same if taken[n] < exact(lines[n].get("quantity", 1)))
    return next(open_ones, same[0] if same else None)


def rest(store: Store, product: str, parent: End) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A parent, and the lines of a child that takes the remaining quantities.

    Raises `ApiRefusal` if the parent does not exist or nothing is left.
    """
    collection, index = _document(store, product, parent)
    state, conversion = collection.state(index), _DECIDING[parent[0]]
    orders.check_open(store, product, parent, state)
    children = [
        found.state(number)
        for found, number in (_document(store, product, e) for e in _live(store, product, parent))
        if found.resource.path == f"/{conversion.child}"
    ]
    lines = unbilled.lines_left(state) if parent[0] == "unbilledcharges" else lines_of(state)[1]
    if conversion.line:
        taken = _taken(lines, children, conversion.line)
    else:
        whole = bool(children) or state.get("status") == conversion.whole
        taken = [exact(line.get("quantity", 1)) if whole else Decimal(0) for line in lines]
    left: list[dict[str, Any]] = []
    for line, much in zip(lines, taken, strict=True):
        quantity = exact(line.get("quantity", 1)) - much
        if quantity > 0:
            named = {conversion.line: line.get("line_item_id", "")} if conversion.line else {}
            own = ("line_item_id", "unbilled_charge_item_id", conversion.taken, "is_invoiced")
            kept = {name: value for name, value in line.items() if name not in own}
            left.append({**kept, "quantity": plain(quantity), **named})
    if not left:
        text = f"No quantity is left in this {parent[0].removesuffix('s')}."
        raise ApiRefusal(400, FORBIDDEN, text)
    return state, left


def _summary(state: Mapping[str, Any]) -> dict[str, Any]:
    names = ("invoice_number", "bill_number", "status", "date", "due_date", "total", "balance")
    return {name: state[name] for name in names if name in state}


# -- parents and children ----------------------------------------------------------------------


def _parents(
    ask: RequestContext, schema: CollectionSchema, fields: Mapping[str, Any]
) -> Iterator[End]:
    described = {field.name for field in ask.facts.body}
    for conversion in CONVERSIONS:
        if (conversion.child,) != schema.path or (conversion.parent,) not in ask.schemas.by_path:
            continue
        for name in conversion.names:
            body = ask.call.body if name in described else {}
            named = ask.call.params.get(name) or body.get(name)
            for parent_id in texts(named) if isinstance(named, str | list) else []:
                yield conversion.parent, parent_id
        if conversion.line:
            yield from _by_lines(ask, conversion, fields)


def _by_lines(
    ask: RequestContext, conversion: Conversion, fields: Mapping[str, Any]
) -> Iterator[End]:
    """The parents whose lines a child's lines name."""
    lines = {str(line.get(conversion.line) or "") for line in lines_of(fields)[1]} - {""}
    parents = ask.store.at(ask.schemas.by_path[conversion.parent,], ())
    for index in parents.indexes() if lines else ():
        own = lines_of(parents.state(index))[1]
        if lines & {str(line.get("line_item_id")) for line in own}:
            yield conversion.parent, parents.id(index)


def _document(store: Store, product: str, end: End) -> tuple[Collection, int]:
    schema = schemas(product).by_path[end[0],]
    collection = store.at(schema, ())
    index = collection.find(end[1])
    if index is None:
        raise missing(collection, schema)
    return collection, index


def _live(store: Store, product: str, parent: End) -> Iterator[End]:
    """The children that exist and are not void."""
    for end in _ends(store, product, parent, "children"):
        collection = store.at(schemas(product).by_path[end[0],], ())
        index = collection.find(end[1])
        if index is not None and collection.state(index).get("status") != "void":
            yield end


def _ends(store: Store, product: str, end: End, name: str) -> list[End]:
    rows: Any = store.thing(product, _place(end)).get(name, [])
    return [(str(word), str(record_id)) for word, record_id in rows]


def _place(end: End) -> str:
    return f"/{end[0]}/{end[1]}/@conversions"
