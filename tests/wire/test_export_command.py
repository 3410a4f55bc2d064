"""The command as a person or a script runs it, and as its process is stopped and killed.

An interpreter takes a second of CPU time to start. Therefore only what depends on the process runs
in one; the rest runs the command in this process.
"""

from __future__ import annotations

import asyncio
import json
import random
import shlex
import signal
import subprocess
import sys
import urllib.request
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import Command
from tests.support.command import serving as in_a_thread
from zoho_async.sandbox import Sandbox, parse_lag

SIZES = {"books.contacts": 1_500, "books.items": 1_000, "books.invoices": 6_000}
ROWS = sum(SIZES.values())
#: Six calls, for what does not depend on how many there are.
FEW = {"books.contacts": 300, "books.items": 200, "books.invoices": 600}


class Server:
    """A sandbox, and commands that are pointed at it."""

    def __init__(
        self,
        sandbox: Sandbox,
        command: Command,
        minute: float,
        home: Path,
        sizes: dict[str, int],
    ) -> None:
        self.sandbox = sandbox
        self.environ = sandbox.environment()
        self.to = home / "out"
        self.minute = minute
        self.sizes = sizes
        self._command = command

    def here(self, *options: str) -> tuple[int, str, str]:
        """Run the export in this process."""
        return self._command(*self._export(), *options)

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Run any command in this process."""
        return self._command(*arguments)

    async def started(self, *options: str) -> Process:
        """Start the export in a process."""
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "error", "-m", "zoho_async.cli", *self._export(), *options),
            stdout=PIPE,
            stderr=PIPE,
        )

    async def ended(self, *options: str) -> tuple[int | None, str, str]:
        process = await self.started(*options)
        out, err = await process.communicate()
        return process.returncode, out.decode(), err.decode()

    def _export(self) -> tuple[str, ...]:
        return ("export", *self.sizes, "--to", str(self.to), "--minute", str(self.minute))

    def assert_whole(self) -> None:
        """The files hold the server's rows, byte for byte; nothing was refused."""
        for resource in self.sizes:
            truth = self.sandbox.truth(resource)
            written = (self.to / f"{resource.replace('.', '/')}.jsonl").read_bytes()
            if resource == "books.items":  # a list without a steady order
                assert sorted(written.splitlines()) == sorted(truth)
            else:
                assert written == b"".join(row + b"\n" for row in truth)
        assert self.sandbox.refused == 0
        assert self.sandbox.most_in_minute <= 90


Serving = Callable[..., AbstractContextManager[Server]]


