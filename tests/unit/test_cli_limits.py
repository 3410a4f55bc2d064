"""``zoho-async limits``: what the shared ledger knows, without a call."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from tests.support.redis_server import RedisServer
from tests.support.snapshots import idle_snapshot
from zoho_async.cli.app import run
from zoho_async.cli.limits import gauges
from zoho_async.clock import SYSTEM_CLOCK
from zoho_async.limits import Limits, Quota, RedisLedger, Refusal, SqliteLedger
from zoho_async.limits.usage import Denial, Ending

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
    assert "admitted" not in seen  # figures of this process only


def limits_command(monkeypatch: pytest.MonkeyPatch, *arguments: str, **environ: str) -> int:
    """Run in this process; the exit code."""
    monkeypatch.setattr(os, "environ", {**ENVIRON, **environ})
    monkeypatch.setattr(sys, "argv", ["zoho-async", "limits", *arguments])
    return run()


def test_it_shows_the_ledger_that_machines_share_on_redis(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with RedisServer() as server:

        async def fill() -> None:
            kept = RedisLedger(server.url)
            place = await kept.take(KEY, ACCOUNT, "bulk", Limits(), SYSTEM_CLOCK)
            assert not isinstance(place, Denial)
            ending = Ending("replied", 0.1, Quota(1000, 402, 3600.0), None)
            await kept.settle(KEY, ACCOUNT, place, ending, Limits(), SYSTEM_CLOCK)
            await kept.close()

        asyncio.run(fill())
        elsewhere = str(tmp_path / "another.sqlite")
        told: list[dict[str, object]] = []
        for arguments, environ in (
            (("--redis", server.url), {}),
            ((), {"ZOHO_REDIS_URL": server.url}),
            (("--ledger", elsewhere), {"ZOHO_REDIS_URL": server.url}),  # an option wins
        ):
            code = limits_command(monkeypatch, "--json", *arguments, **environ)
            assert code == 0
            told.append(json.loads(capsys.readouterr().out))
        assert [one["minute_used"] for one in told] == [1, 1, 0]
        assert [one["day_remaining"] for one in told] == [402, 402, None]


def test_init_marks_a_new_redis_server_so_that_nothing_waits(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with RedisServer(forgetful=True) as server:
        for arguments, environ, starts in (
            (("--json", "--redis", server.url), {}, True),
            (("init", server.url), {}, None),
            (("--json", "--redis", server.url), {}, False),
            (("init",), {"ZOHO_REDIS_URL": server.url}, None),
        ):
            assert limits_command(monkeypatch, *arguments, **environ) == 0
            out = capsys.readouterr().out
            if starts is None:
                assert out == "the ledger is initialized\n"
            else:
                assert (json.loads(out)["starts_in"] > 100) is starts
        assert limits_command(monkeypatch, "init") == 2
        assert "ZOHO_REDIS_URL" in capsys.readouterr().err
        assert limits_command(monkeypatch, "init", "redis://:hunter2@host") == 2
        assert "hunter2" not in capsys.readouterr().err


def test_a_new_redis_server_counts_down(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with RedisServer(forgetful=True) as server:
        assert limits_command(monkeypatch, "--redis", server.url) == 0
        assert "may not know all calls" in capsys.readouterr().out


def test_the_password_of_a_redis_url_is_never_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    unreachable = "127.0.0.1:1"
    for arguments, environ, word in (
        (("--redis", f"redis://:hunter2@{unreachable}"), {}, "ZOHO_REDIS_URL"),
        (("--redis", f"redis://{unreachable}?password=hunter2"), {}, "ZOHO_REDIS_URL"),
        ((), {"ZOHO_REDIS_URL": f"redis://:hunter2@{unreachable}"}, "Redis cannot be reached"),
        ((), {"ZOHO_REDIS_URL": "redis://:hunter2@host:port"}, "is not valid"),
        ((), {"ZOHO_REDIS_URL": "http://:hunter2@host"}, "redis://"),
        (("--redis", "redis://h", "--ledger", str(tmp_path / "l")), {}, "--ledger"),
    ):
        code = limits_command(monkeypatch, *arguments, **environ)
        out, err = capsys.readouterr()
        assert (code, out) == (1 if word == "Redis cannot be reached" else 2, "")
        assert word in err
        assert len(err.splitlines()) == 1
        assert "hunter2" not in err


def test_a_plan_names_the_calls_of_a_day_and_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = str(tmp_path / "limits.sqlite")
    arguments = ("--json", "--ledger", file, "--plan", "free", "--limit", "80", "--burst", "5")
    assert limits_command(monkeypatch, *arguments) == 0
    seen = json.loads(capsys.readouterr().out)
    assert (seen["limit"], seen["cap"], seen["day_limit"]) == (80, 5, 1000)
    assert limits_command(monkeypatch, "--ledger", file, "--plan", "gold") == 2
    assert "professional" in capsys.readouterr().err


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
    _, err = watching.communicate(timeout=100)
    assert (watching.returncode, err) == (0, "")


def test_a_day_that_nobody_told_of_is_said_to_be_unknown() -> None:
    seen = msgspec.structs.replace(
        idle_snapshot(day_limit=None), minute_used=90, next_place_in=2.5, day_used=1234
    )
    minute, _, day = gauges(seen)
    assert "90 of 90" in minute
    assert "next call in 3 s" in minute
    assert "1,234 in the last 24 hours" in day
