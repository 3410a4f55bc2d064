"""Check the body of a create or update for the hand-written modules of Books.

A field that neither the record nor the specification has is dropped silently, as Zoho does. Any
other field must have the type in the specification or, without one, the type in the record. A wrong
type is refused with code 4. ``null`` is a blank. Amounts are exact decimals.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any, Final

import msgspec

from zoho_async.description import Field, OperationFacts
from zoho_async.sandbox.data.values import amount, is_share, parse, whole
from zoho_async.sandbox.records.resource import Record
from zoho_async.sandbox.replies import ApiRefusal, invalid_field, pointed

_OBJECTS: Final = frozenset({"billing_address", "shipping_address"})
_OBJECT_LISTS: Final = frozenset({"line_items", "custom_fields", "contact_persons"})
_LINE_AMOUNTS: Final = ("quantity", "rate", "discount_amount")


def accept_fields(body: Record, facts: OperationFacts, state: Record, *, whole: bool) -> Record:
    """Return the fields of a body to keep. ``state`` is the present record.

    If ``whole`` is true, required fields must be there. Raises `ApiRefusal` for a missing or wrong
    field.
    """
    known = {field.name: field for field in facts.body}
    for field in facts.body:
        if whole and field.required and body.get(field.name) in (None, "", []):
            raise missing_field(field.name)
    answered = {field.name for field in facts.reply}
    kept: Record = {}
    for name, value in body.items():
        if name in _SERVERS_OWN or name.endswith("_formatted"):
            continue
        if name in state:
            kept[name] = _taken(name, value, known.get(name), state)
        elif name in known and name in answered:
            kept[name] = parse(known[name], value)
    return kept


#: Fields that only the server sets.
_SERVERS_OWN: Final = frozenset(
    {"contact_id", "item_id", "invoice_id", "project_id", "created_time", "last_modified_time"}
)


def missing_field(name: str) -> ApiRefusal:
    """Return the error for a missing required field."""
    if name == "contact_name":
        return ApiRefusal(400, 3013, "Enter a valid Contact Name.")
    return invalid_field(name)


def _taken(name: str, value: Any, field: Field | None, state: Record) -> Any:
    before = state[name]
    if name == "contact_persons" and "line_items" not in state and field is not None:
        return parse(field, value or [])
    if name in _OBJECTS or name in _OBJECT_LISTS:
        return _of_shape(name, value, state)
    if isinstance(before, list):
        if not isinstance(value, list):
            raise invalid_field(name)
        return msgspec.convert(value, list[Any])
    if value is None or value == "":
        return ""
    if isinstance(value, dict) and isinstance(before, dict):
        return msgspec.convert(before, dict[str, Any]) | msgspec.convert(value, dict[str, Any])
    if isinstance(value, list | dict):
        if field is None or field.kind not in ("list", "object"):
            raise invalid_field(name)
        return parse(field, value)
    if isinstance(before, bool):
        return _boolean(name, value)
    if field is not None and is_share(field, value):
        return value
    kind = field.kind if field is not None else None
    if kind == "decimal" or isinstance(before, float | Decimal):
        return pointed(amount(name, value))
    if isinstance(before, int):
        return whole(name, value)
    return _text(name, str(value), field)


def _text(name: str, value: str, field: Field | None) -> str:
    if field is None:
        return value
    if field.allowed and value not in field.allowed:
        raise invalid_field(name)
    if field.max_length is not None and len(value) > field.max_length:
        raise invalid_field(name)
    if field.kind == "date":
        try:
            date.fromisoformat(value)
        except ValueError:
            raise invalid_field(name) from None
    return value


def _of_shape(name: str, value: Any, state: Record) -> Any:
    """Return lines and custom fields as lists of objects, and addresses as objects."""
    try:
        if name in _OBJECTS:
            blanked = msgspec.convert(value or {}, dict[str, str | int | None])
            return {**state[name], **{part: text or "" for part, text in blanked.items()}}
        if name == "contact_persons":
            return msgspec.convert(value or [], list[str])  # a document names them by id
        objects = msgspec.convert(value or [], list[dict[str, Any]])
    except msgspec.ValidationError:
        raise invalid_field(name) from None
    if name == "line_items":
        for line in objects:
            line.update({each: amount(each, line[each]) for each in _LINE_AMOUNTS if each in line})
    return objects


def _boolean(name: str, value: Any) -> bool:
    if value in (True, "true"):
        return True
    if value in (False, "false"):
        return False
    raise invalid_field(name)
