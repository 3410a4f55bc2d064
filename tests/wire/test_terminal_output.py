"""No text from outside moves a terminal, and none is too much for a code page.

A server on raw sockets puts a hostile text wherever Zoho puts a name, a value or a message. Every
command that talks to it runs in a terminal and in a pipe, in UTF-8 and in a code page that lacks
some of the characters.
"""

from __future__ import annotations

import ast
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.judges.raw_http import Reply, Request, Server, is_token_request, token_reply
from zoho_async.cli import app, output, safe
from zoho_async.events import Called
from zoho_async.observability.log import line_of

HOSTILE = "".join(
    (
        "₹ Traders \x1b[2J\x1b]0;owned\x07\x9b31m",
        "\u202eexe.\u2028\u0085",
        "[bold red]x[/]\x7f\b\r\nforged 😀",
    )
)
#: What a terminal would obey or a reader would be deceived by.
HARMFUL = (
    "\x1b[2J",
    "\x1b]",
    "\x07",
    "\x9b",
    "\u202e",
    "\u2028",
    "\u0085",
    "\x7f",
    "\b",
    "\nforged",
)
ORGANIZATION = "10234695"

COMMANDS: dict[str, tuple[str, ...]] = {
    "whoami": ("whoami",),
    "whoami as json": ("whoami", "--json"),
    "check": ("login", "--check"),
    "limits": ("limits",),
    "limits as json": ("limits", "--json"),
    "list": ("list", "contacts"),
    "list as a table": ("list", "contacts", "--output", "table"),
    "list as json": ("list", "contacts", "--output", "json"),
    "list as lines": ("list", "contacts", "--output", "jsonl"),
    "list that is refused": ("list", "invoices"),
    "call": ("call", "GET", "/contacts"),
    "call that is refused": ("call", "GET", "/invoices"),
    "call as it would go": ("call", "GET", "/contacts", "--dry-run", "--query", f"a={HOSTILE}"),
    "export": ("export", "contacts", "invoices", "--to", "TO"),
    "export as json": ("export", "contacts", "invoices", "--to", "TO", "--json"),
    "export of all": ("export", "contacts", "--to", "TO", "--all-organizations"),
    "probe": ("probe", "contacts", "invoices", "--to", "TO"),
    "merge": ("merge", "TO"),
    "resources": ("resources",),
    "scopes": ("scopes", HOSTILE),
    "help": ("--help",),
    "usage": ("list", HOSTILE),
    "option": ("list", "contacts", f"--{HOSTILE}"),
}


async def hostile(request: Request) -> Reply:
    if is_token_request(request):
        return token_reply()
    path = request.path.removeprefix("/books/v3")
    if path == "/organizations":
        row = {"organization_id": ORGANIZATION, "name": HOSTILE, "is_default_org": True}
        return Reply(body={"code": 0, "organizations": [row]})
    if path == "/contacts":
        row = {"contact_id": "1", "contact_name": HOSTILE, "status": HOSTILE, HOSTILE: HOSTILE}
        context = {"page": 1, "per_page": 200, "has_more_page": False, "total": 1}
        return Reply(body={"code": 0, "contacts": [row], "page_context": context})
    return Reply(400, {"code": 4711, "message": HOSTILE})


class Stream(io.TextIOWrapper):
    """A terminal or a pipe, in some encoding, strict until the command changes that."""

    def __init__(self, encoding: str, *, terminal: bool) -> None:
        super().__init__(io.BytesIO(), encoding=encoding, errors="strict", write_through=True)
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal

    @property
    def said(self) -> str:
        buffer = self.buffer
        assert isinstance(buffer, io.BytesIO)
        return buffer.getvalue().decode(self.encoding)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(hostile) as running:
        yield running


