"""Write the functions of reports (see `reports`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from zoho_async.codegen import docstrings
from zoho_async.codegen.facts import Facts
from zoho_async.codegen.functions import Function
from zoho_async.codegen.lines import called, docstring, mapping, quoted
from zoho_async.codegen.reports import ReportFacts, dates_of, filter_of, takes

_NONE: Final[list[str]] = []
_JSON_TEXTS: Final = ("group_by", "select_columns")
_ABOUT: Final = {
    "zoho": "The session that sends the call.",
    "from_date": "First day of the report.",
    "to_date": "Last day of the report.",
    "period": "A period relative to today in the organization's time zone, instead of dates.",
    "periods": "Read one report per month, quarter or year of the dates, and join them. Makes one "
    "call per period.",
    "basis": "Accounting basis. By default the organization's.",
    "show_rows": "Whether accounts without an amount are rows.",
    "rule": "Filter in Zoho's form; its reply must repeat it.",
    "select_columns": "Columns, each with ``field`` and ``group``. By default Zoho's.",
    "group_by": "Grouping, each with ``field`` and ``group``. By default Zoho's.",
    "page": "Number of the page, from 1.",
    "per_page": "Number of rows per page.",
    "allow_unconfirmed": "Accept a reply that does not repeat its period, basis or rule.",
    "extra_query": "Further query parameters, by Zoho's names.",
}


def report_constant(function: Function, row: str, used: set[str]) -> list[str]:
    """The `ReportOperation` of a report."""
    report = _facts(function)
    used |= {"ReportOperation", function.product.upper()}
    field, suffix = filter_of(function.call)
    dates = dates_of(function.call, report)
    facts = [
        ("name", quoted(function.full_name)),
        ("product", function.product.upper()),
        ("path", quoted(function.path)),
        ("row", row),
        ("key", quoted(function.key or "rows")),
        ("row_id", quoted(function.row_id)),
        ("scope", quoted(function.scope)),
        ("paged", str(function.paged)),
        ("totals", str(function.totals)),
        ("title", quoted(report.words)),
        ("dates", quoted(dates)),
        ("date_filter", quoted(field)),
        ("filter_suffix", quoted(suffix)),
        ("other_keys", _texts(report.other_keys)),
        ("groups", _texts(report.groups)),
        ("tree", str(report.tree)),
        ("confidence", quoted(function.call.confidence)),
        ("unknown", quoted(report.unknown)),
    ]
    defaults = {"row_id": '""', "paged": "True", "totals": "False", "tree": "False"}
    defaults |= {"dates": '"range"', "date_filter": '""', "filter_suffix": '""'}
    defaults |= {"other_keys": "()", "groups": "()", "unknown": '""'}
    arguments = [(f"{key}={value}", _NONE) for key, value in facts if defaults.get(key) != value]
    return called(f"_{function.name.upper()} = ReportOperation", arguments, "")


def report_function(
    function: Function,
    row: str,
    keywords: Callable[[Function], list[str]],
    facts: Facts,
    used: set[str],
) -> list[str]:
    """The function of a report. ``keywords`` are the signature's parts for its own parameters."""
    report = _facts(function)
    options = _options(function, report)
    own = [part for part in keywords(function) if part.partition(":")[0] not in _JSON_TEXTS]
    columns = [
        f"{each.argument}: Sequence[Mapping[str, str]] | None = None"
        for each in function.query
        if each.name in _JSON_TEXTS
    ]
    paging = [f"{name}: int | None = None" for name in ("page", "per_page") if function.paged]
    parts = [
        *("zoho: Session", "*"),
        *(f"{name}: {type_} = {default}" for name, type_, default in options),
        *(["periods: PeriodLength | None = None"] if report.tree else []),
        *own,
        *columns,
        *paging,
        "allow_unconfirmed: bool = False",
        "extra_query: Mapping[str, object] | None = None",
    ]
    used |= {"Session", "Mapping", "ReportOptions"}
    used |= {word for _, type_, _ in options for word in type_.replace("dt.date", "dt.").split()}
    used |= {"Sequence"} if columns else set()
    used |= {"PeriodLength"} if report.tree else set()
    return [
        *_signature(function, row, report, parts, used),
        *_docstring(function, report, parts, facts),
        *_body(function, report, [name for name, _, _ in options], used),
    ]


