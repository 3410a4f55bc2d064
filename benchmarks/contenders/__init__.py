"""The contenders that are measured over HTTP. All do the same work.

`CONTENDERS` names them. A contender is a class with one instance per process. A task that it does
not offer keeps its definition here, and the table of that task leaves it out.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence
from typing import Any, BinaryIO, Final, Literal, TypeAlias

import msgspec

from benchmarks.server import Kind, organization

#: ``page``: one page as records. ``few``: eight fields of its rows. ``blank``: eight of which some
#: are blank. ``lines``: the rows as lines of a file. ``calls``: ten small ones.
Task: TypeAlias = Literal["page", "few", "blank", "lines", "calls"]

TOKEN: Final = "1000.benchmark"
AT_ONCE: Final = 10


class Spec(msgspec.Struct, frozen=True, kw_only=True):
    """The job of a worker."""

    name: str
    task: Task
    url: str
    kind: Kind = "typed"
    uvloop: bool = False


class Contender:
    """A client of one server, opened by ``open`` in the event loop that uses it."""

    #: The tasks that it offers.
    tasks: tuple[Task, ...] = ("page", "calls")

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.organization = organization(spec.kind, 200)
        self.api = f"{spec.url}/books/v3"
        self.page_url = f"{self.api}/invoices?organization_id={self.organization}&per_page=200"
        self.call_url = f"{self.api}/contacts?organization_id={self.organization}"
        self.headers = {"Authorization": f"Zoho-oauthtoken {TOKEN}", "Accept": "application/json"}

    async def open(self) -> None:
        """Make the client."""

    async def page(self) -> Sequence[Any]:
        """Return the rows of one page, as this library returns them."""
        raise NotImplementedError

    async def into(self, shape: type[msgspec.Struct]) -> Sequence[Any]:
        """Return the rows of one page as ``shape``."""
        raise NotImplementedError

    async def lines(self, file: BinaryIO) -> None:
        """Write the rows of one page, one per line."""
        raise NotImplementedError

    async def calls(self) -> object:
        """Make `AT_ONCE` small calls together, or one after the other if it is not asynchronous."""
        raise NotImplementedError

    async def close(self) -> None:
        """Close the sockets."""


class Entry(msgspec.Struct, frozen=True):
    """Where a contender is found (``module:class``) and the library that it needs."""

    where: str
    needs: str = ""
    uvloop: bool = False

    def load(self) -> type[Contender]:
        """The class. Raises `ImportError` if its library is not installed."""
        if self.needs:
            importlib.import_module(self.needs)
        module, _, name = self.where.partition(":")
        found: type[Contender] = getattr(
            importlib.import_module(f"benchmarks.contenders.{module}"), name
        )
        return found


FLOOR: Final = "aiohttp + msgspec"
OURS: Final = "zoho_async"

CONTENDERS: Final[dict[str, Entry]] = {
    FLOOR: Entry("floor:Floor"),
    "raw sockets + msgspec": Entry("floor:Sockets"),
    OURS: Entry("ours:Ours"),
    "zoho_async on uvloop": Entry("ours:Ours", uvloop=True),
    "aiohttp + orjson": Entry("floor:Orjson"),
    "httpx + json": Entry("peers:HttpxJson", needs="httpx"),
    "httpx + json, made exact": Entry("peers:ExactJson", needs="httpx"),
    "httpx + pydantic": Entry("peers:Pydantic", needs="httpx"),
    "httpx + pydantic, exact": Entry("peers:ExactPydantic", needs="httpx"),
    "requests + json": Entry("peers:RequestsJson", needs="requests"),
    "zohopy": Entry("peers:Zohopy", needs="zohopy"),
    "pyzohoapi": Entry("peers:Pyzohoapi", needs="pyzohoapi"),
}

#: The ratio of something that was not measured.
UNKNOWN: Final = math.nan
