"""Every JSON value that Zoho sends is available from the record."""

from __future__ import annotations

import contextlib
import json
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoho_async.errors import DecodeError
from zoho_async.operation import BOOKS, ListOperation, Operation
from zoho_async.wire import (
    Decoder,
    Moment,
    Part,
    Record,
    Unreadable,
    encode,
    query,
    raw_page,
    read_envelope,
    row_id,
)


class Tax(Part, frozen=True, kw_only=True):
    tax_name: str | None = None
    tax_amount: Decimal | None = None


class Line(Part, frozen=True, kw_only=True):
    line_item_id: str | None = None
    rate: Decimal | None = None
    quantity: int | None = None
    taxes: list[Tax] | None = None


class Sale(Record, frozen=True, kw_only=True):
    sale_id: str = ""
    customer: str | None = None
    total: Decimal | None = None
    count: int | None = None
    is_paid: bool | None = None
    day: date | None = None
    created_time: Moment | None = None
    kind: str | None = msgspec.field(default=None, name="type")
    tags: list[str] | None = None
    amounts: list[Decimal] | None = None
    line_items: list[Line] | None = None
    tax: Tax | None = None
    grid: list[list[Line]] | None = None
    anything: Any = None
    names: dict[str, Any] | None = None


LIST = ListOperation(
    name="books.sales.list", product=BOOKS, path="/sales", row=Sale, key="sales", row_id="sale_id"
)
GET = Operation(
    name="books.sales.get",
    product=BOOKS,
    method="GET",
    path="/sales/{sale_id}",
    result=Sale,
    key="sale",
)

NAMES = [
    *("sale_id", "customer", "total", "count", "is_paid", "day", "created_time", "type", "tags"),
    *("amounts", "line_items", "tax", "grid", "anything", "names", "tax_name", "tax_amount"),
    *("line_item_id", "rate", "quantity", "taxes", "cf_unknown", "kind", ""),
]

texts = st.one_of(
    st.sampled_from(["", " ", "15", "15.0", "12.5", "-3", "true", "False", "NaN", "null", "1e3"]),
    st.sampled_from(["2024-10-02", "2024-10-02T10:00:00-0400", "2024-10-02 10:00:00", "10:00"]),
    st.sampled_from(['"', '":""', ': ""', "\\", '\\"', ':" "', "a:", 'x":"', "\u2028", "\x00"]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
)
numbers = st.one_of(
    st.integers(),
    st.integers(-(10**60), 10**60),
    st.decimals(allow_nan=False, allow_infinity=False),
    st.sampled_from([Decimal("46.0"), Decimal("0.1"), Decimal("1369.66"), Decimal("1E+400")]),
)
scalars = st.one_of(texts, numbers, st.booleans(), st.none())
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.sampled_from(NAMES), texts), inner, max_size=4),
    ),
    max_leaves=12,
)
lines = st.fixed_dictionaries(
    {}, optional={"rate": values, "quantity": values, "taxes": values, "x": values}
)
sales = st.one_of(
    st.dictionaries(st.sampled_from(NAMES), values, max_size=8),
    st.fixed_dictionaries(
        {"sale_id": st.just("460000000026049")},
        optional={
            "line_items": st.lists(st.one_of(lines, values), max_size=3),
            "grid": st.lists(st.lists(lines, max_size=2), max_size=2),
            "total": scalars,
            "count": scalars,
            "is_paid": scalars,
            "day": scalars,
            "created_time": scalars,
            "tags": st.lists(scalars, max_size=3),
            "amounts": st.lists(scalars, max_size=3),
        },
    ),
)
layouts = st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", " :\t")])


def text_of(value: Any, layout: tuple[str, str] = (",", ":")) -> str:
    """``value`` as JSON, decimals in all their digits."""
    comma, colon = layout
    match value:
        case dict():
            inside = (f"{json.dumps(k)}{colon}{text_of(v, layout)}" for k, v in value.items())
            return "{" + comma.join(inside) + "}"
        case list():
            return "[" + comma.join(text_of(each, layout) for each in value) + "]"
        case Decimal():
            text = str(value)
            return text if set(text) & set(".E") else f"{text}.0"
        case _:
            return json.dumps(value, ensure_ascii=False)


