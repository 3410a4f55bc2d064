"""The command, killed at random moments and started again: each destination ends with all rows.

The runs of a place are a first export and then a full one over what is there, each killed as often
as chance has it and repeated until it ends by itself. What is in the place then must be what two
uninterrupted runs leave in another: for files the same files with the same bytes, for databases the
same rows in the same tables. Beside it, JSON Lines are compared with what the server itself holds.
"""

from __future__ import annotations

import json
import os
import random
import select
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from tests.support import export_databases
from tests.support.export_databases import Target
from tests.support.postgresql_server import PostgresqlServer

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")

HERE = Path(__file__).parents[2]
SIZES = {"books.contacts": 150, "books.invoices": 600}
MINUTE = 0.25
FORMS = {
    "jsonl": (),
    "jsonl.gz": ("--format", "jsonl.gz"),
    "jsonl.zst": ("--format", "jsonl.zst"),
    "csv": ("--format", "csv"),
    "parquet": ("--format", "parquet"),
    "flat parquet": ("--format", "parquet", "--flatten"),
}
DATABASES = ("sqlite", "duckdb", "postgresql")
_TABLES = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'table'",
    "duckdb": "SELECT table_name AS name FROM duckdb_tables()",
    "postgresql": "SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public'",
}
_ALONE = (
    "SELECT 1 AS one FROM pg_stat_activity WHERE datname = current_database()"
    " AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
)


class Server:
    """A sandbox in its own process, and what it holds."""

    def __init__(self, folder: Path) -> None:
        sizes = [f"--size={name}={rows}" for name, rows in SIZES.items()]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "zoho_async.sandbox", "--minute", str(MINUTE), *sizes,
             "--tokens", "100000", "--per-day", "1000000", "--latency", "0:0.01"],
            stdout=subprocess.PIPE, cwd=HERE,
        )  # fmt: skip
        assert self._process.stdout is not None
        said = json.loads(self._process.stdout.readline())
        self._url = said["url"]
        self.environ = {**os.environ, **said["environment"], "XDG_STATE_HOME": str(folder)}

    def truth(self, resource: str) -> bytes:
        with urllib.request.urlopen(f"{self._url}/__sandbox__/truth/{resource}") as reply:
            rows: bytes = reply.read()
        return rows

    def close(self) -> None:
        self._process.terminate()
        self._process.communicate()


