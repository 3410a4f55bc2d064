"""``python -m zoho_async.sandbox``: the sandbox in a process of its own.

Prints one line of JSON (``url`` and the ``environment`` that points a client there), then serves
until it is interrupted or terminated.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import Sequence

from zoho_async.errors import ConfigurationError
from zoho_async.sandbox.server import Sandbox
from zoho_async.sandbox.simulation.latency import Lag, parse_lag


def main(argv: Sequence[str] | None = None) -> int:
    """Serve; returns the exit code (1 where the port is taken, 2 where an option is error)."""
    options = _parser().parse_args(argv)
    try:
        sandbox = _sandbox(options)
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return 2
    try:
        asyncio.run(_serve(sandbox))
    except OSError as error:
        print(f"cannot listen on {options.host}:{options.port}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


def _sandbox(options: argparse.Namespace) -> Sandbox:
    sandbox = Sandbox(
        seed=options.seed,
        sizes=dict(options.size),
        organization=(options.organization or ["10234695"])[0],
        organizations=options.organization,
        minute=options.minute,
        window=options.window,
        per_minute=options.per_minute,
        in_flight=options.in_flight,
        per_day=options.per_day,
        latency=options.latency,
        inbound=options.inbound,
        block=options.block,
        token_life=options.token_life,
        speed=options.speed,
        host=options.host,
        port=options.port,
        allowed_hosts=options.allowed_host,
    )
    sandbox.tokens.per_window = options.tokens
    return sandbox


async def _serve(sandbox: Sandbox) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    with contextlib.suppress(NotImplementedError):  # no signal handlers on Windows' loops
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
    async with sandbox:
        print(json.dumps({"url": sandbox.url, "environment": sandbox.environment()}), flush=True)
        await stop.wait()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m zoho_async.sandbox",
        description="A local Zoho Books. Lengths of time are in seconds.",
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on")
    add("--port", type=int, default=0, help="port to listen on; 0 takes a free one")
    add(
        "--allowed-host",
        action="append",
        default=[],
        metavar="NAME",
        help="name under which requests may reach it; may be repeated",
    )
    add("--seed", type=int, default=1, help="decides every record")
    add("--size", type=_size, action="append", default=[], metavar="RESOURCE=ROWS")
    add("--organization", action="append", default=None, metavar="ID", help="may be repeated")
    add("--minute", type=float, default=60.0, help="length of Zoho's minute")
    add("--window", choices=("rolling", "fixed"), default="rolling", help="kind of minute")
    add("--per-minute", type=int, default=100, help="calls a minute and organization")
    add("--per-day", type=int, default=10_000, help="calls a day and organization")
    add("--in-flight", type=int, default=10, help="calls at a time and organization")
    add("--block", type=float, default=900.0, help="length of a block for too many calls")
    add(
        "--latency",
        type=_lag,
        default=0.0,
        metavar="S",
        help="delay of replies: 0.3, 0.1:0.5, tail:0.3",
    )
    add("--inbound", type=_lag, default=0.0, metavar="S", help="delay of requests, likewise")
    add("--token-life", type=float, default=3600.0, help="life of an access token")
    add("--speed", type=float, default=1.0, help="Zoho's seconds in one of ours")
    add("--tokens", type=int, default=10, help="access tokens that may be asked for in 10 minutes")
    return parser


def _size(text: str) -> tuple[str, int]:
    name, _, rows = text.partition("=")
    if not rows.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not RESOURCE=ROWS")
    return name if "." in name else f"books.{name}", int(rows)


def _lag(text: str) -> Lag:
    try:
        return parse_lag(text)
    except ConfigurationError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


if __name__ == "__main__":
    sys.exit(main())
