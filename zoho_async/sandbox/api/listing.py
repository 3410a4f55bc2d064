"""Lists: which rows, in which order, and the ``page_context``.

The specification names the filters and their variants, the sort columns, and whether a list counts
its rows. Parameters that no specification names are ignored, as Zoho does. An invalid value of a
named parameter is refused with code 2.
"""

from __future__ import annotations

import asyncio
import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final, TypeAlias

import msgspec

from zoho_async.description import Field, OperationFacts
from zoho_async.sandbox.data.collection import Collection, View
from zoho_async.sandbox.data.values import is_object
from zoho_async.sandbox.records.invoices import has_status
from zoho_async.sandbox.records.resource import Record, is_relative
from zoho_async.sandbox.replies import ApiReply, ReplyPage, invalid, success

Test: TypeAlias = Callable[[Record], bool]
Rows: TypeAlias = Collection | View

MAX_PER_PAGE: Final = 200
_ROWS_BETWEEN_YIELDS: Final = 250
_TIMESTAMP: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4}")
_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d")
_ORDERS: Final = {"A": "A", "D": "D", "ascending": "A", "descending": "D"}
_PAGING: Final = frozenset(
    {"page", "per_page", "sort_column", "sort_order", "response_option", "organization_id"}
)
_EVERYWHERE: Final = frozenset({"last_modified_time", "search_text"})
_COMPARISONS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "_startswith": lambda value, wanted: value.startswith(wanted),
    "_contains": lambda value, wanted: wanted in value,
    "_start": lambda value, wanted: value >= wanted,
    "_end": lambda value, wanted: value <= wanted,
    "_before": lambda value, wanted: value < wanted,
    "_after": lambda value, wanted: value > wanted,
    "_less_than": lambda value, wanted: value < wanted,
    "_less_equals": lambda value, wanted: value <= wanted,
    "_greater_than": lambda value, wanted: value > wanted,
    "_greater_equals": lambda value, wanted: value >= wanted,
}


class DefaultView(msgspec.Struct, frozen=True, kw_only=True):
    """What a list shows without ``filter_by``: the filter it names, and which rows it hides.

    ``also_under`` are filters that hide the same rows. ``dates_cancelled`` says that ``filter_by``
    cancels the filters by date, and ``seeded`` that rows of the seed may be hidden.
    """

    applied: str
    hidden: Test
    also_under: frozenset[str] = frozenset()
    dates_cancelled: bool = False
    seeded: bool = True

    def hides_any(self, rows: Rows) -> bool:
        """Whether ``rows`` may have hidden ones."""
        return self.seeded or (
            isinstance(rows, Collection)
            and any(self.hidden(defaultdict(str, one)) for one in rows.written())
        )


def _is_inactive(record: Record) -> bool:
    return record["is_active"] is False or record["status"] == "inactive"


_ALL: Final = "Status.All"
_TAXES: Final = DefaultView(applied="Taxes.Active", hidden=_is_inactive)
#: Lists whose default leaves rows out, by product and path. Any other list applies Status.All.
_DEFAULT_VIEWS: Final[dict[tuple[str, str], DefaultView]] = {
    ("books", "/chartofaccounts"): DefaultView(applied="AccountType.Active", hidden=_is_inactive),
    ("books", "/settings/taxes"): _TAXES,
    ("inventory", "/settings/taxes"): _TAXES,
    ("books", "/banktransactions"): DefaultView(
        applied=_ALL,
        hidden=lambda record: record["status"] == "uncategorized",
        also_under=frozenset({_ALL}),
        dates_cancelled=True,
    ),
    ("books", "/invoices"): DefaultView(
        applied=_ALL,
        hidden=lambda record: record["type"] == "debit_note",
        also_under=frozenset({_ALL}),
        dates_cancelled=True,
        seeded=False,
    ),
    ("inventory", "/replenishments/tasks"): DefaultView(
        applied="Status.Pending", hidden=lambda record: record["status"] != "pending"
    ),
}
_DATES: Final = ("date", "date_start", "date_end", "date_before", "date_after")


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """The parsed parameters of a list. ``filters`` are pairs of parameter and value.

    ``view`` names the list's default view if that hides rows here.
    """

    page: int
    per_page: int
    sort_column: str
    sort_order: str
    filter_by: str
    filters: tuple[tuple[str, str], ...]
    response_option: int
    view: tuple[str, str] | None = None


