"""A receiver of webhooks that can be killed, and writes each change that it handles to a file.

Run it as a program: ``python webhook_receiver.py FOLDER PORT SINCE WINDOW``.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec
from aiohttp import web

from zoho_async import Limits, Session
from zoho_async.books.invoices import Invoice
from zoho_async.limits import SqliteLedger
from zoho_async.webhooks import Change, Receiver, aiohttp_handler, handle_changes, open_queue

SECRET: Final = "Secret1234567890"


class Handled(msgspec.Struct):
    """One call of the handler. ``at`` is in seconds of the computer's monotonic clock."""

    record_id: str
    source: str
    at: float
    is_deleted: bool
    notes: str = ""
    reference: str = ""
    modified: float = 0.0


async def handle(folder: Path, change: Change) -> None:
    """Write ``change`` with one call, so that a kill leaves a whole line or none."""
    record = change.record
    done = Handled(change.record_id, change.source, time.monotonic(), change.is_deleted)
    if isinstance(record, Invoice):
        assert record.last_modified_time is not None
        done.notes, done.reference = record.notes or "", record.reference_number or ""
        done.modified = record.last_modified_time.timestamp()
    with (folder / "handled.jsonl").open("ab", buffering=0) as file:
        file.write(msgspec.json.encode(done) + b"\n")


def handled(folder: Path) -> list[Handled]:
    """What was handled so far, in order."""
    lines = (folder / "handled.jsonl").read_bytes().splitlines()
    return [msgspec.json.decode(line, type=Handled) for line in lines]


@asynccontextmanager
async def receiving(
    folder: Path, port: int, since: float, window: float, environ: Mapping[str, str]
) -> AsyncGenerator[int]:
    """Receive and handle webhooks until the end of the block. Gives the port."""
    ledger = SqliteLedger(folder / "limits.sqlite")
    async with (
        open_queue(folder / "queue.sqlite", since=since) as queue,
        Session.from_env(environ, limits=Limits(window=window), ledger=ledger) as zoho,
    ):

        async def state(_: web.Request) -> web.Response:
            failed = [each.problem for each in await queue.failed()]
            return web.json_response({"pending": queue.pending, "failed": failed})

        receiver = Receiver(queue, "books", secret=SECRET, query_names=["event_type"])
        app = web.Application()
        app.router.add_route("*", "/hooks", aiohttp_handler(receiver))
        app.router.add_get("/state", state)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port, reuse_address=True).start()
        work = asyncio.create_task(
            handle_changes(queue, zoho, lambda change: handle(folder, change))
        )
        try:
            yield int(runner.addresses[0][1])
        finally:
            work.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await work
            await runner.cleanup()


def environment(folder: Path, sandbox: Mapping[str, str]) -> dict[str, str]:
    """The variables of the program: those of the sandbox, and a place for its state."""
    return {**os.environ, **sandbox, "XDG_STATE_HOME": str(folder)}


async def _main(arguments: list[str]) -> None:
    folder, port, since, window = arguments
    async with receiving(Path(folder), int(port), float(since), float(window), os.environ):
        print("ready", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_main(sys.argv[1:]))
