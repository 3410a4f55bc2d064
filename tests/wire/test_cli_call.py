"""`list` and `call`: tables for people, exact rows for programs."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import shlex
import shutil
import subprocess
import sys
from asyncio.subprocess import PIPE
from collections.abc import Generator
from decimal import Decimal
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.support.command import Command, serving
from zoho_async.cli.output import columns_of
from zoho_async.sandbox import Sandbox

#: The command in a process, as a person or a script starts it.
PROCESS = (sys.executable, "-W", "error", "-m", "zoho_async.cli")


@pytest.fixture
def sandbox() -> Generator[Sandbox]:
    with serving(Sandbox(sizes={"contacts": 250, "invoices": 30})) as sandbox:
        yield sandbox


@pytest.fixture
def command(command: Command, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.setenv("COLUMNS", "100")
    return command


def test_a_pipe_gets_every_row_as_zoho_wrote_it(sandbox: Sandbox, command: Command) -> None:
    code, out, err = command("list", "contacts")
    assert (code, err) == (0, "")
    assert out.encode().splitlines() == sandbox.truth("contacts")


def test_rows_limits_the_rows_and_the_page_size(sandbox: Sandbox, command: Command) -> None:
    code, out, _ = command("list", "contacts", "--rows", "3", "--output", "json")
    assert code == 0
    assert json.loads(out) == [json.loads(row) for row in sandbox.truth("contacts")[:3]]
    assert sandbox.arrivals[0].query["per_page"] == "3"


def test_a_table_starts_with_id_and_number(sandbox: Sandbox, command: Command) -> None:
    code, out, err = command("list", "invoices", "--output", "table", "--rows", "2")
    assert (code, err) == (0, "")
    head, first, second = out.splitlines()
    assert head.split()[:2] == ["invoice_id", "invoice_number"]
    rows = [json.loads(row) for row in sandbox.truth("invoices")]
    assert first.split()[:2] == [rows[0]["invoice_id"], rows[0]["invoice_number"]]
    assert second.split()[:2] == [rows[1]["invoice_id"], rows[1]["invoice_number"]]


def test_csv_has_a_header_and_the_columns_that_were_asked_for(
    sandbox: Sandbox, command: Command
) -> None:
    columns = ("--columns", "contact_name", "--columns", "contact_id")
    code, out, err = command("list", "contacts", "--output", "csv", *columns)
    assert (code, err) == (0, "")
    rows = [json.loads(row) for row in sandbox.truth("contacts")]
    expected = [{name: row[name] for name in ("contact_name", "contact_id")} for row in rows]
    assert list(csv.DictReader(io.StringIO(out))) == expected


def test_an_unknown_column_is_refused_with_a_suggestion(command: Command) -> None:
    code, out, err = command("list", "contacts", "--output", "csv", "--columns", "contct_id")
    assert (code, out) == (2, "")
    assert "contct_id" in err
    assert "contact_id" in err


def test_tables_of_contacts_show_email_and_balance(command: Command) -> None:
    _, out, _ = command("list", "contacts", "--output", "table", "--rows", "3")
    assert {"email", "outstanding_receivable_amo…"} & set(out.splitlines()[0].split())


def test_an_unknown_filter_is_an_error(sandbox: Sandbox, command: Command) -> None:
    code, out, err = command("list", "contacts", "--filter", "stauts=active")
    assert (code, out) == (2, "")
    assert err.startswith("zoho-async: books.contacts has no filter 'stauts'")
    assert sandbox.calls == 0


def test_a_filter_that_is_not_described_is_sent_with_a_warning(
    sandbox: Sandbox, command: Command
) -> None:
    code, out, err = command(
        *("list", "invoices", "--filter", "total_less_than=5", "--output", "jsonl", "--rows", "1")
    )
    assert (code, len(out.splitlines())) == (0, 1)
    assert sandbox.arrivals[0].query["total_less_than"] == "5"
    assert err == (
        "zoho-async: warning: Zoho's reply does not confirm total_less_than; "
        "it may have ignored the filter\n"
    )


def test_filters_that_cancel_each_other_are_refused(sandbox: Sandbox, command: Command) -> None:
    pair = ("--filter", "filter_by=Status.Paid", "--filter", "date_start=2026-01-01")
    code, out, err = command("list", "invoices", *pair)
    assert (code, out) == (2, "")
    assert "filter_by cancels date_start" in err
    assert sandbox.calls == 0


def test_a_call_prints_the_reply(sandbox: Sandbox, command: Command) -> None:
    body = json.dumps({"contact_name": "Acme & Søn", "credit_limit": 12.5})
    process = subprocess.run(
        [*PROCESS, "call", "post", "contacts", "--body", "@-"],
        input=body.encode(),
        capture_output=True,
    )
    code, out, err = process.returncode, process.stdout.decode(), process.stderr.decode()
    assert (code, err) == (0, "")
    assert json.loads(out)["contact"]["contact_name"] == "Acme & Søn"
    contact = json.loads(out)["contact"]["contact_id"]
    code, out, _ = command("call", "GET", f"/contacts/{contact}")
    assert json.loads(out)["contact"]["contact_id"] == contact
    code, out, err = command("call", "GET", "/contacts/99")
    assert (code, out) == (1, "")
    assert "1002" in err


def test_a_dry_run_sends_nothing_and_hides_the_token(sandbox: Sandbox, command: Command) -> None:
    body = '{"contact_name": "Acme", "credit_limit": 12.50}'
    code, out, _ = command("call", "POST", "/contacts", "--body", body, "--dry-run")
    assert code == 0
    assert out.splitlines() == [
        f"POST {sandbox.url}/books/v3/contacts?organization_id={sandbox.organization}",
        "Accept: application/json",
        "Authorization: Zoho-oauthtoken ...",
        "Content-Type: application/json",
        "",
        '{"contact_name":"Acme","credit_limit":12.50}',
    ]
    code, out, _ = command("list", "invoices", "--filter", "status=overdue", "--dry-run")
    assert code == 0
    assert "status=overdue" in out
    assert sandbox.calls == sandbox.token_requests == 0


@pytest.mark.parametrize("resource", ["contacts", "organizations"])
def test_a_dry_run_of_a_list_shows_the_request_that_would_be_sent(
    sandbox: Sandbox, command: Command, resource: str
) -> None:
    _, shown, _ = command("list", resource, "--rows", "3", "--dry-run")
    code, _, _ = command("list", resource, "--rows", "3")
    assert code == 0
    url = urlsplit(shown.splitlines()[0].removeprefix("GET "))
    assert url.path == sandbox.arrivals[0].path
    assert dict(parse_qsl(url.query)) == sandbox.arrivals[0].query


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["call", "GET", "/contacts?page=2"], "--query"),
        (["call", "GET", "/contacts", "--query", "page"], "name=value"),
        (["call", "POST", "/contacts", "--body", "{no json"], "--body"),
        (["call", "POST", "/contacts", "--body", "@/no/such/file"], "--body"),
        (["call", "PATCH", "/contacts"], "PATCH"),
        (["call", "GET", "/contacts", "--product", "payroll"], "payroll"),
        (["list", "contacts", "--rows", "0"], "rows"),
    ],
)
def test_wrong_usage_is_one_sentence(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    names = ("CLIENT_ID", "CLIENT_SECRET", "REFRESH_TOKEN", "ORGANIZATION_ID")
    environ = {f"ZOHO_{name}": "1" for name in names} | {"ZOHO_BASE_URL": "http://127.0.0.1:9"}
    command = Command(environ, tmp_path, monkeypatch, capsys)
    code, out, err = command(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("zoho-async: ")
    assert len(err.splitlines()) == 1
    assert words in err


@pytest.mark.parametrize(
    "arguments", [("list", "contacts"), ("list", "contacts", "--output", "table"), ("resources",)]
)
async def test_a_reader_that_leaves_early_is_no_failure(
    sandbox: Sandbox, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    reader, pipe = os.pipe()
    os.close(reader)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "zoho_async.cli", *arguments),
        env={**os.environ, **sandbox.environment(), "XDG_STATE_HOME": str(tmp_path)},
        stdout=pipe,
        stderr=PIPE,
    )
    os.close(pipe)
    _, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
async def test_bash_completes_the_command(command: Command, tmp_path: Path) -> None:
    code, script, err = command("completion", "bash")
    assert (code, err) == (0, "")
    (tmp_path / "script").write_text(script)
    program = tmp_path / "zoho-async"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m zoho_async.cli "$@"\n')
    program.chmod(0o755)

    async def offered(*words: str) -> list[str]:
        typed = shlex.join(["zoho-async", *words])
        keys = f"COMP_WORDS=({typed}) COMP_CWORD={len(words)}; _zoho_async"
        process = await asyncio.create_subprocess_exec(
            *("bash", "-c", f'source "$0"; {keys}; printf "%s\\n" "${{COMPREPLY[@]}}"'),
            str(tmp_path / "script"),
            env={**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"},
            stdout=PIPE,
        )
        return (await process.communicate())[0].decode().split()

    assert await offered("exp") == ["export"]
    assert {"contacts", "contacts.comments"} <= set(await offered("export", "con"))
    assert "books.contacts" in await offered("export", "invoices", "books.con")
    assert await offered("list", "--rows", "3", "contact") == ["contacts"]
    assert await offered("export", "--detect") == ["--detect-deletions"]


def test_columns_without_values_are_left_out() -> None:
    rows = [{"item_id": "1", "name": "A", "sku": "", "tax_id": "9", "rate": 5, "tags": [1]}]
    assert columns_of(rows, "item_id", 100) == ["item_id", "name", "rate"]


def test_columns_are_as_many_as_fit_and_money_comes_before_addresses() -> None:
    texts = {
        "invoice_id": "7026429030000000001",
        "email": "pay@example.com",
        "balance": "",
        "customer_name": "Moreau Textiles",
        "total": "",
        "invoice_number": "INV-1",
    }
    row = {**texts, "balance": Decimal("5.0"), "total": Decimal("12578.99")}
    every = ["invoice_id", "invoice_number", "total", "balance", "customer_name", "email"]
    for width in range(120):
        columns = columns_of([row], "invoice_id", width)
        assert columns == every[: len(columns)]
        assert len(columns) >= 3
    assert len(columns_of([row], "invoice_id", 19 + 2 + 14 + 2 + 8)) == 3
    assert len(columns_of([row], "invoice_id", 19 + 2 + 14 + 2 + 8 + 2 + 7)) == 4
    assert columns_of([row], "invoice_id", 200) == every