def blank(sent: Any) -> bool:
    return sent is None or (isinstance(sent, str) and not sent.strip(" "))


def same(shown: Any, sent: Any) -> bool:
    """Whether a typed value says what was sent."""
    match shown:
        case None:
            return blank(sent)
        case bool():
            return sent is shown or (isinstance(sent, str) and sent.lower() == str(shown).lower())
        case int() | Decimal() if isinstance(sent, str):
            told = Decimal(sent)
            return told == shown or (told.is_nan() and Decimal(shown).is_nan())
        case int() | Decimal():
            return not isinstance(sent, bool) and bool(shown == sent)
        case str():
            return shown == (str(sent) if type(sent) is int else sent)
        case datetime():
            return isinstance(sent, str) and shown == datetime.fromisoformat(sent)
        case date():
            return bool(shown.isoformat() == sent)
        case list():
            return isinstance(sent, list) and all(map(same, shown, sent))
        case _:
            return isinstance(sent, dict) and all(same(shown.get(k), sent[k]) for k in sent)


def unreached(shown: Any, beyond: Any, sent: Any) -> list[Any]:
    """The values of ``sent`` that are neither in the typed value nor in ``extra``."""
    if beyond == sent and type(beyond) is type(sent):
        return []
    if isinstance(shown, msgspec.Struct) and isinstance(sent, dict):
        names = {f.encode_name: f.name for f in msgspec.structs.fields(shown)}
        rest = beyond if isinstance(beyond, dict) else {}
        return [
            missing
            for name, value in sent.items()
            for missing in (
                unreached(getattr(shown, names[name]), rest.get(name), value)
                if name in names
                else ([] if name in rest and rest[name] == value else [value])
            )
        ]
    if isinstance(shown, list) and isinstance(sent, list):
        rests = beyond if isinstance(beyond, list) else [None] * len(sent)
        return [m for each in zip(shown, rests, sent, strict=True) for m in unreached(*each)]
    if blank(sent):
        return [] if blank(shown) or isinstance(shown, msgspec.Struct) else [sent]
    if beyond == sent and shown in (None, ""):
        return []
    return [] if shown is not None and same(shown, sent) else [sent]


@given(st.lists(sales, max_size=3), layouts)
def test_every_value_of_a_page_is_reached_from_its_rows(
    sent: list[dict[str, Any]], layout: tuple[str, str]
) -> None:
    body = text_of({"code": 0, "sales": sent, "page_context": {"page": 1}}, layout).encode()
    rows = Decoder().page(LIST, body).rows
    assert len(rows) == len(sent)
    for row, original in zip(rows, sent, strict=True):
        assert isinstance(row.sale_id, str)
        for field in msgspec.structs.fields(row):
            if original.get(field.encode_name, "") in ("", " ", None):
                assert getattr(row, field.name) == field.default
        assert unreached(row, row.extra, original) == []


@given(st.lists(sales, min_size=1, max_size=3), values)
def test_what_one_page_taught_does_not_change_what_the_next_one_holds(
    sent: list[dict[str, Any]], drifted: Any
) -> None:
    decoder = Decoder()
    names = ("total", "count", "line_items", "tax", "tags", "created_time")
    taught = dict.fromkeys(names, drifted)
    decoder.page(LIST, text_of({"sales": [taught]}).encode())
    body = text_of({"code": 0, "sales": sent}).encode()
    first, fresh = decoder.page(LIST, body), Decoder().page(LIST, body)
    assert repr(first.rows) == repr(fresh.rows)
    assert [row.extra for row in first.rows] == [row.extra for row in fresh.rows]


@given(values, layouts)
def test_a_value_of_any_form_makes_a_record_or_is_unreadable(
    sent: Any, layout: tuple[str, str]
) -> None:
    body = text_of({"code": 0, "sale": sent}, layout).encode()
    if blank(sent):
        with pytest.raises(Unreadable):
            Decoder().value(GET, body)
        return
    sale = Decoder().value(GET, body)
    one: Any = sent[0] if isinstance(sent, list) and len(sent) == 1 else sent
    if isinstance(one, dict):  # a record may come as an array of one
        assert unreached(sale, sale.extra, one) == []
    else:
        assert sale == Sale()
        assert sale.extra == {"sale": sent}


