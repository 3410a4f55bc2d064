"""An adversarial list server, and the truth about its list.

Model: a list is a set of records, each alive from its birth to its death. The server has its own
clock, which moves only when a request arrives. Before each request is answered, a seeded adversary
may delete, insert and modify records. Then the list is sorted as asked; equal sort values come in
an order that the adversary chooses for each request; and the page is cut out of it.

`Manners` says what else the server does: which parameters it ignores, how it counts, which
witnesses lie. `ListServer.log` holds each answer with the ids that were alive at that moment, so
that an oracle can say which ids existed during a whole reading, and which existed at some time.

`ListServer.script` has edits before single pages: by the number of the list's answer, from 0.

A reader that asks for more than ``most_calls`` is stopped with an error and `exhausted` is set.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Literal

from tests.judges.raw_http import Reply, Request, Server, is_token_request, token_reply

#: The server's clock at its start: noon of a day in the past.
EPOCH = datetime(2026, 6, 9, 12, tzinfo=UTC).timestamp()

STATUSES = ("draft", "sent", "overdue", "paid", "void")


@dataclass(frozen=True)
class Resource:
    """A list of Zoho as its readers know it."""

    path: str = "/books/v3/invoices"
    key: str = "invoices"
    single: str = "invoice"
    row_id: str = "invoice_id"


INVOICES = Resource()
CONTACTS = Resource("/books/v3/contacts", "contacts", "contact", "contact_id")
ITEMS = Resource("/books/v3/items", "items", "item", "item_id")
ACCOUNTS = Resource(
    "/books/v3/chartofaccounts", "chartofaccounts", "chart_of_account", "account_id"
)
BANK = Resource(
    "/books/v3/banktransactions", "banktransactions", "banktransaction", "transaction_id"
)


@dataclass(frozen=True, kw_only=True)
class Manners:
    """How the server behaves; the defaults are an honest server.

    ``largest_page`` is the most rows on a page, whatever is asked. ``ties`` is the order of equal
    sort values: "steady" (by id), "flipped" (page 1 the other way round than later pages), or
    "shuffled" for each request. ``edits`` is the chance of an edit before each request, of the
    ``kinds``. ``seconds`` is how far the clock moves per request. ``skew`` is how far the ``Date``
    header is ahead of the clock that stamps records.

    ``total`` is "honest", "none" (never sent), "too big", "too small", or "changing" (each time
    right or too big). ``option`` says what ``response_option`` does: "honored", "ignored" (no
    total), "refused" (400), "always" (totals come unasked). ``more`` is what ``has_more_page`` is:
    "honest", "always" true, "never" true, or "random".

    ``hides`` are statuses that the list leaves out unless ``filter_by`` is a key of ``views``,
    which has the statuses that such a value shows. ``applied`` is the filter that the reply then
    names. Values in ``refuses`` get a 400. ``echoes`` says whether replies name the filters that
    they applied. With a moment, ``together`` is "both", "moment alone" (the value is ignored),
    "value alone", or "refused" (400). ``cancels_dates`` says that ``filter_by`` cancels dates.

    ``empty`` is the chance of a page without its rows and ``bare`` of a reply with neither rows nor
    their key. ``repeats`` is the chance that a page begins with the row before it. ``nameless``
    rows without an id are added to each page. ``key`` renames the envelope.
    """

    largest_page: int = 200
    ties: Literal["steady", "flipped", "shuffled"] = "steady"
    edits: float = 0.0
    kinds: tuple[Literal["delete", "insert", "modify"], ...] = ("delete", "insert", "modify")
    seconds: float = 1.0
    skew: float = 0.0
    total: Literal["honest", "none", "too big", "too small", "changing"] = "honest"
    option: Literal["honored", "ignored", "refused", "always"] = "honored"
    more: Literal["honest", "always", "never", "random"] = "honest"
    ignores_page: bool = False
    ignores_sort: bool = False
    ignores_filters: bool = False
    hides: tuple[str, ...] = ()
    applied: str = "Status.All"
    views: tuple[tuple[str, tuple[str, ...]], ...] = ()
    refuses: tuple[str, ...] = ()
    echoes: bool = True
    together: Literal["both", "moment alone", "value alone", "refused"] = "both"
    cancels_dates: bool = False
    empty: float = 0.0
    bare: float = 0.0
    repeats: float = 0.0
    nameless: int = 0
    times: bool = True
    key: str | None = None


@dataclass(frozen=True)
class Record:
    """A record of the truth; ``died`` stays None while it lives. Times are the server's."""

    id: str
    created: float
    modified: float
    status: str
    died: float | None = None


