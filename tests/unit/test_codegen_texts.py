"""Every parameter and every field of the generated code says what it is."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.plain_english import banned_in
from zoho_async.codegen import generate
from zoho_async.codegen.facts import Facts
from zoho_async.codegen.functions import Parameter
from zoho_async.codegen.structs import Member

MODULES = [
    path
    for product in generate.PRODUCTS
    for path in sorted((generate.PACKAGE / product).rglob("[a-z]*.py"))
]
#: Zoho's word for a kind of cost.
ZOHO_WORDS = {"land" + "ed"}


def named(path: Path) -> str:
    return str(path.relative_to(generate.PACKAGE))


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def described(docstring: str) -> dict[str, str]:
    """The entries of the section ``Args:``."""
    entries: dict[str, str] = {}
    name = ""
    for line in docstring.partition("\nArgs:\n")[2].splitlines():
        if line.startswith("        "):
            entries[name] += f" {line.strip()}"
        else:
            name, _, text = line.strip().partition(": ")
            entries[name] = text
    return entries


def fields(node: ast.ClassDef) -> dict[str, str]:
    """The fields of a struct and their docstrings."""
    found: dict[str, str] = {}
    for before, after in zip(node.body, [*node.body[1:], None], strict=True):
        if isinstance(before, ast.AnnAssign) and isinstance(before.target, ast.Name):
            text = ""
            if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
                text = inspect.cleandoc(str(after.value.value))
            found[before.target.id] = text
    return found


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_every_parameter_and_field_is_described(path: Path) -> None:
    source = path.read_text("utf-8")
    tree = ast.parse(source)
    lacking: list[str] = []
    for function in functions(tree):
        if not function.args.args:
            continue
        arguments = [each.arg for each in (*function.args.args, *function.args.kwonlyargs)]
        entries = described(ast.get_docstring(function) or "")
        if [*entries] != arguments or not all(map(is_sentence, entries.values())):
            lacking.append(function.name)
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            lacking += [
                f"{node.name}.{name}"
                for name, text in fields(node).items()
                if not is_sentence(text)
            ]
    assert lacking == []
    assert {*banned_in(source)} <= ZOHO_WORDS


def is_sentence(text: str) -> bool:
    return text.endswith(".") and len(text) > 4 and (text[0].isupper() or text[0] in "`")


def facts() -> Facts:
    return Facts.read()


def test_a_field_tells_its_values_length_and_editions() -> None:
    member = Member(
        "gst_treatment",
        "text",
        allowed=("business_gst", "consumer"),
        max_length=50,
        regions=("in", "za"),
        only="record",
    )
    assert facts().of_field(member, "invoice") == (
        "How the contact is registered for GST (India). Values: ``business_gst``, ``consumer``. "
        "At most 50 characters. Editions: India, South Africa. Described for single records only."
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("salesorder_id", "Id of the sales order."),
        ("time_entry_ids", "Ids of the time entries."),
        ("name", "Name of the line item."),
        ("bcy_total", "Total in the base currency."),
        ("value_formatted", "``value`` as text, in the organization's format."),
        ("something_new", "Something new of the line item."),
    ],
)
def test_a_name_without_a_sentence_takes_a_pattern(name: str, text: str) -> None:
    assert facts().of_field(Member(name, "text"), "line_item") == text


def test_filters_say_that_they_are_filters() -> None:
    number = Parameter("invoice_number", "invoice_number", "text", max_length=100)
    order = Parameter("sort_order", "sort_order", "text", allowed=("A", "D"))
    texts = facts()
    assert texts.of_parameter(number, "invoice", is_filter=True) == (
        "Filter: number of the invoice. At most 100 characters."
    )
    assert texts.of_variant("date_after", number, "invoice") == (
        "Filter: ``date`` is after this day. At most 100 characters."
    )
    assert texts.of_parameter(order, "invoice", is_filter=True) == (
        "``A`` for ascending, ``D`` for descending."
    )


def test_sentences_without_a_field_are_reported() -> None:
    tables = {"names": {"a": "A."}, "parameters": {}, "patterns": {"*": "{Word}."}}
    texts = Facts({**tables, "spelling": {}, "editions": {}})
    assert texts.of_field(Member("a", "text"), "invoice") == "A."
    assert texts.unused() == ["*"]


# -- types ------------------------------------------------------------------------------------

#: Choices whose values no document lists.
UNDOCUMENTED = {
    "billing.invoices.list.filter_by",  # the sandbox takes the statuses of a record from it
    "books.custom_functions.list.filter_by",  # one value for each module
    "books.customer_payments.list.sort_column",
    "books.documents.list.filter_by",
    "books.documents.list.sort_column",
    "books.price_lists.bulk_get.filter_by",
    "books.price_lists.get_items.sort_column",
    "books.recurring_invoices.list.sort_column",
    "books.recurring_invoices.list_child_invoices.filter_by",
    "books.recurring_invoices.list_child_invoices.sort_column",
    "inventory.batches.list.filter_by",
    "inventory.custom_functions.list.filter_by",
    "inventory.customer_payments.list.sort_column",
    "inventory.move_orders.list.status",
    "inventory.packages.list.status",
    "inventory.putaways.list.filter_by",
    "inventory.putaways.list.sort_column",
    "inventory.transfer_orders.list.filter_by",
    "inventory.users.list.filter_by",
    "invoice.customer_payments.list.sort_column",
    "invoice.recurring_invoices.list.sort_column",
}


def test_choices_are_literals_wherever_their_values_are_known() -> None:
    choices = {"filter_by", "sort_column", "sort_order", "status"}
    found = {
        f"{path.parent.name}.{path.stem}.{function.name}.{each.arg}"
        for path in MODULES
        if path.parent.name in generate.PRODUCTS and path.stem != "reports"
        for function in functions(ast.parse(path.read_text("utf-8")))
        for each in function.args.kwonlyargs
        if each.arg in choices and ast.unparse(each.annotation or each) == "str | None"
    }
    assert found == UNDOCUMENTED


def names_in(node: ast.AST) -> set[str]:
    """The names of an annotation, also of those in quotes."""
    found = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
    texts = [each.value for each in ast.walk(node) if isinstance(each, ast.Constant)]
    return found | {text for text in texts if isinstance(text, str) and text.isidentifier()}


@pytest.mark.parametrize("product", generate.PRODUCTS)
def test_each_module_exports_the_types_of_its_signatures(product: str) -> None:
    held: dict[str, set[str]] = {}
    for path in (generate.PACKAGE / product / "types").glob("*.py"):
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.ClassDef):
                held[node.name] = {
                    name
                    for part in (*node.body, *node.bases)
                    for name in names_in(
                        part.annotation if isinstance(part, ast.AnnAssign) else part
                    )
                }
    lacking: list[str] = []
    for path in (generate.PACKAGE / product).glob("[a-z]*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        own = {
            target.id
            for node in tree.body
            if isinstance(node, ast.AnnAssign) and isinstance(target := node.target, ast.Name)
        }
        waiting = [
            name
            for function in functions(tree)
            for part in (function.args, function.returns)
            if part is not None
            for name in names_in(part)
        ]
        exported = names_in(next(node for node in tree.body if "__all__" in ast.unparse(node)))
        needed: set[str] = set()
        while waiting:
            name = waiting.pop()
            if name in needed or name not in held.keys() | own:
                continue
            needed.add(name)
            waiting += held.get(name, ())
        lacking += [f"{path.stem}.{name}" for name in sorted(needed - exported)]
    assert [name for name in lacking if not name.endswith("Fields")] == []


def test_no_struct_has_a_very_long_name() -> None:
    names = {
        node.name
        for path in MODULES
        for node in ast.parse(path.read_text("utf-8")).body
        if isinstance(node, ast.ClassDef)
    }
    assert "InvoiceBulkReminderErrorsInfo" in names
    assert [name for name in names if len(name) > 50] == []
