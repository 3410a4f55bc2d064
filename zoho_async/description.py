"""The packed description: Zoho's facts about each operation, for those who need more than types.

The generator writes a ``description.json`` for each product, beside its modules. The sandbox
validates and answers by it, the export plans by it; plain calls never load it.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Iterable
from typing import Final, Literal, TypeAlias

import msgspec

from zoho_async import description
from zoho_async._msgspec import decoder_of
from zoho_async.errors import ConfigurationError
from zoho_async.operation import PRODUCTS

#: What a value is. ``id`` is text of digits, ``decimal`` an exact number, ``time`` an aware moment,
#: ``any`` raw JSON that no description details.
Kind: TypeAlias = Literal[
    "id", "text", "decimal", "integer", "boolean", "date", "time", "object", "list", "any"
]
Answer: TypeAlias = Literal["record", "list", "values", "done", "file"]


class Field(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A field of a record or a parameter of a call.

    ``fields`` are those of an ``object``, or of the elements of a ``list`` of objects; ``element``
    is the kind of a plain list's elements. ``allowed`` are the values that the description names.
    ``variants`` are the further parameters a filter comes in (``date_after``, ``name_contains``).
    ``percent`` marks an amount that may be a share instead, with its sign: ``"12.5%"``.
    """

    name: str
    kind: Kind
    required: bool = False
    allowed: tuple[str, ...] = ()
    max_length: int | None = None
    element: Kind | None = None
    fields: tuple[Field, ...] = ()
    variants: tuple[str, ...] = ()
    percent: bool = False


class Named(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Whatever is called ``product.resource.verb``, as an operation's function is."""

    name: str

    @property
    def product(self) -> str:
        return self.name.partition(".")[0]

    @property
    def resource(self) -> str:
        """``product.resource``."""
        return self.name.rpartition(".")[0]


class Endpoint(Named, frozen=True, kw_only=True, omit_defaults=True):
    """What an operation is called: here, at Zoho, and among the OAuth scopes.

    ``unconfirmed`` marks those that no document of the product names.
    """

    method: str
    path: str
    scope: str = ""
    unconfirmed: bool = False

    @property
    def module(self) -> str:
        """The module that has its function: ``zoho_async.books.invoices``."""
        return f"zoho_async.{self.resource}"

    @property
    def function(self) -> str:
        return self.name.rpartition(".")[2]


class _Endpoints(msgspec.Struct, frozen=True):
    operations: tuple[Endpoint, ...]


class OperationFacts(Named, frozen=True, kw_only=True, omit_defaults=True):
    """One operation: ``name`` is ``product.resource.verb``, the name of its generated function.

    What a list can do beyond its pages: ``order`` is the ``sort_column`` in which rows do not move
    while others edit, ``changes`` the parameter that asks for what changed since a moment,
    ``totals`` says that it counts its rows, ``per_page`` is the size of its pages when nothing is
    asked for, ``details`` the operation that reads many of its records in full, at most ``batch``
    at once. ``ignored`` are parameters that are described and have no effect ("*": all filters).
    ``alternatives`` are further paths that documents give for the same operation.
    """

    method: str
    path: str
    answer: Answer
    scope: str = ""
    key: str = ""
    status: int = 200
    query: tuple[Field, ...] = ()
    headers: tuple[Field, ...] = ()
    body: tuple[Field, ...] = ()
    reply: tuple[Field, ...] = ()
    row_id: str = ""
    order: str = ""
    paged: bool = False
    totals: bool = False
    max_per_page: int = 200
    per_user: bool = False
    changes: str = ""
    per_page: int = 200
    details: str = ""
    batch: int | None = None
    ignored: tuple[str, ...] = ()
    alternatives: tuple[str, ...] = ()
    unconfirmed: bool = False

    @property
    def top_level(self) -> bool:
        """Whether this is a list that hangs below no other record and needs no argument."""
        return (
            self.answer == "list"
            and "{" not in self.path
            and not any(parameter.required for parameter in self.query)
        )


class Description(msgspec.Struct, frozen=True):
    """Everything the generator knows about the operations that have functions.

    ``errors`` are the codes that have a meaning of their own in a resource, by ``product.resource``
    and code.
    """

    operations: tuple[OperationFacts, ...]
    errors: dict[str, dict[int, str]] = {}

    def named(self, name: str) -> OperationFacts:
        """The operation called ``product.resource.verb``; raises `KeyError` where there is none."""
        for operation in self.operations:
            if operation.name == name:
                return operation
        raise KeyError(name)


@functools.cache
def load(product: str = "books") -> Description:
    """What this version knows of a product. Reads a file: call it off the hot path.

    Raises `LookupError` for what is none of the four products.
    """
    return decoder_of(Description).decode(_packed(product))


def operations(product: str) -> tuple[Endpoint, ...]:
    """Every operation of a product, by name of module. Reads a file, and little of it."""
    return decoder_of(_Endpoints).decode(_packed(product)).operations


def _packed(product: str) -> bytes:
    from importlib import resources  # most programs never ask

    if product not in PRODUCTS:
        raise LookupError(f"{product!r} is no product: {', '.join(PRODUCTS)}")
    return resources.files("zoho_async").joinpath(product, "description.json").read_bytes()


#: What it takes to list the organizations of a user.
ORGANIZATIONS: Final = "ZohoBooks.settings.READ"

_DEFAULT_PRODUCT: Final = "books"


def scopes_for(names: Iterable[str], *, write: bool = False) -> list[str]:
    """The scopes that ``names`` need, sorted, each once.

    A name is a product (``books``), a resource (``books.invoices``; ``books.`` may be omitted) or
    an operation (``invoices.create``). Of products and resources only the lists and records
    themselves are counted (``list`` and ``get``), with ``write`` every operation. Raises
    `ConfigurationError` for a name that is none of these, with those that look like it.
    """
    operations = [each for product in PRODUCTS for each in description.operations(product)]
    found: set[str] = set()
    for name in names:
        wanted = _named(name.strip().lower(), operations)
        if len(wanted) > 1 and not write:
            wanted = _reading(wanted)
        found.update(scope for operation in wanted for scope in operation.scope.split(","))
    return sorted(scope for scope in found if scope)


def _reading(operations: Iterable[Endpoint]) -> list[Endpoint]:
    """What reads the rows of each resource; all that reads where a resource has neither."""
    by_resource: dict[str, list[Endpoint]] = {}
    for operation in operations:
        if operation.method == "GET":
            by_resource.setdefault(operation.resource, []).append(operation)
    chosen: list[Endpoint] = []
    for each in by_resource.values():
        rows = [one for one in each if one.name.rpartition(".")[2] in ("list", "get")]
        chosen.extend(rows or each)
    return chosen


def _named(name: str, operations: Iterable[Endpoint]) -> list[Endpoint]:
    found = [
        each
        for each in operations
        if name == each.product or _is(each.resource, name) or _is(each.name, name)
    ]
    if not found:
        known = sorted({each.resource for each in operations})
        short = [each.removeprefix(f"{_DEFAULT_PRODUCT}.") for each in known]
        near = difflib.get_close_matches(name, [*short, *known], n=3)
        advice = f"did you mean {', '.join(near)}?" if near else f"there are {', '.join(known)}"
        raise ConfigurationError(f"no product, resource or operation is called {name!r}; {advice}")
    return found


def _is(full: str, name: str) -> bool:
    return name.lower() in (full, full.removeprefix(f"{_DEFAULT_PRODUCT}."))
