"""Values by their description: read from a caller, told on the wire, and made by the seed.

Zoho writes no ``null``: what is absent is ``""``, in numbers, dates and objects too. Amounts carry
a decimal point, counts none, ids are text. A record keeps what a caller sent; each reply tells it
in the kinds that this reply is described with, so that one that is a number in the request and a
text in the answer comes out as a text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final, TypeGuard

from zoho_async.description import Field
from zoho_async.sandbox.replies import ApiRefusal, invalid_field, pointed

DAY: Final = re.compile(r"\d{4}-\d\d-\d\d")
MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4}")
_NUMBER: Final = re.compile(r"-?[0-9]{1,30}(\.[0-9]{1,20})?")
_SHARE: Final = re.compile(r"\s*-?[0-9]{1,30}(\.[0-9]{1,20})?\s*%\s*")
_ID: Final = re.compile(r"-?[0-9]{1,30}")
_TRUTH: Final = {"true": True, "false": False}
_MOST_DIGITS: Final = 30


def is_object(value: object) -> TypeGuard[dict[str, Any]]:
    """Whether a JSON value is an object."""
    return isinstance(value, dict)


def is_list(value: object) -> TypeGuard[list[Any]]:
    """Whether a JSON value is a list."""
    return isinstance(value, list)


def blank(field: Field) -> Any:
    """What a field holds where nothing is known: an empty list, ``false``, 0 or ``""``."""
    match field.kind:
        case "list":
            return []
        case "object":
            return {each.name: blank(each) for each in field.fields} if field.fields else ""
        case "boolean":
            return False
        case "decimal":
            return 0.0
        case "integer":
            return 0
        case _:
            return ""


def told(field: Field, value: Any) -> Any:
    """``value`` in the kind that ``field`` is described with; ``""`` where it cannot be."""
    match field.kind:
        case "any":
            return value
        case "list":
            return _told_list(field, value)
        case "object":
            if not is_object(value):
                return blank(field) if value in ("", None) else ""
            return _told_whole(field, value)
        case _:
            return value if is_share(field, value) else _told_plain(field.kind, value)


def is_share(field: Field, value: Any) -> bool:
    """Whether ``value`` is a share with its sign, where the field takes an amount or a share."""
    return field.percent and isinstance(value, str) and _SHARE.fullmatch(value) is not None


def told_fields(fields: Sequence[Field], values: Mapping[str, Any]) -> dict[str, Any]:
    """An object's values in their described kinds; those that are not described stay."""
    known = {field.name: field for field in fields}
    return {
        name: told(known[name], value) if name in known else value for name, value in values.items()
    }


def _told_whole(field: Field, value: Mapping[str, Any]) -> dict[str, Any]:
    """An object inside a record: all that is described of it, blank where nothing is known."""
    blanks = {each.name: blank(each) for each in field.fields if each.name not in value}
    return blanks | told_fields(field.fields, value)


def _told_list(field: Field, value: Any) -> Any:
    if not is_list(value):
        return []
    elements = value
    if field.fields:
        return [_told_whole(field, each) for each in elements if is_object(each)]
    if field.element in (None, "any", "list"):
        return elements
    if field.element == "object":
        return [each for each in elements if is_object(each)]
    plain = [_told_plain(field.element, each) for each in elements]
    return [each for each in plain if each != ""]


def _told_plain(kind: str | None, value: Any) -> Any:
    if isinstance(value, list | Mapping) or value is None or value == "":
        return ""
    text = _text_of(value)
    match kind:
        case "decimal":
            if isinstance(value, float):
                return value
            return pointed(Decimal(text)) if _NUMBER.fullmatch(text) else ""
        case "integer":
            whole = Decimal(text) if _NUMBER.fullmatch(text) else None
            return int(whole) if whole is not None and whole == int(whole) else ""
        case "boolean":
            return _TRUTH.get(text.lower(), "")
        case "date":
            return text[:10] if DAY.match(text) else ""
        case "time":
            return text if MOMENT.fullmatch(text) else ""
        case "id":
            return text if _ID.fullmatch(text) else ""
        case _:
            return text


def _text_of(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:f}" if isinstance(value, Decimal) else str(value)


# -- from a caller ------------------------------------------------------------------------------


def taken(field: Field, value: Any) -> Any:
    """A value that a caller sent, as it is kept. Raises `ApiRefusal` for what cannot be."""
    blank_text = isinstance(value, str) and not value.strip()
    if value is None or value == "" or (blank_text and field.kind != "text"):
        return ""
    if field.kind == "list":
        return _taken_list(field, value)
    if field.kind == "object":
        if not is_object(value):
            raise invalid_field(field.name)
        known = {each.name: each for each in field.fields}
        return {
            name: taken(known[name], each) if name in known else each
            for name, each in value.items()
        }
    if field.kind == "any":
        return value
    if isinstance(value, list | Mapping):
        raise invalid_field(field.name)
    return _taken_plain(field, field.kind, value)


def _taken_list(field: Field, value: Any) -> Any:
    if not is_list(value):
        raise invalid_field(field.name)
    elements = value
    if field.fields:
        one = Field(name=field.name, kind="object", fields=field.fields)
        return [taken(one, each) for each in elements]
    if field.element in (None, "any", "object", "list"):
        return elements
    if any(isinstance(each, list | Mapping) for each in elements):
        raise invalid_field(field.name)
    return [_taken_plain(field, field.element, each) for each in elements]


def _taken_plain(field: Field, kind: str, value: Any) -> Any:
    match kind:
        case "decimal":
            return value if is_share(field, value) else pointed(amount(field.name, value))
        case "integer":
            return whole(field.name, value)
        case "boolean":
            truth = _TRUTH.get(_text_of(value).lower())
            if truth is None:
                raise invalid_field(field.name)
            return truth
        case _:
            return _taken_text(field, kind, _text_of(value))


def _taken_text(field: Field, kind: str, text: str) -> str:
    if field.allowed and text not in field.allowed:
        raise invalid_field(field.name)
    if field.max_length is not None and len(text) > field.max_length:
        raise ApiRefusal(
            400, 4, f"Invalid value passed for {field.name}: over {field.max_length} characters"
        )
    try:
        if kind == "date":
            date.fromisoformat(text)
        elif kind == "time":
            if not MOMENT.fullmatch(text):
                raise invalid_field(field.name)
            datetime.fromisoformat(text)
    except ValueError:
        raise invalid_field(field.name) from None
    return text


def amount(name: str, value: Any) -> Decimal:
    """An exact amount. Raises `ApiRefusal` for what is no number, or absurdly large."""
    try:
        number = Decimal(str(value)) if value not in (None, "") else Decimal(0)
    except InvalidOperation:
        raise invalid_field(name) from None
    if not number.is_finite() or abs(number.adjusted()) > _MOST_DIGITS:
        raise invalid_field(name)
    return number


def whole(name: str, value: Any) -> int:
    """A count. Raises `ApiRefusal` for what is none."""
    number = amount(name, value)
    if number != int(number):
        raise invalid_field(name)
    return int(number)
