"""Whole exports into an object store, against the sandbox: the same rows as in a directory."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.support.export_databases import session
from tests.support.killed_exports import HERE, SIZES, Server
from tests.support.object_store import BUCKET, S3Server
from zoho_async.errors import ConfigurationError
from zoho_async.export import Export, ExportOptions, ExportRunning, Exports
from zoho_async.export.destinations.remote.store import ObjectStore
from zoho_async.sandbox import Sandbox

pq: Any = pytest.importorskip("pyarrow.parquet")
TO = f"s3://{BUCKET}/zoho"
MOMENTS = 5
LISTS = ("books.contacts", "books.invoices")


@pytest.fixture(scope="module")
def running() -> Iterator[S3Server]:
    with S3Server() as server:
        yield server


@pytest.fixture
def server(running: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    for name, value in running.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    running.empty()
    return running


def rows(content: bytes) -> list[str]:
    return sorted(map(repr, pq.read_table(BytesIO(content)).to_pylist()))


def without_times(files: dict[str, list[str]]) -> list[tuple[str, list[str]]]:
    """The files in their order, without the moments of their runs."""
    moment = re.compile(r"\d{8}T\d{6}Z|'_deleted_time': datetime[^)]*\)")
    return [
        (moment.sub("", name), [moment.sub("", row) for row in files[name]])
        for name in sorted(files)
    ]


async def test_an_export_is_that_of_a_directory_and_never_blocks_the_event_loop(
    server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each run is on an empty machine. Child tables, deletions and an organization's folder too."""
    threads: set[str] = set()
    errors = ObjectStore._errors

    def noted(self: ObjectStore) -> object:
        threads.add(threading.current_thread().name)
        return errors(self)

    monkeypatch.setattr(ObjectStore, "_errors", noted)
    options = ExportOptions(format="parquet", flatten=True, detect_deletions=True)
    zoho = Sandbox(sizes={"books.contacts": 60, "books.invoices": 120}, minute=1.0)
    async with zoho, session(zoho) as account:
        for run in ("first", "second"):
            monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / run))
            for to in (TO, str(tmp_path / "local")):
                organizations = [account.organization or ""]
                async with Exports(account, organizations, LISTS, to=to, options=options) as jobs:
                    await jobs.follow(lambda event: None)
            zoho.store().collection("invoices").remove(5)
            zoho.store().collection("invoices").change(7, {"reference_number": "CHANGED"})
    local = tmp_path / "local"
    there = {
        path.relative_to(local).as_posix(): rows(path.read_bytes())
        for path in local.rglob("*.parquet")
    }
    found = {name: rows(content) for name, content in server.files("zoho/").items()}
    assert without_times(found) == without_times(there)
    assert any(".changes/" in name for name in found)
    assert threading.main_thread().name not in threads
    assert threads


async def test_a_second_run_makes_no_call(server: S3Server, tmp_path: Path) -> None:
    zoho = Sandbox(sizes={"books.contacts": 10}, minute=1.0)
    async with zoho, session(zoho) as account, Export(account, LISTS[:1], to=TO) as first:
        second = Export(account, LISTS[:1], to=TO)
        with pytest.raises(ExportRunning):
            await second.__aenter__()
        assert second.calls == 0
        await first.wait()
        with pytest.raises(ConfigurationError, match="name a directory with --files-to"):
            Export(account, LISTS[:1], to=TO, options=ExportOptions(files=True))


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs signals")
def test_runs_killed_at_random_moments_continue_on_an_empty_machine(
    server: S3Server, tmp_path: Path
) -> None:
    """Each run has an empty disk. A person says that the killed run has ended."""
    chance, kills = random.Random(7), 0
    zoho = Server(tmp_path / "zoho")
    truth = {f"{name.replace('.', '/')}.jsonl": zoho.truth(name) for name in SIZES}
    try:
        began = time.monotonic()
        first = {"XDG_STATE_HOME": str(tmp_path / "first")}
        assert _run(zoho.environ | server.environment() | first, (), None)
        whole = time.monotonic() - began
        while kills < MOMENTS:
            server.empty()
            for options in ((), ("--full",)):
                ended = False
                while not ended:
                    machine = {"XDG_STATE_HOME": str(tmp_path / f"machine{kills}{options}")}
                    after = chance.uniform(0.3, 1.0) * whole if kills < MOMENTS else None
                    ended = _run(zoho.environ | server.environment() | machine, options, after)
                    kills += not ended
                    _release(server)
            assert server.files("zoho/") == truth
    finally:
        zoho.close()


def _run(environ: dict[str, str], options: tuple[str, ...], after: float | None) -> bool:
    """One run of the command; whether it came to its end before it was killed."""
    process = subprocess.Popen(
        [sys.executable, "-m", "zoho_async.cli", "export", *SIZES, "--to", TO, *options,
         "--minute", "0.25"],
        env=environ, cwd=HERE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        _, said = process.communicate(timeout=after)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        _, said = process.communicate()
    assert process.returncode in (0, -signal.SIGKILL), said.decode()
    return process.returncode == 0


def _release(server: S3Server) -> None:
    """Say in the newest manifest that no run holds the destination."""
    manifests = server.objects("zoho/.zoho-export/manifest/")
    if manifests:
        name = max(manifests)
        held = msgspec.json.decode(manifests[name])
        content = msgspec.json.encode(held | {"holder": ""})
        server.put(f"zoho/.zoho-export/manifest/{name}", content)
