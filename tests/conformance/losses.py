"""Find each value of a reply in the result: in a typed field, in ``extra``, or lost."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import msgspec

from tests.conformance.corrections import corrected
from tests.conformance.official import Document, Json, Schema
from tests.conformance.patches import Patches
from tests.conformance.samples import MIDNIGHT, is_blank, kind_of, number_in
from zoho_async.wire import Percentage

_NOWHERE: Final = object()
_DATED: Final = re.compile(r"\d{4}-\d\d-\d\d")


class Losses:
    """Compares results with the sent values and counts where they are.

    ``typed`` counts the values in typed fields, ``beyond`` those in ``extra``.
    """

    def __init__(self, document: Document, patches: Patches) -> None:
        self._document: Final = document
        self._patches: Final = patches
        self.typed = 0
        self.beyond = 0

    def of(
        self, sent: Json, shown: Any, beyond: Any, schema: Schema, path: str, struct: str = ""
    ) -> Iterator[str]:
        """The part of ``sent`` that is neither ``shown`` by a field nor in ``beyond``."""
        whole = self._document.follow(schema)
        if is_blank(sent):
            if sent is not None and shown in (None, ""):
                self._patches.use("reply: blank is nothing")
            elif shown not in (None, "", sent):
                yield f"{path}: nothing was sent, and {shown!r} is shown"
            return
        if isinstance(shown, msgspec.Struct) and isinstance(sent, dict):
            yield from self._struct(sent, shown, beyond, whole, path)
        elif isinstance(shown, list) and isinstance(sent, list) and len(shown) == len(sent):
            rests = beyond if isinstance(beyond, list) else [_NOWHERE] * len(sent)
            items = whole.get("items") or {}
            for one, each, rest in zip(sent, shown, rests, strict=True):
                yield from self.of(one, each, rest, items, f"{path}[]", struct)
        elif self._shown(sent, shown, path):
            self.typed += 1
        elif _equal(sent, beyond):
            self.beyond += 1
            yield from self._drifted(sent, shown, whole, path, struct)
        else:
            yield f"{path}: {sent!r} is lost; the field shows {shown!r}, extra {_said(beyond)}"

    def _struct(
        self, sent: dict[str, Json], shown: msgspec.Struct, beyond: Any, whole: Schema, path: str
    ) -> Iterator[str]:
        fields = {each.encode_name: each.name for each in msgspec.structs.fields(shown)}
        rests = beyond if isinstance(beyond, Mapping) else {}
        properties: Mapping[str, Any] = whole.get("properties") or {}
        kind = type(shown).__name__
        for name, value in sent.items():
            place, rest = f"{path}.{name}", rests.get(name, _NOWHERE)
            if name in fields:
                held = getattr(shown, fields[name])
                described = properties.get(name, {})
                yield from self.of(value, held, rest, described, place, f"{kind}.{fields[name]}")
            elif _equal(value, rest):
                self.beyond += 1
                self._patches.use("reply: beyond the fields")
            else:
                yield f"{place}: {value!r} has no field and is not in extra ({_said(rest)})"

    def _drifted(
        self, sent: Json, shown: Any, whole: Schema, path: str, struct: str
    ) -> Iterator[str]:
        """Explain a value in ``extra`` that has a field of another type."""
        name, _, field = struct.partition(".")
        if corrected(name, field):
            self._patches.use("correction: type")
        elif not _is(sent, whole):
            self._patches.use("reply: contradicts its type")
        elif isinstance(sent, str) and MIDNIGHT.fullmatch(sent):
            self._patches.use("example: day as a moment")
        elif isinstance(sent, str) and _is_no_moment(sent, path):
            self._patches.use("reply: no such moment")
        else:
            yield f"{path}: {sent!r} is as described, and {struct} does not take it"

    def _shown(self, sent: Json, shown: Any, path: str) -> bool:
        """Whether a field shows the sent value."""
        if isinstance(shown, bool) or isinstance(sent, bool):
            if isinstance(shown, bool) and isinstance(sent, str):
                self._patches.use("reply: truth as text")
                return bool(sent == str(shown).lower())
            return sent is shown
        if isinstance(shown, dt.datetime):
            return isinstance(sent, str) and _moment(sent) == shown
        if isinstance(shown, dt.date):
            return bool(sent == shown.isoformat())
        if isinstance(shown, Percentage):
            self._patches.use("reply: percentage")
            return isinstance(sent, str) and number_in(sent) == shown.value and sent.endswith("%")
        if isinstance(shown, (int, Decimal)):
            if isinstance(sent, str) and sent.endswith("%") and path.endswith("percentage"):
                self._patches.use("reply: percentage")
                return number_in(sent) == shown
            if isinstance(sent, str):
                self._patches.use("reply: number as text")
            return _number(sent) == shown
        if isinstance(shown, str) and isinstance(sent, int):
            self._patches.use("reply: number is an id")
            return shown == str(sent)
        return _equal(sent, shown)


def _equal(sent: Json, held: Any) -> bool:
    if isinstance(sent, dict):
        return (
            isinstance(held, Mapping)
            and sent.keys() == held.keys()
            and all(_equal(each, held[name]) for name, each in sent.items())
        )
    if isinstance(sent, list):
        return (
            isinstance(held, list)
            and len(held) == len(sent)
            and all(_equal(*each) for each in zip(sent, held, strict=True))
        )
    if isinstance(sent, bool) or isinstance(held, bool):
        return sent is held
    return bool(sent == held)


def _is(value: Json, schema: Schema) -> bool:
    """Whether a value has the JSON type of its schema."""
    kind = kind_of(schema)
    if not kind:
        return False
    kinds: dict[str, tuple[type, ...]] = {
        "string": (str,),
        "integer": (int,),
        "number": (int, Decimal),
        "boolean": (bool,),
        "object": (dict,),
        "array": (list,),
    }
    if isinstance(value, bool):
        return kind == "boolean"
    return isinstance(value, kinds.get(kind, ()))


def _number(sent: Json) -> Decimal | None:
    try:
        return Decimal(str(sent))
    except InvalidOperation:
        return None


def _moment(text: str) -> dt.datetime | None:
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


def _is_no_moment(text: str, path: str) -> bool:
    """Whether ``text`` looks like a time but is invalid, or is a date in place of a time."""
    if not _DATED.match(text):
        return False
    try:
        dt.date.fromisoformat(text)
    except ValueError:
        return _moment(text) is None
    return path.endswith("_time")


def _said(value: Any) -> str:
    return "holds nothing" if value is _NOWHERE else f"{value!r}"
