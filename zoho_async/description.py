"""The packed API description: Zoho's facts about each operation, beyond the types.

The generator writes a ``description.json`` for each product, next to its modules. The sandbox
validates and answers by it, and the export plans by it. Plain calls never load it.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Collection, Iterable
from typing import Final, Literal, TypeAlias

import msgspec

from zoho_async import description
from zoho_async._msgspec import decoder_of
from zoho_async.errors import ConfigurationError
from zoho_async.operation import PRODUCTS

#: The kind of a value. ``id`` is text of digits, ``decimal`` an exact number, ``time`` a moment
#: with a time zone, ``any`` raw JSON without a description.
Kind: TypeAlias = Literal[
    "id", "text", "decimal", "integer", "boolean", "date", "time", "object", "list", "any"
]
Answer: TypeAlias = Literal["record", "list", "values", "done", "file"]
#: How sure an observed operation is: high, medium or low; "" if Zoho describes it.
Confidence: TypeAlias = Literal["", "H", "M", "L"]


class Field(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A field of a record or a parameter of a call.

    ``fields`` are those of an ``object``, or of the elements of a ``list`` of objects; ``element``
    is the kind of a plain list's elements. ``allowed`` are the documented values. ``variants`` are
    more parameters for the same filter (``date_after``, ``name_contains``). ``percent`` marks an
    amount that may also be a percentage with its sign: ``"12.5%"``. ``gc=False`` is safe here and
    below, because frozen values of strings and tuples have no cycles.
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


class Named(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Something named ``product.resource.verb``, as an operation's function is."""

    name: str

    @property
    def product(self) -> str:
        return self.name.partition(".")[0]

    @property
    def resource(self) -> str:
        """``product.resource``."""
        return self.name.rpartition(".")[0]


class Endpoint(Named, frozen=True, kw_only=True, omit_defaults=True):
    """An operation's names: here, at Zoho, and among the OAuth scopes.

    ``unconfirmed`` marks those that no document of the product names. An observed operation is in
    no OpenAPI file of Zoho: ``evidence`` is what it rests on, and ``confidence`` how sure it is.
    """

    method: str
    path: str
    scope: str = ""
    unconfirmed: bool = False
    evidence: str = ""
    confidence: Confidence = ""

    @property
    def module(self) -> str:
        """The module of its function: ``zoho_async.books.invoices``."""
        return f"zoho_async.{self.resource}"

    @property
    def function(self) -> str:
        return self.name.rpartition(".")[2]


class _Endpoints(msgspec.Struct, frozen=True):
    operations: tuple[Endpoint, ...]


class OperationFacts(Named, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One operation. ``name`` is ``product.resource.verb``, the name of its generated function.

    Facts about lists: ``order`` is the ``sort_column`` in which rows do not move while others edit,
    ``changes`` the parameter that selects rows changed since a moment. ``totals`` says that the
    list counts its rows, ``per_page`` is its default page size. ``details`` is the operation that
    reads many of its records in full, at most ``batch`` per call. ``ignored`` are documented
    parameters without an effect ("*": all filters). ``alternatives`` are other documented paths for
    the same operation. ``evidence`` and ``confidence`` are those of `Endpoint`.
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
    evidence: str = ""
    confidence: Confidence = ""

    @property
    def top_level(self) -> bool:
        """Whether this is a list without a parent record and without required arguments."""
        return (
            self.answer == "list"
            and "{" not in self.path
            and not any(parameter.required for parameter in self.query)
        )


class _Packed(msgspec.Struct, frozen=True):
    operations: tuple[msgspec.Raw, ...]


class Description(msgspec.Struct, frozen=True):
    """All facts about the operations that have functions.

    ``errors`` are the codes with a special meaning in a resource, by ``product.resource`` and code.
    """

    operations: tuple[OperationFacts, ...]
    errors: dict[str, dict[int, str]] = {}

    def named(self, name: str) -> OperationFacts:
        """Return the operation called ``product.resource.verb``. Raises `KeyError` if unknown."""
        for operation in self.operations:
            if operation.name == name:
                return operation
        raise KeyError(name)


#: How the packed description, which has no spaces, says that an operation is a GET.
_READ: Final = b'"method":"GET"'


@functools.cache
def load(product: str = "books") -> Description:
    """Return the description of a product. Reads a file: do not call it on a hot path.

    Raises `LookupError` for an unknown product.
    """
    return decoder_of(Description).decode(_packed(product))


@functools.cache
def reads(product: str) -> tuple[OperationFacts, ...]:
    """Return the facts of a product's GET operations: all that an export needs to plan.

    Much faster than `load`, because most of a description is about writes: an export can call it
    on the event loop.
    """
    packed = decoder_of(_Packed).decode(_packed(product)).operations
    decode = decoder_of(OperationFacts).decode
    return tuple(decode(each) for each in packed if _READ in memoryview(each).tobytes())


def operations(product: str) -> tuple[Endpoint, ...]:
    """Every operation of a product, by name of module. Reads a file, but decodes little of it."""
    return decoder_of(_Endpoints).decode(_packed(product)).operations


def _packed(product: str) -> bytes:
    from pkgutil import get_data  # most programs never need it

    if product not in PRODUCTS:
        raise LookupError(f"unknown product {product!r}; choose one of {', '.join(PRODUCTS)}")
    data = get_data("zoho_async", f"{product}/description.json")
    if data is None:
        raise LookupError("the loader of zoho_async cannot read files")
    return data


#: The scope to list a user's organizations.
ORGANIZATIONS: Final = "ZohoBooks.settings.READ"

_DEFAULT_PRODUCT: Final = "books"


def scopes_for(names: Iterable[str], *, write: bool = False) -> list[str]:
    """Return the scopes that ``names`` need, sorted and without duplicates.

    A name is a product (``books``), a resource (``books.invoices``; ``books.`` is optional) or an
    operation (``invoices.create``). For products and resources only ``list`` and ``get`` count, or
    every operation with ``write``. Raises `ConfigurationError` for an unknown name, with similar
    names.
    """
    operations = [each for product in PRODUCTS for each in description.operations(product)]
    found: set[str] = set()
    for name in names:
        wanted = _named(name.strip().lower(), operations)
        if len(wanted) > 1 and not write:
            wanted = _reading(wanted)
        found.update(scope for operation in wanted for scope in operation.scope.split(","))
    return sorted(scope for scope in found if scope)


def is_allowed(scope: str, granted: Collection[str]) -> bool:
    """Return whether ``granted`` contains ``scope``, or a scope that includes it."""
    service, _, rest = scope.lower().partition(".")
    module = rest.partition(".")[0]
    enough = {scope.lower(), f"{service}.{module}.all", f"{service}.fullaccess.all"}
    return not scope or not enough.isdisjoint(each.lower() for each in granted)


def _reading(operations: Iterable[Endpoint]) -> list[Endpoint]:
    """The ``list`` and ``get`` of each resource; if it has neither, everything that reads."""
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
        near = difflib.get_close_matches(name, sorted({*short, *known}), n=3)
        advice = f"did you mean {', '.join(near)}?" if near else f"choose from {', '.join(known)}"
        raise ConfigurationError(f"no product, resource or operation is called {name!r}; {advice}")
    return found


def _is(full: str, name: str) -> bool:
    return name.lower() in (full, full.removeprefix(f"{_DEFAULT_PRODUCT}."))
