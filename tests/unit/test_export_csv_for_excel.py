"""CSV for Excel: no text becomes a number, a date or a formula; numbers and dates stay."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import export_rows
from zoho_async.description import Field
from zoho_async.export.destinations.base import Table
from zoho_async.export.destinations.formats import Csv
from zoho_async.export.destinations.formats.excel_text import excel_text

FIELDS = (
    *export_rows.PLAIN,
    Field(name="+cmd", kind="text"),
    Field(
        name="line_items",
        kind="list",
        fields=(Field(name="name", kind="text"), Field(name="rate", kind="decimal")),
    ),
)
INVOICES = Table(name="books.invoices", row_id="invoice_id", fields=FIELDS)


def written(folder: Path, *rows: dict[str, object], flatten: bool = False) -> bytes:
    spool, target = folder / "invoices.jsonl.part", folder / "invoices.csv"
    spool.write_bytes(b"".join(json.dumps(row).encode() + b"\n" for row in rows))
    Csv(excel=True, flatten=flatten).write(spool, target, INVOICES)
    return target.read_bytes()


def test_values_are_as_excel_reads_them_unchanged(tmp_path: Path) -> None:
    row = {
        "invoice_id": "460000000026049",
        "notes": "=cmd()",
        "total": 1234.5,
        "date": "2026-11-23",
        "created_time": "2026-11-23T02:00:00+0530",
        "is_emailed": False,
        "+cmd": "two\r\nlines",
    }
    data = written(tmp_path, row)
    assert data.startswith(b"\xef\xbb\xbfinvoice_id,")
    assert data.endswith(b"\r\n")
    header, found = csv.reader(data.decode("utf-8-sig").splitlines(keepends=True))
    assert "'+cmd" in header
    by_name = dict(zip(header, found, strict=True))
    assert by_name["invoice_id"] == '="460000000026049"'
    assert by_name["notes"] == "'=cmd()"
    assert (by_name["total"], by_name["date"]) == ("1234.5", "2026-11-23")
    assert by_name["created_time"] == "2026-11-22 20:30:00"
    assert by_name["is_emailed"] == "false"
    assert by_name["'+cmd"] == "two\nlines"


def test_a_number_with_more_digits_than_excel_keeps_is_text(tmp_path: Path) -> None:
    (tmp_path / "invoices.jsonl.part").write_bytes(
        b'{"invoice_id":"a","total":12345678901234567.89}\n{"invoice_id":"b","total":0.5}\n'
    )
    Csv(excel=True).write(tmp_path / "invoices.jsonl.part", tmp_path / "invoices.csv", INVOICES)
    text = (tmp_path / "invoices.csv").read_text(encoding="utf-8-sig")
    assert '"=""12345678901234567.89"""' in text
    assert "\nb,,0.5," in text


@pytest.mark.parametrize(
    "text",
    [
        *(
            "007",
            "1-2",
            "1/2",
            "12:30",
            "1E5",
            "50%",
            "$5",
            "(5)",
            "MAR1",
            "Jan 5",
            "5 Dez",
            "TRUE",
        ),
        *("wahr", "+49 89 1234", "-5", "1 1/2", " 12 ", "\uff14\uff12"),
    ],
)
def test_a_text_that_excel_would_convert_is_a_text(text: str) -> None:
    assert excel_text(text) == f'="{text}"'


@pytest.mark.parametrize("text", ["INV-000123", "Acme Ltd", "12 Main Street", "a=b", "x - y"])
def test_a_plain_text_stays(text: str) -> None:
    assert excel_text(text) == text


@given(st.text("=+-@\t\r\n;,\"' 1aE\uff1d", max_size=8))
def test_no_cell_begins_a_formula_whatever_separates_cells(text: str) -> None:
    written = excel_text(text)
    if written.startswith('="'):
        assert written == f'="{text}"'
        assert not re.search(r'["\n;\t]', text)
        return
    for cell in re.split(r"[;\t\n]", written):
        shown = cell.lstrip(' "').lstrip()
        assert not shown.startswith(("=", "+", "-", "@", "\uff1d")), (text, written)
    assert written.replace("'", "") == text.replace("\r\n", "\n").replace("\r", "\n").replace(
        "'", ""
    )


def test_a_text_that_no_cell_holds_is_cut(tmp_path: Path) -> None:
    assert len(excel_text("x" * 40_000)) <= 32_767
    assert excel_text("x" * 40_000).endswith("(cut)")
    assert len(excel_text("=" + "😀" * 40_000).encode("utf-16-le")) // 2 <= 32_767


@pytest.mark.parametrize("excel", [False, True])
def test_lists_are_files_with_the_keys_of_their_rows(excel: bool, tmp_path: Path) -> None:
    spool = tmp_path / "invoices.jsonl.part"
    rows = [
        {"invoice_id": "one", "line_items": [{"name": "=x", "rate": 1}, {"name": "y", "rate": 2}]},
        {"invoice_id": "two", "line_items": []},
    ]
    spool.write_bytes(b"".join(json.dumps(row).encode() + b"\n" for row in rows))
    Csv(flatten=True, excel=excel).write(spool, tmp_path / "invoices.csv", INVOICES)
    encoding = "utf-8-sig" if excel else "utf-8"
    with (tmp_path / "invoices__line_items.csv").open(encoding=encoding, newline="") as file:
        lines = list(csv.DictReader(file))
    assert [(one["_row_id"], one["_position"], one["rate"]) for one in lines] == [
        ("one", "1", "1"),
        ("one", "2", "2"),
    ]
    assert lines[0]["name"] == ("'=x" if excel else "=x")
    assert not list(tmp_path.glob("*.tmp"))
