"""Convert one cell to what Zoho takes, or say what is wrong with it."""

from __future__ import annotations

import re
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

from zoho_async.description import Field
from zoho_async.importer.files import Formula
from zoho_async.wire.text import is_array, is_object

_NUMBER: Final = re.compile(r"[+-]?\d+(\.\d+)?", re.ASCII)
_INTEGER: Final = re.compile(r"[+-]?\d+", re.ASCII)
_ID: Final = re.compile(r"\d{1,25}", re.ASCII)
_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_PERCENT: Final = re.compile(r"\d+(\.\d+)?%", re.ASCII)
#: What a spreadsheet shows, and saves, in place of a value that it could not calculate.
_ERRORS: Final = frozenset(
    {
        *("#N/A", "#REF!", "#VALUE!", "#DIV/0!", "#NAME?", "#NUM!", "#NULL!"),
        *("#SPILL!", "#CALC!", "#GETTING_DATA", "#FIELD!", "#BLOCKED!", "#CONNECT!"),
    }
)
_YES: Final = frozenset({"true", "yes", "1"})
_NO: Final = frozenset({"false", "no", "0"})
_SHOWN: Final = 40


class WrongCell(ValueError):
    """A value that cannot be sent. The text says what it is and what it must be."""


def is_empty(value: Any) -> bool:
    """Whether a cell has nothing to send."""
    return value is None or (isinstance(value, str) and not value.strip())


def converted(field: Field, value: Any) -> Any:
    """Return ``value`` as ``field`` takes it. Raises `WrongCell`."""
    if isinstance(value, Formula):
        raise WrongCell("is a formula without a saved value; replace it by its value")
    if isinstance(value, str):
        value = value.strip()
        if value in _ERRORS:
            raise WrongCell(f"is the error {value} of a formula; replace it by its value")
    match field.kind:
        case "decimal":
            return _decimal(field, value)
        case "integer":
            return _integer(value)
        case "boolean":
            return _boolean(value)
        case "date":
            return _date(value)
        case "time":
            return _time(value)
        case "id":
            return _id(value)
        case "text":
            return _text(field, value)
        case "object":
            return _object(field, value)
        case "list":
            return _list(field, value)
        case "any":
            return _plain(value)


def shown(value: Any) -> str:
    """``value`` for a message, in quotes and not too long."""
    text = str(value)
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}...")


def _decimal(field: Field, value: Any) -> Any:
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        found = Decimal(value)
        if found.is_finite():
            return found
    elif isinstance(value, str):
        if field.percent and _PERCENT.fullmatch(value):
            return value
        if field.name.endswith("percentage") and _PERCENT.fullmatch(value):
            return Decimal(value[:-1])
        if _NUMBER.fullmatch(value):
            return Decimal(value)
    raise WrongCell(f"is {shown(value)}, but must be a number such as 1234.50")


def _integer(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, Decimal) and value.is_finite() and value == value.to_integral_value():
        return int(value)
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        return int(value)
    raise WrongCell(f"is {shown(value)}, but must be a whole number")


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, int | str) and str(value).lower() in _YES | _NO:
        return str(value).lower() in _YES
    raise WrongCell(f"is {shown(value)}, but must be true or false")


def _date(value: Any) -> str:
    if isinstance(value, datetime):
        if value.time() == datetime.min.time():
            return value.date().isoformat()
    elif isinstance(value, date):
        return value.isoformat()
    elif isinstance(value, str) and _DAY.fullmatch(value):
        try:
            return date.fromisoformat(value).isoformat()
        except ValueError:
            pass
    raise WrongCell(f"is {shown(value)}, but must be a date such as 2026-01-31")


def _time(value: Any) -> datetime:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            value = None
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.replace(microsecond=0)
    raise WrongCell("must be a time with its offset such as 2026-01-31T09:30:00+01:00")


def _id(value: Any) -> str:
    if not isinstance(value, bool) and isinstance(value, int | str):
        text = str(value)
        if _ID.fullmatch(text):
            return text
    raise WrongCell(f"is {shown(value)}, but must be an id of Zoho's, which has only digits")


def _text(field: Field, value: Any) -> str:
    if isinstance(value, bool):
        value = "true" if value else "false"
    if isinstance(value, datetime | date):
        value = value.isoformat()
    if isinstance(value, Decimal):
        value = format(value, "f")
    if not isinstance(value, str | int):
        raise WrongCell("must be text")
    text = str(value)
    if field.allowed and text not in field.allowed:
        same = [each for each in field.allowed if each.casefold() == text.casefold()]
        if len(same) != 1:
            choices = ", ".join(field.allowed[:12])
            raise WrongCell(f"is {shown(text)}, but must be one of {choices}")
        return same[0]
    if field.max_length is not None and len(text) > field.max_length:
        raise WrongCell(f"has {len(text)} characters, but at most {field.max_length} are allowed")
    return text


def _object(field: Field, value: Any) -> Any:
    if not is_object(value):
        raise WrongCell("must be an object; map its fields one by one")
    if not field.fields:
        return _plain(value)
    known = {one.name: one for one in field.fields}
    made: dict[str, Any] = {}
    for name, each in value.items():
        if name not in known:
            raise WrongCell(f"has a field {shown(name)} that Zoho does not describe")
        if not is_empty(each):
            made[name] = _within(name, known[name], each)
    return made


def _list(field: Field, value: Any) -> Any:
    if not is_array(value):
        if field.fields or isinstance(value, bool):
            raise WrongCell("must be a list of objects; map its fields one by one")
        value = [part.strip() for part in str(value).split(",") if part.strip()]
    if field.fields:
        element = Field(name=field.name, kind="object", fields=field.fields)
        return [_within(f"[{n}]", element, each) for n, each in enumerate(value)]
    if field.element is None:
        return _plain(value)
    element = Field(name=field.name, kind=field.element)
    return [_within(f"[{n}]", element, each) for n, each in enumerate(value)]


def _within(name: str, field: Field, value: Any) -> Any:
    try:
        return converted(field, value)
    except WrongCell as problem:
        raise WrongCell(f"{name} {problem}") from None


def _plain(value: Any) -> Any:
    """A value without a described type: text, numbers and what JSON has."""
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    if isinstance(value, date):
        return value.isoformat()
    if is_object(value):
        return {str(name): _plain(each) for name, each in value.items()}
    if is_array(value):
        return [_plain(each) for each in value]
    if value is None or isinstance(value, bool | int | str | Decimal):
        return value
    raise WrongCell("cannot be sent to Zoho")
