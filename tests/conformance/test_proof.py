"""The proof accepts what matches the description and reports every other case."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from msgspec import UNSET, UnsetType

from tests.conformance.functions import bound
from tests.conformance.official import Described, Document, Parameter
from tests.conformance.proof import Proof, session
from tests.conformance.server import Server
from zoho_async import Credentials, Session
from zoho_async.operation import BOOKS, ListOperation, Operation
from zoho_async.paging import Pager
from zoho_async.wire import Input, Record

_TEXT = {"type": "string", "example": "a name"}
_BILL = {
    "type": "object",
    "properties": {"bill_id": {"type": "string", "example": "4600"}, "name": _TEXT},
}
_REPLY = {
    "type": "object",
    "properties": {
        "code": {"type": "integer", "example": 0},
        "message": {"type": "string", "example": "done"},
        "bill": _BILL,
    },
}
DESCRIBED = Described(
    product="books",
    file="bills",
    names=("update_bill",),
    method="PUT",
    path="/bills/{bill_id}",
    scopes=frozenset({"ZohoBooks.bills.UPDATE"}),
    text="",
    parameters=(
        Parameter(
            name="send",
            place="query",
            schema={"type": "boolean"},
            example=True,
            text="",
            required=True,
        ),
    ),
    body={"type": "object", "properties": {"name": _TEXT, "total": {"type": "number"}}},
    form=None,
    status=200,
    answers={"application/json": _REPLY},
    document=Document({}),
)


class Bill(Record, frozen=True, kw_only=True):
    bill_id: str = ""
    name: str | None = None


class BillOfNumbers(Record, frozen=True, kw_only=True):
    bill_id: str = ""
    name: int | None = None


class BillInput(Input, kw_only=True):
    name: str | UnsetType | None = UNSET
    total: Decimal | int | UnsetType | None = UNSET


class ShortInput(Input, kw_only=True):
    name: str | UnsetType | None = UNSET


UPDATE: Operation[Bill] = Operation(
    name="books.bills.update",
    product=BOOKS,
    method="PUT",
    path="/bills/{bill_id}",
    result=Bill,
    scope="ZohoBooks.bills.UPDATE",
    key="bill",
)


async def update(zoho: Session, bill_id: str, bill: BillInput, *, send: bool | None = None) -> Any:
    return await zoho.call(UPDATE, ids=(bill_id,), query={"send": send}, body=bill)


async def misnamed(zoho: Session, bill_id: str, bill: BillInput, *, send: bool) -> Any:
    return await zoho.call(UPDATE, ids=(bill_id,), query={"sent": send}, body=bill)


async def without_query(zoho: Session, bill_id: str, bill: BillInput) -> Any:
    return await zoho.call(UPDATE, ids=(bill_id,), body=bill)


async def short(zoho: Session, bill_id: str, bill: ShortInput, *, send: bool) -> Any:
    return await zoho.call(UPDATE, ids=(bill_id,), query={"send": send}, body=bill)


async def idle(zoho: Session, bill_id: str, bill: BillInput, *, send: bool, more: int) -> Any:
    return await zoho.call(UPDATE, ids=(bill_id,), query={"send": send}, body=bill)


async def headed(zoho: Session, bill_id: str, bill: BillInput, *, send: bool) -> Any:
    headers = {"X-Upsert": True}
    return await zoho.call(UPDATE, ids=(bill_id,), query={"send": send}, body=bill, headers=headers)


async def mistyped(zoho: Session, bill_id: str, bill: BillInput, *, send: bool) -> Any:
    operation: Operation[Any] = msgspec.structs.replace(UPDATE, result=BillOfNumbers)
    return await zoho.call(operation, ids=(bill_id,), query={"send": send}, body=bill)


async def elsewhere(zoho: Session, bill_id: str, bill: BillInput, *, send: bool) -> Any:
    operation = msgspec.structs.replace(UPDATE, path="/invoices/{bill_id}")
    return await zoho.call(operation, ids=(bill_id,), query={"send": send}, body=bill)


async def keyless(zoho: Session, bill_id: str, bill: BillInput, *, send: bool) -> Any:
    operation = msgspec.structs.replace(UPDATE, key="bills")
    return await zoho.call(operation, ids=(bill_id,), query={"send": send}, body=bill)


async def forgetful(zoho: Session, bill_id: str, bill: BillInput, *, send: bool) -> Any:
    await zoho.call(UPDATE, ids=(bill_id,), query={"send": send}, body=bill)
    return Bill(bill_id=bill_id)


async def problems(
    function: Callable[..., Any], credentials: Credentials, changes: Mapping[str, Any] | None = None
) -> list[str]:
    names = list(inspect.signature(function).parameters)[1:]
    described = msgspec.structs.replace(DESCRIBED, **(changes or {}))
    async with Server() as server, session(credentials, server) as zoho:
        proof = Proof(described, bound("books.bills.update", function, names))
        await proof.run(zoho, server)
    return proof.problems


async def test_a_matching_function_has_no_problems(credentials: Credentials) -> None:
    assert await problems(update, credentials) == []


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (misnamed, "query sent is in no description"),
        (without_query, "query send is described, and cannot be given"),
        (short, "ShortInput has no field body.total"),
        (idle, "parameter more goes nowhere"),
        (headed, "X-Upsert=true is sent and in no description"),
        (mistyped, "'a name' is as described, and BillOfNumbers.name does not take it"),
        (elsewhere, "the path is /books/v3/invoices/"),
        (keyless, "'bills' is not in the reply, which has code, message, bill"),
        (forgetful, "'a name' is lost"),
    ],
)
async def test_a_deviation_is_a_problem(
    function: Callable[..., Any], said: str, credentials: Credentials
) -> None:
    assert said in " | ".join(await problems(function, credentials))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"body": None}, "the body is not described"),
        ({"scopes": frozenset({"ZohoBooks.bills.CREATE"})}, "the scope is"),
        ({"method": "POST"}, "PUT is sent"),
        ({"path": "/bills/{bill_id}/status"}, "the path is /books/v3/bills/"),
        ({"answers": {"application/pdf": {}}}, "described as a document, and read as JSON"),
    ],
)
async def test_another_description_is_a_problem(
    changes: dict[str, Any], said: str, credentials: Credentials
) -> None:
    assert said in " | ".join(await problems(update, credentials, changes))


# -- lists --------------------------------------------------------------------------------------

LISTED: dict[str, Any] = {
    "method": "GET",
    "path": "/bills",
    "names": ("list_bills",),
    "scopes": frozenset({"ZohoBooks.bills.READ"}),
    "parameters": (),
    "body": None,
    "answers": {
        "application/json": {
            "type": "object",
            "properties": {
                "code": {"type": "integer", "example": 0},
                "bills": {"type": "array", "items": _BILL},
            },
        }
    },
}
LIST: ListOperation[Bill] = ListOperation(
    name="books.bills.list",
    product=BOOKS,
    path="/bills",
    row=Bill,
    key="bills",
    row_id="bill_id",
    scope="ZohoBooks.bills.READ",
)


class OnePage(Pager[Bill]):
    """A pager that loses the other pages."""

    def __aiter__(self) -> Any:
        return self._first()

    async def _first(self) -> Any:
        for row in await self:
            yield row


class Twice(Pager[Bill]):
    """A pager that starts again at the first page."""

    def __aiter__(self) -> Any:
        return self._again()

    async def _again(self) -> Any:
        for _ in range(2):
            async for row in super().__aiter__():
                yield row


def whole(zoho: Session) -> Pager[Bill]:
    return Pager(zoho, LIST)


def unnumbered(zoho: Session) -> Pager[Bill]:
    return Pager(zoho, msgspec.structs.replace(LIST, paged=False))


def cut(zoho: Session) -> Pager[Bill]:
    return OnePage(zoho, LIST)


def repeated(zoho: Session) -> Pager[Bill]:
    return Twice(zoho, LIST)


def without_ids(zoho: Session) -> Pager[Bill]:
    return Pager(zoho, msgspec.structs.replace(LIST, row_id=""))


@pytest.mark.parametrize("function", [whole, unnumbered, without_ids])
async def test_a_complete_list_has_no_problems(
    function: Callable[..., Any], credentials: Credentials
) -> None:
    assert await problems(function, credentials, LISTED) == []


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (cut, "1 rows came of 3"),
        (cut, "a walk asks for per_page=None, not '200'"),
        (repeated, "a page was asked for twice"),
    ],
)
async def test_a_list_that_misses_or_repeats_pages_is_a_problem(
    function: Callable[..., Any], said: str, credentials: Credentials
) -> None:
    assert said in " | ".join(await problems(function, credentials, LISTED))
