"""A hostile list server in memory, and an oracle that knows each record that ever existed.

Equal sort values come in another order with every page. Before each page the list is edited as the
test says. Counts, the page asked for, and filters may be wrong or ignored.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any, Literal, TypeAlias, TypeVar

import msgspec

from tests.support.snapshots import idle_snapshot
from zoho_async import Limits
from zoho_async.errors import InvalidRequest, NotFound, Request
from zoho_async.http.transport import Answer
from zoho_async.limits import Snapshot
from zoho_async.operation import ListOperation
from zoho_async.wire import Decoder

T = TypeVar("T")

Ties: TypeAlias = Literal["steady", "flipped", "shuffled"]
Count: TypeAlias = Literal["right", "none", "refused", "high", "low", "wild"]


class Manners(msgspec.Struct, frozen=True, kw_only=True):
    """The behavior of the server, honest by default."""

    ties: Ties = "steady"
    count: Count = "right"
    ignores_page: bool = False
    always_more: bool = False
    random_more: bool = False
    nameless: int = 0
    empty: float = 0.0
    times: bool = True
    per_page: int = 3
    edits: tuple[str, ...] = ()


class Adversary:
    """The part of a session that exports and pagers use, over one list."""

    organization = "1"
    api_url = "https://host/books/v3"
    rate = 100.0
    limits = Limits(limit=6000, burst=10)

    def __init__(
        self, row_id: str, manners: Manners, *, seed: int = 0, strict: bool = False
    ) -> None:
        self.row_id = row_id
        self.manners = manners
        self.chance = random.Random(seed)
        self.decoder = Decoder(strict=strict)
        self.now = 1_700_000_000.0
        self.rows: dict[int, tuple[float, float]] = {}  # created, modified
        self.pages: list[tuple[int, Mapping[str, object]]] = []
        self.there: list[set[int]] = []  # at each page
        self.calls = 0
        self.bare = False
        self.waited = False  # for the second of two passes
        self.day_limit: int | None = None
        self.next_id = 100
        self.edits = iter(manners.edits)

    # -- the clock ----------------------------------------------------------------------------

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.waited = True

    # -- the list -----------------------------------------------------------------------------

    def add(self, count: int, *, moments: int) -> None:
        """Add rows whose creation times fall on ``moments`` different seconds."""
        for place in range(count):
            if place % max(1, -(-count // moments)) == 0:
                self.now += 1
            self.rows[self.next_id] = self.now, self.now
            self.next_id += 1

    def rest(self) -> None:
        self.now += 10_000

    def _edit(self, what: str) -> None:
        ids = list(self.rows)
        if what == "insert":
            self.add(1, moments=1)
        elif ids:
            one = ids[self.chance.randrange(len(ids))]
            if what == "delete":
                del self.rows[one]
            elif what == "modify":
                self.rows[one] = self.rows[one][0], self.now

    # -- the session --------------------------------------------------------------------------

    def with_options(self, **_: object) -> Adversary:
        return self

    async def snapshot(self) -> Snapshot:
        return idle_snapshot(day_limit=self.day_limit)

    def start(self, work: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
        return asyncio.get_running_loop().create_task(work, name=name)

    def observe(self, event: object) -> None:
        pass

    async def fetch_page(
        self,
        operation: ListOperation[Any],
        read: Callable[[bytes], T],
        *,
        ids: Sequence[str | int] = (),
        query: Mapping[str, object] | None = None,
    ) -> tuple[Answer, T]:
        self.calls += 1
        assert self.calls < 2_000, "the reader does not end"
        self._edit(next(self.edits, ""))
        self.now += 1
        headers = {"date": formatdate(self.now, usegmt=True)}
        if ids:
            return self._single(operation, read, int(ids[0]), headers)
        asked = dict(query or {})
        if self.manners.count == "refused" and "response_option" in asked:
            raise InvalidRequest(Request("GET", operation.path, "1"), 400, 2, "response_option")
        self.there.append(set(self.rows))
        self.pages.append((int(str(asked.get("page", 1))), asked))
        body = self._page(operation.key, asked)
        return Answer(200, headers, body), read(body)

    def _single(
        self,
        operation: ListOperation[Any],
        read: Callable[[bytes], T],
        one: int,
        headers: Mapping[str, str],
    ) -> tuple[Answer, T]:
        if one not in self.rows:
            raise NotFound(Request("GET", operation.path, "1"), 404, 1002, "no such record")
        body = msgspec.json.encode({"code": 0, operation.key: self._row(one)})
        return Answer(200, headers, body), read(body)

    def _page(self, key: str, asked: Mapping[str, object]) -> bytes:
        page = 1 if self.manners.ignores_page else int(str(asked.get("page", 1)))
        size = self.manners.per_page
        ids = self._in_order(asked, page)
        shown = ids[(page - 1) * size : page * size]
        more = page * size < len(ids) or self.manners.always_more
        if self.manners.random_more:
            more = self.chance.random() < 0.5
        if self.chance.random() < self.manners.empty:
            shown = []
        context: dict[str, object] = {"page": page, "per_page": size, "has_more_page": more}
        total = self._total(len(ids))
        if asked.get("response_option") and total is not None:
            context["total"] = total
        reply: dict[str, object] = {"code": 0, "page_context": context}
        if self.bare:
            context["has_more_page"] = False
        else:
            blank = [{self.row_id: "", "invoice_number": ""}] * self.manners.nameless
            reply[key] = [*(self._row(one) for one in shown), *blank]
        return msgspec.json.encode(reply)

    def _total(self, rows: int) -> int | None:
        count = self.manners.count
        if count in ("none", "refused"):
            return None
        wrong = {"high": 2, "low": -1, "wild": self.chance.randrange(-2, 3)}.get(count, 0)
        return max(0, rows + wrong)

    def _in_order(self, asked: Mapping[str, object], page: int) -> list[int]:
        ids = sorted(self.rows)
        since = asked.get("last_modified_time")
        if since is not None:
            bound = datetime.fromisoformat(str(since)).timestamp()
            ids = [one for one in ids if int(self.rows[one][1]) >= bound]
        if self.manners.ties == "shuffled":
            self.chance.shuffle(ids)
        elif self.manners.ties == "flipped" and page > 1:
            ids.reverse()
        column = asked.get("sort_column")
        if column == "created_time":
            ids.sort(key=lambda one: int(self.rows[one][0]))
        elif column == "last_modified_time":
            ids.sort(key=lambda one: int(self.rows[one][1]), reverse=True)
        elif column is not None:
            ids.sort()
        return ids

    def _row(self, one: int) -> dict[str, object]:
        row: dict[str, object] = {self.row_id: str(one), "invoice_number": f"INV-{one}"}
        if self.manners.times:
            created, modified = self.rows[one]
            row |= {"created_time": _text(created), "last_modified_time": _text(modified)}
        return row


def _text(moment: float) -> str:
    return datetime.fromtimestamp(int(moment), UTC).strftime("%Y-%m-%dT%H:%M:%S+0000")
