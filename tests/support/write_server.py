"""A Zoho of a few contacts in memory, with a session's methods, that crashes where it is asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, cast

from zoho_async.errors import AmbiguousWrite, InvalidRequest, NotFound, Request
from zoho_async.importer import WriteJournal
from zoho_async.limits import Limits
from zoho_async.session import Session

Fate = Literal["done", "refused", "lost_before", "lost_after", "crash_before", "crash_after"]


class Crash(BaseException):
    """The process ends here."""


@dataclass
class PassingClock:
    """Time passes only while the program sleeps."""

    now: float = 1_800_000_000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class WriteServer:
    """Contacts by id. ``fates`` say what happens to the next creates; after them all is well.

    ``pages_of`` is the most rows of a page of the list, which shows the newest contacts first
    unless it ``ignores_order``. ``crash_at`` names a step of the journal, and whether the process
    ends after or before it.
    """

    clock: PassingClock
    contacts: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    fates: list[Fate] = field(default_factory=list[Fate])
    crashed: bool = False
    crash_at: tuple[int, bool] | None = None
    pages_of: int = 200
    ignores_order: bool = False
    limits: Limits = field(default_factory=Limits)

    @property
    def session(self) -> Session:
        return cast(Session, self)

    def with_options(self, **options: Any) -> WriteServer:
        if (budget := options.get("budget")) is not None:
            self._budget = budget
        return self

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, object] | None = None,
        body: Any = None,
        headers: Mapping[str, object] | None = None,
        product: str = "books",
    ) -> Any:
        if self.crashed:
            raise Crash
        if method == "POST":
            self._budget.spend()
            return self._create(body)
        if path == "/contacts":
            rows = [
                {name: value for name, value in one.items() if name != "notes"}
                for one in reversed(self.contacts.values())
            ]
            if self.ignores_order:
                rows.reverse()
            start = (cast(int, (query or {}).get("page", 1)) - 1) * self.pages_of
            page = {"has_more_page": start + self.pages_of < len(rows)}
            return {"contacts": rows[start : start + self.pages_of], "page_context": page}
        found = self.contacts.get(path.rpartition("/")[2])
        if found is None:
            raise NotFound(Request(method, path), 404, 1002, "Contact does not exist.")
        return {"contact": found}

    def _create(self, body: Any) -> Any:
        request = Request("POST", "/contacts")
        fate = self.fates.pop(0) if self.fates else "done"
        if fate == "refused":
            raise InvalidRequest(request, 400, 15, "Please ensure that it is right.")
        if fate == "crash_before":
            self.crashed = True
            raise Crash
        if fate == "lost_before":
            raise AmbiguousWrite(request, "it is not known whether it took effect")
        number = str(1000 + len(self.contacts))
        made = datetime.fromtimestamp(self.clock.now, UTC).strftime("%Y-%m-%dT%H:%M:%S+0000")
        self.contacts[number] = {**body, "contact_id": number, "created_time": made}
        if fate == "crash_after":
            self.crashed = True
            raise Crash
        if fate == "lost_after":
            raise AmbiguousWrite(request, "it is not known whether it took effect")
        return {"code": 0, "contact": self.contacts[number]}


def crash_at_step(journal: WriteJournal, server: WriteServer) -> None:
    """Let the process end before or after the step of ``journal`` that ``crash_at`` names."""
    assert server.crash_at is not None
    (number, after), server.crash_at = server.crash_at, None
    update = journal._update
    steps = 0

    def crashing(number_of_write: int, values: dict[str, object]) -> None:
        nonlocal steps
        steps += 1
        if server.crashed or (steps == number and not after):
            server.crashed = True
            raise Crash
        update(number_of_write, values)
        if steps == number:
            server.crashed = True
            raise Crash

    journal._update = crashing  # type: ignore[method-assign, assignment]
