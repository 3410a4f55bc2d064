"""Laws that hold for every kind of record in the sandbox, whichever fields are sent.

The schemas are those whose described operations create, read and list records; most also update and
remove them. Bodies are drawn from the description.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

import msgspec
import pytest

from tests.support.open_documents import open_documents
from tests.support.sandbox_api import route_of, status_of_missing
from zoho_async.description import Field, OperationFacts
from zoho_async.operation import PRODUCTS
from zoho_async.sandbox.api.context import ApiCall
from zoho_async.sandbox.api.dispatch import answer
from zoho_async.sandbox.api.router import operations
from zoho_async.sandbox.data.schemas import CollectionSchema, schemas, shape_of
from zoho_async.sandbox.data.seed import SampleData
from zoho_async.sandbox.data.store import Store
from zoho_async.sandbox.replies import ENCODER, ApiRefusal, ApiReply

_CHANCE: Final = random.Random(7)
_BODY: Final = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal)
#: Excluded: calls do not create the sandbox's organizations.
_WORKED_OUT: Final = ("payment_terms_label",)
SIZES: Final = {"contacts": 20, "items": 20, "invoices": 20, "projects": 20}
_APART: Final = frozenset({"organizations"})


class Place:
    """A schema below seeded parents, and its operations."""

    def __init__(self, store: Store, schema: CollectionSchema) -> None:
        self.store: Final = store
        self.schema: Final = schema
        self.path: Final = self._path()
        self.collection: Final = store.at(schema, self._above())
        item = (*schema.path, "{}")
        own = {
            each.method: each
            for each in operations(schema.product).values()
            if shape_of(each.path) == item
        }
        self.update: Final[OperationFacts | None] = own.get("PUT")
        self.delete: Final[OperationFacts | None] = own.get("DELETE")
        self.get: Final[OperationFacts | None] = own.get("GET")

    def _above(self) -> tuple[str, ...]:
        ids: list[str] = []
        facts = self.schema.listed or self.schema.made
        assert facts is not None
        for each in schemas(self.schema.product).along(facts.path)[: self.schema.parents]:
            ids.append("cm_x" if each is None else self.store.at(each, tuple(ids)).id(0))
        return tuple(ids)

    def _path(self) -> str:
        above = iter(self._above())
        return "/" + "/".join(next(above) if p == "{}" else p for p in self.schema.path)

    async def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> ApiReply:
        sent = _BODY.decode(ENCODER.encode(body or {}))
        parts = tuple(path.strip("/").split("/"))
        made = self.schema.made
        asked: dict[str, str] = {}
        if method == "POST" and made is not None:
            required = [field for field in made.query if field.required]
            asked = {each.name: str(_made(self.store, made, each, _CHANCE)) for each in required}
        call = ApiCall(method, parts, asked, {}, sent, self.schema.product)
        return await answer(call, route_of(call), self.store, [self.store])

    async def row_ids(self) -> list[str]:
        """Every id in the list."""
        parts = tuple(self.path.strip("/").split("/"))
        ids: list[str] = []
        for page in range(1, 10):
            params = {"page": str(page), "sort_order": "A", **self._asked()}
            call = ApiCall("GET", parts, params, {}, {}, self.schema.product)
            reply = _BODY.decode(
                (await answer(call, route_of(call), self.store, [self.store])).content()
            )
            assert self.schema.listed is not None
            ids += [row[self.schema.id_field] for row in reply[self.schema.listed.key]]
            if not reply.get("page_context", {}).get("has_more_page"):
                return sorted(ids)
        raise AssertionError("a list without an end")

    def _asked(self) -> dict[str, str]:
        """The required query of the list, with values that every row of this schema passes."""
        assert self.schema.listed is not None
        required = [field for field in self.schema.listed.query if field.required]
        row = self.collection.state(0)
        return {field.name: str(row.get(field.name, "")) for field in required}


def places() -> Iterator[Any]:
    for product in PRODUCTS:
        for schema in schemas(product).by_path.values():
            made, listed = schema.made, schema.listed
            if made is None or listed is None or not schema.id_field or schema.path[0] in _APART:
                continue
            if made.answer == "record" and not any(field.required for field in listed.query):
                yield pytest.param(schema, id=f"{product}:/{'/'.join(schema.path)}")


@pytest.mark.parametrize("schema", list(places()))
async def test_a_created_record_exists_until_it_is_removed(schema: CollectionSchema) -> None:
    store = Store(SampleData(3, "10234695", SIZES))
    open_documents(store, schema.product, party=1)
    place = Place(store, schema)
    chance = random.Random(schema.name)
    made = schema.made
    assert made is not None
    before = await place.row_ids()
    for _ in range(3):
        body = _body(store, made, chance, whole=True)
        reply = await place.call("POST", place.path, body)
        shown = _record(reply, made)
        record_id = place.collection.id(place.collection.indexes()[-1])
        assert reply.code == 0
        if schema.id_field in shown:
            assert shown[schema.id_field] == record_id
        assert _lost(body, shown, made, place) == []
        assert await place.row_ids() == sorted([*before, record_id])
        path = f"{place.path}/{record_id}"
        if place.get is not None:
            read = _record(await place.call("GET", path), place.get)
            assert _lost(body, read, place.get, place) == []
        if place.update is not None and place.update.body and place.get is not None:
            changes = _body(store, place.update, chance, whole=False)
            changes.pop(schema.id_field, None)
            await place.call("PUT", path, changes)
            read = _record(await place.call("GET", path), place.get)
            if "currency_id" in changes and "currency_id" not in body:
                body.pop("exchange_rate", None)  # another currency has another rate
            assert _lost({**body, **changes}, read, place.get, place) == []
        if place.delete is None:
            before = sorted([*before, record_id])
            continue
        await place.call("DELETE", path)
        assert await place.row_ids() == before
        if place.get is not None:
            with pytest.raises(ApiRefusal) as gone:
                await place.call("GET", path)
            assert gone.value.status == status_of_missing(schema.product)
        with pytest.raises(ApiRefusal):
            await place.call("DELETE", path)


def _record(reply: ApiReply, facts: OperationFacts) -> dict[str, Any]:
    whole = _BODY.decode(reply.content())
    value = whole.get(facts.key) if facts.key else whole
    if isinstance(value, list):
        value = value[0]
    assert isinstance(value, dict)
    return value


def _lost(
    sent: Mapping[str, Any], shown: Mapping[str, Any], facts: OperationFacts, place: Place
) -> list[str]:
    """The plain fields that are not shown as they were sent."""
    fields = {field.name: field for field in facts.reply}
    return [
        f"{name}: sent {value!r}, shown {shown.get(name)!r}"
        for name, value in sent.items()
        if name in fields
        and fields[name].kind in ("text", "decimal", "id", "boolean", "date")
        and name not in (place.schema.id_field, *_WORKED_OUT)
        and _plain(value) != _plain(shown.get(name))
    ]


def _plain(value: Any) -> str:
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return f"{Decimal(str(value)).normalize():f}"
    return str(value).lower()


# -- bodies -------------------------------------------------------------------------------------


def _body(
    store: Store, facts: OperationFacts, chance: random.Random, *, whole: bool
) -> dict[str, Any]:
    """Some described fields of an operation; all required ones if ``whole``."""
    plain = [field for field in facts.body if field.kind not in ("any", "object")]
    wanted = [field for field in plain if (whole and field.required) or chance.random() < 0.4]
    found = {field.name: _made(store, facts, field, chance) for field in wanted}
    for field in facts.body:
        if whole and field.required and field.name not in found:
            found[field.name] = {"name": "x"}
    found.pop("retainerinvoice_id", None)  # a retainer is paid in full, by a separate payment
    return found


def _made(store: Store, facts: OperationFacts, field: Field, chance: random.Random) -> Any:
    if field.allowed:
        return chance.choice(field.allowed)
    if field.name.endswith(("_id", "_ids")) and field.kind in ("text", "id"):
        return _id(store, facts, field.name.removesuffix("s"))
    if field.name == "secret":  # 12 to 50 letters and digits
        return f"Secret{chance.randrange(10**9):012}"
    match field.kind:
        case "decimal" if field.name == "amount_applied":
            return Decimal("0.01")
        case "decimal" if field.name.endswith("percentage"):
            return Decimal(chance.randrange(1, 101))
        case "decimal":
            return Decimal(chance.randrange(1, 10**6)) / 100
        case "integer":
            return chance.randrange(100)
        case "boolean":
            return chance.random() < 0.5
        case "date":
            return f"2026-0{chance.randrange(1, 10)}-1{chance.randrange(10)}"
        case "time":
            return "2026-01-31T10:20:30+0530"
        case "list" if field.fields:
            plain = [each for each in field.fields if each.kind not in ("list", "object", "any")]
            return [{each.name: _made(store, facts, each, chance) for each in plain}]
        case "list":
            return [_made(store, facts, _element(field), chance)] if field.element else []
        case _:
            text = f"{field.name} {chance.randrange(10**6)} {chance.choice(['é', '%', '&', '株'])}"
            return text[: field.max_length]


def _element(field: Field) -> Field:
    return Field(name=field.name, kind=field.element or "any")


def _id(store: Store, facts: OperationFacts, name: str) -> str:
    known = schemas(facts.product).for_name(name.removeprefix("invoiced_"))
    return store.at(known[0], ()).id(1) if known else "460000000026049"
