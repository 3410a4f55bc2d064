"""A destination that a person changed: what is gone is read again, edits are never replaced."""

from __future__ import annotations

import json
import os
import shlex
import shutil
from collections.abc import Callable, Generator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.support import export_databases
from tests.support.command import Command, serving
from tests.support.export_databases import Target
from zoho_async.sandbox import Fault, Sandbox

SIZES = {"books.contacts": 305, "books.invoices": 230}
postgresql = export_databases.postgresql


@pytest.fixture
def server() -> Generator[Sandbox]:
    with serving(Sandbox(sizes=SIZES, minute=0.2)) as made:
        yield made


@pytest.fixture
def command(
    server: Sandbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Command:
    return Command(server.environment(), tmp_path, monkeypatch, capsys)


#: Each engine runs through each test. Two of them are too slow for a plain run.
SLOW = [pytest.param(kind, marks=pytest.mark.long) for kind in ("duckdb", "postgresql")]


@pytest.fixture(params=["sqlite", *SLOW])
def one_target(request: pytest.FixtureRequest, tmp_path: Path) -> Target:
    return export_databases.make_target(request, tmp_path)


def sql(target: Target, *statements: str) -> None:
    """What a person does in the database's own shell."""
    for statement in statements:
        if target.kind == "sqlite":
            import sqlite3

            with closing(sqlite3.connect(target.to.removeprefix("sqlite:"))) as connection:
                connection.execute(statement)
                connection.commit()
        elif target.kind == "duckdb":
            import duckdb

            with closing(duckdb.connect(target.to.removeprefix("duckdb:"))) as connection:
                connection.execute(statement)
        else:
            import psycopg

            with psycopg.connect(target.to, autocommit=True) as connection:
                connection.execute(statement.encode())


def job(to: str | Path, *options: str) -> tuple[str, ...]:
    return ("export", "contacts", "invoices", "--to", str(to), "--minute", "0.2", *options)


def of(told: dict[str, Any], name: str = "contacts") -> dict[str, Any]:
    (one,) = [one for one in told["resources"] if one["resource"] == f"books.{name}"]
    assert isinstance(one, dict)
    return one


def ids_of(server: Sandbox, name: str = "contacts") -> set[str]:
    return {json.loads(row)[f"{name[:-1]}_id"] for row in server.truth(f"books.{name}")}


def ids_in(target: Target, name: str = "contacts") -> set[str]:
    return {row["id"] for row in target.ask(f"SELECT {name[:-1]}_id AS id FROM books_{name}")}


def change_some(server: Sandbox) -> None:
    """So that the next run has something to write."""
    for place in range(25):
        server.store().collection("contacts").change(place, {"contact_name": f"New {place}"})


CHANGES = {
    "a dropped table": ("DROP TABLE books_contacts",),
    "a renamed table": ("ALTER TABLE books_contacts RENAME TO mine",),
    "an emptied table": ("DELETE FROM books_contacts",),
    "some deleted rows": (
        "DELETE FROM books_contacts WHERE contact_id IN"
        " (SELECT contact_id FROM books_contacts ORDER BY contact_id LIMIT 3)",
    ),
    "a dropped column": ("ALTER TABLE books_contacts DROP COLUMN contact_name",),
    "a renamed column": ("ALTER TABLE books_contacts RENAME COLUMN contact_name TO who",),
}


#: A plain run makes one change of each kind: to a table, to rows, to columns.
PLAIN = ("a dropped table", "some deleted rows", "a renamed column")


@pytest.mark.parametrize(
    "statements",
    [
        pytest.param(made, id=name, marks=[] if name in PLAIN else [pytest.mark.long])
        for name, made in CHANGES.items()
    ],
)
def test_what_a_person_took_out_of_a_database_is_read_in_full(
    server: Sandbox, command: Command, one_target: Target, statements: tuple[str, ...]
) -> None:
    assert command(*job(one_target.to))[0] == 0
    sql(one_target, *statements)
    change_some(server)
    told = command.json(*job(one_target.to))
    assert told["exit_code"] == 0
    assert (of(told)["mode"], of(told)["rows"]) == ("full", 305)
    assert "read in full again" in of(told)["note"]
    assert (of(told, "invoices")["mode"], of(told, "invoices")["note"]) == ("changed", None)
    assert ids_in(one_target) == ids_of(server)
    names = {
        row["contact_name"] for row in one_target.ask("SELECT contact_name FROM books_contacts")
    }
    assert names == {json.loads(row)["contact_name"] for row in server.truth("books.contacts")}
    again = command.json(*job(one_target.to))
    assert (of(again)["mode"], of(again)["note"], again["rows"]) == ("changed", None, 0)


_TABLES = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'table'",
    "duckdb": "SELECT table_name AS name FROM duckdb_tables()",
    "postgresql": "SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public'",
}


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE books_invoices__tags",
        pytest.param("ALTER TABLE books_invoices__tags RENAME TO tags", marks=pytest.mark.long),
        pytest.param("DELETE FROM books_invoices__tags", marks=pytest.mark.long),
        "DELETE FROM books_invoices__tags WHERE _row_id IN"
        " (SELECT _row_id FROM books_invoices__tags ORDER BY _row_id LIMIT 3)",
        pytest.param("DROP TABLE books_invoices", marks=pytest.mark.long),
        "DELETE FROM books_invoices WHERE invoice_id IN"
        " (SELECT invoice_id FROM books_invoices ORDER BY invoice_id LIMIT 3)",
    ],
)
def test_children_that_a_person_took_out_of_a_database_are_read_in_full(
    server: Sandbox, command: Command, one_target: Target, statement: str
) -> None:
    collection = server.store().collection("invoices")
    for place in range(230):
        collection.change(place, {"tags": [{"tag_id": str(place), "tag_name": "Region"}]})
    assert command(*job(one_target.to))[0] == 0
    children = one_target.ask("SELECT * FROM books_invoices__tags")
    assert len(children) == 230
    sql(one_target, statement)
    told = command.json(*job(one_target.to))
    assert (of(told, "invoices")["mode"], of(told)["mode"]) == ("full", "changed")
    assert "books_invoices" in of(told, "invoices")["note"]
    again = one_target.ask("SELECT * FROM books_invoices__tags")
    assert sorted(again, key=str) == sorted(children, key=str)


