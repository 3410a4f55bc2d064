"""Continue an export whose rows were moved to another place, such as a warehouse.

Model. An `Export` keeps its checkpoint in its destination. If the rows go on to another place, that
place needs a checkpoint of its rows: a `Bookmark`. It is small, and holds the organization, the
watermark, what is known of the list, and the rows of the *boundary*. Commit it together with the
rows. The directory of the export can then be deleted, and a new one, seeded with the bookmark,
continues.

The boundary. The next read brings the rows again that were modified at the watermark or later. The
bookmark knows them by id and content, so they are not written again. If there are more than `MOST`
(something changed all records in the last minutes), none is stored, and those rows are written once
more. Merging by id removes the copies.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

import msgspec
from msgspec.structs import replace

from zoho_async.description import OperationFacts
from zoho_async.export.checkpoint.records import digest, key
from zoho_async.export.checkpoint.store import (
    LAYOUT,
    Checkpoint,
    ListBookmark,
    ResourceState,
    RunHistory,
)
from zoho_async.export.columns.schema import Observed
from zoho_async.export.destinations.directory import Directory
from zoho_async.export.incremental import BOUND, Capabilities
from zoho_async.wire.page import times_of
from zoho_async.wire.text import untyped_object

#: The largest number of boundary rows that is stored.
MOST: Final = 2_000


class Edge(msgspec.Struct, frozen=True, array_like=True):
    """A row of the boundary: its id, the digest of its content, and when it was modified."""

    key: str
    digest: int
    modified: float


class Bookmark(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far the rows of a place of ``layout`` lead. Without ``organization`` it is empty.

    ``observed`` are the observed fields of the rows.
    """

    layout: int = 0
    organization: str = ""
    watermark: float | None = None
    capabilities: Capabilities = Capabilities()
    boundary: tuple[Edge, ...] = ()
    observed: Observed = ()


def seed(folder: Path, facts: OperationFacts, bookmark: Bookmark, held: Sequence[str] = ()) -> None:
    """Make the empty directory ``folder`` continue from a bookmark.

    ``held`` are the ids of the records in the other place, for deletion detection.
    """
    with closing(Directory(folder).open()) as place:
        checkpoint = Checkpoint.open(place.database, None, name=place.name)
        state = checkpoint.begin(
            ResourceState(
                name=facts.resource,
                bookmark=ListBookmark(
                    finished=True,
                    watermark=bookmark.watermark,
                    capabilities=bookmark.capabilities,
                ),
                runs=RunHistory(sizes={}),  # the rows are in the other place
            )
        )
        with checkpoint.database.transaction():
            index = checkpoint.record_index(state)
            edges = {edge.key: edge.digest for edge in bookmark.boundary}
            index.add(dict.fromkeys(held, 0) | edges, 0, unknown=True)
            known = replace(state.bookmark, largest=index.largest)
            checkpoint.put(replace(state, bookmark=known))


def bookmark_of(
    folder: Path, facts: OperationFacts, organization: str, since: Bookmark
) -> Bookmark:
    """Return the bookmark after a complete run into ``folder``, which began from ``since``."""
    with closing(Directory(folder).open()) as place:
        checkpoint = Checkpoint.open(place.database, None, name=place.name)
        state = checkpoint.state_of(facts.resource)
    assert state is not None, "the directory was exported into"
    watermark = state.bookmark.watermark
    return Bookmark(
        layout=LAYOUT,
        organization=organization,
        watermark=watermark,
        capabilities=state.bookmark.capabilities,
        boundary=() if watermark is None else _boundary(folder, facts, since, watermark - BOUND),
    )


def _boundary(folder: Path, facts: OperationFacts, since: Bookmark, low: float) -> tuple[Edge, ...]:
    """Return the rows modified from ``low`` on, of ``folder`` and of the earlier boundary."""
    edges = {edge.key: edge for edge in since.boundary}
    for row in _rows(folder, facts):
        modified = times_of(row).modified
        if modified is not None and modified >= low:
            one = key(str(untyped_object(row).get(facts.row_id) or ""), row)
            edges[one] = Edge(one, digest(row), modified)
            if len(edges) > MOST + len(since.boundary):
                return ()
    boundary = [edge for edge in edges.values() if edge.modified >= low]
    return tuple(boundary) if len(boundary) <= MOST else ()


def _rows(folder: Path, facts: OperationFacts) -> Iterable[bytes]:
    """Yield the rows of ``folder``, older ones first."""
    files = Directory(folder).files(facts.resource)
    for path in [*([files.full] if files.full.exists() else []), *files.parts()]:
        with path.open("rb") as lines:
            for line in lines:
                yield line.removesuffix(b"\n")
