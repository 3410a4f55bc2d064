"""A destination that is full, away or in use: one sentence, nothing lost, and later all of it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import anyio.to_thread
import pytest

from tests.support import export_databases
from tests.support.export_databases import assert_current, export, sandbox, session
from tests.support.forked_command import ForkedCommand
from tests.support.killed_exports import Place, Server
from tests.support.postgresql_server import PostgresqlServer
from zoho_async.cli.export import merge_files, parse_destination
from zoho_async.errors import ConfigurationError
from zoho_async.export import DestinationError, Export, ExportRunning, open_destination

MORE = ("sqlite", "jsonl.gz", "jsonl.zst", "csv", "parquet")
linux = pytest.mark.skipif(sys.platform == "win32", reason="needs the limits of a process")


@pytest.fixture(scope="module")
def away(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("state"))
    yield running
    running.close()


@pytest.fixture(scope="module")
def forked() -> Iterator[ForkedCommand]:
    running = ForkedCommand()
    yield running
    running.close()


@pytest.fixture(scope="module")
def postgresql() -> Iterator[PostgresqlServer]:
    with PostgresqlServer() as running:
        yield running


@linux
@pytest.mark.parametrize(
    "kind",
    ["jsonl", "duckdb", *(pytest.param(k, marks=pytest.mark.long) for k in MORE)],
)
def test_a_full_disk_is_reported_and_the_export_continues_once_there_is_room(
    kind: str, tmp_path: Path, away: Server, forked: ForkedCommand
) -> None:
    broken = Place(kind, tmp_path / "broken", None)
    most = 600_000  # less than the rows take in any form on their way, more than the limits' file
    code, _, said = forked.run(broken.arguments, away.environ, file_size=most)
    assert code == 1, said
    assert "Traceback" not in said
    assert f"cannot write to {tmp_path}" in said
    assert "make room" in said
    code, _, said = forked.run(broken.arguments, away.environ)
    assert code == 0, said
    whole = Place(kind, tmp_path / "whole", None)
    assert forked.run(whole.arguments, away.environ).code == 0
    assert broken.held() == whole.held()


async def test_a_server_that_goes_away_ends_the_run_and_its_return_lets_it_go_on(
    postgresql: PostgresqlServer,
) -> None:
    target = export_databases.postgresql_target(postgresql.create("away"))
    async with sandbox() as zoho, session(zoho) as one:
        async with Export(one, ("books.contacts", "books.invoices"), to=target.to) as job:
            await anyio.to_thread.run_sync(postgresql.stop)
            with pytest.raises(DestinationError, match="run the same command again"):
                await job.wait()
        with pytest.raises(DestinationError, match="check that the server is running"):
            await export(one, target.to)
        postgresql.start()
        await export(one, target.to)
        assert_current(target, zoho)


_HOLDING = """
import sys
kind, path = sys.argv[1:]
if kind == "duckdb":
    import duckdb
    held = duckdb.connect(path)
else:
    import sqlite3
    held = sqlite3.connect(path, isolation_level=None)
    held.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("kind", ["sqlite", "duckdb"])
async def test_a_file_that_another_program_has_open_is_left_alone_until_it_is_free(
    kind: str, tmp_path: Path
) -> None:
    make = {"sqlite": export_databases.sqlite_target, "duckdb": export_databases.duckdb_target}
    target = make[kind](tmp_path)
    async with sandbox() as zoho, session(zoho) as one:
        await export(one, target.to)
        zoho.store().collection("invoices").change(7, {"reference_number": "CHANGED"})
        holder = subprocess.Popen(  # noqa: ASYNC220 - it answers at once
            [sys.executable, "-c", _HOLDING, kind, target.to.partition(":")[2]],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(ExportRunning, match="another program has it open"):
            await export(one, target.to)
        holder.communicate()
        assert await export(one, target.to) == 1
        assert_current(target, zoho)


@pytest.mark.parametrize("kind", ["jsonl", "sqlite", "duckdb", "postgresql"])
def test_a_second_command_into_a_place_says_so_and_stops(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest, away: Server, forked: ForkedCommand
) -> None:
    server = request.getfixturevalue("postgresql") if kind == "postgresql" else None
    there = Place(kind, tmp_path / "place", server)
    with closing(open_destination(there.to).open()):
        code, _, said = forked.run(there.arguments, away.environ)
    assert code == 2, said
    assert "another export is running into" in said
    assert "Traceback" not in said


def test_a_password_on_the_command_line_is_refused_and_not_repeated() -> None:
    with pytest.raises(ConfigurationError, match="PGPASSWORD") as refused:
        parse_destination("postgresql://zoho:s3cret@db.example/books", None, flatten=False)
    assert "s3cret" not in str(refused.value)
    assert parse_destination("postgresql://zoho@db.example/books", None, flatten=False).name


def test_a_database_is_not_merged(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="always holds the current state"):
        merge_files(str(tmp_path / "books.db"), None, flatten=False, json=False)
