"""Bodies and queries are encoded for Zoho, and invalid values are refused before sending."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from decimal import Decimal
from enum import StrEnum
from typing import Any

import msgspec
import pytest
from msgspec import UNSET, UnsetType

from zoho_async.operation import BOOKS, Operation
from zoho_async.wire import Decoder, Input, Moment, Part, Record, encode, query

IST = dt.timezone(dt.timedelta(hours=5, minutes=30))
EDT = dt.timezone(dt.timedelta(hours=-4))


class LineInput(Input, kw_only=True):
    line_item_id: str | UnsetType | None = UNSET
    item_id: str | UnsetType | None = UNSET
    rate: Decimal | int | UnsetType | None = UNSET
    tax_id: str | UnsetType | None = UNSET
    tags: list[str] | UnsetType | None = UNSET


class AddressInput(Input, kw_only=True):
    city: str | UnsetType | None = UNSET


class InvoiceInput(Input, kw_only=True):
    customer_id: str | UnsetType | None = UNSET
    date: dt.date | UnsetType | None = UNSET
    due: dt.datetime | UnsetType | None = UNSET
    class_: str | UnsetType | None = msgspec.field(default=UNSET, name="class")
    discount: Decimal | int | UnsetType | None = UNSET
    line_items: Sequence[LineInput] | UnsetType | None = UNSET
    address: AddressInput | UnsetType | None = UNSET
    reason: str | UnsetType | None = UNSET
    custom_fields: list[dict[str, Any]] | UnsetType | None = UNSET


class Line(Part, frozen=True, kw_only=True):
    line_item_id: str | None = None
    item_id: str | None = None
    rate: Decimal | None = None
    item_total: Decimal | None = None


class Address(Part, frozen=True, kw_only=True):
    city: str | None = None


class CustomField(Part, frozen=True, kw_only=True):
    api_name: str | None = None
    value: Any = None


class Invoice(Record, frozen=True, kw_only=True):
    invoice_id: str = ""
    customer_id: str | None = None
    date: dt.date | None = None
    due: Moment | None = None
    class_: str | None = msgspec.field(default=None, name="class")
    discount: Decimal | None = None
    total: Decimal | None = None
    line_items: list[Line] | None = None
    address: Address | None = None
    custom_fields: list[CustomField] | None = None


class Status(StrEnum):
    PAID = "paid"


# -- bodies ---------------------------------------------------------------------------------------


def test_only_what_was_set_is_sent_and_none_is_sent_as_null() -> None:
    assert (
        encode(InvoiceInput(customer_id="1", reason=None)) == b'{"customer_id":"1","reason":null}'
    )


def test_fields_go_by_the_names_that_zoho_gives_them() -> None:
    assert encode(InvoiceInput(class_="a")) == b'{"class":"a"}'


@pytest.mark.parametrize(
    ("amount", "sent"),
    [
        ("46.0", b"46.0"),
        ("0.1", b"0.1"),
        ("1369.66", b"1369.66"),
        ("1E+2", b"100"),
        ("1E-7", b"0.0000001"),
        ("-0.00", b"-0.00"),
        ("12345678901234567890.123456789", b"12345678901234567890.123456789"),
    ],
)
def test_amounts_are_json_numbers_in_all_their_digits(amount: str, sent: bytes) -> None:
    assert encode({"a": Decimal(amount)}) == b'{"a":' + sent + b"}"


@pytest.mark.parametrize(
    ("moment", "sent"),
    [
        (dt.datetime(2024, 10, 2, 22, 41, 13, tzinfo=EDT), "2024-10-02T22:41:13-0400"),
        (dt.datetime(2024, 10, 2, 22, 41, 13, 999_999, tzinfo=IST), "2024-10-02T22:41:13+0530"),
        (dt.datetime(2024, 10, 2, tzinfo=dt.UTC), "2024-10-02T00:00:00+0000"),
        (
            dt.datetime(2024, 1, 1, 1, tzinfo=dt.timezone(dt.timedelta(seconds=3601))),
            "2023-12-31T23:59:59+0000",
        ),
    ],
)
def test_moments_carry_their_offset_the_way_zoho_reads_it(moment: dt.datetime, sent: str) -> None:
    assert encode([moment]) == f'["{sent}"]'.encode()
    assert query({"last_modified_time": moment}) == {"last_modified_time": sent}


def test_everything_else_goes_as_json() -> None:
    value = {
        "day": dt.date(2024, 10, 2),
        "lines": (LineInput(rate=2), LineInput()),
        "yes": True,
        "status": Status.PAID,
        "nothing": None,
        "unset": UNSET,
        "text": 'ü"\n',
    }
    assert (
        encode(value)
        == (
            '{"day":"2024-10-02","lines":[{"rate":2},{}],"yes":true,"status":"paid",'
            '"nothing":null,"text":"ü\\"\\n"}'
        ).encode()
    )


@pytest.mark.parametrize("value", [1.5, {"a": [1.5]}, [{"a": 1.5}], float("nan")])
def test_a_float_in_a_body_is_refused_with_the_reason(value: object) -> None:
    with pytest.raises(TypeError, match=r"float, which cannot hold amounts exactly.*Decimal"):
        encode(value)


@pytest.mark.parametrize("number", ["NaN", "sNaN", "Infinity", "-Infinity"])
def test_a_number_that_is_none_is_refused(number: str) -> None:
    with pytest.raises(ValueError, match="not a number"):
        encode({"a": Decimal(number)})
    with pytest.raises(ValueError, match="not a number"):
        query({"a": Decimal(number)})


def test_a_time_without_its_offset_is_refused() -> None:
    with pytest.raises(ValueError, match="offset from UTC"):
        encode({"a": dt.datetime(2024, 10, 2)})
    with pytest.raises(ValueError, match="offset from UTC"):
        query({"a": dt.datetime(2024, 10, 2)})


def test_what_has_no_form_in_json_is_refused_by_its_place() -> None:
    with pytest.raises(TypeError, match=r"a\[1\] is object"):
        encode({"a": [1, object()]})


# -- queries --------------------------------------------------------------------------------------


def test_a_query_is_plain_text() -> None:
    assert query(
        {
            "status": "over due",
            "page": 2,
            "is_active": True,
            "print": False,
            "total_greater_than": Decimal("1E+2"),
            "rate": Decimal("0.10"),
            "date_after": dt.date(2024, 10, 2),
            "item_ids": ["1", 2, "3"],
            "kind": Status.PAID,
            "left_out": None,
            "unset": UNSET,
        }
    ) == {
        "status": "over due",
        "page": "2",
        "is_active": "true",
        "print": "false",
        "total_greater_than": "100",
        "rate": "0.10",
        "date_after": "2024-10-02",
        "item_ids": "1,2,3",
        "kind": "paid",
    }


@pytest.mark.parametrize("value", [1.5, [1.5]])
def test_a_float_in_a_query_is_refused_with_the_reason(value: object) -> None:
    with pytest.raises(TypeError, match=r"total is a float"):
        query({"total": value})


def test_what_has_no_form_in_a_query_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match="filter is dict"):
        query({"filter": {"a": 1}})


# -- inputs ---------------------------------------------------------------------------------------


def test_an_input_refuses_a_float_where_it_is_made() -> None:
    wrong: Any = 12.5
    with pytest.raises(TypeError, match=r"InvoiceInput.discount is a float.*Decimal\('12.50'\)"):
        InvoiceInput(discount=wrong)
    with pytest.raises(TypeError, match=r"LineInput\.rate is a float"):
        InvoiceInput(line_items=[LineInput(rate=wrong)])
    with pytest.raises(TypeError, match=r"InvoiceInput\.custom_fields is a float"):
        InvoiceInput(custom_fields=[{"api_name": "cf_a", "value": [wrong]}])


def received() -> Invoice:
    operation = Operation(
        name="books.invoices.get",
        product=BOOKS,
        method="GET",
        path="/invoices/{invoice_id}",
        result=Invoice,
        key="invoice",
    )
    return Decoder().value(
        operation,
        b'{"code":0,"invoice":{"invoice_id":"9","customer_id":"1","date":"2024-10-02",'
        b'"due":"2024-10-02T22:41:13-0400","class":"a","discount":"","total":3.30,"reason":"r",'
        b'"line_items":[{"line_item_id":"7","item_id":"5","rate":1.10,"item_total":1.10,'
        b'"tax_id":"4","tags":["x"]},{"line_item_id":"8","rate":2.20,"tags":[1]}],'
        b'"address":{"city":"Pleasanton","fax":"7"},'
        b'"custom_fields":[{"api_name":"cf_a","value":1.50,"label":"A"}]}}',
    )


def test_an_input_of_a_record_holds_what_may_be_sent_back_lines_with_their_ids() -> None:
    copied = InvoiceInput.of(received(), discount=Decimal("0.50"))
    assert copied == InvoiceInput(
        customer_id="1",
        date=dt.date(2024, 10, 2),
        due=dt.datetime(2024, 10, 2, 22, 41, 13, tzinfo=EDT),
        class_="a",
        discount=Decimal("0.50"),
        line_items=[
            LineInput(line_item_id="7", item_id="5", rate=Decimal("1.10"), tax_id="4", tags=["x"]),
            LineInput(line_item_id="8", rate=Decimal("2.20"), tags=["1"]),
        ],
        address=AddressInput(city="Pleasanton"),
        reason="r",
        custom_fields=[{"api_name": "cf_a", "value": Decimal("1.50"), "label": "A"}],
    )
    assert b'"invoice_id"' not in encode(copied)
    assert b'"total"' not in encode(copied)


def test_changes_may_clear_and_unset_what_was_copied() -> None:
    copied = InvoiceInput.of(received(), reason=None, line_items=UNSET)
    assert copied.reason is None
    assert copied.line_items is UNSET


def test_a_change_that_the_input_has_no_field_for_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match="InvoiceInput has no field total"):
        InvoiceInput.of(received(), total=3)
    with pytest.raises(TypeError, match="float"):
        InvoiceInput.of(received(), discount=0.5)


# -- creates ----------------------------------------------------------------------------------


class NewThing(Input, kw_only=True):
    note: str | UnsetType | None = UNSET
    name: str
    lines: list[str] = msgspec.field(name="line_items")


def test_a_create_without_a_required_field_is_refused() -> None:
    with pytest.raises(TypeError, match="Missing required argument 'lines'"):
        NewThing(name="a")  # type: ignore[call-arg]


@pytest.mark.parametrize("nothing", [None, UNSET])
def test_nothing_is_no_value_for_a_required_field(nothing: Any) -> None:
    with pytest.raises(TypeError, match=r"NewThing\.name is required"):
        NewThing(name=nothing, lines=[])
    assert NewThing(name="", lines=[], note=None).note is None


def test_a_create_copies_a_record_that_has_its_required_fields() -> None:
    class Thing(msgspec.Struct):
        name: str | None = None
        line_items: list[str] | None = None

    assert NewThing.of(Thing("a", ["x"]), note="n") == NewThing(name="a", lines=["x"], note="n")
    with pytest.raises(TypeError, match="Missing required argument 'name'"):
        NewThing.of(Thing(None, ["x"]))
