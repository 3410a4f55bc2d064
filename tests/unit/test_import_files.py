"""Reading rows: what a workbook and the other formats hold, exactly."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import anyio
import openpyxl
import pytest
from anyio.lowlevel import checkpoint

from zoho_async.description import Field
from zoho_async.errors import ConfigurationError
from zoho_async.importer.compare import has_all
from zoho_async.importer.documents import CellProblem, RowDocument
from zoho_async.importer.errors_file import write_errors
from zoho_async.importer.files import Formula, quoted, read_file, source_of
from zoho_async.importer.mapping import UnmappedColumns, map_columns, mapping_text, read_mapping
from zoho_async.importer.matching import Matcher
from zoho_async.importer.options import ImportOptions
from zoho_async.importer.targets import target_of
from zoho_async.importer.values import WrongCell, converted
from zoho_async.session import Session

INVOICES = target_of("books.invoices")


def workbook(path: Path, **sheets: list[list[Any]]) -> Path:
    book = openpyxl.Workbook()
    assert book.active is not None
    book.remove(book.active)
    for name, lines in sheets.items():
        sheet = book.create_sheet(name)
        for line in lines:
            sheet.append(line)
    book.save(path)
    return path


def test_a_workbook_keeps_types_and_calculates_no_formula(tmp_path: Path) -> None:
    lines: list[list[Any]] = [
        ["a", "b", "c"],
        [0.1, date(2026, 1, 31), "=1+1"],
        [None, True, "007"],
        [None] * 3,
    ]
    path = workbook(tmp_path / "b.xlsx", one=lines)
    first, second = read_file(path).rows
    assert (first.number, first.cells) == (
        2,
        {"a": Decimal("0.1"), "b": datetime(2026, 1, 31), "c": Formula()},
    )
    assert second.cells == {"a": None, "b": True, "c": "007"}
    with pytest.raises(WrongCell, match="is a formula without a saved value"):
        converted(Field(name="x", kind="text"), first.cells["c"])
    path = workbook(path, one=lines, two=[["z"], [1]])
    with pytest.raises(ConfigurationError, match="name one with --sheet"):
        read_file(path)
    assert read_file(path, "two").columns == ("z",)
    assert read_file(path, "two").digest != read_file(path, "one").digest


def test_a_percentage_is_what_the_cell_shows_and_an_error_is_no_value(tmp_path: Path) -> None:
    """19% is stored as 0.19, and #N/A is text: both would be sent as they are stored."""
    path = tmp_path / "b.xlsx"
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    for line in (["a", None, "b", None], [0.19, None, "#N/A"], [1, None, "x"], [0.075, None, 5]):
        sheet.append(line)
    for cell, shown in (("A2", "0%"), ("A3", "0.00%"), ("A4", "0.0%")):
        sheet[cell].number_format = shown
    book.save(path)
    source = read_file(path)
    assert source.columns == ("a", "b")
    assert [row.cells["a"] for row in source.rows] == ["19%", "100%", "7.5%"]
    percent = Field(name="x", kind="decimal", percent=True)
    assert converted(percent, source.rows[0].cells["a"]) == "19%"
    for field, value in ((Field(name="x", kind="decimal"), "19%"), (percent, "#DIV/0!")):
        with pytest.raises(WrongCell):
            converted(field, value)
    for kind in ("text", "any"):
        with pytest.raises(WrongCell, match="is the error #N/A of a formula"):
            converted(Field(name="x", kind=kind), source.rows[0].cells["b"])
    path = tmp_path / "c.csv"
    path.write_text("a;;b\n1;;2;3\n")
    assert read_file(path).rows[0].problem == "has 3 cells, but the header has 2"
    path.write_text("sep=;\r\na,x;b\r\n1;2\r\n")
    assert [(row.number, row.cells) for row in read_file(path).rows] == [
        (2, {"a,x": "1", "b": "2"})
    ]
    path.write_text("a;;b\n1;2;3\n")
    with pytest.raises(ConfigurationError, match="column 2 has no name"):
        read_file(path)


def test_right_cells_of_a_workbook_are_right_in_its_errors_file(tmp_path: Path) -> None:
    lines: list[list[Any]] = [
        ["a", "b", "c"],
        [datetime(2026, 1, 31), 1e20, datetime(2026, 1, 2, 9)],
    ]
    source = read_file(workbook(tmp_path / "b.xlsx", one=lines))
    path = tmp_path / "b.errors.csv"
    assert write_errors(path, source, [CellProblem(2, "b", "is wrong")], {}) == 1
    (row,) = read_file(path).rows
    assert row.cells == {"a": "2026-01-31", "b": "1" + "0" * 20, "c": "2026-01-02T09:00:00"}
    assert converted(Field(name="x", kind="date"), row.cells["a"]) == "2026-01-31"
    assert converted(Field(name="x", kind="decimal"), row.cells["b"]) == Decimal(10) ** 20


