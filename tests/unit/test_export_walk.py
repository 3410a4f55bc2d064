"""A list that lost rows during an interruption is continued without missing others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from zoho_async.description import OperationFacts
from zoho_async.export.checkpoint.store import Checkpoint
from zoho_async.export.destinations.base import Origin
from zoho_async.export.destinations.directory import Directory
from zoho_async.export.part_begin import open_store
from zoho_async.export.pass_reader import pages_from
from zoho_async.export.resource_store import RunOptions
from zoho_async.export.writer import ResourceWriter
from zoho_async.wire import Page

PER_PAGE = 3

#: Where there is one, a disk that is no disk: hundreds of histories wait for it otherwise.
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None


class FakeList:
    """A list in the order of creation, as a server would page it at this moment."""

    def __init__(self, ids: list[int]) -> None:
        self.ids = ids
        self.asked: list[int] = []

    async def pages(self, first: int) -> AsyncGenerator[Page[bytes]]:
        number = first
        while True:
            self.asked.append(number)
            ids = self.ids[(number - 1) * PER_PAGE : number * PER_PAGE]
            rows = [b"%d" % one for one in ids]
            yield Page(number=number, rows=rows, ids=[str(one) for one in ids])
            if number * PER_PAGE >= len(self.ids):
                return
            number += 1


async def read(listing: FakeList, directory: Path, pages: int | None) -> bytes:
    """Read ``pages`` pages (None: to the end) as a new process would; return the file."""
    place = Directory(directory).open()
    state = Checkpoint.open(place.database, Origin("1", "host"), name="here")
    state.enter("run", "20261123T020000Z")
    facts = OperationFacts(
        name="books.invoices.list", method="GET", path="/x", answer="list", row_id="invoice_id"
    )
    writer = ResourceWriter(open_store(state, place, facts, "all", RunOptions()))

    async def known(page: Page[bytes]) -> bool:
        return writer.is_in_pass(page.ids[0], b"")

    walk = pages_from(writer.state.part.page, listing.pages, known)
    async for page in walk:
        if pages == 0:
            break
        with state.database.transaction():
            writer.write_pages([page])
        pages = None if pages is None else pages - 1
    await walk.aclose()
    writer.store.close()
    place.close()
    return (directory / "books/invoices.jsonl.part").read_bytes()


@given(
    count=st.integers(0, 30),
    history=st.lists(
        st.tuples(st.integers(0, 6), st.sets(st.integers(0, 40)), st.integers(0, 4)), max_size=5
    ),
)
@settings(max_examples=100, deadline=None)
def test_every_row_that_is_still_there_is_read_once_after_any_deletions(
    count: int, history: list[tuple[int, set[int], int]]
) -> None:
    async def run() -> list[int]:
        with TemporaryDirectory(dir=MEMORY) as folder:
            for pages, deleted, inserted in history:
                await read(listing, Path(folder), pages)
                new = [ever[-1] + 1 + n if ever else 1000 + n for n in range(inserted)]
                listing.ids = [one for one in listing.ids if one - 1000 not in deleted] + new
                ever.extend(new)
            return [int(one) for one in (await read(listing, Path(folder), None)).split()]

    listing = FakeList(list(range(1000, 1000 + count)))
    ever = list(listing.ids)
    written = asyncio.run(run())
    assert len(written) == len(set(written))
    assert set(listing.ids) <= set(written) <= set(ever)
    assert written == sorted(written)


async def test_an_unchanged_list_costs_one_page_twice(tmp_path: Path) -> None:
    listing = FakeList(list(range(10, 22)))
    await read(listing, tmp_path, 2)
    listing.asked.clear()
    written = await read(listing, tmp_path, None)
    assert listing.asked == [2, 3, 4]
    assert written == b"".join(b"%d\n" % one for one in range(10, 22))


async def test_a_list_that_shrank_is_continued_from_an_earlier_page(
    tmp_path: Path,
) -> None:
    listing = FakeList(list(range(10, 22)))
    await read(listing, tmp_path, 3)
    listing.ids = [11, 20, 21]
    listing.asked.clear()
    written = await read(listing, tmp_path, None)
    assert listing.asked == [3, 2, 1]
    assert [int(one) for one in written.split()] == [*range(10, 19), 20, 21]
