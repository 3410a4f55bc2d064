"""Replies are decoded to typed values without losing anything."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from zoho_async.errors import DecodeError
from zoho_async.events import Drifted, Event
from zoho_async.operation import BOOKS, ListOperation, Method, Operation, T
from zoho_async.wire import (
    Decoder,
    Done,
    Moment,
    Part,
    Record,
    Unreadable,
    encode,
    raw_page,
    read_envelope,
    row_id,
)


class Line(Part, frozen=True, kw_only=True):
    line_item_id: str | None = None
    rate: Decimal | None = None
    quantity: int | None = None


class Address(Part, frozen=True, kw_only=True):
    city: str | None = None


class Invoice(Record, frozen=True, kw_only=True):
    invoice_id: str = ""
    total: Decimal | None = None
    terms: int | None = None
    is_emailed: bool | None = None
    date: dt.date | None = None
    created_time: Moment | None = None
    class_: str | None = msgspec.field(default=None, name="class")
    tags: list[str] | None = None
    line_items: list[Line] | None = None
    address: Address | None = None


class InvoiceWithCredits(Record, frozen=True, kw_only=True):
    invoice: Invoice | None = None
    credits: list[Invoice] | None = None
    balance: Decimal | None = None


LIST = ListOperation(
    name="books.invoices.list",
    product=BOOKS,
    path="/invoices",
    row=Invoice,
    key="invoices",
    row_id="invoice_id",
)
AT_ONCE = ListOperation(
    name="books.invoices.all", product=BOOKS, path="/i", row=Invoice, key="invoices", paged=False
)


def call(result: type[T], key: str = "", method: Method = "GET") -> Operation[T]:
    return Operation(
        name="books.invoices.get", product=BOOKS, method=method, path="/i", result=result, key=key
    )


def invoice(text: str, decoder: Decoder | None = None) -> Invoice:
    body = f'{{"code":0,"message":"success","invoice":{text}}}'.encode()
    return (decoder or Decoder()).value(call(Invoice, "invoice"), body)


def test_every_documented_value_arrives_in_its_type() -> None:
    found = invoice(
        '{"invoice_id":"460000000026049","total":1369.66,"terms":15,"is_emailed":true,'
        '"date":"2024-10-02","created_time":"2024-10-02T22:41:13-0400","class":"a",'
        '"tags":["x"],"line_items":[{"rate":0.1}],"address":{"city":"Pleasanton"}}'
    )
    assert found == Invoice(
        invoice_id="460000000026049",
        total=Decimal("1369.66"),
        terms=15,
        is_emailed=True,
        date=dt.date(2024, 10, 2),
        created_time=dt.datetime(
            2024, 10, 2, 22, 41, 13, tzinfo=dt.timezone(dt.timedelta(hours=-4))
        ),
        class_="a",
        tags=["x"],
        line_items=[Line(rate=Decimal("0.1"))],
        address=Address(city="Pleasanton"),
    )
    assert found.extra == {}


@pytest.mark.parametrize("blank", ['""', '" "', "null"])
@pytest.mark.parametrize("colon", [":", ": ", " : ", ":\n\t"])
def test_a_blank_is_none_whatever_the_type_and_the_layout(blank: str, colon: str) -> None:
    names = [field.encode_name for field in msgspec.structs.fields(Invoice)]
    decoder = Decoder(strict=True)
    body = ",".join(f'"{name}"{colon}{blank}' for name in names)
    found = decoder.value(
        call(Invoice, "invoice"), f'{{"code"{colon}0,"invoice"{colon}{{{body}}}}}'.encode()
    )
    assert found == Invoice()
    assert found.invoice_id == ""
    assert found.extra == {}
    assert not decoder.drift


def test_texts_that_look_like_blanks_are_left_alone() -> None:
    texts = ['a:""', 'b: ""', ':" "', 'x":"",', "a:", ": "]
    found = invoice(f'{{"tags":{json.dumps(texts)},"class":{json.dumps(texts[0])}}}')
    assert found.tags == texts
    assert found.class_ == texts[0]


def test_an_undocumented_value_is_in_extra_as_sent() -> None:
    found = invoice('{"total":1.0,"cf_a":"","cf_b":12.50,"cf_c":[1,{"d":0.1}],"cf_e":null}')
    assert found.extra == {
        "cf_a": "",
        "cf_b": Decimal("12.50"),
        "cf_c": [1, {"d": Decimal("0.1")}],
        "cf_e": None,
    }
    assert str(found.extra["cf_b"]) == "12.50"


def test_undocumented_fields_of_lines_are_listed_per_line() -> None:
    found = invoice(
        '{"line_items":[{"rate":1.0},{"rate":2.0,"sku":"s","rate_formatted":"2"},{}],'
        '"address":{"city":"x","fax":"7"}}'
    )
    assert found.extra == {
        "line_items": [{}, {"sku": "s", "rate_formatted": "2"}, {}],
        "address": {"fax": "7"},
    }


def test_a_record_of_ones_own_has_no_extra() -> None:
    assert Invoice(invoice_id="1").extra == {}


def test_extra_is_in_no_repr_comparison_or_encoding() -> None:
    bare, rich = invoice('{"invoice_id":"1"}'), invoice('{"invoice_id":"1","cf_secret":"s"}')
    assert rich.extra == {"cf_secret": "s"}
    assert rich == bare
    assert repr(rich) == repr(bare)
    assert "secret" not in repr(rich)
    assert encode(rich) == encode(bare)


@pytest.mark.parametrize(
    ("field", "sent", "found"),
    [
        ("invoice_id", "460000000026049", "460000000026049"),
        ("class", "7", "7"),
        ("terms", '"15"', 15),
        ("terms", "15.0", 15),
        ("terms", "1.5E1", 15),
        ("is_emailed", '"true"', True),
        ("is_emailed", '"False"', False),
        ("total", '"12.50"', Decimal("12.50")),
        ("total", "12", Decimal(12)),
        ("tags", "[1,2]", ["1", "2"]),
    ],
)
def test_a_value_that_says_the_same_in_another_type_is_no_drift(
    field: str, sent: str, found: object
) -> None:
    decoder = Decoder(strict=True)
    record = invoice(f'{{"{field}":{sent}}}', decoder)
    assert getattr(record, field.replace("class", "class_")) == found
    assert record.extra == {}
    assert not decoder.drift


@pytest.mark.parametrize(
    ("field", "sent", "kept"),
    [
        ("invoice_id", '["1"]', ["1"]),
        ("class", "1.5", Decimal("1.5")),
        ("class", "true", True),
        ("terms", '"Net 15"', "Net 15"),
        ("terms", "1.5", Decimal("1.5")),
        ("terms", "1e400", Decimal("1e400")),
        ("total", '"1,369.66"', "1,369.66"),
        ("total", "true", True),
        ("total", "1e9999999999999999999999", "1e9999999999999999999999"),
        ("is_emailed", "1", 1),
        ("date", '"02/10/2024"', "02/10/2024"),
        ("created_time", '"2024-10-02 10:00:00"', "2024-10-02 10:00:00"),
        ("created_time", '"2024-10-02T10:00:00"', "2024-10-02T10:00:00"),
        ("created_time", "1727920873", 1727920873),
        ("tags", '["a",{"b":1}]', ["a", {"b": 1}]),
        ("line_items", '{"rate":1}', {"rate": 1}),
        ("address", "[]", []),
        ("address", '"Main Street"', "Main Street"),
    ],
)
def test_a_value_that_does_not_fit_is_none_and_its_original_stays(
    field: str, sent: str, kept: object
) -> None:
    decoder = Decoder()
    record = invoice(f'{{"{field}":{sent},"total_formatted":"$1"}}', decoder)
    assert record == Invoice()
    assert record.extra == {field: kept, "total_formatted": "$1"}
    assert sum(decoder.drift.values()) == 1


def test_one_bad_line_costs_neither_the_others_nor_their_places() -> None:
    decoder = Decoder()
    record = invoice(
        '{"total":3.0,"line_items":[{"rate":1.0},"",7,{"rate":"x","quantity":"3"},{"rate":2.0}]}',
        decoder,
    )
    assert record.line_items == [
        Line(rate=Decimal("1.0")),
        Line(),
        Line(),
        Line(quantity=3),
        Line(rate=Decimal("2.0")),
    ]
    assert record.total == Decimal("3.0")
    assert record.extra == {"line_items": [{}, {}, 7, {"rate": "x"}, {}]}
    assert dict(decoder.drift) == {
        ("Invoice", "line_items[]"): 1,
        ("Invoice", "line_items[].rate"): 1,
    }


def test_drift_is_counted_per_row_and_reported_at_powers_of_ten() -> None:
    told: list[Event] = []
    decoder = Decoder(observer=told.append)
    rows = ",".join(
        f'{{"invoice_id":"{n}","line_items":[{{"rate":"x"}},{{"rate":"y"}}]}}' for n in range(150)
    )
    page = decoder.page(LIST, f'{{"code":0,"invoices":[{rows}],"page_context":{{}}}}'.encode())
    assert [row.invoice_id for row in page.rows] == [str(n) for n in range(150)]
    assert dict(decoder.drift) == {("Invoice", "line_items[].rate"): 150}
    assert told == [
        Drifted(
            record="Invoice",
            field="line_items[].rate",
            expected="decimal",
            found="string",
            count=count,
        )
        for count in (1, 10, 100)
    ]


def test_strict_raises_and_names_the_field_but_never_the_value() -> None:
    with pytest.raises(DecodeError) as caught:
        invoice('{"line_items":[{"rate":"secret"}]}', Decoder(strict=True))
    text = str(caught.value)
    assert "Invoice.line_items[].rate" in text
    assert "decimal" in text
    assert "string" in text
    assert "secret" not in text


def test_a_page_keeps_its_context_and_what_else_the_envelope_held() -> None:
    page = Decoder().page(
        LIST,
        b'{"code":0,"message":"success","invoices":[{"invoice_id":"1","cf":1},{"invoice_id":"2"}],'
        b'"page_context":{"page":2,"per_page":"200","has_more_page":true,"custom_fields":[]},'
        b'"totals":{"balance":1.50}}',
    )
    assert [row.invoice_id for row in page.rows] == ["1", "2"]
    assert [row.extra for row in page.rows] == [{"cf": 1}, {}]
    assert page.context is not None
    assert (page.context.page, page.context.per_page) == (2, 200)
    assert page.context.has_more_page is True
    assert page.context.extra == {"custom_fields": []}
    assert page.extra == {"totals": {"balance": Decimal("1.50")}}


@pytest.mark.parametrize(
    "body",
    [
        b'{"code":0,"invoices":[]}',
        b'{"code":0,"invoices":""}',
        b'{"code":0,"invoices":"  "}',
        rb'{"code":0,"invoices":"","message":"\ud83d"}',
    ],
)
def test_a_list_of_nothing_is_empty(body: bytes) -> None:
    assert Decoder().page(LIST, body).rows == []
    assert raw_page(LIST, body).rows == []


def test_a_list_without_its_key_is_empty_only_if_something_vouches_for_it() -> None:
    vouched, bare = b'{"code":0,"page_context":{"page":9}}', b'{"code":0,"message":"success"}'
    assert Decoder().page(LIST, vouched).rows == []
    assert raw_page(LIST, vouched).rows == []
    assert Decoder().page(AT_ONCE, bare).rows == []
    assert raw_page(AT_ONCE, bare).rows == []
    with pytest.raises(Unreadable, match="invoices"):
        Decoder().page(LIST, bare)
    with pytest.raises(Unreadable, match="invoices"):
        raw_page(LIST, bare)


@pytest.mark.parametrize("rows", ["{}", '"none"', "7"])
def test_rows_that_are_no_list_are_never_an_empty_page(rows: str) -> None:
    body = f'{{"code":0,"invoices":{rows},"page_context":{{"page":1}}}}'.encode()
    with pytest.raises(Unreadable, match="not a list"):
        Decoder().page(LIST, body)
    with pytest.raises(Unreadable, match="not a list"):
        raw_page(LIST, body)


def test_a_row_that_is_no_object_keeps_its_place_and_its_value() -> None:
    rows = Decoder().page(LIST, b'{"invoices":[{"invoice_id":"1"},7,null],"page_context":{}}').rows
    assert rows == [Invoice(invoice_id="1"), Invoice(), Invoice()]
    assert [row.extra for row in rows] == [{}, {"invoices": 7}, {}]


def test_done_keeps_the_message_and_the_undocumented_keys() -> None:
    done = Decoder().value(
        call(Done, method="POST"), b'{"code":0,"message":"Marked as sent.","data":{"n":1}}'
    )
    assert done == Done(message="Marked as sent.")
    assert done.extra == {"data": {"n": 1}}


def test_several_values_come_as_one_struct_whose_records_have_their_own_extra() -> None:
    values = Decoder().value(
        call(InvoiceWithCredits),
        b'{"code":0,"message":"success","invoice":{"invoice_id":"1","cf":1},'
        b'"credits":[{"invoice_id":"2"},{"cf":2}],"balance":46.0,"more":true}',
    )
    assert values.balance == Decimal("46.0")
    assert values.extra == {"invoice": {"cf": 1}, "credits": [{}, {"cf": 2}], "more": True}
    assert values.invoice is not None
    assert values.invoice.extra == {"cf": 1}
    assert [each.extra for each in values.credits or []] == [{}, {"cf": 2}]


def test_a_reading_reply_without_its_value_is_unreadable() -> None:
    for rest in (b"}", b',"invoice":""}', b',"invoice":"  "}', rb',"damage":"\ud83d"}'):
        with pytest.raises(Unreadable, match="invoice"):
            Decoder().value(call(Invoice, "invoice"), b'{"code":0,"message":"success"' + rest)


def test_a_write_whose_reply_holds_no_value_was_done_all_the_same() -> None:
    decoder = Decoder()
    record = decoder.value(
        call(Invoice, "invoice", "POST"), b'{"code":0,"message":"Created.","invoice_id":"1"}'
    )
    assert record == Invoice()
    assert record.extra == {"invoice_id": "1"}
    assert dict(decoder.drift) == {("Invoice", ""): 1}


def test_raw_json_comes_as_plain_values_without_floats() -> None:
    anything: Operation[Any] = call(dict, "settings")
    assert Decoder().value(anything, b'{"code":0,"settings":{"a":0.10,"b":""}}') == {
        "a": Decimal("0.10"),
        "b": None,
    }
    many: Operation[Any] = call(list[Invoice], "items")
    found = Decoder().value(many, b'{"items":[{"invoice_id":1,"cf":1},{}]}')
    assert found == [Invoice(invoice_id="1"), Invoice()]
    assert found[0].extra == {"cf": 1}


# -- the envelope ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        (b'{"code":0,"message":"success"}', 0, "success"),
        (b'{"code":"45","message":"day"}', 45, "day"),
        (b'{"code":1070}', 1070, ""),
        (b'{"access_token":"x","expires_in":3600}', None, ""),
        (b'{"code":"invalid_client","message":""}', None, ""),
        (b'{"code":true,"message":{"a":1}}', None, ""),
        (b'{"code":null,"message":null}', None, ""),
    ],
)
def test_an_envelope_tells_its_code_as_a_number(
    body: bytes, code: int | None, message: str
) -> None:
    envelope = read_envelope(body)
    assert (envelope.code, envelope.message) == (code, message)


def test_an_envelope_keeps_what_explains_the_error() -> None:
    body = b'{"code":6024,"message":"many","error_info":["1","2"]}'
    assert read_envelope(body).error_info == ["1", "2"]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "empty"),
        (b" \r\n", "empty"),
        (b"<!DOCTYPE html><html>secret</html>", "HTML"),
        (b'{"code":0,"message":"success","invoices":[{"invoice_id":"secret', "cut short"),
        (b'{"code":0,"message":"success","invoices":[{"a":1},', "cut short"),
        (b'{"code":0,"message":"success"', "cut short"),
        (b'{"code":0} secret', "not JSON"),
        (b"secret", "not JSON"),
        (b'["secret"]', "not an object"),
        (b'"secret"', "not an object"),
        (b'{"code":0,"a":NaN}', "not JSON"),
        (b'{"code":0,"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "deep"),
    ],
)
def test_what_is_no_reply_is_unreadable_and_says_why(body: bytes, why: str) -> None:
    for read in (
        read_envelope,
        lambda body: Decoder().page(LIST, body),
        lambda body: Decoder().value(call(Invoice, "invoice"), body),
        lambda body: raw_page(LIST, body),
    ):
        with pytest.raises(Unreadable, match=why) as caught:
            read(body)
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize("digits", ["1" * 5_000, "-" + "9" * 5_000])
def test_a_number_of_any_length_costs_nothing(digits: str) -> None:
    record = invoice(f'{{"total":{digits},"terms":{digits},"cf":{digits}}}')
    assert record.total == Decimal(digits)
    assert record.terms is None
    assert record.extra == {"terms": Decimal(digits), "cf": Decimal(digits)}


def test_the_last_of_two_equal_keys_counts() -> None:
    record = invoice('{"terms":"x","terms":3,"cf":1,"cf":2}')
    assert record.terms == 3
    assert record.extra == {"cf": 2}


# -- rows as bytes --------------------------------------------------------------------------------


def test_raw_rows_are_untouched() -> None:
    rows = b'{"invoice_id":"1", "a":""},{ "b":1.50}'
    body = b'{"code":0,"invoices":[' + rows + b'],"page_context":{"page":"3"}}'
    page = raw_page(LIST, body)
    assert [bytes(row) for row in page.rows] == [b'{"invoice_id":"1", "a":""}', b'{ "b":1.50}']
    assert page.context is not None
    assert page.context.page == 3


@pytest.mark.parametrize("name", [b'"a:""b"', b'":" "b"', b'"a:"" ""b"', b'"x\\":""b"'])
def test_replacing_blanks_makes_no_broken_text_readable(name: bytes) -> None:
    row = b'{"invoice_id":"1","invoice_number":%b,"status":""}' % name
    with pytest.raises(Unreadable):
        Decoder().page(LIST, b'{"code":0,"invoices":[%b]}' % row)


@pytest.mark.parametrize(
    ("row", "found"),
    [
        (b'{"x":1,"invoice_id":"460000000026049"}', "460000000026049"),
        (b'{"invoice_id":460000000026049}', "460000000026049"),
        (b'{"invoice_id":""}', ""),
        (b'{"invoice_id":null}', ""),
        (b'{"invoice_id":{}}', ""),
        (b'{"invoice_id":true}', ""),
        (b'{"invoice_id":"A\xff1"}', "A\ufffd1"),
        (b"{}", ""),
        (b"7", ""),
    ],
)
def test_the_id_of_a_raw_row(row: bytes, found: str) -> None:
    assert row_id(LIST, row) == found
    assert row_id(LIST, msgspec.Raw(row)) == found
    assert row_id(AT_ONCE, row) == ""
