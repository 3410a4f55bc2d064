"""Seeded records are consistent, and no input can corrupt the store."""

from __future__ import annotations

import contextlib
import random
from collections import Counter
from decimal import Decimal
from typing import Any, Final

import msgspec
import pytest

from tests.support.sandbox_api import route_of
from zoho_async import description
from zoho_async.sandbox.api.context import ApiCall
from zoho_async.sandbox.api.dispatch import answer
from zoho_async.sandbox.data.seed import SampleData
from zoho_async.sandbox.data.store import RESOURCES, Store
from zoho_async.sandbox.replies import ENCODER, ApiRefusal

SIZES = {"contacts": 40, "items": 25, "invoices": 120, "projects": 8}


@pytest.fixture
def store() -> Store:
    return Store(SampleData(11, "10234695", SIZES))


def test_an_invoice_is_the_sum_of_its_lines(store: Store) -> None:
    invoices = store.collection("invoices")
    for index in invoices.indexes():
        whole = invoices.detail(index)
        total = sum(Decimal(str(line["item_total"])) for line in whole["line_items"])
        assert Decimal(str(whole["total"])) == total


def test_balances_agree_with_statuses(store: Store) -> None:
    invoices = store.collection("invoices")
    seen = set[str]()
    for index in invoices.indexes():
        row = invoices.row(index)
        seen.add(row["status"])
        expected = {
            "paid": row["balance"] == 0,
            "void": row["balance"] == 0,
            "partially_paid": 0 < row["balance"] < row["total"],
        }
        assert expected.get(row["status"], row["balance"] == row["total"])
    assert seen == {"draft", "sent", "overdue", "partially_paid", "paid", "void"}


def test_documents_name_existing_contacts_and_items(store: Store) -> None:
    for name in ("invoices", "projects"):
        for index in store.collection(name).indexes():
            record = store.collection(name).detail(index)
            contact = store.collection("contacts").find(record["customer_id"])
            assert contact is not None
            named = store.collection("contacts").row(contact)["contact_name"]
            assert record["customer_name"] == named
            for line in record.get("line_items", []):
                assert store.exists("books.items", line["item_id"])


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.key)
def test_rewriting_a_record_changes_only_its_modification_time(store: Store, resource: Any) -> None:
    collection = store.collection(resource.name)
    encode = ENCODER.encode
    before = [(collection.row(index), collection.detail(index)) for index in range(8)]
    for index in range(8):
        collection.change(index, {})
        row, detail = collection.row(index), collection.detail(index)
        for old, new in zip(before[index], (row, detail), strict=True):
            changed = {name for name in old if encode(old[name]) != encode(new[name])}
            assert set(new) == set(old)
            assert changed <= {"last_modified_time", "last_modified_time_formatted"}


_VALUES: Final[tuple[Any, ...]] = (
    *(None, "", " ", "x", "12", "-1", "1e400", "NaN", 0, -1, 10**30, True, Decimal("0.125")),
    *([], [1], [None], [{}], [{"value": None}], [{"quantity": "many"}], [{"rate": []}]),
    *({}, {"a": 1}, {"city": None}, "2026-06-09", "2026-99-99", "2026-06-09T00:00:00+0000"),
)


async def test_no_body_makes_the_sandbox_fail(store: Store) -> None:
    chance = random.Random(4)
    facts = description.load()
    outcomes = Counter[str]()
    for _ in range(1500):
        resource = chance.choice(RESOURCES)
        verb = chance.choice(("create", "update"))
        named = [field.name for field in facts.named(f"{resource.name}.{verb}").body]
        named += list(resource.blanks)
        body = {name: chance.choice(_VALUES) for name in chance.sample(named, 5)}
        if verb == "create":
            customer = store.collection("contacts").row(0)["contact_id"]
            line = {"name": "Work", "quantity": 1, "rate": 1}
            body = {
                "contact_name": f"N{chance.random()}",
                "name": f"I{chance.random()}",
                "rate": 5,
                "customer_id": customer,
                "line_items": [line],
                **body,
            }
        record_id = store.world.id(resource.name, chance.randrange(5))
        parts = (resource.key,) if verb == "create" else (resource.key, record_id)
        method = "POST" if verb == "create" else "PUT"
        call = ApiCall(method=method, parts=parts, params={}, headers={}, body=body)
        with contextlib.suppress(ApiRefusal):
            msgspec.json.decode((await answer(call, route_of(call), store, [store])).content())
            outcomes["accepted"] += 1
        outcomes["asked"] += 1
    for resource in RESOURCES:
        for row in map(store.collection(resource.name).encoded_row, range(5)):
            msgspec.json.decode(row)
    assert outcomes["asked"] > 5 * outcomes["accepted"] > 100
