"""The generator extracts facts from text and invalid input, and nothing doubtful."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from zoho_async.codegen import distill, naming, observed, pages, prose, spec, words
from zoho_async.codegen.kinds import Place, element_of, kind_of
from zoho_async.codegen.spec import CallSpec, Node
from zoho_async.description import Kind

REFERENCE = Path(__file__).parents[3] / "shared" / "reference"


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("Allowed Values: <code>a</code>, <code>b</code> and <code>c</code>", ("a", "b", "c")),
        ("Allowed values are <code> a </code> , <code>b</code>.", ("a", "b")),
        ("allowed values <code>de,en,es</code>", ("de", "en", "es")),
        ("Allowed Values: <code>x</code>, <code>y and z</code>", ("x", "y", "z")),
        (
            "Allowed Values: <br/><code>uk</code> (in the UK.),<br/><code>eu</code> (in the EU)",
            ("uk", "eu"),
        ),
        ("Allowed Values: <code>contact_person_id</code>", ()),
        ("Tax can be given only if <code>is_taxable</code> is <code>true</code>.", ()),
        ("Allowed Values: <b>For UK:</b> <code>a</code>, <code>b</code>", ()),
    ],
)
def test_allowed_values_are_read_from_sentences_unless_in_doubt(
    text: str, values: tuple[str, ...]
) -> None:
    assert prose.allowed_values(text) == values


@pytest.mark.parametrize(
    ("allowed", "example", "widened"),
    [
        (("Cash", "Both"), "both", ("Cash", "Both", "both")),
        (("Cash", "Both"), "Cash", ("Cash", "Both")),
        (("1", "2"), 3, ("1", "2", "3")),
        (("entity_level", "item_level"), "entity level", ("entity_level", "item_level")),
        (("uk", "overseas"), "string", ("uk", "overseas")),
        ((), "anything", ()),
    ],
)
def test_a_field_allows_its_example(
    allowed: tuple[str, ...], example: object, widened: tuple[str, ...]
) -> None:
    assert prose.widened(allowed, example) == widened


@pytest.mark.parametrize(
    ("name", "text", "most"),
    [
        ("contact_ids", "Comma-separated ids. Maximum of 200 contacts per request.", 200),
        ("journal_ids", "Maximum of 25.", 25),
        ("picklist_ids", "Maximum 200 IDs.", 200),
        ("transfer_order_ids", "Minimum 1 and maximum 25 IDs.", 25),
        ("customer_ids_in", "Maximum 50.", 50),
        ("name", "Maximum of 200.", None),
        ("item_ids", "Maximum 100 characters.", None),
    ],
)
def test_a_parameter_of_ids_has_its_limit(name: str, text: str, most: int | None) -> None:
    assert prose.most_ids(name, text) == most


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("Name of the item. Max-length [100]", 100),
        ("<code>Maximum length [500]</code>", 500),
        ("Maximum length allowed is 100 characters.", 100),
        ("A name.", None),
    ],
)
def test_maximum_lengths_are_read_in_every_spelling(text: str, length: int | None) -> None:
    assert prose.max_length(text) == length


def test_variants_of_a_filter_start_with_its_name() -> None:
    text = "Variants: <code>due_date_start, date_start and date_after</code>"
    assert prose.variants("date", text) == ("date_start", "date_after")


def test_a_batch_limit_is_a_number_of_records() -> None:
    assert prose.batch_limit("Maximum of 25 invoices can be exported.") == 25
    assert prose.batch_limit("Maximum length allowed is 100 characters.") is None


@pytest.mark.parametrize(
    ("example", "form"),
    [
        (True, "boolean"),
        ("true", "truth"),
        (982000000567114, "digits"),
        ("15", "integer"),
        (12.5, "decimal"),
        ("1,200.50", "decimal"),
        ("2013-11-17", "date"),
        (dt.date(2013, 11, 17), "date"),
        ("2013-11-18T02:17:40-0800", "time"),
        ("12:26", "clock"),
        (" ", "blank"),
        (None, ""),
        ("70%", "percent"),
        ("20.00 %", "percent"),
        ("VAT (12.5%)", "text"),
    ],
)
def test_an_example_is_reduced_to_its_form(example: Any, form: str) -> None:
    assert distill.looks(example) == form


@pytest.mark.parametrize(
    ("node", "place", "kind"),
    [
        (Node(name="item_id", type="integer", looks="digits"), "reply", "id"),
        (Node(name="tax_id", type="boolean"), "reply", "id"),
        (Node(name="is_org_email_id", type="boolean"), "reply", "boolean"),
        (Node(name="total", type="string", looks="decimal"), "reply", "decimal"),
        (Node(name="total_formatted", type="string", looks="decimal"), "reply", "text"),
        (Node(name="quantity", type="integer", looks="integer"), "reply", "decimal"),
        (Node(name="item_order", type="integer", looks="integer"), "reply", "integer"),
        (Node(name="price_precision", type="number", looks="integer"), "reply", "integer"),
        (Node(name="invoice_number", type="integer", looks="integer"), "reply", "text"),
        (Node(name="date", type="string", looks="date"), "reply", "date"),
        (Node(name="due_date", type="string", looks="blank"), "reply", "date"),
        (Node(name="date", type="string", looks="clock"), "reply", "text"),
        (Node(name="created_time", type="string"), "reply", "time"),
        (Node(name="time", type="string", looks="text"), "reply", "text"),
        (Node(name="log_time", type="number", looks="clock"), "reply", "text"),
        (Node(name="send", type="string", allowed=("true", "false")), "query", "boolean"),
        (Node(name="invoice_ids", type="string", looks="text"), "query", "list"),
        (Node(name="anything"), "reply", "any"),
    ],
)
def test_a_kind_follows_name_and_example_rather_than_the_declared_type(
    node: Node, place: Place, kind: Kind
) -> None:
    assert kind_of(node, place) == kind


def test_mail_addresses_are_not_ids_despite_their_name() -> None:
    items = Node(type="string")
    assert element_of(Node(name="to_mail_ids", type="array", items=items)) == "text"
    assert element_of(Node(name="time_entry_ids", type="array", items=items)) == "id"


@pytest.mark.parametrize(
    ("call", "noun", "name"),
    [
        ("list_invoices", "invoice", "list"),
        ("mark_invoice_sent", "invoice", "mark_as_sent"),
        ("create_contact_person", "contact", "create_contact_person"),
        ("list_contact_autobill_recurring_invoices", "contact", "list_autobill_recurring_invoices"),
        ("list_project_invoices", "project", "list_invoices"),
        ("update_custom_fields_in_item", "item", "update_custom_fields"),
        ("get_creditnote", "credit_note", "get"),
    ],
)
def test_function_names_leave_out_the_noun_of_their_module(call: str, noun: str, name: str) -> None:
    calls = [CallSpec(id=call, method="GET", path="/x")]
    assert naming.names(calls, (noun,), lambda _: None) == {call: name}


def test_an_operation_on_many_gets_the_bulk_prefix_if_names_clash() -> None:
    calls = [
        CallSpec(id="delete_invoice", method="DELETE", path="/invoices/{invoice_id}"),
        CallSpec(id="delete_invoices", method="DELETE", path="/invoices"),
    ]
    found = naming.names(calls, ("invoice",), lambda _: None)
    assert found == {"delete_invoice": "delete", "delete_invoices": "bulk_delete"}


def test_names_do_not_shadow_python_names() -> None:
    assert words.attribute("class") == "class_"
    assert words.attribute("list") == "list_"
    assert words.attribute("extra") == "extra_"
    assert words.attribute("1099_box") == "field_1099_box"
    assert words.identifier("from") == "from_"
    assert words.identifier("startTrial") == "start_trial"


DIRTY: dict[str, Any] = {
    "paths": {
        "/things": {
            "x-mcp-group": ["Things"],
            "parameters": [{"$ref": "#/components/parameters/organization_id"}],
            "get": {
                "summary": "List the Things",
                "description": "Things.",
                "security": [{"Zoho_Auth": ["ZohoBooks.things.READ"]}],
                "parameters": [
                    {"name": "page ", "in": "query", "schema": {"type": "integer"}},
                    {"name": "page", "in": "query", "schema": {"type": "string"}},
                ],
                "responses": {
                    "200": {
                        "content": {
                            "application/json": {"schema": {"$ref": "#/components/schemas/answer"}}
                        }
                    }
                },
            },
        },
    },
    "components": {
        "parameters": {
            "organization_id": {"name": "organization_id", "in": "query", "required": True}
        },
        "schemas": {
            "answer": {
                "type": "object",
                "properties": {
                    "things": {"type": "array", "items": {"$ref": "#/components/schemas/thing"}}
                },
            },
            "thing": {
                "required": ["name"],
                "properties": {
                    "name": {"$ref": "#/components/schemas/name"},
                    "lost": {"$ref": "#/components/schemas/nowhere"},
                    "parent": {"$ref": "#/components/schemas/thing"},
                    "either": {
                        "oneOf": [
                            {"type": "object", "properties": {"a": {"type": "string"}}},
                            {"type": "object", "properties": {"b": {"type": "string"}}},
                        ]
                    },
                },
            },
            "name": {"type": "string", "description": "Max-length [7]", "example": "Chair"},
        },
    },
}  # fmt: skip


def test_an_uneven_file_is_read_completely() -> None:
    source = distill.distill(DIRTY, product="books", resource="things")
    (call,) = source.calls
    assert call.id == "list_things"
    assert call.organization
    assert call.scope == "ZohoBooks.things.READ"
    assert [node.name for node in call.query] == ["page"]
    fields = {node.name: node for node in source.objects["list_things.reply.things"]}
    assert fields["name"].required
    assert fields["name"].max_length == 7
    assert fields["lost"] == Node(name="lost")
    assert fields["parent"].object == ""
    assert [node.name for node in source.objects[fields["either"].object]] == ["a", "b"]


def test_distilling_is_deterministic_and_drops_sentences() -> None:
    texts = {
        spec.dump(distill.distill(DIRTY, product="books", resource="things")) for _ in range(2)
    }
    (text,) = texts
    assert "Things." not in text
    assert "Chair" not in text


@pytest.mark.skipif(
    not (REFERENCE / "openapi").is_dir(), reason=f"Zoho's files are not there ({REFERENCE})"
)
@pytest.mark.parametrize(("product", "files"), [("books", 42), ("inventory", 37), ("billing", 24)])
def test_every_official_file_is_distilled(product: str, files: int) -> None:
    """`test_codegen_output` compares each with what was distilled, and counts the operations."""
    ours = observed.resources(REFERENCE, product)
    names = [each for each in distill.resources(REFERENCE, product) if each not in ours]
    assert len(names) == files


PAGE = """\
Create a bill
Create a bill of a vendor.

oauthscope : ZohoInvoice.bills.CREATE

POST /invoices
Arguments
vendor_id
Required
ID of the vendor.
terms
Optional
What was agreed.
Required
Line items of a bill.
item_id
(India Edition only)
Required
ID of the item.
"""


def test_the_heading_of_a_nested_table_is_not_an_argument() -> None:
    (operation,) = pages.operations(PAGE)
    assert [(each.name, each.required) for each in operation.arguments] == [
        ("vendor_id", True),
        ("terms", False),
        ("item_id", True),
    ]
