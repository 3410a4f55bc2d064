"""SQLite, DuckDB and PostgreSQL store the same rows, together with the checkpoint."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.support import export_databases, export_rows
from tests.support.export_databases import Target, by_id, load, write
from tests.support.postgresql_server import PostgresqlServer
from zoho_async.description import Field
from zoho_async.export.columns.schema import shape_of
from zoho_async.export.columns.tables import Layout
from zoho_async.export.destinations import DuckDb
from zoho_async.export.destinations.base import Table
from zoho_async.export.errors import DestinationError, ExportRunning

SHAPE = shape_of(export_rows.FIELDS)
LAYOUT = Layout("books_invoices", "invoice_id", SHAPE)
TABLE = export_rows.TABLE
target, postgresql = export_databases.target, export_databases.postgresql


def row(identity: str, **fields: str) -> bytes:
    return export_rows._object({"invoice_id": f'"{identity}"', **fields}).encode()


def held(target: Target) -> dict[str, Any]:
    records = export_rows.joined(LAYOUT, SHAPE, target.tables(LAYOUT))
    return {one["invoice_id"]: export_rows.kept(SHAPE, one) for one in records}


def assert_holds(target: Target, rows: list[bytes]) -> None:
    found = held(target)
    assert len(found) == len(rows)
    for one in rows:
        said = export_rows.sent(one)
        assert export_rows.same(said, found[said["invoice_id"]]), (said, found[said["invoice_id"]])


def test_every_value_of_the_oddest_rows_is_there(target: Target) -> None:
    rows = export_rows.rows(300, oddness=0.15)
    load(target, TABLE, rows)
    assert_holds(target, rows)


def test_money_is_exact_and_its_sums_agree_to_the_cent(target: Target) -> None:
    amounts = [Decimal(n * 7919 % 100_003) / 100 for n in range(1000)]
    load(target, TABLE, [row(str(n), total=f"{one:f}") for n, one in enumerate(amounts, 1)])
    found = target.ask("SELECT total FROM books_invoices")
    assert sum(Decimal(str(each["total"])) for each in found) == sum(amounts)
    (told,) = target.ask("SELECT sum(total) AS total FROM books_invoices")
    assert round(Decimal(told["total"]), 2) == sum(amounts)


def test_a_row_that_comes_again_replaces_its_columns_and_children(target: Target) -> None:
    rows = export_rows.rows(60)
    again = [
        row(f"9558510300{n:08d}", total="1.0", line_items='[{"rate":2.0,"tags":[{"share":3.0}]}]')
        for n in range(20, 40)
    ]
    load(target, TABLE, rows, again)
    assert_holds(target, [*rows[:20], *again, *rows[40:]])
    load(target, TABLE, rows)
    assert_holds(target, rows)


def test_the_last_of_several_rows_with_one_id_counts(target: Target) -> None:
    pages = [row("1", total="1.0"), row("2", total="2.0"), row("1", total="3.0", line_items="[{}]")]
    load(target, TABLE, pages)
    assert_holds(target, pages[1:])


def test_a_rounded_number_of_a_row_that_is_replaced_is_not_counted(target: Target) -> None:
    digits = "12345678901234567.1234567"
    rows = [row("1", total=digits), row("2", total="2.0"), row("1", total=digits)]
    with closing(target.make().open()) as place:
        sink = place.sink(TABLE, "")
        sink.resume(0)
        write(place.database, sink, rows)
        assert sink.take_rounded() == {"total": 1}
        assert sink.take_rounded() == {}


def test_rows_with_blank_ids_are_all_there_and_not_twice(target: Target) -> None:
    rows = [b'{"invoice_id":"","total":1.0}', b'{"total":2.0,"line_items":[{"rate":1.0}]}']
    load(target, TABLE, rows, rows)
    load(target, TABLE, rows)
    found = target.ask("SELECT * FROM books_invoices")
    assert sorted(Decimal(each["total"]) for each in found) == [1, 2]
    (line,) = target.ask("SELECT * FROM books_invoices__line_items")
    assert line["_row_id"] == next(one["invoice_id"] for one in found if Decimal(one["total"]) == 2)


def test_deleted_records_are_marked_and_kept(target: Target) -> None:
    load(target, TABLE, [row("1", total="1.0", line_items="[{}]"), row("2", total="2.0")])
    with closing(target.make().open()) as place:
        engine = place.database
        sink = place.sink(TABLE, "20261123T020000Z")
        sink.resume(0)
        with engine.transaction():
            sink.mark_deleted(["1", "7", "1"], "2026-11-23T02:00:00+0000")
    found = by_id(target.ask("SELECT * FROM books_invoices"))
    assert Decimal(found["1"]["total"]) == 1
    assert str(found["1"]["_deleted_time"])[:10] == "2026-11-23"
    assert found["7"]["_deleted_time"] is not None
    assert found["2"]["_deleted_time"] is None
    load(target, TABLE, [row("1", total="5.0")])
    assert by_id(target.ask("SELECT * FROM books_invoices"))["1"]["_deleted_time"] is None


def test_a_record_known_only_as_deleted_can_appear_later(target: Target) -> None:
    with closing(target.make().open()) as place:
        engine = place.database
        sink = place.sink(TABLE, "")
        sink.resume(0)
        write(engine, sink, [row("5", total="1.0")])
        with engine.transaction():
            sink.mark_deleted(["7"], "2026-11-23T02:00:00+0000")
        write(engine, sink, [row("7", total="2.0")])
    assert_holds(target, [row("5", total="1.0"), row("7", total="2.0")])


def test_undescribed_ids_distinguish_rows(target: Target) -> None:
    for fields in ((), (Field(name="task_id", kind="integer"),)):
        table = Table(name="books.tasks", row_id="task_id", fields=fields)
        load(target, table, [b'{"task_id":1,"n":1}', b'{"task_id":"2","n":2}', b'{"task_id":"1"}'])
    assert sorted(by_id(target.ask("SELECT * FROM books_tasks"), "task_id")) == ["1", "2"]


def test_a_full_disk_ends_the_run_and_free_space_continues_it(tmp_path: Path) -> None:
    target = export_databases.sqlite_target(tmp_path)
    rows = export_rows.rows(400)
    with closing(target.make().open()) as place:
        engine = place.database
        sink = place.sink(TABLE, "")
        sink.resume(0)
        engine.execute("PRAGMA max_page_count = 40")
        with pytest.raises(DestinationError, match=r"full; make it writable \(or make room\)"):
            write(engine, sink, rows, 50)
        landed = [each["invoice_id"] for each in map(export_rows.sent, rows)]
        ((count,),) = engine.execute("SELECT count(*) FROM books_invoices")
        assert 0 < count < len(rows)
        assert count % 50 == 0
        engine.execute("PRAGMA max_page_count = 4000")
        write(engine, sink, rows[count:], 50)
    assert sorted(by_id(target.ask("SELECT * FROM books_invoices"))) == sorted(landed)


def test_rows_and_state_come_together_or_not_at_all(target: Target) -> None:
    with closing(target.make().open()) as place:
        engine = place.database
        with engine.transaction():
            engine.execute("CREATE TABLE _zoho_test (id BIGINT PRIMARY KEY, text TEXT)")
        sink = place.sink(TABLE, "")
        sink.resume(0)
        with engine.transaction():
            sink.write([row("1")])
            engine.upsert("_zoho_test", ["id"], ["id", "text"], [(1, "one")])

        def fail() -> None:
            with engine.transaction():
                sink.write([row("1", total="5.0"), row("2")])
                engine.upsert("_zoho_test", ["id"], ["id", "text"], [(1, "two"), (2, None)])
                raise RuntimeError

        with pytest.raises(RuntimeError):
            fail()
        with engine.transaction():
            sink.write([row("3"), row("2")])
    assert sorted(by_id(target.ask("SELECT * FROM books_invoices"))) == ["1", "2", "3"]
    assert target.ask("SELECT * FROM _zoho_test") == [{"id": 1, "text": "one"}]


def test_state_comes_back_as_it_was_written(target: Target) -> None:
    rows = [(n, f"id {n} \\ \t'\u00e9", n * 0.1 if n % 2 else None) for n in range(1500)]
    names = ["number", "text", "seconds"]
    with closing(target.make().open()) as place:
        engine = place.database
        with engine.transaction():
            engine.execute(
                "CREATE TABLE IF NOT EXISTS _zoho_test (number BIGINT NOT NULL, text TEXT NOT NULL,"
                " seconds DOUBLE PRECISION, PRIMARY KEY (number, text))"
            )
            engine.insert("_zoho_test", names, rows)
            engine.insert("_zoho_test", names, [])
            engine.upsert("_zoho_test", names[:2], names, [(*each[:2], 7.0) for each in rows[:700]])
            engine.upsert("_zoho_test", names[:2], names, [])
        found = engine.execute(
            "SELECT * FROM _zoho_test WHERE number >= ? AND text LIKE ? ORDER BY 1", [100, "id %"]
        )
        assert found == [*((*each[:2], 7.0) for each in rows[100:700]), *rows[700:]]
        assert engine.execute("DELETE FROM _zoho_test WHERE number < ?", [5]) in ([], [(5,)])


def test_a_second_run_into_the_same_place_is_refused(target: Target) -> None:
    first = target.make().open()
    with pytest.raises(ExportRunning):
        target.make().open()
    first.close()
    second = target.make().open()
    first.close()
    with pytest.raises(ExportRunning):
        target.make().open()
    second.close()


def test_columns_that_a_description_gains_are_added(target: Target) -> None:
    rows = export_rows.rows(50)
    fewer = tuple(field for field in TABLE.fields if field.name not in ("total", "line_items"))
    load(target, Table(name=TABLE.name, row_id="invoice_id", fields=fewer), rows)
    load(target, TABLE, rows)
    assert_holds(target, rows)


def test_columns_of_others_are_left_alone(target: Target) -> None:
    rows = export_rows.rows(20)
    load(target, TABLE, rows)
    with closing(target.make().open()) as place:
        engine = place.database
        with engine.transaction():
            engine.execute("ALTER TABLE books_invoices ADD COLUMN note TEXT")
            engine.execute("UPDATE books_invoices SET note = ?", ["mine"])
    load(target, TABLE, rows)
    assert {each["note"] for each in target.ask("SELECT note FROM books_invoices")} == {"mine"}
    assert_holds(target, rows)


def test_a_column_that_changed_its_type_is_refused_with_what_to_do(target: Target) -> None:
    load(target, TABLE, [row("1")])
    fields = tuple(
        Field(name="total", kind="integer") if field.name == "total" else field
        for field in TABLE.fields
    )
    with pytest.raises(DestinationError, match=r"column total of table books_invoices .*--restart"):
        load(target, Table(name=TABLE.name, row_id="invoice_id", fields=fields))


def test_rows_without_ids_are_appended_and_a_restarted_part_replaces_its_rows(
    target: Target,
) -> None:
    table = Table(name="books.notes", row_id="", fields=TABLE.fields)

    def totals() -> list[int]:
        return sorted(
            int(Decimal(each["total"])) for each in target.ask("SELECT * FROM books_notes")
        )

    load(target, table, [b'{"total":1.0}', b'{"total":1.0,"line_items":[{"rate":1.0}]}'])
    load(target, table, [b'{"total":2.0}'], [b'{"total":3.0}'], part="20261123T020000Z")
    assert totals() == [1, 1, 2, 3]
    load(target, table, [b'{"total":4.0,"line_items":[{},{}]}'], part="20261123T020000Z")
    assert totals() == [1, 1, 4]
    load(target, table, [b'{"total":5.0}'])
    assert totals() == [5]
    assert target.ask("SELECT * FROM books_notes__line_items") == []


def test_an_error_of_the_engine_keeps_its_text(target: Target) -> None:
    load(target, TABLE, [row("1")])
    with closing(target.make().open()) as place:
        engine = place.database
        sink = place.sink(TABLE, "")
        sink.resume(0)
        with engine.transaction():
            engine.execute("DROP TABLE books_invoices__line_items__tags")
        with pytest.raises(DestinationError, match="books_invoices__line_items__tags"):
            write(engine, sink, [row("1", line_items='[{"tags":[{}]}]')])
        assert engine.execute("SELECT count(*) FROM books_invoices") == [(1,)]


def test_a_destination_that_cannot_be_opened_says_why(tmp_path: Path) -> None:
    for name in ("books.sqlite", "books.duckdb"):
        (tmp_path / name).write_bytes(b"neither of the two, nor anything else " * 400)
    for make in (export_databases.sqlite_target, export_databases.duckdb_target):
        target = make(tmp_path)
        with pytest.raises(DestinationError, match="books"):
            target.make().open()
        with pytest.raises(DestinationError, match="books"):  # and it is not held
            target.make().open()


def test_psql_reads_the_tables(postgresql: PostgresqlServer) -> None:
    if shutil.which("psql") is None:
        pytest.skip("psql is not installed")
    target = export_databases.postgresql_target(postgresql.create("read_by_psql"))
    load(target, TABLE, [row("1", total="0.10"), row("2", total="0.20", date='"2026-06-09"')])
    told = subprocess.run(
        ["psql", target.to, "-At", "-c", "SELECT sum(total), max(date) FROM books_invoices"],
        capture_output=True, check=True, text=True,
    )  # fmt: skip
    assert told.stdout.strip() == "0.300000|2026-06-09"


def test_a_server_that_goes_away_ends_the_run_with_advice(postgresql: PostgresqlServer) -> None:
    target = export_databases.postgresql_target(postgresql.create("goes_away"))
    with closing(target.make().open()) as place:
        engine = place.database
        sink = place.sink(TABLE, "")
        sink.resume(0)
        write(engine, sink, [row("1")])
        target.ask(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = 'goes_away' AND pid <> pg_backend_pid()"
        )
        with pytest.raises(DestinationError, match="run the same command"):
            write(engine, sink, [row("2"), row("3")])
    load(target, TABLE, [row("2")])
    assert sorted(by_id(target.ask("SELECT * FROM books_invoices"))) == ["1", "2"]


def test_a_table_of_400_columns_takes_rows_and_changes(target: Target) -> None:
    fields = tuple(
        Field(name=f"field_{n}", kind="decimal" if n % 4 == 0 else "text") for n in range(400)
    )
    table = Table(name="books.wide", row_id="field_1", fields=fields)

    def wide(identity: int, version: int) -> bytes:
        cells = ",".join(
            f'"field_{n}":{version}.5' if n % 4 == 0 else f'"field_{n}":"{identity} {n} {version}"'
            for n in range(400)
            if n != 1
        )
        return f'{{"field_1":"{identity}",{cells}}}'.encode()

    load(target, table, [wide(n, 1) for n in range(1, 401)])
    load(target, table, [wide(n, 2) for n in range(1, 401, 2)])
    (told,) = target.ask("SELECT count(*) AS rows, sum(field_0) AS total FROM books_wide")
    assert (told["rows"], Decimal(told["total"])) == (400, Decimal(800))


def test_an_existing_duckdb_file_takes_a_table_of_400_columns(tmp_path: Path) -> None:
    with closing(duckdb.connect(str(tmp_path / "books.duckdb"))) as theirs:
        theirs.execute("CREATE TABLE mine AS SELECT 1 AS one")
    target = export_databases.duckdb_target(tmp_path)
    fields = tuple(Field(name=f"field_{n}", kind="text") for n in range(400))
    cells = ",".join(f'"field_{n}":"{n}"' for n in range(1, 400))
    rows = [f'{{"field_0":"{n}",{cells}}}'.encode() for n in range(1, 301)]
    load(target, Table(name="books.wide", row_id="field_0", fields=fields), rows)
    assert len(target.ask("SELECT field_0 FROM books_wide")) == 300
    assert target.ask("SELECT one FROM mine") == [{"one": 1}]


def test_duckdb_draws_no_progress_bar_into_our_output(tmp_path: Path) -> None:
    with closing(DuckDb(tmp_path / "books.duckdb").open()) as place:
        bar = place.database.execute("SELECT current_setting('enable_progress_bar')")
    assert bar == [(False,)]


def test_row_groups_of_duckdb_stay_small_so_that_rows_cost_the_same_in_a_large_table(
    tmp_path: Path,
) -> None:
    with closing(DuckDb(tmp_path / "books.duckdb").open()) as place:
        engine = place.database
        engine.execute('CREATE TABLE "many" AS SELECT range::VARCHAR AS id FROM range(50000)')
        ((groups,),) = engine.execute(
            "SELECT count(DISTINCT row_group_id) FROM pragma_storage_info('many')"
        )
    assert groups >= 6
