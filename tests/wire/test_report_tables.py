"""Reports as tables: each period once, what changed, what is gone, and after any kind of end.

The replies come from a ledger on paper (`tests.support.report_ledger`), and so do the expected
amounts.
"""

from __future__ import annotations

import csv
import datetime as dt
import json
import sqlite3
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pytest
from pytest_aiohttp.plugin import AiohttpServer

from tests.support.answering_server import AnsweringServer, done
from tests.support.doc_examples import DOCS, blocks
from tests.support.report_ledger import SECTIONS, Paper, PaperServer
from zoho_async.errors import ConfigurationError, ReportMismatch
from zoho_async.export import (
    CheckpointRefused,
    Directory,
    Export,
    ReportTable,
    UnknownResource,
    export_report,
    merge,
    open_destination,
)
from zoho_async.export.destinations.formats import Parquet
from zoho_async.export.report_catalog import COMMON, all_reports, facts_of
from zoho_async.export.reports import is_closed

MONTHS = [
    ("2026-01-01", "2026-01-31"),
    ("2026-02-01", "2026-02-28"),
    ("2026-03-01", "2026-03-31"),
    ("2026-04-01", "2026-04-30"),
]
TABLE = "books_reports_profit_and_loss"
OTHER = "Non Operating Income"


class Today:
    """A clock that stays at the noon of a day, in UTC."""

    def __init__(self, day: str) -> None:
        self.now = dt.datetime.fromisoformat(f"{day}T12:00:00+00:00").timestamp()

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now


APRIL = Today("2026-04-20")


def ledger() -> Paper:
    made = Paper()
    for month in (1, 2, 3, 4):
        made.post(f"2026-0{month}-05", "Operating Income", "11", f"{month}00.10", "Sales")
        made.post(f"2026-0{month}-20", "Operating Income", "12", "0.01", "Interest")
        made.post(f"2026-0{month}-20", "Cost of Goods Sold", "21", f"{month}0.335")
    made.post("2026-03-01", OTHER, "", "1.00", "Rounding")  # no id: known by its name alone
    made.post("2026-03-31", OTHER, "31", "2.50", "Twin")
    made.post("2026-03-31", OTHER, "32", "4.25", "Twin")
    return made


@pytest.fixture
async def server(aiohttp_server: AiohttpServer) -> PaperServer:
    return await PaperServer.opened(ledger(), aiohttp_server)


async def written(
    server: AnsweringServer, to: Any, *, clock: Today = APRIL, last: str = "2026-04-20", **how: Any
) -> ReportTable:
    first = how.pop("first", "2026-01-01")
    async with server.session() as zoho:
        return await export_report(
            zoho,
            how.pop("report", "profit_and_loss"),
            to=to,
            from_date=first and dt.date.fromisoformat(first),
            to_date=dt.date.fromisoformat(last),
            by=how.pop("by", "month"),
            clock=clock,
            **how,
        )


# -- what a table holds, read by the databases' own clients ---------------------------------------


def place_of(kind: str, folder: Path) -> str:
    return str(folder / ("rows" if kind in ("jsonl", "parquet") else f"b.{kind}"))


def options_of(kind: str) -> dict[str, Any]:
    return {"format": "parquet"} if kind == "parquet" else {}


def rows_in(kind: str, place: str, table: str = TABLE) -> list[dict[str, Any]]:
    """The rows that are not deleted. Changes of a directory are merged first."""
    if kind == "jsonl":
        merge(Directory(place))
        name = table.removeprefix("books_reports_")
        lines = (Path(place) / "books" / f"reports.{name}.jsonl").read_text().splitlines()
        return [json.loads(line, parse_float=Decimal, parse_int=Decimal) for line in lines]
    if kind == "parquet":
        merge(Directory(place, Parquet()))
        file = Path(place) / "books" / f"reports.{table.removeprefix('books_reports_')}.parquet"
        with closing(duckdb.connect()) as connection:
            found: list[dict[str, Any]] = (
                connection.sql(f"FROM '{file}'").to_arrow_table().to_pylist()
            )
        return found
    if kind == "csv":
        with open(place, encoding="utf-8", newline="") as file_of_rows:
            return [
                {**row, "is_leaf": row["is_leaf"] == "true", "depth": int(row["depth"])}
                for row in csv.DictReader(file_of_rows)
            ]
    where = f'SELECT * FROM "{table}" WHERE _deleted_time IS NULL'
    if kind == "duckdb":
        with closing(duckdb.connect(place)) as connection:
            live: list[dict[str, Any]] = connection.sql(where).to_arrow_table().to_pylist()
        return live
    with closing(sqlite3.connect(place)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(where)]


