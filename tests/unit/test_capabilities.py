"""Features of lists apart from paging."""

from __future__ import annotations

import importlib
import re
from typing import Any

import pytest

from zoho_async.codegen import generate
from zoho_async.description import OperationFacts, load
from zoho_async.operation import ListOperation


def lists(product: str) -> dict[str, OperationFacts]:
    return {each.name: each for each in load(product).operations if each.answer == "list"}


def operation(name: str) -> ListOperation[Any]:
    product, resource, verb = name.split(".")
    module = importlib.import_module(f"zoho_async.{product}.{resource}")
    found: ListOperation[Any] = vars(module)[f"_{verb.upper()}"]
    return found


def docstring(name: str) -> str:
    product, resource, verb = name.split(".")
    module = importlib.import_module(f"zoho_async.{product}.{resource}")
    return " ".join((vars(module)[verb].__doc__ or "").split())


EVERY = [each for product in generate.PRODUCTS for each in lists(product).values()]


# -- changes ------------------------------------------------------------------------------------

#: Described, or used by others (contacts, items, payments).
CHANGED = {
    "books.base_currency_adjustment.list",
    "books.bills.list",
    "books.chart_of_accounts.list",
    "books.contacts.list",
    "books.credit_notes.list",
    "books.customer_payments.list",
    "books.estimates.list",
    "books.invoices.list",
    "books.items.list",
    "books.purchase_orders.list",
    "books.recurring_bills.list",
    "books.sales_orders.list",
    "books.vendor_credits.list",
    "books.vendor_credits.list_all_refunds",
    "books.vendor_payments.list",
    "invoice.contacts.list",
    "invoice.customer_payments.list",
    "invoice.items.list",
    "inventory.composite_items.list",
    "inventory.items.list",
    "inventory.vendor_credits.list",
    "inventory.vendor_credits.list_all_refunds",
}


def test_lists_with_a_change_filter_are_known() -> None:
    assert {each.name for each in EVERY if each.changes} == CHANGED
    assert {each.changes for each in EVERY} == {"", "last_modified_time"}


def test_a_change_filter_is_a_parameter_that_is_not_ignored() -> None:
    for each in EVERY:
        if each.changes:
            assert each.changes in {parameter.name for parameter in each.query}
            assert not {"*", each.changes} & set(each.ignored)
            assert "returns only records changed since then" in docstring(each.name)


def test_the_filter_of_journals_finds_no_changes() -> None:
    assert lists("books")["books.journals.list"].changes == ""
    assert "exactly that time; ``date_after``" in docstring("books.journals.list")


# -- order --------------------------------------------------------------------------------------


def test_the_stable_order_can_be_requested() -> None:
    for each in EVERY:
        if each.order:
            column = next(field for field in each.query if field.name == "sort_column")
            assert each.order == "created_time"
            assert "created_time" in column.allowed
            assert "sort_order" not in each.ignored
            assert "Iteration sorts by ``created_time``" in docstring(each.name)
            assert "With another ``sort_column``" in docstring(each.name)


@pytest.mark.parametrize("product", ["books", "inventory"])
def test_purchase_orders_have_no_stable_order(product: str) -> None:
    name = f"{product}.purchase_orders.list"
    assert lists(product)[name].order == ""
    assert lists(product)[name].ignored == ("sort_order",)
    assert operation(name).order == ""


# -- totals and sizes of pages ------------------------------------------------------------------


#: Paged lists that Zoho does not document as lists: searches, reports and settings. Whether they
#: can be counted has not been observed. Observed operations (with evidence) are counted apart.
UNCOUNTED = {
    "books.fixed_assets.list_types",
    "books.reporting_tags.list",
    "books.reporting_tags.list_options",
    "inventory.landed_costs.list_bills",
    "inventory.picklists.search_purchase_return_line_items",
    "inventory.picklists.search_sales_order_line_items",
    "inventory.picklists.search_sales_orders",
    "inventory.replenishments.list_order_details",
    "inventory.replenishments.list_tasks_report",
    "inventory.reporting_tags.list",
    "inventory.reporting_tags.list_options",
}


