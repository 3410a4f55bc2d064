"""Reports: what is sent, what a reply may be for, and how sections are joined."""

from __future__ import annotations

import datetime as dt
import inspect
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import pytest
from aiohttp import web

from tests.support.answering_server import AnsweringServer, done
from zoho_async.books import reports as books_reports
from zoho_async.description import scopes_for
from zoho_async.errors import MissingScope, ReportMismatch, UnreadableReply
from zoho_async.inventory import reports as inventory_reports
from zoho_async.operation import BOOKS
from zoho_async.paging import Pager
from zoho_async.reports import (
    PeriodLength,
    ReportNode,
    ReportOperation,
    ReportOptions,
    ReportRow,
    ReportTree,
    report_rows,
    report_tree,
)

FIRST, LAST = dt.date(2026, 1, 1), dt.date(2026, 3, 31)
DATES = ReportOptions(from_date=FIRST, to_date=LAST)
ECHO = {
    "applied_filter": "TransactionDate.CustomDate",
    "from_date": "2026-01-01",
    "to_date": "2026-03-31",
}

TREE = ReportOperation(
    name="books.reports.profit_and_loss",
    product=BOOKS,
    path="/reports/profitandloss",
    row=ReportNode,
    key="profit_and_loss",
    title="Profit and loss",
    date_filter="TransactionDate",
    tree=True,
    paged=False,
)
DAY = ReportOperation(
    name="books.reports.balance_sheet",
    product=BOOKS,
    path="/reports/balancesheet",
    row=ReportNode,
    key="balance_sheet",
    title="Balance sheet",
    dates="day",
    date_filter="TransactionDate",
    tree=True,
    paged=False,
)
ROWS = ReportOperation(
    name="books.reports.bill_details",
    product=BOOKS,
    path="/reports/billdetails",
    row=ReportRow,
    key="bill_details",
    title="Bill details",
    date_filter="BillDate",
    groups=("bills",),
)


def node(name: str, total: object = "", *below: object, **other: object) -> dict[str, Any]:
    return {"name": name, "total": total, "account_transactions": [*below], **other}


async def tree(
    server: AnsweringServer,
    options: ReportOptions = DATES,
    *,
    operation: ReportOperation[ReportNode] = TREE,
    periods: PeriodLength | None = None,
    query: Mapping[str, object] | None = None,
) -> ReportTree:
    async with server.session() as zoho:
        return await report_tree(zoho, operation, options, query or {}, periods=periods)


def replies(server: AnsweringServer, context: Mapping[str, object], *nodes: object) -> None:
    server.answers = [done(profit_and_loss=[*nodes], page_context=context)]


# -- the request --------------------------------------------------------------------------------


async def test_dates_are_sent_with_their_filter(server: AnsweringServer) -> None:
    replies(server, ECHO)
    await tree(server)
    assert server.last.path == "/books/v3/reports/profitandloss"
    assert server.last.query == {"organization_id": "1", **ECHO_QUERY}


ECHO_QUERY = {
    "from_date": "2026-01-01",
    "to_date": "2026-03-31",
    "filter_by": "TransactionDate.CustomDate",
}


async def test_basis_rows_rule_and_columns_are_sent_in_zohos_form(server: AnsweringServer) -> None:
    rule = {"columns": [{"index": 1, "field": "account_id", "value": ["7"], "comparator": "in"}]}
    options = ReportOptions(
        from_date=FIRST, to_date=LAST, basis="cash", show_rows="non_zero", rule=rule
    )
    replies(server, {**ECHO, "cash_based": "true", "rule": rule})
    columns = [{"field": "name", "group": "report"}]
    await tree(server, options, query={"select_columns": columns})
    sent = server.last.query
    assert (sent["cash_based"], sent["show_rows"]) == ("true", "non_zero")
    assert sent["select_columns"] == '[{"field":"name","group":"report"}]'
    assert sent["rule"].startswith('{"columns":[{"index":1,"field":"account_id"')


