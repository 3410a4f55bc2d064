"""Reports: what makes an observed operation one, and the functions for them.

The parameters and replies of reports are in ``spec/`` like those of other operations. What they
cannot say is in ``reports.toml``, a table per report, named as in Zoho's path:

``name``
    The function: Zoho's path, split into words. ``title`` is its name in words if that differs.
``tree``, ``value``
    The report has sections, or is a single object; otherwise it has rows.
``groups``, ``other_keys``, ``row_id``
    As in `zoho_async.reports.ReportOperation`.
``dates``
    ``day`` for a report as of one day whose parameters suggest a range.
``note``, ``unknown``
    A sentence about its numbers, and one about what is not known.

A function of a report takes what all reports understand (`_COMMON`) and its own parameters. It ends
in `zoho_async.reports`, which compares the reply with the request.
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from zoho_async.codegen.spec import CallSpec, Node, Source

if TYPE_CHECKING:
    from zoho_async.codegen.functions import Function
    from zoho_async.codegen.structs import Family

FILE: Final = Path(__file__).parent / "reports.toml"
_PATH: Final = "/reports/"

#: Parameters that are arguments of all reports, or that only the web application needs.
_COMMON: Final = frozenset(
    {"from_date", "to_date", "filter_by", "cash_based", "report_basis", "show_rows", "rule"}
)
_OF_THE_WEB: Final = frozenset(
    {
        *("usestate", "is_new_flow", "is_response_new_flow", "is_new_group_by", "formatneeded"),
        *("is_ytd_compare_column", "include_all_columns", "is_for_date_range", "accept"),
        *("date", "report_date", "show_details", "page", "per_page", "response_option"),
    }
)


class ReportFacts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One table of ``reports.toml``."""

    name: str
    title: str = ""
    tree: bool = False
    value: bool = False
    dates: Literal["", "day"] = ""
    groups: tuple[str, ...] = ()
    other_keys: tuple[str, ...] = ()
    row_id: str = ""
    note: str = ""
    unknown: str = ""

    @property
    def words(self) -> str:
        return self.title or self.name.replace("_", " ").capitalize()


@functools.cache
def known() -> dict[str, ReportFacts]:
    """Every report of the table, by the last part of its path."""
    tables = tomllib.loads(FILE.read_text(encoding="utf-8"))
    return msgspec.convert(tables, dict[str, ReportFacts])


def report_of(source: Source, call: CallSpec) -> ReportFacts | None:
    """The table of an observed report, None for other calls. Raises `LookupError` without one."""
    if source.resource != "reports" or not call.evidence:
        return None
    name = call.path.removeprefix(_PATH)
    if name not in known():
        raise LookupError(f"the report {name!r} has no table in reports.toml")
    return known()[name]


def shape_reports(functions: Iterable[Function], replies: Family) -> None:
    """Give each report the struct of its rows, without the groups around them."""
    for function in functions:
        report = function.report
        if report is None:
            continue
        parameters = {node.name for node in function.call.query}
        function.paged = "page" in parameters and not (report.tree or report.value)
        function.totals = function.totals and function.paged
        function.row_id, function.order = report.row_id, ""
        function.query = [each for each in function.query if each.name not in _COMMON | _OF_THE_WEB]
        outer = replies.shapes.get(function.result)
        if report.tree:
            function.result = "ReportNode"
        elif outer is None or not function.key:
            function.result = "ReportRow"
        elif not report.value:
            function.result = _row_in(outer.name, report, replies)


def _row_in(name: str, report: ReportFacts, replies: Family) -> str:
    """The struct of the rows in a group, under the name of the group's struct."""
    outer = replies.shapes[name]
    held = (outer.members[each].struct for each in report.groups if each in outer.members)
    inner = replies.shapes.get(next(held, ""))
    if inner is None:
        return name
    del replies.shapes[inner.name]
    replies.shapes[name] = inner
    inner.name, inner.base, inner.called = name, "Record", ()
    return name


def described_rows(function: Function) -> tuple[Node, ...]:
    """The described fields of a function's rows: those inside the groups of a report."""
    report = function.report
    for node in function.reply if report else ():
        inner = function.reply_objects.get((node.items or node).object, ())
        if report and node.name in report.groups and inner:
            return inner
    return function.reply


def filter_of(call: CallSpec) -> tuple[str, str]:
    """The field of the date filter and what follows the period: ``PaymentDate``, ``,Type.All``."""
    for node in call.query:
        if node.name == "filter_by" and node.allowed:
            field, _, rest = node.allowed[-1].partition(".")
            first = node.allowed[0].partition(".")[0]
            _, comma, suffix = rest.partition(",")
            return (first or field), comma + suffix
    return "", ""


def dates_of(call: CallSpec, report: ReportFacts) -> str:
    """Whether a report takes a range of dates, one day, or none."""
    parameters = {node.name for node in call.query}
    if report.dates:
        return report.dates
    if "from_date" in parameters:
        return "range"
    return "day" if "to_date" in parameters else "none"


def takes(call: CallSpec, name: str) -> bool:
    """Whether a report has the parameter ``name``."""
    return any(node.name == name for node in call.query)