def accounts_in(rows: list[dict[str, Any]]) -> dict[tuple[str, str, str, str], Decimal]:
    """The amount of each account: by first day, section, id and name."""
    found: dict[tuple[str, str, str, str], Decimal] = {}
    for row in rows:
        if row["is_leaf"] and row["depth"] == 3:
            section = row["path"].split(" / ")[1]
            key = (str(row["period_from"]), section, row["account_id"] or "", row["name"])
            assert key not in found
            found[key] = Decimal(str(row["total"]))
    return found


def expected(paper: Paper, periods: list[tuple[str, str]]) -> dict[Any, Decimal]:
    return {
        (first, *key): amount
        for first, last in periods
        for key, amount in paper.accounts(first, last).items()
    }


TO_DATE = [*MONTHS[:3], ("2026-04-01", "2026-04-20")]
KINDS = ("jsonl", "parquet", "csv", "sqlite", "duckdb")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_second_run_reads_open_periods_and_writes_what_changed(
    kind: str, server: PaperServer, tmp_path: Path
) -> None:
    place, paper, before = place_of(kind, tmp_path), server.paper, ledger()
    first = await written(server, place, **options_of(kind))
    assert sorted(paper.asked) == TO_DATE
    assert (first.periods, first.read, first.closed, first.calls) == (4, 4, 0, 4)

    paper.asked.clear()
    paper.post("2026-01-09", "Operating Income", "11", "5000", "Sales")  # in a closed period
    paper.post("2026-03-09", "Operating Income", "11", "7", "Sales")  # changed
    paper.postings = [one for one in paper.postings if one.account_id != "32"]  # voided
    second = await written(server, place)
    # January and February were read more than 31 days after their ends.
    assert sorted(paper.asked) == TO_DATE[2:]
    assert (second.periods, second.read, second.closed, second.calls) == (4, 2, 2, 2)

    rows = rows_in(kind, place)
    assert accounts_in(rows) == expected(before, TO_DATE[:2]) | expected(paper, TO_DATE[2:])
    assert len({row["line_id"] for row in rows}) == len(rows)
    # Sales, its section, the section of the voided account, and the result.
    assert (second.rows, second.changed, second.deleted) == (4, 4, 1)

    paper.asked.clear()
    third = await written(server, place, full=True)
    assert sorted(paper.asked) == TO_DATE
    assert (third.rows > 0, third.closed) == (True, 0)
    assert accounts_in(rows_in(kind, place)) == expected(paper, TO_DATE)


async def test_longer_waiting_reopens_a_period(server: PaperServer, tmp_path: Path) -> None:
    await written(server, tmp_path)
    server.paper.asked.clear()
    await written(server, tmp_path, closed_after=60)  # 28 February + 60 days is 29 April
    assert sorted(server.paper.asked) == TO_DATE[1:]


