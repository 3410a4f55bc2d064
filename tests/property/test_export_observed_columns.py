"""Runs with fields that appear and change their types lose no row and no value.

The judge puts each row together from what a destination holds, as the documentation says: the
columns by name, ``_exact`` before the column, ``_extra`` for the rest. It shares no code with the
export.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.support import export_databases, export_observed, export_rows
from tests.support.export_observed import Killed, Place, run
from zoho_async.export.columns.batch import ColumnReader
from zoho_async.export.columns.observed import Observer
from zoho_async.export.destinations.base import Table
from zoho_async.export.destinations.directory import Directory
from zoho_async.export.destinations.formats import Parquet, Xlsx
from zoho_async.export.destinations.merge import merge
from zoho_async.export.destinations.single_file import CompleteList

#: A row: the JSON text of each field.
Row: TypeAlias = dict[str, str]

_CUSTOM = ("cf_a", "cf_a_unformatted", "cf_b")
_PLAIN = ("seen", "cost_rate", "seen_formatted", "total", "is_emailed", "date")
_DEEP = ("city", "county", "cf_area")
_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6).map(json.dumps)
_NUMBERS = st.decimals(allow_nan=False, allow_infinity=False).map(
    lambda one: str(one).replace("E", "e")
) | st.integers().map(str)
_KNOWN = st.sampled_from((
    '"North"', '"007"', '"46.10"', '"1e3"', "46.10", "0.30000000000000004", "-0.0", "1E+999999",
    "12345678901234567890123456789012345678.1234567", "9223372036854775807", "9223372036854775808",
    "true", "false", '"true"', '"2026-06-09"', '"2026-02-31"', '"2026-06-09T09:45:19-0400"',
    '"2026-06-09T09:45:19.123456Z"', "null", '""', '" "', "{}", "[]", '{"x": 1.50, "y": ""}',
    '[1, "a", null]', r'"nul\u0000"', r'"half \ud83d"', r'"line\nbreak"', '"5%"', '"NaN"',
))  # fmt: skip
_VALUES = _KNOWN | _KNOWN | _NUMBERS | _TEXTS


def _object(fields: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{json.dumps(name)}: {text}" for name, text in fields.items()) + "}"


def _some(names: tuple[str, ...]) -> st.SearchStrategy[Row]:
    return st.fixed_dictionaries({}, optional=dict.fromkeys(names, _VALUES))


def _row(identity: int, fields: Row, deep: Row | None, custom: Row | None) -> Row:
    row = {"invoice_id": json.dumps(str(identity)), **fields}
    if deep is not None:
        row["billing_address"] = _object(deep)
    if custom is not None:
        row["custom_field_hash"] = _object(custom)
    return row


_FIELDS = st.tuples(
    _some((*_PLAIN, *_CUSTOM)) | _some(_PLAIN),
    st.none() | _some(_DEEP),
    st.none() | _some(_CUSTOM),
)
#: The rows of a run, each record once.
_RUNS = st.lists(
    st.dictionaries(st.integers(1, 6), _FIELDS, min_size=1, max_size=5).map(
        lambda rows: [_row(identity, *fields) for identity, fields in rows.items()]
    ),
    min_size=1,
    max_size=3,
)


def _places(folder: Path) -> dict[str, Place]:
    parquet = export_observed.directory_place(folder / "nested", Parquet())
    return {
        "sqlite": export_observed.database_place(export_databases.sqlite_target(folder)),
        "parquet": parquet,
    }


#: A code of digits in a column that was a number.
_CODE = [[{"invoice_id": '"1"', "cf_a": "7"}], [{"invoice_id": '"2"', "cf_a": '"007"'}]]


@settings(max_examples=8, deadline=None)
@example(_CODE, 1, None, True)
@given(_RUNS, st.integers(1, 2), st.none() | st.integers(0, 2), st.booleans())
def test_every_row_comes_back_from_its_columns(
    runs: list[list[Row]], size: int, kill_after: int | None, merged: bool
) -> None:
    with TemporaryDirectory() as folder:
        for name, place in _places(Path(folder)).items():
            newest: dict[str, Row] = {}
            for number, rows in enumerate(runs):
                lines = [_object(row).encode() for row in rows]
                pages = [lines[start : start + size] for start in range(0, len(lines), size)]
                if kill_after is not None:
                    with suppress(Killed):
                        run(place, f"run {number}", pages, kill_after=kill_after)
                run(place, f"run {number}", pages)
                newest |= {json.loads(row["invoice_id"]): row for row in rows}
                _assert_held(name, place, newest)
            if merged and name == "parquet":
                merge(Directory(Path(folder) / "nested", Parquet()))
                _assert_held("merged", place, newest)


def _assert_held(name: str, place: Place, rows: Mapping[str, Row]) -> None:
    held = place.rows()
    assert held.keys() == rows.keys(), name
    for identity, row in rows.items():
        sent, back = _sent(row), _put_together(held[identity])
        assert sent.keys() == back.keys(), (name, row, held[identity])
        for path, value in sent.items():
            assert _same(value, back[path]), (name, path, value, held[identity])


# -- a spool that is converted again ---------------------------------------------------------------


def test_a_value_that_fits_nothing_is_counted_once_however_often_rows_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zoho_async.export.destinations.directory.PORTION", 1 << 9)
    rows = [{"invoice_id": f'"{n}"', "total": '"5%"', f"cf_{n // 5}": "1"} for n in range(100)]
    for name, place in _places(tmp_path).items():
        changes = run(place, "a", [[_object(row).encode() for row in rows]])
        counts = {one.column: one.values for one in changes if one.change == "conflict"}
        assert counts == {"total": 100}, name
        assert sum(one.change == "added" for one in changes) == 20, name


def test_a_workbook_of_many_lists_with_new_fields_is_read_a_few_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: Counter[bytes] = Counter()
    own = ColumnReader._read_portion

    def counted(self: ColumnReader, lines: bytes) -> Any:
        read[lines] += 1
        return own(self, lines)

    monkeypatch.setattr(ColumnReader, "_read_portion", counted)
    lists: list[CompleteList] = []
    for number in range(20):
        rows = tmp_path / f"{number}.jsonl"
        rows.write_text(f'{{"invoice_id": "{number}", "cf_a": {number}}}\n')
        table = Table(
            name=f"books.list{number}",
            row_id="invoice_id",
            fields=export_rows.FIELDS,
            observer=Observer(),
        )
        lists.append(CompleteList(table, rows))
    Xlsx().write(lists, tmp_path / "books.xlsx")
    assert len(read) == 20
    assert max(read.values()) <= 4
    assert all(one.table.observer and one.table.observer.fields for one in lists)


# -- the judge -------------------------------------------------------------------------------------

#: The column of each field in an object.
_INSIDE = {f"billing_address_{name}": ("billing_address", name) for name in _DEEP}


def _sent(row: Row) -> dict[tuple[str, ...], Any]:
    """The values of a row without blanks, by path.

    Custom fields are also at the top level if they are only in the object.
    """
    fields = _loaded(_object(row))
    custom = fields.get("custom_field_hash", {})
    if not any(name in fields for name in _CUSTOM):
        fields |= {name: one for name, one in custom.items() if not isinstance(one, dict | list)}
    return _by_path(fields)


def _put_together(record: Mapping[str, Any]) -> dict[tuple[str, ...], Any]:
    """The values of a row, from the columns, ``_exact`` and ``_extra`` of a destination."""
    exact = _loaded(record["_exact"] or "{}")
    columns = {name: value for name, value in record.items() if value is not None} | exact
    columns = {
        _INSIDE.get(name, (name,)): value
        for name, value in columns.items()
        if name not in ("_exact", "_extra")
    }
    extra = _by_path(_loaded(record["_extra"] or "{}"))
    assert not columns.keys() & extra.keys(), f"in two places: {record}"
    return columns | extra


def _by_path(fields: Mapping[str, Any]) -> dict[tuple[str, ...], Any]:
    paths: dict[tuple[str, ...], Any] = {
        (name,): value for name, value in fields.items() if name != "billing_address"
    }
    inside = fields.get("billing_address", {})
    paths |= {("billing_address", name): value for name, value in inside.items()}
    return {path: value for path, value in paths.items() if not _is_blank(value)}


def _is_blank(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip(" "))


def _loaded(text: str) -> Any:
    return json.loads(text, parse_float=Decimal)


def _same(sent: Any, held: Any) -> bool:
    """Whether ``held`` says what was sent: numbers by value, times as moments."""
    if isinstance(sent, dict | list) or isinstance(held, dict | list):
        return bool(sent == held)  # only JSON text holds them: numbers are equal by value
    if isinstance(sent, bool):
        return held in (sent, json.dumps(sent))
    if isinstance(sent, int | Decimal):
        return not isinstance(held, bool) and _number(held) == sent
    if not isinstance(sent, str) or sent == held:
        return bool(sent == held)
    if sent in ("true", "false"):
        return bool(held == (sent == "true"))
    if isinstance(held, datetime) or (isinstance(held, str) and "T" in held):
        return datetime.fromisoformat(sent) == datetime.fromisoformat(str(held))
    if isinstance(held, date):
        return sent == held.isoformat()
    # A text that JSON would take for a number may be in a column of numbers.
    return isinstance(json.loads(sent), int | float) and _number(held) == _number(sent)


def _number(held: Any) -> Decimal | None:
    try:
        return Decimal(repr(held) if isinstance(held, float) else str(held))
    except InvalidOperation:
        return None


@pytest.mark.parametrize(
    ("sent", "held"),
    [
        (Decimal("0.1"), 0.1000001), (1, True), (True, 1.5), ("007", 7), ("1", "2"),
        ("2026-06-09", "2026-06-10"), ([1], [2]), ({"x": 1}, {}), ("x", None),
        ("2026-06-09T00:00:00Z", datetime.fromisoformat("2026-06-09T00:00:01Z")),
    ],
)  # fmt: skip
def test_the_judge_sees_what_differs(sent: Any, held: Any) -> None:
    with suppress(ValueError):  # no number at all
        assert not _same(sent, held)