async def test_a_named_period_is_sent_and_compared(server: AnsweringServer) -> None:
    replies(server, {"applied_filter": "TransactionDate.PreviousMonth", "from_date": "2026-02-01"})
    report = await tree(server, ReportOptions(period="PreviousMonth"))
    assert server.last.query["filter_by"] == "TransactionDate.PreviousMonth"
    assert report.periods[0].first == dt.date(2026, 2, 1)
    with pytest.raises(ReportMismatch):
        await tree(server, ReportOptions(period="ThisYear"))


@pytest.mark.parametrize(
    ("operation", "options", "problem"),
    [
        (TREE, ReportOptions(from_date=FIRST), "from_date and to_date together"),
        (TREE, ReportOptions(from_date=LAST, to_date=FIRST), "is before from_date"),
        (TREE, ReportOptions(to_date=LAST, period="Today"), "not both"),
        (DAY, DATES, "as of one day"),
    ],
)
async def test_wrong_dates_raise_before_any_call(
    server: AnsweringServer,
    operation: ReportOperation[ReportNode],
    options: ReportOptions,
    problem: str,
) -> None:
    with pytest.raises(ValueError, match=problem):
        await tree(server, options, operation=operation)
    with pytest.raises(ValueError, match="periods needs from_date and to_date"):
        await tree(server, ReportOptions(to_date=LAST), periods="month")
    with pytest.raises(ValueError, match="to_date is an argument;"):
        await tree(server, ReportOptions(), query={"to_date": "2026-01-01"})
    assert server.taken == []


# -- the reply's period -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "context",
    [
        {"applied_filter": "TransactionDate.ThisMonth", "from_date": "2026-11-01"},
        {**ECHO, "from_date": "2026-01-02"},
        {**ECHO, "to_date": "2026-11-30"},
        {**ECHO, "report_basis": "Cash"},
        {**ECHO, "cash_based": True},
        {"from_date": "2026-01-01"},
        {"as_of_date": "2026-11-28"},
        {"from_date": "01 Jan 2026", "to_date": "31 Mar 2026"},
        {},
        {"applied_filter": "", "from_date": "", "to_date": ""},
    ],
)
async def test_a_reply_for_another_period_raises(
    server: AnsweringServer, context: dict[str, object]
) -> None:
    replies(server, context, node("Net Profit", 5))
    options = ReportOptions(from_date=FIRST, to_date=LAST, basis="accrual")
    with pytest.raises(ReportMismatch) as caught:
        await tree(server, options)
    assert "books.reports.profit_and_loss" in str(caught.value)
    assert len(server.taken) == 1  # another try would give the same


async def test_a_mismatch_names_what_was_asked_and_what_came(server: AnsweringServer) -> None:
    replies(server, {**ECHO, "to_date": "2026-11-30"})
    with pytest.raises(ReportMismatch) as caught:
        await tree(server)
    assert caught.value.asked == {"to_date": "2026-03-31"}
    assert caught.value.received == {"to_date": "2026-11-30"}
    assert "asked for to_date 2026-03-31, but the reply is for to_date 2026-11-30" in str(
        caught.value
    )


@pytest.mark.parametrize(
    "context",
    [
        ECHO,
        {"applied_filter": "TransactionDate.CustomDate"},
        {"from_date": "2026-01-01", "to_date": "2026-03-31"},
        {**ECHO, "show_rows": ""},
    ],
)
async def test_the_filter_or_the_dates_confirm_the_period(
    server: AnsweringServer, context: dict[str, object]
) -> None:
    replies(server, context, node("Net Profit", 5))
    report = await tree(server)
    assert report.unconfirmed == ()
    assert report.sections[0].total == 5


async def test_an_unconfirmed_reply_is_read_on_request_only(server: AnsweringServer) -> None:
    replies(server, {"page": 1}, node("Net Profit", 5))
    with pytest.raises(ReportMismatch, match="allow_unconfirmed=True"):
        await tree(server)
    report = await tree(
        server, ReportOptions(from_date=FIRST, to_date=LAST, allow_unconfirmed=True)
    )
    assert report.unconfirmed == ("applied_filter", "from_date", "to_date")
    replies(server, {**ECHO, "to_date": "2026-11-30"})
    with pytest.raises(ReportMismatch):  # a contradiction is never allowed
        await tree(server, ReportOptions(from_date=FIRST, to_date=LAST, allow_unconfirmed=True))