def parse_query(collection: Rows, facts: OperationFacts, params: Mapping[str, str]) -> Query:
    """Parse the parameters of a list. Raises `ApiRefusal` (code 2) for an invalid value."""
    known = {field.name: field for field in facts.query}
    for field in facts.query:
        known |= {variant: field for variant in field.variants if variant not in known}
    column, order = collection.resource.default_sort
    if params.get("sort_column"):
        allowed = known["sort_column"].allowed if "sort_column" in known else ()
        column, order = params["sort_column"], "A"
        if allowed and column not in allowed:
            raise invalid("sort_column")
    if params.get("sort_order"):
        if params["sort_order"] not in _ORDERS:
            raise invalid("sort_order")
        order = _ORDERS[params["sort_order"]]
    filters = [
        (name, value)
        for name, value in params.items()
        if name not in _PAGING and name != "filter_by" and value
        if name in known or name in ("last_modified_time", "search_text")
        if name not in collection.resource.ignored and "*" not in collection.resource.ignored
        if name in _EVERYWHERE or collection.resource.knows(_split_suffix(name)[0])
    ]
    for name, value in [*filters, ("filter_by", params.get("filter_by", ""))]:
        _check(name, value, known.get(name))
    usual = max(facts.per_page, 1)
    place = (facts.product, facts.path)
    view, asked = _DEFAULT_VIEWS.get(place), params.get("filter_by", "")
    if view is not None and view.dates_cancelled and asked:
        filters = [(name, value) for name, value in filters if name not in _DATES]
    hides = (
        view is not None
        and "status" not in dict(filters)
        and asked in ("", *view.also_under)
        and view.hides_any(collection)
    )
    most = max(MAX_PER_PAGE, usual, facts.max_per_page)
    return Query(
        page=_count(params, "page", 1),
        per_page=min(most, _count(params, "per_page", usual)),
        sort_column=column,
        sort_order=order,
        filter_by=asked or (_ALL if view is None else view.applied),
        view=place if hides else None,
        filters=tuple(sorted(filters)),
        response_option=_count(params, "response_option", 0, least=0) if facts.totals else 0,
    )


def check(facts: OperationFacts, params: Mapping[str, str], files: frozenset[str]) -> None:
    """Raise `ApiRefusal` (code 2) for a missing or invalid query parameter.

    ``files`` are names of parameters that arrive as files.
    """
    for field in facts.query:
        value = params.get(field.name, "")
        if field.required and not value and field.name not in files:
            raise invalid(field.name)
        if facts.answer != "list":
            _check(field.name, value, field)


async def answer(collection: Rows, query: Query, facts: OperationFacts) -> ApiReply:
    """Answer with the page of a query, or with all rows if the list has no pages."""
    order = await _order(collection, query)
    key = facts.key
    if not facts.paged:
        every = b",".join(collection.encoded_row(index) for index in order)
        outer, _, inner = key.rpartition(".")
        value = b'"%b":[%b]' % (inner.encode(), every)
        value = b'"%b":{%b}' % (outer.encode(), value) if outer else value
        body = b'{"code":0,"message":"success",%b}' % value
        return ApiReply(body=body)
    first = (query.page - 1) * query.per_page
    context = _page_context(collection, query, len(order), first)
    if query.response_option in (2, 3):
        return success("success", {"page_context": context})
    chosen = order[first : first + query.per_page]
    rows = [collection.encoded_row(index) for index in chosen]
    return ApiReply(page=ReplyPage(key=key, rows=rows, context=context))


