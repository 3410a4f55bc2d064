"""No hidden value is in any byte that an export leaves, and the rest is exactly what was chosen."""

from __future__ import annotations

import asyncio
import csv
import hashlib
import hmac
import json
import os
import signal
import sqlite3
import subprocess
import sys
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from pytest_aiohttp.plugin import AiohttpServer

from tests.support.answering_server import AnsweringServer
from tests.support.private_firm import HIDDEN, RULES, PrivateFirm, leaks
from zoho_async import Session
from zoho_async.errors import BudgetSpent, ConfigurationError
from zoho_async.export import Export
from zoho_async.export.errors import DestinationChanged, UnknownColumn, UnknownResource
from zoho_async.export.options import ExportOptions
from zoho_async.export.shape import ColumnRules, HashKey, Shaper

KEY = "0123456789abcdef0123456789abcdef"
PLACES = ("jsonl", "csv", "parquet", "parquet flat", "out.sqlite", "out.duckdb")
LISTS = ("contacts", "contacts.comments")


@pytest.fixture
def firm() -> PrivateFirm:
    return PrivateFirm()


@pytest.fixture
async def server(aiohttp_server: AiohttpServer, firm: PrivateFirm) -> AnsweringServer:
    made = AnsweringServer()
    await made.open(aiohttp_server)
    made.answers = [firm.answer]
    return made


@pytest.fixture
async def zoho(server: AnsweringServer) -> AsyncIterator[Session]:
    async with server.session() as session:
        yield session


def options_of(place: str, **more: Any) -> dict[str, Any]:
    form = place.partition(" ")[0]
    chosen: dict[str, Any] = {}
    if form in ("csv", "parquet"):
        chosen = {"format": form, "flatten": place.endswith("flat")}
    return {**RULES, **chosen, **more}


async def export(
    zoho: Session, to: Path, options: dict[str, Any], lists: tuple[str, ...] = LISTS
) -> Export:
    job = Export(zoho, lists, to=to, options=ExportOptions(**options), hash_key=HashKey(KEY))
    async with job:
        await job.wait()
    return job


def assert_hidden(folder: Path) -> None:
    """No file below ``folder`` shows a hidden value, as bytes or as a database reads it."""
    for path in folder.rglob("*"):
        if path.is_file():
            assert not list(leaks(path.read_bytes())), path
    for path in folder.glob("*.xlsx"):
        with zipfile.ZipFile(path) as sheets:
            for name in sheets.namelist():
                assert not list(leaks(sheets.read(name))), name
    for path in folder.glob("*.duckdb"):
        with duckdb.connect(path, read_only=True) as database:
            tables = database.execute("SELECT table_name FROM information_schema.tables").fetchall()
            for (name,) in tables:
                rows = database.execute(f'SELECT * FROM "{name}"').fetchall()
                assert HIDDEN not in repr(rows), name
    for path in folder.rglob("*.parquet"):
        with duckdb.connect() as database:
            rows = database.execute("SELECT * FROM read_parquet(?)", [str(path)]).fetchall()
            assert HIDDEN not in repr(rows), path


def hashed(text: str) -> str:
    return hmac.new(KEY.encode(), text.encode(), hashlib.sha256).hexdigest()