@pytest.mark.parametrize("kind", ["sqlite", "duckdb"])
async def test_accounts_add_up_to_sections_and_results_in_sql(
    kind: str, server: PaperServer, tmp_path: Path
) -> None:
    place = place_of(kind, tmp_path)
    await written(server, place, last="2026-04-30", basis="cash")
    sql = f"""
        SELECT s.period_from, s.period_to, s.name, s.total, sum(a.total), s.basis, s.depth
        FROM {TABLE} s JOIN {TABLE} a
          ON a.period_from = s.period_from AND a.is_leaf AND a.depth = 3
             AND (s.depth = 1 OR a.path LIKE s.path || ' / %')
        WHERE NOT s.is_leaf AND (s.depth = 2 OR s.depth = 1) AND s._deleted_time IS NULL
        GROUP BY s.line_id, s.period_from, s.period_to, s.name, s.total, s.basis, s.depth
    """
    module: Any = duckdb if kind == "duckdb" else sqlite3
    with closing(module.connect(place)) as connection:
        found = connection.execute(sql).fetchall()
    seen: set[tuple[tuple[str, str], str]] = set()
    for first, last, name, total, added, basis, depth in found:
        assert basis == "cash"
        days = str(first), str(last)
        sums = server.paper.accounts(*days)
        inside = [one for key, one in sums.items() if depth == 1 or key[0] == name]
        exact = server.paper.profit(*days) if depth == 1 else sum(inside, Decimal(0))
        assert abs(Decimal(str(total)) - exact) < Decimal("1e-9")
        assert abs(Decimal(str(added)) - sum(inside, Decimal(0))) < Decimal("1e-9")
        seen.add((days, name))
    names = {*SECTIONS, "Net Profit/Loss"}
    empty = {(days, OTHER) for days in MONTHS if days[0] != "2026-03-01"}
    assert seen == {(days, name) for days in MONTHS for name in names} - empty


@pytest.mark.parametrize("kind", ["sqlite", "duckdb"])
async def test_the_query_of_the_documentation_adds_up_one_section(
    kind: str, server: PaperServer, tmp_path: Path
) -> None:
    place, (sql,) = place_of(kind, tmp_path), blocks(DOCS / "howto/reports.md", "sql")
    choices: list[dict[str, Any]] = [{}, {"by": "year"}, {"extra_query": {"location_ids": "7"}}]
    for how in choices:
        await written(server, place, last="2026-04-30", basis="accrual", **how)
    module: Any = duckdb if kind == "duckdb" else sqlite3
    with closing(module.connect(place)) as connection:
        found = connection.execute(sql).fetchall()
    income = [
        (first, sum(one for key, one in accounts.items() if key[0] == "Operating Income"))
        for first, last in MONTHS
        for accounts in [server.paper.accounts(first, last)]
    ]
    assert [(str(first), round(Decimal(str(sums)), 6)) for first, sums in found] == income


async def test_each_basis_filter_and_division_has_its_own_rows(
    server: PaperServer, tmp_path: Path
) -> None:
    place = place_of("sqlite", tmp_path)
    choices: list[dict[str, Any]] = [
        {"basis": "cash"},
        {"basis": "accrual"},
        {"basis": "accrual", "extra_query": {"location_ids": "7"}},
        {"basis": "accrual", "by": "year"},
        {"basis": "accrual", "by": None},
    ]
    for how in choices:
        assert (await written(server, place, **how)).deleted == 0
    kinds = {
        (row["basis"], row["filters"], row["period_length"]) for row in rows_in("sqlite", place)
    }
    assert kinds == {
        ("cash", None, "month"),
        ("accrual", None, "month"),
        ("accrual", "location_ids=7", "month"),
        ("accrual", None, "year"),
        ("accrual", None, None),
    }


async def test_a_whole_period_replaces_a_part_and_never_the_reverse(
    server: PaperServer, tmp_path: Path
) -> None:
    place, paper = place_of("duckdb", tmp_path), server.paper
    await written(server, place, first="2026-01-10", last="2026-02-10")
    # Read long after its end, but not whole, so it is read again.
    later = Today("2026-12-31")
    await written(server, place, clock=later, last="2026-02-28")
    assert sorted(paper.asked)[-2:] == [("2026-02-01", "2026-02-10"), ("2026-02-01", "2026-02-28")]
    assert accounts_in(rows_in("duckdb", place)) == expected(paper, MONTHS[:2])
    paper.asked.clear()
    parts: list[dict[str, Any]] = [
        {"first": "2026-01-02", "last": "2026-02-28"},
        {"last": "2026-02-27"},
    ]
    for fewer in parts:
        with pytest.raises(CheckpointRefused, match="ask for the whole period"):
            await written(server, place, clock=later, **fewer)
    assert paper.asked == []
    await written(server, place, clock=later, last="2026-02-27", full=True)
    assert accounts_in(rows_in("duckdb", place)) == expected(
        paper, [MONTHS[0], ("2026-02-01", "2026-02-27")]
    )


