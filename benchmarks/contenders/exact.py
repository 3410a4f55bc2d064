"""What it takes to have exact values without us: fields' types by name, as a careful user would
write them down, applied to plain values or given to pydantic."""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any

import msgspec
from pydantic import BaseModel, BeforeValidator, ConfigDict, create_model

from zoho_async.books.types.invoices import Invoice
from zoho_async.wire.shape import Shape, fields_of

_CONVERT: dict[Any, Callable[[Any], Any]] = {
    Decimal: Decimal,
    date: date.fromisoformat,
    datetime: datetime.fromisoformat,
}


def make_exact(row: dict[str, Any], struct: type[msgspec.Struct] = Invoice) -> dict[str, Any]:
    """``row`` with exact values in place of JSON's, blanks as ``None``. Floats come as Decimal."""
    for name, convert in _converters(struct).items():
        value = row.get(name)
        if value == "":
            row[name] = None
        elif convert is not None and value is not None:
            row[name] = convert(value)
    return row


@functools.cache
def _converters(struct: type[msgspec.Struct]) -> dict[str, Callable[[Any], Any] | None]:
    return {name: _converter(field.shape) for name, field in fields_of(struct).items()}


def _converter(shape: Shape) -> Callable[[Any], Any] | None:
    if shape.struct is not None:
        return functools.partial(make_exact, struct=shape.struct)
    if shape.element is not None:
        inside = _converter(shape.element)
        return None if inside is None else lambda values: [inside(each) for each in values]
    return _CONVERT.get(shape.plain[0])


def _blank(value: Any) -> Any:
    return None if value == "" else value


@functools.cache
def model(*, exact: bool, struct: type[msgspec.Struct] = Invoice) -> type[BaseModel]:
    """A pydantic model of the same fields; money is float unless ``exact``."""
    fields: dict[str, Any] = {}
    for name, field in fields_of(struct).items():
        annotation: Any = _annotation(field.shape, exact) | None
        if exact or annotation != str | None:
            annotation = Annotated[annotation, BeforeValidator(_blank)]
        fields[name] = (annotation, None)
    config = ConfigDict(extra="allow", protected_namespaces=())
    return create_model(struct.__name__, __config__=config, **fields)


def _annotation(shape: Shape, exact: bool) -> Any:
    if shape.struct is not None:
        return model(exact=exact, struct=shape.struct)
    if shape.element is not None:
        return list[_annotation(shape.element, exact)]  # type: ignore[misc] # a type made at run time
    return float if shape.plain[0] is Decimal and not exact else shape.plain[0]