class Command:
    """Runs of the command, one at a time."""

    def __init__(self, server: Server, said: Path) -> None:
        self._said = said
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.export_command", str(said)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=HERE, env=server.environ, bufsize=0,
        )  # fmt: skip

    def run(self, arguments: list[str], *, killed_after: float | None = None) -> bool:
        """One run; whether it came to its end before it was killed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(arguments).encode() + b"\n")
        pid = int(self._process.stdout.readline().split()[1])
        if killed_after is not None:
            select.select([self._process.stdout], [], [], killed_after)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        code = int(self._process.stdout.readline().split()[1])
        assert code in (0, -signal.SIGKILL), self._said.read_text()
        return code == 0

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


class Place:
    """Where the runs go, and what is there."""

    def __init__(self, kind: str, folder: Path, postgresql: PostgresqlServer | None) -> None:
        self.kind = kind
        self.folder = folder
        self.target: Target | None = None
        folder.mkdir(parents=True)
        if kind == "sqlite":
            self.target = export_databases.sqlite_target(folder)
        elif kind == "duckdb":
            self.target = export_databases.duckdb_target(folder)
        elif kind == "postgresql":
            assert postgresql is not None
            address = postgresql.create(f"killed_{'_'.join(folder.parts[-2:])}")
            self.target = export_databases.postgresql_target(address)
        self.to = str(folder) if self.target is None else self.target.to
        self.arguments = ["export", *SIZES, "--to", self.to, "--minute", str(MINUTE)]
        self.arguments += FORMS.get(kind, ())

    def held(self) -> dict[str, Any]:
        """Files and their bytes, or tables and their rows in an order of their own."""
        if self.target is None:
            files = [path for path in (self.folder / "books").rglob("*") if path.is_file()]
            return {str(path.relative_to(self.folder)): path.read_bytes() for path in files}
        names = [one["name"] for one in self.target.ask(_TABLES[self.kind])]
        assert "_zoho_record" in names
        return {
            name: sorted(map(repr, self.target.ask(f'SELECT * FROM "{name}"')))
            for name in names
            if not name.startswith("_zoho_")
        }

    def until_alone(self) -> None:
        """PostgreSQL ends the session of a killed client when it notices."""
        patience = time.monotonic() + 30
        while self.kind == "postgresql" and self.target and self.target.ask(_ALONE):
            assert time.monotonic() < patience, "the session of the killed client stays"


class Proof:
    """Kills runs into places of one kind."""

    def __init__(self, kind: str, folder: Path, command: Command) -> None:
        self._kind = kind
        self._folder = folder
        self._chance = random.Random(kind)
        self._postgresql: PostgresqlServer | None = None
        self._command = command
        self.kills = 0

    def prove(self, moments: int, truth: dict[str, bytes]) -> int:
        with self._servers():
            whole, seconds = self._uninterrupted()
            if self._kind == "jsonl":
                assert whole == truth
            number = 0
            while self.kills < moments:
                number += 1
                place = Place(self._kind, self._folder / f"place{number}", self._postgresql)
                self._broken(place, place.arguments, seconds[0], moments)
                self._broken(place, [*place.arguments, "--full"], seconds[1], moments)
                assert place.held() == whole
        return self.kills

    def _uninterrupted(self) -> tuple[dict[str, Any], list[float]]:
        place = Place(self._kind, self._folder / "whole", self._postgresql)
        seconds = []
        for arguments in (place.arguments, [*place.arguments, "--full"]):
            began = time.monotonic()
            assert self._command.run(arguments)
            seconds.append(time.monotonic() - began)
        return place.held(), seconds

    def _broken(self, place: Place, arguments: list[str], seconds: float, moments: int) -> None:
        ended = False
        while not ended:
            kill = self.kills < moments
            after = self._chance.uniform(0, seconds) if kill else None
            ended = self._command.run(arguments, killed_after=after)
            self.kills += not ended
            place.until_alone()

    @contextmanager
    def _servers(self) -> Iterator[None]:
        if self._kind != "postgresql":
            yield
            return
        with PostgresqlServer() as self._postgresql:
            yield


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    running = Server(tmp_path / "state")
    yield running
    running.close()


def killed(kinds: tuple[str, ...], moments: int, folder: Path, server: Server) -> int:
    truth = {f"{name.replace('.', '/')}.jsonl": server.truth(name) for name in SIZES}

    free: SimpleQueue[Command] = SimpleQueue()
    for number in range(2):  # runs of different kinds go side by side
        free.put(Command(server, folder / f"{number}.log"))

    def prove(kind: str) -> int:
        command = free.get()
        try:
            return Proof(kind, folder / kind, command).prove(moments, truth)
        finally:
            free.put(command)

    with ThreadPoolExecutor(2) as pool:
        kills = sum(pool.map(prove, kinds))
    for _ in range(2):
        free.get().close()
    return kills


@pytest.mark.timeout(300)  # ten seconds alone; other programs share the machine
def test_killed_runs_into_any_destination_end_with_all_rows(tmp_path: Path, server: Server) -> None:
    assert killed((*FORMS, *DATABASES), 2, tmp_path, server) >= 18


@pytest.mark.long
@pytest.mark.timeout(300)  # less than a minute alone; other programs share the machine
def test_runs_killed_at_two_hundred_moments_end_with_all_rows(
    tmp_path: Path, server: Server
) -> None:
    assert killed((*FORMS, *DATABASES), 25, tmp_path, server) >= 200
