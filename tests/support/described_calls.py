"""Valid arguments for every function: Zoho's examples with ids of existing records.

The examples come from the official files and pages and become arguments as in the proof of the
functions. Nothing here uses the sandbox's own checks; only the ids are the sandbox's.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import msgspec

from tests.conformance.case import Case
from tests.conformance.functions import Function, functions
from tests.conformance.given import Given
from tests.conformance.official import Described, files, operations
from tests.conformance.pages import INVOICE, SURFACE, billing_page, invoice_page, surface
from zoho_async.wire import Input

#: Maps a field name to the id of a record that it can mean, or None.
IdOf = Callable[[str], str | None]

_ALIKE: Final = {"ids": "id"}


@functools.cache
def described(product: str) -> Mapping[tuple[str, str], Described]:
    """The official descriptions of a product's operations, by method and path."""
    found: dict[tuple[str, str], Described] = {}
    for of, stem in files():
        if of == product or (product == "invoice" and of == "books"):
            for each in operations(of, stem):
                found.setdefault(each.call, each)
    pages = {"invoice": invoice_page, "billing": billing_page}
    if product in pages and INVOICE.exists():
        for page in pages[product]():
            found.setdefault(page.described.call, page.described)
    if product == "invoice" and SURFACE.exists():
        for shared in surface():
            found.setdefault(shared.call, found.get(shared.call, _of_books(shared.call)))
    return found


def _of_books(call: tuple[str, str]) -> Described:
    return described("books")[call]


def known(product: str) -> list[Function]:
    """Every function of a product for an operation that Zoho describes."""
    return list(functions(product))


def arguments(function: Function, product: str, id_of: IdOf) -> dict[str, Any]:
    """Arguments by name, without the path ids."""
    case = Case(described(product)[function.key], function, frozenset())
    given = Given(case)
    return {
        name: _with_ids(value, function.places[name].name, id_of)
        for name, value in given.arguments.items()
        if function.places[name].where != "path"
    }


def _with_ids(value: Any, name: str, id_of: IdOf) -> Any:
    if isinstance(value, Input):
        fields = {each.name: each.encode_name for each in msgspec.structs.fields(type(value))}
        changed = {
            field: _with_ids(getattr(value, field), wire, id_of) for field, wire in fields.items()
        }
        return msgspec.structs.replace(value, **changed)
    if isinstance(value, list | tuple):
        one = name.removesuffix("s") if name.endswith("_ids") else name
        return [_with_ids(each, one, id_of) for each in value]
    if isinstance(value, dict):
        return {key: _with_ids(each, key, id_of) for key, each in value.items()}
    if isinstance(value, str) and name.endswith("_ids"):
        return id_of(name.removesuffix("s")) or value
    if isinstance(value, str | int) and not isinstance(value, bool) and name.endswith("_id"):
        return id_of(name) or value
    return value


def path_ids(function: Function) -> Iterator[str]:
    """The names of the path parameters, in order."""
    placed = [(int(p.name), name) for name, p in function.places.items() if p.where == "path"]
    return (name for _, name in sorted(placed))
