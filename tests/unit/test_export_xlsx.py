"""Another library reads every value of a workbook back, whatever the values are."""

from __future__ import annotations

import json
import re
import zipfile
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from openpyxl import load_workbook

from tests.support import export_rows
from zoho_async.description import Field
from zoho_async.export.columns.schema import shape_of
from zoho_async.export.destinations.base import Table
from zoho_async.export.destinations.formats import Xlsx
from zoho_async.export.destinations.formats.xlsx import sheet_name
from zoho_async.export.destinations.single_file import CompleteList

FIELDS = (
    *export_rows.PLAIN,
    Field(name="terms", kind="integer"),
    Field(name="=HYPERLINK(1)", kind="text"),
)
INVOICES = Table(name="books.invoices", row_id="invoice_id", fields=FIELDS)


def workbook(folder: Path, *rows: object, table: Table = INVOICES, flatten: bool = False) -> Path:
    spool, target = folder / "invoices.jsonl", folder / "books.xlsx"
    lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
    spool.write_bytes(b"".join(line + b"\n" for line in lines))
    Xlsx(flatten=flatten).write([CompleteList(table, spool)], target)
    assert sorted(path.name for path in folder.iterdir()) == ["books.xlsx", "invoices.jsonl"]
    return target


def sheets(path: Path) -> dict[str, list[dict[str, Any]]]:
    """The rows of each sheet. A cell is never a formula, an error or a link."""
    found: dict[str, list[dict[str, Any]]] = {}
    for sheet in load_workbook(path):
        assert sheet.freeze_panes == "A2"
        header, *rows = sheet.iter_rows()
        names = [cell.value for cell in header]
        assert sheet.auto_filter.ref is not None
        assert sheet.auto_filter.ref.rpartition(":")[2] == rows[-1][-1].coordinate if rows else True
        for row in rows:
            assert all(cell.data_type in "snbd" or cell.value is None for cell in row)
            assert all(cell.hyperlink is None for cell in row)
        found[sheet.title] = [
            dict(zip(names, [unescaped(cell.value) for cell in row], strict=True)) for row in rows
        ]
    with zipfile.ZipFile(path) as parts:
        for name in parts.namelist():
            assert b"<f>" not in parts.read(name)
            assert "External" not in name
    return found


def unescaped(value: Any) -> Any:
    """As Excel shows a text (ECMA-376, part 1, 22.9.2.19)."""
    if not isinstance(value, str):
        return value
    return re.sub(r"_x([0-9A-F]{4})_", lambda found: chr(int(found[1], 16)), value)


