"""Find out what became of writes whose answer is lost.

Model
-----
A lost write may have reached Zoho, may still be on its way, or may never have left. Evidence
decides; nothing is sent again before there is any:

- A create with a token is *written* if exactly one record carries the token.
- An update is *written* if its record shows every value that was sent.
- A delete is *written* if Zoho says that the record does not exist.
- Each of them is *not written* after two searches in vain that both began after the wait was over.
- A create without a token, and any other operation, stays *unknown*. The records that were created
  in the meantime are listed as candidates, and a person decides.

The wait is ``linger`` (the longest time that a request may be on its way) plus ``wait`` seconds,
counted from the moment at which the answer was lost or the end of its process was noticed. Between
the two searches a tenth of ``wait`` passes.

Which records are searched
--------------------------
No filter is trusted: Zoho ignores some, and an index may be late. The newest records of the list
are read, back to the time before which the write cannot have been created, and each record that
does not show the place of the token is read in full. That time is Zoho's own: the newest creation
that Zoho had answered before the write was sent, minus `CLOCKS`. A list without an order of
creation is read whole, and counts as searched only if it is proven complete. A search that shows a
record twice does not count either: rows moved while it read, and one may have been passed over.

A search in vain proves nothing if the records do not keep the token at all. So it counts only if
`WriteSettler.is_proven`.

Unknown
-------
- Whether a list can leave out a new record for longer than ``linger`` plus ``wait``.
- The machine's clock is trusted not to be set forward between the loss and the searches.
- Whether Zoho can carry out a request later than ``linger`` plus ``wait`` after it lost its sender.
- A record that others delete, or whose token others remove, before the search: it was written, and
  counts as not written.
- A record that moves to a page that was read already, because others delete newer records during
  the search. It must happen in both searches to be missed.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, Final

import msgspec
from anyio import to_thread

from zoho_async.clock import SYSTEM_CLOCK, Clock, wait
from zoho_async.description import OperationFacts
from zoho_async.errors import ReplyError, says_gone
from zoho_async.export.catalog import list_operation
from zoho_async.http.call import path_of
from zoho_async.importer.compare import has_all
from zoho_async.importer.journal import WriteJournal
from zoho_async.importer.targets import WriteTarget, facts_of, field_named, target_of
from zoho_async.importer.writes import JournaledWrite, TokenRoom, carries
from zoho_async.paging import Pager
from zoho_async.paging.list_defaults import default_of
from zoho_async.session import Session
from zoho_async.wire.page import moment
from zoho_async.wire.text import is_array, is_object, untyped

#: Seconds that Zoho's servers may differ from one another.
CLOCKS: Final = 120.0
#: Searches in vain after the wait that show that a write is not at Zoho.
SEARCHES: Final = 2
#: Searches after which a list that cannot be proven complete is given up.
_FRUITLESS: Final = 3
_PER_PAGE: Final = 200
_NEWEST_FIRST: Final = {"sort_column": "created_time", "sort_order": "D"}
_CANDIDATES: Final = 20


class _Search(msgspec.Struct, frozen=True):
    """What one reading of a list found.

    ``found`` are the ids of the records that carry a token, ``others`` the rows of the other
    records that the journal does not know, by id. ``complete`` says that no record can be missing.
    """

    found: dict[str, list[str]]
    others: dict[str, dict[str, Any]]
    complete: bool


class WriteSettler:
    """Settles the unknown writes of one journal. ``wait`` is the time after ``linger``."""

    def __init__(
        self,
        zoho: Session,
        journal: WriteJournal,
        *,
        wait: float = 300.0,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._zoho: Final = zoho.with_options(lane="bulk", max_wait=None)
        self._journal: Final = journal
        self._wait: Final = zoho.limits.linger + wait
        self._pause: Final = wait / 10
        self._clock: Final = clock
        self._proven: Final[set[tuple[str, TokenRoom]]] = set()

    def ready_in(self, write: JournaledWrite) -> float:
        """Return the seconds until the next search for ``write`` can count."""
        start = (write.lost or 0.0) + self._wait
        if write.searched is not None:
            start = max(start, write.searched + self._pause)
        return max(0.0, start - self._clock.time())

    async def search(self, writes: Sequence[JournaledWrite]) -> list[JournaledWrite]:
        """Search once for the unknown ``writes``, and return all of them as they are then."""
        ended: dict[int, JournaledWrite] = {}
        creates: dict[tuple[str, TokenRoom | None], list[JournaledWrite]] = {}
        for write in writes:
            facts = await to_thread.run_sync(facts_of, write.operation)
            if write.state != "unknown":
                ended[write.number] = write
            elif facts.name.endswith(".create"):
                creates.setdefault((facts.resource, write.room), []).append(write)
            else:
                ended[write.number] = await self._look_at(write, facts)
        for (resource, room), lost in creates.items():
            target = await to_thread.run_sync(target_of, resource)
            ended |= {one.number: one for one in await self._search(target, room, lost)}
        return [ended[write.number] for write in writes]

    async def settle(self, writes: Sequence[JournaledWrite]) -> list[JournaledWrite]:
        """Search and wait until every write is settled that evidence can settle.

        The writes that remain unknown need a person. Raises what calls raise.
        """
        settled, fruitless = list(writes), 0
        while True:
            before, settled = settled, await self.search(settled)
            open_ = [one for one in settled if await self._can_end(one)]
            if not open_:
                return settled
            wait_for = min(self.ready_in(one) for one in open_)
            fruitless = fruitless + 1 if wait_for == 0.0 and settled == before else 0
            if fruitless == _FRUITLESS:
                return settled
            await wait(self._clock, max(0.01, wait_for))

    async def _can_end(self, write: JournaledWrite) -> bool:
        """Whether further searches can settle ``write``."""
        if write.state != "unknown" or not is_decidable(write) or len(write.candidates) > 1:
            return False
        if write.room is None:
            return True
        target = await to_thread.run_sync(target_of, write.operation.rpartition(".")[0])
        return await self.is_proven(target, write.room)

    # -- creates ----------------------------------------------------------------------------------

    async def _search(
        self, target: WriteTarget, room: TokenRoom | None, lost: Sequence[JournaledWrite]
    ) -> list[JournaledWrite]:
        """Search one list for the records of ``lost``, which all have the same room."""
        counting = {one.number for one in lost if self.ready_in(one) == 0.0}
        tokens = [one.token for one in lost if one.token]
        search = await self._read(target, room, tokens, _earliest(lost))
        is_proven = room is None or await self.is_proven(target, room)
        ended: list[JournaledWrite] = []
        for write in lost:
            found = search.found.get(write.token, []) if write.token else []
            if len(found) == 1:
                ended.append(
                    await self._journal.confirm(write.number, record=found[0], carried=True)
                )
                continue
            counts = is_proven and search.complete and not found and write.number in counting
            candidates = found or ([] if write.token else _candidates(write, search.others))
            noted = await self._journal.note_search(
                write.number, counts=counts, candidates=candidates
            )
            ended.append(await self._give_up(noted) if write.token else noted)
        return ended

    async def is_proven(self, target: WriteTarget, room: TokenRoom) -> bool:
        """Return whether records are known to show the tokens in ``room``.

        Zoho drops fields that it does not know without an error. A custom field is known once a
        record was seen with its token; other fields are described.
        """
        if room.kind != "custom_field" and target.get is not None:
            return field_named(target.get.reply, room.name) is not None
        operation = f"{target.resource}.create"
        if (operation, room) not in self._proven:
            organization = self._zoho.organization or ""
            if not await self._journal.has_carried(organization, operation, room):
                return False
            self._proven.add((operation, room))
        return True

    async def _give_up(self, write: JournaledWrite) -> JournaledWrite:
        """Note that the write is not at Zoho, after enough searches."""
        if write.searches < SEARCHES:
            return write
        return await self._journal.refuse(
            write.number, f"no answer came, and {SEARCHES} searches did not find it"
        )

    async def _read(
        self,
        target: WriteTarget,
        room: TokenRoom | None,
        tokens: Sequence[str],
        after: float | None,
    ) -> _Search:
        known = await self._journal.records()
        found: dict[str, list[str]] = {}
        others: dict[str, dict[str, Any]] = {}
        rows = _Rows(self._zoho, target, after)
        async for row in rows:
            record = str(row.get(target.id_field, ""))
            if not record or record in known:
                continue
            carried = await self._carried(target, record, row, room, tokens)
            if carried is None:
                others[record] = row
            elif record not in found.setdefault(carried, []):
                found[carried].append(record)
        return _Search(found, others, rows.complete)

    async def _carried(
        self,
        target: WriteTarget,
        record: str,
        row: dict[str, Any],
        room: TokenRoom | None,
        tokens: Sequence[str],
    ) -> str | None:
        """Return the token that a record carries, None if it carries none of ``tokens``."""
        if room is None or not tokens:
            return None
        if all(carries(row, room, token) is None for token in tokens):
            row = await self.record(target, record) or {}
        return next((token for token in tokens if carries(row, room, token)), None)

    # -- updates, deletes and the rest ----------------------------------------------------------

    async def _look_at(self, write: JournaledWrite, facts: OperationFacts) -> JournaledWrite:
        target = await to_thread.run_sync(target_of, facts.resource)
        if not is_decidable(write) or target.get is None or not write.ids:
            return await self._journal.note_search(
                write.number, counts=False, candidates=write.ids[-1:]
            )
        counts = self.ready_in(write) == 0.0
        record = await self.record(target, write.ids[-1])
        if facts.name.endswith(".delete"):
            is_written = record is None
        else:
            is_written = record is not None and has_all(record, untyped(write.body))
        if is_written:
            modified = str((record or {}).get("last_modified_time", ""))
            return await self._journal.confirm(
                write.number, record=write.ids[-1], modified=modified
            )
        return await self._give_up(
            await self._journal.note_search(write.number, counts=counts, candidates=write.ids[-1:])
        )

    async def record(self, target: WriteTarget, record: str) -> dict[str, Any] | None:
        """Read a record in full. None if it does not exist."""
        facts = target.get
        if facts is None:
            return {}
        try:
            reply = await self._zoho.request(
                "GET", path_of(facts.path, [record]), product=facts.product
            )
        except ReplyError as error:
            if says_gone(error):
                return None
            raise
        found = reply.get(facts.key) if is_object(reply) else None
        return found if is_object(found) else {}


def is_decidable(write: JournaledWrite) -> bool:
    """Whether evidence can decide if ``write`` is at Zoho; otherwise a person must."""
    verb = write.operation.rpartition(".")[2]
    return bool(write.token) or verb in ("update", "delete")


def _candidates(write: JournaledWrite, others: Mapping[str, dict[str, Any]]) -> list[str]:
    """The ids of the records that look like ``write``; if none does, of the newest ones."""
    body: dict[str, Any] = untyped(write.body) if write.body else {}
    alike = [
        record
        for record, row in others.items()
        if has_all(row, {name: value for name, value in body.items() if name in row})
    ]
    return (alike or list(others))[:_CANDIDATES]


def _earliest(lost: Sequence[JournaledWrite]) -> float | None:
    """The time by Zoho's clock before which none of ``lost`` was created; None if unknown."""
    times = [one.after for one in lost if one.after is not None]
    return min(times) - CLOCKS if len(times) == len(lost) else None


