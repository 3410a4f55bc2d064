"""Options of an export in a TOML file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command import Command, serving
from tests.support.doc_examples import DOCS, blocks
from zoho_async.sandbox import Sandbox


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with serving(Sandbox(sizes={"books.contacts": 30, "books.items": 5})) as made:
        yield made


def test_the_example_of_the_documentation_runs(command: Command) -> None:
    (example,) = blocks(DOCS / "howto/columns.md", "toml")
    Path("zoho.toml").write_text(example)
    plan = command.json("export", "--config", "zoho.toml", "--plan-only")
    assert {one["resource"] for one in plan["resources"]} == {"books.contacts", "books.items"}
    assert plan["status"] == "planned"
    assert not Path("books.duckdb").exists()


def test_the_command_line_precedes_the_file(command: Command) -> None:
    Path("zoho.toml").write_text(
        'lists = ["contacts", "items"]\nto = "file"\nselect = ["items:name"]\nmax_calls = 100\n'
    )
    done = command.json("export", "items", "--config", "zoho.toml", "--to", "given")
    assert [one["resource"] for one in done["resources"]] == ["books.items"]
    assert not Path("file").exists()
    rows = [json.loads(line) for line in Path("given/books/items.jsonl").read_text().splitlines()]
    assert {name for row in rows for name in row} == {"item_id", "name"}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("detalis = true", "did you mean details?"),
        ('client_secret = "x"', "secrets do not belong in this file"),
        ('hash-key = "x"', "secrets do not belong in this file"),
        ("to = 1.5", "must be a text"),
        ("plan-only = true", "on the command line"),
        ("restart = true", "give --restart on the command line"),
        ("to = ", "is not TOML"),
        ('exclude = ["contacts:emial"]', "did you mean email"),
        ('details = "perhaps"', "details"),
    ],
)
def test_a_wrong_file_is_refused(
    command: Command, sandbox: Sandbox, text: str, problem: str
) -> None:
    Path("zoho.toml").write_text(f"{text}\n")
    before = sandbox.calls
    code, _, err = command("export", "contacts", "--config", "zoho.toml", "--to", "out")
    assert code == 2
    assert problem in err
    assert sandbox.calls == before
    assert not Path("out").exists()


def test_other_commands_read_no_file(command: Command) -> None:
    code, _, err = command("export", "contacts", "--config", "missing.toml", "--to", "out")
    assert (code, "cannot read missing.toml" in err) == (2, True)
    assert command("resources")[0] == 0


def test_documents_are_warned_about(command: Command) -> None:
    words = ("export", "items", "--exclude", "items:description", "--files", "--to", "out")
    code, _, err = command(*words)
    assert code == 0
    assert "documents as Zoho makes them" in err
