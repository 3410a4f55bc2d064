"""A dlt pipeline ends with the organization's rows, exact, however often it is run."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest

from tests.support import export_rows
from zoho_async.export.catalog import exportable
from zoho_async.export.errors import CheckpointRefused
from zoho_async.integrations.dlt import _check_layout, _with_exact, zoho
from zoho_async.limits import Limits
from zoho_async.runtime import unattended
from zoho_async.sandbox import Fault, Sandbox
from zoho_async.session import Session

pytestmark = pytest.mark.skipif(find_spec("dlt") is None, reason="the extra dlt is not installed")

SIZES = {"books.contacts": 450, "books.invoices": 260, "books.projects": 20}


class Pipeline:
    """A pipeline into a DuckDB file of a folder, fed by a sandbox."""

    def __init__(self, folder: Path, server: Sandbox, *, in_flight: int = 10) -> None:
        import dlt

        self.server = server
        self._in_flight = in_flight
        self._folder = folder
        self._made = dlt.pipeline(
            "books",
            pipelines_dir=str(folder / "pipelines"),
            destination=dlt.destinations.duckdb(str(folder / "warehouse.duckdb")),
            dataset_name="books",
        )

    @asynccontextmanager
    async def account(self) -> AsyncGenerator[Session]:
        minute = self.server.limits.minute
        limits = Limits(window=minute, linger=minute / 2, in_flight=self._in_flight)
        environ = self.server.environment() | {"ZOHO_ASYNC_LEDGER": str(self._folder / "limits")}
        async with unattended(environ, limits=limits) as session:
            yield session

    def another_day(self) -> None:
        """Have the limits' count of the day forgotten."""
        for file in self._folder.glob("limits*"):
            file.unlink()

    async def run(self, *names: str, **asked: Any) -> int:
        """Load once; the calls that it took."""
        before = self.server.calls
        source = zoho(names, account=self.account, **asked)
        await anyio.to_thread.run_sync(self._made.run, source)
        return self.server.calls - before

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with self._made.sql_client() as client, client.execute_query(sql) as cursor:
            return list(cursor.fetchall())

    def ids(self, resource: str) -> list[str]:
        row_id = exportable()[resource].row_id
        table = resource.replace(".", "_")
        return [one for (one,) in self.rows(f"SELECT {row_id} FROM {table} ORDER BY 1")]

    def assert_current(self) -> None:
        for name in SIZES:
            row_id = exportable()[name].row_id
            truth = [json.loads(row)[row_id] for row in self.server.truth(name)]
            assert self.ids(name) == sorted(truth), name


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Switch telemetry of dlt off and hide the settings of the user who runs the tests."""
    monkeypatch.setenv("RUNTIME__DLTHUB_TELEMETRY", "false")
    monkeypatch.setenv("DLT_DATA_DIR", str(tmp_path / "dlt"))
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("quiet")
async def test_a_pipeline_loads_all_then_what_changed_then_what_was_deleted(tmp_path: Path) -> None:
    async with Sandbox(sizes=SIZES, minute=1.0) as server:
        pipeline = Pipeline(tmp_path, server)
        assert await pipeline.run(*SIZES) == 3 + 2 + 1 + 1  # the last one counts debit notes
        pipeline.assert_current()
        ((total,),) = pipeline.rows("SELECT sum(total) FROM books_invoices")
        truth = [json.loads(row, parse_float=Decimal) for row in server.truth("books.invoices")]
        assert total == sum(Decimal(str(row["total"])) for row in truth)
        assert pipeline.rows(
            "SELECT typeof(total), typeof(date), typeof(created_time) FROM books_invoices LIMIT 1"
        ) == [("DECIMAL(38,6)", "DATE", "TIMESTAMP WITH TIME ZONE")]

        contacts = server.store().collection("contacts")
        contacts.change(7, {"contact_name": "Changed"})
        contacts.add({"contact_name": "Added"})
        assert await pipeline.run(*SIZES) == 3
        pipeline.assert_current()
        assert pipeline.rows(
            "SELECT count(*) FROM books_contacts WHERE contact_name IN ('Changed', 'Added')"
        ) == [(2,)]

        invoices = server.store().collection("invoices")
        invoices.change(7, {"adjustment": Decimal("0.12345678901")})
        await pipeline.run("books.invoices")
        assert pipeline.rows(
            "SELECT adjustment, _exact FROM books_invoices WHERE _exact IS NOT NULL"
        ) == [(Decimal("0.123457"), '{"adjustment":"0.12345678901"}')]

        contacts.remove(9)
        await pipeline.run(*SIZES)
        assert len(pipeline.ids("books.contacts")) == 451  # lists do not tell
        await pipeline.run(*SIZES, detect_deletions=True)
        pipeline.assert_current()


@pytest.mark.usefixtures("quiet")
async def test_a_custom_field_of_a_later_load_is_a_column(tmp_path: Path) -> None:
    async with Sandbox(sizes={"books.contacts": 20}, minute=0.5) as server:
        pipeline = Pipeline(tmp_path, server)
        await pipeline.run("books.contacts")
        contacts = server.store().collection("contacts")
        tier = {"api_name": "cf_tier", "label": "Tier", "value": "Gold"}
        visits = {"api_name": "cf_visits", "label": "Visits", "value": 7}
        contacts.change(7, {"custom_fields": [tier, visits]})
        await pipeline.run("books.contacts")
        held = "SELECT contact_id, cf_tier, cf_visits_unformatted FROM books_contacts"
        assert pipeline.rows(f"{held} WHERE cf_tier IS NOT NULL") == [
            (contacts.id(7), "Gold", Decimal(7))
        ]
        assert pipeline.rows(
            "SELECT typeof(cf_visits_unformatted) FROM books_contacts LIMIT 1"
        ) == [("DECIMAL(38,6)",)]
        assert pipeline.rows("SELECT count(*) FROM books_contacts") == [(20,)]
        # A value that is no number is in dlt's variant column, and the number stays.
        contacts.change(8, {"custom_fields": [visits | {"value": "many"}]})
        await pipeline.run("books.contacts")
        columns = "cf_visits_unformatted, cf_visits_unformatted__v_text"
        found = pipeline.rows(f"SELECT {columns} FROM books_contacts ORDER BY 1, 2")
        assert [one for one in found if any(one)] == [(Decimal(7), None), (None, "many")]


def test_numbers_of_rows_in_lists_are_exact_too() -> None:
    fields = export_rows.FIELDS
    row = {"total": "1E+40", "line_items": [{"rate": Decimal("1E-8"), "quantity": "many"}]}
    assert _with_exact(row, fields) == {
        "line_items": [{"rate": 0, "quantity": "many", "_exact": '{"rate":"1E-8"}'}],
        "_exact": '{"total":"1E+40"}',
    }


def test_tables_of_another_layout_are_refused_with_what_rebuilds_them() -> None:
    with pytest.raises(CheckpointRefused, match=r"layout 0.*refresh=.drop_resources."):
        _check_layout("books.invoices", 0)


@pytest.mark.usefixtures("quiet")
async def test_a_load_that_the_daily_quota_ended_continues_where_it_was(tmp_path: Path) -> None:
    async with Sandbox(sizes=SIZES, minute=1.0) as server:
        # What is in flight is taken off the figures: of two calls at once the last would be left.
        pipeline = Pipeline(tmp_path, server, in_flight=1)
        server.limits.per_day = 4
        with pytest.raises(Exception, match="day"):
            await pipeline.run(*SIZES)
        assert server.calls == 4
        server.limits.per_day = 1_000
        pipeline.another_day()
        calls = await pipeline.run(*SIZES)
        pipeline.assert_current()
        # What changed, the last page and the one before it, the rest, the count of debit notes.
        assert calls == 1 + 2 + 1 + 1


@pytest.mark.long
@pytest.mark.usefixtures("quiet")
async def test_without_names_it_loads_every_list_that_the_token_may_read(tmp_path: Path) -> None:
    async with Sandbox(sizes=SIZES, minute=1.0) as server:
        pipeline = Pipeline(tmp_path, server)
        refusal = Fault(kind="code", path="*/projects", status=401, code=57, times=None)
        server.faults.append(refusal)
        await pipeline.run()
        assert len(pipeline.ids("books.contacts")) == SIZES["books.contacts"]
        with pytest.raises(Exception, match="projects"):
            await pipeline.run("projects")