@pytest.fixture
def serving(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Serving:
    """Makes a sandbox in another thread, with the environment of this process pointed at it."""

    @contextmanager
    def serve(*, minute: float, sizes: dict[str, int] = SIZES, **options: Any) -> Generator[Server]:
        made = Sandbox(sizes=sizes, minute=minute, **options)
        made.tokens.per_window = 100
        with in_a_thread(made):
            command = Command(made.environment(), tmp_path, monkeypatch, capsys)
            yield Server(made, command, minute, tmp_path, sizes)

    return serve


async def line_with(stream: asyncio.StreamReader | None, words: str) -> str:
    assert stream is not None
    async for line in stream:
        if words in line.decode():
            return line.decode()
    raise AssertionError(f"the command never said {words!r}")


async def test_the_command_exports_all_rows_and_says_what_it_took(serving: Serving) -> None:
    with serving(minute=1) as server:
        code, out, err = await server.ended()
        assert (code, "Traceback" in err) == (0, False)
        server.assert_whole()
        assert "plan: 8,500 rows in 44 calls" in err  # one counts debit notes
        assert "books.invoices done: 6,000 rows" in err
        assert "done: 8,500 rows" in out
        assert "44 calls made, 44 planned, 43 the least possible, 0 refused" in out
        assert out.splitlines()[-1] == "next: run the same command again to read only what changed"


def test_for_programs_stdout_holds_one_object_and_nothing_else(serving: Serving) -> None:
    with serving(minute=1, sizes=FEW) as server:
        code, out, _ = server.here("--json")
        told = json.loads(out)
        assert (code, out.count("\n"), told["status"], told["exit_code"]) == (0, 1, "done", 0)
        assert (told["rows"], told["calls"], told["least_calls"]) == (1_100, 7, 6)
        assert (told["refused"], told["error"], told["continue"]) == (0, None, None)
        assert {one["resource"]: one["rows"] for one in told["resources"]} == FEW
        server.assert_whole()


def test_later_commands_bring_changes_and_a_merge_makes_one_file_of_them(
    serving: Serving,
) -> None:
    with serving(minute=1, sizes=FEW) as server:
        assert server.here()[0] == 0
        code, out, _ = server.here("--json")
        told = json.loads(out)
        assert (code, told["rows"], told["calls"]) == (0, 0, len(FEW))
        assert {one["mode"] for one in told["resources"]} == {"changed"}
        code, out, _ = server.here("--detect-deletions")
        assert (code, out.count("no changes")) == (0, len(FEW))
        code, out, _ = server.run(
            *("probe", *FEW, "--to", str(server.to), "--minute", "1", "--json")
        )
        assert (code, {one["mode"] for one in json.loads(out)["lists"]}) == (0, {"changed"})
        calls = server.sandbox.calls
        code, out, _ = server.run("merge", str(server.to))
        assert (code, "nothing to merge" in out) == (0, True)
        assert server.sandbox.calls == calls
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


@pytest.mark.parametrize(
    ("how", "code"),
    [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.long)],
)
async def test_an_interrupted_command_says_how_to_go_on_and_then_does(
    serving: Serving, how: signal.Signals, code: int
) -> None:
    with serving(minute=4) as server:
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
        following = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE)
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


@pytest.mark.long
async def test_killed_at_any_moment_and_started_again_it_ends_with_the_same_rows(
    serving: Serving,
) -> None:
    with serving(minute=6, latency=parse_lag("0:0.5")) as server:
        await killed_at_random(server, 20, random.Random(1))
        code, _, err = await server.ended()
        assert code == 0, err
        server.assert_whole()


def test_the_daily_quota_has_its_exit_code_and_the_next_run_continues(
    serving: Serving,
) -> None:
    with serving(minute=1, per_day=20) as server:
        code, out, err = server.here("--json")
        told = json.loads(out)
        assert (code, told["status"]) == (3, "quota"), err
        assert told["continue"].startswith("zoho-async export")
        assert 0 < told["rows"] < ROWS
        code, out, err = server.here()
        assert (code, "used up" in err) == (3, True)
        assert server.sandbox.calls <= 21


def test_a_wrong_credential_gets_a_sentence_that_keeps_the_secret(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(minute=1, sizes=FEW) as server:
        for wrong in ("ZOHO_CLIENT_SECRET", "ZOHO_REFRESH_TOKEN", "ZOHO_CLIENT_ID"):
            with monkeypatch.context() as environ:
                environ.setenv(wrong, "very-wrong-secret")
                code, out, err = server.here("--json")
            assert code == 2, err
            assert "Traceback" not in err
            assert "very-wrong-secret" not in err + out
            assert json.loads(out)["status"] == "refused"
        assert server.sandbox.calls == 0


def test_another_organization_into_the_same_directory_is_refused(serving: Serving) -> None:
    with serving(minute=1, sizes=FEW) as server:
        server.here()
        before = {path: path.read_bytes() for path in server.to.rglob("*.jsonl")}
        code, out, err = server.here("--organization", "20345678")
        assert (code, out) == (2, "")
        assert "organization 10234695" in err
        assert "choose another place" in err
        assert {path: path.read_bytes() for path in server.to.rglob("*.jsonl")} == before


async def test_a_second_command_into_the_same_directory_says_so_and_stops(serving: Serving) -> None:
    with serving(minute=1, sizes=FEW) as server:
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
