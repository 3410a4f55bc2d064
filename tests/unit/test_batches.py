"""Many ids: reads are split and joined, writes with too many ids are refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from typing import Any, Literal, TypeVar

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zoho_async import Credentials, Session
from zoho_async.books import contacts, invoices, items, journals, sales_orders
from zoho_async.errors import InvalidRequest, Request, TooManyIds
from zoho_async.events import Event
from zoho_async.http.transport import Answer
from zoho_async.inventory import picklists
from zoho_async.limits import MemoryLedger
from zoho_async.operation import BOOKS, Batch, ListOperation, check_id_count, ids_in, split_ids
from zoho_async.paging import Pager
from zoho_async.wire import Decoder, Record

T = TypeVar("T")

IDS = st.lists(st.integers(1, 60).map(str), max_size=40)


class Thing(Record, frozen=True, kw_only=True):
    thing_id: str | None = None


DETAILS = ListOperation(
    name="books.things.list_details",
    product=BOOKS,
    path="/thingdetails",
    row=Thing,
    key="things",
    row_id="thing_id",
    paged=False,
    batch=Batch("thing_ids", 100),
)
NUMBERED = msgspec.structs.replace(
    DETAILS, name="books.things.list", paged=True, order="created_time", totals=True
)


class Zoho:
    """A session whose server knows the things of even number, and refuses more ids than allowed."""

    organization = "10234695"
    rate = 1000.0

    def __init__(self, most: int = 100) -> None:
        self.decoder = Decoder()
        self.most = most
        self.asked: list[Mapping[str, object]] = []
        self.fail_at: int | None = None
        self.tasks: set[asyncio.Task[Any]] = set()

    def with_options(self, *, lane: Literal["interactive", "bulk"], max_wait: float | None) -> Zoho:
        assert (lane, max_wait) == ("bulk", None)
        return self

    async def fetch_page(
        self,
        operation: ListOperation[Any],
        read: Callable[[bytes], T],
        *,
        ids: Sequence[str | int] = (),
        query: Mapping[str, object] | None = None,
    ) -> tuple[Answer, T]:
        asked = dict(query or {})
        self.asked.append(asked)
        number = len(self.asked)
        await asyncio.sleep(0.2)
        if number == self.fail_at:
            raise InvalidRequest(Request("GET", "/things"), 400, 2, "no")
        wanted = ids_in(asked["thing_ids"])
        assert len(wanted) <= self.most
        rows = [{"thing_id": str(each)} for each in wanted if int(each) % 2 == 0]
        reply: dict[str, object] = {"code": 0, "message": "success", "things": rows}
        if operation.paged:
            context = {"page": 1, "per_page": asked.get("per_page", 200), "has_more_page": False}
            reply["page_context"] = context
        body = msgspec.json.encode(reply)
        return Answer(200, {}, body, 0.2), read(body)

    def start(self, work: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
        task = asyncio.create_task(work, name=name)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    def observe(self, event: Event) -> None:
        pass


def ids(count: int) -> list[str]:
    return [str(10**17 + number) for number in range(count)]


def there(wanted: Sequence[str]) -> list[str]:
    return [each for each in wanted if int(each) % 2 == 0]


# -- what a batch is ----------------------------------------------------------------------------


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # on a loaded machine
@given(IDS, st.integers(1, 12))
def test_batches_hold_every_id_once_in_order_and_none_is_too_large(
    wanted: list[str], most: int
) -> None:
    found = split_ids(wanted, most)
    assert [each for batch in found for each in batch] == list(dict.fromkeys(wanted))
    assert all(0 < len(batch) <= most for batch in found)
    assert all(len(batch) == most for batch in found[:-1])


def test_an_id_is_the_same_as_text_and_as_number() -> None:
    assert split_ids(["17", 17, " 17"], 10) == [("17",)]


def test_a_batch_size_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1, got"):
        split_ids(["1"], 0)


# -- reads --------------------------------------------------------------------------------------


@pytest.mark.looptime
@pytest.mark.parametrize("operation", [DETAILS, NUMBERED], ids=["at once", "numbered"])
@pytest.mark.parametrize("count", [1, 100, 101, 250, 1234])
async def test_more_ids_than_a_call_takes_are_read_in_batches_and_joined(
    operation: ListOperation[Thing], count: int
) -> None:
    wanted = ids(count)
    zoho = Zoho()
    iterated = [row.thing_id async for row in Pager(zoho, operation, query={"thing_ids": wanted})]
    assert iterated == there(wanted)
    assert len(zoho.asked) == -(-count // 100)
    page = await Pager(zoho, operation, query={"thing_ids": wanted})
    assert [row.thing_id for row in page] == there(wanted)
    assert not zoho.tasks


@pytest.mark.looptime
async def test_a_batch_of_unknown_ids_does_not_end_the_list() -> None:
    odd = [str(10**17 + 2 * number + 1) for number in range(150)]
    wanted = [*odd, str(10**17 + 2)]
    zoho = Zoho()
    found = [row.thing_id async for row in Pager(zoho, DETAILS, query={"thing_ids": wanted})]
    assert found == [str(10**17 + 2)]


@pytest.mark.looptime
async def test_an_id_given_twice_is_read_once() -> None:
    zoho = Zoho()
    wanted = ids(120) * 2
    found = [row.thing_id async for row in Pager(zoho, DETAILS, query={"thing_ids": wanted})]
    assert found == there(ids(120))
    assert len(zoho.asked) == 2


@pytest.mark.looptime
async def test_batches_are_no_larger_than_the_requested_pages() -> None:
    zoho = Zoho(most=30)
    query = {"thing_ids": ids(70), "per_page": 30}
    found = [row.thing_id async for row in Pager(zoho, NUMBERED, query=query)]
    assert found == there(ids(70))
    assert [asked["page"] for asked in zoho.asked] == [1, 1, 1]


@pytest.mark.looptime
async def test_an_error_comes_after_the_rows_of_the_batches_before_it() -> None:
    zoho = Zoho()
    zoho.fail_at = 2
    rows = aiter(Pager(zoho, DETAILS, query={"thing_ids": ids(250)}))
    assert [(await anext(rows)).thing_id for _ in range(50)] == there(ids(100))
    with pytest.raises(InvalidRequest):
        await anext(rows)
    await rows.aclose()


# -- writes -------------------------------------------------------------------------------------


@pytest.fixture
async def zoho(credentials: Credentials) -> AsyncIterator[Session]:
    async with Session(credentials, organization="10234695", ledger=MemoryLedger()) as session:
        yield session


@pytest.mark.usefixtures("mocked")
async def test_a_write_of_more_than_the_documented_number_is_refused_before_it_is_sent(
    zoho: Session,
) -> None:
    with pytest.raises(TooManyIds, match="invoice_ids has 11 ids, but one call takes at most 10"):
        await invoices.bulk_send_payment_reminder(zoho, ids(11))
    with pytest.raises(TooManyIds, match="at most 200"):
        await contacts.bulk_assign_owner(zoho, ids(201), owner_id="1")
    with pytest.raises(TooManyIds) as refused:
        await picklists.bulk_set_status(
            zoho, ids(25), status="completed", picklist_item_ids=ids(51)
        )
    error = refused.value
    assert (error.parameter, error.given, error.most) == ("picklist_item_ids", 51, 50)


def test_the_documented_number_of_ids_is_accepted() -> None:
    batch = Batch("invoice_ids", 10)
    check_id_count((batch,), {"invoice_ids": ids(10)})
    check_id_count((batch,), {"invoice_ids": ",".join(ids(10))})
    check_id_count((batch,), None)
    with pytest.raises(TooManyIds):
        check_id_count((batch,), {"invoice_ids": ",".join(ids(11))})


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (items.list_details, "100"),
        (sales_orders.list, "200"),
        (journals.bulk_publish, "10"),
        (invoices.export_pdf, "25"),
        (contacts.bulk_assign_owner, "200"),
    ],
)
def test_the_docstring_names_the_number(function: Any, said: str) -> None:
    assert f"{said} ids" in " ".join(function.__doc__.split())
