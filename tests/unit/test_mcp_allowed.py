"""What agents may call, over all operations of all products."""

from __future__ import annotations

import importlib
import inspect
import re

import pytest

from zoho_async import description
from zoho_async.description import OperationFacts
from zoho_async.errors import ConfigurationError
from zoho_async.integrations.mcp.allowed import (
    access_of,
    check_query,
    check_required,
    filled_path,
    operation_named,
    operations,
    parameters_of,
)
from zoho_async.operation import PRODUCTS

ALL = [facts for product in PRODUCTS for facts in description.load(product).operations]
#: Words of acting in the name, the path or the first sentence of an operation.
ACTING = re.compile(
    r"(?<![a-z])(send|mark|approve|submit|generate|convert|create|update|delete|verify|cancel|void|"
    r"charge|import|trigger|write|reset|sync|start|stop|fetch|share|push|encrypt|secret|password|"
    r"key|url|script|card|print|pdf|execute|invite|regenerat|merge|clone|enable|disable)",
)
#: Reads whose texts have such a word in another sense. Each was looked at.
LOOKED_AT = {
    "books.bank_accounts.get_last_imported_bank_statement",  # the statement that was imported
    "books.contacts.list_autobill_recurring_invoices",  # invoices that are charged to a card
    "books.contacts.get_card_count",  # a number
    "books.registers.list_bulk_update_fields",  # names of fields that can be updated
    "billing.settings.get_churn_message_preferences",  # texts for customers who cancel
    "billing.unbilled_charges.get",  # a record
}


def text_of(facts: OperationFacts) -> str:
    """The name, path and first sentence of an operation, as they are documented."""
    function = getattr(
        importlib.import_module(f"zoho_async.{facts.resource}"), facts.name.rpartition(".")[2]
    )
    sentence = (inspect.getdoc(function) or "").split("\n\n")[0]
    return f"{facts.name} {facts.path} {sentence}".lower().replace("_", " ")


def test_each_read_is_a_get_that_needs_a_scope_of_reading() -> None:
    reads = [facts for facts in ALL if access_of(facts) == "read"]
    assert len(reads) > 500
    assert {facts.method for facts in reads} == {"GET"}
    others = {facts.name for facts in reads if not facts.scope.lower().endswith(".read")}
    assert others <= {
        "books.custom_modules.get_record",
        "books.custom_modules.list_records",
        *(facts.name for facts in reads if not facts.scope),
    }


def test_no_read_speaks_of_acting_but_those_that_a_person_looked_at() -> None:
    suspicious = {
        facts.name for facts in ALL if access_of(facts) == "read" and ACTING.search(text_of(facts))
    }
    assert suspicious == LOOKED_AT


@pytest.mark.parametrize(
    "name",
    [
        "books.invoices.generate_payment_link",
        "books.invoices.get_payment_qr",
        "books.contacts.verify_address",
        "books.bills.convert_purchase_order",
        "books.bank_accounts.get_bank_statement_import_encryption_key",
        "books.custom_triggers.get_url",
        "books.webhooks.list",
        "inventory.custom_functions.execute_trial",
        "billing.cards.get",
        "books.invoices.export_pdf",
    ],
)
def test_gets_that_act_and_operations_with_secrets_are_closed(name: str) -> None:
    assert name in {facts.name for facts in ALL}
    assert name not in operations()
    with pytest.raises(ConfigurationError, match="no operation for agents"):
        operation_named(name)


def test_every_operation_that_destroys_is_a_delete() -> None:
    deletes = {facts.name for facts in ALL if access_of(facts) == "delete"}
    assert "books.registers.bulk_delete_transactions" in deletes
    assert "books.contacts.merge" in deletes
    for facts in ALL:
        words = f"{facts.name} {facts.path}".lower()
        if facts.method == "DELETE" or (facts.method != "GET" and "delete" in words):
            assert access_of(facts) in ("delete", "closed"), facts.name


@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("contacts.get", ["contactpersons"]),
        ("contacts.get", ["address"]),
        ("contacts.get", ["1/statements"]),
        ("contacts.get", [".."]),
        ("contacts.get", [""]),
        ("contacts.get", []),
        ("contacts.get", ["1", "2"]),
        ("custom_modules.get_record", ["share", "paymentlink"]),
        ("custom_modules.list_records", ["users"]),
        ("custom_modules.list_records", ["cm_x?a=1"]),
    ],
)
def test_an_id_cannot_make_the_path_of_another_operation(name: str, ids: list[str]) -> None:
    with pytest.raises(ConfigurationError):
        filled_path(operation_named(name), ids)


def test_ids_and_custom_modules_fill_their_paths() -> None:
    assert filled_path(operation_named("contacts.get"), ["12"]) == "/contacts/12"
    path = filled_path(operation_named("custom_modules.get_record"), ["cm_cars", "12"])
    assert path == "/cm_cars/12"
    assert filled_path(operation_named("billing.plans.get"), ["gold+1"]) == "/plans/gold%2B1"


def test_parameters_that_act_or_are_unknown_are_refused() -> None:
    assert "startTrial" in {one.name for facts in ALL for one in facts.query}
    for facts in operations().values():
        assert not {"startTrial", "accept", "print", "organization_id"} & parameters_of(facts)
    invoices = operation_named("invoices.list")
    check_query(invoices, ["status", "cf_color", "page"])
    for name in ("organization_id", "stat", "accept"):
        with pytest.raises(ConfigurationError, match=name):
            check_query(invoices, [name])
    comments = operation_named("books.contacts.list_unused_retainer_payments")
    assert comments.answer == "list"
    details = operation_named("inventory.replenishments.get_task_for_item")
    needed = [one.name for one in details.query if one.required]
    assert needed
    with pytest.raises(ConfigurationError, match=needed[0]):
        check_required(details, [])
    check_required(details, needed)
