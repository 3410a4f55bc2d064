"""The times of a page are those of its rows read one by one, and are counted the same way."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoho_async.export.checkpoint.store import PassHistory
from zoho_async.export.passes import Counting
from zoho_async.export.row_times import PageTimes, ends, latest
from zoho_async.paging.completeness import Borders, Pass
from zoho_async.wire import Page
from zoho_async.wire.page import times_of

_TIMES = (
    *("2026-01-31T09:00:00+0530", "2026-01-31T03:30:00Z", "2026-01-31T03:30:00.25+00:00"),
    *("2026-02-30T03:30:00Z", "2026-01-31T03:30:00", "2026-01-31", "", " ", "soon", None, 7, True),
    *("0001-01-01T00:00:00+1400", "9999-12-31T23:59:59-1200", "20260131T090000+0530", ["x"]),
)
_ONES = st.one_of(
    st.sampled_from(_TIMES),
    st.datetimes().map(lambda one: one.strftime("%4Y-%m-%dT%H:%M:%S-0300").zfill(24)),
)
_ROWS = st.one_of(
    st.fixed_dictionaries({}, optional={"created_time": _ONES, "last_modified_time": _ONES}).map(
        lambda fields: json.dumps({"id": "1", **fields}).encode()
    ),
    st.sampled_from([b"[1]", b"null", b"{", b'{"created_time":"\xff"}', b'{\n"created_time":""}']),
)


@given(st.lists(_ROWS, max_size=6))
def test_times_are_those_of_each_row(rows: list[bytes]) -> None:
    expected = [None if b"\xff" in row else times_of(row) for row in rows]
    times = PageTimes(rows)
    for place, one in enumerate(expected):
        if one is not None:
            assert times.at(place) == one
    modified = [one.modified for one in expected if one and one.modified is not None]
    assert latest(times.modified) == max(modified, default=None)


@given(
    st.lists(_ROWS, max_size=6),
    st.booleans(),
    st.booleans(),
    st.lists(st.sampled_from([None, 1769830199.0, 1769830200.1, -1e12, 1e12]), max_size=2),
    st.data(),
)
def test_unknown_rows_are_counted_as_one_by_one(
    rows: list[bytes], narrowed: bool, first: bool, since: list[float | None], data: st.DataObject
) -> None:
    rows = [row for row in rows if b"\xff" not in row]
    keys = [data.draw(st.sampled_from([f"{place}", f"#{place}"])) for place in range(len(rows))]
    counts = [Pass(number=number, since=one) for number, one in enumerate(since, 1)]
    passes = PassHistory(first=1, current=len(counts), counts=tuple(counts))
    page = Page(rows=rows, ids=["" if key.startswith("#") else key for key in keys])
    together, alone = (Counting(passes, narrowed=narrowed, first=first) for _ in range(2))
    together.count_unknown(keys, PageTimes(rows))
    for key, row in zip(keys, rows, strict=True):
        alone.count_row(key, None, 0, times_of(row))
    assert together.result(page) == alone.result(page)


@pytest.mark.parametrize("since", [None, 1769830200.0])
@given(pages=st.lists(st.lists(_ROWS, max_size=3), max_size=3))
def test_the_ends_of_a_page_are_enough_for_its_borders(
    since: float | None, pages: list[list[bytes]]
) -> None:
    whole, short = Borders(since), Borders(since)
    for page in pages:
        rows = [row for row in page if b"\xff" not in row]
        whole.page([times_of(row).created for row in rows])
        short.page(ends(PageTimes(rows).created))
        assert whole.differ == short.differ
