"""What an export says beforehand, and which lists a person can mean."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from zoho_async.description import Field, OperationFacts, load, reads
from zoho_async.export.catalog import (
    all_lists,
    check_filters,
    exportable_of,
    list_operation,
    resolve,
)
from zoho_async.export.errors import UnknownFilter, UnknownResource
from zoho_async.export.estimate import calls_ahead, estimated_seconds, least_calls
from zoho_async.limits import Limits
from zoho_async.operation import PRODUCTS

#: Makes the first export of a process and prints how many descriptions it loaded.
_FIRST_EXPORT: Final = """
import asyncio, sys
from zoho_async import Credentials, Session
from zoho_async.description import load
from zoho_async.export import Export

async def main():
    zoho = Session(Credentials("1", "2", "3"), organization="1")
    Export(zoho, ["invoices", "inventory.items"], to=sys.argv[1])
    print(load.cache_info().currsize)

asyncio.run(main())
"""


def facts(name: str, path: str, **more: object) -> OperationFacts:
    return OperationFacts(name=name, method="GET", path=path, answer="list", **more)  # type: ignore[arg-type]  # fields by name


LISTS = exportable_of(
    [
        facts("books.invoices.list", "/invoices", key="invoices", row_id="invoice_id",
              query=(Field(name="status", kind="text"), Field(name="page", kind="integer"),
                     Field(name="date", kind="date", variants=("date_after",)))),
        facts("books.contacts.list", "/contacts", query=(Field(name="status", kind="text"),)),
        facts("inventory.contacts.list", "/contacts"),
        facts("books.invoices.list_templates", "/invoices/templates"),
        facts("books.invoices.list_comments", "/invoices/{invoice_id}/comments"),
        facts("books.comments.list", "/invoices/{invoice_id}/comments"),
        facts("books.bank_transactions.list", "/banktransactions",
              query=(Field(name="account_id", kind="id", required=True),)),
    ]
)  # fmt: skip


def test_only_lists_that_need_nothing_else_can_be_exported() -> None:
    assert list(LISTS) == ["books.contacts", "books.invoices", "inventory.contacts"]


@pytest.mark.parametrize(
    ("names", "meant"),
    [
        ([], ["books.contacts", "books.invoices"]),
        (["invoices"], ["books.invoices"]),
        (["Books.Invoices", "invoices"], ["books.invoices"]),
        (["inventory.contacts", "contacts"], ["inventory.contacts", "books.contacts"]),
    ],
)
def test_a_resource_is_named_with_or_without_books(names: list[str], meant: list[str]) -> None:
    assert [one.resource for one in resolve(names, LISTS)] == meant


@pytest.mark.parametrize(
    ("name", "near"),
    [("invoces", ("invoices",)), ("books.contact", ("contacts",)), ("xyzzy", ())],
)
def test_an_unknown_resource_is_reported_with_similar_names(
    name: str, near: tuple[str, ...]
) -> None:
    with pytest.raises(UnknownResource, match="unknown resource") as refused:
        resolve([name], LISTS)
    assert refused.value.near[: len(near)] == near
    assert bool(refused.value.near) is bool(near)


@pytest.mark.parametrize("name", ["reports.profit_and_loss", "inventory.reports.sales_by_item"])
def test_a_report_is_no_list(name: str) -> None:
    with pytest.raises(UnknownResource, match="zoho-async report"):
        resolve([name], all_lists())


def test_a_filter_must_be_one_that_every_list_takes() -> None:
    lists = resolve(["invoices", "contacts"], LISTS)
    check_filters({"status": "active"}, lists)
    check_filters({"date_after": "2026-01-01"}, lists[:1])
    with pytest.raises(UnknownFilter, match=r"books.contacts has no filter 'date_after'"):
        check_filters({"date_after": "2026-01-01"}, lists)
    with pytest.raises(UnknownFilter, match="did you mean status"):
        check_filters({"statsu": "active"}, lists)
    with pytest.raises(UnknownFilter, match="page"):
        check_filters({"page": "3"}, lists)


def test_a_list_is_handed_to_the_pager_as_it_is_described() -> None:
    operation = list_operation(LISTS["books.invoices"])
    assert (operation.path, operation.key, operation.row_id) == (
        "/invoices",
        "invoices",
        "invoice_id",
    )
    assert operation.product.name == "books"


@pytest.mark.parametrize(("rows", "calls"), [(0, 1), (1, 1), (200, 1), (201, 2), (6000, 30)])
def test_the_least_calls_are_full_pages_and_one_for_an_empty_list(rows: int, calls: int) -> None:
    assert least_calls(rows, 200) == calls


@pytest.mark.parametrize(
    ("total", "page", "rows", "more", "ahead"),
    [
        (6000, 1, 200, True, (30, True)),
        (6000, 29, 200, True, (2, True)),
        (0, 1, 0, False, (1, True)),
        (100, 3, 0, False, (1, True)),
        (None, 1, 200, True, (2, False)),
        (None, 1, 20, False, (2, True)),
        (None, 1, 200, False, (2, False)),  # a full page proves no end: the list is read again
        (None, 1, 20, None, (1, True)),
    ],
)
def test_the_plan_is_exact_where_zoho_counts_and_certain_where_it_does_not(
    total: int | None, page: int, rows: int, more: bool | None, ahead: tuple[int, bool]
) -> None:
    assert calls_ahead(total, per_page=200, page=page, rows=rows, more=more) == ahead


def test_the_time_is_that_of_the_calls_that_do_not_go_at_once() -> None:
    assert estimated_seconds(44, Limits()) == 0
    assert estimated_seconds(80, Limits()) == pytest.approx(26.25)
    assert estimated_seconds(100, Limits()) == pytest.approx(67.5)
    assert estimated_seconds(160, Limits()) == pytest.approx(112.5)
    assert estimated_seconds(100, Limits(limit=100, burst=100)) == 0


def test_the_reads_of_a_product_are_its_get_operations() -> None:
    for product in PRODUCTS:
        every = load(product).operations
        assert list(reads(product)) == [one for one in every if one.method == "GET"]
        assert {one.name for one in every if one.answer == "list"} <= {
            one.name for one in reads(product)
        }


def test_the_first_export_of_a_process_loads_no_whole_description(tmp_path: Path) -> None:
    """It is made on the event loop, which a whole description would hold."""
    command = [sys.executable, "-c", _FIRST_EXPORT, str(tmp_path)]
    assert json.loads(subprocess.check_output(command)) == 0
