"""Each value in sixty exchanges with the live service can be read from the result."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from zoho_async.books.types.contacts import Contact
from zoho_async.books.types.projects import Project
from zoho_async.operation import BOOKS, ListOperation, Method, Operation
from zoho_async.wire import Decoder, Done, Part, Record, encode, raw_page, read_envelope, row_id

RECORDED = Path(__file__).parents[3] / "shared" / "reference" / "recorded" / "books"
EXCHANGES = sorted(RECORDED.glob("*.json"))

pytestmark = pytest.mark.skipif(
    not EXCHANGES, reason=f"the recorded exchanges are not next to this clone ({RECORDED})"
)


class Address(Part, frozen=True, kw_only=True):
    address_id: str | None = None
    city: int | None = None  # wrong on purpose, as descriptions are


class Sparse(Record, frozen=True, kw_only=True):
    """A record of few fields, some of them described wrongly."""

    contact_id: str = ""
    project_id: str = ""
    contact_name: dt.date | None = None
    payment_terms: Decimal | None = None
    status: bool | None = None
    rate: str | None = None
    is_expense_inclusive: bool | None = None
    billing_address: Address | None = None
    created_date: dt.date | None = None
    un_billed_amount: Decimal | None = None


class Token(Record, frozen=True, kw_only=True):
    access_token: str | None = None
    expires_in: int | None = None


def exchanges() -> list[Any]:
    return [pytest.param(path, id=path.stem) for path in EXCHANGES]


def reply_of(path: Path) -> tuple[Method, Any, bytes]:
    """Method, response and body of an exchange; the body as compact as the wire's."""
    exchange = json.loads(path.read_bytes(), parse_float=Decimal)
    response = exchange["response"]
    return exchange["method"], response, encode(response)


def decoded(method: Method, response: dict[str, Any], body: bytes, types: dict[str, Any]) -> Any:
    """The reply as the session would decode it, with the place of its value in the reply."""
    decoder = Decoder()
    for key in ("contacts", "projects"):
        if key in response:
            row: Any = types[key.removesuffix("s")]
            listed = ListOperation(
                name=f"books.{key}.list", product=BOOKS, path=f"/{key}", row=row, key=key
            )
            page = decoder.page(listed, body)
            rows = [whole(each) for each in page.rows]
            assert page.context is not None
            return {key: rows, "page_context": whole(page.context), **page.extra}
    key = next((each for each in ("contact", "project") if each in response), "")
    result: Any = types[key] if key else Done if "code" in response else Token
    operation: Operation[Any] = Operation(
        name="books.any.call", product=BOOKS, method=method, path="/", result=result, key=key
    )
    value = whole(decoder.value(operation, body))
    return {key: value} if key else value


def whole(record: msgspec.Struct) -> dict[str, Any]:
    """A record's fields by Zoho's names, with what its ``extra`` holds put back in its place."""
    fields: dict[str, Any] = _joined(record, record.extra if isinstance(record, Record) else {})
    return fields


def _joined(value: Any, beyond: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        rest = beyond if isinstance(beyond, dict) else {}
        fields = {
            field.encode_name: _joined(held, rest.get(field.encode_name))
            for field in msgspec.structs.fields(value)
            if (held := getattr(value, field.name)) not in (None, "")
        }
        return rest | fields
    if isinstance(value, list):
        rests = beyond if isinstance(beyond, list) else [None] * len(value)
        return [_joined(*each) for each in zip(value, rests, strict=True)]
    if isinstance(value, dt.datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%S%z")
    return value.isoformat() if isinstance(value, dt.date) else value


def without_blanks(sent: Any) -> Any:
    """The JSON that was sent, without blank keys."""
    if isinstance(sent, dict):
        return {k: without_blanks(v) for k, v in sent.items() if v not in ("", " ", None)}
    return [without_blanks(each) for each in sent] if isinstance(sent, list) else sent


def comparable(value: Any) -> Any:
    """Amounts that came as text are numbers now. All else must be equal."""
    if isinstance(value, dict):
        return {key: comparable(each) for key, each in value.items()}
    if isinstance(value, list):
        return [comparable(each) for each in value]
    if isinstance(value, str):
        try:
            return Decimal(value)
        except ArithmeticError:
            return value
    return value


@pytest.mark.parametrize(
    "types",
    [
        pytest.param({"contact": Contact, "project": Project}, id="generated"),
        pytest.param({"contact": Sparse, "project": Sparse}, id="sparse"),
    ],
)
@pytest.mark.parametrize("path", exchanges())
def test_every_recorded_value_is_reached(path: Path, types: dict[str, Any]) -> None:
    method, response, body = reply_of(path)
    assert read_envelope(body).code == response.pop("code", None)
    sent = without_blanks(response)
    reached = without_blanks(decoded(method, response, body, types))
    if "message" not in reached:
        assert sent.pop("message", None) is not None or "access_token" in sent
    assert comparable(reached) == comparable(sent)


@pytest.mark.parametrize("path", exchanges())
def test_recorded_amounts_keep_their_digits(path: Path) -> None:
    _, response, body = reply_of(path)
    for key, kind in (("contact", Contact), ("project", Project)):
        if key in response:
            operation: Operation[Any] = Operation(
                name="books.any.get", product=BOOKS, method="GET", path="/", result=kind, key=key
            )
            record = Decoder().value(operation, body)
            amounts = {
                name: held
                for name in record.__struct_fields__
                if isinstance(held := getattr(record, name), Decimal)
            }
            assert {k: str(v) for k, v in amounts.items()} == {
                k: str(response[key][k]) for k in amounts
            }


def test_recorded_lists_give_their_rows_as_bytes() -> None:
    rows = 0
    for path in EXCHANGES:
        _, response, body = reply_of(path)
        for key in ("contacts", "projects"):
            operation: ListOperation[Any] = ListOperation(
                name=f"books.{key}.list",
                product=BOOKS,
                path=f"/{key}",
                row=Sparse,
                key=key,
                row_id=f"{key.removesuffix('s')}_id",
            )
            if key in response:
                page = raw_page(operation, body)
                assert [bytes(row) for row in page.rows] == [encode(row) for row in response[key]]
                assert [row_id(operation, row) for row in page.rows] == [
                    row[operation.row_id] for row in response[key]
                ]
                rows += len(page.rows)
    assert rows > 0
