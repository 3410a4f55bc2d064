"""A search for a lost write counts only if it cannot have passed over a record."""

from __future__ import annotations

from typing import Any, cast

from zoho_async.importer.settle import _Rows
from zoho_async.importer.targets import target_of
from zoho_async.session import Session

TIME = "2026-11-23T10:00:00+0000"
OLDER = "2026-11-23T09:00:00+0000"


class Pages:
    """A list of contacts, as a session shows it. The last page is shown again and again."""

    def __init__(self, *pages: list[tuple[str, str]], more: bool = False) -> None:
        self.asked = 0
        self._pages = pages
        self._more = more

    async def request(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        self.asked += 1
        place = min(int(options["query"]["page"]), len(self._pages))
        return {
            "contacts": [
                {"contact_id": id, "created_time": time} for id, time in self._pages[place - 1]
            ],
            "page_context": {"has_more_page": self._more or place < len(self._pages)},
        }


async def search(pages: Pages) -> tuple[list[str], bool]:
    rows = _Rows(cast(Session, pages), target_of("books.contacts"), None)
    return [row["contact_id"] async for row in rows], rows.complete


async def test_a_search_that_shows_each_record_once_is_complete() -> None:
    found, complete = await search(Pages([("3", TIME), ("2", TIME)], [("1", OLDER)]))
    assert (found, complete) == (["3", "2", "1"], True)


async def test_records_of_one_time_that_change_places_make_a_search_incomplete() -> None:
    """Record 2 was on page 2 while page 1 was read, and then the other way round."""
    found, complete = await search(Pages([("4", TIME), ("3", TIME)], [("3", TIME), ("1", OLDER)]))
    assert "2" not in found
    assert not complete


async def test_a_search_ends_if_the_page_is_ignored_or_no_page_is_the_last() -> None:
    ignored, endless = Pages([("1", TIME)], more=True), Pages([("1", TIME)], [], more=True)
    for pages in (ignored, endless):
        _, complete = await search(pages)
        assert not complete
        assert pages.asked == 2