async def test_another_rule_is_a_mismatch(server: AnsweringServer) -> None:
    def rule(value: object) -> dict[str, object]:
        return {"columns": [{"field": "account_id", "value": value, "comparator": "in"}]}

    options = ReportOptions(from_date=FIRST, to_date=LAST, rule=rule(["7", "8"]))
    replies(server, {**ECHO, "rule": {**rule([8, 7]), "criteria_string": "1"}})
    assert (await tree(server, options)).unconfirmed == ()
    replies(server, {**ECHO, "rule": rule(["9"])})
    with pytest.raises(ReportMismatch):
        await tree(server, options)
    replies(server, ECHO)
    with pytest.raises(ReportMismatch, match="does not confirm"):
        await tree(server, options)


async def test_a_report_as_of_a_day_compares_that_day(server: AnsweringServer) -> None:
    server.answers = [
        done(balance_sheet=[node("Assets", 1)], page_context={"as_of_date": "2026-03-31"})
    ]
    report = await tree(server, ReportOptions(to_date=LAST), operation=DAY)
    assert str(report.periods[0]) == "2026-03-31"
    with pytest.raises(ReportMismatch):
        await tree(server, ReportOptions(to_date=FIRST), operation=DAY)


async def test_a_reply_without_rows_and_context_is_unreadable(server: AnsweringServer) -> None:
    server.answers = [done()]
    with pytest.raises(UnreadableReply):
        await tree(server)


async def test_a_missing_scope_is_named(server: AnsweringServer) -> None:
    body = {"code": 57, "message": "You are not authorized to perform this operation"}
    server.answers = [web.json_response(body, status=401)]
    async with server.session() as zoho:
        for call in (
            zoho.books.reports.cash_flow(from_date=FIRST, to_date=LAST),
            zoho.books.reports.general_ledger(from_date=FIRST, to_date=LAST),
            zoho.inventory.reports.warehouse(),
        ):
            with pytest.raises(MissingScope, match=r"Zoho(Books|Inventory)\.reports\.READ"):
                await call
    assert scopes_for(["reports"]) == ["ZohoBooks.reports.READ"]


# -- sections -----------------------------------------------------------------------------------


async def test_lines_have_their_path_and_exact_amounts(server: AnsweringServer) -> None:
    income = node("Income", 10.10, node("Sales", 10.10, account_id="11"), node("Interest", ""))
    replies(server, ECHO, node("", "", income))
    report = await tree(server)
    assert [(line.path, line.section.total) for line in report.lines()] == [
        ((), None),
        (("Income",), Decimal("10.10")),
        (("Income", "Sales"), Decimal("10.10")),
        (("Income", "Interest"), None),  # an absent amount is not 0
    ]
    assert [line.section.name for line in report.accounts()] == ["Sales", "Interest"]


async def test_periods_are_one_call_each_and_joined(server: AnsweringServer) -> None:
    totals = {"2026-01-01": 1, "2026-02-01": 2, "2026-03-01": 3}

    async def answer(request: web.Request) -> web.Response:
        first = request.query["from_date"]
        total = totals[first]
        accounts = [node("Sales", total, account_id="11")]
        if total == 2:  # non-zero rows only: the other months leave this account out
            accounts.insert(0, node("Consulting", 7, account_id="12"))
        context = {"from_date": first, "to_date": request.query["to_date"]}
        return done(
            profit_and_loss=[node("Income", total, *accounts)],
            page_context={**context, "applied_filter": "TransactionDate.CustomDate"},
        )

    server.answers = [answer]
    report = await tree(server, periods="month")
    assert list(map(str, report.periods)) == ["2026-01", "2026-02", "2026-03"]
    assert [(line.section.name, line.section.totals) for line in report.lines()] == [
        ("Income", (Decimal(1), Decimal(2), Decimal(3))),
        ("Consulting", (None, Decimal(7), None)),
        ("Sales", (Decimal(1), Decimal(2), Decimal(3))),
    ]
    with pytest.raises(ValueError, match="3 periods"):
        _ = report.sections[0].total
    assert len(server.taken) == 3


