"""A custom field that a later run shows is a column, is reported, and obeys the chosen columns."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import duckdb
import pytest

from zoho_async.cli import export_summary
from zoho_async.export import Export, ExportOptions, SchemaChange, SchemaChanged, Summary
from zoho_async.limits import Limits, MemoryLedger
from zoho_async.sandbox import Sandbox
from zoho_async.session import Session

Rows = list[dict[str, Any]]

TIER = {"label": "Tier", "api_name": "cf_tier", "data_type": "string", "value": "Gold"}
VISITS = {"label": "Visits", "api_name": "cf_visits", "data_type": "number", "value": 7}


@asynccontextmanager
async def firm() -> AsyncGenerator[tuple[Sandbox, Session]]:
    async with Sandbox(sizes={"books.contacts": 20}, minute=0.3) as server:
        limits = Limits(window=server.client_minute, linger=server.client_minute / 2, reserve=0)
        environ = server.environment()
        async with Session.from_env(environ, limits=limits, ledger=MemoryLedger()) as zoho:
            yield server, zoho


async def export(
    zoho: Session, to: Path, **asked: Any
) -> tuple[dict[str, SchemaChange], Summary, list[str]]:
    """The changes that events reported, by column; the summary; and its text."""
    options = ExportOptions(**asked)
    async with Export(zoho, ["contacts"], to=to, options=options) as job:
        events = [event async for event in job]
    changes = [change for event in events if isinstance(event, SchemaChanged)
               for change in event.changes]  # fmt: skip
    return {one.column: one for one in changes}, job.summary, export_summary.as_lines(job.summary)


def tables(path: Path) -> dict[str, Rows]:
    """Every row of every table, as the database's own client reads it."""
    if path.suffix == ".duckdb":
        with duckdb.connect(str(path), read_only=True) as database:
            names = [name for (name,) in database.execute("SHOW TABLES").fetchall()]
            return {
                name: database.sql(f'SELECT * FROM "{name}"').to_arrow_table().to_pylist()
                for name in names
            }
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        names = [row[0] for row in connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table'")]  # fmt: skip
        return {
            name: [dict(row) for row in connection.execute(f'SELECT * FROM "{name}"')]
            for name in names
        }


@pytest.mark.parametrize("suffix", [".duckdb", ".sqlite"])
async def test_a_custom_field_of_a_later_run_is_a_column_and_is_named(
    tmp_path: Path, suffix: str
) -> None:
    to = tmp_path / f"books{suffix}"
    async with firm() as (server, zoho):
        first, _, lines = await export(zoho, to)
        assert (first["cf_region"].change, first["cf_region"].type) == ("added", "text")
        assert not any("new columns" in line for line in lines)  # in a full read, all are new
        contacts = server.store().collection("contacts")
        contacts.change(3, {"custom_fields": [TIER, VISITS]})
        changes, summary, lines = await export(zoho, to)
        assert {name: (one.change, one.type) for name, one in changes.items()} == {
            "cf_tier": ("added", "text"),
            "cf_tier_unformatted": ("added", "text"),
            "cf_visits": ("added", "text"),
            "cf_visits_unformatted": ("added", "decimal"),
        }
        (line,) = [line for line in lines if "new columns" in line]
        assert all(name in line for name in ("cf_tier", "cf_visits_unformatted"))
        told = json.loads(export_summary.as_json(summary, code=0, error=None, next_command=None))
        (contact,) = told["resources"]
        assert {one["column"] for one in contact["schema"]} == changes.keys()

        contacts.change(5, {"custom_fields": [VISITS | {"value": "many"}]})
        changes, _, lines = await export(zoho, to)
        assert changes["cf_visits_unformatted"].change == "widened"
        assert any("column cf_visits_unformatted was decimal" in line for line in lines)
        changes, _, lines = await export(zoho, to)
        assert changes == {}
        assert not any("column" in line for line in lines)
        rows = {row["contact_id"]: row for row in tables(to)["books_contacts"]}
        assert len(rows) == 20
        one, other = rows[contacts.id(3)], rows[contacts.id(5)]
        assert (one["cf_tier"], one["cf_visits_unformatted"]) == ("Gold", "7")
        assert (one["cf_region"], other["cf_visits_unformatted"]) == (None, "many")


_CHOSEN = {
    "contact_id", "contact_name", "cf_region", "_deleted_time", "_exact", "_extra",
}  # fmt: skip


@pytest.mark.parametrize("suffix", [".duckdb", ".sqlite"])
async def test_only_selected_columns_exist_also_of_observed_fields(
    tmp_path: Path, suffix: str
) -> None:
    to = tmp_path / f"books{suffix}"
    rules = {"select": ("contacts:contact_name,cf_region",)}
    async with firm() as (server, zoho):
        contacts = server.store().collection("contacts")
        await export(zoho, to, **rules)
        region = {"label": "Region", "api_name": "cf_region", "value": "Moon"}
        contacts.change(3, {"custom_fields": [region, TIER], "notes": "secret"})
        contacts.change(4, {"custom_fields": [TIER]})
        await export(zoho, to, **rules)
        held = tables(to)
        rows = {row["contact_id"]: row for row in held["books_contacts"]}
        assert len(rows) == 20
        assert set(rows[contacts.id(3)]) == _CHOSEN
        assert rows[contacts.id(3)]["cf_region"] == "Moon"
        for row in rows.values():  # the object of custom fields has the chosen one
            rest = json.loads(row["_extra"] or "{}")
            assert set(rest) <= {"custom_field_hash"}
            assert set(rest.get("custom_field_hash", ())) <= {"cf_region"}
        assert "cf_region" in held["_zoho_observed"][0]["fields"]
        assert not {"cf_tier", "Gold", "secret"} & set(re.findall(r"\w+", repr(held)))
        assert b"cf_tier" not in to.read_bytes()


@pytest.mark.parametrize("suffix", [".duckdb", ".sqlite"])
async def test_no_excluded_custom_field_is_anywhere(tmp_path: Path, suffix: str) -> None:
    to = tmp_path / f"books{suffix}"
    rules = {"exclude": ("*:cf_*",), "details": True}
    async with firm() as (server, zoho):
        contacts = server.store().collection("contacts")
        contacts.change(3, {"custom_fields": [TIER]})
        await export(zoho, to, **rules)
        contacts.change(4, {"custom_fields": [TIER, VISITS]})
        _, _, lines = await export(zoho, to, **rules)
        assert not any("cf_" in line for line in lines)
        held = tables(to)
        assert len(held["books_contacts"]) == 20
        assert "is_linked_with_zohocrm" in held["books_contacts"][0]
        words = set(re.findall(r"\w+", repr(held).replace("cf_*", "")))  # the rule itself
        assert not [word for word in words if word.startswith("cf_") or word == "Gold"]


@pytest.mark.parametrize("suffix", [".duckdb", ".sqlite"])
async def test_columns_that_a_new_choice_hides_are_gone(tmp_path: Path, suffix: str) -> None:
    to = tmp_path / f"books{suffix}"
    rules = {"select": ("contacts:contact_name,cf_region",)}
    async with firm() as (server, zoho):
        server.store().collection("contacts").change(3, {"custom_fields": [TIER]})
        await export(zoho, to)
        assert "cf_tier" in tables(to)["books_contacts"][0]
        changes, _, _ = await export(zoho, to, full=True, **rules)
        assert {name: one.change for name, one in changes.items()} == {"cf_region": "added"}
        held = tables(to)
        assert len(held["books_contacts"]) == 20
        assert set(held["books_contacts"][0]) == _CHOSEN
        assert "cf_tier" not in repr(held)


@pytest.mark.parametrize("suffix", [".csv", ".xlsx"])
async def test_a_single_file_reports_new_columns(tmp_path: Path, suffix: str) -> None:
    to = tmp_path / f"contacts{suffix}"
    async with firm() as (server, zoho):
        await export(zoho, to)
        server.store().collection("contacts").change(3, {"custom_fields": [TIER]})
        changes, summary, lines = await export(zoho, to)
        new = ["cf_tier", "cf_tier_unformatted"]
        assert [one.column for one in summary.resources[0].schema] == new
        assert list(changes) == new
        assert any("new columns: cf_tier, cf_tier_unformatted" in line for line in lines)
        assert (await export(zoho, to))[1].resources[0].schema == ()
