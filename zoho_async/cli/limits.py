"""``zoho-async limits``: shows how much of an organization's limits is used.

Makes no API calls. The shared ledger knows the calls of all programs that use it.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from typing import Final

import msgspec
from rich.console import Console
from rich.live import Live
from rich.text import Text

from zoho_async.cli import outcome
from zoho_async.cli.connect import ConnectionOptions, connected, redis_ledger
from zoho_async.cli.outcome import interruptible
from zoho_async.cli.output import seconds
from zoho_async.cli.safe import print, safe
from zoho_async.clock import local_minute
from zoho_async.errors import ConfigurationError
from zoho_async.events import Event
from zoho_async.limits import Snapshot
from zoho_async.session import Session

#: Seconds between two refreshes of ``--watch``.
EVERY: Final = 0.5
_WIDTH: Final = 30


def limits(
    wanted: ConnectionOptions, *, environ: Mapping[str, str], watch: bool, json: bool
) -> int:
    """Print the gauges once. With ``watch`` print until interrupted, then return 0."""
    try:
        asyncio.run(interruptible(_show(wanted, environ, watch, json)))
    except outcome.Interrupted:
        if not watch:
            raise
    return outcome.DONE


def initialize(url: str | None, *, environ: Mapping[str, str]) -> None:
    """Mark the Redis server at ``url`` as new. Raises `ConfigurationError` and `LedgerError`."""
    ledger = redis_ledger(url, environ)
    if ledger is None:
        raise ConfigurationError("no Redis server is named: give its URL or set ZOHO_REDIS_URL")

    async def run() -> None:
        try:
            await ledger.initialize()
        finally:
            await ledger.close()

    asyncio.run(interruptible(run()))


async def _show(
    wanted: ConnectionOptions, environ: Mapping[str, str], watch: bool, json: bool
) -> None:
    async with connected(wanted, environ, _ignore) as zoho:
        if json or not watch:
            while True:
                print(as_json(zoho, await zoho.snapshot()) if json else await _gauges(zoho))
                sys.stdout.flush()
                if not watch:
                    return
                await asyncio.sleep(EVERY)
        with Live(console=Console(), auto_refresh=False) as live:
            while True:
                live.update(Text(safe(await _gauges(zoho), lines=True)), refresh=True)
                await asyncio.sleep(EVERY)


async def _gauges(zoho: Session) -> str:
    return "\n".join([f"organization {zoho.organization}", *gauges(await zoho.snapshot())])


def as_json(zoho: Session, seen: Snapshot) -> str:
    """One line of JSON with the figures that all users of the ledger share."""
    own = ("waiting", "admitted", "refused", "waited_seconds")
    figures = {
        name: value for name, value in msgspec.structs.asdict(seen).items() if name not in own
    }
    return msgspec.json.encode({"organization": zoho.organization, **figures}).decode()


def gauges(seen: Snapshot) -> list[str]:
    """One line per limit, and one for each reason that delays calls."""
    lines = [
        _gauge("minute", seen.minute_used, seen.limit),
        _gauge("in flight", seen.in_flight, seen.cap),
    ]
    if seen.next_place_in:
        lines[0] += f", next call in {seconds(seen.next_place_in)}"
    if seen.products:
        lines += [_day(name, seen.for_products(name)) for name in sorted(seen.products)]
    else:
        lines.append(_day("day", seen))
    if seen.others:
        lines.append(f"{'others':9}  about {seen.others:.0f} calls a minute")
    if seen.starts_in > 0:
        lines.append(f"{'new':9}  for {seconds(seen.starts_in)}: the ledger may not know all calls")
    if seen.blocked_for > 0:
        lines.append(f"{'blocked':9}  for {seconds(seen.blocked_for)}: nothing is sent")
    return lines


def _day(name: str, seen: Snapshot) -> str:
    """The gauge of the day. ``name``: the product, if each has its own quota."""
    if seen.day_limit is None:
        day = f"{name:9}  {seen.day_used:,} in the last 24 hours; the daily limit is not known yet"
    else:
        left = seen.day_remaining
        used = seen.day_limit - left if left is not None else seen.day_used
        day = _gauge(name, used, seen.day_limit)
        if name in seen.products:
            day += " today"
    if seen.day_resets_at is not None and seen.day_reset_in is not None:
        at = local_minute(seen.day_resets_at)
        day += f", resets at {at} (in {seconds(seen.day_reset_in)})"
    return day


def _gauge(name: str, used: int, most: int) -> str:
    full = min(_WIDTH, round(_WIDTH * used / max(1, most)))
    return f"{name:9}  [{'#' * full}{'.' * (_WIDTH - full)}]  {used:,} of {most:,}"


def _ignore(event: Event) -> None:
    """This command makes no calls."""