def test_bad_lines_of_json_have_their_number(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"a": 12345678901234567.89}\n\nnull\n{"a"\n')
    rows = read_file(path).rows
    assert rows[0].cells == {"a": Decimal("12345678901234567.89")}
    assert [(row.number, row.problem[:11]) for row in rows[1:]] == [
        (3, "is not a JS"),
        (4, "is not JSON"),
    ]
    with pytest.raises(TypeError, match="float"):
        source_of([{"a": 0.1}])


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        (Field(name="x", kind="decimal"), " -12.50 ", Decimal("-12.50")),
        (Field(name="x", kind="decimal", percent=True), "12.5%", "12.5%"),
        (Field(name="x", kind="decimal"), "12.5%", None),
        (Field(name="tax_percentage", kind="decimal"), "19%", Decimal(19)),
        (Field(name="x", kind="decimal"), "1,234.50", None),
        (Field(name="x", kind="decimal"), "NaN", None),
        (Field(name="x", kind="decimal"), "\u0661", None),
        (Field(name="x", kind="decimal"), True, None),
        (Field(name="x", kind="integer"), Decimal("3.0"), 3),
        (Field(name="x", kind="integer"), "3.5", None),
        (Field(name="x", kind="boolean"), "Yes", True),
        (Field(name="x", kind="boolean"), 0, False),
        (Field(name="x", kind="boolean"), "on", None),
        (Field(name="x", kind="date"), datetime(2026, 1, 31), "2026-01-31"),
        (Field(name="x", kind="date"), datetime(2026, 1, 31, 9), None),
        (Field(name="x", kind="date"), "31.01.2026", None),
        (Field(name="x", kind="date"), "2026-02-30", None),
        (Field(name="x", kind="id"), 460000000000001, "460000000000001"),
        (Field(name="x", kind="id"), "../1", None),
        (Field(name="x", kind="text", allowed=("de", "en")), "DE", "de"),
        (Field(name="x", kind="text", max_length=3), "abcd", None),
        (Field(name="x", kind="text"), Decimal("1E+2"), "100"),
        (Field(name="x", kind="text"), ["a"], None),
        (Field(name="x", kind="list", element="id"), "1, 2", ["1", "2"]),
        (Field(name="x", kind="object", fields=(Field(name="y", kind="id"),)), {"z": 1}, None),
        (Field(name="x", kind="time"), "2026-01-31T09:30:00", None),
    ],
)
def test_a_cell_becomes_a_value_or_is_wrong(field: Field, value: Any, expected: Any) -> None:
    if expected is not None:
        assert converted(field, value) == expected
        return
    with pytest.raises(WrongCell):
        converted(field, value)


def test_headers_name_fields_and_no_column_is_lost(tmp_path: Path) -> None:
    assert INVOICES.create is not None
    fields = INVOICES.create.body
    columns = ["Customer", "SKU", "Quantity", "Invoice Number", "Tax name", "cf_region", "Date"]
    mapping = map_columns("books.invoices", fields, columns)
    assert list(mapping.names.values()) == [
        *("customer_id", "line_items.item_id", "line_items.quantity", "invoice_number", "tax_id"),
        *("cf_region", "date"),
    ]
    path = tmp_path / "m.toml"
    odd = {**mapping.names, 'a "b"\\\n\x7f\u2028é': ""}
    path.write_text(mapping_text("books.invoices", odd), "utf-8")
    assert read_mapping(path, "books.invoices") == odd
    with pytest.raises(UnmappedColumns, match="'Colour'"):
        map_columns("books.invoices", fields, [*columns, "Colour"])
    with pytest.raises(ConfigurationError, match="both go to date"):
        map_columns("books.invoices", fields, ["a", "b"], {"a": "date", "b": "date"})
    with pytest.raises(ConfigurationError, match="has no field 'cf_Region'"):
        map_columns("books.invoices", fields, ["a"], {"a": "cf_Region"})


def test_a_cell_that_looks_like_a_formula_is_quoted() -> None:
    cells = ["=1+1", "+1", "-1.5", "@x", "-x", "\tx", "x=1"]
    assert [quoted(cell) for cell in cells] == [
        *("'=1+1", "+1", "-1.5", "'@x", "'-x", "'\tx", "x=1")
    ]


@pytest.mark.parametrize(
    ("record", "body", "same"),
    [
        ({"a": "1.0", "b": "x"}, {"a": Decimal(1)}, True),
        ({"a": "1"}, {"a": 2}, False),
        ({}, {"a": ""}, True),
        ({}, {"a": "x"}, False),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1}}, True),
        ({"line_items": [{"rate": 1, "id": 5}]}, {"line_items": [{"rate": 1}]}, True),
        ({"line_items": [{"rate": 1}] * 2}, {"line_items": [{"rate": 1}]}, False),
        ({"notes": "x\nzaw-0123456789abcdef0123"}, {"notes": "x"}, True),
        (
            {"custom_fields": [{"api_name": "cf_a", "value": "1"}]},
            {"custom_fields": [{"api_name": "cf_a", "value": 1}]},
            True,
        ),
    ],
)
def test_a_record_has_the_values_of_a_body(
    record: dict[str, Any], body: dict[str, Any], same: bool
) -> None:
    assert has_all(record, body) is same


async def test_matching_many_documents_lets_other_tasks_run() -> None:
    target = target_of("books.contacts")
    assert target.create is not None
    mapping = map_columns("books.contacts", target.create.body, ["Name"])
    matcher = Matcher(cast(Session, None), target, mapping, ImportOptions())
    documents = [RowDocument((n,), {"contact_name": str(n)}, str(n)) for n in range(1000)]
    turns, ended = 0, False

    async def other() -> None:
        nonlocal turns
        while not ended:
            turns += 1
            await checkpoint()

    async with anyio.create_task_group() as group:
        group.start_soon(other)
        matched = await matcher.match(documents)
        ended = True
        assert len(matched.intents) == 1000
    assert turns >= 10
