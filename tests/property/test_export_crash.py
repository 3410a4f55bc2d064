"""After ``kill -9`` at any moment a destination holds what its state says, and goes on."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support import export_crash, export_databases, export_rows
from tests.support.export_databases import Target
from tests.support.postgresql_server import PostgresqlServer
from zoho_async.export.columns.schema import shape_of
from zoho_async.export.columns.tables import Layout

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")

SHAPE = shape_of(export_rows.FIELDS)
LAYOUT = Layout("books_invoices", "invoice_id", SHAPE)


class Victims:
    """Processes that run one command each and die on request."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.export_crash"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
            cwd=Path(__file__).parents[2],
        )  # fmt: skip

    def run(self, command: str, *, steps: int | None = None) -> bool:
        """Do ``command``, killed after ``steps`` steps; whether it came to its end before."""
        assert self._process.stdin is not None
        self._process.stdin.write(command + "\n")
        _, _, pid = self._line().partition("pid ")
        for _ in range(10**6 if steps is None else steps):
            if self._line() == "ended":
                return True
        with suppress(ProcessLookupError):  # it came to its end by itself
            os.kill(int(pid), signal.SIGKILL)
        while self._line() != "ended":
            pass
        return False

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the process is gone"
        return line.strip()


@pytest.fixture(scope="module")
def victims() -> Iterator[Victims]:
    running = Victims()
    yield running
    running.close()


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresqlServer]:
    with PostgresqlServer() as running:
        yield running


def target_of(kind: str, folder: Path, request: pytest.FixtureRequest) -> Target:
    if kind == "postgresql":
        server: PostgresqlServer = request.getfixturevalue("server")
        return export_databases.postgresql_target(server.create(f"crash_{folder.name}".lower()))
    make = {"sqlite": export_databases.sqlite_target, "duckdb": export_databases.duckdb_target}
    return make[kind](folder)


def until_alone(target: Target) -> None:
    """PostgreSQL ends the session of a killed client when it notices."""
    if target.kind != "postgresql":
        return
    patience = time.monotonic() + 60
    while target.ask(
        "SELECT 1 AS one FROM pg_stat_activity WHERE datname = current_database()"
        " AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
    ):
        assert time.monotonic() < patience, "the session of the killed client stays"


def assert_agrees(target: Target) -> int:
    """Rows and state agree; the page that the state says."""
    until_alone(target)
    tables = [each["name"] for each in target.ask(_NAMES[target.kind])]
    pages = target.ask("SELECT page FROM _zoho_test") if "_zoho_test" in tables else []
    page = pages[0]["page"] if pages else 0
    if "books_invoices" not in tables:
        assert page == 0
        return 0
    expected = {}
    for number in range(1, page + 1):
        for row in export_crash.page(number):
            said = export_rows.sent(row)
            expected[said["invoice_id"]] = said
    records = export_rows.joined(LAYOUT, SHAPE, target.tables(LAYOUT))
    found = {one["invoice_id"]: export_rows.kept(SHAPE, one) for one in records}
    assert len(found) == len(records)
    assert found.keys() == expected.keys()
    assert all(export_rows.same(expected[name], found[name]) for name in expected)
    return int(page)


_NAMES = {
    "sqlite": "SELECT name FROM sqlite_master",
    "duckdb": "SELECT table_name AS name FROM duckdb_tables()",
    "postgresql": "SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public'",
}


def kill_until(kind: str, moments: int, seed: int, folder: Path, victims: Victims,
               request: pytest.FixtureRequest) -> None:  # fmt: skip
    chance = random.Random(seed)
    left = moments
    for attempt in range(moments):
        place = folder / f"{kind}{seed}_{attempt}"
        place.mkdir()
        target = target_of(kind, place, request)
        before = 0
        while left > 0 and not victims.run(f"land\t{target.to}", steps=chance.randrange(1, 40)):
            left -= 1
            now = assert_agrees(target)
            assert now >= before
            before = now
        until_alone(target)
        victims.run(f"land\t{target.to}")
        assert assert_agrees(target) == export_crash.PAGES
        if left <= 0:
            return


@pytest.mark.parametrize("kind", ["sqlite", "duckdb", "postgresql"])
def test_rows_and_state_agree_after_a_kill_at_any_moment(
    kind: str, tmp_path: Path, victims: Victims, request: pytest.FixtureRequest
) -> None:
    kill_until(kind, 3, 7, tmp_path, victims, request)


@pytest.mark.long
@pytest.mark.parametrize("kind", ["sqlite", "duckdb", "postgresql"])
def test_rows_and_state_agree_after_kills_at_many_moments(
    kind: str, tmp_path: Path, victims: Victims, request: pytest.FixtureRequest
) -> None:
    kill_until(kind, 20, 11, tmp_path, victims, request)


def settle_killed(form: str, moments: int, folder: Path, victims: Victims) -> None:
    rows = b"".join(row + b"\n" for row in export_rows.rows(600))
    whole, broken = folder / "whole", folder / "broken"
    chance = random.Random(moments)
    for place in (whole, broken):
        place.mkdir()
        (place / "invoices.jsonl.part").write_bytes(rows)
    victims.run(f"{form}\t{whole / 'invoices.jsonl.part'}")
    expected = {path.name: path.read_bytes() for path in whole.iterdir()}
    assert expected
    assert "invoices.jsonl.part" not in expected
    spool = broken / "invoices.jsonl.part"
    for _ in range(moments):
        victims.run(f"{form}\t{spool}", steps=chance.randrange(0, 14))
        named = [path for path in broken.iterdir() if path.suffix not in (".part", ".tmp")]
        assert all(path.read_bytes() == expected[path.name] for path in named)
        if not spool.exists():  # it ended: start again
            shutil.rmtree(broken)
            broken.mkdir()
            spool.write_bytes(rows)
    victims.run(f"{form}\t{spool}")
    assert {path.name: path.read_bytes() for path in broken.iterdir()} == expected


@pytest.mark.parametrize(
    "form", ["jsonl.gz", "jsonl.zst", "csv", "parquet", "flat parquet", "flat csv"]
)
def test_a_form_settled_again_after_a_kill_is_the_same_file(
    form: str, tmp_path: Path, victims: Victims
) -> None:
    settle_killed(form, 3, tmp_path, victims)


@pytest.mark.long
@pytest.mark.parametrize(
    "form", ["jsonl.gz", "jsonl.zst", "csv", "parquet", "flat parquet", "flat csv"]
)
def test_a_form_settled_again_after_many_kills_is_the_same_file(
    form: str, tmp_path: Path, victims: Victims
) -> None:
    settle_killed(form, 25, tmp_path, victims)
