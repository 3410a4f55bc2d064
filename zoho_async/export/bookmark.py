"""How far some rows lead, in a form that fits beside them, and going on from there.

An `Export` keeps its state in its own destination. Where rows go on to another place (a warehouse,
an object store), the state that matters is what *that place* holds. It is small: whose rows they
are, the watermark that they lead to, what was learnt of the list (`zoho_async.export.incremental`),
and the rows of the *boundary*. Whoever commits `Bookmark` together with the rows may throw the
export's directory away: a new one, seeded with it, reads on from there.

The boundary are the rows that the next read brings again, because they were modified at the
watermark or after it: they are known by id and content, and are not written again. Where there are
more than `MOST` (something changed all records in the last minutes), none is remembered, and those
rows are written once more: merging by id makes them one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from zoho_async.description import OperationFacts
from zoho_async.export.checkpoint.records import digest, key
from zoho_async.export.checkpoint.store import Checkpoint, ResourceState
from zoho_async.export.destinations.directory import Directory
from zoho_async.export.incremental import BOUND, Capabilities
from zoho_async.paging.times import times_of
from zoho_async.wire.text import untyped_object

#: Rows of the boundary that are remembered at most.
MOST: Final = 2_000


class Edge(msgspec.Struct, frozen=True, array_like=True):
    """A row of the boundary: its id, the digest of its content, and when it was modified."""

    key: str
    digest: int
    modified: float


class Bookmark(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Whose rows a place holds, and how far they lead; without an ``organization``, none."""

    organization: str = ""
    watermark: float | None = None
    capabilities: Capabilities = Capabilities()
    boundary: tuple[Edge, ...] = ()


def seed(folder: Path, facts: OperationFacts, reached: Bookmark, held: Sequence[str] = ()) -> None:
    """Have the empty directory ``folder`` go on from ``reached``.

    ``held`` are the ids of the records that stand in the other place, for a sweep to ask about.
    """
    place = Directory(folder)
    try:
        state = Checkpoint.open(place.open(None), None, name=place.name)
        position = state.begin(
            ResourceState(
                name=facts.resource,
                status="resting",
                finished=True,
                watermark=reached.watermark,
                capabilities=reached.capabilities,
                sizes={},  # the rows are in the other place
            )
        )
        with state.database.transaction():
            known = state.record_index(position)
            edges = {edge.key: edge.digest for edge in reached.boundary}
            known.add(dict.fromkeys(held, 0) | edges, 0, unknown=True)
            state.put(msgspec.structs.replace(position, largest=known.largest))
    finally:
        place.close()


def bookmark_of(
    folder: Path, facts: OperationFacts, organization: str, since: Bookmark
) -> Bookmark:
    """What the rows in ``folder``, which was begun from ``since``, lead to; a run completed it."""
    place = Directory(folder)
    try:
        position = Checkpoint.open(place.open(None), None, name=place.name).position(facts.resource)
    finally:
        place.close()
    assert position is not None, "the directory was exported into"
    watermark = position.watermark
    return Bookmark(
        organization=organization,
        watermark=watermark,
        capabilities=position.capabilities,
        boundary=() if watermark is None else _boundary(folder, facts, since, watermark - BOUND),
    )


def _boundary(folder: Path, facts: OperationFacts, since: Bookmark, low: float) -> tuple[Edge, ...]:
    """The rows of ``folder``, and of the boundary before it, that come again from ``low`` on."""
    edges = {edge.key: edge for edge in since.boundary}
    for row in _rows(folder, facts):
        modified = times_of(row).modified
        if modified is not None and modified >= low:
            one = key(str(untyped_object(row).get(facts.row_id) or ""), row)
            edges[one] = Edge(one, digest(row), modified)
            if len(edges) > MOST + len(since.boundary):
                return ()
    again = [edge for edge in edges.values() if edge.modified >= low]
    return tuple(again) if len(again) <= MOST else ()


def _rows(folder: Path, facts: OperationFacts) -> Iterable[bytes]:
    """The rows of ``folder``, older ones first."""
    files = Directory(folder).files(facts.resource)
    for path in [*([files.full] if files.full.exists() else []), *files.parts()]:
        with path.open("rb") as lines:
            for line in lines:
                yield line.removesuffix(b"\n")
