"""``zoho-async probe``: tests which lists can be filtered by change."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit

import anyio.to_thread
import msgspec

from zoho_async.cli import outcome
from zoho_async.cli.connect import ConnectionOptions, connected
from zoho_async.cli.export import parse_destination
from zoho_async.cli.outcome import interruptible
from zoho_async.cli.output import count
from zoho_async.cli.resources import LATER_RUNS
from zoho_async.cli.safe import print, safe
from zoho_async.export import Origin
from zoho_async.export.capabilities import ProbeResult, probe, save_capabilities
from zoho_async.export.catalog import exportable, resolve

_RESULTS: Final = {True: "works", False: "does nothing", None: "not known"}


def probe_lists(
    resources: Sequence[str],
    to: str | None,
    connection: ConnectionOptions,
    *,
    environ: Mapping[str, str],
    json: bool,
) -> int:
    """Test each list, save the result in ``to`` and print it; the exit code.

    ``json`` prints one object: ``lists`` with ``resource``, ``capabilities`` (``changes`` and
    ``newest``: true, false, or null if it is not known; ``combined``: whether ``filter_by`` shows
    what the default leaves out among the changes too), ``mode``, ``calls`` and ``error``.

    Raises what calls raise, `ExportError` and `Interrupted`.
    """
    found = asyncio.run(interruptible(_probe(resources, to, connection, environ)))
    if json:
        print(msgspec.json.encode({"lists": found}).decode())
        return outcome.DONE
    width = max(len(one.resource) for one in found)
    for one in found:
        print(f"  {one.resource:<{width}}  {safe(_result(one))}")
    print(f"{count(sum(one.calls for one in found), 'call')} made")
    return outcome.DONE


async def _probe(
    resources: Sequence[str],
    to: str | None,
    connection: ConnectionOptions,
    environ: Mapping[str, str],
) -> list[ProbeResult]:
    lists = resolve(resources, exportable())
    destination = parse_destination(to) if to is not None else None
    async with connected(connection, environ, lambda event: None) as zoho:
        patient = zoho.with_options(lane="bulk", max_wait=None)
        found = [await probe(patient, facts) for facts in lists]
        origin = Origin(zoho.organization or "", urlsplit(zoho.api_url).hostname or zoho.api_url)
        if destination is not None:
            await anyio.to_thread.run_sync(save_capabilities, destination, origin, found)
        return found


def _result(one: ProbeResult) -> str:
    if one.error is not None:
        return one.error
    text = f"a later run {LATER_RUNS[one.mode]}"
    if one.calls:
        changes, newest = _RESULTS[one.capabilities.changes], _RESULTS[one.capabilities.newest]
        text += f" (filter {changes}, order {newest}"
        combined = one.capabilities.combined
        text += f", with filter_by {_RESULTS[combined]})" if combined is not None else ")"
    return text
