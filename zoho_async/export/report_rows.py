"""The rows of a report's table, and their keys.

Model
-----
A row is a line of a report in one period. Its key is ``PERIOD/LINE``. The first part is that of all
rows of the period: the calendar period or the days, the basis, a digest of the filters. The second
part is a digest of what identifies the line within its report:

- In a report with sections: the account, or the name of a section, and the same of each section
  around it. Equal names within one section are numbered.
- In a list: the id of the row. Rows without an id are identified by their content, and equal rows
  are numbered.

Invariant
---------
Keys within a period are unique. If the same report is read again, an unchanged line has the same
key. A changed amount of an account changes the row of its key; in a list whose rows have no id, the
new content is another row.

Unknown
-------
Names of sections are in the organization's language. If that changes, sections get new keys in the
periods that are read again; accounts keep theirs only if the sections around them do.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

import msgspec

from zoho_async.export.report_catalog import COMMON, LINE_ID
from zoho_async.reports import Period, PeriodLength, ReportOptions, Section
from zoho_async.reports.periods import calendar_start
from zoho_async.wire import encode
from zoho_async.wire.text import is_blank, untyped_object

_COMMON_NAMES = frozenset(field.name for field in COMMON)


class TablePeriod(msgspec.Struct, frozen=True, kw_only=True):
    """A period of a table: the arguments of its call, and the ``length`` that divides the dates."""

    options: ReportOptions
    query: Mapping[str, str]
    length: PeriodLength | None = None

    @property
    def days(self) -> Period:
        return Period(self.options.from_date, self.options.to_date)

    @property
    def last(self) -> dt.date:
        assert self.options.to_date is not None, "checked before"
        return self.options.to_date

    @property
    def filters(self) -> str:
        """The filters as the text of a query string, sorted."""
        return urlencode(sorted(self.query.items()))

    @property
    def key(self) -> str:
        """The common part of the keys of the rows.

        An incomplete calendar period has the key of the whole one, so that one replaces the other.
        """
        if self.length is not None:
            days = f"{self.length}-{calendar_start(self.last, self.length)}"
        else:
            days = f"{self.options.from_date or 'day'}-{self.last}"
        parts = [days, self.options.basis or "default"]
        if self.query:
            parts.append(_digest(self.filters))
        return "-".join(parts)


def tree_rows(
    sections: Iterable[Section], period: TablePeriod, basis: str | None
) -> dict[str, bytes]:
    """Return the rows of a report with sections, by their keys, in Zoho's order."""
    common = _common(period, basis)
    rows: dict[str, bytes] = {}
    for position, line in enumerate(_lines(sections, (), ()), 1):
        section = line.section
        (amounts,) = section.amounts
        key = f"{period.key}/{_digest(line.key)}"
        rows[key] = encode(
            {
                LINE_ID: key,
                **common,
                "position": position,
                "depth": len(line.key),
                "is_leaf": not section.sections,
                "path": " / ".join(line.path),
                "name": section.name,
                "account_id": section.account_id or None,
                "account_code": section.account_code or None,
                "account_type": section.account_type or None,
                "total": amounts.total,
                "debit": amounts.debit,
                "credit": amounts.credit,
            }
        )
    return rows


def list_rows(
    rows: Iterable[bytes], row_id: str, period: TablePeriod, basis: str | None
) -> dict[str, bytes]:
    """Return the rows of a report that is a list, by their keys. ``row_id`` names their id."""
    common = _common(period, basis)
    found: dict[str, bytes] = {}
    for row in rows:
        fields = untyped_object(row)
        own = {name: value for name, value in fields.items() if name not in _COMMON_NAMES}
        identity = fields.get(row_id) if row_id else None
        if not is_blank(identity):
            key = f"{period.key}/{_digest(['id', str(identity)])}"
        else:
            number = 0
            while (key := f"{period.key}/{_digest([fields, number])}") in found:
                number += 1
        found[key] = encode({LINE_ID: key, **common, **own})
    return found


class _Line(msgspec.Struct, frozen=True):
    """A section with the names and with the keys from the top of the report down to it."""

    section: Section
    path: tuple[str, ...]
    key: tuple[tuple[str, str, int], ...]


def _lines(
    sections: Iterable[Section], path: tuple[str, ...], key: tuple[tuple[str, str, int], ...]
) -> Iterator[_Line]:
    numbers: dict[tuple[str, str], int] = {}
    for section in sections:
        identity = section.account_id, "" if section.account_id else section.name
        numbers[identity] = number = numbers.get(identity, -1) + 1
        own_path = (*path, section.name) if section.name else path
        own_key = (*key, (*identity, number))
        yield _Line(section, own_path, own_key)
        yield from _lines(section.sections, own_path, own_key)


def _common(period: TablePeriod, basis: str | None) -> dict[str, Any]:
    return {
        "period_from": period.options.from_date,
        "period_to": period.options.to_date,
        "period_length": period.length,
        "basis": period.options.basis or basis,
        "filters": period.filters or None,
    }


def _digest(value: object) -> str:
    return hashlib.blake2b(encode(value), digest_size=16).hexdigest()
