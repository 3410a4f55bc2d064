"""Faults of the package that were fixed, and can be put back while a simulation runs.

Each is a function that replaces one function of the package by what it was, or by the same without
the fix. ``words`` are those of CHANGELOG or docs/found.md. A replaced function must still exist and
take the same arguments, so that a change of the package does not silently end the proof.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final
from unittest import mock

_PACKAGE: Final = "zoho_async."


@dataclass(frozen=True, slots=True)
class OldFault:
    """One fault: its name, what went wrong, and the function that is replaced.

    ``target`` is ``module:name`` or ``module:Class.name``. ``make`` gets what is there and returns
    what replaces it. ``workloads`` are those that use it. ``seed`` is that of a world in which it
    breaks a promise, None if none is known.
    """

    name: str
    words: str
    workloads: tuple[str, ...]
    target: str
    make: Callable[[Any], Any]
    seed: int | None = None


@contextmanager
def put_back(fault: OldFault) -> Generator[None]:
    """Put ``fault`` back for as long as the block runs.

    Raises `LookupError` if the function is gone or takes other arguments.
    """
    module_name, _, path = fault.target.partition(":")
    holder: Any = importlib.import_module(module_name)
    *outer, name = path.split(".")
    for each in outer:
        holder = getattr(holder, each, None)
    found = inspect.getattr_static(holder, name, None)
    if found is None:
        raise LookupError(f"{fault.target} is gone: put {fault.name!r} back in another way")
    new = fault.make(found)
    if callable(found) and inspect.signature(found) != inspect.signature(new):
        raise LookupError(f"{fault.target} takes other arguments than its old form")
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(holder, name, new))
        if not outer:  # modules that imported it by name
            for module in [*sys.modules.values()]:
                if getattr(module, "__name__", "").startswith(_PACKAGE):
                    for own, value in list(vars(module).items()):
                        if value is found:
                            stack.enter_context(mock.patch.object(module, own, new))
        yield


def _returning(value: object) -> Callable[[Any], Any]:
    """Replace a function by one with the same arguments that returns ``value``."""

    def make(found: Any) -> Any:
        def old(*args: Any, **options: Any) -> Any:
            return value

        return _like(found, old)

    return make


def _returning_async(value: object) -> Callable[[Any], Any]:
    def make(found: Any) -> Any:
        async def old(*args: Any, **options: Any) -> Any:
            return value

        return _like(found, old)

    return make


def _like(found: Any, old: Any) -> Any:
    old.__signature__ = inspect.signature(found)
    return old


def _never(found: Any) -> Any:
    return property(lambda self: False)


def _page_ignored(read: Any) -> Any:
    """Repeated pages do not end a list that announces more."""

    def old(self: Any, *, rows: int, new: int, has_more: bool | None, repeats: bool = False) -> Any:
        self._pages_without_new = 0
        return read(self, rows=rows, new=new or bool(has_more), has_more=has_more, repeats=False)

    return _like(read, old)


def _empty_page(read: Any) -> Any:
    """An empty page ends a list, also if the page before announced more."""

    def old(self: Any, *, rows: int, new: int, has_more: bool | None, repeats: bool = False) -> Any:
        self._promised_more = False
        return read(self, rows=rows, new=new, has_more=has_more, repeats=repeats)

    return _like(read, old)


def _empty_reply(result_of: Any) -> Any:
    """A list without rows and without a count is believed to be empty."""
    from msgspec.structs import replace

    def old(state: Any, *, steady: bool) -> Any:
        result = result_of(state, steady=steady)
        if state.passes.records_seen == 0:
            return replace(result, completeness="proven", believed=True, settled=True)
        return result

    return _like(result_of, old)


def _unchecked_base(completeness_of: Any) -> Any:
    """A read of changes is proven, whatever the read on which it builds was."""
    from msgspec.structs import replace

    def old(state: Any) -> Any:
        bookmark = replace(state.bookmark, completeness="proven")
        return completeness_of(replace(state, bookmark=bookmark))

    return _like(completeness_of, old)


def _ties(page: Any) -> Any:
    """Equal sort values on both sides of a page border are no reason for doubt."""

    def old(self: Any, values: Any) -> Any:
        if self._edge is not None:
            self._edge -= 0.001
        return page(self, values)

    return _like(page, old)


def _without_values(value_under_other_key: Any) -> Any:
    """A record that is not under its key has no values."""
    from zoho_async.wire.shape import shape_of

    def old(self: Any, operation: Any, body: bytes, ids: Any, value: Any) -> Any:
        struct = shape_of(operation.result).struct
        if struct is None:
            return value_under_other_key(self, operation, body, ids, value)
        return struct(), ()

    return _like(value_under_other_key, old)


def _numbers_only(code: Any) -> Any:
    """A code that is sent as text is not read."""

    def old(sent: object) -> Any:
        return None if isinstance(sent, str) else code(sent)

    return _like(code, old)


def _no_rounding(withdraw: Any) -> Any:
    """A retry that is a rounding error short of one is not there yet."""

    def old(self: Any) -> float:
        self._earn(0.0)
        if self._saved >= 1.0:
            self._saved -= 1.0
            return 0.0
        missing: float = (1.0 - self._saved) / self.PER_SECOND
        return missing

    return _like(withdraw, old)


def _moved_rows(newest: Any) -> Any:
    """A search counts as complete, although it shows a record twice."""
    from zoho_async.importer import settle
    from zoho_async.wire.page import moment

    async def old(self: Any, facts: Any) -> Any:
        page, last, in_order = 1, float("inf"), True
        while True:
            query = {"page": page, "per_page": settle._PER_PAGE, **settle._NEWEST_FIRST}
            reply = await self._zoho.request("GET", facts.path, query=query, product=facts.product)
            found = reply.get(facts.key) if isinstance(reply, dict) else None
            rows = [row for row in found or () if isinstance(row, dict)]
            times = [moment(row.get("created_time")) for row in rows]
            for time in times:
                in_order = in_order and time is not None and time <= last
                last = last if time is None else time
            for row, time in zip(rows, times, strict=True):
                if in_order and self._after is not None and (time or 0.0) < self._after:
                    self.complete = True
                    return
                yield row
            context = reply.get("page_context") if isinstance(reply, dict) else None
            if not (isinstance(context, dict) and context.get("has_more_page")):
                self.complete = isinstance(found, list)
                return
            page += 1

    return _like(newest, old)


def _word_for_success(body_status: Any) -> Any:
    """A word in place of a code is a success."""

    def old(code: int | None, word: str, codes: Any, *, trouble: bool) -> Any:
        return body_status(code, "", codes, trouble=trouble)

    return _like(body_status, old)


OLD_FAULTS: Final[tuple[OldFault, ...]] = (
    OldFault(
        "stray reply",
        "A reply that was not asked for became the answer to the next call on its connection.",
        ("reads", "calls"),
        "zoho_async.http.connection:_has_unread_input",
        _returning(False),
    ),
    OldFault(
        "ties",
        "Ties that change places at page borders were claimed proven.",
        ("exports",),
        "zoho_async.paging.completeness:Borders.page",
        _ties,
        1000080,
    ),
    OldFault(
        "another key",
        "A record under another envelope key was read as one without values.",
        ("reads",),
        "zoho_async.wire.decoder:Decoder._value_under_other_key",
        _without_values,
        1000005,
    ),
    OldFault(
        "code as text",
        "A code that is sent as text was no code, so a block was not noticed.",
        ("calls",),
        "zoho_async.wire.envelope:_code",
        _numbers_only,
    ),
    OldFault(
        "gateway gave up",
        "A write that is answered by 408, 499 or an error page was reported as refused.",
        ("reads",),
        "zoho_async.http.verdict:_may_have_run",
        _returning(False),
        1000022,
    ),
    OldFault(
        "page ignored",
        "Reading did not end if a server ignored page.",
        ("reads",),
        "zoho_async.paging.plan:PagePlan.read",
        _page_ignored,
    ),
    OldFault(
        "empty page",
        "An empty page that was not expected ended a list without totals.",
        ("reads", "exports"),
        "zoho_async.paging.plan:PagePlan.read",
        _empty_page,
    ),
    OldFault(
        "empty reply",
        "A reply without rows replaced a full file.",
        ("exports",),
        "zoho_async.export.passes:result_of",
        _empty_reply,
    ),
    OldFault(
        "unchecked base",
        "An incremental run claimed proven although the full read before it was uncheckable.",
        ("exports",),
        "zoho_async.export.passes:completeness_of",
        _unchecked_base,
    ),
    OldFault(
        "Redis forgot",
        "Too many calls were sent after Redis was flushed, restarted, restored or failed over.",
        ("limits",),
        "zoho_async.limits.redis.epoch:startup_wait",
        _returning(0.0),
        1000016,
    ),
    OldFault(
        "shares",
        "Workers with shares of the limits sent too much after an outage.",
        ("limits",),
        "zoho_async.limits.redis.epoch:offline_wait",
        _returning(0.0),
    ),
    OldFault(
        "old place",
        "A process that stopped between admission and sending could exceed the limit.",
        ("calls", "limits"),
        "zoho_async.limits.slot:Slot.stale",
        _never,
    ),
    OldFault(
        "power loss",
        "A file that was just replaced was the old one again after the machine lost power.",
        ("exports", "tokens"),
        "zoho_async.files:sync_directory",
        _returning(None),
    ),
    OldFault(
        "fork",
        "Ledgers, token stores and sessions were used after a fork.",
        ("calls",),
        "zoho_async.fork:Process.other",
        _never,
        1000014,
    ),
    OldFault(
        "word for a code",
        'HTTP 200 with {"code": "error"} was a success.',
        ("reads",),
        "zoho_async.http.verdict:body_status",
        _word_for_success,
    ),
    OldFault(
        "another record",
        "An answer about another record was accepted.",
        ("reads",),
        "zoho_async.wire.identity:is_other_record",
        _returning(False),
    ),
    OldFault(
        "search in vain",
        "A lost write was given up although records do not keep the token, and was sent again.",
        ("imports",),
        "zoho_async.importer.settle:WriteSettler.is_proven",
        _returning_async(True),
        1000081,
    ),
    OldFault(
        "moved rows",
        "The search for a lost write passed over a record that changed places, and sent it again.",
        ("imports",),
        "zoho_async.importer.settle:_Rows._newest",
        _moved_rows,
        1000008,
    ),
    OldFault(
        "saved retries",
        "A call whose saved retries were a rounding error short of one asked again without end.",
        ("reads",),
        "zoho_async.http.retry:RetryBudget.withdraw",
        _no_rounding,
    ),
)
