"""`Input.of` copies each value of a record that the input has a field for, or names it."""

from __future__ import annotations

import datetime as dt
import importlib
import json
import pkgutil
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Literal, get_origin

import msgspec
import pytest

from zoho_async.books.types.expenses import Expense, ExpenseInput
from zoho_async.operation import BOOKS, PRODUCTS, Operation
from zoho_async.wire import CopyError, Decoder, Input, Percentage, Record, encode
from zoho_async.wire.shape import Shape, fields_of

#: One value in each form that the wire uses for plain values.
WIRE: tuple[Any, ...] = (
    "1",
    "46.50",
    "abc",
    "true",
    "2024-10-02",
    "2024-10-02T22:41:13-0400",
    "12.5%",
    1,
    46.5,
    True,
    False,
)
TIME = "2024-10-02T22:41:13-0400"
NO = object()


def structs(product: str) -> dict[str, type[msgspec.Struct]]:
    package = importlib.import_module(f"zoho_async.{product}.types")
    modules = [
        importlib.import_module(f"{package.__name__}.{each.name}")
        for each in pkgutil.iter_modules(package.__path__)
    ]
    return {
        name: value
        for module in modules
        for name, value in vars(module).items()
        if isinstance(value, type)
        and issubclass(value, msgspec.Struct)
        and value.__module__ == module.__name__
    }


def pairs() -> Iterator[Any]:
    """Each input of the four products with the record whose name it has."""
    for product in PRODUCTS:
        known = structs(product)
        for name, struct in known.items():
            record = known.get(name.removesuffix("Input"))
            if issubclass(struct, Input) and record is not None and issubclass(record, Record):
                yield pytest.param(record, struct, id=f"{product}-{name}")


def received(struct: type[msgspec.Struct], record: dict[str, Any]) -> Any:
    """A record as the wire brings it."""
    result: Any = struct
    read: Operation[Any] = Operation(
        name="books.any.get", product=BOOKS, method="GET", path="/", result=result, key="it"
    )
    return Decoder().value(read, json.dumps({"code": 0, "it": record}).encode())


def sent_as(shape: Shape, name: str, value: Any) -> Any:
    """What a field of an input must hold for a wire value; `NO` if it cannot hold it."""
    text = json.dumps(value) if not isinstance(value, str) else value
    for kind in shape.plain:
        if get_origin(kind) is Literal or kind is str:
            return text
        if kind is bool and text in ("true", "false"):
            return text == "true"
        if kind is Decimal and not isinstance(value, bool) and text in ("1", "46.50", "46.5"):
            return Decimal(text)
        if kind is Decimal and text == "12.5%" and "percent" in name:
            return Decimal("12.5")
        if kind is int and not isinstance(value, bool) and text == "1":
            return 1
        if kind is Percentage and text == "12.5%":
            return Percentage(Decimal("12.5"))
        if kind is dt.date and text == "2024-10-02":
            return dt.date(2024, 10, 2)
        if kind is dt.datetime and text == TIME:
            return dt.datetime.fromisoformat(TIME)
    return NO


def filled(struct: type[msgspec.Struct], value: Any, above: tuple[Any, ...] = ()) -> dict[str, Any]:
    """An object with ``value`` in every plain field that ``struct`` has, at every depth."""

    def of(shape: Shape) -> Any:
        if shape.struct is not None:
            if shape.struct in above:
                return None
            return filled(shape.struct, value, (*above, struct, shape.struct))
        if shape.element is not None:
            inner = of(shape.element)
            return None if inner is None else [inner]
        return [value] if _is_sequence(shape) else {"a": value} if _is_mapping(shape) else value

    made = {name: of(field.shape) for name, field in fields_of(struct).items()}
    return {name: each for name, each in made.items() if each is not None}


def _is_sequence(shape: Shape) -> bool:
    return any(str(get_origin(each)).endswith(("Sequence'>", "list'>")) for each in shape.plain)


def _is_mapping(shape: Shape) -> bool:
    return any(str(get_origin(each)).endswith(("Mapping'>", "dict'>")) for each in shape.plain)


def problems(
    shown: Any, struct: type[msgspec.Struct], wire: dict[str, Any], named: set[str], path: str = ""
) -> Iterator[str]:
    """The values of ``wire`` that neither arrived nor were ``named``."""
    for name, field in fields_of(struct).items():
        if name in wire:
            held = getattr(shown, field.attribute)
            yield from _differs(held, field.shape, name, wire[name], named, f"{path}{name}")


