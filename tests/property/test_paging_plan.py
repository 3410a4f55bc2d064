"""Page plans hold their invariants for every list, order of arrivals and known fault of Zoho."""

from __future__ import annotations

import math
import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from zoho_async.paging.plan import MOST_AHEAD, PagePlan, depth
from zoho_async.paging.seen import SeenIds


class Server:
    """Numbered pages of ``rows`` rows; what it says about the end may be wrong."""

    def __init__(
        self,
        rows: int,
        per_page: int,
        *,
        quiet: frozenset[int] = frozenset(),
        empty: frozenset[int] = frozenset(),
        eternal: bool = False,
        repeats_last: bool = False,
        total: int | None = None,
    ) -> None:
        self.rows = rows
        self.per_page = per_page
        self.quiet = quiet
        self.empty = empty
        self.eternal = eternal
        self.repeats_last = repeats_last
        self.total = total
        self.pages = math.ceil(rows / per_page)

    def page(self, number: int) -> tuple[range, bool]:
        """The rows of a page, and what it says of more."""
        if self.repeats_last and self.pages:
            number = min(number, self.pages)
        begin = (number - 1) * self.per_page
        rows = range(begin, min(begin + self.per_page, self.rows))
        if number in self.empty and number < self.pages:
            rows = range(0)
        more = self.eternal or (number < self.pages and number not in self.quiet)
        return rows, more


class Outcome:
    """What a walk had read and asked for when it was over."""

    def __init__(self) -> None:
        self.asked: set[int] = set()
        self.arrived: set[int] = set()
        self.rows: list[int] = []


def walk(
    server: Server, draw: st.DrawFn, *, complete: bool = True, first: int = 1, most: int = 6
) -> Outcome:
    """Walk as the shell does, with arrivals in any order."""
    plan = PagePlan(first=first, per_page=server.per_page, complete=complete)
    outcome = Outcome()
    seen: set[int] = set()
    while not plan.done:
        alone = plan.next_page == first
        horizon = first if alone else plan.horizon(draw(st.integers(1, most)))
        assert horizon >= plan.next_page
        outcome.asked |= set(range(plan.next_page, horizon + 1))
        # A total that is too high is believed to its end; then three repeats end it.
        promised = math.ceil((server.total or 0) / server.per_page)
        assert len(outcome.asked) < max(server.pages, promised) + 40, "the walk does not end"
        on_their_way = sorted(outcome.asked - outcome.arrived)
        assert len([page for page in outcome.asked if page >= plan.next_page]) <= most
        while on_their_way and (plan.next_page not in outcome.arrived or draw(st.booleans())):
            page = draw(st.sampled_from(on_their_way))
            on_their_way.remove(page)
            outcome.arrived.add(page)
            rows, more = server.page(page)
            if alone and server.total is not None:
                plan.counted(server.total)
            plan.arrived(page, rows=len(rows), has_more=more)
        if plan.next_page in outcome.arrived:
            rows, more = server.page(plan.next_page)
            fresh = set(rows) - seen
            seen |= fresh
            outcome.rows += sorted(fresh)
            plan.read(rows=len(rows), new=len(fresh), has_more=more)
    return outcome