def test_what_a_person_added_to_a_database_survives_a_full_read(
    server: Sandbox, command: Command, one_target: Target
) -> None:
    target = one_target
    assert command(*job(target.to))[0] == 0
    sql(
        target,
        "ALTER TABLE books_contacts ADD COLUMN rating VARCHAR(20)",
        "UPDATE books_contacts SET rating = 'good'",
        "INSERT INTO books_contacts (contact_id, rating) VALUES ('mine', 'own')",
        "CREATE TABLE notes (text VARCHAR(20))",
        "INSERT INTO notes VALUES ('kept')",
    )
    told = command.json(*job(target.to))
    assert (of(told)["mode"], of(told)["note"]) == ("changed", None)
    some = "(SELECT contact_id FROM books_contacts ORDER BY contact_id LIMIT 3)"
    sql(target, f"DELETE FROM books_contacts WHERE contact_id IN {some}")
    change_some(server)
    told = command.json(*job(target.to))
    assert (of(told)["mode"], of(told)["rows"]) == ("full", 305)
    assert ids_in(target) == ids_of(server) | {"mine"}
    ratings = [row["rating"] for row in target.ask("SELECT rating FROM books_contacts")]
    assert (ratings.count("good"), ratings.count("own"), ratings.count(None)) == (302, 1, 3)
    assert target.ask("SELECT text FROM notes") == [{"text": "kept"}]


def test_rows_marked_as_deleted_may_be_removed_from_a_database(
    server: Sandbox, command: Command, one_target: Target
) -> None:
    assert command(*job(one_target.to))[0] == 0
    server.store().collection("contacts").remove(3)
    assert command(*job(one_target.to, "--detect-deletions"))[0] == 0
    sql(one_target, "DELETE FROM books_contacts WHERE _deleted_time IS NOT NULL")
    told = command.json(*job(one_target.to))
    assert (of(told)["mode"], of(told)["note"]) == ("changed", None)
    assert ids_in(one_target) == ids_of(server)


@pytest.mark.parametrize("how", ["renamed", "emptied"])
def test_a_table_that_is_taken_away_from_an_interrupted_run_is_read_from_the_start(
    server: Sandbox, command: Command, one_target: Target, how: str
) -> None:
    assert command(*job(one_target.to, "--max-calls", "2"))[0] == 3
    tables = [one["name"] for one in one_target.ask(_TABLES[one_target.kind])]
    written = [name for name in ("books_contacts", "books_invoices") if name in tables]
    for name in written:
        rename = f"ALTER TABLE {name} RENAME TO old_{name}"
        sql(one_target, rename if how == "renamed" else f"DELETE FROM {name}")
    code, _, err = command(*job(one_target.to))
    assert code == 0, err
    assert ids_in(one_target) == ids_of(server)
    assert ids_in(one_target, "invoices") == ids_of(server, "invoices")