async def test_siblings_of_one_name_are_two_lines(server: PaperServer, tmp_path: Path) -> None:
    twin = {"name": "Twin", "total": 1}
    section = {"name": "Other", "total": 2, "account_transactions": [twin, {**twin}]}
    context = {
        "applied_filter": "TransactionDate.CustomDate",
        "from_date": "2026-01-01",
        "to_date": "2026-01-31",
    }
    server.answers = [done(profit_and_loss=[section, {**section}], page_context=context)]
    place = place_of("sqlite", tmp_path)
    for _ in range(2):
        await written(server, place, last="2026-01-31", clock=Today("2026-02-01"))
    rows = sorted(rows_in("sqlite", place), key=lambda row: row["position"])
    assert [row["path"] for row in rows] == ["Other", "Other / Twin", "Other / Twin"] * 2
    assert [row["position"] for row in rows] == [1, 2, 3, 4, 5, 6]


async def test_a_list_has_its_own_columns_and_keeps_equal_rows(
    server: PaperServer, tmp_path: Path
) -> None:
    ann = {"customer_id": "1", "customer_name": "Ann", "count": 2, "sales": 10.5}
    context = {
        "applied_filter": "TransactionDate.CustomDate",
        "from_date": "2026-01-01",
        "to_date": "2026-01-31",
    }

    def answer(*rows: object) -> None:
        server.answers = [done(sales=[*rows], page_context=context)]

    place = place_of("sqlite", tmp_path)
    how: dict[str, Any] = {
        "report": "sales-by-customer",
        "last": "2026-01-31",
        "clock": Today("2026-02-01"),
    }
    answer(ann, ann, {"customer_name": "Bob", "sales": 0.1, "region": "north"})
    await written(server, place, **how)
    answer(ann, {"customer_name": "Bob", "sales": 0.2, "region": "north"})
    again = await written(server, place, **how)
    assert (again.rows, again.deleted) == (1, 2)
    rows = rows_in("sqlite", place, "books_reports_sales_by_customer")
    assert sorted((row["customer_name"], float(row["sales"])) for row in rows) == [
        ("Ann", 10.5),
        ("Bob", 0.2),
    ]
    assert {row["period_from"] for row in rows} == {"2026-01-01"}
    assert {row["customer_name"]: row["region"] for row in rows} == {"Ann": None, "Bob": "north"}


@pytest.mark.parametrize(("kind", "rounded"), [("sqlite", 1), ("parquet", 1), ("csv", 0)])
async def test_numbers_that_a_column_does_not_hold_are_counted(
    server: PaperServer, tmp_path: Path, kind: str, rounded: int
) -> None:
    context = {
        "applied_filter": "TransactionDate.CustomDate",
        "from_date": "2026-01-01",
        "to_date": "2026-01-31",
    }
    row = {"customer_id": "1", "sales": "10.1234567890123456789"}
    server.answers = [done(sales=[row], page_context=context)]
    how: dict[str, Any] = {"report": "sales-by-customer", "last": "2026-01-31"}
    place = tmp_path / f"sales.{kind}"
    assert (await written(server, place, **how)).rounded == rounded


# -- what is refused ------------------------------------------------------------------------------


async def test_a_reply_for_another_period_writes_nothing(
    server: PaperServer, tmp_path: Path
) -> None:
    place = place_of("sqlite", tmp_path)
    await written(server, place)
    before = rows_in("sqlite", place)
    for context in (
        {"applied_filter": "TransactionDate.ThisMonth", "to_date": "2026-11-30"},
        {"report_basis": "Accrual"},
    ):
        server.answers = [done(profit_and_loss=[{"name": "a", "total": 1}], page_context=context)]
        with pytest.raises(ReportMismatch):
            await written(server, place)
        assert rows_in("sqlite", place) == before


async def test_wrong_usage_makes_no_call(server: PaperServer, tmp_path: Path) -> None:
    wrong: list[dict[str, Any]] = [
        {"report": "time_to_pay"},
        {"report": "balance_sheet", "by": None},
        {"report": "profit"},
        {"first": "2026-05-01"},
        {"by": "week"},
        {"closed_after": -1},
        {"extra_query": {"to_date": "2026-01-31"}},
    ]
    for how in wrong:
        with pytest.raises(ConfigurationError):
            await written(server, tmp_path / "rows", **how)
    assert server.paper.asked == []
    assert not (tmp_path / "rows").exists()
    async with server.session() as zoho:
        with pytest.raises(UnknownResource, match="--table"):
            Export(zoho, ["reports"], to=tmp_path)


