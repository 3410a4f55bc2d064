"""The recipes for schedulers and warehouses do what their pages say; Zoho is another process.

What is not run here: Airflow's recipe (only compiled), and the servers of Celery and Prefect.
"""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Generator
from pathlib import Path
from types import CodeType
from typing import Any

import pytest

from tests.support.doc_examples import DOCS, blocks, compiled

ORGANIZATIONS = ("10234695", "10234696")
COUNTS = {"contacts": 230, "invoices": 12}

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of others' libraries


@pytest.fixture
def zoho(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[str]:
    """The URL of a sandbox that the environment names; the test's folder is the current one."""
    options = [f"--size={name}={rows}" for name, rows in COUNTS.items()]
    options += [f"--organization={one}" for one in ORGANIZATIONS]
    process = subprocess.Popen(
        [sys.executable, "-m", "zoho_async.sandbox", *options], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        said = json.loads(process.stdout.readline())
        for name, value in said["environment"].items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("ZOHO_ASYNC_LEDGER", str(tmp_path / "state" / "limits"))
        monkeypatch.setenv("PYTHONPATH", str(DOCS.parent))
        monkeypatch.chdir(tmp_path)
        yield said["url"]
    finally:
        process.kill()
        process.communicate()


def block(page: str, word: str) -> dict[str, Any]:
    """The names that the only block of ``page`` with ``word`` in it makes."""
    return run(page, word, {})


def compiled_blocks(page: str) -> list[CodeType]:
    return [compiled(block, page) for block in blocks(DOCS / page)]


def run(page: str, word: str, names: dict[str, Any]) -> dict[str, Any]:
    (found,) = (one for one in compiled_blocks(page) if word in one.co_names)
    names["__name__"] = "recipe"
    exec(found, names)
    return names


def calls(url: str) -> int:
    with urllib.request.urlopen(f"{url}/__sandbox__/state") as reply:
        return int(json.load(reply)["calls"])


def rows(directory: Path) -> dict[str, int]:
    books = directory / "books"
    return {name: len((books / f"{name}.jsonl").read_bytes().splitlines()) for name in COUNTS}


@pytest.mark.long
@pytest.mark.usefixtures("zoho")
def test_the_line_for_cron_exports_and_says_so_by_its_code(tmp_path: Path) -> None:
    page = (DOCS / "howto/schedulers.md").read_text("utf-8")
    (line,) = (one for one in page.splitlines() if one.startswith("17 2 * * * "))
    command = line.split()[5:]
    assert command[0] == "zoho-async"
    done = subprocess.run([sys.executable, "-m", "zoho_async.cli", *command[1:]], check=False)
    assert done.returncode == 0
    assert rows(tmp_path / "backup") == COUNTS


def test_the_plain_call_exports(
    zoho: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    block("howto/schedulers.md", "summary")
    assert capsys.readouterr().out == "242 rows in 4 calls\n"
    assert rows(tmp_path / "backup") == COUNTS
    assert calls(zoho) == 4


def test_celerys_task_exports_and_a_second_one_brings_what_changed(
    zoho: str, tmp_path: Path
) -> None:
    pytest.importorskip("celery")
    names = block("howto/schedulers.md", "Celery")
    names["app"].conf.task_always_eager = True
    assert names["export"].delay(ORGANIZATIONS[1]).get() == 242
    assert rows(tmp_path / "backup" / ORGANIZATIONS[1]) == COUNTS
    assert names["export"].delay(ORGANIZATIONS[1]).get() == 0
    assert calls(zoho) == 4 + 2  # one of them counts debit notes


@pytest.mark.long
@pytest.mark.usefixtures("zoho")
def test_prefects_task_exports(tmp_path: Path) -> None:
    pytest.importorskip("prefect", reason="Prefect is large, and no extra of ours brings it")
    names = block("howto/schedulers.md", "flow")
    assert names["export"].fn(ORGANIZATIONS[1]) == 242
    assert rows(tmp_path / "backup" / ORGANIZATIONS[1]) == COUNTS


@pytest.mark.long
@pytest.mark.usefixtures("zoho")
def test_the_recipe_for_dask_exports_every_organization(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    distributed = pytest.importorskip("distributed")
    duckdb = pytest.importorskip("duckdb")
    made = distributed.LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None
    )
    with made:
        client = distributed.Client(made)
        monkeypatch.setattr(distributed, "Client", lambda _: client)
        block("howto/schedulers.md", "export_fleet")
    assert capsys.readouterr().out == "484 rows; 0 lists failed\n"
    page = (DOCS / "howto/schedulers.md").read_text("utf-8")
    sql = page.partition("```sql\n")[2].partition("```")[0]
    assert len(duckdb.sql(sql).fetchall()) == 2 * COUNTS["invoices"]


@pytest.mark.long
def test_the_recipe_for_dlt_loads_and_sweeps(zoho: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("dlt")
    monkeypatch.setenv("RUNTIME__DLTHUB_TELEMETRY", "false")
    monkeypatch.setenv("DLT_DATA_DIR", "dlt")
    first, second = compiled_blocks("howto/warehouse.md")
    names: dict[str, Any] = {"__name__": "recipe"}
    exec(first, names)
    with names["pipeline"].sql_client() as client:
        loaded = client.execute_sql("SELECT count(*) FROM books_invoices")
    assert list(loaded) == [(COUNTS["invoices"],)]
    before = calls(zoho)
    exec(second, names)
    assert calls(zoho) - before == 4  # both lists whole, and nothing was missing
