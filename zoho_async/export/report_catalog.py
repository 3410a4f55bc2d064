"""Which reports there are, what a name means, and the columns of their tables.

A table has a row per line of a report and per period. Its first columns are the same for each
report: the key of the row and what it is part of. A report with sections has the columns of a line;
any other has the described fields of its rows.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from zoho_async import description
from zoho_async.description import Field, OperationFacts
from zoho_async.errors import ConfigurationError
from zoho_async.reports import ReportOperation

_SUGGESTED: Final = 3

#: The key of a row among all rows of the table.
LINE_ID: Final = "line_id"
#: The columns that each table has.
COMMON: Final = (
    Field(name=LINE_ID, kind="id"),
    Field(name="period_from", kind="date"),
    Field(name="period_to", kind="date"),
    Field(name="period_length", kind="text"),
    Field(name="basis", kind="text"),
    Field(name="filters", kind="text"),
)
#: The columns of a line of a report with sections.
LINE: Final = (
    Field(name="position", kind="integer"),
    Field(name="depth", kind="integer"),
    Field(name="is_leaf", kind="boolean"),
    Field(name="path", kind="text"),
    Field(name="name", kind="text"),
    Field(name="account_id", kind="id"),
    Field(name="account_code", kind="text"),
    Field(name="account_type", kind="text"),
    Field(name="total", kind="decimal"),
    Field(name="debit", kind="decimal"),
    Field(name="credit", kind="decimal"),
)


# -- names --------------------------------------------------------------------------------------


@functools.cache
def all_reports() -> Mapping[str, ReportOperation[Any]]:
    """Return every report by the name that the command takes: ``profit-and-loss``.

    A report that only Inventory has needs no ``inventory.`` either.
    """
    from zoho_async.books.reports import REPORTS as BOOKS
    from zoho_async.inventory.reports import REPORTS as INVENTORY

    books = {_dashed(name): operation for name, operation in BOOKS.items()}
    inventory = {_dashed(name): operation for name, operation in INVENTORY.items()}
    return books | {
        name if name not in books else f"inventory.{name}": operation
        for name, operation in inventory.items()
    }


def _dashed(name: str) -> str:
    return name.replace("_", "-")


def report_named(name: str) -> ReportOperation[Any]:
    """Return the report called ``name``. Raises `ConfigurationError` with similar names."""
    known = all_reports()
    wanted = _dashed(name.strip().lower()).removeprefix("books.")
    for each in (wanted, wanted.removeprefix("inventory.")):
        if each in known and (each == wanted or known[each].product.name == "inventory"):
            return known[each]
    near = difflib.get_close_matches(wanted, known, n=_SUGGESTED)
    words = [each for each in known if wanted and wanted in each][:_SUGGESTED]
    similar = list(dict.fromkeys([*near, *words]))
    advice = f"did you mean {', '.join(similar)}?" if similar else "run `zoho-async report`"
    raise ConfigurationError(f"no report is called {name!r}; {advice}")


# -- tables -------------------------------------------------------------------------------------


def table_facts(name: str) -> OperationFacts | None:
    """Return the description of a report's table rows; None if ``name`` is no report.

    ``name`` is that of the operation: ``books.reports.profit_and_loss``.
    """
    if name.split(".")[1:2] != ["reports"]:
        return None
    found = (operation for operation in all_reports().values() if operation.name == name)
    operation = next(found, None)
    return None if operation is None else facts_of(operation)


def facts_of(operation: ReportOperation[Any]) -> OperationFacts:
    """Return the description of the rows of a report's table."""
    fields = LINE if operation.tree else _row_fields(operation)
    common = {field.name for field in COMMON}
    return OperationFacts(
        name=f"{operation.name}.list",
        method="GET",
        path=operation.path,
        answer="list",
        key=operation.key,
        row_id=LINE_ID,
        reply=(*COMMON, *(field for field in fields if field.name not in common)),
    )


def _row_fields(operation: ReportOperation[Any]) -> Iterable[Field]:
    """Return the described fields of a row. They may be inside groups, which are left out."""
    described = {facts.name: facts for facts in description.reads(operation.product.name)}
    fields = _without_groups(described[operation.name].reply, operation.groups)
    return {field.name: field for field in reversed([*fields])}.values().__reversed__()


def _without_groups(fields: Iterable[Field], groups: tuple[str, ...]) -> Iterator[Field]:
    inner = [field for field in fields if field.name in groups and field.fields]
    yield from (field for field in fields if field not in inner)
    for field in inner:
        yield from _without_groups(field.fields, groups)
