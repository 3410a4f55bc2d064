"""A worker that calls as often as its limits allow, until it is killed, stopped or forked.

``python -m tests.judges.worker JSON`` uses the public API only. It reads commands from stdin, one a
line: ``idle`` and ``go``; ``full`` lets no file grow from now on, as a full disk does, and ``free``
ends that. The end of stdin ends it. Each error is one line on stdout.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import sys
from typing import Any

import msgspec

from zoho_async import Limits, Session, ZohoError
from zoho_async.limits import Ledger, RedisLedger, SqliteLedger


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """The job of a worker.

    It ``forks`` after so many seconds of calls, 0 for never. An ``idle`` one waits for ``go``.
    """

    environment: dict[str, str]
    limits: dict[str, Any]
    ledger: str
    callers: int = 4
    idle: bool = False
    forks: float = 0.0
    share: float | None = None
    lease: float | None = None


def open_ledger(order: Order) -> Ledger:
    if "://" not in order.ledger:
        return SqliteLedger(order.ledger)
    if order.lease is None:
        return RedisLedger(order.ledger, share=order.share)
    return RedisLedger(order.ledger, share=order.share, lease=order.lease)


async def take_part(order: Order, ledger: Ledger, lasts: float | None) -> None:
    """Call for ``lasts`` seconds, or until stdin ends."""
    go = asyncio.Event()
    if not order.idle:
        go.set()
    session = Session.from_env(order.environment, limits=Limits(**order.limits), ledger=ledger)
    async with session as zoho:
        bulk = zoho.with_options(lane="bulk", max_wait=None)

        async def call() -> None:
            while True:
                await go.wait()
                try:
                    await bulk.request("GET", "/contacts")
                except ZohoError as error:
                    print(f"{type(error).__name__}: {error}", flush=True)
                    await asyncio.sleep(0.1)

        callers = [asyncio.create_task(call()) for _ in range(order.callers)]
        listening = asyncio.create_task(listen(go) if lasts is None else asyncio.sleep(lasts))
        print("ready", flush=True)
        await asyncio.wait([listening, *callers], return_when=asyncio.FIRST_COMPLETED)
        for caller in callers:
            caller.cancel()
        ended = await asyncio.gather(*callers, return_exceptions=True)
        for one in ended:
            if not isinstance(one, asyncio.CancelledError):
                print(f"ended by {one!r}", flush=True)


async def listen(go: asyncio.Event) -> None:
    """Follow the commands on stdin to its end."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    with contextlib.closing(transport):
        while line := await reader.readline():
            match line.split():
                case [b"idle"]:
                    go.clear()
                case [b"go"]:
                    go.set()
                case [b"full"]:
                    _let_files_grow_to(0)
                case [b"free"]:
                    _let_files_grow_to(resource.RLIM_INFINITY)
            print("did", line.decode().strip(), flush=True)


def _let_files_grow_to(size: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size if size >= 0 else hard, hard))


def main() -> None:
    order = msgspec.json.decode(sys.argv[1], type=Order)
    ledger = open_ledger(order)
    if not order.forks:
        asyncio.run(take_part(order, ledger, None))
        return
    asyncio.run(take_part(order, ledger, order.forks))
    if os.fork():
        asyncio.run(take_part(order, ledger, None))
        return
    asyncio.run(take_part(order, ledger, 3600.0))


if __name__ == "__main__":
    main()