async def test_one_wrong_period_fails_the_whole_report(server: AnsweringServer) -> None:
    replies(server, {**ECHO, "to_date": "2026-01-31"}, node("Income", 1))
    with pytest.raises(ReportMismatch):
        await tree(server, periods="month")


async def test_two_sections_of_the_same_name_stay_apart(server: AnsweringServer) -> None:
    same = [node("Other", 1), node("Other", 2), node("Cost", 3, node("Cost", 3, account_id="5"))]
    replies(server, ECHO, *same)
    report = await tree(server)
    assert [line.section.total for line in report.lines()] == [1, 2, 3, 3]


# -- rows ---------------------------------------------------------------------------------------


def rows(server: AnsweringServer, reply: object, context: object) -> None:
    server.answers = [
        web.json_response({"code": 0, "bill_details": reply, "page_context": context})
    ]


async def read(server: AnsweringServer, options: ReportOptions = DATES) -> list[dict[str, Any]]:
    async with server.session() as zoho:
        pager: Pager[ReportRow] = report_rows(zoho, ROWS, options, {})
        return [row.extra async for row in pager]


BILLS = {**ECHO, "applied_filter": "BillDate.CustomDate"}


@pytest.mark.parametrize(
    "reply",
    [
        [{"bills": [{"n": "1"}, {"n": "2"}]}],
        [{"bills": [{"n": "1"}]}, {"bills": [{"n": "2"}]}],
        {"bills": [{"bills": [{"n": "1"}]}, {"n": "2"}]},
        [{"n": "1"}, {"n": "2"}],
    ],
)
async def test_rows_inside_groups_are_found_at_any_depth(
    server: AnsweringServer, reply: object
) -> None:
    rows(server, reply, {**BILLS, "has_more_page": False})
    assert await read(server) == [{"n": "1"}, {"n": "2"}]


@pytest.mark.parametrize("reply", [[], "", [{"bills": []}], None])
async def test_a_report_without_rows_is_empty(server: AnsweringServer, reply: object) -> None:
    rows(server, reply, BILLS)
    assert await read(server) == []


async def test_each_page_is_compared_with_the_request(server: AnsweringServer) -> None:
    async def answer(request: web.Request) -> web.Response:
        page = int(request.query["page"])
        context = dict(BILLS) if page == 1 else {**BILLS, "to_date": "2026-11-30"}
        return web.json_response(
            {
                "code": 0,
                "bill_details": [{"bills": [{"n": str(page)}]}],
                "page_context": {**context, "page": page, "per_page": 1, "has_more_page": True},
            }
        )

    server.answers = [answer]
    async with server.session() as zoho:
        found = report_rows(zoho, ROWS, DATES, {"per_page": 1}).__aiter__()
        assert (await anext(found)).extra == {"n": "1"}
        with pytest.raises(ReportMismatch):
            await anext(found)


async def test_raw_rows_and_own_shapes_are_checked_too(server: AnsweringServer) -> None:
    rows(server, [{"bills": [{"n": "1", "total": 10.10}]}], {**BILLS, "to_date": "2026-11-30"})
    async with server.session() as zoho:
        with pytest.raises(ReportMismatch):
            await anext(report_rows(zoho, ROWS, DATES, {}).raw())
        rows(server, [{"bills": [{"n": "1", "total": 10.10}]}], BILLS)
        async with report_rows(zoho, ROWS, DATES, {}).raw() as raw:
            assert [row async for row in raw] == [b'{"n":"1","total":10.1}']


# -- the generated functions ----------------------------------------------------------------------

FUNCTIONS = [
    getattr(module, name)
    for module in (books_reports, inventory_reports)
    for name in module.REPORTS
]
VALUES: dict[str, object] = {
    "from_date": FIRST,
    "to_date": LAST,
    "basis": "cash",
    "show_rows": "all",
    "rule": {"columns": []},
    "allow_unconfirmed": True,
    "extra_query": {"beyond": "yes"},
}


