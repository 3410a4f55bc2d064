"""The records of the simulated Zoho: lists, single records, and writes.

Model: a `Book` is one list of one organization. Each record lives from its birth to its death,
which are numbered by the requests that Zoho got: a change with number n happened before request n
was answered. So a judge can say which records were there at each request of a reading.

Before a page is made, an adversary may edit the list. Then the list is sorted as asked, equal sort
values come in an order of the adversary's choice, and the page is cut out. The rows and the sorted
lists are kept until the next change.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Final, Literal, TypeAlias, cast
from urllib.parse import parse_qsl

from tests.simulation.assumptions import Manners

STATUSES: Final = ("draft", "sent", "overdue", "paid", "void")


#: The borders of runs of equal values in a list.
_Ties: TypeAlias = list[tuple[int, int]]


@dataclass(frozen=True)
class Resource:
    """A list as Zoho names it. ``name`` is the field that names a record."""

    path: str
    key: str
    single: str
    row_id: str
    name: str


RESOURCES: Final = {
    one.path: one
    for one in (
        Resource("contacts", "contacts", "contact", "contact_id", "contact_name"),
        Resource("items", "items", "item", "item_id", "name"),
        Resource("invoices", "invoices", "invoice", "invoice_id", "invoice_number"),
        Resource("estimates", "estimates", "estimate", "estimate_id", "estimate_number"),
        Resource("bills", "bills", "bill", "bill_id", "bill_number"),
        Resource("expenses", "expenses", "expense", "expense_id", "reference_number"),
        Resource("salesorders", "salesorders", "salesorder", "salesorder_id", "salesorder_number"),
        Resource(
            "purchaseorders",
            "purchaseorders",
            "purchaseorder",
            "purchaseorder_id",
            "purchaseorder_number",
        ),
        Resource("customerpayments", "customerpayments", "payment", "payment_id", "payment_number"),
        Resource("creditnotes", "creditnotes", "creditnote", "creditnote_id", "creditnote_number"),
        Resource("projects", "projects", "project", "project_id", "project_name"),
        Resource(
            "chartofaccounts", "chartofaccounts", "chart_of_account", "account_id", "account_name"
        ),
    )
}


@dataclass(slots=True)
class Record:
    """A record. ``created`` and ``modified`` are wall-clock seconds, the others request numbers.

    ``statuses`` has the record's status from each request number on.
    """

    id: str
    created: float
    modified: float
    fields: dict[str, Any]
    born: int
    died: int | None = None
    statuses: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])
    row: bytes = b""

    @property
    def status(self) -> str:
        return self.statuses[-1][1]

    def status_at(self, number: int) -> str:
        return [status for since, status in self.statuses if since <= number][-1]

    def is_there(self, number: int) -> bool:
        """Whether it existed when request ``number`` was answered."""
        return self.born <= number and (self.died is None or number < self.died)


@dataclass(frozen=True, slots=True)
class Written:
    """A write that took effect, by request ``number`` (0: by the adversary or another person)."""

    number: int
    at: float
    kind: Literal["create", "update", "delete", "status"]
    resource: str
    record: str
    name: str
    repeatable: bool = False


@dataclass(frozen=True, slots=True)
class Listed:
    """A page as it was sent. ``total`` is the count in it, ``query`` what was asked."""

    number: int
    page: int
    ids: tuple[str, ...]
    total: int | None
    query: Mapping[str, str]


@dataclass(slots=True)
class Said:
    """The books' answer, before anything happens to it. ``acted``: something changed."""

    status: int
    body: bytes
    code: int = 0
    acted: bool = False
    listed: Listed | None = None
    written: Written | None = None
    headers: dict[str, str] = field(default_factory=dict[str, str])


def said(status: int, code: int, message: str) -> Said:
    return Said(status, json.dumps({"code": code, "message": message}).encode(), code)


