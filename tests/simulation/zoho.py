"""The simulated Zoho: a pure function of its requests, its assumptions and one seed.

Model: requests arrive in the order of time, and each takes effect when it arrives. `Zoho.arrive`
counts it (`quotas`), checks its token (`accounts`), lets the books answer (`books`), and may spoil
the answer, as its `Assumptions` say. The answer leaves ``after`` seconds later. Nothing here waits,
reads a clock or draws from another source than ``seed``.

`Zoho.log` has one `Arrival` per API request, numbered from 1. The judges read it and the books.
Their truth is what happened here, never what the answer said.
"""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Final
from urllib.parse import parse_qsl

from tests.simulation.accounts import Accounts
from tests.simulation.assumptions import Assumptions, Manners, ServerFault
from tests.simulation.books import RESOURCES, Book, Listed, Said, Written, said
from tests.simulation.quotas import Organization
from tests.simulation.wire import Answer, Request

#: Hours from UTC by which the times of rows are written.
HOURS: Final = 1


@dataclass(slots=True)
class Arrival:
    """One API request that reached Zoho, and what became of it. ``until``: its answer left.

    ``refused`` is "block", "day", "in_flight", "token" or "organization", ``fault`` the kind of the
    server's failure. ``acted``: it changed something. ``code`` is the one that the answer says.
    """

    number: int
    at: float
    worker: str
    organization: str
    product: str
    method: str
    path: str
    status: int = 0
    code: int = 0
    refused: str = ""
    fault: str = ""
    acted: bool = False
    until: float = 0.0
    retry_after: float | None = None
    listed: Listed | None = None
    written: Written | None = None
    copied: bool = False

    def __str__(self) -> str:
        found = f"{self.method} /{self.product}/{self.path} -> {self.status}"
        if self.listed is not None:
            found += f", page {self.listed.page} of {len(self.listed.ids)} rows"
        if self.written is not None:
            found += f", {self.written.kind} {self.written.record}"
        for word in (self.refused and f"refused: {self.refused}", self.fault):
            found += f", {word}" if word else ""
        return found