def test_top_level_lists_with_pages_have_totals() -> None:
    top = [each for each in EVERY if "{" not in each.path and each.paged]
    ours = [each for each in top if each.name.startswith(("books.", "inventory."))]
    described = [each for each in ours if not each.evidence]
    assert {each.name for each in described if not each.totals} == UNCOUNTED
    assert not any(each.totals for each in EVERY if not each.paged or "{" in each.path)
    assert not any(each.totals for each in lists("billing").values())


def test_a_page_holds_200_rows_with_known_exceptions() -> None:
    assert {each.name: each.per_page for each in EVERY if each.per_page != 200} == {
        "books.chart_of_accounts.list": 5000,
        "books.registers.list_bulk_action_history": 10,
        "books.registers.list_transactions": 10,
        "inventory.units.list_groups": 50,
    }
    assert {each.max_per_page for each in EVERY} == {200}
    assert "A page holds 5000 rows" in docstring("books.chart_of_accounts.list")


# -- batches and details ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "parameter", "most"),
    [
        ("books.items.list_details", "item_ids", 100),
        ("inventory.items.list_details", "item_ids", 100),
        ("books.sales_orders.list", "salesorder_ids", 200),
        ("inventory.sales_orders.list", "salesorder_ids", 200),
        ("books.journals.list", "journal_ids", 200),
        ("inventory.landed_costs.list_bills", "bill_ids", 200),
    ],
)
def test_bulk_reads_have_their_limits(name: str, parameter: str, most: int) -> None:
    batch = operation(name).batch
    assert batch is not None
    assert (batch.parameter, batch.most) == (parameter, most)
    assert lists(name.partition(".")[0])[name].batch == most
    assert f"More than {most} ids" in docstring(name)


@pytest.mark.parametrize(
    ("name", "details", "batch"),
    [
        ("books.items.list", "books.items.list_details", 100),
        ("inventory.items.list", "inventory.items.list_details", 100),
        ("books.sales_orders.list", "books.sales_orders.list", 200),
        ("inventory.sales_orders.list", "inventory.sales_orders.list", 200),
    ],
)
def test_a_list_names_the_function_that_reads_full_records(
    name: str, details: str, batch: int
) -> None:
    facts = lists(name.partition(".")[0])[name]
    assert (facts.details, facts.batch) == (details, batch)


DOCUMENTS = {"invoices": 25, "estimates": 25, "sales_orders": 25}


def test_bulk_documents_and_emails_have_their_limits() -> None:
    books = {each.name: each for each in load().operations}
    for resource, most in DOCUMENTS.items():
        for verb in ("export_pdf", "print_pdf"):
            assert books[f"books.{resource}.{verb}"].batch == most
    for resource in ("invoices", "estimates"):
        assert books[f"books.{resource}.bulk_email"].batch == 10


# -- filters that have no effect, and lists that come at once -----------------------------------


def test_filters_without_effect_are_named() -> None:
    assert {each.name: each.ignored for each in EVERY if each.ignored} == {
        "books.contacts.list": ("contact_type",),
        "books.purchase_orders.list": ("sort_order",),
        "invoice.contacts.list": ("contact_type",),
        "inventory.bills.list": ("*",),
        "inventory.packages.list": ("package_number", "salesorder_number", "status"),
        "inventory.purchase_orders.list": ("sort_order",),
        "inventory.sales_returns.list": ("*",),
    }
    for each in EVERY:
        if each.ignored:
            assert re.search("Zoho accepts .* here but ignores them", docstring(each.name))


TREES = {"balance_sheet", "cash_flow", "general_ledger", "profit_and_loss", "trial_balance"}


def test_lists_in_one_reply_are_not_paged() -> None:
    # Trees of accounts in reports are lists of one reply, and their functions return a tree.
    trees = {f"books.reports.{name}" for name in TREES}
    at_once = {each.name for each in EVERY if not each.paged}
    assert trees < at_once
    at_once -= trees
    assert {"books.organizations.list", "inventory.organizations.list"} < at_once
    assert {"books.items.list_details", "inventory.items.list_details"} < at_once
    others = {name.rpartition(".")[2] for name in at_once}
    assert others == {"list", "list_details", "list_for_user", "list_templates"}
    assert all("One reply holds all rows." in docstring(name) for name in at_once)


def test_every_list_says_the_same_as_its_operation() -> None:
    for each in EVERY:
        found = operation(each.name)
        assert (found.order, found.paged, found.totals) == (each.order, each.paged, each.totals)
        assert (found.row_id, found.key) == (each.row_id, each.key)
