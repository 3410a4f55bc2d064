"""SQL of agents on an export: exact answers without API calls, and statements that are refused."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import duckdb
import msgspec
import pytest

from tests.support.mcp_client import agent_of
from zoho_async import Session
from zoho_async.errors import ConfigurationError
from zoho_async.export import Export
from zoho_async.export.options import ExportOptions
from zoho_async.integrations.mcp.mirror import SqlMirror
from zoho_async.integrations.mcp.sql_process import SETTINGS, SqlTask
from zoho_async.sandbox import Sandbox
from zoho_async.wire.text import untyped

BOOKS = {"books.contacts": 20, "books.items": 10, "books.invoices": 30}
small = pytest.mark.zoho_sandbox(sizes=BOOKS, minute=2.0)
LISTS = ["books.invoices", "books.items"]
MARGIN = """
    SELECT strftime(CAST(invoice.date AS DATE), '%Y-%m') AS month,
           sum(line.quantity * (line.rate - coalesce(item.purchase_rate, 0))) AS margin
    FROM books_invoices invoice
    JOIN books_invoices__line_items line ON line._row_id = invoice.invoice_id
    JOIN books_items item USING (item_id)
    WHERE invoice.status NOT IN ('draft', 'void')
    GROUP BY month ORDER BY month
"""


@small
async def test_the_margin_by_month_comes_from_the_mirror_without_a_call(
    zoho_sandbox: Sandbox, zoho: Session, tmp_path: Path
) -> None:
    """With a real process; the judge adds up the records of the sandbox."""
    files = [tmp_path / "books.duckdb", tmp_path / "books.sqlite"]
    for file in files:
        options = ExportOptions(details=True)
        async with Export(zoho, LISTS, to=str(file), options=options) as job:
            await job.wait()
    costs = {
        item["item_id"]: Decimal(item.get("purchase_rate") or 0)
        for item in map(untyped, zoho_sandbox.truth("items"))
    }
    margins: dict[str, Decimal] = defaultdict(Decimal)
    for invoice in map(untyped, zoho_sandbox.truth("invoices")):
        if invoice["status"] not in ("draft", "void"):
            full = await zoho.request("GET", f"/invoices/{invoice['invoice_id']}")
            for line in full["invoice"]["line_items"]:
                margin = line["quantity"] * (line["rate"] - costs[line["item_id"]])
                margins[invoice["date"][:7]] += margin
    calls, tokens = zoho_sandbox.calls, zoho_sandbox.token_requests
    async with agent_of(
        zoho_sandbox.environment(), tmp_path, "--mirror", str(files[0]), "--minute", "2"
    ) as agent:
        tools = await agent.client.list_tools()
        assert len(tools.tools) == 8
        assert len(tools.model_dump_json(by_alias=True, exclude_none=True)) < 8_000
        hints = {one.name: one.annotations for one in tools.tools}
        writing = [name for name, hint in hints.items() if hint and not hint.read_only_hint]
        assert writing == ["propose"]
        tables = await agent("sql", sql="SHOW TABLES")
        assert ["books_invoices"] in tables["rows"]
        assert not any("_zoho_" in table for (table,) in tables["rows"])
        rows = await agent.all_rows("sql", sql=MARGIN)
    assert {month: Decimal(str(margin)) for month, margin in rows} == margins
    sqlite = SqlMirror(files[1])
    try:
        assert (await sqlite.query(MARGIN)).rows == rows
    finally:
        sqlite.close()
    assert (zoho_sandbox.calls, zoho_sandbox.token_requests) == (calls, tokens)


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[SqlMirror]:
    path = tmp_path / "books.duckdb"
    with duckdb.connect(str(path)) as file:
        file.execute("CREATE TABLE items AS SELECT range AS id, 'x' AS name FROM range(1000)")
    (tmp_path / "secret.csv").write_text("secret\nhunter2\n")
    found = SqlMirror(path, seconds=60)  # a busy machine takes its time
    yield found
    found.close()


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("SELECT * FROM read_csv('{folder}/secret.csv')", "file system operations are disabled"),
        ("COPY items TO '{folder}/out.csv'", "only one SELECT"),
        ("SELECT 1; DROP TABLE items", "only one SELECT"),
        ("SELECT nothing FROM items", "nothing"),
        ("SELECT list(range) FROM range(1000000000)", "emory"),
    ],
)
async def test_a_statement_that_does_more_than_read_a_little_is_refused(
    mirror: SqlMirror, tmp_path: Path, sql: str, says: str
) -> None:
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(ConfigurationError, match=says):
        await mirror.query(sql.format(folder=tmp_path))
    assert sorted(os.listdir(tmp_path)) == before


async def test_a_statement_without_an_end_is_ended(mirror: SqlMirror) -> None:
    mirror.seconds = 2
    with pytest.raises(ConfigurationError, match="longer than 2 s"):
        await mirror.query("SELECT count(*) FROM range(100000000000) a")


@pytest.mark.skipif(os.name != "posix", reason="POSIX only: alarms")
def test_a_statement_that_waits_ends_although_the_server_is_gone(tmp_path: Path) -> None:
    """Without the server's own clock, and without processor time, which the system limits."""
    path = str(tmp_path / "books.duckdb")
    duckdb.connect(path).close()
    task = SqlTask(action="query", file=path, sql="SELECT sleep_ms(100000)", seconds=1)
    ran = subprocess.run(
        [sys.executable, "-m", "zoho_async.integrations.mcp.sql_process"],
        input=msgspec.json.encode(task),
        stdout=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    assert ran.returncode == -signal.SIGALRM


async def test_no_module_comes_from_the_working_directory(
    mirror: SqlMirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An agent may be able to write files where its client starts the server."""
    (tmp_path / "duckdb.py").write_text("import os\nos.mkdir('caught')\n")
    monkeypatch.chdir(tmp_path)
    assert (await mirror.query("SELECT 1")).rows == [[1]]
    assert not (tmp_path / "caught").exists()


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM '{folder}/secret.csv'",
        "SELECT * FROM enable_logging(storage='file', storage_config={{'path': '{folder}/log'}})",
        "SELECT * FROM enable_profiling(save_location='{folder}/profile')",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM glob('{folder}/*')",
        "FROM query('COPY items TO ''{folder}/out.csv''')",
        "SELECT getenv('HOME')",
        "COPY items TO '{folder}/out.csv'",
        "ATTACH '{folder}/other.duckdb'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "INSERT INTO items VALUES (1, 'y')",
        "CREATE TABLE mine AS SELECT 1",
        "DROP TABLE items",
        "SET memory_limit = '8GB'",
        "SET enable_external_access = true",
        "RESET memory_limit",
        "EXPORT DATABASE '{folder}/all'",
    ],
)
def test_the_settings_alone_refuse_what_is_no_read(tmp_path: Path, sql: str) -> None:
    """Without the check of statements, which refuses most of these before."""
    path = tmp_path / "books.duckdb"
    with duckdb.connect(str(path)) as file:
        file.execute("CREATE TABLE items (id BIGINT, name TEXT)")
    (tmp_path / "secret.csv").write_text("secret\nhunter2\n")
    before = sorted(os.listdir(tmp_path))
    with (
        duckdb.connect(str(path), read_only=True, config=SETTINGS) as connection,
        pytest.raises(duckdb.Error),
    ):
        connection.execute(sql.format(folder=tmp_path))
    assert sorted(os.listdir(tmp_path)) == before


async def test_large_answers_are_cut_and_odd_values_are_text(mirror: SqlMirror) -> None:
    many = await mirror.query("SELECT range FROM range(20000)")
    assert len(many.rows) == 10_000
    assert "LIMIT" in many.head["cut"]
    odd = await mirror.query(
        "SELECT DATE '2024-02-29', 0.1::DECIMAL(5,2), 170141183460469231731687303715884105727, "
        "[1, NULL], {'a': INTERVAL 1 DAY}, 'x\\u202e'"
    )
    assert odd.rows == [
        ["2024-02-29", 0.1, str(2**127 - 1), [1, None], {"a": "1 day, 0:00:00"}, "x\\u202e"]
    ]


async def test_a_changed_mirror_is_copied_again_and_one_in_use_is_not(tmp_path: Path) -> None:
    path = tmp_path / "books.sqlite"
    file = sqlite3.connect(path, isolation_level=None)
    file.execute("PRAGMA journal_mode = WAL")
    file.execute("CREATE TABLE items (id TEXT, rate NUMERIC)")
    file.execute("INSERT INTO items VALUES ('1', 0.1), ('2', 0.2)")
    mirror = SqlMirror(path)
    try:
        total = "SELECT count(*), sum(rate) FROM items"
        assert (await mirror.query(total)).rows == [[2, 0.3]]
        file.execute("PRAGMA locking_mode = EXCLUSIVE")
        file.execute("INSERT INTO items VALUES ('3', 1)")
        during = await mirror.query(total)
        assert (during.rows, "old" in during.head) == ([[2, 0.3]], True)
        file.close()
        assert (await mirror.query(total)).rows == [[3, 1.3]]
    finally:
        mirror.close()
    with pytest.raises(ConfigurationError, match="there is no mirror"):
        SqlMirror(tmp_path / "nothing.duckdb")
