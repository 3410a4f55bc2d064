"""The tables: each is a function of a `Run` that returns a `report.Table`.

``--only`` chooses from `SUITES`. A new table is one line here.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Final, TypeAlias

import msgspec

from benchmarks.report import Table
from benchmarks.server import Served


class Run(msgspec.Struct, frozen=True):
    """What suites are given: the server, and whether a look is enough."""

    server: Served
    quick: bool = False

    def either(self, full: int, quick: int) -> int:
        """``full``, or ``quick`` where a look is enough."""
        return quick if self.quick else full


Suite: TypeAlias = Callable[[Run], Table]


class Entry(msgspec.Struct, frozen=True):
    """Where a suite is, what it says, and about how many seconds the full one takes."""

    where: str
    says: str
    seconds: int

    def load(self) -> Suite:
        module, _, name = self.where.partition(":")
        found: Suite = getattr(importlib.import_module(f"benchmarks.suites.{module}"), name)
        return found


SUITES: Final[dict[str, Entry]] = {
    "page": Entry("replies:page", "a page of 200 invoices, from the socket to records", 30),
    "into": Entry("replies:into", "the same page as a struct of eight fields", 15),
    "drift": Entry("replies:drift", "the same page with a field that does not fit in each row", 6),
    "lines": Entry("replies:lines", "the same page as lines of a file", 30),
    "calls": Entry("replies:calls", "one small call, ten at a time", 15),
    "slot": Entry("overhead:free", "a slot of the limits that is free", 5),
    "waiting": Entry("overhead:waiting", "a slot with 1,000 to 100,000 calls waiting", 25),
    "tenants": Entry("overhead:tenants", "10,000 organizations, 100,000 calls waiting", 40),
    "imports": Entry("overhead:imports", "what importing costs", 20),
    "growth": Entry("replies:growth", "the cost of a row in lists of a thousand to a million", 90),
    "destinations": Entry("destinations:destinations", "a million rows into each destination", 450),
    "organizations": Entry(
        "organizations:organizations", "200 organizations exported in one process", 80
    ),
    "sandbox": Entry("organizations:sandbox", "how soon the sandbox answers", 15),
    "pace": Entry("rate:pace", "how long the limits make 100 calls take, by simulation", 2),
    "day": Entry("rate:day", "a day of 10,000 calls: 50 bulk callers and people", 30),
    "others": Entry("others:others", "other clients in the same organization, by simulation", 40),
    "limiters": Entry("rate:limiters", "1,000 calls by three limiters at the same server", 75),
    "rows": Entry("rate:rows", "20,000 rows under Zoho's real limits", 75),
}