async def test_a_changed_file_is_kept(server: PaperServer, tmp_path: Path) -> None:
    await written(server, tmp_path)
    file = tmp_path / "books" / "reports.profit_and_loss.jsonl"
    file.write_text(file.read_text() + "{}\n")
    with pytest.raises(CheckpointRefused, match=r"changed by hand.*remove it"):
        await written(server, tmp_path)
    file.unlink()
    await written(server, tmp_path)  # reads closed periods again, too
    assert accounts_in(rows_in("jsonl", str(tmp_path))) == expected(server.paper, TO_DATE)


@pytest.mark.parametrize("zone", ["Etc/GMT+12", "Pacific/Pago_Pago", "UTC", "Pacific/Kiritimati"])
def test_no_period_closes_before_its_day_has_ended_in_the_organization(zone: str) -> None:
    last = dt.date(2026, 1, 31)
    midnight = dt.datetime(2026, 2, 1 + 3, tzinfo=ZoneInfo(zone)).timestamp()
    assert not is_closed(last, midnight - 1, 3)
    assert is_closed(last, midnight + 27 * 3_600, 3)


async def test_a_day_that_has_ended_in_utc_alone_is_read_again(
    server: PaperServer, tmp_path: Path
) -> None:
    clock = Today("2026-02-01")
    clock.now -= 1  # 11:59:59 in UTC is 23:59:59 of 31 January in the last time zone
    for _ in range(2):
        await written(server, tmp_path, last="2026-01-31", closed_after=0, clock=clock)
    assert server.paper.asked == MONTHS[:1] * 2
    clock.now += 1
    for _ in range(2):
        await written(server, tmp_path, last="2026-01-31", closed_after=0, clock=clock)
    assert server.paper.asked == MONTHS[:1] * 3


def test_no_report_has_a_field_with_the_name_of_a_common_column() -> None:
    for operation in all_reports().values():
        names = [field.name for field in facts_of(operation).reply]
        assert len(names) == len(set(names))
        assert len(names) > len(COMMON) or not operation.key or operation.key == "rows"


# -- after any kind of end ------------------------------------------------------------------------


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize(
    "kind", ["jsonl", "sqlite", pytest.param("duckdb", marks=pytest.mark.long)]
)
async def test_a_run_that_ends_at_any_commit_continues_to_the_same_table(
    kind: str, server: PaperServer, tmp_path: Path
) -> None:
    later = ledger()
    later.post("2026-03-09", "Operating Income", "11", "7", "Sales")
    later.postings = [one for one in later.postings if one.account_id != "32"]
    number = ended = 0
    while not ended:
        number += 1
        place = place_of(kind, tmp_path / str(number))
        Path(place).parent.mkdir()
        server.paper = ledger()
        first_ended = await ends_at(kind, place, server, number)
        server.paper = later  # the first run may have been interrupted, and the books changed
        second_ended = await ends_at(kind, place, server, number)
        await written(server, place)
        assert accounts_in(rows_in(kind, place)) == expected(later, TO_DATE), number
        ended = first_ended and second_ended
    assert number > 10


async def ends_at(kind: str, place: str, server: PaperServer, commit: int) -> bool:
    """One run, ended right before or right after a commit. Return whether it ended by itself."""
    opened = open_destination(place)
    count = 0

    class Ending:
        name = opened.name

        def open(self) -> Any:
            made: Any = opened.open()
            whole: Callable[[], Any] = made.database.transaction

            @contextmanager
            def transaction() -> Generator[None]:
                nonlocal count
                with whole():
                    yield
                    count += 1
                    if count == commit:
                        raise Killed
                count += 1
                if count == commit:
                    raise Killed

            made.database.transaction = transaction
            return made

    try:
        await written(server, Ending())
    except Killed:
        return False
    return True
