"""A page of rows keeps its type between the socket and the destination.

The test watches every call of a real export: which values of the package, passed or returned, hold
all rows of a page? A new wrapper around a page appears here, whatever its name and place.
"""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Final

import msgspec

from zoho_async import Session
from zoho_async.export import Export
from zoho_async.limits import MemoryLedger
from zoho_async.sandbox import Sandbox
from zoho_async.wire import Page

#: A value may hold a page through this many others: a queue entry holds a page, which holds rows.
DEPTH: Final = 3


class PageWatch:
    """Collects the types of the values that functions get or return while they hold a page."""

    def __init__(self, rows: list[bytes]) -> None:
        self.types: set[str] = set()
        self._rows: Final = rows

    def __call__(self, frame: FrameType, event: str, returned: object) -> None:
        if not frame.f_globals.get("__name__", "").startswith("zoho_async."):
            return
        if event == "call":
            code = frame.f_code
            names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
            for name in names:
                if name != "self":
                    self._look(frame.f_locals.get(name))
        elif event == "return":
            self._look(returned)

    def _look(self, value: Any) -> None:
        if isinstance(value, tuple | list):
            for one in value[:20]:
                self._look_at_one(one)
        else:
            self._look_at_one(value)

    def _look_at_one(self, value: object) -> None:
        name = type_name(value)
        if name not in self.types and self.holds_page(value, DEPTH):
            self.types.add(name)

    def holds_page(self, value: object, depth: int) -> bool:
        """Whether a value of the package holds the bytes of all rows, itself or in its fields."""
        if depth == 0 or not is_ours(value):
            return False
        return any(self._is_page(one) or self.holds_page(one, depth - 1) for one in parts(value))

    def _is_page(self, value: Any) -> bool:
        if isinstance(value, bytes):
            return all(row in value for row in self._rows)
        if isinstance(value, list | tuple) and len(value) >= len(self._rows):
            found = {bytes(one) for one in value if isinstance(one, bytes | msgspec.Raw)}
            return found >= set(self._rows)
        return False


def type_name(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def is_ours(value: object) -> bool:
    module = type(value).__module__
    return module.startswith("zoho_async.") and not module.startswith("zoho_async.sandbox")


def parts(value: object) -> list[Any]:
    """The values of an object's fields. Classes and functions are not read."""
    fields: tuple[str, ...] = getattr(value, "__struct_fields__", ())
    found = [getattr(value, name, None) for name in fields]
    found += list(getattr(value, "__dict__", {}).values())
    for cls in type(value).__mro__:
        slots = cls.__dict__.get("__slots__", ())
        found += [getattr(value, name, None) for name in slots]
    return found


@contextmanager
def watched(watch: PageWatch) -> Generator[None]:
    """Watch the calls of this thread and of the threads that begin now."""
    sys.setprofile(watch)
    threading.setprofile(watch)
    try:
        yield
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
        gc.collect()


async def test_a_page_crosses_at_most_three_types(tmp_path: Path) -> None:
    async with Sandbox(sizes={"books.contacts": 5}, minute=1.0) as sandbox:
        watch = PageWatch(sandbox.truth("books.contacts"))
        ledger = MemoryLedger()
        async with Session.from_env(sandbox.environment(), ledger=ledger) as zoho:
            with watched(watch):
                async with Export(zoho, ["books.contacts"], to=tmp_path) as job:
                    await job.wait()
        written = (tmp_path / "books/contacts.jsonl").read_bytes().splitlines()
        assert written == sandbox.truth("books.contacts")
    assert {"zoho_async.http.transport.Answer", "zoho_async.wire.page.Page"} <= watch.types
    assert len(watch.types) <= 3, watch.types


def test_a_wrapper_of_a_page_would_be_seen() -> None:
    class Wrapper(msgspec.Struct):
        page: Page[bytes]

    Wrapper.__module__ = "zoho_async.export.somewhere"
    rows = [b'{"a":1}', b'{"a":2}']
    watch = PageWatch(rows)
    page = Page(rows=rows, ids=["", ""])
    assert watch.holds_page(page, DEPTH)
    assert watch.holds_page(Wrapper(page), DEPTH)
    assert not watch.holds_page(Wrapper(Page(rows=rows[:1], ids=[""])), DEPTH)