@dataclass
class Zoho:
    """The service behind accounts.zoho.* and www.zohoapis.*.

    ``start`` is the wall clock when the virtual one is 0. ``organizations`` are the ids that the
    account may use; the first is meant by requests that name none, if it is the only one.
    """

    assumptions: Assumptions
    seed: int
    start: float = 1_800_000_000.0
    organizations: tuple[str, ...] = ("10234695",)
    log: list[Arrival] = field(default_factory=list[Arrival])
    #: How often each assumption departed from honesty, for coverage and figures.
    departures: dict[str, int] = field(default_factory=dict[str, int])

    def __post_init__(self) -> None:
        self._chance = random.Random(f"zoho {self.seed}")
        self.accounts = Accounts(self.assumptions.tokens, random.Random(f"accounts {self.seed}"))
        self.quotas = {
            name: Organization(
                self.assumptions.quotas,
                self.assumptions.crowd,
                random.Random(f"crowd {self.seed} {name}"),
                self.start,
            )
            for name in self.organizations
        }
        self._books: dict[tuple[str, str], Book] = {}
        self._ids = 460_000_000_000_000_000
        self._date: tuple[int, str] = (0, "")

    # -- what workloads and judges use ------------------------------------------------------------

    @property
    def mark(self) -> int:
        """The number of API requests so far."""
        return len(self.log)

    def wall(self, at: float) -> float:
        """The wall clock that stamps records at a virtual moment."""
        return self.start + at

    def book(self, path: str, organization: str = "") -> Book:
        """The records of a list, such as "contacts"."""
        name = organization or self.organizations[0]
        found = self._books.get((name, path))
        if found is None:
            found = self._books[name, path] = Book(
                RESOURCES[path],
                self.assumptions.lists,
                random.Random(f"books {self.seed} {name} {path}"),
                self.wall,
                self._identity,
                HOURS,
            )
        return found

    def change_lists(self, manners: Manners) -> None:
        """Let all lists behave otherwise from now on."""
        for book in self._books.values():
            book.manners = manners

    # -- the service ------------------------------------------------------------------------------

    def arrive(self, request: Request) -> Answer:
        """Answer a request. It takes effect now, and its answer leaves later."""
        if request.host.startswith("accounts.") or request.path.startswith("/oauth/"):
            return self._grant(request)
        product, rest = _parts(request.path)
        query = dict(parse_qsl(request.query, keep_blank_values=True))
        name = _organization(request.headers, query) or self._default()
        seen = Arrival(
            len(self.log) + 1,
            request.at,
            request.worker,
            name,
            product,
            request.method,
            "/".join(rest),
            copied=request.copied,
        )
        self.log.append(seen)
        organization = self.quotas.get(name)
        after = self._latency()
        found = self._refusal(request, seen, organization)
        if found is None:
            fault = self._fault(request.method)
            if fault is not None:
                after += fault.seconds
            if fault is None or fault.moment == "after":
                found = self._work(request, query, seen, rest)
            else:
                found = said(200, 0, "success")
            if fault is not None:
                self._spoil(found, seen, fault)
        seen.status, seen.code, seen.acted = found.status, found.code, found.acted
        seen.listed, seen.written = found.listed, found.written
        seen.until = request.at + after
        headers = {"Content-Type": "application/json;charset=UTF-8"} | self._date_header(request.at)
        if organization is not None:
            if seen.refused not in ("block", "day", "in_flight"):
                organization.keep_open(seen.until)
            headers |= organization.headers(request.at, product)
        return Answer(seen.status, headers | found.headers, found.body, after)

    def _refusal(
        self, request: Request, seen: Arrival, organization: Organization | None
    ) -> Said | None:
        """Count a request, and say why it is refused, if it is."""
        if organization is None:
            seen.refused = "organization"
            return said(400, 6041, "This user is not associated with the CompanyID.")
        refused = organization.arrive(request.at, seen.product, copied=request.copied)
        if refused:
            seen.refused = refused
            quotas = organization.quotas
            code = organization.code(refused)
            self._depart(f"refused {refused}")
            shown: int | str = str(code) if quotas.as_text else code
            body = json.dumps({"code": shown, "message": "For security reasons, ..."}).encode()
            answer = Said(quotas.status, body, code)
            wait = organization.retry_after(request.at, refused)
            if wait is not None:
                seen.retry_after = float(wait)
                answer.headers["Retry-After"] = wait
            return answer
        if not self.accounts.is_valid(request.headers.get("authorization", ""), request.at):
            rules = self.assumptions.tokens
            seen.refused = "token"
            self._depart("token refused")
            return said(
                rules.status, rules.code, "You are not authorized to perform this operation"
            )
        return None

    def _work(
        self, request: Request, query: dict[str, str], seen: Arrival, rest: list[str]
    ) -> Said:
        if rest == ["organizations"]:
            return self._list_organizations()
        book = self.book(rest[0], seen.organization) if rest and rest[0] in RESOURCES else None
        if book is None:
            return said(404, 5, "Invalid URL Passed")
        return book.answer(
            request.method,
            rest[1:],
            query,
            request.headers,
            request.body,
            request.at,
            seen.number,
        )

    def _list_organizations(self) -> Said:
        rows = [
            {
                "organization_id": name,
                "name": f"Organization {name}",
                "time_zone": self.assumptions.quotas.zone,
                "is_default_org": name == self.organizations[0],
            }
            for name in self.organizations
        ]
        body = {"code": 0, "message": "success", "organizations": rows}
        return Said(200, json.dumps(body).encode())

    # -- failures ---------------------------------------------------------------------------------

    def _fault(self, method: str) -> ServerFault | None:
        for fault in self.assumptions.faults:
            if self._chance.random() < fault.chance:
                return fault if (fault.reads if method == "GET" else fault.writes) else None
        return None

    def _spoil(self, answer: Said, seen: Arrival, fault: ServerFault) -> None:
        """Replace an answer by what a failing server sends."""
        seen.fault = f"{fault.kind} {fault.moment}"
        self._depart(f"fault {fault.kind} {fault.moment}")
        page = b"<html><head><title>Error</title></head><body>Error</body></html>"
        match fault.kind:
            case "html":
                _replace(answer, fault.status, page, "text/html;charset=UTF-8")
            case "json":
                body = json.dumps({"code": 1000, "message": "Internal Error"}).encode()
                _replace(answer, fault.status, body)
                answer.code = 1000
            case "code":
                body = json.dumps({"code": 1000, "message": "Not now"}).encode()
                _replace(answer, 400, body)
                answer.code = 1000
            case "empty":
                _replace(answer, 200, b"")
            case "cut":
                _replace(answer, 200, answer.body[: len(answer.body) // 2])
            case "page":
                _replace(answer, 200, page, "text/html;charset=UTF-8")
            case "redirect":
                _replace(answer, 302, b"")
                answer.headers["Location"] = "https://www.zohoapis.com/elsewhere"
            case "garbled":
                _replace(answer, 200, b"\x1f\x8b" + gzip.compress(answer.body)[10:30])
                answer.headers["Content-Encoding"] = "gzip"
            case "silent":
                pass

    # -- small things -----------------------------------------------------------------------------

    def _default(self) -> str:
        return self.organizations[0] if len(self.organizations) == 1 else ""

    def _identity(self) -> str:
        self._ids += 1
        return str(self._ids)

    def _latency(self) -> float:
        low, high = self.assumptions.latency
        if self.assumptions.slow and self._chance.random() < self.assumptions.slow:
            self._depart("slow")
            high = self.assumptions.slowest
        return self._chance.uniform(low, high)

    def _date_header(self, at: float) -> dict[str, str]:
        manners = self.assumptions.lists
        if not manners.dates:
            return {}
        second = int(self.start + at + manners.skew)
        if self._date[0] != second:
            self._date = (second, formatdate(second, usegmt=True))
        return {"Date": self._date[1]}

    def _depart(self, what: str) -> None:
        self.departures[what] = self.departures.get(what, 0) + 1

    def _grant(self, request: Request) -> Answer:
        form = dict(parse_qsl(request.query + "&" + request.body.decode("utf-8", "replace")))
        status, body = self.accounts.answer(request.path, form, request.at)
        headers = {"Content-Type": "application/json" if body[:1] == b"{" else "text/html"}
        return Answer(status, headers, body, self._latency())


def _replace(answer: Said, status: int, body: bytes, kind: str = "") -> None:
    answer.status, answer.body, answer.code = status, body, 0
    if kind:
        answer.headers["Content-Type"] = kind


def _parts(path: str) -> tuple[str, list[str]]:
    """The product of a path, and its segments after the version."""
    segments = path.strip("/").split("/")
    return segments[0], segments[2:]


def _organization(headers: Mapping[str, str], query: Mapping[str, str]) -> str:
    for name in ("subscriptions", "invoice"):
        found = headers.get(f"x-com-zoho-{name}-organizationid")
        if found:
            return found
    return query.get("organization_id", "")