@given(sales)
def test_strict_raises_exactly_where_a_value_would_have_come_to_nothing(
    sent: dict[str, Any],
) -> None:
    body = text_of({"code": 0, "sale": sent}).encode()
    tolerant = Decoder()
    tolerant.value(GET, body)
    if tolerant.drift:
        with pytest.raises(DecodeError):
            Decoder(strict=True).value(GET, body)
    else:
        Decoder(strict=True).value(GET, body)


@given(sales)
def test_drift_is_counted_exactly_where_a_documented_value_is_in_extra(
    sent: dict[str, Any],
) -> None:
    decoder = Decoder()
    sale = decoder.value(GET, text_of({"code": 0, "sale": sent}).encode())
    names = {f.encode_name: f.name for f in msgspec.structs.fields(sale)}
    lost = {
        name for name in sale.extra if name in names and getattr(sale, names[name]) in (None, "")
    }
    counted = {field.replace("[]", "").split(".")[0] for _, field in decoder.drift}
    assert lost <= counted
    assert counted <= set(sale.extra)


@given(st.one_of(st.binary(), texts.map(str.encode), values.map(lambda v: text_of(v).encode())))
def test_any_bytes_are_read_or_unreadable_and_nothing_else(body: bytes) -> None:
    for read in (
        read_envelope,
        lambda body: Decoder().page(LIST, body),
        lambda body: Decoder().value(GET, body),
        lambda body: raw_page(LIST, body),
    ):
        with contextlib.suppress(Unreadable):
            read(body)
    row_id(LIST, body)


@given(sales, st.data())
def test_a_reply_cut_anywhere_is_unreadable(sent: dict[str, Any], data: st.DataObject) -> None:
    body = text_of({"code": 0, "sales": [sent]}).encode()
    cut = body[: data.draw(st.integers(0, len(body) - 1))]
    for read in (
        read_envelope,
        lambda body: Decoder().page(LIST, body),
        lambda body: raw_page(LIST, body),
    ):
        with pytest.raises(Unreadable):
            read(cut)


@given(sales, st.binary(max_size=6), st.data())
def test_damage_inside_a_text_costs_no_record(
    sent: dict[str, Any], damage: bytes, data: st.DataObject
) -> None:
    damage = bytes(each for each in damage if each >= 0x80) + data.draw(
        st.sampled_from([b"", rb"\ud83d", rb"\udc00\ud800", rb"\\ud800", rb"\ud83d\ude00"])
    )
    whole = text_of({"sales": [sent], "code": 0}).encode()
    body = whole.replace(b'{"sales":[{', b'{"sales":[{"customer":"' + damage + b'.","cf":1,', 1)
    if not sent:
        body = body.replace(b",}", b"}")
    page = Decoder().page(LIST, body)
    assert len(page.rows) == 1
    assert page.rows[0].extra["cf"] == 1
    assert read_envelope(body).code == 0
    assert len(raw_page(LIST, body).rows) == 1


@given(st.lists(sales, max_size=3), layouts)
def test_raw_rows_are_the_bytes_that_were_sent(
    sent: list[dict[str, Any]], layout: tuple[str, str]
) -> None:
    rows = [text_of(row, layout).encode() for row in sent]
    body = b'{"code":0, "sales": [' + b" , ".join(rows) + b'] ,"page_context":{"page":1}}'
    page = raw_page(LIST, body)
    assert [bytes(row) for row in page.rows] == rows
    assert page.context is not None


@given(numbers)
def test_amounts_keep_every_digit_both_ways(number: int | Decimal) -> None:
    body = text_of({"sale": {"total": number, "cf": number}}).encode()
    sale = Decoder().value(GET, body)
    assert sale.total == number
    assert sale.extra["cf"] == number
    if abs(Decimal(number).adjusted()) < 50:
        assert json.loads(encode({"a": number}), parse_float=Decimal)["a"] == number
        assert "E" not in query({"a": number})["a"]
        assert Decimal(query({"a": number})["a"]) == number
