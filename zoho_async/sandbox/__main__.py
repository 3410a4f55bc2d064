"""``python -m zoho_async.sandbox``: run the sandbox in a separate process.

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
from zoho_async.operation import PRODUCTS
from zoho_async.sandbox.deliveries.settings import WebhookRules
from zoho_async.sandbox.server import Sandbox
from zoho_async.sandbox.simulation.latency import Lag, parse_lag


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until stopped. Returns 1 if the port is taken and 2 for a wrong option."""
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
        product_days=dict(options.product_day),
        latency=options.latency,
        inbound=options.inbound,
        block=options.block,
        token_life=options.token_life,
        speed=options.speed,
        host=options.host,
        port=options.port,
        allowed_hosts=options.allowed_host,
        webhooks=WebhookRules(hosts=tuple(options.webhook_host)),
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
        description="Run a local Zoho server. Durations are in seconds.",
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on")
    add("--port", type=int, default=0, help="port to listen on; 0 (default) picks a free port")
    add(
        "--allowed-host",
        action="append",
        default=[],
        metavar="NAME",
        help="host name that requests may use; may be repeated",
    )
    add(
        "--webhook-host",
        action="append",
        default=[],
        metavar="NAME",
        help="host that webhooks may be sent to, in addition to loopback; may be repeated",
    )
    add("--seed", type=int, default=1, help="seed of the sample data")
    add(
        "--size",
        type=_size,
        action="append",
        default=[],
        metavar="RESOURCE=ROWS",
        help="number of sample records of a resource; may be repeated",
    )
    add(
        "--organization",
        action="append",
        default=None,
        metavar="ID",
        help="organization id; may be repeated",
    )
    add("--minute", type=float, default=60.0, help="length of the rate-limit minute")
    add(
        "--window",
        choices=("rolling", "fixed"),
        default="rolling",
        help="how the minute is counted",
    )
    add("--per-minute", type=int, default=100, help="calls per minute and organization")
    add("--per-day", type=int, default=10_000, help="calls per day and organization")
    add(
        "--product-day",
        type=_product_day,
        action="append",
        default=[],
        metavar="PRODUCT=CALLS",
        help="calls per day of a product that has its own count; may be repeated",
    )
    add("--in-flight", type=int, default=10, help="concurrent calls per organization")
    add("--block", type=float, default=900.0, help="length of the block after too many calls")
    add(
        "--latency",
        type=_lag,
        default=0.0,
        metavar="S",
        help="delay of replies: 0.3 (fixed), 0.1:0.5 (range) or tail:0.3 (long tail)",
    )
    add(
        "--inbound",
        type=_lag,
        default=0.0,
        metavar="S",
        help="delay of requests, in the same forms",
    )
    add("--token-life", type=float, default=3600.0, help="lifetime of an access token")
    add("--speed", type=float, default=1.0, help="sandbox seconds per real second")
    add("--tokens", type=int, default=10, help="access tokens per 10 minutes")
    return parser


def _size(text: str) -> tuple[str, int]:
    name, _, rows = text.partition("=")
    if not rows.isdecimal():
        raise argparse.ArgumentTypeError(f"size must be RESOURCE=ROWS, got {text!r}")
    return name if "." in name else f"books.{name}", int(rows)


def _product_day(text: str) -> tuple[str, int]:
    product, _, calls = text.partition("=")
    if product not in PRODUCTS or not calls.isdecimal():
        raise argparse.ArgumentTypeError(f"product-day must be PRODUCT=CALLS, got {text!r}")
    return product, int(calls)


def _lag(text: str) -> Lag:
    try:
        return parse_lag(text)
    except ConfigurationError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


if __name__ == "__main__":
    sys.exit(main())
