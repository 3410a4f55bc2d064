"""Call the lists, records and reports that are reads. Each page is one API call."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

import msgspec

from zoho_async.description import OperationFacts
from zoho_async.errors import ConfigurationError
from zoho_async.export.catalog import list_operation
from zoho_async.export.report_catalog import all_reports, report_named
from zoho_async.integrations.mcp.allowed import (
    access_of,
    check_query,
    check_required,
    filled_path,
    operation_named,
)
from zoho_async.integrations.mcp.pages import Rows, shown
from zoho_async.paging import Pager
from zoho_async.reports import (
    Basis,
    PeriodLength,
    ReportOperation,
    ReportOptions,
    ReportTree,
    report_rows,
    report_tree,
)
from zoho_async.session import Session
from zoho_async.wire import Record
from zoho_async.wire.text import is_object

#: The keys of an envelope that are not its value.
_ENVELOPE: Final = frozenset({"code", "message", "page_context", "instrumentation"})


class Read(msgspec.Struct, frozen=True, kw_only=True):
    """A read: the operation, the ids of its path, parameters, and the fields to keep."""

    operation: str
    ids: tuple[str, ...] = ()
    query: Mapping[str, str] = {}
    fields: tuple[str, ...] = ()


async def read(zoho: Session, wanted: Read) -> Rows:
    """Make a read. Raises `ConfigurationError` before any call, and the errors of calls."""
    facts = operation_named(wanted.operation)
    if access_of(facts) != "read":
        raise ConfigurationError(
            f"{facts.name} is not a read: use propose, and a person approves it"
        )
    if facts.name in _reports():
        raise ConfigurationError(
            f"{facts.name} is a report: use the tool report, which checks its period"
        )
    path = filled_path(facts, wanted.ids)
    check_query(facts, wanted.query)
    check_required(facts, wanted.query)
    if facts.answer == "list":
        return await _page(zoho, facts, wanted, int(wanted.query.get("page", "1") or "1"))
    reply = await zoho.request("GET", path, query=wanted.query, product=facts.product)
    value = _value(reply, facts.key)
    head = _without(wanted.fields, [value])
    return Rows(rows=[shown(value, wanted.fields)], head=head)


def _reports() -> set[str]:
    return {operation.name for operation in all_reports().values()}


def _value(reply: Any, key: str) -> Any:
    """The value in an envelope: under ``key``, or all of it."""
    if not is_object(reply):
        return reply
    if key and key in reply:
        return reply[key]
    return {name: value for name, value in reply.items() if name not in _ENVELOPE}


async def _page(zoho: Session, facts: OperationFacts, wanted: Read, number: int) -> Rows:
    operation = list_operation(facts)
    query: dict[str, object] = dict(wanted.query)
    if facts.paged:
        query["page"] = number
    page = await Pager(zoho, operation, ids=wanted.ids, query=query)
    rows = [_raw(row) for row in page.rows]
    return Rows(
        rows=[shown(row, wanted.fields) for row in rows],
        head=_without(wanted.fields, rows),
        more=partial(_page, zoho, facts, wanted, number + 1) if page.has_more else None,
    )


def _without(fields: Sequence[str], rows: Sequence[Any]) -> dict[str, Any]:
    """What to show with rows of which none has some of the wanted ``fields``."""
    known = {name for row in rows if is_object(row) for name in row}
    missing = [name for name in fields if known and name not in known]
    return {"no_such_fields": missing} if missing else {}


def _raw(row: Record) -> Any:
    """The row as Zoho sent it: `Record` has no fields, so all of them are extra."""
    return row.extra


# -- reports ------------------------------------------------------------------------------------


class ReportWanted(msgspec.Struct, frozen=True, kw_only=True):
    """A report with its period."""

    name: str
    from_date: dt.date | None = None
    to_date: dt.date | None = None
    by: PeriodLength | None = None
    basis: Basis | None = None
    query: Mapping[str, str] = {}


def report_list() -> Rows:
    """Return the names of all reports. Makes no API call."""
    rows = [
        {"report": name, "title": one.title, "dates": one.dates, "sections": one.tree}
        for name, one in all_reports().items()
    ]
    return Rows(rows=rows)


async def report(zoho: Session, wanted: ReportWanted) -> Rows:
    """Run a report. Raises `ConfigurationError` before any call, and the errors of calls."""
    operation = report_named(wanted.name)
    check_query(operation_named(operation.name), wanted.query)
    options = ReportOptions(from_date=wanted.from_date, to_date=wanted.to_date, basis=wanted.basis)
    try:
        if operation.tree:
            tree = await report_tree(zoho, operation, options, wanted.query, periods=wanted.by)
            return _sections(tree)
        if wanted.by is not None:
            raise ConfigurationError(f"{wanted.name} has rows, not sections: leave out by")
        return await _report_page(zoho, operation, options, wanted, 1)
    except ValueError as wrong:
        raise ConfigurationError(str(wrong)) from None


async def _report_page(
    zoho: Session,
    operation: ReportOperation[Any],
    options: ReportOptions,
    wanted: ReportWanted,
    number: int,
) -> Rows:
    query: dict[str, object | None] = dict(wanted.query)
    if operation.paged:
        query["page"] = number
    raw = msgspec.structs.replace(operation, row=Record)
    page = await report_rows(zoho, raw, options, query)
    again = partial(_report_page, zoho, operation, options, wanted, number + 1)
    return Rows(rows=[shown(_raw(row)) for row in page.rows], more=again if page.has_more else None)


def _sections(tree: ReportTree) -> Rows:
    """A row per section and account, with a total per period."""
    head = {"report": tree.name, "periods": [str(period) for period in tree.periods]}
    rows: Sequence[Any] = [
        {
            "path": list(line.path),
            "totals": [shown(total) for total in line.section.totals],
            **({"account_id": line.section.account_id} if line.section.account_id else {}),
        }
        for line in tree.lines()
    ]
    return Rows(rows=rows, head=head)