def test_a_view_in_the_place_of_a_table_is_refused(
    server: Sandbox, command: Command, one_target: Target
) -> None:
    assert command(*job(one_target.to))[0] == 0
    sql(
        one_target,
        "ALTER TABLE books_contacts RENAME TO behind",
        "CREATE VIEW books_contacts AS SELECT * FROM behind",
    )
    calls = server.calls
    for options in ((), ("--full",), ("--restart",)):
        code, out, err = command(*job(one_target.to, *options))
        assert (code, out) == (2, "")
        assert "books_contacts is a view" in err
    assert server.calls == calls


def test_rows_without_their_checkpoint_are_not_mixed_with_others(
    server: Sandbox, command: Command, one_target: Target
) -> None:
    assert command(*job(one_target.to))[0] == 0
    state = [one["name"] for one in one_target.ask(_TABLES[one_target.kind])]
    sql(one_target, *(f"DROP TABLE {name}" for name in state if name.startswith("_zoho_")))
    calls = server.calls
    code, _, err = command(*job(one_target.to))
    assert (code, server.calls) == (2, calls)
    assert "but no checkpoint" in err
    assert "--restart" in err
    assert command(*job(one_target.to, "--restart"))[0] == 0
    assert ids_in(one_target) == ids_of(server)


# -- files ------------------------------------------------------------------------------------


def suffix_of(options: tuple[str, ...]) -> str:
    return f".{options[1]}" if options else ".jsonl"


FORMS: list[tuple[str, ...]] = [
    (),
    ("--format", "jsonl.gz"),
    ("--format", "csv"),
    ("--format", "parquet"),
    ("--format", "parquet", "--flatten"),
]


#: In a plain run the simplest form, and deleted also the one with several files of a list.
GONE = [
    pytest.param(how, form, marks=[] if is_plain else [pytest.mark.long])
    for how, plain_forms in (("deleted", (FORMS[0], FORMS[-1])), ("emptied", (FORMS[0],)))
    for form in FORMS
    for is_plain in (form in plain_forms,)
]


@pytest.mark.parametrize(("how", "options"), GONE)
def test_a_file_that_is_gone_is_read_in_full(
    server: Sandbox, command: Command, tmp_path: Path, options: tuple[str, ...], how: str
) -> None:
    to = tmp_path / "out"
    assert command(*job(to, *options))[0] == 0
    file = to / f"books/contacts{suffix_of(options)}"
    before = {path.name for path in file.parent.iterdir()}
    file.unlink() if how == "deleted" else file.write_bytes(b"")
    change_some(server)
    told = command.json(*job(to, *options))
    assert told["exit_code"] == 0
    assert (of(told)["mode"], of(told)["rows"]) == ("full", 305)
    assert f"{file} is missing" in of(told)["note"]
    assert {path.name for path in file.parent.iterdir()} == before
    if not options:
        assert file.read_bytes().splitlines() == server.truth("books.contacts")
    again = command.json(*job(to, *options))
    assert (of(again)["mode"], of(again)["note"]) == ("changed", None)


def test_a_deleted_file_of_changes_or_of_children_is_read_in_full(
    server: Sandbox, command: Command, tmp_path: Path
) -> None:
    to = tmp_path / "out"
    options = ("--format", "parquet", "--flatten")
    assert command(*job(to, *options))[0] == 0
    child = sorted(to.glob("books/invoices__*.parquet"))[0]
    child.unlink()
    assert of(command.json(*job(to, *options)), "invoices")["mode"] == "full"
    assert child.exists()
    change_some(server)
    assert of(command.json(*job(to, *options)))["rows"] == 25
    (changes,) = [path for path in to.glob("books/contacts.changes/*") if "__" not in path.name]
    changes.unlink()
    assert of(command.json(*job(to, *options)))["mode"] == "full"
    assert not changes.parent.exists()