class Book:
    """The records of one list of one organization.

    ``wall`` is the wall clock of the server for a virtual moment, ``identity`` makes ids.
    """

    def __init__(
        self,
        resource: Resource,
        manners: Manners,
        chance: random.Random,
        wall: Callable[[float], float],
        identity: Callable[[], str],
        hours: int = 1,
    ) -> None:
        self.resource: Final = resource
        self.manners = manners
        self.records: Final[dict[str, Record]] = {}
        self.written: Final[list[Written]] = []
        self._chance: Final = chance
        self.wall: Final = wall
        self._identity: Final = identity
        self._zone: Final = timezone(timedelta(hours=hours))
        self._views: Final[dict[tuple[object, ...], tuple[list[Record], _Ties]]] = {}
        self._alive: list[Record] | None = None
        self._names = 0

    # -- the truth --------------------------------------------------------------------------------

    def fill(self, count: int, *, moments: int, before: float = 86_400.0, at: float = 0.0) -> None:
        """Add ``count`` records, created at ``moments`` different times ``before`` now or later."""
        begin = self.wall(at) - before
        for number in range(count):
            step = (number * moments // max(1, count)) * (before / max(1, moments) / 2)
            self._add({}, begin + step, 0)

    def alive(self) -> list[Record]:
        """The records that exist, in order of creation."""
        if self._alive is None:
            self._alive = [one for one in self.records.values() if one.died is None]
        return self._alive

    def ids_at(self, number: int, *, status: str = "") -> frozenset[str]:
        """The ids in the list when request ``number`` was answered."""
        return frozenset(
            one.id
            for one in self.records.values()
            if one.is_there(number) and (not status or one.status_at(number) == status)
        )

    def changes(self, since: int, until: int) -> list[int]:
        """The numbers of the requests in (since, until] before which the list changed."""
        found: set[int] = set()
        for one in self.records.values():
            moments = [one.born, one.died or 0, *(number for number, _ in one.statuses)]
            found.update(each for each in moments if since < each <= until)
        return sorted(found)

    # -- changes ----------------------------------------------------------------------------------

    def _add(self, fields: dict[str, Any], created: float, number: int) -> Record:
        self._names += 1
        name = self.resource.name
        fields = {name: f"{self.resource.single.upper()}-{self._names:06d}"} | fields
        status = fields.get("status")
        if status not in STATUSES:
            status = STATUSES[self._names % len(STATUSES)]
        made = Record(
            self._identity(), created, created, fields, number, statuses=[(number, status)]
        )
        self.records[made.id] = made
        self._changed()
        return made

    def _touch(self, record: Record, at: float) -> None:
        record.modified = self.wall(at)
        record.row = b""
        self._changed()

    def _changed(self) -> None:
        self._alive = None
        self._views.clear()

    def edit(self, at: float, number: int) -> None:
        """Let another person insert, modify or delete a record."""
        kind = self._chance.choice(self.manners.kinds)
        alive = self.alive()
        if kind == "insert" or not alive:
            self._add({}, self.wall(at), number)
            return
        one = self._chance.choice(alive[:50] if self._chance.random() < 0.7 else alive)
        if kind == "delete":
            one.died = number
            self._changed()
        else:
            one.statuses.append((number, self._chance.choice(STATUSES)))
            self._touch(one, at)

    # -- requests ---------------------------------------------------------------------------------

    def answer(
        self,
        method: str,
        rest: list[str],
        query: Mapping[str, str],
        headers: Mapping[str, str],
        body: bytes,
        at: float,
        number: int,
    ) -> Said:
        """Answer a request for the list (``rest`` is empty) or for one of its records."""
        if not rest:
            if method == "GET":
                return self.page(query, at, number)
            if method == "POST":
                return self._create(sent_fields(body, query), at, number)
            if method == "PUT" and headers.get("x-upsert", "").lower() == "true":
                return self._upsert(headers, sent_fields(body, query), at, number)
            return said(405, 5, "Invalid URL Passed")
        record = self.records.get(rest[0])
        if record is None or record.died is not None:
            return said(404, 1002, f"{self.resource.single} does not exist.")
        if len(rest) == 3 and method == "POST" and rest[1] == "status":
            record.statuses.append((number, rest[2] if rest[2] in STATUSES else record.status))
            self._touch(record, at)
            return self._acted(said(200, 0, "success"), "status", record, at, number)
        if len(rest) > 1:
            return said(404, 5, "Invalid URL Passed")
        if method == "GET":
            return Said(200, self._single(record))
        if method == "PUT":
            record.fields |= sent_fields(body, query)
            self._touch(record, at)
            return self._acted(Said(200, self._single(record)), "update", record, at, number)
        if method == "DELETE":
            record.died = number
            self._changed()
            return self._acted(
                said(200, 0, "The record has been deleted."), "delete", record, at, number
            )
        return said(405, 5, "Invalid URL Passed")

    def _create(
        self, fields: dict[str, Any], at: float, number: int, *, repeatable: bool = False
    ) -> Said:
        if not fields:
            return said(400, 4, "Invalid value passed for JSONString")
        record = self._add(fields, self.wall(at), number)
        found = Said(201, self._single(record))
        return self._acted(found, "create", record, at, number, repeatable=repeatable)

    def _upsert(
        self, headers: Mapping[str, str], fields: dict[str, Any], at: float, number: int
    ) -> Said:
        name = headers.get("x-unique-identifier-key", "")
        value = headers.get("x-unique-identifier-value", "")
        for record in self.alive():
            if custom_value(record.fields, name) == value:
                record.fields |= fields
                self._touch(record, at)
                return self._acted(
                    Said(200, self._single(record)), "update", record, at, number, repeatable=True
                )
        return self._create(fields, at, number, repeatable=True)

    def _acted(
        self,
        answer: Said,
        kind: Literal["create", "update", "delete", "status"],
        record: Record,
        at: float,
        number: int,
        *,
        repeatable: bool = False,
    ) -> Said:
        name = str(record.fields.get(self.resource.name, ""))
        answer.written = Written(number, at, kind, self.resource.path, record.id, name, repeatable)
        answer.acted = True
        self.written.append(answer.written)
        return answer

    # -- pages ------------------------------------------------------------------------------------

    def page(self, query: Mapping[str, str], at: float, number: int) -> Said:
        manners, chance = self.manners, self._chance
        if manners.edits and chance.random() < manners.edits:
            self.edit(at, number)
        option = query.get("response_option", "")
        if option and manners.option == "refused":
            return said(400, 2, "Invalid value passed for response_option")
        asked = whole(query.get("page"), 1)
        size = min(whole(query.get("per_page"), manners.largest_page), manners.largest_page)
        found = self._view(query, 1 if "page" in manners.ignores else asked)
        begin = 0 if "page" in manners.ignores else (asked - 1) * size
        page = found[begin : begin + size]
        more = self._more(begin + size < len(found))
        total = self._total(len(found), option)
        if page and begin and manners.repeats and chance.random() < manners.repeats:
            page = [found[begin - 1], *page]
        if manners.empty and chance.random() < manners.empty:
            page = []
        is_bare = bool(manners.bare) and chance.random() < manners.bare
        if is_bare or (option == "2" and manners.option == "honored"):
            page = []
        listed = Listed(number, asked, tuple(one.id for one in page), total, dict(query))
        parts = [b'{"code":0,"message":"success"']
        if not is_bare and option != "2":
            rows = [one.row or self._row(one) for one in page]
            if manners.nameless:
                rows += [self._nameless()] * manners.nameless
            key = self.resource.key
            if manners.key == "_":  # the same but for an underscore
                key = f"{key[:3]}_{key[3:]}"
            elif manners.key:
                key = manners.key
            parts.append(f',"{key}":['.encode() + b",".join(rows) + b"]")
        if manners.context:
            context: dict[str, Any] = {"page": asked, "per_page": size}
            if manners.echoes:
                context |= self._applied(query, ignored="filters" in manners.ignores)
            context["has_more_page"] = more
            if total is not None:
                context |= {"total": total, "total_pages": -(-total // size)}
            parts.append(b',"page_context":' + json.dumps(context).encode())
        parts.append(b"}")
        return Said(200, b"".join(parts), listed=listed)

    def _more(self, honest: bool) -> bool:
        kind = self.manners.more
        if kind == "random":
            return self._chance.random() < 0.5
        return {"honest": honest, "always": True, "never": False}[kind]

    def _total(self, count: int, option: str) -> int | None:
        manners = self.manners
        asked = option != "" and manners.option == "honored"
        if manners.total == "none" or not (asked or manners.total == "unasked"):
            return None
        if manners.total == "too big":
            return count + self._chance.randint(1, 3)
        if manners.total == "too small":
            return max(0, count - self._chance.randint(1, 3))
        if manners.total == "changing":
            return count + self._chance.choice((0, 0, 1, 2))
        return count

    def _view(self, query: Mapping[str, str], page: int) -> list[Record]:
        """The list as asked for, in the order that page ``page`` is cut from."""
        manners = self.manners
        column = "" if "sort" in manners.ignores else query.get("sort_column", "")
        descending = query.get("sort_order", "A") == "D"
        filters = () if "filters" in manners.ignores else self._filters(query)
        key = (column, descending, *filters)
        view = self._views.get(key)
        if view is None:
            value, reverse = self._order(column, descending)
            kept = [one for one in self.alive() if all(_passes(one, *each) for each in filters)]
            kept.sort(key=value, reverse=reverse)
            view = self._views[key] = kept, _ties([value(one) for one in kept])
        found, ties = view
        if not ties or manners.ties == "steady" or (manners.ties == "flipped" and page > 1):
            return found
        moved = found.copy()
        for begin, end in ties:
            if manners.ties == "flipped":
                moved[begin:end] = moved[begin:end][::-1]
            else:
                cut = self._chance.randrange(begin, end)
                moved[begin:end] = moved[cut:end] + moved[begin:cut]
        return moved

    def _filters(self, query: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
        return _filters(query, self.resource.name)

    def _applied(self, query: Mapping[str, str], *, ignored: bool) -> dict[str, Any]:
        """What the page context says about filters."""
        context: dict[str, Any] = {
            "applied_filter": "Status.All" if ignored else query.get("filter_by", "Status.All")
        }
        filters = [(name, value) for name, value in self._filters(query) if name != "filter_by"]
        if filters and not ignored:
            context["search_criteria"] = [
                {"column_name": name, "search_text": value, "comparator": "equal"}
                for name, value in filters
            ]
        return context

    def _order(self, column: str, descending: bool) -> tuple[Callable[[Record], Any], bool]:
        if column == "last_modified_time":
            return (lambda one: int(one.modified)), descending
        if column in ("created_time", "date"):
            return (lambda one: int(one.created)), descending
        if column.endswith(("number", "name")):
            name = self.resource.name
            return (lambda one: str(one.fields.get(name, ""))), descending
        return (lambda one: int(one.created)), True

    # -- rows -------------------------------------------------------------------------------------

    def _row(self, record: Record) -> bytes:
        """The record's row, which shows fewer fields than the record."""
        hidden = ("notes", "custom_fields", "line_items", "contact_persons", "status")
        shown = {name: value for name, value in record.fields.items() if name not in hidden}
        record.row = json.dumps(self._head(record) | shown | self._times(record)).encode()
        return record.row

    def _head(self, record: Record) -> dict[str, Any]:
        head: dict[str, Any] = {self.resource.row_id: record.id, "status": record.status}
        for one in custom_fields(record.fields):
            head[str(one.get("api_name", ""))] = one.get("value", "")
        return head

    def _times(self, record: Record) -> dict[str, str]:
        if not self.manners.times:
            return {}
        return {
            "created_time": written_time(record.created, self._zone),
            "last_modified_time": written_time(record.modified, self._zone),
        }

    def _nameless(self) -> bytes:
        return json.dumps({self.resource.row_id: "", "status": "draft"}).encode()

    def _single(self, record: Record) -> bytes:
        full = record.fields | self._head(record) | self._times(record)
        noun = self.manners.noun or self.resource.single
        return json.dumps({"code": 0, "message": "success", noun: full}).encode()


def _ties(values: list[Any]) -> _Ties:
    """Where equal values follow each other, as begin and end."""
    found: _Ties = []
    begin = 0
    for place in range(1, len(values) + 1):
        if place == len(values) or values[place] != values[begin]:
            if place - begin > 1:
                found.append((begin, place))
            begin = place
    return found


def sent_fields(body: bytes, query: Mapping[str, str]) -> dict[str, Any]:
    """The fields in a request's body: JSON, or the form field ``JSONString``. {} if it has none."""
    text: str | bytes = body or query.get("JSONString", "")
    if body.startswith(b"JSONString="):
        text = dict(parse_qsl(body.decode())).get("JSONString", "")
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def custom_fields(fields: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The custom fields of a record that have a name."""
    found = cast("list[object]", fields.get("custom_fields") or [])
    named = [cast("dict[str, Any]", one) for one in found if isinstance(one, dict)]
    return [one for one in named if one.get("api_name")]


def custom_value(fields: Mapping[str, Any], name: str) -> str:
    """The value of a custom field, "" without it."""
    for one in custom_fields(fields):
        if one.get("api_name") == name:
            return str(one.get("value", ""))
    return str(fields.get(name, ""))


def whole(text: str | None, default: int) -> int:
    return max(1, int(text)) if text and text.isdecimal() else default


def written_time(moment: float, zone: timezone) -> str:
    """A moment as Zoho writes it, in whole seconds, rounded down."""
    return datetime.fromtimestamp(int(moment), zone).strftime("%Y-%m-%dT%H:%M:%S%z")


#: Filters besides the field that names a record. Zoho ignores what it does not know.
_FILTERS: Final = ("status", "filter_by", "last_modified_time", "reference_number", "email")


def _filters(query: Mapping[str, str], name: str) -> tuple[tuple[str, str], ...]:
    return tuple(
        (each, value)
        for each, value in query.items()
        if each in (*_FILTERS, name) or each.startswith(("date", "created_date"))
        if not (each == "filter_by" and value.endswith(".All"))
    )


def _passes(record: Record, name: str, value: str) -> bool:
    """Whether a record passes one filter. Unknown ones compare the field of their name."""
    if name in ("status", "filter_by"):
        return record.status == value.rpartition(".")[2].lower() or value == "all"
    if name == "last_modified_time":
        since = datetime.strptime(value, "%Y-%m-%dT%H:%M:%S%z").timestamp()
        return int(record.modified) >= since
    for prefix, moment in (("created_date", record.created), ("date", record.created)):
        if name.startswith(prefix):
            day = datetime.fromtimestamp(moment, UTC).date().isoformat()
            return {"_start": day >= value, "_end": day <= value}.get(
                name.removeprefix(prefix), day == value
            )
    return str(record.fields.get(name, "")) == value
