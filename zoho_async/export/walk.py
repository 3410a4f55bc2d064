"""Going on with a walk over numbered pages when the list may have lost rows meanwhile.

The rows of a steady list stand in the order of their creation: others' deletions move rows to
earlier pages, others' new rows come at the end. Let the walk have written every row of pages up to
``last``. If a page's first row was written, then every row before it was written too, for it stood
before that row then as now. So the walk may go on from any page whose first row it knows, and from
the first page always. It tries page ``last`` (one page read twice, which the seen ids sort out),
and steps back while the first row is unknown or the page is gone.

Where a list allows no steady order the same is done, with the same reservation that reading such a
list has without an interruption: a row that moves while it is read can be missed.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Protocol, TypeVar


class NumberedPage(Protocol):
    """What the walk needs of a page."""

    @property
    def number(self) -> int: ...

    @property
    def rows(self) -> Sequence[object]: ...


P = TypeVar("P", bound=NumberedPage)


async def pages_from(
    last: int,
    pages: Callable[[int], AsyncGenerator[P]],
    starts_known: Callable[[P], Awaitable[bool]],
) -> AsyncGenerator[P]:
    """The pages of a list after an interruption, the first of them partly written already.

    ``last`` is the last page that was written (0: none), ``pages(first)`` reads the list from a
    page on, and ``starts_known`` tells whether a page's first row was written.
    """
    first = max(1, last)
    while True:
        async with aclosing(pages(first)) as walk:
            page = await anext(walk, None)
            if page is not None and (first == 1 or (page.rows and await starts_known(page))):
                yield page
                async for page in walk:
                    yield page
                return
            if first == 1:
                return
        first -= 1
