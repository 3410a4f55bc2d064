"""``zoho-async export --probe``: which lists really filter by change, as Zoho itself shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol
from urllib.parse import urlsplit

import anyio.to_thread
import msgspec

from zoho_async.cli.safe import print, safe
from zoho_async.cli.wording import count
from zoho_async.export import Origin, open_destination
from zoho_async.export.capabilities import ProbeResult, probe, save_capabilities
from zoho_async.export.catalog import exportable, resolve
from zoho_async.session import Session

_SAID: Final = {True: "works", False: "does nothing", None: "not known"}
_READ: Final = {
    "changed": "reads what changed",
    "newest": "reads from the newest on",
    "compared": "reads all and compares",
    "full": "reads all",
}


class ProbeOrder(Protocol):
    """What of an order a probe needs."""

    @property
    def resources(self) -> Sequence[str]: ...

    @property
    def to(self) -> str: ...

    @property
    def format(self) -> str | None: ...

    @property
    def flatten(self) -> bool: ...


async def probe_lists(zoho: Session, order: ProbeOrder, *, json: bool) -> None:
    """Ask about each list that is ordered, write down what was learnt, and print it.

    ``json`` prints one object: ``lists`` with ``resource``, ``capabilities`` (``changes`` and
    ``newest``: true, false, or null where it is not known), ``mode``, ``calls`` and ``error``.

    Raises what calls raise, and `ExportError`.
    """
    lists = resolve(order.resources, exportable())
    patient = zoho.with_options(lane="bulk", max_wait=None)
    found = [await probe(patient, facts) for facts in lists]
    place = Origin(zoho.organization or "", urlsplit(zoho.api_url).hostname or zoho.api_url)
    destination = open_destination(order.to, order.format, order.flatten)
    await anyio.to_thread.run_sync(save_capabilities, destination, place, found)
    if json:
        print(msgspec.json.encode({"lists": found}).decode())
        return
    width = max(len(one.resource) for one in found)
    for one in found:
        print(f"  {one.resource:<{width}}  {safe(_told(one))}")
    print(f"{count(sum(one.calls for one in found), 'call')} made")


def _told(one: ProbeResult) -> str:
    if one.error is not None:
        return one.error
    text = f"a later run {_READ[one.mode]}"
    if one.calls:
        text += (
            f" (filter {_SAID[one.capabilities.changes]}, order {_SAID[one.capabilities.newest]})"
        )
    return text
