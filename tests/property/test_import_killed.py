"""An import that is killed at random moments under faults: no row twice, and none missing.

The command runs in real processes against a sandbox in another one. The judge counts the records at
the server over HTTP, and shares no code with the import. Each row has another name, because Zoho
refuses a contact whose name exists. `tests/unit/test_import_journal.py` has rows of equal content.
"""

from __future__ import annotations

import json
import os
import random
import select
import signal
import sqlite3
import subprocess
import sys
import urllib.request
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parents[2]
MINUTE = 0.25
SETTLE = 3.0
#: The command's workers: the most writes in flight.
WORKERS = 8
#: After and before the effect, and answers without a word of Zoho's.
FAULTS = [
    {"kind": "drop", "probability": 0.02},
    {"kind": "drop_undone", "probability": 0.01},
    {"kind": "status", "status": 500, "probability": 0.01},
    {"kind": "status_done", "status": 503, "probability": 0.01},
    {"kind": "cut", "probability": 0.01},
]
DONE, QUOTA_ENDED = 0, 3

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")


class Judge:
    """A sandbox in another process, and what its list holds."""

    def __init__(self, per_day: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "zoho_async.sandbox", "--minute", str(MINUTE),
             "--size=books.contacts=0", "--tokens", "1000000", "--per-day", str(per_day),
             "--in-flight", "100"],
            stdout=subprocess.PIPE, cwd=HERE,
        )  # fmt: skip
        assert self._process.stdout is not None
        said = json.loads(self._process.stdout.readline())
        self._url = said["url"]
        self.environ: dict[str, str] = said["environment"]

    def names(self) -> Counter[str]:
        with urllib.request.urlopen(f"{self._url}/__sandbox__/truth/books.contacts") as reply:
            return Counter(json.loads(row)["company_name"] for row in reply.read().splitlines())

    def add(self, *faults: dict[str, Any]) -> None:
        rules = [
            {"method": "POST", "path": "/books/v3/contacts", "times": None, **each}
            for each in faults
        ]
        request = urllib.request.Request(
            f"{self._url}/__sandbox__/faults", json.dumps(rules).encode(), method="POST"
        )
        urllib.request.urlopen(request).close()

    def next_day(self) -> None:
        body = json.dumps({"advance": 86_400}).encode()
        request = urllib.request.Request(f"{self._url}/__sandbox__/clock", body, method="POST")
        urllib.request.urlopen(request).close()

    def close(self) -> None:
        self._process.terminate()
        self._process.communicate()


class Importer:
    """Runs of the command, one at a time, each in a process that may be killed."""

    def __init__(self, folder: Path, rows: int, judge: Judge, *options: str) -> None:
        self._folder = folder
        self._judge = judge
        self._environ = {**os.environ, **judge.environ, "XDG_STATE_HOME": str(folder / "state")}
        self.days = 0
        self.journal = folder / "journal.sqlite"
        file = folder / "rows.csv"
        lines = [f"Row {n},Firm {n},{n % 7}" for n in range(rows)]
        file.write_text("\n".join(["Contact name,Company name,Credit limit", *lines]))
        self._arguments = [
            *("import", str(file), "--to", "books.contacts", "--journal", str(self.journal)),
            *("--settle-wait", str(SETTLE), "--minute", str(MINUTE), *options),
        ]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.export_command"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=HERE, bufsize=0,
        )  # fmt: skip

    def run(self, killed_after: float | None = None, *, sending: bool = False) -> int:
        """One run; its exit code. ``sending``: the time counts from its first write."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        # Another day has another ledger: the client's clock cannot be moved.
        ledger = str(self._folder / f"day{self.days}.sqlite")
        out, err = self._folder / "out", self._folder / "err"
        err.unlink(missing_ok=True)
        order = {
            "arguments": self._arguments,
            "environment": {**self._environ, "ZOHO_ASYNC_LEDGER": ledger},
            "out": str(out),
            "error": str(err),
        }
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        pid = int(self._process.stdout.readline().split()[1])
        if killed_after is not None:
            output = [self._process.stdout]
            while sending and not select.select(output, [], [], 0.01)[0]:
                if err.exists() and " writes" in err.read_text():  # its first line of progress
                    break
            select.select(output, [], [], killed_after)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        code = int(self._process.stdout.readline().split()[1])
        assert code in (0, 1, 3, 4, -signal.SIGKILL), (code, out.read_text(), err.read_text())
        if code == QUOTA_ENDED:
            self.days += 1
            self._judge.next_day()
        return code

    def states(self) -> Counter[str]:
        with sqlite3.connect(self.journal) as connection:
            rows = connection.execute("SELECT state FROM write").fetchall()
        connection.close()
        return Counter(state for (state,) in rows)

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


def interrupted(importer: Importer, *, kills: int, seed: int) -> int:
    """Kill ``kills`` runs at random moments; returns how many were killed before the end."""
    chance = random.Random(seed)
    killed = 0
    while killed < kills:
        sending = chance.random() < 0.9
        code = importer.run(killed_after=chance.uniform(0.0, 0.35), sending=sending)
        killed += code == -signal.SIGKILL
        if code == DONE:
            break
    return killed


def prove_with_token(folder: Path, *, rows: int, kills: int) -> dict[str, Any]:
    judge = Judge(per_day=rows * 45 // 100)
    importer = Importer(folder, rows, judge, "--token-in-notes")
    try:
        judge.add(*FAULTS)
        killed = interrupted(importer, kills=kills, seed=rows)
        for _ in range(20):
            if importer.run() == DONE:
                break
        found, states = judge.names(), importer.states()
    finally:
        importer.close()
        judge.close()
    assert states == {"written": rows}
    assert found == {f"Firm {n}": 1 for n in range(rows)}
    assert importer.days >= 2
    return {"rows": rows, "killed": killed, "days": importer.days}


def prove_without_token(folder: Path, *, rows: int, kills: int) -> dict[str, Any]:
    judge = Judge(per_day=1_000_000)
    importer = Importer(folder, rows, judge)
    try:
        killed = interrupted(importer, kills=kills, seed=rows)
        importer.run()
        found, states = judge.names(), importer.states()
    finally:
        importer.close()
        judge.close()
    assert set(found.values()) <= {1}
    assert states["planned"] == states["not_written"] == 0
    assert states["written"] <= len(found) <= rows
    assert rows - len(found) <= states["unknown"] <= killed * WORKERS
    return {"rows": rows, "killed": killed, "unknown": states["unknown"], "at_zoho": len(found)}


@pytest.mark.large
@pytest.mark.timeout(3600)
def test_two_hundred_kills_of_ten_thousand_rows_double_and_lose_nothing(tmp_path: Path) -> None:
    assert prove_with_token(tmp_path, rows=10_000, kills=200)["killed"] == 200


@pytest.mark.long
def test_kills_double_and_lose_nothing(tmp_path: Path) -> None:
    prove_with_token(tmp_path, rows=600, kills=20)


@pytest.mark.long
def test_without_a_token_only_writes_in_flight_are_unknown(tmp_path: Path) -> None:
    prove_without_token(tmp_path, rows=400, kills=12)
