"""One endpoint, as data. The generated functions bind their arguments to these values.

An `Operation` returns one value, a `ListOperation` numbered pages of rows. Both are data only:
`Session` makes the calls, `Pager` reads the pages.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final, Generic, Literal, TypeAlias, TypeVar, cast

import msgspec

from zoho_async.errors import TooManyIds

Id: TypeAlias = str | int

#: Maximum number of records in one document, for operations without a documented number. All
#: documented numbers are this one.
DEFAULT_BATCH: Final = 25


class Batch(msgspec.Struct, frozen=True):
    """At most ``most`` ids fit into the query parameter ``parameter`` of one call."""

    parameter: str
    most: int


def split_ids(ids: Iterable[Id], most: int) -> list[tuple[Id, ...]]:
    """Split ``ids`` into tuples of at most ``most``, in order and without duplicates.

    An id as text and as a number is the same id. Raises `ValueError` if ``most`` is below 1.
    """
    if most < 1:
        raise ValueError(f"most must be at least 1, got {most}")
    known: dict[str, Id] = {}
    for each in ids:
        known.setdefault(str(each).strip(), each)
    once = list(known.values())
    return [tuple(once[start : start + most]) for start in range(0, len(once), most)]


def ids_in(value: object) -> Sequence[Id]:
    """The ids in a query parameter's value: a sequence, or text with commas."""
    if isinstance(value, str):
        return [each for each in (part.strip() for part in value.split(",")) if each]
    if isinstance(value, Sequence | AbstractSet):
        return list(cast(Iterable[Id], value))
    return []


def check_id_count(batches: Sequence[Batch], query: Mapping[str, Any] | None) -> None:
    """Raise `TooManyIds` if ``query`` has more ids than one call takes."""
    for batch in batches:
        given = len(ids_in((query or {}).get(batch.parameter)))
        if given > batch.most:
            raise TooManyIds(batch.parameter, given, batch.most)


def max_ids(batches: Sequence[Batch], parameter: str) -> int:
    """How many ids fit into ``parameter`` of one call that returns a document."""
    return next((batch.most for batch in batches if batch.parameter == parameter), DEFAULT_BATCH)


T = TypeVar("T")

Method: TypeAlias = Literal["GET", "POST", "PUT", "DELETE"]
Form: TypeAlias = Literal["", "JSONString"]

#: The documented size limit of most files, in bytes: 10 MB.
FILE_SIZE: Final = 10 * 1024 * 1024


class Product(msgspec.Struct, frozen=True, kw_only=True):
    """One of Zoho's finance products, and how its API names the organization.

    ``base_path`` is between the API host and an operation's path and ends in the version.
    ``organization_query`` and ``organization_header`` are the parameter and the header that hold
    the organization's id; "" for the one that is not sent. `Session` accepts other products than
    those below, for accounts that need an older path, another version or the other way to name the
    organization.
    """

    name: str
    base_path: str
    organization_query: str = ""
    organization_header: str = ""


BOOKS: Final = Product(name="books", base_path="/books/v3", organization_query="organization_id")
INVOICE: Final = Product(
    name="invoice", base_path="/invoice/v3", organization_query="organization_id"
)
BILLING: Final = Product(
    name="billing",
    base_path="/billing/v1",
    organization_header="X-com-zoho-subscriptions-organizationid",
)
INVENTORY: Final = Product(
    name="inventory", base_path="/inventory/v1", organization_query="organization_id"
)

#: Other documented paths and headers for the same operations.
SUBSCRIPTIONS: Final = msgspec.structs.replace(BILLING, base_path="/subscriptions/v1")
INVOICE_BY_HEADER: Final = msgspec.structs.replace(
    INVOICE,
    organization_query="",
    organization_header="X-com-zoho-invoice-organizationid",
)

PRODUCTS: Final[dict[str, Product]] = {
    product.name: product for product in (BOOKS, INVOICE, BILLING, INVENTORY)
}


class Operation(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """An endpoint that returns one value of type ``result``.

    ``name`` is ``product.resource.verb``; ``path`` has ``{names}`` for its ids; ``scope`` is the
    documented OAuth scope, or "". ``key`` is the envelope key that holds the value; "" decodes the
    whole envelope, which always has a code and a message. ``record_id`` is the field that holds the
    record's id, or "" if the value has none; ``nouns`` are other keys that may hold a created
    record. ``accept`` is the requested media type; any type but JSON is returned as bytes.
    ``repeatable`` marks a write that can be sent twice without harm (an upsert by unique field).
    ``per_user`` marks an operation of the account instead of an organization.

    ``batches`` are the parameters with a maximum number of ids per call. ``codes`` are the error
    codes with a special meaning in the resource. ``form`` is the form field that takes the JSON if
    the documents require one; a call without a body sends ``{}`` there. ``file_types`` are the file
    name extensions that Zoho accepts (empty: not documented), ``file_size`` is the maximum size of
    a file in bytes.
    """

    name: str
    product: Product
    method: Method
    path: str
    result: type[T]
    scope: str = ""
    key: str = ""
    record_id: str = ""
    nouns: tuple[str, ...] = ()
    accept: str = "application/json"
    repeatable: bool = False
    per_user: bool = False
    batches: tuple[Batch, ...] = ()
    codes: Mapping[int, str] = {}
    form: Form = ""
    file_types: tuple[str, ...] = ()
    file_size: int = FILE_SIZE


class ListOperation(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """An endpoint that returns rows of type ``row`` under ``key``, in numbered pages.

    ``key`` can be a path of two names: ``data.payment_terms``. ``row_id`` is the field that
    identifies a row, or "" if rows have no id. ``order`` is the
    ``sort_column`` in whose ascending order rows do not move while others edit, or "" if the
    description allows none. ``paged`` is False for lists that return everything at once.
    ``max_per_page`` is the largest documented page. ``totals`` says that the description names
    ``response_option``, with which Zoho counts the rows. ``batch`` is the parameter that selects
    rows by their ids, with its maximum: more ids are read in several calls. ``required`` are the
    query parameters that choose the list, such as its parent. ``codes`` are as in `Operation`.
    """

    name: str
    product: Product
    path: str
    row: type[T]
    key: str
    row_id: str = ""
    scope: str = ""
    order: str = ""
    paged: bool = True
    max_per_page: int = 200
    totals: bool = False
    per_user: bool = False
    batch: Batch | None = None
    required: tuple[str, ...] = ()
    codes: Mapping[int, str] = {}

    @property
    def checks_filters(self) -> bool:
        """Whether a reader compares each reply with its filters itself, as reports do."""
        return False