@dataclass(frozen=True)
class Answered:
    """One answer of the list: request, reply, and the ids that were alive then.

    ``shown`` are the ids of the whole list as it was asked for, filters applied. ``at`` is the
    server's time.
    """

    page: int
    query: dict[str, str]
    ids: tuple[str, ...]
    total: int | None
    alive: frozenset[str]
    shown: frozenset[str]
    at: float


def records(count: int, *, moments: int, before: float = 86_400.0) -> list[Record]:
    """``count`` records whose creation falls on ``moments`` different times before `EPOCH`."""
    made = []
    for number in range(count):
        at = EPOCH - before + (number * moments // max(1, count)) * 60.0
        made.append(Record(str(1000 + number), at, at, STATUSES[number % len(STATUSES)]))
    return made


@dataclass
class ListServer:
    """Serves one list with ``manners``. ``seed`` decides the moves of the adversary.

    ``manners`` and ``truth`` may be changed between readings. Use it as ``with ListServer(...)``.
    """

    truth: list[Record]
    manners: Manners = field(default_factory=Manners)
    seed: int = 0
    resource: Resource = INVOICES
    most_calls: int = 2000
    organization: str = "10234695"
    script: dict[int, tuple[Literal["delete", "insert", "modify"], int]] = field(
        default_factory=dict
    )

    def __post_init__(self) -> None:
        self.now = EPOCH
        self.calls = 0
        self.exhausted = False
        self.log: list[Answered] = []
        #: The parameters of every request for the list that arrived, refused ones too.
        self.arrived: list[dict[str, str]] = []
        self._random = random.Random(self.seed)
        self._next_id = 1 + max((int(one.id) for one in self.truth), default=1000)
        self._server = Server(self._answer)

    def __enter__(self) -> ListServer:
        self._server.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.__exit__()

    @property
    def url(self) -> str:
        return self._server.url

    def environment(self) -> dict[str, str]:
        """The environment variables that point a client here."""
        return {
            "ZOHO_CLIENT_ID": "1000.JUDGE",
            "ZOHO_CLIENT_SECRET": "secret",
            "ZOHO_REFRESH_TOKEN": "1000.refresh",
            "ZOHO_ORGANIZATION_ID": self.organization,
            "ZOHO_REGION": "us",
            "ZOHO_BASE_URL": self.url,
            "ZOHO_ACCOUNTS_URL": self.url,
        }

    # -- the oracle ---------------------------------------------------------------------------

    @property
    def mark(self) -> int:
        """This moment, for the questions below."""
        return len(self.log)

    def alive(self) -> frozenset[str]:
        """The ids that exist now."""
        return frozenset(one.id for one in self.truth if one.died is None)

    def throughout(self, since: int) -> frozenset[str]:
        """The ids that were alive at each answer since the mark. A reading must have all."""
        found = [one.alive for one in self.log[since:]] or [self.alive()]
        return frozenset.intersection(*found)

    def sometime(self, since: int) -> frozenset[str]:
        """The ids that were alive at some answer since the mark. A reading may have no others."""
        return frozenset().union(*(one.alive for one in self.log[since:]))

    def is_complete(self, ids: Iterable[str], since: int, *, shown: bool = False) -> bool:
        """Whether ``ids`` hold all that were alive at one moment since the mark.

        With ``shown``: all of the list as it was asked for, which a filter may narrow.
        """
        held = frozenset(ids)
        return any((one.shown if shown else one.alive) <= held for one in self.log[since:])

    def is_confirmed(self, lost: frozenset[str], since: int, *, apart: float) -> bool:
        """Whether two passes so far apart showed the same ids, and none of ``lost``."""
        passes: list[tuple[float, set[str]]] = []
        for one in self.log[since:]:
            if one.page == 1 or not passes:
                passes.append((one.at, set()))
            passes[-1][1].update(one.ids)
        return any(
            later - begun >= apart and ids == same and not ids & lost
            for begun, ids in passes
            for later, same in passes
        )

    # -- edits --------------------------------------------------------------------------------

    def insert(self, *, created: float | None = None) -> str:
        """A new record, created now unless ``created`` says when; its id."""
        at = self.now if created is None else created
        name, self._next_id = str(self._next_id), self._next_id + 1
        self.truth.append(Record(name, at, self.now, self._random.choice(STATUSES)))
        return name

    def delete(self, name: str) -> None:
        """End a record."""
        self._change(name, died=self.now)

    def modify(self, name: str) -> None:
        """Change a record: its modification time and status move."""
        place = next(at for at, one in enumerate(self.truth) if one.id == name)
        self.truth[place] = replace(
            self.truth[place], modified=self.now, status=self._random.choice(STATUSES)
        )

    def pass_time(self, seconds: float) -> None:
        """Let time pass between two requests."""
        self._server.call(lambda: setattr(self, "now", self.now + seconds))

    def _change(self, name: str, *, died: float) -> None:
        place = next(at for at, one in enumerate(self.truth) if one.id == name)
        self.truth[place] = replace(self.truth[place], died=died)

    def _edit(self) -> None:
        while self._random.random() < self.manners.edits:
            alive = sorted(self.alive())
            kind = self._random.choice(self.manners.kinds)
            if kind == "insert":
                self.insert()
            elif alive and kind == "delete":
                self.delete(self._random.choice(alive))
            elif alive:
                self.modify(self._random.choice(alive))

    def _follow_script(self, query: dict[str, str]) -> None:
        """Make the edit before this page, if any, to the record at its place in the list."""
        kind, place = self.script.pop(len(self.log), (None, 0))
        if kind == "insert":
            self.insert()
        elif kind is not None:
            found = self._sorted(self._filtered(query), query, 1)
            if not found:  # a view without records
                return
            (self.delete if kind == "delete" else self.modify)(found[place].id)

    # -- answers ------------------------------------------------------------------------------

    async def _answer(self, request: Request) -> Reply:
        if is_token_request(request):
            return token_reply()
        self.calls += 1
        self.now += self.manners.seconds
        if self.calls > self.most_calls:
            self.exhausted = True
            return self._said(400, {"code": 9, "message": "the judge has seen enough"})
        self._edit()
        if request.path == self.resource.path:
            self.arrived.append(dict(request.query))
            self._follow_script(request.query)
            return self._list(request.query)
        name = request.path.removeprefix(self.resource.path + "/")
        found = [one for one in self.truth if one.id == name and one.died is None]
        if not found:
            return self._said(404, {"code": 1002, "message": f"{name} does not exist."})
        return self._said(200, {"code": 0, self.resource.single: self._row(found[0])})

    def _said(self, status: int, body: dict[str, object]) -> Reply:
        return Reply(status, body, date=self.now + self.manners.skew)

    def _list(self, query: dict[str, str]) -> Reply:
        manners = self.manners
        option = query.get("response_option", "")
        if option and manners.option == "refused":
            message = "Invalid value passed for response_option"
            return self._said(400, {"code": 2, "message": message})
        value, moment = query.get("filter_by", ""), query.get("last_modified_time", "")
        if value in manners.refuses or (value and moment and manners.together == "refused"):
            return self._said(400, {"code": 2, "message": "Invalid value passed for filter_by"})
        query = self._kept(query)
        asked = _whole(query.get("page"))
        number = 1 if manners.ignores_page else asked
        size = min(_whole(query.get("per_page"), manners.largest_page), manners.largest_page)
        found = self._sorted(self._filtered(query), query, number)
        begin = (number - 1) * size
        page = found[begin : begin + size]
        if page and begin and self._random.random() < manners.repeats:
            page = [found[begin - 1], *page]
        if self._random.random() < manners.empty:
            page = []
        total = self._total(len(found), option)
        context: dict[str, object] = {"page": asked, "per_page": size}
        if manners.echoes:
            context |= self._applied(query)
        context["has_more_page"] = self._more(begin + size < len(found))
        if total is not None:
            context |= {"total": total, "total_pages": -(-total // size)}
        rows = [self._row(one) for one in page]
        rows += [{self.resource.row_id: "", "status": "draft"} for _ in range(manners.nameless)]
        body: dict[str, object] = {"code": 0, "message": "success"}
        if option == "2" and manners.option == "honored":
            page = []
        elif self._random.random() < manners.bare:
            page, context = [], {"total": total} if total is not None else {"page": asked}
        else:
            body[manners.key or self.resource.key] = rows
        body["page_context"] = context
        ids = tuple(one.id for one in page)
        shown = frozenset(one.id for one in found)
        self.log.append(Answered(asked, dict(query), ids, total, self.alive(), shown, self.now))
        return self._said(200, body)

    def _total(self, count: int, option: str) -> int | None:
        manners = self.manners
        asked = option != "" and manners.option == "honored"
        if manners.total == "none" or not (asked or manners.option == "always"):
            return None
        if manners.total == "too big":
            return count + self._random.randint(1, 3)
        if manners.total == "too small":
            return max(0, count - self._random.randint(1, 3))
        if manners.total == "changing":
            return count + self._random.choice((0, 0, 1, 2))
        return count

    def _more(self, honest: bool) -> bool:
        manners = self.manners
        if manners.more == "random":
            return self._random.random() < 0.5
        return {"honest": honest, "always": True, "never": False}[manners.more]

    def _kept(self, query: dict[str, str]) -> dict[str, str]:
        """The parameters that are not ignored."""
        manners = self.manners
        left_out = {"filter_by"} if manners.ignores_filters else set[str]()
        if "filter_by" in query and "last_modified_time" in query:
            ignored = {"moment alone": "filter_by", "value alone": "last_modified_time"}
            left_out |= {ignored.get(manners.together, "")}
        if manners.cancels_dates and "filter_by" in query:
            left_out |= {"date", "date_start", "date_end"}
        return {name: text for name, text in query.items() if name not in left_out}

    def _applied(self, query: dict[str, str]) -> dict[str, object]:
        """What the page context says about filters."""
        context: dict[str, object] = {
            "applied_filter": query.get("filter_by", self.manners.applied)
        }
        paging = ("page", "per_page", "sort_column", "sort_order", "response_option")
        filters = {
            name: text
            for name, text in query.items()
            if name not in (*paging, "filter_by", "organization_id")
        }
        if filters and not self.manners.ignores_filters:
            context["search_criteria"] = [
                {"column_name": name, "search_text": text, "comparator": "equal"}
                for name, text in filters.items()
            ]
        return context

    def _filtered(self, query: dict[str, str]) -> list[Record]:
        alive = [one for one in self.truth if one.died is None]
        if self.manners.ignores_filters:
            return alive
        value, views = query.get("filter_by", ""), dict(self.manners.views)
        status = query.get("status") or value.removeprefix("Status.").lower()
        if value in views:
            alive = [one for one in alive if one.status in views[value]]
            status = query.get("status", "")
        elif status in ("", "all"):
            alive = [one for one in alive if one.status not in self.manners.hides]
        if status and status != "all":
            alive = [one for one in alive if one.status == status]
        since = query.get("last_modified_time")
        if since:
            low = datetime.strptime(since, "%Y-%m-%dT%H:%M:%S%z").timestamp()
            alive = [one for one in alive if one.modified >= low]
        for prefix in ("date", "created_date"):
            exact = query.get(prefix, "")
            low_day, high_day = (
                query.get(f"{prefix}_start", exact),
                query.get(f"{prefix}_end", exact),
            )
            if low_day:
                alive = [one for one in alive if _day(one.created) >= low_day]
            if high_day:
                alive = [one for one in alive if _day(one.created) <= high_day]
        return alive

    def _sorted(self, found: list[Record], query: dict[str, str], number: int) -> list[Record]:
        manners = self.manners
        column = "" if manners.ignores_sort else query.get("sort_column", "")
        descending = query.get("sort_order", "A") == "D"
        ordered = sorted(found, key=lambda one: int(one.id))
        if manners.ties == "shuffled":
            self._random.shuffle(ordered)
        elif manners.ties == "flipped" and number == 1:
            ordered.reverse()
        if column == "last_modified_time":
            return sorted(ordered, key=lambda one: one.modified, reverse=descending)
        if column in ("created_time", "date"):
            return sorted(ordered, key=lambda one: one.created, reverse=descending)
        if column.endswith(("number", "name")):
            return sorted(ordered, key=lambda one: int(one.id), reverse=descending)
        return sorted(ordered, key=lambda one: one.created, reverse=True)

    def _row(self, one: Record) -> dict[str, object]:
        row: dict[str, object] = {
            self.resource.row_id: one.id,
            "status": one.status,
            "date": _day(one.created),
            "total": 1.0,
        }
        name = self.resource.single
        row[f"{name}_name" if name != "invoice" else "invoice_number"] = f"INV-{one.id}"
        if self.manners.times:
            row["created_time"] = _written(one.created)
            row["last_modified_time"] = _written(one.modified)
        return row


def _whole(text: str | None, default: int = 1) -> int:
    return max(1, int(text)) if text and text.isdecimal() else default


def _day(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).date().isoformat()


def _written(moment: float) -> str:
    """Format a moment as Zoho does, in whole seconds, rounded down."""
    return datetime.fromtimestamp(int(moment), UTC).strftime("%Y-%m-%dT%H:%M:%S+0000")
