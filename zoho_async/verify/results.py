"""The result of a verification: checks, each with its verdict."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Final, Literal, TypeAlias

import msgspec

from zoho_async.reports import Period

Verdict: TypeAlias = Literal["agrees", "differs", "not comparable"]
#: What is compared: with the trial balance, with the aging of receivables and payables, with the
#: totals of the lists, with the inventory summary, and with the export's own record index.
#: ``apart`` are amounts that no report of Zoho shows alone.
Subject: TypeAlias = Literal[
    "accounts", "receivables", "payables", "counts", "stock", "rows", "apart"
]
#: The day before all transactions. Zoho's trial balance takes it as the start of all books.
BEGINNING: Final = dt.date(1970, 1, 1)

#: Exit codes of ``zoho-async verify``.
AGREES: Final = 0
DIFFERS: Final = 5
NOTHING_COMPARED: Final = 6


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """A record whose row in the mirror is not what Zoho has. ``id`` is the record's."""

    id: str
    record: str
    mirror: str
    zoho: str


def period_text(period: Period | None) -> str:
    """A period for people; one that begins before all transactions has its last day only."""
    if period is None:
        return ""
    return f"until {period.last}" if period.first == BEGINNING else str(period)


def number(value: Decimal) -> str:
    """An amount with all its digits, at least two after the point."""
    exponent = value.as_tuple().exponent
    return f"{value:,f}" if isinstance(exponent, int) and exponent < -2 else f"{value:,.2f}"


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """One number of the mirror next to Zoho's.

    ``name`` is the account, the contact, the list or the item, and ``unit`` the currency, or what
    is counted. ``reason`` explains a verdict other than agrees. ``differences`` are the records
    that differ, ``set_apart`` those that cannot be compared, because they changed after the export
    read them.
    """

    subject: Subject
    name: str
    unit: str
    verdict: Verdict
    period: Period | None = None
    mirror: Decimal | None = None
    zoho: Decimal | None = None
    reason: str = ""
    differences: tuple[Difference, ...] = ()
    set_apart: tuple[str, ...] = ()


class ReportSource(msgspec.Struct, frozen=True, kw_only=True):
    """A report that was read twice. ``moved`` says that it changed in between."""

    title: str
    name: str
    period: Period
    basis: str = ""
    moved: bool = False


class TableSource(msgspec.Struct, frozen=True, kw_only=True):
    """A table of the mirror: its number of rows and the SHA-256 of the ``fields`` that were read.

    ``read_at`` is the time from which on changes in Zoho may be missing.
    """

    resource: str
    rows: int
    digest: str
    fields: tuple[str, ...]
    read_at: dt.datetime


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """The result of `zoho_async.verify.verify`.

    ``not_compared`` has a sentence for each subject that was not compared, with the reason.
    ``calls`` were made.
    """

    mirror: str
    organization: str
    organization_name: str
    base_currency: str
    time: dt.datetime
    tables: tuple[TableSource, ...]
    reports: tuple[ReportSource, ...]
    checks: tuple[Comparison, ...]
    not_compared: tuple[str, ...] = ()
    calls: int = 0

    @property
    def differing(self) -> tuple[Comparison, ...]:
        """The checks that differ."""
        return tuple(each for each in self.checks if each.verdict == "differs")

    @property
    def verdict(self) -> Verdict:
        """Differs if any check does; agrees if all that could be compared with Zoho do."""
        if self.differing:
            return "differs"
        found = {each.verdict for each in self.checks if each.subject != "rows"}
        return "agrees" if "agrees" in found else "not comparable"

    @property
    def exit_code(self) -> int:
        """0 if the mirror agrees, 5 if it differs, 6 if nothing could be compared with Zoho."""
        codes = {"agrees": AGREES, "differs": DIFFERS, "not comparable": NOTHING_COMPARED}
        return codes[self.verdict]
