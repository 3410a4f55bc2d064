"""The command that asks for details, children and documents, in its own process, and its ends."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

NAMES = ("invoices", "items", "invoices.comments", "contacts.contact_persons")
SIZES = ("books.contacts=25", "books.items=210", "books.invoices=25")


@asynccontextmanager
async def serving(minute: float, *options: str) -> AsyncGenerator[dict[str, str]]:
    """A sandbox in its own process; what points a client at it."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "zoho_async.sandbox", "--minute", str(minute), "--tokens", "1000"),
        *(f"--size={one}" for one in SIZES),
        *("--latency", "0:0.05", *options),
        stdout=PIPE,
    )
    assert process.stdout is not None
    try:
        yield json.loads(await process.stdout.readline())["environment"]
    finally:
        process.terminate()
        await process.communicate()


async def started(
    home: Path, environ: dict[str, str], minute: float, to: Path, *options: str
) -> Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "zoho_async.cli", "export", *NAMES, "--details", "--files"),
        *("--to", str(to), "--minute", str(minute), "--burst", "40", *options),
        env={**os.environ, **environ, "XDG_STATE_HOME": str(home / "state")},
        stdout=PIPE if "--json" in options else DEVNULL,
        stderr=PIPE,
    )


def held(directory: Path) -> dict[str, bytes]:
    """Every file that an export left, but for its state and drafts that a kill left."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and ".zoho-export" not in path.parts and not path.name.startswith(".")
    }


async def kill_until_done(home: Path, seed: int, kills: int, minute: float) -> None:
    chance = random.Random(seed)
    async with serving(minute) as environ:
        process = await started(home, environ, minute, home / "whole")
        _, err = await process.communicate()
        assert process.returncode == 0, err.decode()
        whole = held(home / "whole")
        assert sum(name.endswith(".pdf") for name in whole) == 25
        left = kills
        for attempt in range(kills):
            to = home / f"killed{attempt}"
            ended = False
            while not ended:
                process = await started(home, environ, minute, to)
                assert process.stderr is not None
                if left > 0:
                    words = chance.choice([b"plan:", b"plan:", b"details of", b"children of"])
                    async for line in process.stderr:
                        if words in line:
                            break
                    try:
                        await asyncio.wait_for(process.wait(), chance.uniform(0, minute))
                    except TimeoutError:
                        with suppress(ProcessLookupError):  # it may end at this very moment
                            process.kill()
                            left -= 1
                _, err = await process.communicate()
                ended = process.returncode == 0
                assert ended or process.returncode == -9, err.decode()
            assert held(to) == whole
            if left <= 0:
                return


@pytest.mark.long
@pytest.mark.parametrize("seed", [1, 2])
async def test_killed_many_times_while_it_reads_single_records_it_ends_with_the_same_files(
    tmp_path: Path, seed: int
) -> None:
    await kill_until_done(tmp_path, seed, 8, 0.8)


async def test_a_spent_budget_has_an_exit_code_and_a_way_to_go_on(tmp_path: Path) -> None:
    async with serving(0.6) as environ:
        process = await started(
            tmp_path, environ, 0.6, tmp_path / "out", "--json", "--max-calls=30"
        )
        out, err = await process.communicate()
        told = json.loads(out)
        assert (process.returncode, told["status"], told["calls"]) == (3, "quota", 30), err
        assert "the budget of 30 calls is spent" in err.decode()
        assert "--max-calls=30" in told["continue"]
        assert "(50 of them for single records)" in err.decode()
        process = await started(tmp_path, environ, 0.6, tmp_path / "out", "--json")
        told = json.loads((await process.communicate())[0])
        assert (process.returncode, told["status"]) == (0, "done")
        assert (told["files"] > 0, told["records"] > 0) == (True, True)


async def test_a_command_that_waits_for_the_next_day_says_so_and_can_be_interrupted(
    tmp_path: Path,
) -> None:
    async with serving(0.6, "--per-day", "40") as environ:
        process = await started(tmp_path, environ, 0.6, tmp_path / "out", "--until-done")
        assert process.stderr is not None
        said = b""
        async for line in process.stderr:
            said += line
            if b"continuing in" in line:
                break
        assert b"the export will wait for the day's reset" in said
        process.send_signal(signal.SIGINT)
        _, err = await asyncio.wait_for(process.communicate(), 100)
        assert (process.returncode, b"Traceback" in err) == (130, False)
        assert b"continue with: " in err
