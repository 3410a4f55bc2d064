"""Reports: profit and loss, balance sheet, ledgers, aging, sales and stock.

The generated functions of ``zoho.books.reports`` and ``zoho.inventory.reports`` end here. Every
reply is compared with its request (`request`). A report with sections is a `ReportTree`, any other
a `Pager` of rows.
"""

from zoho_async.reports.periods import Period, PeriodLength
from zoho_async.reports.reading import ReportRow, report_rows, report_tree, report_value
from zoho_async.reports.request import (
    Basis,
    NamedPeriod,
    ReportOperation,
    ReportOptions,
    ShowRows,
)
from zoho_async.reports.tree import (
    Amounts,
    NodeAmounts,
    ReportLine,
    ReportNode,
    ReportTree,
    Section,
)

__all__ = [
    "Amounts",
    "Basis",
    "NamedPeriod",
    "NodeAmounts",
    "Period",
    "PeriodLength",
    "ReportLine",
    "ReportNode",
    "ReportOperation",
    "ReportOptions",
    "ReportRow",
    "ReportTree",
    "Section",
    "ShowRows",
    "report_rows",
    "report_tree",
    "report_value",
]