def _page_context(collection: Rows, query: Query, count: int, first: int) -> dict[str, Any]:
    context: dict[str, Any] = {
        "page": query.page,
        "per_page": query.per_page,
        "has_more_page": first + query.per_page < count,
        "report_name": collection.resource.report_name,
        "applied_filter": query.filter_by,
        "custom_fields": [],
        "sort_column": query.sort_column,
        "sort_order": query.sort_order,
    }
    if query.filters:
        context["search_criteria"] = [
            {"column_name": name, "search_text": value, "comparator": "equal"}
            for name, value in query.filters
        ]
    if query.response_option:
        context["response_option"] = query.response_option
    if query.response_option in (1, 2, 3):
        context["total"] = count
        context["total_pages"] = -(-count // query.per_page)
    return context


async def _order(collection: Rows, query: Query) -> list[int] | range:
    """Return the indexes of the matching rows in order. Cached until the next write."""
    natural = query.sort_column == "created_time"
    plain = not query.filters and query.filter_by == _ALL and query.view is None
    if natural and plain:
        indexes = collection.indexes()
        in_order = indexes if query.sort_order == "A" else indexes[::-1]
        return in_order if isinstance(in_order, range) else list(in_order)
    today = collection.world.day_now()
    asked = (
        *(query.sort_column, query.sort_order, query.filter_by, query.filters),
        *(query.view, today if is_relative(query.filter_by, today) else ""),
    )
    while True:
        known = collection.orders.get(asked)
        if known is not None:
            return known
        version = collection.version
        order = await _sorted_indexes(collection, query, today)
        if version == collection.version:
            collection.orders[asked] = order
            return order


async def _sorted_indexes(collection: Rows, query: Query, today: str) -> list[int]:
    tests = [_test(collection, name, value) for name, value in query.filters]
    if query.view is not None:
        hidden = _DEFAULT_VIEWS[query.view].hidden
        tests.append(lambda record: not hidden(record))
    elif query.filter_by != _ALL:
        resource, filter_by = collection.resource, query.filter_by
        tests.append(lambda record: resource.matches(record, filter_by, today))
    keys: list[tuple[Any, int]] = []
    version = collection.version
    for number, index in enumerate(collection.indexes()):
        if number % _ROWS_BETWEEN_YIELDS == 0:
            await asyncio.sleep(0)
            if collection.version != version:
                return []  # the collection changed: the caller starts again
        record = _LazyRecord(collection, index)
        if all(test(record) for test in tests):
            keys.append((_sort_key(record[query.sort_column]), index))
    if query.sort_column != "created_time":
        keys.sort(key=lambda pair: pair[0])
    if query.sort_order == "D":
        keys.reverse()
    return [index for _, index in keys]


class _LazyRecord(Record):
    """A record's row. The detail is built only if a field is not in the row."""

    def __init__(self, collection: Rows, index: int) -> None:
        super().__init__(collection.row(index))
        self._collection = collection
        self._index = index
        self._whole = False

    def __missing__(self, name: str) -> Any:
        if not self._whole and not self._collection.lacks(self._index, name):
            self._whole = True
            self.update(self._collection.state(self._index))
        return super().get(name, "")


def _sort_key(value: Any) -> tuple[int, Any]:
    if isinstance(value, str):
        return (2, value.casefold()) if value else (0, 0)
    return (1, value) if isinstance(value, int | float | Decimal) else (0, 0)


# -- filters ------------------------------------------------------------------------------------


def _count(params: Mapping[str, str], name: str, default: int, *, least: int = 1) -> int:
    text = params.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit()) or int(text) < least:
        raise invalid(name)
    return int(text)


def _check(name: str, value: str, field: Field | None) -> None:
    if not value:
        return
    if name == "last_modified_time":
        _timestamp(name, value)
    if field is None:
        return
    if field.allowed and field.name == name and value not in field.allowed:
        raise invalid(name)
    if field.max_length is not None and len(value) > field.max_length:
        raise invalid(name)
    if field.kind == "date" and not _DAY.fullmatch(value):
        raise invalid(name)
    if field.kind == "decimal":
        _number(name, value)
    if field.kind == "boolean" and value not in ("true", "false"):
        raise invalid(name)


def _timestamp(name: str, value: str) -> datetime:
    if not _TIMESTAMP.fullmatch(value):
        raise invalid(name)
    try:
        return datetime.strptime(value, "%Y-%m-%dT%H:%M:%S%z")
    except ValueError:
        raise invalid(name) from None


def _number(name: str, value: str) -> Decimal:
    try:
        return Decimal(value)
    except InvalidOperation:
        raise invalid(name) from None


def _test(collection: Rows, name: str, value: str) -> Test:
    """Return the test of ``name=value`` for a record."""
    if name == "last_modified_time":
        since = _timestamp(name, value)
        return lambda record: datetime.fromisoformat(record["last_modified_time"]) >= since
    if name == "search_text":
        sought, fields = value.casefold(), collection.resource.searched
        return lambda record: any(sought in str(record[field]).casefold() for field in fields)
    if name == "status":
        return lambda record: has_status(record, value)
    field, suffix = _split_suffix(name)
    compare = _COMPARISONS.get(suffix, lambda found, wanted: found == wanted)
    return lambda record: any(
        _passes(compare, name, found, value) for found in _values(record, field)
    )


def _split_suffix(name: str) -> tuple[str, str]:
    for suffix in sorted(_COMPARISONS, key=len, reverse=True):
        if name.endswith(suffix):
            return name.removesuffix(suffix), suffix
    return name, ""


def _values(record: Record, field: str) -> list[Any]:
    """Return the values that a filter compares: of the record, its lines or its addresses."""
    if field == "created_date":
        return [record["created_time"][:10]]
    if field in ("item_id", "item_name", "item_description"):
        inner = field if field == "item_id" else field.removeprefix("item_")
        lines = record["line_items"]
        return [line.get(inner, "") for line in lines] if lines else [record[field]]
    if field == "address":
        parts: list[Any] = [record["billing_address"], record["shipping_address"]]
        return [text for part in parts if is_object(part) for text in part.values()]
    if field == "custom_field":
        rows: list[Record] = record["custom_fields"] or []
        return [row["value"] for row in rows]
    return [record[field]]


def _passes(compare: Callable[[Any, Any], bool], name: str, found: Any, wanted: str) -> bool:
    if isinstance(found, bool):
        return compare(str(found).lower(), wanted.lower())
    if isinstance(found, int | float | Decimal):
        return compare(Decimal(str(found)), _number(name, wanted))
    return bool(found) and compare(str(found).casefold(), wanted.casefold())
