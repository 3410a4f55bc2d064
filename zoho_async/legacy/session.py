"""The session of the 2010 API: the limits, retries and paging of `Session` with another protocol.

A call is a form with the authtoken, in the query of a GET or the body of a POST. Its reply is XML.
`LegacyCall` translates both. Everything else is the client, the scheduler and the pager of the
current API.

The names of the paging parameters are not documented, so they are options. If a list returns
another page than requested, the reply is unreadable, so that a wrong name cannot look like a short
list.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from decimal import Decimal
from hashlib import blake2b
from types import TracebackType
from typing import Any, Final, TypeVar
from urllib.parse import urlencode, urlsplit

import aiohttp
import msgspec

from zoho_async._msgspec import decoder_of
from zoho_async.auth import AccessToken, Credentials
from zoho_async.clock import SYSTEM_CLOCK, Clock
from zoho_async.errors import ConfigurationError, Request, UnreadableReply
from zoho_async.events import Event, Observer, guarded
from zoho_async.http.call import FORM, Call, Options, path_of
from zoho_async.http.client import Client
from zoho_async.http.retry import Policy
from zoho_async.http.target import checked_path
from zoho_async.http.transport import Answer
from zoho_async.legacy.authtoken import AuthToken
from zoho_async.legacy.xml import as_envelope
from zoho_async.limits import MEMORY, Lane, Ledger, Limits, Snapshot
from zoho_async.operation import ListOperation, Product
from zoho_async.paging import Pager
from zoho_async.regions import region
from zoho_async.wire import Decoder, Record, Unreadable
from zoho_async.wire import query as query_of
from zoho_async.wire.text import untyped

T = TypeVar("T")

#: The retired XML API as a product. The authtoken determines the organization.
LEGACY: Final = Product(name="legacy", base_path="/api")

_METHODS: Final = frozenset({"GET", "POST"})


class Item(Record, frozen=True, kw_only=True):
    """A product or service."""

    item_id: str = msgspec.field(name="ItemID", default="")
    uri: str | None = None
    name: str | None = msgspec.field(name="Name", default=None)
    description: str | None = msgspec.field(name="Description", default=None)
    rate: Decimal | None = msgspec.field(name="Rate", default=None)
    tax1_name: str | None = msgspec.field(name="Tax1Name", default=None)
    tax1_percentage: Decimal | None = msgspec.field(name="Tax1Percentage", default=None)
    tax2_name: str | None = msgspec.field(name="Tax2Name", default=None)
    tax2_percentage: Decimal | None = msgspec.field(name="Tax2Percentage", default=None)


#: Items, the only list in the documentation of the 2010 API.
ITEMS: Final = ListOperation(
    name="legacy.items.list",
    product=LEGACY,
    path="/items/",
    row=Item,
    key="Items",
    row_id="ItemID",
    paged=True,
    totals=True,
)


class LegacyCall(Call, frozen=True, kw_only=True):
    """A call of the 2010 API. The repr hides ``form``, which contains the authtoken."""

    form: str

    def __repr__(self) -> str:
        return f"LegacyCall({self.request})"

    def url(self, api_url: str) -> str:
        """The complete URL. For a GET, the form is the query."""
        text = "" if self.body else f"?{self.form}"
        return f"{api_url}{self.product.base_path}{self.request.path}{text}"

    def all_headers(self, token: str) -> dict[str, str]:
        headers = {"Accept": "text/xml, application/xml"}
        return headers | {"Content-Type": FORM} if self.body else headers

    def understood(self, answer: Answer) -> Answer:
        """The answer with its body converted to the envelope of the current API."""
        try:
            body = as_envelope(answer.body)
        except Unreadable:
            return answer  # not XML; the reader of the body raises the error
        return msgspec.structs.replace(answer, body=body)


class _Account(Client):
    """A client with an authtoken, which does not expire and cannot be renewed."""

    _can_renew = False

    async def _fetch_token(self) -> AccessToken:
        return AccessToken("authtoken", float("inf"))


class PageNames(msgspec.Struct, frozen=True):
    """The names of the parameters for page number and page size."""

    page: str = "page"
    per_page: str = "per_page"


_PAGES: Final = PageNames()


class Legacy:
    """One account of the retired XML API of Zoho Invoice. Use ``async with`` to close it.

    ``api_url`` overrides the region's host. ``pages`` names the paging parameters. The other
    parameters are those of `Session`. Raises `ConfigurationError` for invalid parameters.
    """

    def __init__(
        self,
        token: AuthToken,
        *,
        region_name: str = "us",
        api_url: str | None = None,
        pages: PageNames = _PAGES,
        limits: Limits | None = None,
        ledger: Ledger | None = None,
        observer: Observer | None = None,
        strict: bool = False,
        http: aiohttp.BaseConnector | None = None,
        retry: Policy | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        url = api_url or region(region_name).legacy_url
        if url is None:
            raise ConfigurationError(
                f"the host of the XML API in region {region_name!r} is unknown: pass it as api_url"
            )
        self._token: Final = token
        self._pages: Final = pages
        self._options = Options()
        self._decoder: Final = Decoder(strict=strict, observer=guarded(observer))
        # Identifies the account in ledgers and logs, which must not contain the authtoken.
        name = f"legacy-{blake2b(token.authtoken.encode(), digest_size=8).hexdigest()}"
        self._account: Final = _Account(
            Credentials(name, name, name),
            region_name=region_name,
            api_url=url,
            accounts_url=None,
            limits=limits or Limits(),
            ledger=ledger or MEMORY,
            observer=observer,
            connector=http,
            clock=clock,
            retry=retry or Policy(),
        )

    def __repr__(self) -> str:
        return f"<Legacy {urlsplit(self._account.api_url).netloc}>"

    async def __aenter__(self) -> Legacy:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Cancel background tasks and close the connections."""
        await self._account.aclose()

    # -- calls --------------------------------------------------------------------------------

    async def request(
        self, method: str, path: str, form: Mapping[str, object] | None = None
    ) -> dict[str, Any]:
        """Call any method of the API. ``path`` begins after ``/api``.

        Returns the content of the reply, with texts as Zoho sent them. Raises as `Session.call`,
        and `ConfigurationError` for an invalid method or path.
        """
        verb = method.upper()
        if verb not in _METHODS:
            raise ConfigurationError(f"method must be GET or POST, got {method!r}")
        checked_path(path.removesuffix("/"))  # some documented paths end in a slash
        call = self._call(verb, path, query_of(form or {}))
        reply: dict[str, Any] = (await self._account.send(call, untyped))[1]
        return {name: value for name, value in reply.items() if name not in ("code", "message")}

    def items(self) -> Pager[Item]:
        """The active items."""
        return self.list(ITEMS)

    def list(self, operation: ListOperation[T], **form: object) -> Pager[T]:
        """The rows of a list. ``form`` holds more parameters."""
        return Pager(self, operation, query=form)

    def _call(self, method: str, path: str, form: Mapping[str, str]) -> LegacyCall:
        text = urlencode({**form, **self._token.form()})
        return LegacyCall(
            request=Request(method, path),
            product=LEGACY,
            options=self._options,
            caller=self,
            body=text.encode() if method == "POST" else None,
            form=text,
            per_user=True,  # the authtoken determines the organization
        )

    # -- for paging ---------------------------------------------------------------------------

    @property
    def organization(self) -> None:
        """None, because the authtoken determines the organization."""
        return

    @property
    def decoder(self) -> Decoder:
        """The decoder of replies."""
        return self._decoder

    @property
    def rate(self) -> float:
        """The steady rate of bulk calls, in calls per second."""
        return self._account.scheduler(None).rate

    async def snapshot(self) -> Snapshot:
        """The current usage of the limits."""
        return await self._account.scheduler(None).snapshot()

    def with_options(self, *, lane: Lane, max_wait: float | None) -> Legacy:
        """The same account with other options."""
        view = object.__new__(Legacy)
        view.__dict__.update(self.__dict__)
        view._options = msgspec.structs.replace(self._options, lane=lane, max_wait=max_wait)
        return view

    async def fetch_page(
        self,
        operation: ListOperation[Any],
        read: Callable[[bytes], T],
        *,
        ids: Sequence[str | int] = (),
        query: Mapping[str, object] | None = None,
    ) -> tuple[Answer, T]:
        """Fetch one page of a list. Return the reply and the result of ``read`` on its body."""
        asked = dict(query or {})
        page = asked.get("page")
        named = {"page": self._pages.page, "per_page": self._pages.per_page}
        # The API always sends totals, so they are not requested.
        form = {named.get(name, name): v for name, v in asked.items() if name != "response_option"}
        call = self._call("GET", path_of(operation.path, ids), query_of(form))
        answer, rows = await self._account.send(call, read)
        _check_page(call.request, answer, page)
        return answer, rows

    def start(self, work: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
        """Run ``work`` as a task that is cancelled when this session closes."""
        return self._account.start(work, name=name)

    def observe(self, event: Event) -> None:
        """Pass an event to the observer, if there is one."""
        self._account.observe(event)


class _Page(msgspec.Struct):
    page: int | None = None


class _Paged(msgspec.Struct):
    page_context: _Page | None = None


_PAGED: Final = decoder_of(_Paged)


def _check_page(request: Request, answer: Answer, asked: object) -> None:
    context = _PAGED.decode(answer.body).page_context
    if context is not None and asked is not None and context.page not in (None, asked):
        raise UnreadableReply(
            request,
            f"requested page {asked} but got page {context.page}: "
            "set the paging parameters with Legacy(pages=PageNames(...))",
            answer.status,
        )
