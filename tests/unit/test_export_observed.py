"""Fields that rows show become columns, the same in every destination, and no value is lost."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support import export_databases, export_observed, export_rows
from tests.support.export_databases import Target, make_target
from tests.support.export_observed import FACTS, Killed, Place, run
from zoho_async.export.columns.batch import ColumnReader, reader_of
from zoho_async.export.columns.observed import MOST_CUSTOM, MOST_OTHERS, Observer
from zoho_async.export.columns.schema import shape_of, with_observed
from zoho_async.export.destinations import Sqlite
from zoho_async.export.destinations.directory import Directory
from zoho_async.export.destinations.formats import Csv, Parquet
from zoho_async.export.destinations.merge import merge
from zoho_async.export.errors import DestinationError

target, postgresql = export_databases.target, export_databases.postgresql

FORMS: dict[str, Callable[[], Any]] = {
    "csv": Csv,
    "parquet": Parquet,
    "flat parquet": lambda: Parquet(flatten=True),
}


@pytest.fixture(params=["sqlite", "duckdb", "postgresql", *FORMS])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param in FORMS:
        return export_observed.directory_place(tmp_path / "files", FORMS[request.param]())
    return export_observed.database_place(make_target(request, tmp_path))


def row(identity: int, **fields: Any) -> bytes:
    return json.dumps({"invoice_id": str(identity), "total": 1.5, **fields}).encode()


def observed(*rows: bytes) -> dict[str, str]:
    """The columns that an observer learns from ``rows``, with their kinds."""
    shape = shape_of(export_rows.FIELDS, "invoice_id")
    observer = Observer()
    reader_of(shape, observer)._observe(b"".join(each + b"\n" for each in rows))
    own = {column.name for column in shape.columns}
    columns = with_observed(shape, observer.fields).columns
    return {column.name: column.kind for column in columns if column.name not in own}


# -- what becomes a column ---------------------------------------------------------------------


def test_a_plain_value_makes_a_column_of_its_kind() -> None:
    fields = {
        "cf_region": "North", "cf_score": "57", "cf_score_unformatted": 57, "cf_rate": 1.5,
        "cf_renewal_unformatted": "2026-06-09", "seen_time": "2026-06-09T09:45:19-0400",
        "is_viewed": False, "cf_blank": "", "date_formatted": "09/06/2026", "inner": {"a": 1},
        "list": [1], "nothing": None,
    }  # fmt: skip
    assert observed(row(1, **fields)) == {
        "cf_region": "text",
        "cf_score": "text",
        "cf_score_unformatted": "decimal",
        "cf_rate": "decimal",
        "cf_renewal_unformatted": "date",
        "seen_time": "time",
        "is_viewed": "boolean",
    }


def test_the_kind_does_not_depend_on_batches_or_repetitions() -> None:
    rows = [row(1, cf_x=5), row(2, cf_x="46.10"), row(3, cf_x=True), row(1, cf_y="2026-01-01")]
    shape = shape_of(export_rows.FIELDS, "invoice_id")
    found = set()
    for cuts in ([4], [1, 1, 1, 1], [2, 2], [3, 1], [1, 3], [4, 4], [2, 4, 4]):
        observer, rest = Observer(), rows * 3
        for cut in cuts:
            reader = reader_of(shape, observer)
            reader._observe(b"".join(each + b"\n" for each in rest[:cut]))
            rest = rest[cut:] if cut < 4 else rest
        found.add(observer.fields)
    assert len({frozenset(one) for one in found}) == 1


def test_fields_of_described_objects_are_observed_and_those_of_elements_are_not() -> None:
    found = observed(row(1, billing_address={"county": "Kent"}, line_items=[{"cf_line": "x"}]))
    assert found == {"billing_address_county": "text"}


def test_custom_fields_come_from_the_hash_or_the_list_if_a_row_has_them_only_there() -> None:
    rows = [
        row(1, custom_field_hash={"cf_a": "one", "cf_a_unformatted": 1, "other": "no"}),
        row(2, custom_fields=[{"api_name": "cf_a", "label": "A", "value": 2}, {"value": 3}]),
        row(3, cf_a="three", custom_field_hash={"cf_a": "no", "cf_b": "no"}),
        row(4, custom_fields=[{"api_name": "cf_c", "value": [1]}], custom_field_hash=["odd"]),
    ]
    observer = Observer()
    shape = shape_of(export_rows.FIELDS, "invoice_id")
    lines = b"".join(each + b"\n" for each in rows)
    reader_of(shape, observer)._observe(lines)
    reader = reader_of(shape, observer)
    batch = reader.read(lines)
    names = [column.name for column in reader.shape.columns]
    assert batch.values[names.index("cf_a")] == ["one", "2", "three", None]
    assert batch.values[names.index("cf_a_unformatted")] == ["1", None, None, None]
    assert {"cf_b", "cf_c"}.isdisjoint(names)
    assert json.loads(batch.extra[2] or "")["custom_field_hash"] == {"cf_a": "no", "cf_b": "no"}


def test_a_table_gets_no_more_columns_than_the_maximum() -> None:
    many = {f"d{n}": n for n in range(3000)} | {f"cf_{n}": n for n in range(3000)}
    shape = shape_of(export_rows.FIELDS, "invoice_id")
    observer = Observer()
    lines = row(1, **many) + b"\n"
    reader_of(shape, observer)._observe(lines)
    names = [one.path[0] for one in observer.fields]
    assert sum(name.startswith("cf_") for name in names) == MOST_CUSTOM
    assert len(names) == MOST_CUSTOM + MOST_OTHERS
    reader = reader_of(shape, observer)
    batch = reader.read(lines)
    left = json.loads(batch.extra[0] or "")
    assert set(left) == set(many) - set(names)


def test_hostile_names_become_names_that_every_destination_holds(place: Place) -> None:
    names = [
        "select", "cf_a", "cf_A", "CF_a", "_extra", "_EXTRA", "_row_id", "cf_\u00e4",
        "cf_" + "x" * 300,
        "cf_" + "x" * 299 + "y", 'cf_"; DROP TABLE x --', "cf_\u202e\x00", "cf_new\nline", "", " ",
        "invoice_ID", "cf_a b.c", "\uff43f_a", "cf_%s?",
    ]  # fmt: skip
    values = {name: f"value {number}" for number, name in enumerate(names)}
    changes = run(place, "a", [[row(1, **values)], [row(2)]])
    assert {each.field for each in changes} == set(names)
    held = place.rows()["1"]
    columns = {each.field: each.column for each in changes}
    assert len({column.casefold() for column in columns.values()}) == len(names)
    assert all(len(column.encode()) <= 63 for column in columns.values())
    for name, value in values.items():
        assert held[columns[name]] == value, name
    assert held["_extra"] is None


# -- every destination -------------------------------------------------------------------------


def test_a_custom_field_of_a_later_run_is_a_column(place: Place) -> None:
    first = run(place, "a", [[row(1, cf_region="North"), row(2)]])
    assert [(one.change, one.column) for one in first] == [("added", "cf_region")]
    again = run(place, "b", [[row(1, cf_region="South"), row(2)]])
    assert again == ()
    second = run(place, "c", [[row(3, cf_region="East", cf_score_unformatted=57, seen="x")]])
    assert [(one.change, one.column, one.type) for one in second] == [
        ("added", "cf_score_unformatted", "decimal"),
        ("added", "seen", "text"),
    ]
    rows = place.rows()
    assert [rows[n].get("cf_region") for n in "123"] == ["South", None, "East"]
    assert rows["1"].get("cf_score_unformatted") is None
    assert float(rows["3"]["cf_score_unformatted"]) == 57
    assert rows["3"]["seen"] == "x"
    assert all(each["_extra"] is None for each in rows.values())


_FLIPS: dict[str, tuple[Any, Any, Callable[[Any], Any]]] = {
    "cf_number": (46.1, "many", lambda held: held in ("46.1", 46.1)),
    "cf_date": ("2026-06-09", "soon", lambda held: held in ("2026-06-09", date(2026, 6, 9))),
    "cf_flag": (True, "perhaps", lambda held: held in ("true", True)),
    "cf_time": (
        "2026-06-09T09:45:19-0400",
        "never",
        lambda held: (
            str(held).startswith("2026-06-09T09:45:19")
            or datetime.fromisoformat(str(held)) == datetime.fromisoformat("2026-06-09T13:45:19Z")
        ),
    ),
    "cf_precise": (0.30000000000000004, "x", lambda held: str(held) == "0.30000000000000004"),
}


def test_values_that_do_not_fit_widen_the_column_to_text(place: Place) -> None:
    first = {name: values[0] for name, values in _FLIPS.items() if name != "cf_precise"}
    last = {name: values[1] for name, values in _FLIPS.items() if name != "cf_precise"}
    run(place, "a", [[row(1, **first), row(2)]])
    changes = run(place, "b", [[row(3, **first)], [row(1, **first, more=1), row(4, **last)]])
    widened = {one.column: (one.before, one.type) for one in changes if one.change == "widened"}
    assert widened == {
        "cf_number": ("decimal", "text"),
        "cf_date": ("date", "text"),
        "cf_flag": ("boolean", "text"),
        "cf_time": ("time", "text"),
    }
    rows = place.rows()
    for name in first:
        assert rows["4"][name] == last[name]
        assert _FLIPS[name][2](rows["1"][name]), rows["1"][name]
        assert _FLIPS[name][2](rows["3"][name]), rows["3"][name]
    assert all(each["_extra"] is None for each in rows.values())
    run(place, "c", [[row(5, **last)]])
    assert place.rows()["5"]["cf_number"] == "many"


def test_a_view_on_a_column_that_becomes_text_is_named_and_can_be_dropped(target: Target) -> None:
    place = export_observed.database_place(target)
    run(place, "first", [[row(1, cf_rate=5)]])
    with closing(place.make().open()) as opened:
        opened.database.execute("CREATE VIEW rates AS SELECT cf_rate FROM books_invoices")
    wider = [[row(2, cf_rate="n/a")]]
    if target.kind != "duckdb":  # it looks up the columns of a view when the view is read
        with pytest.raises(DestinationError, match=r"column cf_rate .* must become text.*drop it"):
            run(place, "second", wider)
        with closing(place.make().open()) as opened:
            opened.database.execute("DROP VIEW rates")
    run(place, "second", wider)
    assert {one["cf_rate"] for one in place.rows().values()} == {"5", "n/a"}


def test_values_that_no_column_holds_are_conflicts_and_in_extra(place: Place) -> None:
    run(place, "a", [[row(1, cf_x="plain")]])
    changes = run(place, "b", [[row(2, cf_x={"a": 1}), row(3, cf_x="nul\0", total="12%")]])
    assert [(one.change, one.field, one.values) for one in changes] == [
        ("conflict", "cf_x", 2),
        ("conflict", "total", 1),
    ]
    rows = place.rows()
    assert json.loads(rows["2"]["_extra"]) == {"cf_x": {"a": 1}}
    assert json.loads(rows["3"]["_extra"]) == {"cf_x": "nul\0", "total": "12%"}


def _custom(place: Place) -> set[str]:
    return {name for name in place.columns() if name.startswith("cf_")}


@pytest.mark.parametrize("batch", [1, 3])
def test_a_killed_run_that_is_continued_has_the_columns_of_one_that_was_not(
    place: Place, tmp_path: Path, batch: int
) -> None:
    pages = [
        [row(n * 2, cf_a=n), row(n * 2 + 1, **({f"cf_{n}": "x"} if n % 2 else {"cf_a": "text"}))]
        for n in range(6)
    ]
    whole = export_observed.database_place(export_databases.sqlite_target(tmp_path))
    run(whole, "a", pages, batch=4)
    for kill_after in (0, 1, 0):
        with pytest.raises(Killed):
            run(place, "a", pages, kill_after=kill_after, batch=batch)
    run(place, "a", pages, batch=batch)
    assert _custom(place) == _custom(whole) == {"cf_1", "cf_3", "cf_5", "cf_a"}
    rows, expected = place.rows(), whole.rows()
    assert rows.keys() == expected.keys()
    for identity, each in rows.items():
        for name in each:
            if name.startswith("cf_"):
                assert each[name] == expected[identity][name]


# -- files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", FORMS)
def test_parts_with_more_and_wider_columns_are_merged(kind: str, tmp_path: Path) -> None:
    form = FORMS[kind]()
    place = export_observed.directory_place(tmp_path, form)
    run(place, "a", [[row(1, cf_a=46.1), row(2, cf_a=3)]])
    run(place, "b", [[row(3, cf_b="2026-06-09"), row(4, cf_t="2026-06-09T09:45:19Z")]])
    run(place, "c", [[row(5, cf_a="text", cf_b="x", cf_t=1)]])
    merge(Directory(tmp_path, form))
    rows = place.rows()
    assert [rows[n]["cf_a"] for n in "125"] == ["46.1", "3", "text"]
    assert [rows[n]["cf_b"] for n in "35"] == ["2026-06-09", "x"]
    assert datetime.fromisoformat(rows["4"]["cf_t"]).isoformat() == "2026-06-09T09:45:19+00:00"


def test_readers_unite_parquet_parts_with_more_columns(tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    place = export_observed.directory_place(tmp_path, Parquet())
    run(place, "a", [[row(1, cf_a=46.1)]])
    run(place, "b", [[row(2, cf_b="x")]])
    files = sorted(map(str, (tmp_path / "books").rglob("*.parquet")))
    found = duckdb.sql(
        f"SELECT invoice_id, cf_a, cf_b FROM read_parquet({files}, union_by_name=true) ORDER BY 1"
    ).fetchall()
    united = [(one, a and float(a), b) for one, a, b in found]
    assert united == [
        ("1", 46.1, None),
        ("2", None, "x"),
    ]
    schema = pa.unify_schemas([pq.read_schema(file) for file in files])
    assert pq.ParquetDataset(files, schema=schema).read().num_rows == 2


def test_a_file_of_many_new_fields_is_read_a_few_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    own = ColumnReader._read_portion

    def counted(self: ColumnReader, lines: bytes) -> Any:
        read.append(len(lines))
        return own(self, lines)

    monkeypatch.setattr(ColumnReader, "_read_portion", counted)
    monkeypatch.setattr("zoho_async.export.destinations.directory.PORTION", 1 << 14)
    place = export_observed.directory_place(tmp_path, Parquet())
    rows = [row(n, **({f"cf_{n}": n} if n % 30 == 0 else {}), text="x" * 200) for n in range(3000)]
    run(place, "a", [rows])
    assert sum(read) < 5 * sum(map(len, rows))
    assert {f"cf_{n}" for n in range(0, 3000, 30)} < place.columns()


# -- SQLite ----------------------------------------------------------------------------------------


def test_a_widened_column_of_sqlite_keeps_every_digit(tmp_path: Path) -> None:
    path = tmp_path / "books.sqlite"
    place = Place(lambda: Sqlite(path), list)
    run(place, "a", [[row(1, cf_x=0.30000000000000004), row(2, cf_x=123456789012345678)]])
    run(place, "b", [[row(3, cf_x="text")]])
    with sqlite3.connect(path) as connection:
        held = connection.execute("SELECT cf_x FROM books_invoices ORDER BY 1").fetchall()
    connection.close()
    assert held == [("0.30000000000000004",), ("123456789012345678",), ("text",)]
    assert FACTS.row_id == "invoice_id"