def _facts(function: Function) -> ReportFacts:
    if function.report is None:
        raise LookupError(f"{function.full_name} is no report")
    return function.report


def _options(function: Function, report: ReportFacts) -> list[tuple[str, str, str]]:
    """The arguments of `ReportOptions` that a report takes: name, type and default."""
    dates = dates_of(function.call, report)
    date = "dt.date | None"
    options: list[tuple[str, str, str]] = []
    if dates == "range" or (dates == "day" and report.tree):
        options.append(("from_date", date, "None"))
    if dates != "none":
        options.append(("to_date", date, "None"))
    if filter_of(function.call)[0]:
        options.append(("period", "NamedPeriod | None", "None"))
    if takes(function.call, "cash_based"):
        options.append(("basis", "Basis | None", "None"))
    if takes(function.call, "show_rows"):
        options.append(("show_rows", "ShowRows | None", "None"))
    if takes(function.call, "rule"):
        options.append(("rule", "Mapping[str, object] | None", "None"))
    return options


def _signature(
    function: Function, row: str, report: ReportFacts, parts: list[str], used: set[str]
) -> list[str]:
    keyword, result = "def", f"Pager[{row}]"
    if report.tree:
        keyword, result = "async def", "ReportTree"
        used |= {"ReportTree", "report_tree"}
    elif report.value:
        keyword, result = "async def", row
        used.add("report_value")
    else:
        used |= {"Pager", "report_rows"}
    return called(
        f"{keyword} {function.name}", [(part, _NONE) for part in parts], "", f") -> {result}:"
    )


def _docstring(
    function: Function, report: ReportFacts, parts: list[str], facts: Facts
) -> list[str]:
    texts = docstrings.of_arguments(function, facts, []) | _ABOUT
    if dates_of(function.call, report) == "day":
        texts["to_date"] = "Day of the report."
        texts["from_date"] = "First day of the periods; only with ``periods``."
    names = [part.partition(":")[0] for part in parts if part != "*"]
    text = docstrings.of_report(function, report.words, report.note, report.unknown)
    return docstring(text, "    ", [(name, texts[name]) for name in names])


def _body(
    function: Function, report: ReportFacts, options: Iterable[str], used: set[str]
) -> list[str]:
    given = [(f"{name}={name}", _NONE) for name in [*sorted(options), "allow_unconfirmed"]]
    pairs = [(each.name, each.argument) for each in function.query]
    pairs += [(name, name) for name in ("page", "per_page") if function.paged]
    query, many = mapping(pairs, "extra_query") if pairs else ("extra_query or {}", _NONE)
    arguments = [
        ("zoho", _NONE),
        (f"_{function.name.upper()}", _NONE),
        ("options", _NONE),
        (query, many),
    ]
    call = "report_rows"
    if report.tree:
        call, arguments = "await report_tree", [*arguments, ("periods=periods", _NONE)]
    elif report.value:
        call = "await report_value"
    return [
        *called("options = ReportOptions", given, "    "),
        *called(f"return {call}", arguments, "    "),
    ]


def reports_table(functions: Iterable[Function], used: set[str]) -> list[str]:
    """The mapping of all reports of a module by name."""
    used |= {"Any", "Final", "Mapping"}
    entries = [f"    {quoted(each.name)}: _{each.name.upper()}," for each in functions]
    about = "#: Every report, by the name of its function."
    return [about, "REPORTS: Final[Mapping[str, ReportOperation[Any]]] = {", *entries, "}"]


def _texts(each: tuple[str, ...]) -> str:
    return f"({', '.join(map(quoted, each))}{',' if len(each) == 1 else ''})"