def test_values_have_types_and_ids_are_text(tmp_path: Path) -> None:
    row = (
        b'{"invoice_id":"0460000000012345678","notes":"a\\nb","total":1234.50,"terms":15,'
        b'"date":"2026-11-23","created_time":"2026-11-23T02:00:00+0530","is_emailed":true}'
    )
    (found,) = sheets(workbook(tmp_path, row))["invoices"]
    assert found["invoice_id"] == "0460000000012345678"
    assert (found["notes"], found["total"], found["terms"]) == ("a\nb", 1234.5, 15)
    assert found["date"] == datetime(2026, 11, 23)
    assert found["created_time"] == datetime(2026, 11, 22, 20, 30)
    assert found["is_emailed"] is True
    assert found["_exact"] is found["_extra"] is None


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t", "\r", "{=", "=cmd|' /C calc'!A0"])
def test_no_text_is_a_formula(sign: str, tmp_path: Path) -> None:
    evil = f"{sign}1+1"
    row = {"invoice_id": evil, "notes": evil, "=HYPERLINK(1)": evil, "undescribed": evil}
    (found,) = sheets(workbook(tmp_path, row))["invoices"]
    assert [found[name] for name in ("invoice_id", "notes", "=HYPERLINK(1)")] == [evil] * 3
    assert json.loads(found["_extra"]) == {"undescribed": evil}


@pytest.mark.parametrize(
    "text",
    [
        *(
            "<r><t>x</t></r>",
            "</t></is></c><c><f>1+1</f></c>",
            "&amp;",
            "_x0041_",
            " a ",
            "\x01\x1f",
        ),
        *("http://example.com/", "mailto:x", "internal:A1", "x" * 32_767, "😀", "\ufffe\uffff"),
    ],
)
def test_a_text_comes_back_as_it_is(text: str, tmp_path: Path) -> None:
    (found,) = sheets(workbook(tmp_path, {"invoice_id": "1", "notes": text}))["invoices"]
    assert found["notes"] == text


@pytest.mark.parametrize("character", ["x", "😀"])
def test_a_text_that_is_too_long_for_a_cell_is_in_another_sheet(
    character: str, tmp_path: Path
) -> None:
    text = character * 40_000
    rows = [{"invoice_id": "1"}, {"invoice_id": "2", "notes": text, "other": {"a": text}}]
    found = sheets(workbook(tmp_path, *rows))
    assert found["invoices"][1]["notes"].startswith(character * 1000)
    assert found["invoices"][1]["notes"].endswith("_long_texts)")
    parts = found["_long_texts"]
    assert {(one["sheet"], one["row"], one["id"]) for one in parts} == {("invoices", 3, "2")}
    whole = {
        name: "".join(one["text"] for one in parts if one["column"] == name)
        for name in ("notes", "_extra")
    }
    assert whole["notes"] == text
    assert json.loads(whole["_extra"]) == {"other": {"a": text}}


@pytest.mark.parametrize(
    ("total", "cell", "exact"),
    [
        ("123456789012345", 123456789012345, None),
        ("12345678901234567.89", 1.234567890123457e16, "12345678901234567.89"),
        ("12345.123456789012", 12345.123456789012, "12345.123456789012"),
        ("-99999999999999999999.5", -1e20, "-99999999999999999999.5"),
        ("1.500000000000", 1.5, None),
    ],
)
def test_a_number_of_more_than_fifteen_digits_is_exact_in_a_column(
    total: str, cell: float, exact: str | None, tmp_path: Path
) -> None:
    row = f'{{"invoice_id":"1","total":{total}}}'.encode()
    (found,) = sheets(workbook(tmp_path, row))["invoices"]
    assert found["total"] == pytest.approx(cell, rel=1e-15)
    assert found["_exact"] == (
        None if exact is None else json.dumps({"total": exact}).replace(" ", "")
    )


def test_an_exchange_rate_is_a_number_and_one_too_large_for_excel_costs_no_row(
    tmp_path: Path,
) -> None:
    fields = (*FIELDS, Field(name="exchange_rate", kind="decimal"))
    table = Table(name="books.invoices", row_id="invoice_id", fields=fields)
    large = "9" * 400
    rows = [
        b'{"invoice_id":"1","exchange_rate":0.0000187}',
        f'{{"invoice_id":"2","total":{large},"exchange_rate":{large}}}'.encode(),
    ]
    first, second = sheets(workbook(tmp_path, *rows, table=table))["invoices"]
    assert (first["exchange_rate"], first["_exact"]) == (0.0000187, None)
    assert (second["total"], second["exchange_rate"]) == (None, None)
    assert json.loads(second["_exact"]) == {"total": large, "exchange_rate": large}


def test_what_no_column_holds_is_in_extra_and_old_dates_are_text(tmp_path: Path) -> None:
    rows = [
        b'{"invoice_id":"1","total":1e400,"notes":"a\\u0000b"}',
        b'{"invoice_id":"2","notes":"\\ud83d","date":"1899-12-31"}',
        b'{"invoice_id":"3","date":"1900-02-28","created_time":"1850-01-01T00:00:00Z"}',
        b'{"invoice_id":"4","date":"1900-03-01","terms":9223372036854775807}',
        b'{"invoice_id":"5","date":"0001-01-01","created_time":"9999-12-31T23:59:59-1200"}',
    ]
    found = sheets(workbook(tmp_path, *rows))["invoices"]
    assert json.loads(found[0]["_extra"], parse_float=Decimal) == {
        "total": Decimal("1e400"),
        "notes": "a\0b",
    }
    assert json.loads(found[1]["_extra"]) == {"notes": "\ud83d"}
    assert [row["date"] for row in found[1:3]] == ["1899-12-31", "1900-02-28"]
    assert found[2]["created_time"] == "1850-01-01T00:00:00Z"
    assert found[3]["date"] == datetime(1900, 3, 1)
    assert json.loads(found[3]["_exact"]) == {"terms": "9223372036854775807"}
    assert len(found) == 5


def test_a_long_list_continues_in_another_sheet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zoho_async.export.destinations.formats.xlsx.MOST_ROWS", 101)
    rows = [{"invoice_id": str(number)} for number in range(250)]
    found = sheets(workbook(tmp_path, *rows))
    assert {name: len(held) for name, held in found.items()} == {
        "invoices": 100,
        "invoices (2)": 100,
        "invoices (3)": 50,
    }
    ids = [row["invoice_id"] for held in found.values() for row in held]
    assert ids == [str(number) for number in range(250)]


def test_lists_of_objects_are_sheets_with_the_keys_of_their_rows(tmp_path: Path) -> None:
    rows = export_rows.rows(300)
    path = workbook(tmp_path, *rows, table=export_rows.TABLE, flatten=True)
    found = sheets(path)
    assert list(found)[:2] == ["invoices", "invoices__line_items"]
    assert len(found["invoices"]) == len(rows)
    lists = [nested for nested in shape_of(export_rows.FIELDS).lists if nested.name == "line_items"]
    assert lists
    sent = [
        (row["invoice_id"], len(items))
        for row in map(export_rows.sent, rows)
        if isinstance(items := row.get("line_items"), list) and row.get("invoice_id")
    ]
    for identity, count in sent:
        places = [
            row["_position"]
            for row in found["invoices__line_items"]
            if row["_row_id"] == str(identity)
        ]
        assert places == list(range(1, count + 1))


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    first = workbook(tmp_path, *export_rows.rows(50), table=export_rows.TABLE).read_bytes()
    again = workbook(tmp_path, *export_rows.rows(50), table=export_rows.TABLE).read_bytes()
    assert again == first


def test_a_file_that_cannot_be_written_is_an_error_of_the_disk(tmp_path: Path) -> None:
    (tmp_path / "books.xlsx").mkdir()
    with pytest.raises(IsADirectoryError):
        Xlsx().write([], tmp_path / "books.xlsx")


def test_names_of_sheets_are_valid_and_unique() -> None:
    taken = {"history"}
    wanted = ["History", "a" * 40, "a" * 40, "A" * 31, "x[1]:*?/\\", "'q'", "😀" * 20, "invoices"]
    for one in wanted:
        name = sheet_name(one, taken)
        assert 0 < len(name.encode("utf-16-le")) // 2 <= 31
        assert not re.search(r"[\[\]:*?/\\]|^'|'$", name)
        assert name.casefold() not in taken
        taken.add(name.casefold())
    assert "invoices" in taken


def test_an_empty_list_is_a_sheet_with_its_header(tmp_path: Path) -> None:
    (sheet,) = load_workbook(workbook(tmp_path))
    assert sheet.title == "invoices"
    assert [cell.value for cell in sheet[1]][:2] == ["invoice_id", "notes"]
