"""Rows as a user's own struct or dataclass: values, blanks, ids and errors."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoho_async.errors import DecodeError, ShapeError
from zoho_async.operation import BOOKS, ListOperation
from zoho_async.wire import Moment, Percentage, Record, Unreadable, raw_page
from zoho_async.wire.own_shape import OwnShape

LIST = ListOperation(
    name="books.invoices.list",
    product=BOOKS,
    path="/invoices",
    row=Record,
    key="invoices",
    row_id="invoice_id",
)


class Status(StrEnum):
    SENT = "sent"
    PAID = "paid"


class Line(msgspec.Struct):
    rate: Decimal | None = None
    name: str | None = None


class Invoice(msgspec.Struct):
    number: str = msgspec.field(name="invoice_number", default="")
    total: Decimal | None = None
    date: dt.date | None = None
    created_time: Moment | None = None
    status: Status | None = None
    discount: Percentage | None = None
    sent: bool | None = None
    lines: list[Line] = msgspec.field(name="line_items", default_factory=list)


class Inner(msgspec.Struct):
    date: str


class Outer(msgspec.Struct):
    date: dt.date | None
    inner: Inner


@dataclasses.dataclass(frozen=True)
class Plain:
    invoice_number: str
    balance: Decimal = Decimal(0)
    due_date: dt.date | None = None


def body(*sent: dict[str, Any] | str) -> bytes:
    """A page of rows. A row that is given as text is sent as it is."""
    texts = [one if isinstance(one, str) else compact(one) for one in sent]
    context = '{"page":1,"has_more_page":false}'
    return f'{{"code":0,"invoices":[{",".join(texts)}],"page_context":{context}}}'.encode()


def compact(row: dict[str, Any]) -> str:
    return json.dumps(row, separators=(",", ":"))


def rows(shape: type[Any], *sent: dict[str, Any] | str) -> list[Any]:
    return OwnShape(shape, LIST).page(body(*sent)).rows


SENT = {
    "invoice_id": "1",
    "invoice_number": "INV-1",
    "total": 12.50,
    "date": "2026-01-31",
    "created_time": "2026-01-31T09:45:19-0400",
    "status": "sent",
    "sent": True,
    "line_items": [{"rate": 1.10, "name": "A", "unit": "h"}],
    "customer_name": "ignored",
}


def test_values_have_the_types_of_the_fields() -> None:
    [found] = rows(Invoice, SENT)
    offset = dt.timezone(dt.timedelta(hours=-4))
    assert found == Invoice(
        number="INV-1",
        total=Decimal("12.5"),
        date=dt.date(2026, 1, 31),
        created_time=dt.datetime(2026, 1, 31, 9, 45, 19, tzinfo=offset),
        status=Status.SENT,
        sent=True,
        lines=[Line(rate=Decimal("1.1"), name="A")],
    )


def test_amounts_keep_every_digit() -> None:
    digits = "12345678901234567890.1234567890"
    assert rows(Plain, f'{{"invoice_number":"1","balance":{digits}}}')[0].balance == Decimal(digits)
    text = f'{{"invoice_number":"1","balance":{digits},"due_date":" "}}'
    assert rows(Plain, text)[0].balance == Decimal(digits)


def test_a_dataclass_works_like_a_struct() -> None:
    [found] = rows(Plain, {"invoice_number": "INV-1", "due_date": "2026-02-01"})
    assert found == Plain("INV-1", Decimal(0), dt.date(2026, 2, 1))


def test_ids_are_kept_without_a_field_for_them() -> None:
    sent: list[dict[str, Any] | str] = [
        {"invoice_id": "7", "invoice_number": "A"},
        {"invoice_number": "B", "invoice_id": 8},
    ]
    page = OwnShape(Plain, LIST).page(body(*sent))
    assert page.ids == ["7", "8"]
    assert page.has_more is False


# -- blanks -------------------------------------------------------------------------------------


@pytest.mark.parametrize("blank", ['""', '" "', "null"])
def test_a_blank_is_none_in_a_field_that_takes_no_text(blank: str) -> None:
    row = '{"invoice_number":"A","total":%s,"date":%s,"created_time":%s,"status":%s,"sent":%s,'
    [found] = rows(Invoice, row % ((blank,) * 5) + f'"line_items":[{{"rate":{blank}}}]}}')
    assert found == Invoice(number="A", lines=[Line()])


@pytest.mark.parametrize("other", ['"2026-01-31"', '""', '" "'])
def test_a_blank_in_a_text_field_is_the_text_whatever_the_other_fields_hold(other: str) -> None:
    text = f'{{"invoice_number":"","date":{other},"line_items":[{{"name":"","rate":1}}]}}'
    [found] = rows(Invoice, text)
    assert (found.number, found.lines) == ("", [Line(rate=Decimal(1), name="")])


@pytest.mark.parametrize("blank", ["", " ", None])
def test_a_blank_is_the_default_in_a_field_that_takes_no_none(blank: str | None) -> None:
    [found] = rows(Plain, {"invoice_number": "A", "balance": blank})
    assert found.balance == Decimal(0)


def test_fields_of_free_form_keep_their_blanks() -> None:
    class Free(msgspec.Struct):
        due_date: dt.date | None = None
        custom: dict[str, Any] = {}
        anything: Any = None

    inner = '{"due_date":"","x":1.10}'
    [found] = rows(Free, f'{{"due_date":"","custom":{inner},"anything":[{inner}]}}')
    assert found.due_date is None
    assert found.custom == {"due_date": "", "x": Decimal("1.10")}
    assert found.anything == [{"due_date": "", "x": Decimal("1.10")}]


def test_a_name_that_is_text_in_one_place_and_none_in_another() -> None:
    [found] = rows(Outer, '{"date":"","inner":{"date":""}}')
    assert found == Outer(None, Inner(""))


def test_a_text_that_looks_like_a_blank_is_not_changed() -> None:
    number = 'a "total":"" b'
    [found] = rows(Invoice, compact({"invoice_number": number, "total": ""}))
    assert (found.number, found.total) == (number, None)


texts = st.sampled_from(["", " ", "A", '"total":""', "null"])
dates = st.sampled_from(["", " ", None, "2026-01-31"])
totals = st.sampled_from(["", " ", None, 1, "1.50"])


@given(st.lists(st.tuples(texts, dates, totals, st.booleans()), min_size=1, max_size=4))
def test_a_row_does_not_depend_on_its_form_or_on_other_rows(
    sent: list[tuple[str, str | None, object, bool]],
) -> None:
    expected: list[object] = []
    texts_of_rows: list[str] = []
    for number, date, total, spaced in sent:
        row = {"invoice_number": number, "date": date, "total": total}
        texts_of_rows.append(json.dumps(row, separators=(", ", ": ") if spaced else (",", ":")))
        expected.append(
            Invoice(
                number=number,
                date=dt.date.fromisoformat(date) if date and date.strip() else None,
                total=None if total in ("", " ", None) else Decimal(str(total)),
            )
        )
    found = rows(Invoice, *texts_of_rows)
    assert found == expected


# -- coercion and errors ------------------------------------------------------------------------


def test_values_are_converted_if_nothing_gets_lost() -> None:
    [found] = rows(
        Invoice,
        {"invoice_number": 15, "total": "12.50", "sent": "true", "discount": "10%"},
    )
    assert found == Invoice(
        number="15", total=Decimal("12.50"), sent=True, discount=Percentage(Decimal(10))
    )


@pytest.mark.parametrize(
    ("sent", "field", "message"),
    [
        ({"total": "secret"}, "Invoice.total", "should be decimal, but Zoho sent a JSON string"),
        ({"line_items": [{"rate": {}}]}, "Invoice.line_items[].rate", "a JSON object"),
        ({"line_items": {}}, "Invoice.line_items", "should be list, but Zoho sent a JSON object"),
        ({"status": "secret"}, "Invoice.status", "a JSON string"),
        ({"created_time": "2026-01-31T09:45:19"}, "Invoice.created_time", "should be time"),
        ({"invoice_number": None, "line_items": [7]}, "Invoice.line_items[]", "a JSON number"),
    ],
)
def test_a_wrong_shape_names_the_field_and_no_value(
    sent: dict[str, Any], field: str, message: str
) -> None:
    with pytest.raises(ShapeError, match=message) as caught:
        rows(Invoice, sent)
    assert caught.value.field == field
    assert isinstance(caught.value, DecodeError)
    assert "secret" not in str(caught.value)


def test_a_field_that_zoho_does_not_send_needs_a_default() -> None:
    with pytest.raises(ShapeError, match=r"Zoho sent no such field\. Give the field a default"):
        rows(Plain, {"balance": 1})
    with pytest.raises(ShapeError, match="Zoho sent a JSON null") as caught:
        rows(Plain, {"invoice_number": None})
    assert caught.value.field == "Plain.invoice_number"


def test_a_row_that_is_no_object_and_a_check_of_the_shape_are_errors() -> None:
    class Checked(msgspec.Struct):
        total: Decimal

        def __post_init__(self) -> None:
            if self.total < 0:
                raise ValueError("negative")

    with pytest.raises(ShapeError, match="Plain should be object, but Zoho sent a JSON number"):
        rows(Plain, "7")
    with pytest.raises(ShapeError, match="Checked refused a row: negative"):
        rows(Checked, {"total": -1})


def test_constraints_count() -> None:
    class Short(msgspec.Struct):
        code: Annotated[str, msgspec.Meta(min_length=1)] | None = None

    assert rows(Short, {"code": ""}) == [Short(None)]


def test_a_reply_without_its_list_is_unreadable_as_for_records() -> None:
    with pytest.raises(Unreadable):
        OwnShape(Plain, LIST).page(b'{"code":0}')


@pytest.mark.parametrize("shape", [int, dict, "Invoice", list[Invoice]])
def test_only_structs_and_dataclasses_are_shapes(shape: Any) -> None:
    with pytest.raises(TypeError, match="takes a msgspec"):
        OwnShape(shape, LIST)


# -- all rows in one call ------------------------------------------------------------------------


class WithId(msgspec.Struct):
    key: str = msgspec.field(name="invoice_id", default="")
    number: str = msgspec.field(name="invoice_number", default="")
    page: int | None = None  # also a name in the page context
    date: dt.date | None = None


class WithOwnIdea(WithId):
    def __post_init__(self) -> None:
        self.key = "mine"


class WithoutId(msgspec.Struct):
    page: int | None = None
    date: dt.date | None = None
    total: Decimal = Decimal(0)


page_rows = st.fixed_dictionaries(
    {},
    optional={
        "invoice_id": st.sampled_from(["1", "007", "", " ", "-1", None, 8, -1, "a"]),
        "invoice_number": st.sampled_from(["", "A", '{"invoice_id":"5",', '"date":""']),
        "page": st.sampled_from(["", 3, None, "4"]),
        "date": st.sampled_from(["", " ", "2026-01-31", None]),
        "total": st.sampled_from([1, "", "2.50", None]),
        "created_time": st.sampled_from(["", "2026-01-31T09:45:19-0400", None, 5]),
        "inner": st.just({"invoice_id": "9", "date": ""}),
    },
)
contexts = st.sampled_from(
    [
        None,
        {"page": 1, "has_more_page": True, "total": 9},
        {"page": "", "has_more_page": False, "date": "", "search_criteria": [{"page": ""}]},
    ]
)


@given(st.lists(page_rows, max_size=4), contexts, st.sampled_from([WithId, WithOwnIdea, WithoutId]))
def test_a_page_at_once_is_the_page_row_by_row(
    sent: list[dict[str, Any]], context: dict[str, Any] | None, shape: type[Any]
) -> None:
    reply = {"code": 0, "invoices": sent} | ({} if context is None else {"page_context": context})
    text = compact(reply).encode()
    raw = raw_page(LIST, text)
    own = OwnShape(shape, LIST)
    page = own.page(text)
    assert page.rows == [own.row(row) for row in raw.rows]
    assert page.ids == raw.ids
    assert page.read_times() == raw.read_times()
    assert (page.context, page.has_more, page.total) == (raw.context, raw.has_more, raw.total)
    assert page.context.extra == raw.context.extra


def test_rows_without_ids_have_none_even_with_a_key_called_id() -> None:
    listed = msgspec.structs.replace(LIST, row_id="")
    assert OwnShape(Plain, listed).page(body({"invoice_number": "A", "id": "7"})).ids == [""]
