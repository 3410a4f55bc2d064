"""The parameters of a report, and what its ``page_context`` repeats of them.

Seen live: dates count only with ``filter_by=<Field>.CustomDate``, where the field is that of the
report. Otherwise they are ignored, and the report's own default period applies.

Assumed: a filter with another report's field, or with an unknown period, is ignored in the same
way; weeks begin on Sunday and fiscal years in January.
"""

from __future__ import annotations

import calendar
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any, Final, Literal, TypeAlias

import msgspec

from zoho_async.sandbox.data.values import is_list, is_object
from zoho_async.sandbox.replies import invalid

Default: TypeAlias = Literal["ThisMonth", "Today", ""]
_MOST_ROWS: Final = 500
_USUAL_ROWS: Final = 200
_REPEATED: Final = ("select_columns", "group_by", "rule")


class ReportRules(msgspec.Struct, frozen=True):
    """What a report does with its parameters.

    ``fields`` are the fields of its date filter. ``default`` is its period without one.
    ``as_of`` says that it shows balances at the end of the period. ``paged`` says that it has pages
    of at most ``most`` rows.
    """

    key: str
    fields: tuple[str, ...] = ("TransactionDate",)
    default: Default = "ThisMonth"
    as_of: bool = False
    paged: bool = True
    name: str = ""
    most: int = _MOST_ROWS


class PagedValue(msgspec.Struct, frozen=True):
    """The value of a report that has a page of its rows inside, and the count of all rows."""

    value: Any
    count: int


class ReportQuestion(msgspec.Struct, frozen=True):
    """The parameters of one call: the days, the basis, the accounts and the page.

    ``first`` is "" if there is no first day. ``applied`` is the caller's filter, or "" if the
    report's own period applies.
    """

    rules: ReportRules
    first: str
    last: str
    applied: str
    cash: bool
    all_rows: bool
    accounts: frozenset[str] | None
    page: int
    per_page: int
    with_totals: bool
    repeated: Mapping[str, Any]

    def context(self, count: int) -> dict[str, Any]:
        """The page context of a reply that has ``count`` rows on all pages."""
        own: dict[str, Any] = {
            "report_basis": "Cash" if self.cash else "Accrual",
            "cash_based": "true" if self.cash else "false",
            "applied_filter": self.applied or _default_filter(self.rules),
            "show_rows": "all" if self.all_rows else "non_zero",
        }
        if self.first:
            own |= {"from_date": self.first, "to_date": self.last}
        elif self.rules.fields:
            own["as_of_date"] = self.last
        if self.rules.paged:
            own |= {"page": self.page, "per_page": self.per_page}
            own["has_more_page"] = self.page * self.per_page < count
            own |= {"report_name": self.rules.name} if self.rules.name else {}
            if self.with_totals:
                own |= {"total": count, "total_pages": -(-count // self.per_page)}
        return {**own, **self.repeated}

    def page_of(self, rows: Sequence[Any]) -> Sequence[Any]:
        """The rows of the page, or all rows if the report has no pages."""
        if not self.rules.paged:
            return rows
        return rows[(self.page - 1) * self.per_page : self.page * self.per_page]


def question_of(rules: ReportRules, params: Mapping[str, str], today: str) -> ReportQuestion:
    """Read the parameters of a call. Raises `ApiRefusal` for a wrong date or page.

    ``today`` is the day of the call in the organization.
    """
    now = date.fromisoformat(today)
    applied, period = "", _period(rules.default, now)
    for word in params.get("filter_by", "").split(","):
        field, _, name = word.partition(".")
        known = _custom(params, today) if name == "CustomDate" else _named(name, now)
        if field in rules.fields and known is not None:
            applied, period = params["filter_by"], known
    return ReportQuestion(
        rules=rules,
        first="" if rules.as_of else period[0],
        last=period[1],
        applied=applied,
        cash=params.get("cash_based", "").lower() == "true",
        all_rows=params.get("show_rows") == "all",
        accounts=_accounts(params.get("rule", "")),
        page=_number(params, "page", 1),
        per_page=min(_number(params, "per_page", _USUAL_ROWS), rules.most),
        with_totals=params.get("response_option") == "1",
        repeated={
            name: value for name in _REPEATED if (value := _json(params.get(name, ""))) is not None
        },
    )


def _default_filter(rules: ReportRules) -> str:
    return f"{rules.fields[0]}.{rules.default}" if rules.fields and rules.default else ""


def _custom(params: Mapping[str, str], today: str) -> tuple[str, str]:
    for name in ("from_date", "to_date"):
        try:
            date.fromisoformat(params.get(name) or "1970-01-01")
        except ValueError:
            raise invalid(name) from None
    return params.get("from_date", ""), params.get("to_date") or today


def _period(default: Default, now: date) -> tuple[str, str]:
    found = _named(default, now)
    return ("", str(now)) if found is None or default == "Today" else found


def _named(word: str, now: date) -> tuple[str, str] | None:
    """The first and last day of a named period, or None for an unknown name."""
    spans = {
        "Day": (now, now),
        "Week": _week(now),
        "Month": _months(now, now.month, 1),
        "Quarter": _months(now, (now.month - 1) // 3 * 3 + 1, 3),
        "Year": _months(now, 1, 12),
    }
    if word == "Today":
        return str(now), str(now)
    for unit, (first, last) in spans.items():
        if word == f"This{unit}" and unit != "Day":
            return str(first), str(last)
        if word == f"Previous{unit}":
            return _named(f"This{unit}" if unit != "Day" else "Today", first - timedelta(days=1))
    return None


def _week(now: date) -> tuple[date, date]:
    first = now - timedelta(days=now.isoweekday() % 7)
    return first, first + timedelta(days=6)


def _months(now: date, first: int, count: int) -> tuple[date, date]:
    last = first + count - 1
    return date(now.year, first, 1), date(now.year, last, calendar.monthrange(now.year, last)[1])


def _number(params: Mapping[str, str], name: str, usual: int) -> int:
    text = params.get(name) or str(usual)
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise invalid(name)
    return int(text)


def _json(text: str) -> Any:
    try:
        return msgspec.json.decode(text) if text else None
    except msgspec.DecodeError:
        return None


def _accounts(text: str) -> frozenset[str] | None:
    """The accounts that a rule names, or None if it names none."""
    rule = _json(text)
    columns: Any = rule.get("columns") if is_object(rule) else None
    for column in columns if is_list(columns) else []:
        if is_object(column) and column.get("field") == "account_id":
            value: Any = column.get("value")
            values: list[Any] = value if is_list(value) else [value]
            return frozenset(str(each) for each in values)
    return None
