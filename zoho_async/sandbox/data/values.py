"""Convert values by their description: parse what callers send, render what replies hold.

Zoho sends no ``null``. An absent value is ``""``, even for numbers, dates and objects. Amounts
have a decimal point, counts have none, ids are text. A record stores what a caller sent, and each
reply renders it as that reply is described: a number in the request is text in the reply if the
reply describes it as text.
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
_PERCENTAGE: Final = re.compile(r"\s*-?[0-9]{1,30}(\.[0-9]{1,20})?\s*%\s*")
_ID: Final = re.compile(r"-?[0-9]{1,30}")
_BOOLEANS: Final = {"true": True, "false": False}
_MOST_DIGITS: Final = 30


def is_object(value: object) -> TypeGuard[dict[str, Any]]:
    """Whether a JSON value is an object."""
    return isinstance(value, dict)


def is_list(value: object) -> TypeGuard[list[Any]]:
    """Whether a JSON value is a list."""
    return isinstance(value, list)


def blank(field: Field) -> Any:
    """The empty value of a field: an empty list, ``false``, 0 or ``""``."""
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


def render(field: Field, value: Any) -> Any:
    """Render ``value`` in the described kind of ``field``; "" if it does not fit."""
    match field.kind:
        case "any":
            return value
        case "list":
            return _render_list(field, value)
        case "object":
            if not is_object(value):
                return blank(field) if value in ("", None) else ""
            return _render_object(field, value)
        case _:
            return value if is_share(field, value) else _render_scalar(field.kind, value)


def is_share(field: Field, value: Any) -> bool:
    """Whether ``value`` is a percentage and the field takes an amount or a percentage."""
    return field.percent and isinstance(value, str) and _PERCENTAGE.fullmatch(value) is not None


def render_fields(fields: Sequence[Field], values: Mapping[str, Any]) -> dict[str, Any]:
    """Render an object's values in their described kinds; other values stay as they are."""
    known = {field.name: field for field in fields}
    return {
        name: render(known[name], value) if name in known else value
        for name, value in values.items()
    }


def _render_object(field: Field, value: Mapping[str, Any]) -> dict[str, Any]:
    """Render an object inside a record with all its described fields, empty if unknown."""
    blanks = {each.name: blank(each) for each in field.fields if each.name not in value}
    return blanks | render_fields(field.fields, value)


def _render_list(field: Field, value: Any) -> Any:
    if not is_list(value):
        return []
    elements = value
    if field.fields:
        return [_render_object(field, each) for each in elements if is_object(each)]
    if field.element in (None, "any", "list"):
        return elements
    if field.element == "object":
        return [each for each in elements if is_object(each)]
    plain = [_render_scalar(field.element, each) for each in elements]
    return [each for each in plain if each != ""]


def _render_scalar(kind: str | None, value: Any) -> Any:
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
            return _BOOLEANS.get(text.lower(), "")
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


def parse(field: Field, value: Any) -> Any:
    """Parse a value that a caller sent. Raises `ApiRefusal` if the field cannot take it."""
    blank_text = isinstance(value, str) and not value.strip()
    if value is None or value == "" or (blank_text and field.kind != "text"):
        return ""
    if field.kind == "list":
        return _parse_list(field, value)
    if field.kind == "object":
        if not is_object(value):
            raise invalid_field(field.name)
        known = {each.name: each for each in field.fields}
        return {
            name: parse(known[name], each) if name in known else each
            for name, each in value.items()
        }
    if field.kind == "any":
        return value
    if isinstance(value, list | Mapping):
        raise invalid_field(field.name)
    return _parse_scalar(field, field.kind, value)


def _parse_list(field: Field, value: Any) -> Any:
    if not is_list(value):
        raise invalid_field(field.name)
    elements = value
    if field.fields:
        one = Field(name=field.name, kind="object", fields=field.fields)
        return [parse(one, each) for each in elements]
    if field.element in (None, "any", "object", "list"):
        return elements
    if any(isinstance(each, list | Mapping) for each in elements):
        raise invalid_field(field.name)
    return [_parse_scalar(field, field.element, each) for each in elements]


def _parse_scalar(field: Field, kind: str, value: Any) -> Any:
    match kind:
        case "decimal":
            return value if is_share(field, value) else pointed(amount(field.name, value))
        case "integer":
            return whole(field.name, value)
        case "boolean":
            boolean = _BOOLEANS.get(_text_of(value).lower())
            if boolean is None:
                raise invalid_field(field.name)
            return boolean
        case _:
            return _parse_text(field, kind, _text_of(value))


def _parse_text(field: Field, kind: str, text: str) -> str:
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
    """Parse an exact amount. Raises `ApiRefusal` if it is not a number or is absurdly large."""
    try:
        number = Decimal(str(value)) if value not in (None, "") else Decimal(0)
    except InvalidOperation:
        raise invalid_field(name) from None
    if not number.is_finite() or abs(number.adjusted()) > _MOST_DIGITS:
        raise invalid_field(name)
    return number


def whole(name: str, value: Any) -> int:
    """Parse a count. Raises `ApiRefusal` if it is not a whole number."""
    number = amount(name, value)
    if number != int(number):
        raise invalid_field(name)
    return int(number)
