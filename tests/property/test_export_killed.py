"""The command, killed at random moments and started again: each destination ends with all rows.

Each destination gets a first export and then a full one. Both are killed at random and repeated
until they end. The destination must then hold what two uninterrupted runs leave in another: the
same files with the same bytes, or the same rows in the same tables. JSON Lines are also compared
with the rows of the server.
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
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from tests.support.killed_exports import (
    DATABASES,
    FILES,
    FORMS,
    HERE,
    SIZES,
    Place,
    Server,
)
from tests.support.postgresql_server import PostgresqlServer

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")


class Command:
    """Runs of the command, one at a time."""

    def __init__(self, server: Server, said: Path) -> None:
        self._said = said
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.export_command"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=HERE, env=server.environ, bufsize=0,
        )  # fmt: skip

    def run(self, arguments: list[str], *, killed_after: float | None = None) -> bool:
        """One run; whether it came to its end before it was killed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        order = {"arguments": arguments, "out": str(self._said), "error": str(self._said)}
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
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
            place.assert_whole()

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


@pytest.mark.long
@pytest.mark.timeout(600)  # two minutes alone; other programs share the machine
def test_runs_killed_at_two_hundred_moments_end_with_all_rows(
    tmp_path: Path, server: Server
) -> None:
    assert killed((*FORMS, *DATABASES), 20, tmp_path, server) >= 200


@pytest.mark.long
@pytest.mark.timeout(300)
def test_single_files_stay_whole_at_fifty_moments(tmp_path: Path, server: Server) -> None:
    assert killed(tuple(FILES), 13, tmp_path, server) >= 50


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["jsonl", "sqlite"])
def test_tables_of_reports_killed_at_random_moments_end_with_all_rows(
    kind: str, tmp_path: Path, server: Server
) -> None:
    command = Command(server, tmp_path / "said.log")
    chance = random.Random(kind)
    year = ("--from", "2025-01-01", "--to", "2025-12-31", "--by", "month")

    def arguments(place: Place) -> list[str]:
        return ["report", "profit-and-loss", *year, "--table", place.to, *place.arguments[-2:]]

    for name in ("first", "whole"):  # the server makes its books for the first one
        whole = Place(kind, tmp_path / name, None)
        began = time.monotonic()
        assert command.run(arguments(whole))
    seconds = time.monotonic() - began
    kills = number = 0
    while kills < 10:
        number += 1
        place = Place(kind, tmp_path / f"place{number}", None)
        for more in ([], ["--full"]):
            run = [*arguments(place), *more]
            while not command.run(
                run, killed_after=chance.uniform(0, seconds) if kills < 10 else None
            ):
                kills += 1
        assert rows_of(place) == rows_of(whole)
    command.close()


def rows_of(place: Place) -> dict[str, list[str]]:
    """The rows of each file or table in one order. Periods are written as their replies arrive."""
    return {
        name: sorted(rows.decode().splitlines()) if isinstance(rows, bytes) else rows
        for name, rows in place.held().items()
    }