@pytest.mark.parametrize("place", [*PLACES, "out.xlsx"])
async def test_no_byte_shows_a_hidden_value(
    zoho: Session, firm: PrivateFirm, tmp_path: Path, place: str
) -> None:
    to = tmp_path / place.replace(" ", "_")
    options = options_of(place, details=True)
    calls = 0
    for most in (1, 3, 5):  # ends in the list, in its details and in the comments
        try:
            await export(zoho, to, {**options, "max_calls": most})
        except BudgetSpent:
            calls += 1
        assert_hidden(tmp_path)
    assert calls > 1
    await export(zoho, to, options)
    assert_hidden(tmp_path)
    firm.version, firm.gone = 2, {3}
    await export(zoho, to, {**options, "detect_deletions": True})
    assert_hidden(tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("place", ["jsonl", "parquet", "out.sqlite"])
async def test_no_byte_shows_a_hidden_value_after_kills(
    server: AnsweringServer, firm: PrivateFirm, tmp_path: Path, place: str
) -> None:
    words = [*LISTS, "--details", "--to", str(tmp_path / "out" / place)]
    for name, values in RULES.items():
        for value in values:
            words += [f"--{name}", value]
    if place == "parquet":
        words += ["--format", "parquet"]
    environ = {
        **os.environ,
        "ZOHO_CLIENT_ID": "a",
        "ZOHO_CLIENT_SECRET": "b",
        "ZOHO_REFRESH_TOKEN": "c",
        "ZOHO_ORGANIZATION_ID": "1",
        "ZOHO_BASE_URL": server.url,
        "ZOHO_ACCOUNTS_URL": server.url,
        "ZOHO_HASH_KEY": KEY,
        "ZOHO_ASYNC_LEDGER": str(tmp_path / "limits.sqlite"),
    }

    async def run(kill_at: int) -> int | None:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "zoho_async.cli", "export", *words, "--minute", "1"),
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        first = firm.requests

        def before(number: int) -> None:
            if number - first == kill_at:
                process.send_signal(signal.SIGKILL)

        firm.before = before
        out, _ = await process.communicate()
        assert not list(leaks(out))
        return process.returncode

    for kill_at in (2, 6, 11):
        assert await run(kill_at) == -signal.SIGKILL
        assert_hidden(tmp_path / "out")
    assert await run(0) == 0
    assert_hidden(tmp_path / "out")


async def test_hashes_join_and_masks_keep_the_form(
    zoho: Session, firm: PrivateFirm, tmp_path: Path
) -> None:
    await export(zoho, tmp_path, options_of("jsonl", details=True))
    (first, *_) = rows_of(tmp_path / "books/contacts.jsonl")
    assert first["email"] == hashed(firm.email(0))
    assert first["contact_persons"] == [
        {"first_name": "Ann", "email": hashed(firm.hidden("person", 0))}
    ]
    phone = firm.hidden("phone", 0)
    assert first["phone"] == "*" * (len(phone) - 4) + phone[-4:]
    assert first["mobile"] == ""
    assert first["billing_address"]["city"] == "Rome"
    assert first["billing_address"].keys() == {"city", "phone"}
    assert first["custom_field_hash"] == {"cf_open": "open 0"}
    assert [one["api_name"] for one in first["custom_fields"]] == ["cf_hash", "cf_mask", "cf_open"]
    hidden = {"notes", "undescribed", "cf_secret", "cf_secret_unformatted", "shipping_address"}
    assert not hidden & first.keys()
    comments = rows_of(tmp_path / "books/contacts.comments.jsonl")
    assert {one.get("email") for one in comments} == {
        None,
        *(hashed(firm.email(one)) for one in range(firm.count)),
    }


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


async def test_selected_columns_are_exactly_those(
    zoho: Session, firm: PrivateFirm, tmp_path: Path
) -> None:
    select = {
        "select": ("contacts:contact_name,+email", "contacts:contact_persons.first_name,cf_open"),
        "details": True,
    }
    await export(zoho, tmp_path / "a", select, ("contacts",))
    for row in rows_of(tmp_path / "a/books/contacts.jsonl"):
        assert row.keys() <= {
            *("contact_id", "contact_name", "email", "contact_persons"),
            *("cf_open", "custom_field_hash"),
        }
        assert row["contact_persons"] == [{"first_name": "Ann"}]
        assert row["custom_field_hash"] == {"cf_open": row["cf_open"]}
    plain = {"select": ("contacts:contact_name,email",)}
    await export(zoho, tmp_path / "b", {**plain, "format": "csv"}, ("contacts",))
    with (tmp_path / "b/books/contacts.csv").open(newline="") as file:
        header = next(csv.reader(file))
    assert set(header) == {"contact_id", "contact_name", "email", "_deleted_time", "_extra"}
    await export(zoho, tmp_path / "c.sqlite", plain, ("contacts",))
    database = sqlite3.connect(tmp_path / "c.sqlite")
    tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master")]
    assert [name for name in tables if name.startswith("books_")] == ["books_contacts"]
    (extra,) = database.execute("SELECT count(_extra) FROM books_contacts").fetchone()
    database.close()
    assert extra == 0


