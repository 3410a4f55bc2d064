"""What one endpoint is, as data: the generated functions bind arguments to one of these.

An `Operation` answers one value, a `ListOperation` answers numbered pages of rows. Neither does
anything; `Session` carries them out, `Pager` walks their pages.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final, Generic, Literal, TypeAlias, TypeVar, cast

import msgspec

from zoho_async.errors import TooManyIds

Id: TypeAlias = str | int

#: As many records go into one document where nobody says how many do; it is the number that Zoho
#: documents for those of which it says one.
DOCUMENTED: Final = 25


class Batch(msgspec.Struct, frozen=True):
    """At most ``most`` ids go into the query parameter ``parameter`` of one call."""

    parameter: str
    most: int


def batches_of(ids: Iterable[Id], most: int) -> list[tuple[Id, ...]]:
    """``ids`` in their order, each once, in tuples of at most ``most``; none for no ids.

    An id as text and as a number is the same id. Raises `ValueError` for a ``most`` below 1.
    """
    if most < 1:
        raise ValueError(f"a batch of {most} holds nothing")
    known: dict[str, Id] = {}
    for each in ids:
        known.setdefault(str(each).strip(), each)
    once = list(known.values())
    return [tuple(once[start : start + most]) for start in range(0, len(once), most)]


def ids_in(value: object) -> Sequence[Id]:
    """The ids that a query parameter was given: a sequence, or text with commas."""
    if isinstance(value, str):
        return [each for each in (part.strip() for part in value.split(",")) if each]
    if isinstance(value, Sequence | AbstractSet):
        return list(cast(Iterable[Id], value))
    return []


def refuse_beyond(batches: Sequence[Batch], query: Mapping[str, Any] | None) -> None:
    """Raises `TooManyIds` where ``query`` holds more ids than one call takes."""
    for batch in batches:
        given = len(ids_in((query or {}).get(batch.parameter)))
        if given > batch.most:
            raise TooManyIds(batch.parameter, given, batch.most)


def most_of(batches: Sequence[Batch], parameter: str) -> int:
    """How many ids go into ``parameter`` of one call that answers a document."""
    return next((batch.most for batch in batches if batch.parameter == parameter), DOCUMENTED)


T = TypeVar("T")

Method: TypeAlias = Literal["GET", "POST", "PUT", "DELETE"]
Form: TypeAlias = Literal["", "JSONString"]

#: What is documented for most files, in bytes: 10 MB.
FILE_SIZE: Final = 10 * 1024 * 1024


class Product(msgspec.Struct, frozen=True, kw_only=True):
    """One of Zoho's finance products and how its API names the organization.

    ``base_path`` goes between the API host and an operation's path and ends in the version.
    ``organization_query`` and ``organization_header`` name the parameter and the header that hold
    the organization's id; "" for the one that is not sent. `Session` takes other products than
    those below where an account needs an older path, another version or the other way.
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

#: Other ways in which the documents give the same operations.
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
    """An endpoint that answers one value of type ``result``.

    ``name`` is ``product.resource.verb``; ``path`` has ``{names}`` for its ids; ``scope`` is the
    OAuth scope that the description names, or "". ``key`` is the envelope key that holds the
    value; "" decodes the whole envelope (code and message stand in every envelope). ``record_id``
    is the field that holds the record's id, or "" where the value is no record with one; ``nouns``
    are further keys that may hold a record that was created. ``accept`` is the media type asked
    for; anything but JSON is handed over as bytes. ``repeatable`` marks a write that may be sent
    twice without harm (an upsert by unique field). ``per_user`` marks an operation that belongs to
    the account rather than to an organization.

    ``batches`` are the parameters of which one call takes so many ids and no more. ``codes`` are
    the error codes that have a meaning of their own in the resource. ``form`` is the form field
    that takes the JSON where the documents want no JSON as such; a call without a body has ``{}``
    there. ``file_types`` are the endings of the names of files that Zoho takes (none: the documents
    do not say), ``file_size`` is the most bytes of one.
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
    """An endpoint that answers rows of type ``row`` under ``key``, in numbered pages.

    ``row_id`` is the field that names a row, or "" where rows have no id of their own. ``order``
    is the ``sort_column`` in whose ascending order rows do not move while others edit, or "" where
    the description allows none. ``paged`` is False for lists that answer everything at once.
    ``max_per_page`` is the largest page that is documented. ``totals`` says that the description
    names ``response_option``, with which Zoho counts the rows. ``batch`` is the parameter that
    names the rows by their ids, so many at most: more are read by several calls. ``codes`` are as
    in `Operation`.
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
    codes: Mapping[int, str] = {}
