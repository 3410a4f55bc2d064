"""The command as a person or a script runs it: its own process, a sandbox in another."""

from __future__ import annotations

import asyncio
import json
import os
import random
import shlex
import signal
import subprocess
import sys
import urllib.request
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import Command

SIZES = {"books.contacts": 1_500, "books.items": 1_000, "books.invoices": 6_000}
ROWS = sum(SIZES.values())
#: Six calls, for what does not depend on how many there are.
FEW = {"books.contacts": 300, "books.items": 200, "books.invoices": 600}


class Server:
    """A sandbox in its own process, and commands that are pointed at it."""

    def __init__(
        self, environ: dict[str, str], minute: float, home: Path, sizes: dict[str, int]
    ) -> None:
        self.sizes = sizes
        self.url = environ["ZOHO_BASE_URL"]
        self.environ = environ | {"XDG_STATE_HOME": str(home / "state")}
        self.to = home / "out"
        self.minute = minute

    def asked(self, path: str) -> bytes:
        with urllib.request.urlopen(f"{self.url}/__sandbox__/{path}") as reply:
            body: bytes = reply.read()
        return body

    def state(self) -> dict[str, Any]:
        counts: dict[str, Any] = json.loads(self.asked("state"))
        return counts

    async def started(self, *options: str, **environ: str) -> Process:
        minute = ("--minute", str(self.minute))
        return await self.start(
            "export", *self.sizes, "--to", str(self.to), *minute, *options, **environ
        )

    async def start(self, *arguments: str, **environ: str) -> Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "error", "-m", "zoho_async.cli", *arguments),
            env={**os.environ, **self.environ, **environ},
            stdout=PIPE,
            stderr=PIPE,
        )

    async def ended(self, *options: str, **environ: str) -> tuple[int | None, str, str]:
        return await self.result_of(await self.started(*options, **environ))

    async def result_of(self, process: Process) -> tuple[int | None, str, str]:
        out, err = await process.communicate()
        return process.returncode, out.decode(), err.decode()

    def assert_whole(self) -> None:
        """The files hold the server's rows, byte for byte; nothing was refused."""
        for resource in self.sizes:
            truth = self.asked(f"truth/{resource}")
            written = (self.to / f"{resource.replace('.', '/')}.jsonl").read_bytes()
            if resource == "books.items":  # a list without a steady order
                assert sorted(written.splitlines()) == sorted(truth.splitlines())
            else:
                assert written == truth
        state = self.state()
        assert state["refused"] == 0
        assert state["most_in_minute"] <= 90


@asynccontextmanager
async def serving(
    home: Path, *options: str, minute: float, sizes: dict[str, int] = SIZES
) -> AsyncGenerator[Server]:
    rows = [f"--size={resource}={count}" for resource, count in sizes.items()]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "zoho_async.sandbox", "--minute", str(minute), "--tokens", "100"),
        *(*rows, *options),
        stdout=PIPE,
    )
    assert process.stdout is not None
    try:
        said = json.loads(await process.stdout.readline())
        yield Server(said["environment"], minute, home, sizes)
    finally:
        process.terminate()
        await process.communicate()


async def line_with(stream: asyncio.StreamReader | None, words: str) -> str:
    assert stream is not None
    async for line in stream:
        if words in line.decode():
            return line.decode()
    raise AssertionError(f"the command never said {words!r}")


async def test_the_command_exports_all_rows_and_says_what_it_took(tmp_path: Path) -> None:
    async with serving(tmp_path, minute=1) as server:
        code, out, err = await server.ended()
        assert (code, "Traceback" in err) == (0, False)
        server.assert_whole()
        assert "plan: 8,500 rows in 44 calls" in err  # one counts debit notes
        assert "books.invoices done: 6,000 rows" in err
        assert "done: 8,500 rows" in out
        assert "44 calls made, 44 planned, 43 the least possible, 0 refused" in out
        assert out.splitlines()[-1] == "next: run the same command again to read only what changed"


async def test_for_programs_stdout_holds_one_object_and_nothing_else(tmp_path: Path) -> None:
    async with serving(tmp_path, minute=1, sizes=FEW) as server:
        code, out, _ = await server.ended("--json")
        told = json.loads(out)
        assert (code, out.count("\n"), told["status"], told["exit_code"]) == (0, 1, "done", 0)
        assert (told["rows"], told["calls"], told["least_calls"]) == (1_100, 7, 6)
        assert (told["refused"], told["error"], told["continue"]) == (0, None, None)
        assert {one["resource"]: one["rows"] for one in told["resources"]} == FEW
        server.assert_whole()


