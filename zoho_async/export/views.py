"""Read every record of a list whose default leaves some out.

Model. A list is read in *views*, one after the other, and rows are merged by id. View 0 is the list
itself. If its default leaves records out and a value of ``filter_by`` shows all, that value is
sent. The other views are further reads with a value that shows what the default leaves out.
`zoho_async.paging.list_defaults` has the values. No other list gets a value: there, the filter that
Zoho says it applied is compared with ``*.All``.

A value is tested before it is used, and the result is stored (`Capabilities.values`). Zoho counts
the list with and without it (``response_option=2``). It ``holds`` if Zoho confirms it or counts no
fewer records. A value that Zoho refuses or ignores is ``refused`` and not sent again; ``lost`` is
one that held before.

Invariant. A value is not sent together with a caller's filter. It is sent with a moment only if a
probe showed that both hold (`Capabilities.combined`). A list of which Zoho says that a filter hides
rows is never ``proven``, and its full read drops no record.

Why it holds. Each view is proven by itself (`zoho_async.export.prover`). The list is as complete as
its worst view. A value that Zoho ignores shows the list again: it is not confirmed, and either its
count is that of the list, or its rows are.

Unknown. Whether a value and a filter by change hold together. So a run that reads the changes alone
misses a record that the default leaves out. The next full read, or detection of deletions, finds
it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Final

from msgspec.structs import replace

from zoho_async.description import OperationFacts
from zoho_async.errors import InvalidRequest
from zoho_async.export import fetch
from zoho_async.export.checkpoint.store import ViewResult
from zoho_async.export.events import ExportEvent, FilterUnconfirmed, RecordsLeftOut
from zoho_async.export.incremental import Capabilities, query_of
from zoho_async.export.passes import worse
from zoho_async.export.write_queue import Blocking
from zoho_async.export.writer import ResourceWriter
from zoho_async.paging import Page, PageSource
from zoho_async.paging.filters import FILTER, unconfirmed
from zoho_async.paging.list_defaults import default_of, shows_all
from zoho_async.wire import PageContext


class Views:
    """The views of the list of ``writer``, which is read with the caller's ``filters``.

    ``counted`` calls were made for counts. ``unconfirmed`` are filters that no reply confirmed.
    """

    def __init__(
        self,
        zoho: PageSource,
        writer: ResourceWriter,
        filters: Mapping[str, str],
        blocking: Blocking,
    ) -> None:
        self.counted = 0
        self.unconfirmed: Sequence[str] = ()
        self._zoho: Final = zoho
        self._writer: Final = writer
        self.filters: Final = filters
        self._blocking: Final = blocking
        self._default: Final = default_of(writer.facts.product, writer.facts.path)
        self._counts: Final[dict[str, int | None]] = {}
        self._events: list[ExportEvent] = []
        self._counts_alone = True
        self._echoed = False

    # -- values -----------------------------------------------------------------------------------

    @property
    def current(self) -> int:
        return self._writer.state.passes.view

    @property
    def value(self) -> str:
        """The ``filter_by`` that the export adds to the current view, "" for none."""
        if self._default is None or not self._is_open:
            return ""
        if self.current:
            return self._default.further[self.current - 1]
        every = self._default.every
        return every if self._capabilities.values.get(every) == "holds" else ""

    @property
    def narrowed(self) -> bool:
        """Whether a filter hides rows of the current view."""
        return bool(self.filters) or self.current > 0

    def query(self) -> dict[str, object]:
        """Return the parameters of the current view."""
        part = self._writer.state.part
        query = query_of(self._writer.facts, part.mode, self.filters, part.since)
        return {**query, FILTER: self.value} if self.value else query

    def following(self) -> int | None:
        """Return the number of the next view to read, or None after the last one."""
        return next(iter(self._further), None)

    def calls_ahead(self) -> tuple[int, bool]:
        """Return how many calls the next views take, and whether it is known exactly."""
        pages, exact = 0, True
        for number in self._further:
            assert self._default is not None
            count = self._counts.get(self._default.further[number - 1])
            exact = exact and count is not None
            pages += max(1, -(-(count or 0) // self._facts.max_per_page))
        return pages, exact

    @property
    def _further(self) -> list[int]:
        if self._default is None or not self._is_open:
            return []
        values = self._capabilities.values
        return [
            number
            for number, value in enumerate(self._default.further, 1)
            if number > self.current
            and values.get(value, "holds") == "holds"
            and self._counts.get(value) != 0
        ]

    @property
    def _is_open(self) -> bool:
        """Whether the export may add a value to its parameters."""
        part = self._writer.state.part
        together = part.mode != "newest" and self._capabilities.combined is True
        return not self.filters and (part.since is None or together)

    @property
    def _capabilities(self) -> Capabilities:
        return self._writer.state.bookmark.capabilities

    @property
    def _facts(self) -> OperationFacts:
        return self._writer.facts

    def judge(self, result: ViewResult) -> ViewResult:
        """Return the ``result`` of the current view, not believed if its value was ignored.

        That is so if Zoho does not confirm the value, and every row was in another view too.
        """
        passes = self._writer.state.passes
        shared = passes.shared - (passes.views[-1].shared if passes.views else 0)
        result = replace(result, shared=passes.shared)
        if not self.current or self._echoed or not shared or shared < passes.records_seen:
            return result
        return replace(result, believed=False, completeness=worse(result.completeness))

    # -- tests ------------------------------------------------------------------------------------

    async def test_every(self) -> None:
        """Find out, before the first page, whether a value shows every record."""
        default = self._default
        if default is None or not default.every or not self._is_open or self._was_tested:
            return
        try:
            before = await self._count_without_value()
        except InvalidRequest:
            return  # the list itself is refused; its first page reports that
        try:
            found = await self._count({**self.query(), FILTER: default.every})
            if _is_confirmed(found, default.every):
                holds = True
            elif found.total is None or before.total is None:
                return
            else:
                holds = found.total >= before.total or found.total >= await self._total_now()
        except InvalidRequest:
            holds = False
        await self._learn(default.every, holds=holds)

    async def _count_without_value(self) -> PageContext:
        try:
            return await self._count(self.query())
        except InvalidRequest:
            self._counts_alone = False  # perhaps the list takes no response_option
            return await self._count(self.query())

    async def _total_now(self) -> int:
        """Return the count without the value again: it may have been edited between two counts."""
        return (await self._count(self.query())).total or 0

    @property
    def _was_tested(self) -> bool:
        return self._default is not None and self._default.every in self._capabilities.values

    async def count_further(self, page: Page[bytes]) -> None:
        """Count what each further view has. ``page`` is the list's first page."""
        self._counts_alone = page.total is not None
        for number in self._further:
            assert self._default is not None
            value = self._default.further[number - 1]
            try:
                found = await self._count({**self.query(), FILTER: value})
            except InvalidRequest:
                await self._learn(value, holds=False)
                continue
            confirmed = _is_confirmed(found, value)
            if not confirmed and found.total and found.total == page.total:
                await self._learn(value, holds=False)  # ignored: this is the same list
                continue
            self._counts[value] = found.total
            await self._learn(value, holds=True)

    async def _count(self, query: dict[str, object]) -> PageContext:
        self.counted += 1
        alone = {"response_option": 2} if self._counts_alone else {"per_page": 1}
        return await fetch.context_of(self._zoho, self._facts, {**query, **alone})

    async def _learn(self, value: str, *, holds: bool) -> None:
        values = self._capabilities.values
        found = "holds" if holds else "lost" if values.get(value) == "holds" else "refused"
        if not holds:
            self._events.append(
                FilterUnconfirmed(resource=self._facts.resource, filters=(f"{FILTER}={value}",))
            )
        if values.get(value) != found:
            changed = {**values, value: found}
            await self._blocking(partial(self._writer.learn, values=changed))

    # -- replies ----------------------------------------------------------------------------------

    async def check(self, page: Page[bytes]) -> None:
        """Compare the filter that Zoho applied to ``page`` with what was asked for."""
        if page.number != 1:
            return
        if self.current:
            self._echoed = _is_confirmed(page.context, self.value)
            return
        hidden = self._hidden_by(page.context.applied_filter or "")
        before = self._writer.state.passes.hidden
        if hidden is not None and before is None:
            await self._blocking(partial(self._writer.note_hidden, hidden))
            if not self.expects_hidden:
                self._events.append(
                    RecordsLeftOut(
                        resource=self._facts.resource, applied_filter=hidden, left_out=self.left_out
                    )
                )
        missing = unconfirmed(self.filters, page)
        if missing and not self.unconfirmed:
            self.unconfirmed = missing
            self._events.append(
                FilterUnconfirmed(resource=self._facts.resource, filters=tuple(missing))
            )

    @property
    def left_out(self) -> str | None:
        """What the list's default leaves out, None if that is not known."""
        return self._default.leaves_out if self._default is not None else None

    @property
    def expects_hidden(self) -> bool:
        """Whether the read is known to leave records out: it reads changes alone."""
        return self._default is not None and self._writer.state.part.since is not None

    def _hidden_by(self, applied: str) -> str | None:
        """Return the filter that hides records that were asked for; None if none does.

        "" is a default whose filter Zoho does not name.
        """
        if FILTER in self.filters:
            return None
        default = self._default
        if default is not None and "lost" in map(self._capabilities.values.get, default.further):
            return applied
        if applied:
            word = applied.rpartition(".")[2].casefold()
            asked = {one.casefold().replace("_", "") for one in self.filters.values()}
            return None if shows_all(applied) or word in asked else applied
        unfiltered = default is not None and default.every and not self.value
        return "" if unfiltered else None

    async def report(self, report: Callable[[ExportEvent], Awaitable[None]]) -> None:
        """Report what was found since the last call."""
        events, self._events = self._events, []
        for event in events:
            await report(event)


def _is_confirmed(found: PageContext, value: str) -> bool:
    return (found.applied_filter or "").casefold() == value.casefold()
