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
    (cell,), misfits = coerce(kind, [msgspec.Raw(text.encode())])
    cells, several = coerce(kind, [msgspec.Raw(each.encode()) for each in ("null", text, '""')])
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
        ("decimal", "1.0000000000000", "1"),
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
        ("decimal", "0.1234567890123"),
        ("decimal", "100000000000000000000000000"),
        ("decimal", "1E+999999"),
        ("decimal", '"NaN"'),
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
