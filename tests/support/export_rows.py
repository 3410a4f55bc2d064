"""Rows as odd as Zoho's, and whether what a destination holds of them is all that was sent."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from zoho_async.description import Field
from zoho_async.export.columns.schema import EXACT, EXTRA, ROW, ColumnShape
from zoho_async.export.columns.tables import Layout
from zoho_async.export.destinations.base import Table

#: A field of each plain kind, for the tables of single tests.
PLAIN: Final = (
    Field(name="invoice_id", kind="id"),
    Field(name="notes", kind="text"),
    Field(name="total", kind="decimal"),
    Field(name="date", kind="date"),
    Field(name="created_time", kind="time"),
    Field(name="is_emailed", kind="boolean"),
)
ADDRESS: Final = (Field(name="city", kind="text"), Field(name="zip", kind="text"))
TAG: Final = (Field(name="tag_id", kind="id"), Field(name="share", kind="decimal"))
LINE: Final = (
    Field(name="line_item_id", kind="id"),
    Field(name="rate", kind="decimal"),
    Field(name="quantity", kind="decimal"),
    Field(name="item_order", kind="integer"),
    Field(name="tags", kind="list", fields=TAG),
    Field(name="time_entry_ids", kind="list", element="id"),
)
FIELDS: Final = (
    Field(name="invoice_id", kind="id"),
    Field(name="customer_name", kind="text"),
    Field(name="total", kind="decimal"),
    Field(name="exchange_rate", kind="decimal"),
    Field(name="reminders_sent", kind="integer"),
    Field(name="is_emailed", kind="boolean"),
    Field(name="date", kind="date"),
    Field(name="created_time", kind="time"),
    Field(
        name="billing_address",
        kind="object",
        fields=(
            *ADDRESS,
            Field(name="geo", kind="object", fields=(Field(name="x", kind="decimal"),)),
        ),
    ),
    Field(name="line_items", kind="list", fields=LINE),
    Field(name="documents", kind="list", element="any"),
    Field(name="contact_ids", kind="list", element="id"),
    Field(name="custom", kind="any"),
)
TABLE: Final = Table(name="books.invoices", row_id="invoice_id", fields=FIELDS)

#: JSON texts that stand where something else was promised.
ODD: Final = (
    '""', '" "', "null", "0", "-0.0", "15", '"15"', '"007"', "1E+3", "1e-9", "0.1", '"46.10"',
    "46.10", "0.123456789012", "0.1234567890123", "99999999999999999999999999.999999999999",
    "123456789012345678901234567890.5", "1E+999999", '"NaN"', '"sNaN"', '"Infinity"', "15.0",
    "9223372036854775807", "9223372036854775808", "-9223372036854775809", "true", "false",
    '"true"', '"april"', "{}", '{"x":1.50}', "[]", "[1]", '[""]', '["a","b"]', "[null]",
    '[{"x":2}]',
    '"-1"', '"955851030002003001"', "955851030002003001", '"2026-06-09"', '"2026-02-31"',
    '"2026-06-09T09:45:19-0400"', '"2026-06-09T09:45:19Z"', '"2026-06-09T09:45:19.123456+05:30"',
    '"2026-06-09T09:45:19.1234567Z"', '"2026-06-09T09:45:19"', '"2026-06-09T09:45:19+2300"',
    '"0001-01-01T00:00:00+1400"', r'"tab\t, line\n\\N \" quote"', r'"nul\u0000 inside"', r'"\\"',
    '"\u00e9 \u6f22\u5b57 \U0001f600"', '"=1+1"', r'"\\N"', r'"\\."', '"{a,b}"', "\"it's\"",
)  # fmt: skip

_USUAL: Final = {
    "id": ('"955851030002003001"', '"955851030002003007"', '""'),
    "text": ('"Rossi Energy"', '"Gr\u00fcn & Co"', '""'),
    "decimal": ("39343.41", "0.0", "46.1", '""', "-12.5", "1.000001"),
    "integer": ("0", "3", '""'),
    "boolean": ("true", "false", '""'),
    "date": ('"2026-06-09"', '"2024-02-29"', '""'),
    "time": ('"2026-06-09T09:45:19-0400"', '"2026-06-09T09:45:19+0530"', '""'),
    "any": ('"5"', "5", "[]", '{"a":[1,2.50]}'),
}


def rows(count: int, *, seed: int = 7, oddness: float = 0.02) -> list[bytes]:
    """``count`` rows with distinct ids; ``oddness`` is the share of values that are odd."""
    chance = random.Random(seed)
    found = []
    for number in range(count):
        fields = _texts(FIELDS, chance, oddness)
        fields["invoice_id"] = f'"9558510300{number:08d}"'
        found.append(_object(fields).encode())
    return found


def _texts(fields: Iterable[Field], chance: random.Random, oddness: float) -> dict[str, str]:
    texts = {f"cf_{n}": chance.choice(ODD) for n in range(3) if chance.random() < 0.5}
    for field in fields:
        if chance.random() < oddness:
            texts[field.name] = chance.choice(ODD)
        elif chance.random() < 0.9:
            texts[field.name] = _usual(field, chance, oddness)
    return texts


def _usual(field: Field, chance: random.Random, oddness: float) -> str:
    if field.kind == "list":
        many = range(chance.choice((0, 0, 1, 2, 3)))
        if field.fields:
            return f"[{','.join(_object(_texts(field.fields, chance, oddness)) for _ in many)}]"
        return f"[{','.join(chance.choice(_USUAL[field.element or 'any']) for _ in many)}]"
    if field.kind == "object":
        return _object(_texts(field.fields, chance, oddness))
    return chance.choice(_USUAL[field.kind])


def _object(fields: Mapping[str, str]) -> str:
    return "{" + ",".join(f"{json.dumps(name)}:{text}" for name, text in fields.items()) + "}"


def sent(row: bytes) -> Any:
    """What ``row`` says, with blanks left out."""
    return _without_blanks(_parsed(row))


def kept(shape: ColumnShape, record: Mapping[str, Any]) -> Any:
    """What a row of a destination says; lists of objects stand in it as lists of such rows."""
    return _without_blanks(_kept(shape, record))


def joined(
    layout: Layout, shape: ColumnShape, tables: Sequence[Sequence[Mapping[str, Any]]]
) -> list[Any]:
    """The rows of flat tables, given in the layout's order, with their children in their places."""
    records = [[dict(record) for record in table] for table in tables]
    for table, found in zip(layout.tables, records, strict=True):
        places = table.key[1:]
        found.sort(key=lambda record: tuple(record[name] for name in places))
    _attach(shape, records[0], layout.tables[0].key[0], iter(records[1:]), 0)
    return records[0]


