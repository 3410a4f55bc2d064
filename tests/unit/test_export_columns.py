"""Columns of rows: their names, and the values that fit."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from tests.support import export_rows
from zoho_async import description
from zoho_async.description import Field
from zoho_async.export.columns.batch import ColumnReader, RowBatch
from zoho_async.export.columns.decode import coerce
from zoho_async.export.columns.numbers import NumberStorage
from zoho_async.export.columns.schema import LONGEST_NAME, ColumnShape, shape_of, short_name
from zoho_async.export.columns.tables import Layout
from zoho_async.export.destinations.directory import line
from zoho_async.operation import PRODUCTS
from zoho_async.wire import Unreadable


def lines_of(rows: list[bytes]) -> bytes:
    return b"".join(map(line, rows))


def read(text: str, *fields: Field) -> tuple[dict[str, Any], str | None]:
    shape = shape_of(fields)
    batch = ColumnReader(shape).read(lines_of([text.encode()]))
    cells = {
        column.name: cells[0] for column, cells in zip(shape.columns, batch.values, strict=True)
    }
    return cells, batch.extra[0]


def one(kind: Any, text: str) -> tuple[Any, bool]:
    """The cell of a JSON text, alone and among others, and whether it fits."""
    (cell,), misfits, _ = coerce(kind, [msgspec.Raw(text.encode())])
    cells, several, _ = coerce(kind, [msgspec.Raw(each.encode()) for each in ("null", text, '""')])
    assert cells == [None, cell, None]
    assert several == [1] * len(misfits)
    return cell, not misfits


@pytest.mark.parametrize(
    ("kind", "text", "cell"),
    [
        ("decimal", "46.10", "46.10"),
        ("decimal", '"46.10"', "46.10"),
        ("decimal", "1E+3", "1000"),
        ("decimal", "-0.000000000001", "-0.000000000001"),
        ("decimal", "1.0000000000000", "1.0000000000000"),
        ("decimal", "1.50E+2", "150"),
        ("exchange_rate", '"1E-7"', "0.0000001"),
        ("integer", '"15"', 15),
        ("integer", "15.0", 15),
        ("integer", "-9223372036854775807", -9223372036854775807),
        ("boolean", '"true"', True),
        ("text", "955851030002003001", "955851030002003001"),
        ("text", "1.50", "1.50"),
        ("text", "true", "true"),
        ("text", r'"a\tb \"c\" \\d"', 'a\tb "c" \\d'),
        ("date", '"2024-02-29"', "2024-02-29"),
        ("time", '"2026-06-09T09:45:19-0400"', "2026-06-09T09:45:19-0400"),
        ("time", '"2026-06-09T09:45:19+2300"', "2026-06-08T10:45:19+00:00"),
        ("json", '{"a" : 1.50}', '{"a" : 1.50}'),
        ("texts", '["a","b"]', ["a", "b"]),
        ("text", '"  "', None),
    ],
)
def test_a_value_that_says_the_same_in_other_words_fits(kind: str, text: str, cell: Any) -> None:
    assert one(kind, text) == (cell, True)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("decimal", "1E+999999"),
        ("decimal", '"NaN"'),
        ("decimal", '"Infinity"'),
        ("decimal", '"12.5%"'),
        ("decimal", '"1_000"'),
        ("decimal", '"1,000.50"'),
        ("decimal", '" 1"'),
        ("decimal", '"\u0661"'),
        ("decimal", "true"),
        ("integer", "9223372036854775808"),
        ("integer", "1.5"),
        ("integer", '"007"'),
        ("integer", '"april"'),
        ("boolean", '"955851030002003001"'),
        ("boolean", "1"),
        ("text", r'"nul\u0000"'),
        ("text", '{"x":1}'),
        ("date", '"2026-02-31"'),
        ("date", '"2026-06-09T00:00:00"'),
        ("time", '"2026-06-09T09:45:19"'),
        ("time", '"2026-06-09T09:45:19.1234567Z"'),
        ("time", '"0001-01-01T00:00:00+1400"'),
        ("texts", '["a",1]'),
        ("texts", '"a"'),
    ],
)
def test_a_value_that_would_lose_something_in_its_column_does_not_fit(kind: str, text: str) -> None:
    assert one(kind, text) == (None, False)


EXACT = {
    # as sent: (SQLite, DECIMAL(38, 6)), with what is exact in the column first
    "12.50": (12.5, "12.50"),
    '"12.50"': (12.5, "12.500000"),
    "1E+5": (100000, "100000.000000"),
    "-0": (0, "-0"),
    "-0.0": (0.0, "-0.0"),
    "0E+999999": (0, "0.000000"),
    "1.5E+300": (1.5e300, None),
    "9223372036854775807": (2**63 - 1, "9223372036854775807"),
    "-9223372036854775808": (-(2**63), "-9223372036854775808"),
    "100000000000000000000": (1e20, "100000000000000000000"),
    "9007199254740993.00": (9007199254740993, "9007199254740993.00"),
    "1.00000000000000000000": (1, "1.000000"),
}
ROUNDED = {
    "9223372036854775809": (2.0**63, "9223372036854775809"),
    "0.30000000000000004441": (0.30000000000000004, "0.300000"),
    "12345678901234567.89": (12345678901234568.0, "12345678901234567.89"),
    "0.0000005": (5e-7, "0.000001"),
    "-0.0000005": (-5e-7, "-0.000001"),
    "0.00000049": (4.9e-7, "0.000000"),
    "1E-400": (0.0, "0.000000"),
    "1E+400": (None, None),
    "99999999999999999999999999999999.9999995": (1e32, None),
    '"-1E+32"': (-1e32, None),
}


@pytest.mark.parametrize("text", [*EXACT, *ROUNDED])
def test_a_number_that_a_column_does_not_hold_has_its_digits_in_exact(text: str) -> None:
    sent = text.strip('"')
    storages: tuple[NumberStorage, ...] = ("double", "decimal")
    for storage, cell in zip(storages, (EXACT | ROUNDED)[text], strict=True):
        raws = [msgspec.Raw(each.encode()) for each in ("null", text, '""')]
        cells, misfits, exact = coerce("decimal", raws, storage)
        assert (cells, misfits) == ([None, cell, None], [])
        held = cell is not None and Decimal(repr(cell).strip("'")) == Decimal(sent)
        assert exact == ({} if held else {1: sent})
        again = coerce("decimal", [msgspec.Raw(text.encode())] * 3, storage)
        assert again == ([cell] * 3, [], {} if held else dict.fromkeys(range(3), sent))


def test_an_exchange_rate_has_nine_digits() -> None:
    (cell,), _, exact = coerce("exchange_rate", [msgspec.Raw(b"0.0000187654321")], "decimal")
    assert (cell, exact) == ("0.000018765", {0: "0.0000187654321"})
    names = ["exchange_rate", "bcy_exchange_rate", "conversion_rate", "rate", "exchange_gain"]
    shape = shape_of([Field(name=name, kind="decimal") for name in names])
    kinds = [column.kind for column in shape.columns]
    assert kinds == ["exchange_rate"] * 3 + ["decimal"] * 2 + ["time"]


def test_exact_names_the_columns_of_a_row_and_counts_their_fields() -> None:
    shape = shape_of(export_rows.FIELDS)
    row = (
        b'{"total":1E-9,"exchange_rate":"0.1","billing_address":{"geo":{"x":2.12345678}},'
        b'"line_items":[{"rate":1},{"rate":0.0000001,"tags":[{"share":1e40}]}],"_exact":"mine"}'
    )
    batch = ColumnReader(shape, "decimal").read(lines_of([b"{}", row]))
    assert batch.exact == [None, '{"billing_address_geo_x":"2.12345678","total":"1E-9"}']
    assert batch.extra == [None, '{"_exact":"mine"}']
    lines = batch.lists[0].batch
    assert lines.exact == [None, '{"rate":"0.0000001"}']
    assert lines.lists[0].batch.exact == ['{"share":"1e40"}']
    fields = ["billing_address.geo.x", "line_items.rate", "line_items.tags.share", "total"]
    assert batch.rounded == dict.fromkeys(fields, 1)


def test_a_misfit_is_complete_in_extra() -> None:
    total, lines = Field(name="total", kind="decimal"), Field(
        name="lines", kind="list", fields=(Field(name="rate", kind="decimal"),)
    )  # fmt: skip
    cells, extra = read(
        '{"total":{"x":1.50},"lines":{"rate":1},"new":[1.10],"no":""}', total, lines
    )
    assert cells["total"] is None
    assert extra == '{"lines":{"rate":1},"new":[1.10],"total":{"x":1.50}}'


def test_misfits_are_counted() -> None:
    reader = ColumnReader(shape_of(export_rows.FIELDS))
    rows = [b'{"total":"many"}', b'{"total":1.0}', b'{"line_items":[{"rate":[]}],"date":5}']
    assert reader.read(lines_of(rows)).misfits.total() == 3


def test_objects_become_columns_with_their_name_before_them() -> None:
    cells, extra = read('{"billing_address":{"city":"Ulm","fax":"1"}}', *export_rows.FIELDS)
    assert cells["billing_address_city"] == "Ulm"
    assert extra == '{"billing_address":{"fax":"1"}}'


def test_an_element_that_is_no_object_leaves_the_whole_list_in_extra() -> None:
    _, extra = read('{"line_items":[{"rate":1.0},"?"]}', *export_rows.FIELDS)
    assert extra == '{"line_items":[{"rate":1.0},"?"]}'


def test_blank_elements_keep_their_places_whatever_comes_with_them() -> None:
    blank, odd = b'{"line_items":[null,"",{"rate":1.0}]}', b'{"line_items":["?"]}'
    reader = ColumnReader(shape_of(export_rows.FIELDS))
    for rows in ([blank], [blank, odd], [odd, blank]):
        batch = reader.read(lines_of(rows))
        lines = batch.lists[0]
        assert [count for count in lines.counts if count] == [3]
        assert lines.batch.values[1] == [None, None, "1.0"]
        assert sorted(filter(None, batch.extra)) == ['{"line_items":["?"]}'] * (len(rows) - 1)


def test_a_row_with_broken_characters_is_read() -> None:
    shape = shape_of(export_rows.FIELDS)
    rows = [b'{"customer_name":"a\xffb"}', b'{"customer_name":"c\\ud800d","x\xfe":1}']
    batch = ColumnReader(shape).read(lines_of(rows))
    assert batch.values[1] == ["a\ufffdb", None]
    assert batch.extra == [None, '{"customer_name":"c\\ud800d","x\ufffd":1}']


@pytest.mark.parametrize("row", [b"[]", b"1", b"{", b"{},{}", b""])
def test_text_that_is_not_a_row_is_refused(row: bytes) -> None:
    with pytest.raises(Unreadable):
        ColumnReader(shape_of(export_rows.FIELDS)).read(lines_of([b"{}", row]))


def test_an_endless_number_of_new_names_is_kept() -> None:
    reader = ColumnReader(shape_of(export_rows.FIELDS))
    for start in range(0, 2000, 100):
        rows = [f'{{"cf_{n}":{n},"total":1.0}}'.encode() for n in range(start, start + 100)]
        batch = reader.read(lines_of(rows))
        assert batch.extra == [f'{{"cf_{n}":{n}}}' for n in range(start, start + 100)]
        assert batch.values[2] == ["1.0"] * 100


def test_names_that_databases_treat_as_equal_are_distinguished() -> None:
    address = Field(name="a", kind="object", fields=(Field(name="b", kind="text"),))
    shape = shape_of([address, Field(name="a_b", kind="text"), Field(name="A_B", kind="text")])
    names = [column.name for column in shape.columns]
    assert len({name.lower() for name in names}) == len(names)
    assert "a_b" in names
    assert short_name("x" * 63) == "x" * 63
    assert len(short_name("x" * 64)) == LONGEST_NAME
    assert short_name("x" * 64) != short_name("x" * 65)


@pytest.mark.parametrize("product", PRODUCTS)
def test_every_described_row_has_columns_that_every_database_can_name(product: str) -> None:
    for facts in description.load(product).operations:
        if facts.answer not in ("list", "record"):
            continue
        shape = shape_of(facts.reply)
        tables = Layout(short_name(facts.resource.replace(".", "_")), facts.row_id, shape).tables
        assert len({table.name.lower() for table in tables}) == len(tables)
        for table in tables:
            names = [column.name for column in table.columns]
            assert len({name.lower() for name in names}) == len(names)
            assert all(len(name.encode()) <= LONGEST_NAME for name in (*names, table.name))
            assert len(names) < 1000


def test_children_are_keyed_to_their_parent() -> None:
    shape = shape_of(export_rows.FIELDS)
    layout = Layout("invoices", "invoice_id", shape)
    row = b'{"invoice_id":"7","line_items":[{"rate":1.0},{"tags":[{"tag_id":"a"},{"tag_id":"b"}]}]}'
    rows = [b'{"invoice_id":"6"}', row, b'{"total":5}']
    batch = ColumnReader(shape).read(lines_of(rows))
    ids = layout.ids(batch, lines_of(rows))
    assert ids[:2] == ["6", "7"]
    assert ids[2].startswith("#")
    assert layout.ids(batch, lines_of(rows)) == ids
    _, lines, tags = layout.split(batch, ids)
    assert [table.name for table in layout.tables] == [
        "invoices", "invoices__line_items", "invoices__line_items__tags",
    ]  # fmt: skip
    assert lines[:2] == [["7", "7"], [1, 2]]
    assert tags[:3] == [["7", "7"], [2, 2], [1, 2]]
    assert layout.tables[2].key == ("_row_id", "_position_1", "_position")


def test_sums_of_columns_are_exact() -> None:
    rows = [f'{{"total":{n}.{n:02}}}'.encode() for n in range(100)]
    batch: RowBatch = ColumnReader(shape_of(export_rows.FIELDS)).read(lines_of(rows))
    shape: ColumnShape = shape_of(export_rows.FIELDS)
    (totals,) = (
        cells
        for column, cells in zip(shape.columns, batch.values, strict=True)
        if column.name == "total"
    )
    assert sum(map(Decimal, totals)) == Decimal("4999.50")