def _differs(
    held: Any, shape: Shape, name: str, wire: Any, named: set[str], path: str
) -> Iterator[str]:
    if shape.struct is not None:
        if held is msgspec.UNSET:
            if not any(each.startswith(path) for each in named):
                yield f"{path} did not arrive"
            return
        yield from problems(held, shape.struct, wire, named, f"{path}.")
    elif shape.element is not None:
        inner = held[0] if held is not msgspec.UNSET else msgspec.UNSET
        yield from _differs(inner, shape.element, name, wire[0], named, f"{path}[]")
    elif _is_sequence(shape) or _is_mapping(shape) or Any in shape.plain:
        if path not in named and held is msgspec.UNSET:
            yield f"{path} did not arrive"
    else:
        wanted = sent_as(shape, name, wire)
        if wanted is NO:
            if not {path, path.removesuffix("[]")} & named:
                yield f"{path}: {wire!r} is neither copied nor named, it is {held!r}"
        elif path not in named and held != wanted:
            yield f"{path}: {held!r}, not {wanted!r}"
        elif path in named:
            yield f"{path}: {wire!r} can be copied as {wanted!r}"


@pytest.mark.parametrize(("record", "struct"), list(pairs()))
def test_each_value_of_a_record_is_copied_or_named(
    record: type[Record], struct: type[Input]
) -> None:
    found: set[str] = set()
    for value in WIRE:
        wire = filled(struct, value)
        it, named = received(record, wire), set[str]()
        try:
            copied = struct.of(it)
        except CopyError as error:
            named = {each.path for each in error.fields}
            copied = struct.of(it, skip=named)
        found |= set(problems(copied, struct, wire, named))
        encode(copied)
    assert not found


def test_every_product_has_records_that_can_be_sent_back() -> None:
    assert len(list(pairs())) > 100


# -- the examples ---------------------------------------------------------------------------------


def test_lines_whose_number_is_a_text_in_the_input_are_copied() -> None:
    lines = [{"line_item_id": "7", "item_order": 1, "amount": 46.5, "tax_id": ""}]
    expense = received(Expense, {"expense_id": "1", "line_items": lines})
    copied = ExpenseInput.of(expense)
    assert json.loads(encode(copied)) == {
        "line_items": [{"line_item_id": "7", "item_order": "1", "amount": 46.5}]
    }


class Part(msgspec.Struct, frozen=True, kw_only=True):
    city: str | None = None


class Thing(Record, frozen=True, kw_only=True):
    address: Part | None = None
    rows: list[Part] | None = None
    taxes: list[Part] | None = None
    note: str | None = None


class PartInput(Input, kw_only=True):
    city: str | msgspec.UnsetType | None = msgspec.UNSET
    count: int | msgspec.UnsetType | None = msgspec.UNSET


class ThingInput(Input, kw_only=True):
    address: PartInput | msgspec.UnsetType | None = msgspec.UNSET
    rows: list[PartInput] | msgspec.UnsetType | None = msgspec.UNSET
    taxes: str | msgspec.UnsetType | None = msgspec.UNSET
    note: str | msgspec.UnsetType | None = msgspec.UNSET


def test_an_object_of_blanks_is_not_sent() -> None:
    thing = received(Thing, {"address": {"city": "", "x": 1}, "rows": [{"city": ""}], "note": "n"})
    assert encode(ThingInput.of(thing)) == b'{"note":"n"}'


def test_what_cannot_be_copied_is_named_with_both_types() -> None:
    sent = {"taxes": [{"city": "a"}], "rows": [{"city": "b", "count": "many"}], "note": "n"}
    thing = received(Thing, sent)
    with pytest.raises(CopyError, match=r"skip=") as caught:
        ThingInput.of(thing)
    assert [(each.path, each.expected, each.found) for each in caught.value.fields] == [
        ("rows[].count", "integer", "string"),
        ("taxes", "text", "array"),
    ]
    assert "many" not in str(caught.value)
    assert encode(ThingInput.of(thing, skip=["rows[].count", "taxes"])) == (
        b'{"rows":[{"city":"b"}],"note":"n"}'
    )
    assert encode(ThingInput.of(thing, skip=["rows"], taxes="a")) == b'{"taxes":"a","note":"n"}'
    assert encode(ThingInput.of(thing, rows=None, taxes="a")) == (
        b'{"rows":null,"taxes":"a","note":"n"}'
    )
