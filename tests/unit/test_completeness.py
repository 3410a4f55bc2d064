"""How the completeness of a list is judged, and what an export does about missing rows."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from tests.support.adversary import Adversary, Manners
from zoho_async.errors import IncompleteList
from zoho_async.export import Export, ExportOptions, Margin, Summary
from zoho_async.export.catalog import exportable, list_operation
from zoho_async.export.events import ResourceSummary
from zoho_async.operation import ListOperation
from zoho_async.paging import Pager
from zoho_async.paging.completeness import Borders, Pass, is_certain, missing, verdict
from zoho_async.session import Session
from zoho_async.wire import Record

INVOICES = list_operation(exportable()["books.invoices"])
THINGS = ListOperation(
    name="books.contacts.list",
    product=INVOICES.product,
    path="/contacts",
    row=Record,
    key="contacts",
    row_id="contact_id",
)


async def _export(zoho: Adversary, to: Path, resource: str, **asked: Any) -> Summary:
    margin = asked.pop("margin", Margin(start=2, row=1))
    options = ExportOptions(**asked)
    async with Export(
        cast("Session", zoho), [resource], to=to, options=options, margin=margin, clock=zoho
    ) as job:
        return await job.wait()


def export(zoho: Adversary, to: Path, resource: str = "invoices", **asked: Any) -> ResourceSummary:
    return asyncio.run(_export(zoho, to, resource, **asked)).resources[0]


def a_list(resource: str, rows: int, *, moments: int = 1, seed: int = 0, **how: Any) -> Adversary:
    name = resource if "." in resource else f"books.{resource}"
    zoho = Adversary(exportable()[name].row_id, Manners(**how), seed=seed)
    zoho.add(rows, moments=moments)
    zoho.rest()
    return zoho


def ids_in(directory: Path, resource: str = "books/invoices") -> set[int]:
    """The ids of the records that the files hold."""
    changes = directory / f"{resource}.changes"
    files = [directory / f"{resource}.jsonl", *changes.glob("*.jsonl")]
    rows = [json.loads(row) for file in files for row in file.read_bytes().splitlines()]
    return {int(value) for row in rows for key, value in row.items() if key.endswith("_id")}


# -- the rule -----------------------------------------------------------------------------------


def test_a_record_is_certain_only_with_evidence_before_the_count_and_after_it() -> None:
    one = Pass(total=3, since=100.0)
    assert is_certain(one, time=99.0)
    assert not is_certain(one, time=100.0)
    assert not is_certain(one, time=None)
    assert is_certain(one, time=None, seen_before=True)
    assert is_certain(one, time=200.0, on_its_page=True)
    assert not is_certain(Pass(total=3), time=1.0)  # the reply had no date


@pytest.mark.parametrize(
    ("passes", "records", "said", "lacking"),
    [
        ([Pass(total=3, certain=3)], 3, "proven", 0),
        ([Pass(total=3, certain=2)], 2, "short", 1),
        ([Pass(total=3, certain=2)], 3, "changed", 0),
        ([Pass(total=3, certain=4)], 4, "changed", 0),
        ([Pass(total=3, certain=4), Pass(total=4, certain=4)], 4, "changed", 0),
        ([Pass(total=3, certain=2), Pass(total=3, certain=3)], 3, "proven", 0),
        ([Pass()], 3, "uncheckable", 0),
        ([Pass(total=3, certain=2, without_id=1)], 3, "uncheckable", 0),
        ([Pass(closed=True)], 3, "proven", 0),
        ([Pass(total=9, certain=3, closed=True)], 3, "short", 6),
        ([], 0, "uncheckable", 0),
    ],
)
def test_a_list_is_proven_by_exactly_as_many_certain_records_as_it_counted(
    passes: list[Pass], records: int, said: str, lacking: int
) -> None:
    assert (verdict(passes, records), missing(passes, records)) == (said, lacking)


@pytest.mark.parametrize(
    ("pages", "differ"),
    [
        ([[5.0, 6.0], [3.0, 4.0], [1.0, 2.0]], True),
        ([[4.0, 6.0], [3.0, 4.0]], False),  # a tie at the border
        ([[6.0, 5.0], [3.0, 4.0]], False),  # not in order
        ([[5.0], [None]], False),
        ([[], [1.0]], False),
        ([[50.0], [4.0]], False),  # so new that others may get the same value
    ],
)
def test_a_read_backwards_is_strict_only_if_values_differ_at_every_border(
    pages: list[list[float | None]], differ: bool
) -> None:
    borders = Borders(since=50.0, backwards=True)
    for page in pages:
        borders.page(page)
    assert borders.differ is differ


# -- exports ------------------------------------------------------------------------------------


def test_ties_at_a_page_border_that_change_places_are_found_and_never_claimed(
    tmp_path: Path,
) -> None:
    zoho = a_list("invoices", 450, ties="flipped", per_page=200)
    one = export(zoho, tmp_path)
    assert (one.completeness, one.rows, len(ids_in(tmp_path))) == ("proven", 450, 450)
    again = a_list("contacts", 450, ties="flipped", per_page=200, times=False, count="high")
    said = export(again, tmp_path / "other", "contacts")
    assert (said.completeness, said.missing) == ("short", 452 - said.rows)


@pytest.mark.parametrize("seed", range(5))
def test_a_list_whose_ties_are_shuffled_says_what_is_missing_or_has_it_all(
    tmp_path: Path, seed: int
) -> None:
    zoho = a_list("projects", 40, ties="shuffled", per_page=4, seed=seed)
    one = export(zoho, tmp_path, "projects")
    held = len(ids_in(tmp_path, "books/projects"))
    assert (one.completeness == "proven") == (held == 40)
    assert one.missing == 40 - held


def test_rows_without_a_time_prove_nothing_in_the_first_pass(tmp_path: Path) -> None:
    zoho = a_list("items", 9, times=False)
    assert export(zoho, tmp_path, "items").completeness == "proven"
    assert zoho.calls == 3 + 3  # those that were met before are certain in the second
    zoho.rest()
    assert export(zoho, tmp_path, "items", detect_deletions=True).completeness == "proven"
    assert zoho.calls == 6 + 3  # all are known from the run before


def test_a_count_that_is_too_low_is_no_count(tmp_path: Path) -> None:
    assert export(a_list("invoices", 9, moments=9, count="low"), tmp_path).completeness == "changed"


def test_an_unproven_read_moves_no_watermark(tmp_path: Path) -> None:
    zoho = a_list("invoices", 9, moments=9, count="high")
    assert export(zoho, tmp_path).completeness == "short"
    zoho.rest()
    zoho.manners = Manners()
    assert export(zoho, tmp_path).mode == "compared"
    zoho.rest()
    assert export(zoho, tmp_path).mode == "changed"


@pytest.mark.parametrize(
    ("count", "said", "asked"), [("right", "proven", 1), ("none", "uncheckable", 1)]
)
def test_a_list_that_describes_no_total_is_asked_once_for_it(
    tmp_path: Path, count: Any, said: str, asked: int
) -> None:
    zoho = a_list("billing.customers", 9, moments=9, count=count)
    assert export(zoho, tmp_path, "billing.customers").completeness == said
    assert sum("response_option" in query for _, query in zoho.pages) == asked
    zoho.rest()
    zoho.pages.clear()
    assert export(zoho, tmp_path, "billing.customers").completeness == said
    assert sum("response_option" in query for _, query in zoho.pages) == (count == "right")


def test_a_list_that_refuses_to_count_is_read_without_and_not_asked_again(tmp_path: Path) -> None:
    zoho = a_list("billing.customers", 9, moments=9, count="refused")
    one = export(zoho, tmp_path, "billing.customers")
    assert (one.rows, one.completeness) == (9, "uncheckable")
    calls = zoho.calls
    zoho.rest()
    export(zoho, tmp_path, "billing.customers")
    assert zoho.calls - calls == calls - 1


def test_a_short_list_without_a_total_is_proven_by_the_empty_page_after_it(tmp_path: Path) -> None:
    zoho = a_list("billing.customers", 2, count="none")
    assert export(zoho, tmp_path, "billing.customers").completeness == "proven"
    assert zoho.calls == 2


@pytest.mark.parametrize(("moments", "said"), [(9, "proven"), (1, "uncheckable")])
def test_a_list_without_a_total_is_proven_backwards_if_no_tie_crosses_a_border(
    tmp_path: Path, moments: int, said: str
) -> None:
    zoho = a_list("billing.projects", 9, moments=moments, count="none")
    assert export(zoho, tmp_path, "billing.projects").completeness == said


def test_the_tries_take_no_more_than_a_tenth_of_the_day(tmp_path: Path) -> None:
    zoho = a_list("projects", 40, ties="shuffled", per_page=4)
    zoho.day_limit = 90
    assert export(zoho, tmp_path, "projects").completeness == "short"
    numbers = [number for number, _ in zoho.pages]
    assert numbers == list(range(1, len(numbers) + 1))  # one pass


# -- a shorter file -----------------------------------------------------------------------------


@pytest.mark.parametrize("to", ["rows", "rows.sqlite"])
def test_a_reply_without_rows_that_counts_them_replaces_no_rows(tmp_path: Path, to: str) -> None:
    zoho = a_list("invoices", 5, moments=5, per_page=200)
    place = tmp_path / to
    export(zoho, place)
    before = (
        place.read_bytes() if place.is_file() else (place / "books/invoices.jsonl").read_bytes()
    )
    assert before
    zoho.rest()
    zoho.bare = True
    one = export(zoho, place, full=True)
    assert (one.completeness, one.missing, one.deleted) == ("short", 5, 0)
    zoho.rest()
    zoho.bare = False
    assert export(zoho, place, detect_deletions=True).completeness == "proven"
    if place.is_dir():
        assert (place / "books/invoices.jsonl").read_bytes() == before


def test_rows_without_a_count_are_not_replaced_by_none(tmp_path: Path) -> None:
    zoho = a_list("billing.customers", 2, count="none")
    export(zoho, tmp_path, "billing.customers")
    zoho.rest()
    zoho.bare = True
    export(zoho, tmp_path, "billing.customers", full=True)
    assert len(ids_in(tmp_path, "billing/customers")) == 2


def test_what_an_unproven_full_read_met_is_kept_beside_the_fuller_file(tmp_path: Path) -> None:
    zoho = a_list("invoices", 9, moments=9)
    export(zoho, tmp_path)
    zoho.rest()
    zoho.rows.pop(100)
    zoho.add(1, moments=1)
    zoho.rest()
    zoho.manners = Manners(count="high")
    assert export(zoho, tmp_path, full=True).completeness == "short"
    assert ids_in(tmp_path) == set(range(100, 110))
    zoho.rest()
    zoho.manners = Manners()
    assert export(zoho, tmp_path, full=True).completeness == "proven"
    assert ids_in(tmp_path) == set(range(101, 110))


def test_two_passes_a_minute_apart_that_bring_the_same_records_replace_a_fuller_file(
    tmp_path: Path,
) -> None:
    zoho = a_list("billing.customers", 9, moments=9, count="none")
    export(zoho, tmp_path, "billing.customers")
    zoho.rest()
    zoho.rows.pop(100)
    began, calls = zoho.now, zoho.calls
    one = export(zoho, tmp_path, "billing.customers", full=True)
    assert (one.completeness, one.rows) == ("uncheckable", 8)
    assert ids_in(tmp_path, "billing/customers") == set(range(101, 109))
    assert zoho.now - began >= 60
    assert zoho.calls - calls == 4 + 4  # three pages and the empty one, twice


def test_a_full_read_that_changes_from_pass_to_pass_replaces_nothing_fuller(tmp_path: Path) -> None:
    zoho = a_list("billing.customers", 9, moments=9, count="none")
    export(zoho, tmp_path, "billing.customers")
    zoho.rest()
    zoho.edits = iter(("delete",) + ("",) * 4 + ("delete",) * 2)
    export(zoho, tmp_path, "billing.customers", full=True)
    assert ids_in(tmp_path, "billing/customers") == set(range(100, 109))


def test_a_caller_can_accept_a_shorter_file(tmp_path: Path) -> None:
    zoho = a_list("billing.customers", 9, moments=9, count="none")
    export(zoho, tmp_path, "billing.customers")
    zoho.rest()
    zoho.rows.pop(100)
    began = zoho.now
    export(zoho, tmp_path, "billing.customers", full=True, accept_shorter=True)
    assert ids_in(tmp_path, "billing/customers") == set(range(101, 109))
    assert zoho.now - began < 60


# -- loops --------------------------------------------------------------------------------------


async def _rows(pager: Pager[Any]) -> int:
    return sum([1 async for _ in pager])


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"moments": 9}, "proven"),
        ({"moments": 9, "count": "high"}, "short"),
        ({"moments": 9, "count": "low"}, "changed"),
        ({"moments": 9, "count": "none"}, "uncheckable"),
        ({"moments": 9, "times": False}, "changed"),
        ({"moments": 9, "per_page": 20, "count": "none"}, "proven"),
        ({"ties": "flipped"}, "short"),
    ],
)
def test_a_loop_says_how_complete_its_list_is_and_a_strict_one_raises(
    how: dict[str, Any], said: str
) -> None:
    zoho = a_list("invoices", 9, **how)
    pager = Pager(cast("Session", zoho), INVOICES)
    before: object = pager.completeness
    assert before is None
    asyncio.run(_rows(pager))
    assert pager.completeness == said
    strict = a_list("invoices", 9, **how)
    strict.decoder = type(strict.decoder)(strict=True)
    pager = Pager(cast("Session", strict), INVOICES)
    if said == "proven":
        asyncio.run(_rows(pager))
    else:
        with pytest.raises(IncompleteList) as raised:
            asyncio.run(_rows(pager))
        assert raised.value.completeness == pager.completeness == said
        assert (raised.value.missing > 0) == (said == "short")


class Repeating(Adversary):
    """Ignores which page is asked for, and answers the same rows always."""

    def __init__(self, *rows: str, more: bool, total: int | None = None) -> None:
        super().__init__("contact_id", Manners())
        self.answer = rows
        self.more = more
        self.total = total

    def _page(self, key: str, asked: Any) -> bytes:
        context: dict[str, object] = {"page": 1, "per_page": 200, "has_more_page": self.more}
        if self.total is not None:
            context["total"] = self.total
        rows = [{"contact_id": one, "contact_name": f"name {one}"} for one in self.answer]
        return msgspec.json.encode({"code": 0, key: rows, "page_context": context})


@pytest.mark.parametrize("more", [False, True])
@pytest.mark.parametrize("total", [None, 2, 100_000])
@pytest.mark.parametrize("rows", [("", "7"), ("7", "8"), ("", "")])
def test_a_server_that_ignores_the_page_is_left_after_the_page_that_repeats(
    more: bool, total: int | None, rows: tuple[str, ...]
) -> None:
    zoho = Repeating(*rows, more=more, total=total)
    pager = Pager(cast("Session", zoho), THINGS)
    asyncio.run(_rows(pager))
    assert len(zoho.pages) <= 2 + (11 if more or total == 100_000 else 2)
    assert pager.completeness != "proven" or total == 2


@pytest.mark.parametrize("resource", ["contacts", "journals"])
def test_an_export_from_a_server_that_ignores_the_page_ends(tmp_path: Path, resource: str) -> None:
    zoho = a_list(resource, 9, moments=9, ignores_page=True, always_more=True)
    for _ in range(3):
        export(zoho, tmp_path, resource)
        zoho.rest()
    assert zoho.calls < 200