def shortened(data: bytes) -> bytes:
    return data[: len(data) // 2]


def without_a_row(data: bytes) -> bytes:
    return b"".join(data.splitlines(keepends=True)[1:])


def with_a_row(data: bytes) -> bytes:
    return data + b'{"contact_id":"mine"}\n'


@pytest.mark.parametrize("edit", [shortened, without_a_row, with_a_row])
def test_a_file_that_was_edited_is_replaced_only_when_that_is_asked_for(
    server: Sandbox, command: Command, tmp_path: Path, edit: Callable[[bytes], bytes]
) -> None:
    to = tmp_path / "out"
    assert command(*job(to))[0] == 0
    file = to / "books/contacts.jsonl"
    edited = edit(file.read_bytes())
    file.write_bytes(edited)
    change_some(server)
    calls = server.calls
    code, out, err = command(*job(to))
    assert (code, out, server.calls) == (2, "", calls)
    assert f"{file} was changed by hand" in err
    assert file.read_bytes() == edited
    told = command.json(*job(to))
    line = f"zoho-async export books.contacts --to {to} --minute 0.2"
    assert told["continue"] in (f"{line} --full", f"{line} --json --full")
    assert command(*shlex.split(told["continue"])[1:])[0] == 0
    assert file.read_bytes().splitlines() == server.truth("books.contacts")
    assert of(command.json(*job(to)), "invoices")["note"] is None


def test_the_command_that_reads_one_list_names_no_other(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ("export", "--to", "contacts", "--minute", "0.2", "--json", "contacts", "invoices")
    assert command(*words)[0] == 0
    with (tmp_path / "contacts/books/invoices.jsonl").open("ab") as file:
        file.write(b"\n")
    told = json.loads(command(*words)[1])
    assert told["continue"] == (
        "zoho-async export books.invoices --to contacts --minute 0.2 --json --full"
    )


def test_files_without_their_checkpoint_are_replaced_only_when_that_is_asked_for(
    server: Sandbox, command: Command, tmp_path: Path
) -> None:
    to = tmp_path / "out"
    assert command(*job(to))[0] == 0
    shutil.rmtree(to / ".zoho-export")
    file = to / "books/contacts.jsonl"
    before = file.read_bytes()
    change_some(server)
    calls = server.calls
    for options in ((), ("--format", "parquet")):
        code, _, err = command(*job(to, *options))
        assert (code, server.calls) == (2, calls)
        assert f"{file} exists, but its checkpoint is missing" in err
        shutil.rmtree(to / ".zoho-export")
    assert file.read_bytes() == before
    assert command(*job(to, "--restart"))[0] == 0
    assert file.read_bytes().splitlines() == server.truth("books.contacts")


def test_a_merge_is_no_change_by_hand_and_does_not_hide_one(
    server: Sandbox, command: Command, tmp_path: Path
) -> None:
    to = tmp_path / "out"
    assert command(*job(to))[0] == 0
    change_some(server)
    assert command(*job(to))[0] == 0
    merging = ("merge", str(to))
    assert command(*merging)[0] == 0
    told = command.json(*job(to))
    assert (of(told)["mode"], of(told)["note"]) == ("changed", None)
    server.store().collection("contacts").change(1, {"contact_name": "Newer"})
    assert command(*job(to))[0] == 0
    file = to / "books/contacts.jsonl"
    file.unlink()
    code, _, err = command(*merging)
    assert (code, "contacts.jsonl" in err) == (2, True)
    assert of(command.json(*job(to)))["mode"] == "full"
    assert file.read_bytes().splitlines() == server.truth("books.contacts")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everything")
def test_a_file_that_may_only_be_read_is_refused_before_any_call(
    server: Sandbox, command: Command, tmp_path: Path
) -> None:
    to = tmp_path / "books.sqlite"
    assert command(*job(to))[0] == 0
    to.chmod(0o444)
    calls = server.calls
    code, _, err = command(*job(to))
    assert (code, server.calls) == (2, calls)
    assert "cannot write to" in err


def test_a_list_that_is_refused_has_no_rows_that_could_be_missing(
    server: Sandbox, command: Command, one_target: Target
) -> None:
    server.faults.append(
        Fault(kind="code", path="*/contacts", status=400, code=4, message="No.", times=None)
    )
    assert command(*job(one_target.to))[0] == 4
    assert command(*job(one_target.to))[0] == 0
    with suppress(Exception):
        sql(one_target, "DROP TABLE books_contacts")
    server.faults.clear()
    assert command(*job(one_target.to))[0] == 0
    assert ids_in(one_target) == ids_of(server)