async def test_later_commands_bring_changes_and_a_merge_makes_one_file_of_them(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path, minute=1, sizes=FEW) as server:
        assert (await server.ended())[0] == 0
        code, out, _ = await server.ended("--json")
        told = json.loads(out)
        assert (code, told["rows"], told["calls"]) == (0, 0, len(FEW))
        assert {one["mode"] for one in told["resources"]} == {"changed"}
        code, out, _ = await server.ended("--detect-deletions")
        assert (code, out.count("no changes")) == (0, len(FEW))
        code, out, _ = await server.result_of(
            await server.start(*("probe", *FEW, "--to", str(server.to), "--minute", "1", "--json"))
        )
        assert (code, {one["mode"] for one in json.loads(out)["lists"]}) == (0, {"changed"})
        calls = server.state()["calls"]
        code, out, _ = await server.result_of(await server.start("merge", str(server.to)))
        assert (code, "nothing to merge" in out) == (0, True)
        assert server.state()["calls"] == calls
        server.assert_whole()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--since", "yesterday"), "--since takes a date"),
        (("--detect-deletions", "--full"), "give one of them"),
        (("--max-deletion-checks", "3"), "needs --detect-deletions"),
    ],
)
def test_wrong_usage_is_reported_in_one_sentence(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    words: str,
) -> None:
    command = Command({"ZOHO_BASE_URL": "http://127.0.0.1:9"}, tmp_path, monkeypatch, capsys)
    code, out, err = command("export", *SIZES, "--to", str(tmp_path / "out"), *options)
    assert (code, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(("how", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
async def test_an_interrupted_command_says_how_to_go_on_and_then_does(
    tmp_path: Path, how: signal.Signals, code: int
) -> None:
    async with serving(tmp_path, minute=4) as server:
        process = await server.started("--restart")
        await line_with(process.stderr, " done: ")
        process.send_signal(how)
        out, err = (text.decode() for text in await process.communicate())
        assert process.returncode == code
        assert "Traceback" not in err
        assert "stopped: " in out
        advice = err[err.index("continue with: ") :].removeprefix("continue with: ")
        arguments = shlex.split(advice)
        assert arguments[:2] == ["zoho-async", "export"]
        assert "--restart" not in arguments
        command = [sys.executable, "-m", "zoho_async.cli", *arguments[1:], "--json"]
        following = await asyncio.create_subprocess_exec(
            *command, env={**os.environ, **server.environ}, stdout=PIPE, stderr=PIPE
        )
        told = json.loads((await following.communicate())[0])
        assert told["rows"] == ROWS
        assert told["rows_new"] < ROWS
        server.assert_whole()


async def killed_at_random(server: Server, kills: int, chance: random.Random) -> None:
    """Kill the command ``kills`` times, each time a random while after its first word."""
    for _ in range(kills):
        process = await server.started()
        if chance.random() < 0.8:
            await line_with(process.stderr, "plan:")
        try:
            await asyncio.wait_for(process.wait(), chance.uniform(0, server.minute / 2))
        except TimeoutError:
            with suppress(ProcessLookupError):  # it may end at this very moment
                process.kill()
        await process.communicate()


async def test_killed_at_any_moment_and_started_again_it_ends_with_the_same_rows(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path, "--latency", "0:0.1", minute=2) as server:
        await killed_at_random(server, 3, random.Random(7))
        code, _, err = await server.ended()
        assert code == 0, err
        server.assert_whole()


@pytest.mark.long
@pytest.mark.parametrize("seed", [1, 2])
async def test_killed_twenty_times_it_ends_with_the_same_rows(tmp_path: Path, seed: int) -> None:
    async with serving(tmp_path, "--latency", "0:0.5", minute=6) as server:
        await killed_at_random(server, 20, random.Random(seed))
        code, _, err = await server.ended()
        assert code == 0, err
        server.assert_whole()


async def test_the_daily_quota_has_its_exit_code_and_the_next_run_continues(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path, "--per-day", "20", minute=1) as server:
        code, out, err = await server.ended("--json")
        told = json.loads(out)
        assert (code, told["status"]) == (3, "quota"), err
        assert told["continue"].startswith("zoho-async export")
        assert 0 < told["rows"] < ROWS
        code, out, err = await server.ended()
        assert (code, "used up" in err) == (3, True)
        assert server.state()["calls"] <= 21


async def test_a_wrong_credential_gets_a_sentence_that_keeps_the_secret(tmp_path: Path) -> None:
    async with serving(tmp_path, minute=1, sizes=FEW) as server:
        for wrong in ("ZOHO_CLIENT_SECRET", "ZOHO_REFRESH_TOKEN", "ZOHO_CLIENT_ID"):
            code, out, err = await server.ended("--json", **{wrong: "very-wrong-secret"})
            assert code == 2, err
            assert "Traceback" not in err
            assert "very-wrong-secret" not in err + out
            assert json.loads(out)["status"] == "refused"
        assert server.state()["calls"] == 0


async def test_another_organization_into_the_same_directory_is_refused(tmp_path: Path) -> None:
    async with serving(tmp_path, minute=1, sizes=FEW) as server:
        await server.ended()
        before = {path: path.read_bytes() for path in server.to.rglob("*.jsonl")}
        code, out, err = await server.ended("--organization", "20345678")
        assert (code, out) == (2, "")
        assert "organization 10234695" in err
        assert "choose another place" in err
        assert {path: path.read_bytes() for path in server.to.rglob("*.jsonl")} == before


async def test_a_second_command_into_the_same_directory_says_so_and_stops(tmp_path: Path) -> None:
    async with serving(tmp_path, minute=1, sizes=FEW) as server:
        first = await server.started()
        await line_with(first.stderr, "plan:")
        first.send_signal(signal.SIGSTOP)  # so that it is still at it, however slow the second
        code, _, err = await server.ended()
        first.send_signal(signal.SIGCONT)
        assert code == 2
        assert "another export is running" in err
        await first.communicate()
        assert first.returncode == 0
        server.assert_whole()


def test_the_sandbox_command_prints_an_environment_to_paste() -> None:
    command = (sys.executable, "-m", "zoho_async.cli", "sandbox", "--port", "0")
    process = subprocess.Popen(
        [*command, "--size", "invoices=3"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        printed = [process.stdout.readline().split("=", 1) for _ in range(7)]
        environ = {name.removeprefix("export "): shlex.split(value)[0] for name, value in printed}
        with urllib.request.urlopen(f"{environ['ZOHO_BASE_URL']}/__sandbox__/state") as reply:
            assert json.loads(reply.read())["calls"] == 0
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
    assert process.returncode == 0
    assert "Traceback" not in err
