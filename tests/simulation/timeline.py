"""The story of a world as text: one line for each event."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.simulation.world import World


def lines(world: World) -> Iterator[str]:
    """Return the story: virtual seconds since the start, the worker, and what happened."""
    events = [(one.at, one.worker, f"{one.kind} {one.text}".strip()) for one in world.log]
    events += [(one.at, one.worker, str(one)) for one in world.zoho.log]
    width = max((len(worker) for _, worker, _ in events), default=0)
    for at, worker, text in sorted(events, key=lambda one: one[0]):
        yield f"{at - world.began:12.3f}  {worker:{width}}  {text}"