def guess(outcome: Outcome) -> int:
    return max(1, len(outcome.arrived) // 20)


servers = st.builds(Server, st.integers(0, 60), st.integers(1, 7))


@st.composite
def full_reads(draw: st.DrawFn) -> tuple[Server, Outcome]:
    server = draw(servers)
    return server, walk(server, draw)


@given(full_reads())
def test_a_full_read_finds_every_row_and_spends_at_most_a_guess_beyond_its_check(
    case: tuple[Server, Outcome],
) -> None:
    server, outcome = case
    assert outcome.rows == list(range(server.rows))
    assert max(outcome.asked) <= max(1, server.pages) + 1 + guess(outcome)


@st.composite
def early_ends(draw: st.DrawFn) -> tuple[Server, Outcome]:
    quiet = draw(st.frozensets(st.integers(1, 60)))
    server = Server(draw(st.integers(0, 60)), draw(st.integers(1, 7)), quiet=quiet)
    return server, walk(server, draw)


@given(early_ends())
def test_a_full_read_misses_nothing_when_has_more_page_is_false_too_early(
    case: tuple[Server, Outcome],
) -> None:
    server, outcome = case
    assert outcome.rows == list(range(server.rows))


@st.composite
def counted_reads(draw: st.DrawFn) -> tuple[Server, Outcome]:
    server = draw(servers)
    server.total = server.rows
    server.quiet = draw(st.frozensets(st.integers(1, 60)))
    return server, walk(server, draw)


@given(counted_reads())
def test_with_a_true_total_each_page_is_asked_for_once_and_none_past_the_end(
    case: tuple[Server, Outcome],
) -> None:
    server, outcome = case
    assert outcome.rows == list(range(server.rows))
    assert outcome.asked == set(range(1, max(1, server.pages) + 1))


@st.composite
def miscounted_reads(draw: st.DrawFn) -> tuple[Server, Outcome]:
    server = draw(servers)
    server.total = draw(st.integers(0, 100))
    return server, walk(server, draw)


@given(miscounted_reads())
def test_a_total_that_is_wrong_loses_no_row(case: tuple[Server, Outcome]) -> None:
    server, outcome = case
    assert outcome.rows == list(range(server.rows))


@st.composite
def eternal_reads(draw: st.DrawFn) -> tuple[Server, Outcome]:
    server = draw(servers)
    server.eternal = True
    server.repeats_last = draw(st.booleans())
    server.total = draw(st.none() | st.integers(0, 100))
    return server, walk(server, draw, complete=draw(st.booleans()))


@given(eternal_reads())
def test_a_list_that_claims_to_go_on_for_ever_is_read_whole_and_ends(
    case: tuple[Server, Outcome],
) -> None:
    server, outcome = case
    assert outcome.rows == list(range(server.rows))


@st.composite
def pages_with_holes(draw: st.DrawFn) -> tuple[Server, Outcome]:
    """Empty pages among the others, never three in a row, and a witness that speaks for more."""
    server = draw(servers)
    holes = draw(st.frozensets(st.integers(1, server.pages or 1)))
    server.empty = frozenset(page for page in holes if not {page - 1, page - 2} <= holes)
    server.total = draw(st.none() | st.just(server.rows))
    if server.total is not None:
        server.quiet = draw(st.frozensets(st.integers(1, 60)))
    return server, walk(server, draw, complete=draw(st.booleans()))


@given(pages_with_holes())
def test_an_empty_page_hides_none_that_follow_while_anything_speaks_for_more(
    case: tuple[Server, Outcome],
) -> None:
    server, outcome = case
    there = set(range(server.rows))
    for page in server.empty - {server.pages}:
        there -= set(range((page - 1) * server.per_page, page * server.per_page))
    assert outcome.rows == sorted(there)


@given(servers, st.data())
def test_a_list_that_is_empty_and_promises_more_for_ever_costs_three_pages(
    server: Server, data: st.DataObject
) -> None:
    server.eternal = True

    @st.composite
    def reads(draw: st.DrawFn) -> Outcome:
        return walk(server, draw, complete=draw(st.booleans()))

    outcome = data.draw(reads())
    assert outcome.rows == list(range(server.rows))
    assert max(outcome.asked) <= server.pages + 3 + guess(outcome)


@st.composite
def narrowed_reads(draw: st.DrawFn) -> tuple[Server, Outcome]:
    server = draw(servers)
    return server, walk(server, draw, complete=False)


@given(narrowed_reads())
def test_a_filtered_read_that_ends_on_a_short_page_asks_for_no_check(
    case: tuple[Server, Outcome],
) -> None:
    server, outcome = case
    assert outcome.rows == list(range(server.rows))
    short = server.rows % server.per_page > 0
    assert max(outcome.asked) <= max(1, server.pages) + max(guess(outcome), 0 if short else 1)
    if server.pages == 1 and short:
        assert outcome.asked == {1}


@st.composite
def resumed_reads(draw: st.DrawFn) -> tuple[Server, int, Outcome]:
    server = draw(servers)
    server.total = draw(st.none() | st.just(server.rows))
    first = draw(st.integers(1, server.pages + 2))
    return server, first, walk(server, draw, first=first)


@given(resumed_reads())
def test_a_walk_that_begins_later_finds_the_rest(case: tuple[Server, int, Outcome]) -> None:
    server, first, outcome = case
    assert outcome.rows == list(range((first - 1) * server.per_page, server.rows))
    if server.total is not None:
        assert max(outcome.asked) <= max(first, server.pages)


@given(st.floats(0, 1e6), st.floats(0, 1e6))
def test_the_depth_keeps_the_limits_busy_and_memory_bounded(rate: float, latency: float) -> None:
    pages = depth(rate, latency)
    assert 1 <= pages <= MOST_AHEAD
    assert pages == MOST_AHEAD or pages >= rate * latency + 1


ids = st.one_of(
    st.integers(0, 50).map(str),
    st.integers(10**17, 10**19).map(str),
    st.text("\n17", max_size=3),
)
in_order = st.lists(ids, unique=True).map(sorted)


@given(st.lists(st.lists(ids) | in_order))
def test_an_id_is_new_exactly_once_and_a_row_without_one_always(pages: list[list[str]]) -> None:
    seen, truth = SeenIds(), set[str]()
    for page in pages:
        new = seen.add_all(page)
        for row_id, is_new in zip(page, new, strict=True):
            assert is_new == (row_id not in truth or not row_id)
            truth.add(row_id)


def test_ids_that_come_in_order_take_little_memory() -> None:
    seen = SeenIds()
    tracemalloc.start()
    try:
        for page in range(500):
            seen.add_all([str(10**17 + page * 200 + n) for n in range(200)])
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert used < 100_000 * 25
