"""Creates, updates, deletes and status verbs."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from tests.support.plain_client import PlainClient, raw
from zoho_async.sandbox import Sandbox


@pytest.fixture
async def zoho() -> AsyncIterator[PlainClient]:
    sizes = {"contacts": 30, "items": 20, "invoices": 60, "projects": 5}
    async with raw(Sandbox(sizes=sizes, per_minute=1000)) as client:
        yield client


def first(zoho: PlainClient, resource: str) -> Any:
    return msgspec.json.decode(zoho.sandbox.truth(resource)[0])


async def test_a_created_contact_gets_201_and_its_location(zoho: PlainClient) -> None:
    made = await zoho.call(
        "POST",
        "/contacts",
        json={
            "contact_name": "Muller & Co",
            "payment_terms": 15,
            "billing_address": {"city": "Recife"},
            "contact_persons": [{"first_name": "Ana", "email": "ana@example.com"}],
            "custom_fields": [{"api_name": "cf_region", "label": "Region", "value": "South"}],
        },
    )
    contact = made.json["contact"]
    assert made.status == 201
    assert made.headers["location"] == f"/api/v3/contacts/{contact['contact_id']}"
    assert made.json["message"] == "The contact has been added."
    assert contact["billing_address"]["city"] == "Recife"
    assert contact["billing_address"]["address_id"].isdigit()
    assert contact["payment_terms_label"] == "Net 15"
    assert contact["email"] == "ana@example.com"
    assert contact["cf_region"] == "South"
    got = await zoho.get(f"/contacts/{contact['contact_id']}")
    assert got.json["contact"] == contact
    row = msgspec.json.decode(zoho.sandbox.truth("contacts")[-1])
    assert (row["contact_name"], row["vendor_name"]) == ("Muller & Co", "Muller & Co")


async def test_the_form_field_jsonstring_works_like_a_json_body(zoho: PlainClient) -> None:
    form = {"JSONString": json.dumps({"contact_name": "By form"})}
    assert (await zoho.call("POST", "/contacts", data=form)).status == 201
    bare = await zoho.call("POST", "/contacts", data={"contact_name": "No"})
    assert (bare.status, bare.code) == (400, 4)
    for body in ("{", "[]", "nonsense"):
        broken = await zoho.call("POST", "/contacts", data=body)
        assert (broken.status, broken.code) == (400, 1038)


async def test_an_update_keeps_what_it_does_not_name(zoho: PlainClient) -> None:
    row = first(zoho, "contacts")
    path = f"/contacts/{row['contact_id']}"
    before = (await zoho.get(path)).json["contact"]
    answer = await zoho.call(
        "PUT",
        path,
        json={"contact_name": "Renamed", "contact_type": "vendor", "unheard_of": 1},
    )
    after = answer.json["contact"]
    assert answer.status == 200
    changed = {name for name in after if after[name] != before[name]}
    assert changed <= {"contact_name", "contact_type", "last_modified_time"}
    assert "unheard_of" not in after
    assert first(zoho, "contacts")["last_modified_time"] > row["last_modified_time"]
    assert set(first(zoho, "contacts")) == set(row)


async def test_status_verbs_change_the_status(zoho: PlainClient) -> None:
    for resource, single in (("contacts", "contact"), ("items", "item"), ("projects", "project")):
        record_id = first(zoho, resource)[f"{single}_id"]
        for status in ("inactive", "active"):
            answer = await zoho.call("POST", f"/{resource}/{record_id}/{status}", json={})
            assert answer.json == {"code": 0, "message": answer.json["message"]}
            assert f"marked as {status}" in answer.json["message"]
            assert first(zoho, resource)["status"] == status
    invoice = first(zoho, "invoices")
    for status in ("void", "draft", "sent"):
        await zoho.call("POST", f"/invoices/{invoice['invoice_id']}/status/{status}")
        now = first(zoho, "invoices")
        assert now["status"] == status
        assert now["total"] == invoice["total"]


async def test_an_invoice_adds_up_exactly(zoho: PlainClient) -> None:
    contact, item = first(zoho, "contacts"), first(zoho, "items")
    body = {
        "customer_id": contact["contact_id"],
        "date": "2026-06-09",
        "payment_terms": 15,
        "line_items": [
            {"item_id": item["item_id"], "quantity": 3, "rate": Decimal("0.1")},
            {"name": "Work", "quantity": 1, "rate": Decimal("90071992547409.93")},
        ],
    }
    exact = msgspec.json.Encoder(decimal_format="number").encode(body)
    made = await zoho.call("POST", "/invoices", data=exact)
    assert made.status == 201
    values = msgspec.json.decode(
        msgspec.json.decode(made.body, type=dict[str, msgspec.Raw])["invoice"],
        type=dict[str, msgspec.Raw],
    )
    assert bytes(values["total"]) == bytes(values["balance"]) == b"90071992547410.23"
    invoice = made.json["invoice"]
    assert invoice["customer_name"] == contact["contact_name"]
    assert (invoice["status"], invoice["due_date"]) == ("draft", "2026-06-24")
    assert len({line["line_item_id"] for line in invoice["line_items"]}) == 2
    assert invoice["invoice_number"]


async def test_a_put_replaces_the_lines_of_an_invoice(zoho: PlainClient) -> None:
    row = (await zoho.get("/invoices", status="overdue")).json["invoices"][0]
    path = f"/invoices/{row['invoice_id']}"
    lines = [{"name": "Only", "quantity": 2, "rate": 10}]
    answer = await zoho.call("PUT", path, json={"line_items": lines})
    assert [line["name"] for line in answer.json["invoice"]["line_items"]] == ["Only"]
    assert answer.json["invoice"]["total"] == 20.0
    assert b'"total":20.0,' in answer.body


@pytest.mark.parametrize(
    ("path", "key", "party"),
    [("invoices", "invoice", "customer_id"), ("bills", "bill", "vendor_id")],
)
async def test_an_added_line_gets_a_new_id(
    zoho: PlainClient, path: str, key: str, party: str
) -> None:
    contact = (await zoho.get("/contacts", per_page="1")).json["contacts"][0]["contact_id"]
    lines = [{"name": name, "rate": 1, "quantity": 1} for name in ("first", "second")]
    body = {party: contact, "bill_number": "B-1", "line_items": lines}
    made = (await zoho.call("POST", f"/{path}", json=body)).json[key]
    second = made["line_items"][1]
    changed = {"line_items": [second, {"name": "third", "rate": 2, "quantity": 1}]}
    answer = await zoho.call("PUT", f"/{path}/{made[f'{key}_id']}", json=changed)
    after = answer.json[key]["line_items"]
    assert [line["name"] for line in after] == ["second", "third"]
    assert after[0]["line_item_id"] == second["line_item_id"] != after[1]["line_item_id"] != ""


async def test_deleted_records_are_gone_and_used_contacts_cannot_be_deleted(
    zoho: PlainClient,
) -> None:
    used = first(zoho, "contacts")["contact_id"]
    refused = await zoho.call("DELETE", f"/contacts/{used}")
    assert (refused.status, refused.code) == (400, 3000)
    free = msgspec.json.decode(zoho.sandbox.truth("contacts")[-1])["contact_id"]
    assert (await zoho.call("DELETE", f"/contacts/{free}")).status == 200
    for method in ("GET", "PUT", "DELETE"):
        gone = await zoho.call(method, f"/contacts/{free}", json={})
        assert (gone.status, gone.code) == (404, 1002)
    assert len(zoho.sandbox.truth("contacts")) == 29
    made = await zoho.call("POST", "/contacts", json={"contact_name": "After"})
    assert int(made.json["contact"]["contact_id"]) > int(free)


async def test_names_and_numbers_are_unique(zoho: PlainClient) -> None:
    contact, item, invoice = (first(zoho, name) for name in ("contacts", "items", "invoices"))
    line = {"name": "Work", "quantity": 1, "rate": 1}
    for path, body, code in (
        ("/contacts", {"contact_name": contact["contact_name"]}, 3062),
        ("/items", {"name": item["name"], "rate": 1}, 1000),
        (
            "/invoices",
            {
                "customer_id": contact["contact_id"],
                "invoice_number": invoice["invoice_number"],
                "line_items": [line],
            },
            1001,
        ),
    ):
        answer = await zoho.call("POST", path, json=body)
        assert (answer.status, answer.code) == (400, code)
    assert (await zoho.call("POST", "/contacts", json={"contact_name": "Twice"})).status == 201
    assert (await zoho.call("POST", "/contacts", json={"contact_name": "Twice"})).code == 3062


async def test_bad_bodies_are_refused_with_the_documented_codes(zoho: PlainClient) -> None:
    contact = first(zoho, "contacts")["contact_id"]
    line = {"name": "Work", "quantity": 1, "rate": 1}
    for path, body, status, code in (
        ("/contacts", {}, 400, 3013),
        ("/contacts", {"contact_name": "A", "contact_type": "friend"}, 400, 4),
        ("/contacts", {"contact_name": "A", "billing_address": 5}, 400, 4),
        ("/items", {"name": "No price"}, 400, 4),
        ("/items", {"name": "x" * 101, "rate": 1}, 400, 4),
        ("/items", {"name": "Odd", "rate": "plenty"}, 400, 4),
        ("/invoices", {"customer_id": contact}, 400, 4),
        ("/invoices", {"customer_id": contact, "line_items": ["x"]}, 400, 4),
        ("/invoices", {"customer_id": "12", "line_items": [line]}, 404, 1002),
        (
            "/invoices",
            {"customer_id": contact, "line_items": [{**line, "item_id": "12"}]},
            400,
            2006,
        ),
    ):
        answer = await zoho.call("POST", path, json=body)
        assert (answer.status, answer.code) == (status, code), (path, body, answer.body)
    assert len(zoho.sandbox.truth("invoices")) == 60


async def test_an_upsert_finds_its_record_by_a_custom_field(zoho: PlainClient) -> None:
    key = {"X-Unique-Identifier-Key": "cf_ref", "X-Unique-Identifier-Value": "R-1"}
    body = {
        "contact_name": "Upserted",
        "contact_type": "customer",
        "custom_fields": [{"api_name": "cf_ref", "value": "R-1"}],
    }
    missing = await zoho.call("PUT", "/contacts", json=body, headers=key)
    assert missing.status == 404
    upsert = {**key, "X-Upsert": "true"}
    made = await zoho.call("PUT", "/contacts", json=body, headers=upsert)
    again = await zoho.call("PUT", "/contacts", json={"notes": "Again"}, headers=upsert)
    assert (made.status, again.status) == (201, 200)
    assert made.json["contact"]["contact_id"] == again.json["contact"]["contact_id"]
    assert len(zoho.sandbox.truth("contacts")) == 31


async def test_a_project_is_cloned(zoho: PlainClient) -> None:
    project_id = first(zoho, "projects")["project_id"]
    clone = await zoho.call("POST", f"/projects/{project_id}/clone", json={"project_name": "Two"})
    assert clone.status == 201
    assert clone.json["project"]["project_name"] == "Two"
    assert clone.json["project"]["project_id"] != project_id
