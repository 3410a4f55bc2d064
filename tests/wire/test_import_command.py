"""``zoho-async import``: plans, mappings, errors, exit codes, undo."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command import Command, serving
from zoho_async.sandbox import Sandbox
from zoho_async.sandbox.simulation.faults import Fault

CONTACTS = "Name,E-mail,Credit limit\nAda,ada@example.com,1.5\nBob,bob@example.com,2\n"


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Sandbox]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with serving(Sandbox(sizes={"books.contacts": 3}, minute=0.2)) as made:
        yield made


def writes(sandbox: Sandbox) -> int:
    return sum(each.method != "GET" for each in sandbox.arrivals)


def test_a_plan_writes_nothing_and_an_undo_ends_an_import(
    command: Command, sandbox: Sandbox, tmp_path: Path
) -> None:
    (tmp_path / "c.csv").write_text(CONTACTS)
    words = ("import", "c.csv", "--to", "contacts", "--minute", "0.2")
    code, out, _ = command(*words, "--plan-only")
    assert code == 0
    assert "  E-mail        contact_persons.email\n" in out
    assert "2 rows, 2 to create, 0 to update" in out
    assert "2 of the creates have no room for a token" in out
    assert (command.json(*words, "--plan-only")["status"], writes(sandbox)) == ("planned", 0)
    done = command.json(*words)
    assert (done["status"], done["created"], done["unknown"]) == ("done", 2, [])
    journal = next((tmp_path / "state" / "zoho-async" / "imports").iterdir())
    assert stat.S_IMODE(journal.stat().st_mode) == 0o600
    again = command.json(*words)
    assert (again["created"], again["calls"], writes(sandbox)) == (2, 0, 2)
    undone = command.json("import", "--undo", done["job"], "--minute", "0.2")
    assert (undone["exit_code"], undone["deleted"], undone["kept"]) == (0, 2, [])
    assert len(sandbox.truth("contacts")) == 3
    code, _, err = command("import", "--undo", "20260101-abcdef", "--minute", "0.2")
    assert (code, "the journal has no job" in err) == (2, True)


def test_columns_are_mapped_in_a_file(command: Command, sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text('"Na""me\\",Company name,Odd\nAda,Acme,1\n')
    words = ("import", "c.csv", "--to", "contacts", "--mapping", "m.toml", "--minute", "0.2")
    code, _, err = command(*words)
    assert (code, 'replace each "?" in it' in err, writes(sandbox)) == (2, True, 0)
    code, _, _ = command(*words)  # the question marks are still there
    assert (code, writes(sandbox)) == (2, 0)
    text = (tmp_path / "m.toml").read_text()
    (tmp_path / "m.toml").write_text(
        text.replace('"?"', '"contact_name"', 1).replace('"?"', '""', 1)
    )
    assert command.json(*words)["created"] == 1
    (tmp_path / "m.toml").write_text(text.replace('"?"', '"contact_nam"'))
    code, _, err = command(*words)
    assert (code, "did you mean contact_name" in err) == (2, True)
    (tmp_path / "m.toml").write_text('target = "books.items"\n[columns]\n')
    assert command(*words)[0] == 2


def test_wrong_rows_end_with_2_and_are_kept_for_correction(
    command: Command, sandbox: Sandbox, tmp_path: Path
) -> None:
    hostile = "\x1b]0;title\x07\u202e=1+1"
    (tmp_path / "c.csv").write_text(f"Name,Credit limit\nAda,{hostile}\n\nBob,2\n")
    words = ("import", "c.csv", "--to", "contacts", "--minute", "0.2")
    code, out, err = command(*words)
    assert (code, out, writes(sandbox)) == (2, "", 0)
    assert "row 2, column Credit limit: is " in err
    assert not {"\x1b", "\x07", "\u202e"} & set(err)
    wrong = command.json(*words)
    assert (wrong["status"], wrong["errors_file"]) == ("refused", "c.errors.csv")
    assert [(one["row"], one["column"]) for one in wrong["problems"]] == [(2, "Credit limit")]
    done = command.json(*words, "--skip-errors")
    assert (done["exit_code"], done["status"], done["created"]) == (4, "incomplete", 1)
    text = (tmp_path / "c.errors.csv").read_text()
    (tmp_path / "c.errors.csv").write_text(text.replace(f"Ada,{hostile}", "Ada,7"))
    done = command.json("import", "c.errors.csv", "--to", "contacts", "--minute", "0.2")
    assert (done["exit_code"], done["created"]) == (0, 1)
    (tmp_path / "notes.errors.csv").write_text("mine")
    (tmp_path / "notes.csv").write_text("Name,Credit limit\nA,x\n")
    code, _, err = command("import", "notes.csv", "--to", "contacts", "--minute", "0.2")
    assert (code, "exists and is no errors file" in err) == (2, True)
    assert (tmp_path / "notes.errors.csv").read_text() == "mine"


def test_a_refusal_and_a_lost_answer_end_with_4(
    command: Command, sandbox: Sandbox, tmp_path: Path
) -> None:
    (tmp_path / "c.csv").write_text("Name\nAda\nAda\nBob\n")
    words = ("import", "c.csv", "--to", "contacts", "--minute", "0.2")
    done = command.json(*words)
    assert (done["exit_code"], done["created"], len(done["problems"])) == (4, 2, 1)
    assert "The contact already exists. (code 3062)" in done["problems"][0]["problem"]
    sandbox.faults.append(Fault(kind="drop", method="POST"))
    (tmp_path / "d.csv").write_text("Name\nEve\n")
    words = ("import", "d.csv", "--to", "contacts", "--minute", "0.2")
    code, out, _ = command(*words)
    assert code == 4
    record = next(
        word.strip("()") for word in out.split("perhaps ")[1].split(";") if word[0].isdigit()
    )
    assert "--settle 2=ID or --settle 2=absent" in out
    assert command.json(*words)["unknown"] == [{"row": 2, "candidates": [record]}]
    assert command(*words, "--settle", "2=?")[0] == 2
    settled = command.json(*words, "--settle", f"2={record}")
    assert (settled["exit_code"], settled["created"], settled["unknown"]) == (0, 1, [])


@pytest.mark.parametrize(
    "words",
    [
        ("c.csv",),
        ("--to", "contacts"),
        ("c.csv", "--to", "nothing"),
        ("c.csv", "--to", "books.organizations.x"),
        ("missing.csv", "--to", "contacts"),
        ("c.txt", "--to", "contacts"),
        ("c.csv", "--to", "contacts", "--match", "colour"),
        ("c.csv", "--to", "contacts", "--group-by", "colour"),
        ("c.csv", "--to", "contacts", "--token-field", "token"),
        ("c.csv", "--to", "contacts", "--settle-wait", "-1"),
        ("c.csv", "--to", "contacts", "--max-calls", "0"),
        ("c.csv", "--to", "contacts", "--sheet", "one"),
        ("c.csv", "--undo", "job"),
    ],
)
def test_wrong_usage_ends_with_2(
    words: tuple[str, ...], command: Command, sandbox: Sandbox, tmp_path: Path
) -> None:
    (tmp_path / "c.csv").write_text(CONTACTS)
    (tmp_path / "c.txt").write_text(CONTACTS)
    assert command("import", *words, "--minute", "0.2")[0] == 2
    assert writes(sandbox) == 0


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "has no header"),
        (b"Name,Name\na,b\n", "two columns are called 'Name'"),
        (b"Name,,E-mail\na,b,c\n", "column 2 has no name"),
        (b"Name\n\xff\n", "is not UTF-8"),
        (b'Name\n"a\n', "line 2"),
    ],
)
def test_a_broken_file_is_refused(
    content: bytes, problem: str, command: Command, sandbox: Sandbox, tmp_path: Path
) -> None:
    (tmp_path / "c.csv").write_bytes(content)
    code, _, err = command("import", "c.csv", "--to", "contacts", "--minute", "0.2")
    assert (code, problem in err) == (2, True), err
    for name in ("c.xlsx", "c.parquet"):
        (tmp_path / name).write_bytes(content)
        assert command("import", name, "--to", "contacts", "--minute", "0.2")[0] == 2
    assert writes(sandbox) == 0