@pytest.mark.parametrize("place", PLACES)
async def test_another_shape_is_refused_and_rebuilt(
    zoho: Session, firm: PrivateFirm, tmp_path: Path, place: str
) -> None:
    to = tmp_path / place.replace(" ", "_")
    options = options_of(place)
    bare = {name: value for name, value in options.items() if name not in RULES}
    await export(zoho, to, bare)
    if place in ("jsonl", "csv", "out.sqlite"):  # the search finds what is there
        with pytest.raises(AssertionError):
            assert_hidden(tmp_path)
    with pytest.raises(DestinationChanged, match="--full"):
        await export(zoho, to, options)
    await export(zoho, to, {**options, "full": True})
    if place not in ("out.sqlite", "out.duckdb"):  # their free pages keep bytes
        assert_hidden(tmp_path)
    await export(zoho, to, options)
    again = Export(
        zoho, LISTS, to=to, options=ExportOptions(**options), hash_key=HashKey(KEY[::-1])
    )
    with pytest.raises(DestinationChanged, match="another key"):
        await again.__aenter__()


async def test_a_change_that_only_hidden_columns_show_is_read(
    zoho: Session, firm: PrivateFirm, tmp_path: Path
) -> None:
    options = {"select": ("contacts:contact_persons",), "details": True}
    await export(zoho, tmp_path, options, ("contacts",))
    firm.version = 2
    job = await export(zoho, tmp_path, options, ("contacts",))
    assert job.summary.records == firm.count


@pytest.mark.parametrize(
    ("name", "rule", "error"),
    [
        ("exclude", "contacts:emial", UnknownColumn),
        ("exclude", "contcts:email", UnknownResource),
        ("exclude", "contacts", ConfigurationError),
        ("exclude", "contacts:", ConfigurationError),
        ("mask", "contacts:contact_id", UnknownColumn),
        ("hash", "nothing*:email", UnknownResource),
        ("exclude", "contacts:mail*l_x*", UnknownColumn),
    ],
)
async def test_a_wrong_rule_is_refused_before_any_call(
    zoho: Session, server: AnsweringServer, tmp_path: Path, name: str, rule: str, error: Any
) -> None:
    wanted: dict[str, Any] = {name: (rule,)}
    with pytest.raises(error):
        Export(zoho, ["contacts"], to=tmp_path, options=ExportOptions(**wanted))
    assert not server.taken


def shaped(action: str, pattern: str, row: dict[str, Any]) -> bytes:
    rules = {"exclude": ColumnRules(exclude=(pattern,)), "hash": ColumnRules(hash=(pattern,))}
    rules["mask"] = ColumnRules(mask=(pattern,))
    return Shaper(rules[action], key=HashKey(KEY)).apply(json.dumps(row).encode())


@pytest.mark.parametrize("action", ["exclude", "hash", "mask"])
@pytest.mark.parametrize("pattern", ["cf_secret", "c*", "*"])
def test_an_element_that_does_not_name_its_custom_field_is_hidden(
    action: str, pattern: str
) -> None:
    row = {
        "contact_id": "1",
        "custom_fields": [{"index": 1, "label": "Secret", "value": HIDDEN}],
        "line_items": [{"item_custom_fields": [{"label": "Secret", "value": HIDDEN}]}],
    }
    made = shaped(action, pattern, row)
    assert not list(leaks(made))
    assert json.loads(shaped(action, "email", row)) == row


@pytest.mark.parametrize("action", ["hash", "mask"])
def test_whatever_depends_on_the_value_of_a_custom_field_is_hidden(action: str) -> None:
    described = {"customfield_id": "7", "api_name": "cf_secret", "label": "S", "is_active": True}
    values = {"is_open": HIDDEN, "value": HIDDEN, "option_id": HIDDEN, "options": [HIDDEN]}
    made = shaped(action, "cf_secret", {"custom_fields": [described | values]})
    assert not list(leaks(made))
    (kept,) = json.loads(made)["custom_fields"]
    assert {name: kept[name] for name in described} == described


def test_the_key_is_in_no_repr() -> None:
    assert KEY not in repr(HashKey(KEY)) + str(HashKey(KEY).__dict__.keys())
    with pytest.raises(ConfigurationError):
        HashKey("short")