async def newest(zoho: Session, target: WriteTarget) -> float | None:
    """Return the newest creation in a list, by Zoho's clock; None if the list does not say."""
    facts = target.list
    if facts is None or not target.by_creation:
        return None
    reply = await zoho.request(
        "GET", facts.path, query={"per_page": 10, **_NEWEST_FIRST}, product=facts.product
    )
    rows = reply.get(facts.key) if is_object(reply) else None
    found = [moment(row.get("created_time")) for row in rows or () if is_object(row)]
    times = [time for time in found if time is not None]
    return max(times, default=None)


class _Rows:
    """The rows of a list that were created after a time, as objects, the newest first.

    A list without an order of creation is read whole. ``complete`` is set at the end.
    """

    def __init__(self, zoho: Session, target: WriteTarget, after: float | None) -> None:
        self._zoho: Final = zoho
        self._target: Final = target
        self._after: Final = after
        self.complete = False

    async def __aiter__(self) -> AsyncGenerator[dict[str, Any]]:
        facts = self._target.list
        if facts is None:
            return
        if self._target.by_creation:
            async for row in self._newest(facts):
                yield row
            return
        shown = default_of(facts.product, facts.path)
        query = {"filter_by": shown.every} if shown is not None and shown.every else {}
        pager = Pager(self._zoho, list_operation(facts), query=query)
        async for encoded in pager.raw():
            row = untyped(encoded)
            if is_object(row):
                yield row
        self.complete = pager.completeness == "proven"

    async def _newest(self, facts: OperationFacts) -> AsyncGenerator[dict[str, Any]]:
        page, last, in_order, repeats = 1, float("inf"), True, False
        seen: set[str] = set()
        while True:
            reply = await self._zoho.request(
                "GET",
                facts.path,
                query={
                    "page": page,
                    "per_page": _PER_PAGE,
                    **_NEWEST_FIRST,
                },
                product=facts.product,
            )
            found = reply.get(facts.key) if is_object(reply) else None
            rows = [row for row in found if is_object(row)] if is_array(found) else []
            times = [moment(row.get("created_time")) for row in rows]
            # Zoho may ignore the order that was asked. One old row at the top proves nothing, so
            # the search ends early only if the whole page is in order.
            for time in times:
                in_order = in_order and time is not None and time <= last
                last = last if time is None else time
            # A record that comes again shows that rows moved. If records with one creation time
            # changed places, another one moved to a page that was read already.
            ids = {str(row.get(self._target.id_field) or "") for row in rows} - {""}
            repeats = repeats or not ids.isdisjoint(seen)
            for row, time in zip(rows, times, strict=True):
                if in_order and self._after is not None and (time or 0.0) < self._after:
                    self.complete = not repeats
                    return
                yield row
            context = reply.get("page_context") if is_object(reply) else None
            if not (is_object(context) and context.get("has_more_page")):
                self.complete = is_array(found) and not repeats
                return
            if ids <= seen:  # Zoho ignores the page, or promises pages without end
                return
            seen |= ids
            page += 1
