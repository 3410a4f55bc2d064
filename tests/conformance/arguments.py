"""Make a function's arguments from described values, by the function's annotations.

Returns the argument and the value that must then be sent. Both are made from the same example, so a
field that the function's input lacks is missing in the request and is found.
"""

from __future__ import annotations

import datetime as dt
import re
import types
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any, Final, Literal, TypeAlias, Union, get_args, get_origin

import msgspec

from tests.conformance.corrections import corrected
from tests.conformance.official import Json
from tests.conformance.patches import Patches
from tests.conformance.samples import (
    ID,
    IS_AMOUNT,
    is_blank,
    is_id,
    number_in,
    stand_in_text,
    text_of,
)
from zoho_async import Upload
from zoho_async.wire import Input, Percentage

Made: TypeAlias = tuple[Any, Json]

_ZONE: Final = dt.timezone(dt.timedelta(hours=5, minutes=30))
_STAND_INS: Final[dict[Any, tuple[Any, Json]]] = {
    dt.date: (dt.date(2026, 1, 31), "2026-01-31"),
    dt.datetime: (
        dt.datetime(2026, 1, 31, 10, 20, 30, tzinfo=_ZONE),
        "2026-01-31T10:20:30+0530",
    ),
    Decimal: (Decimal("7.25"), Decimal("7.25")),
    bool: (True, True),
    int: (7, 7),
    str: ("any text", "any text"),
    Upload: (Upload("a paper.png", b"\x89PNG paper"), None),
}


class Arguments:
    """Makes arguments and records the values that they cannot express."""

    def __init__(self, patches: Patches, problems: list[str], prose: Mapping[str, str]) -> None:
        self._patches: Final = patches
        self._problems: Final = problems
        self._prose: Final = prose

    def of(self, annotation: Any, value: Json, where: str, named: str = "") -> Made:
        """The argument for ``value``, and the value that must be sent for it."""
        members = members_of(annotation)
        if isinstance(value, dict):
            for member in members:
                if isinstance(member, type) and issubclass(member, Input):
                    return self._input(member, value, where)
        element = _element(members)
        if element is not None:
            return self._list(element, value, where, named)
        fitted = _fitted(value, annotation)
        if fitted is not None:
            return fitted, self._sent(fitted, value)
        return self._otherwise(members, value, where, named)

    def _sent(self, fitted: Any, value: Json) -> Json:
        """The value that must be sent for an argument made from ``value``."""
        if isinstance(fitted, dt.datetime):
            return f"{fitted:%Y-%m-%dT%H:%M:%S%z}"
        if isinstance(value, str) and isinstance(fitted, (Decimal, int)):
            self._patches.use("number described as text")
            return fitted
        return value

    def _input(self, struct: type[Input], value: Mapping[str, Json], where: str) -> Made:
        fields = {each.encode_name: each for each in msgspec.structs.fields(struct)}
        arguments: dict[str, Any] = {}
        sent: dict[str, Json] = {}
        for name, each in value.items():
            field = fields.get(name)
            if field is None:
                self._problems.append(f"{struct.__name__} has no field {where}.{name}")
                continue
            arguments[field.name], sent[name] = self.of(
                field.type, each, f"{where}.{name}", f"{struct.__name__}.{field.name}"
            )
        return struct(**arguments), sent

    def _list(self, element: Any, value: Json, where: str, named: str) -> Made:
        values = value if isinstance(value, list) else self._parts(value)
        made = [self.of(element, each, f"{where}[]", named) for each in values]
        return [argument for argument, _ in made], [sent for _, sent in made]

    def _parts(self, value: Json) -> list[Json]:
        """The values of a list that is described as text."""
        self._patches.use("list described as text")
        return [part.strip() for part in text_of(value).strip("[]").split(",")]

    def _otherwise(self, members: list[Any], value: Json, where: str, named: str) -> Made:
        """A replacement for an example that the annotation does not accept."""
        kind = next((each for each in members if each in _STAND_INS), None)
        allowed = [each for each in members if get_origin(each) is Literal]
        if value is None or is_blank(value):
            self._patches.use("example: none" if value is None else "example: blank")
            return _stand_in(kind, allowed, where)
        if allowed:
            return self._allowed(allowed, value, where)
        text = text_of(value) if not isinstance(value, (dict, list)) else ""
        if str in members and text:
            self._patches.use("id is no number" if is_id(where) else "text described as number")
            return text, text
        if kind is bool and text.strip().lower() in ("true", "false"):
            self._patches.use("truth described as text")
            return text.strip().lower() == "true", text.strip().lower() == "true"
        if Percentage in members and text.endswith("%"):
            return Percentage.read(text), text
        number = number_in(text) if text else None
        if number is not None and kind in (Decimal, int):
            whole = number == number.to_integral_value()
            if kind is Decimal or whole:
                if "%" in text:
                    self._patches.use("example: percentage")
                self._patches.use("number described as text")
                return (number if kind is Decimal else int(number)), number
        if number is None and kind in (Decimal, int) and IS_AMOUNT.search(where):
            self._patches.use("example: of another field")
            return _stand_in(kind, allowed, where)
        if self._is_corrected(named):
            return _stand_in(kind, allowed, where)
        self._problems.append(f"{where} cannot take its example {value!r} ({_names(members)})")
        return _stand_in(kind, allowed, where)

    def _is_corrected(self, named: str) -> bool:
        struct, _, field = named.partition(".")
        if not corrected(struct, field):
            return False
        self._patches.use("correction: type")
        return True

    def _allowed(self, allowed: list[Any], value: Json, where: str) -> Made:
        values = [each for member in allowed for each in get_args(member)]
        if text_of(value) in values:
            self._patches.use("example: of another type")
            return text_of(value), text_of(value)
        name = re.split(r"[ .]", where.removesuffix("[]"))[-1]
        if value == stand_in_text(name):
            return values[0], values[0]
        is_word = re.fullmatch(r"[A-Za-z0-9][\w.]*", text_of(value)) and value != "string"
        if is_word or f"<code>{text_of(value)}</code>" in self._prose.get(name, ""):
            self._problems.append(f"{where} does not allow its example {value!r}: {values}")
        self._patches.use("example: not of the allowed values")
        return values[0], values[0]


def _stand_in(kind: Any, allowed: list[Any], where: str) -> Made:
    if allowed:
        first = get_args(allowed[0])[0]
        return first, first
    if kind is str and is_id(where):
        return ID, ID
    return _STAND_INS.get(kind, ({}, {}))


def members_of(annotation: Any) -> list[Any]:
    """The members of a union annotation, without None and UNSET."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return members_of(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return [member for each in get_args(annotation) for member in members_of(each)]
    return [] if annotation in (types.NoneType, msgspec.UnsetType) else [annotation]


def _element(members: list[Any]) -> Any:
    for member in members:
        if get_origin(member) in (list, tuple, Sequence):
            return get_args(member)[0]
    return None


def _fitted(value: Json, annotation: Any) -> Any:
    """``value`` in the type of the annotation if the conversion is unambiguous, else None."""
    if value is None:
        return None
    if annotation is Any or get_origin(annotation) in (Mapping, dict):
        return value
    try:
        fitted = msgspec.convert(value, annotation)
    except (msgspec.ValidationError, TypeError):
        return None
    if isinstance(fitted, dt.datetime) and fitted.tzinfo is None:
        return None  # a time needs its offset
    return fitted


def _names(members: list[Any]) -> str:
    return " | ".join(getattr(each, "__name__", str(each)) for each in members)