def value_for(name: str, annotation: str) -> object:
    if name in VALUES:
        return VALUES[name]
    if "Literal" in annotation:
        return re.findall(r"'([^']+)'", annotation)[0]
    for words, value in (("Mapping", [{"field": "name"}]), ("bool", True), ("int", 7)):
        if words in annotation and "str | int" not in annotation:
            return value
    return ["1", "2"] if "Sequence" in annotation else "text"


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda each: each.__module__ + each.__name__)
async def test_every_function_sends_all_its_arguments(
    server: AnsweringServer, function: Callable[..., Any]
) -> None:
    parameters = inspect.signature(function).parameters
    left_out = {"zoho", "period", "periods"}
    if function.__name__ == "balance_sheet":
        left_out.add("from_date")
    given = {
        name: value_for(name, str(parameter.annotation))
        for name, parameter in parameters.items()
        if name not in left_out
    }
    module = books_reports if "books" in function.__module__ else inventory_reports
    operation = module.REPORTS[function.__name__]
    server.answers = [web.json_response({"code": 0, operation.key: [{}], "page_context": {}})]
    async with server.session() as zoho:
        call = function(zoho, **given)
        await call
    sent = server.last.query
    assert server.last.path == f"{operation.product.base_path}{operation.path}"
    wanted = {**given, "beyond": "yes", "organization_id": "1"}
    for name in ("extra_query", "allow_unconfirmed", "basis"):
        wanted.pop(name, None)
    if "basis" in given:
        wanted["cash_based"] = True
    if operation.date_filter:
        wanted["filter_by"] = ""
        assert sent["filter_by"] == (f"{operation.date_filter}.CustomDate{operation.filter_suffix}")
    assert sent.keys() == wanted.keys()


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda each: each.__module__ + each.__name__)
def test_every_function_says_how_sure_it_is(function: Callable[..., Any]) -> None:
    module = books_reports if "books" in function.__module__ else inventory_reports
    sure = {"H": "high", "M": "medium", "L": "low"}[module.REPORTS[function.__name__].confidence]
    said = " ".join((function.__doc__ or "").split())
    assert f"Confidence: {sure}." in said
    assert module.REPORTS[function.__name__].unknown in said


async def test_a_report_of_one_object_is_that_object(server: AnsweringServer) -> None:
    boxes = {"output_boxes": [{"box_no": 1, "amount": 10.5, "tax_amount": ""}]}
    server.answers = [done(vat_summary=boxes, page_context=ECHO)]
    async with server.session() as zoho:
        report = await zoho.books.reports.vat_summary(from_date=FIRST, to_date=LAST)
        (box,) = report.output_boxes or []
        assert (box.amount, box.tax_amount) == (Decimal("10.5"), None)
        server.answers = [done(vat_summary="", page_context=ECHO)]
        with pytest.raises(UnreadableReply):
            await zoho.books.reports.vat_summary(from_date=FIRST, to_date=LAST)


async def test_rows_of_an_unknown_report_have_all_they_were_sent(server: AnsweringServer) -> None:
    context = {"applied_filter": "PaymentDate.CustomDate", "has_more_page": False}
    server.answers = [done(payments=[{"vendor_name": "Sample"}], page_context=context)]
    async with server.session() as zoho:
        pager = zoho.books.reports.vendor_payments(from_date=FIRST, to_date=LAST)
        assert [row.extra async for row in pager] == [{"vendor_name": "Sample"}]


async def test_a_balance_sheet_by_month_is_as_of_each_last_day(server: AnsweringServer) -> None:
    async def answer(request: web.Request) -> web.Response:
        assert "from_date" not in request.query
        day = request.query["to_date"]
        return done(
            balance_sheet=[node("Assets", int(day[5:7]))],
            page_context={"as_of_date": day, "applied_filter": "TransactionDate.CustomDate"},
        )

    server.answers = [answer]
    async with server.session() as zoho:
        report = await zoho.books.reports.balance_sheet(
            from_date=FIRST, to_date=LAST, periods="month"
        )
    assert list(map(str, report.periods)) == ["2026-01-31", "2026-02-28", "2026-03-31"]
    assert report.sections[0].totals == (Decimal(1), Decimal(2), Decimal(3))
