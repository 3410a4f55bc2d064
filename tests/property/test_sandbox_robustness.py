"""No request makes the sandbox fail: it answers or refuses every operation."""

from __future__ import annotations

import random
import re
from collections import Counter
from decimal import Decimal
from typing import Any, Final

import msgspec
import pytest

from tests.support.sandbox_api import route_of
from zoho_async.description import Field, OperationFacts
from zoho_async.operation import PRODUCTS
from zoho_async.sandbox.api.context import ApiCall
from zoho_async.sandbox.api.dispatch import answer
from zoho_async.sandbox.api.router import operations
from zoho_async.sandbox.data.schemas import schemas
from zoho_async.sandbox.data.seed import SampleData
from zoho_async.sandbox.data.store import Store
from zoho_async.sandbox.replies import ApiRefusal

_ODD: Final[tuple[Any, ...]] = (
    *(None, "", " ", "x", "ü" * 3, "-1", 0, -7, 10**40, True, False, "true", "2026-02-30"),
    *([], {}, [None], [1, "a"], [[]], [{}], {"a": {"b": []}}, {"name": None}, "1e999"),
    *(Decimal("0.10"), "NaN", "2026-01-01", "9" * 400, [{"item_id": {}}]),
)
_NAME: Final = re.compile(r"\{\w+\}")


@pytest.mark.parametrize("seeded", [True, False], ids=["seeded", "empty"])
@pytest.mark.parametrize("product", PRODUCTS)
async def test_no_request_makes_the_sandbox_fail(product: str, seeded: bool) -> None:
    chance = random.Random(product)
    sizes = {"contacts": 9, "items": 9, "invoices": 9, "projects": 9}
    store = Store(SampleData(5, "10234695", sizes, seeded=seeded))
    outcomes = Counter[str]()
    for facts in operations(product).values():
        for _ in range(3):
            call = _call(store, facts, chance)
            try:
                reply = await answer(call, route_of(call), store, [store])
            except ApiRefusal as refusal:
                outcomes[f"refused {refusal.status // 100}xx"] += 1
                continue
            outcomes["answered"] += 1
            if reply.content_type.startswith("application/json"):
                msgspec.json.decode(reply.content())
    assert outcomes["answered"] > (100 if seeded else 30)
    assert outcomes["refused 4xx"] > 100
    assert outcomes.keys() == {"answered", "refused 4xx"}
    for schema in schemas(product).by_path.values():
        if not schema.parents and schema.listed is not None:
            rows = store.shown(schema)
            for index in rows.indexes():
                msgspec.json.decode(rows.encoded_row(index))


def _call(store: Store, facts: OperationFacts, chance: random.Random) -> ApiCall:
    path = facts.path
    ids: list[str] = []
    for schema in schemas(facts.product).along(facts.path):
        record_id = "cm_x" if path.startswith("/{module_name}") and not ids else "460000000026049"
        if schema is not None and schema.parents <= len(ids) and chance.random() < 0.9:
            inside = store.at(schema, tuple(ids[: schema.parents]))
            if inside.indexes():
                record_id = inside.id(chance.choice(inside.indexes()))
        ids.append(record_id)
    parts = iter(ids)
    path = _NAME.sub(lambda _: next(parts), path)
    params = {
        field.name: str(chance.choice(("", "x", "1", "A", "true", "2026-01-01", *field.allowed)))
        for field in facts.query
        if field.required or chance.random() < 0.2
    }
    headers: dict[str, str] = {}
    if facts.headers and chance.random() < 0.8:
        headers = {"X-Unique-Identifier-Key": "cf_x", "X-Unique-Identifier-Value": "7"}
    return ApiCall(
        facts.method,
        tuple(path.strip("/").split("/")),
        params,
        headers,
        {field.name: _value(field, chance) for field in facts.body if chance.random() < 0.3},
        facts.product,
    )


def _value(field: Field, chance: random.Random, depth: int = 0) -> Any:
    if chance.random() < 0.3 or depth > 2:
        return chance.choice(_ODD)
    if field.allowed:
        return chance.choice(field.allowed)
    if field.fields:
        one = {each.name: _value(each, chance, depth + 1) for each in field.fields}
        return [one] if field.kind == "list" else one
    plain = {"decimal": 1, "integer": 2, "boolean": True, "date": "2026-01-01", "list": []}
    return plain.get(field.kind, "")
