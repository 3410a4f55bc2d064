"""The tables: each a function of a `Run` that returns a `report.Table`.

`SUITES` is what ``--only`` chooses from. A new table is one line here.
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
    "page": Entry("over_http:page", "a page of 200 invoices, from the socket to records", 30),
    "drift": Entry(
        "over_http:drift", "the same page with a field that does not fit in each row", 6
    ),
    "lines": Entry("over_http:lines", "the same page as lines of a file", 30),
    "calls": Entry("over_http:calls", "one small call, ten at a time", 15),
    "slot": Entry("slots:free", "a slot of the limits that is free", 5),
    "waiting": Entry("slots:waiting", "a slot with 1,000 to 100,000 calls waiting", 25),
    "tenants": Entry("tenants:tenants", "10,000 organizations, 100,000 calls waiting", 40),
    "imports": Entry("imports:imports", "what importing costs", 20),
    "growth": Entry("growth:growth", "the cost of a row, from a thousand to a million of them", 90),
    "destinations": Entry("destinations:destinations", "a million rows into each destination", 450),
    "pace": Entry("simulated:pace", "how long the limits make 100 calls take, by simulation", 2),
    "day": Entry("simulated:day", "a day of 10,000 calls: 50 bulk callers and people", 30),
    "limiters": Entry("limiters:limiters", "1,000 calls by three limiters at the same server", 75),
    "rows": Entry("limiters:rows", "20,000 rows under Zoho's real limits", 75),
}
