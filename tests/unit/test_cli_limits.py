"""``zoho-async limits``: what the shared ledger knows, without a call."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from zoho_async.cli.app import run
from zoho_async.cli.limits import gauges
from zoho_async.clock import SYSTEM_CLOCK
from zoho_async.limits import Limits, Quota, Refusal, Snapshot, SqliteLedger
from zoho_async.limits.state import Denial, Ending

ENVIRON = {
    "ZOHO_CLIENT_ID": "1000.CLIENT",
    "ZOHO_CLIENT_SECRET": "the-secret",
    "ZOHO_REFRESH_TOKEN": "1000.the-refresh-token",
    "ZOHO_ORGANIZATION_ID": "10234695",
    "ZOHO_REGION": "eu",
}
KEY, ACCOUNT = "www.zohoapis.eu/10234695", "www.zohoapis.eu/@1000.CLIENT"


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """A file in which another process noted three calls and a block."""
    path = tmp_path / "limits.sqlite"

    async def fill() -> None:
        kept = SqliteLedger(path)
        for left, refusal in ((402, None), (401, None), (400, Refusal(44, 600.0))):
            place = await kept.take(KEY, ACCOUNT, "bulk", Limits(), SYSTEM_CLOCK)
            assert not isinstance(place, Denial)
            ending = Ending("replied", 0.1, Quota(1000, left, 3600.0), refusal)
            await kept.settle(KEY, ACCOUNT, place, ending, Limits(), SYSTEM_CLOCK)
        await kept.close()

    asyncio.run(fill())
    return path


def test_it_shows_what_other_programs_did(
    ledger: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "environ", {**ENVIRON, "ZOHO_ASYNC_LEDGER": str(ledger)})
    monkeypatch.setattr(sys, "argv", ["zoho-async", "limits"])
    assert run() == 0
    out = capsys.readouterr().out
    assert "organization 10234695" in out
    assert "3 of 90" in out
    assert "600 of 1,000" in out
    assert "blocked    for 10 min" in out or "blocked    for 9 min" in out
    monkeypatch.setattr(sys, "argv", ["zoho-async", "limits", "--json"])
    assert run() == 0
    seen = json.loads(capsys.readouterr().out)
    assert (seen["minute_used"], seen["day_remaining"], seen["cap"]) == (3, 400, 10)
    assert "admitted" not in seen  # nobody's but this process's


def test_watching_ends_well_when_interrupted(ledger: Path) -> None:
    watching = subprocess.Popen(
        [sys.executable, "-m", "zoho_async.cli", "limits", "--watch", "--json"],
        env={**os.environ, **ENVIRON, "ZOHO_ASYNC_LEDGER": str(ledger)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert watching.stdout is not None
    for _ in range(2):
        assert json.loads(watching.stdout.readline())["minute_used"] == 3
    watching.send_signal(signal.SIGINT)
    _, err = watching.communicate(timeout=30)
    assert (watching.returncode, err) == (0, "")


def test_a_day_that_nobody_told_of_is_said_to_be_unknown() -> None:
    seen = Snapshot(
        minute_used=90,
        limit=90,
        next_place_in=2.5,
        in_flight=0,
        cap=10,
        day_used=1234,
        day_limit=None,
        day_remaining=None,
        day_reset_in=None,
        blocked_for=0.0,
    )
    minute, _, day = gauges(seen)
    assert "90 of 90" in minute
    assert "next place in 3 s" in minute
    assert "1,234 in the last 24 hours" in day