def _attach(shape: ColumnShape, parents: list[Any], row: str, tables: Any, depth: int) -> None:
    above = [f"_position_{level}" for level in range(1, depth)] + ["_position"] * (depth > 0)
    here = [f"_position_{level}" for level in range(1, depth + 1)]
    by_key = {(one[row], *(one[name] for name in above)): one for one in parents}
    for nested in shape.lists:
        children = next(tables)
        for child in children:
            parent = by_key[(child[ROW], *(child[name] for name in here))]
            parent.setdefault(nested.name, []).append(child)
        _attach(nested.shape, children, ROW, tables, depth + 1)


def same(one: Any, other: Any) -> bool:
    """Whether a destination's value says what was sent, to the last digit."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(other, date) and not isinstance(other, datetime):
        return bool(one == other.isoformat())
    if isinstance(one, str) and _moment(one) is not None and _moment(other) is not None:
        return _moment(one) == _moment(other)
    if isinstance(one, dict | list) or isinstance(other, dict | list):
        return False
    if isinstance(one, bool) or isinstance(other, bool) or one in ("true", "false"):
        return str(one).lower() == str(other).lower() or bool(one == other) or (
            one in ("true", "false") and other in (0, 1) and bool(other) is (one == "true")
        )  # fmt: skip
    return bool(one == other) or (_number(one) is not None and _number(one) == _number(other))


def _parsed(text: str | bytes) -> Any:
    return json.loads(text, parse_float=_decimal)


def _decimal(text: str) -> Any:
    return Decimal(text)


def _without_blanks(value: Any) -> Any:
    if isinstance(value, dict):
        fields = {name: _without_blanks(each) for name, each in value.items()}
        return {name: each for name, each in fields.items() if each not in (None, {}, [])}
    if isinstance(value, list):
        each_without = [_without_blanks(each) for each in value]
        return [{} if each is None else each for each in each_without]
    return None if isinstance(value, str) and not value.strip(" ") else value


def _kept(shape: ColumnShape, record: Mapping[str, Any]) -> Any:
    fields: dict[str, Any] = {}
    exact = _parsed(record.get(EXACT) or "{}")
    for column in shape.columns:
        value = exact.pop(column.name, record[column.name])
        if value is not None:
            _put(fields, column.path, _parsed(value) if column.kind == "json" else value)
    assert not exact, f"no columns: {exact}"
    for nested in shape.lists:
        value = record.get(nested.name)
        if value is not None:
            _put(fields, nested.path, [_kept(nested.shape, each) for each in value])
    if record[EXTRA] is not None:
        _merge(fields, _parsed(record[EXTRA]))
    return fields


def _put(fields: dict[str, Any], path: Sequence[str], value: Any) -> None:
    for name in path[:-1]:
        fields = fields.setdefault(name, {})
    fields[path[-1]] = value


def _merge(fields: dict[str, Any], more: Mapping[str, Any]) -> None:
    for name, value in more.items():
        if name in fields:
            assert isinstance(fields[name], dict), f"{name} is in two places"
            _merge(fields[name], value)
        else:
            fields[name] = value


def _moment(value: Any) -> datetime | None:
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    try:
        moment = datetime.fromisoformat(value)
        return moment.astimezone(UTC) if moment.tzinfo and "T" in value else None
    except (TypeError, ValueError, OverflowError):
        return None


def _number(value: Any) -> Decimal | None:
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None