@pytest.fixture
def run(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Carry out a command; what it wrote to stdout and stderr."""
    settings = {
        "ZOHO_CLIENT_ID": "1000.JUDGE",
        "ZOHO_CLIENT_SECRET": "secret",
        "ZOHO_REFRESH_TOKEN": "1000.refresh",
        "ZOHO_ORGANIZATION_ID": ORGANIZATION,
        "ZOHO_BASE_URL": server.url,
        "ZOHO_ACCOUNTS_URL": server.url,
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "TERM": "xterm",
        "COLUMNS": "300",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)

    def carry_out(
        *words: str, encoding: str = "utf-8", terminal: bool = False
    ) -> tuple[int, str, str]:
        command = [str(tmp_path / "to") if word == "TO" else word for word in words]
        out, err = (Stream(encoding, terminal=terminal) for _ in range(2))
        monkeypatch.setattr(sys, "argv", ["zoho-async", *command])
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", err)
        code = app.run()
        return code, out.said, err.said

    return carry_out


@pytest.mark.parametrize("terminal", [True, False], ids=["terminal", "pipe"])
@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_lets_text_from_outside_move_a_terminal(
    run: Any, command: str, encoding: str, terminal: bool
) -> None:
    code, out, err = run(*COMMANDS[command], encoding=encoding, terminal=terminal)
    assert code in (0, 1, 2, 4)
    pieces = [err] if not terminal and command.startswith("list as") else [out, err]
    for piece in pieces:
        assert not [each for each in HARMFUL if each in piece]
        assert "Traceback" not in piece
    assert out or err


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "ascii"])
def test_values_in_a_pipe_stay_exact(run: Any, encoding: str) -> None:
    _, out, _ = run("whoami", "--json", encoding=encoding)
    assert json.loads(out)["organizations"][0]["name"] == HOSTILE
    _, out, _ = run("call", "GET", "/contacts", encoding=encoding)
    assert json.loads(out)["contacts"][0][HOSTILE] == HOSTILE
    _, out, _ = run("export", "invoices", "--to", "TO", "--json", encoding=encoding)
    assert HOSTILE in json.loads(out)["resources"][0]["error"]


def test_rows_in_a_pipe_are_the_bytes_that_came(run: Any) -> None:
    _, out, _ = run("list", "contacts")
    assert json.loads(out)["contact_name"] == HOSTILE


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
def test_values_in_a_terminal_stay_exact_json(run: Any, encoding: str) -> None:
    _, out, _ = run("list", "contacts", "--output", "jsonl", encoding=encoding, terminal=True)
    assert json.loads(out)["contact_name"] == HOSTILE
    _, out, _ = run("call", "GET", "/contacts", encoding=encoding, terminal=True)
    assert json.loads(out)["contacts"][0]["contact_name"] == HOSTILE


def test_markup_in_a_text_is_shown_and_not_obeyed(
    run: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"contact_id": "1", "[bold]name[/]": "[red]x[/]"}]
    output.print_table(rows, list(rows[0]))
    assert "[bold]name[/]" in (shown := capsys.readouterr().out)
    assert "[red]x[/]" in shown
    _, _, err = run("export", "invoices", "--to", "TO")
    assert "[bold red]x[/]" in err


def test_a_name_that_a_code_page_lacks_is_shown_as_an_escape(run: Any) -> None:
    _, out, _ = run("whoami", encoding="cp1252")
    assert "\\u20b9 Traders" in out
    _, out, _ = run("whoami")
    assert "₹ Traders" in out


@pytest.mark.parametrize("character", list("\ud800\x00\x1b\x9b\u2028\u202e\ufeff"))
def test_what_moves_a_terminal_becomes_an_escape_of_json(character: str) -> None:
    shown = safe.safe(f'"{character}"', encoding="utf-8")
    assert shown.isprintable()
    assert json.loads(shown) == character


@pytest.mark.parametrize("text", ["Müller & Söhne", "₹ 5", "می‌خواهم", "日本語", "👩‍🔧", "a b"])
def test_what_people_write_stays_as_it_is(text: str) -> None:
    assert safe.safe(text, encoding="utf-8") == text


def test_every_module_of_the_command_prints_safely() -> None:
    folder = Path(safe.__file__).parent
    for file in folder.glob("*.py"):
        tree = ast.parse(file.read_text())
        calls = {
            node.func.id
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        imported = {
            alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.module == "zoho_async.cli.safe"
            for alias in node.names
        }
        if "print" in calls and file.name not in ("__init__.py", "safe.py", "sandbox.py"):
            assert "print" in imported, file.name


def test_a_line_of_the_log_holds_nothing_that_moves_a_terminal() -> None:
    for text in (HOSTILE, "\x9b", "\u202e", "\u2028", "\ufeff", "\ud800"):
        event = Called(
            method="GET",
            path=text,
            organization=text,
            status=400,
            code=1,
            seconds=0.1,
            attempt=1,
        )
        assert line_of(event).isprintable()
