"""One call exports everything, or says why not, wherever it is called from."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Generator
from concurrent.futures import Future
from functools import partial
from pathlib import Path

import pytest

from zoho_async.errors import DailyQuotaExceeded
from zoho_async.export import DestinationError
from zoho_async.export.errors import ExportIncomplete
from zoho_async.export.run import run_export
from zoho_async.limits import Limits
from zoho_async.runtime import Account, run_blocking, unattended
from zoho_async.sandbox import Fault, Sandbox

SIZES = {"books.contacts": 230, "books.invoices": 12}


@pytest.fixture
def server() -> Generator[Sandbox]:
    """A sandbox that serves from another thread."""
    made = Sandbox(sizes=SIZES, minute=1.0)
    told: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def serve() -> None:
        stop = asyncio.Event()
        async with made:
            told.set_result((asyncio.get_running_loop(), stop))
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    loop, stop = told.result()
    yield made
    loop.call_soon_threadsafe(stop.set)
    thread.join()


@pytest.fixture
def account(server: Sandbox, tmp_path: Path) -> Account:
    environ = server.environment() | {"ZOHO_ASYNC_LEDGER": str(tmp_path / "state" / "limits")}
    return partial(unattended, environ, limits=Limits(window=1.0, linger=0.5))


def rows(directory: Path, name: str) -> list[bytes]:
    return (directory / "books" / f"{name}.jsonl").read_bytes().splitlines()


def test_a_call_exports_all_and_the_next_what_changed(
    server: Sandbox, account: Account, tmp_path: Path
) -> None:
    to = tmp_path / "out"
    first = run_export(["contacts", "invoices"], to=to, account=account)
    assert (first.done, first.rows, server.calls) == (True, 242, 4)
    assert rows(to, "contacts") == server.truth("contacts")
    server.store().collection("contacts").change(3, {"contact_name": "Changed"})
    second = run_export(["contacts", "invoices"], to=to, account=account)
    assert (second.done, second.rows, server.calls) == (True, 1, 6)
    assert (server.refused, server.token_requests) == (0, 1)  # limits and token outlive a call


async def test_it_can_be_called_inside_a_running_loop(
    server: Sandbox, account: Account, tmp_path: Path
) -> None:
    summary = run_export(["invoices"], to=tmp_path / "out", account=account)
    assert summary.rows == 12


def test_the_end_of_the_days_quota_is_raised_and_the_same_call_continues(
    server: Sandbox, account: Account, tmp_path: Path
) -> None:
    to = tmp_path / "out"
    server.limits.per_day = 1
    with pytest.raises(DailyQuotaExceeded) as caught:
        run_export(["contacts"], to=to, account=account)
    assert caught.value.reset_at is not None
    for file in (tmp_path / "state").glob("limits*"):
        file.unlink()  # another day
    server.limits.per_day = 100
    assert run_export(["contacts"], to=to, account=account).rows == 230
    assert rows(to, "contacts") == server.truth("contacts")


def test_a_refused_list_fails_the_call_after_the_others_are_read(
    server: Sandbox, account: Account, tmp_path: Path
) -> None:
    refusal = Fault(kind="code", path="*/contacts", status=400, code=4, message="No.", times=None)
    server.faults.append(refusal)
    with pytest.raises(ExportIncomplete, match=r"books\.contacts: .*No\.") as caught:
        run_export(["contacts", "invoices"], to=tmp_path / "out", account=account)
    assert rows(tmp_path / "out", "invoices") == server.truth("invoices")
    assert not caught.value.summary.done


@pytest.mark.usefixtures("server")
def test_a_place_that_cannot_be_written_is_reported_before_any_call(
    server: Sandbox, account: Account, tmp_path: Path
) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(DestinationError):
        run_export(["contacts"], to=tmp_path / "out", account=account)
    assert server.calls == 0


@pytest.mark.skipif(sys.platform == "win32", reason="schedulers interrupt by a signal")
def test_an_interrupt_ends_the_work_before_it_is_raised() -> None:
    begun, undone = threading.Event(), threading.Event()

    class Timeout(BaseException):
        """What a scheduler raises in a task's thread."""

    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            undone.set()

    def interrupt() -> None:
        begun.wait()
        os.kill(os.getpid(), signal.SIGUSR1)

    def handler(*_: object) -> None:
        raise Timeout

    before = signal.signal(signal.SIGUSR1, handler)
    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        with pytest.raises(Timeout):
            run_blocking(work)
    finally:
        signal.signal(signal.SIGUSR1, before)
        thread.join()
    assert undone.is_set()
