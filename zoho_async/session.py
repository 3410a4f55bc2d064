"""The session: one Zoho account, its sockets and its organizations.

A `Session` is opened once and shared by all tasks of an event loop. It carries a call from an
`Operation` and its arguments to a value. ``for_organization`` and ``with_options`` give views of
it: the same account, token and sockets, with another organization or other manners.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Any, Concatenate, Final, ParamSpec, TypeVar, cast, get_args

import aiohttp
import msgspec
from msgspec import UNSET, UnsetType

from zoho_async._msgspec import decoder_of
from zoho_async.auth import Credentials, TokenStore
from zoho_async.clock import SYSTEM_CLOCK, Clock
from zoho_async.errors import (
    ConfigurationError,
    OrganizationError,
    Request,
    UnreadableReply,
    ZohoError,
)
from zoho_async.events import Event, Observer, guarded
from zoho_async.http.body import body_of
from zoho_async.http.call import JSON, Budget, Call, Options, path_of
from zoho_async.http.client import Client
from zoho_async.http.download import Document, Download, Downloads
from zoho_async.http.reply import Heard, Reply, reply_of
from zoho_async.http.retry import Policy
from zoho_async.http.target import checked_headers, checked_path, checked_query
from zoho_async.http.transport import Answer, Body
from zoho_async.http.upload import Upload
from zoho_async.limits import MEMORY, Lane, Ledger, Limits, Snapshot
from zoho_async.operation import (
    PRODUCTS,
    ListOperation,
    Operation,
    Product,
    batches_of,
    most_of,
    refuse_beyond,
)
from zoho_async.wire import Decoder, encode, read_envelope
from zoho_async.wire import query as query_of
from zoho_async.wire.text import UNDECODABLE, untyped


class KnownOrganization(msgspec.Struct, frozen=True, kw_only=True):
    """One of the user's organizations; ``is_default`` is the one that calls mean by themselves."""

    id: str
    name: str = ""
    is_default: bool = False

    def __str__(self) -> str:
        return f"{self.id} ({self.name})" if self.name else self.id


class _Row(msgspec.Struct):
    organization_id: str | int
    name: str = ""
    is_default_org: bool | str = False


class _Rows(msgspec.Struct):
    organizations: list[_Row] = []


_ROWS: Final = decoder_of(_Rows)


def read_organizations(body: bytes) -> list[KnownOrganization]:
    """The rows of a reply of ``GET /organizations``. Raises what is `UNDECODABLE`."""
    rows = _ROWS.decode(body).organizations
    return [
        KnownOrganization(
            id=str(row.organization_id), name=row.name, is_default=row.is_default_org is True
        )
        for row in rows
    ]


T = TypeVar("T")
P = ParamSpec("P")

_METHODS: Final = frozenset({"GET", "POST", "PUT", "DELETE"})


class Session:
    """One Zoho account; ``async with`` closes it.

    ``organization`` is the id that calls name (None: the account's own default, which a ledger that
    other processes share does not allow). ``region`` is a name of `regions.REGIONS`; ``api_url``
    and ``accounts_url`` overrule its hosts. ``limits`` are the organization's limits as far as this
    client may use them, ``ledger`` is where their use is kept (by default in memory, one for the
    process). ``tokens`` shares access tokens with others who use the same refresh token (by default
    each session has its own); whoever made it closes it.
    ``observer`` is told of `events`. ``strict``
    raises `DecodeError` for values that do not fit their types, and `IncompleteList` at the end of
    a list that is not proven complete. ``http`` is a prepared aiohttp
    connector, which stays open; its ``limit`` says how many connections there may be at once, which
    are 100 else. ``products`` are called as they say instead of as
    `operation.PRODUCTS` says: by another version or base path, with the organization in a header.
    Raises `ConfigurationError` for what cannot work.
    """

    def __init__(
        self,
        credentials: Credentials,
        *,
        organization: str | int | None = None,
        region: str = "us",
        api_url: str | None = None,
        accounts_url: str | None = None,
        limits: Limits | None = None,
        ledger: Ledger | None = None,
        tokens: TokenStore | None = None,
        observer: Observer | None = None,
        strict: bool = False,
        http: aiohttp.BaseConnector | None = None,
        products: Iterable[Product] = (),
        retry: Policy | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        observer = guarded(observer)
        self._organization = _organization(organization)
        self._options = Options()
        self._is_owner = True
        self._asking = asyncio.Lock()
        self._choices: list[str] = []
        self._products = {**PRODUCTS, **{product.name: product for product in products}}
        self._heard: list[Heard] | None = None
        self._decoder = Decoder(strict=strict, observer=observer)
        self._account = Client(
            credentials,
            region_name=region,
            api_url=api_url,
            accounts_url=accounts_url,
            limits=limits or Limits(),
            ledger=ledger or MEMORY,
            observer=observer,
            connector=http,
            clock=clock,
            retry=retry or Policy(),
            tokens=tokens,
        )
        self._account.expect(self._organization)

    @classmethod
    def from_env(
        cls,
        environ: Mapping[str, str] | None = None,
        *,
        organization: str | int | None = None,
        limits: Limits | None = None,
        ledger: Ledger | None = None,
        tokens: TokenStore | None = None,
        observer: Observer | None = None,
        strict: bool = False,
        http: aiohttp.BaseConnector | None = None,
        products: Iterable[Product] = (),
    ) -> Session:
        """A session by ``ZOHO_CLIENT_ID``, ``ZOHO_CLIENT_SECRET`` and ``ZOHO_REFRESH_TOKEN``.

        ``ZOHO_ORGANIZATION_ID`` and ``ZOHO_REGION`` (default us) say which books;
        ``ZOHO_BASE_URL`` and ``ZOHO_ACCOUNTS_URL`` overrule the region's hosts. Arguments win over
        variables. Raises `ConfigurationError` that names what is missing or wrong.
        """
        env = os.environ if environ is None else environ
        return cls(
            Credentials.from_env(env),
            organization=organization or env.get("ZOHO_ORGANIZATION_ID") or None,
            region=env.get("ZOHO_REGION") or "us",
            api_url=env.get("ZOHO_BASE_URL") or None,
            accounts_url=env.get("ZOHO_ACCOUNTS_URL") or None,
            limits=limits,
            ledger=ledger,
            tokens=tokens,
            observer=observer,
            strict=strict,
            http=http,
            products=products,
        )

    def __repr__(self) -> str:
        return f"<Session organization={self._organization!r} api_url={self.api_url!r}>"

    async def __aenter__(self) -> Session:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End background work and calls that wait, and close the sockets. A view does nothing.

        A call that waits for its turn raises `SessionClosed`.
        """
        if self._is_owner:
            await self._account.aclose()

    # -- views ------------------------------------------------------------------------------

    def for_organization(self, organization: str | int) -> Session:
        """The same account and sockets, calling for another organization under its own limits."""
        view = self._view()
        view._organization = _organization(organization)
        return view

    def with_options(
        self,
        *,
        lane: Lane | UnsetType = UNSET,
        max_wait: float | UnsetType | None = UNSET,
        timeout: float | UnsetType = UNSET,
        retry_writes: bool | UnsetType = UNSET,
        wait_for_reset: bool | UnsetType = UNSET,
        budget: Budget | UnsetType | None = UNSET,
    ) -> Session:
        """A view whose calls go by other `Options`; what is left out stays as it is.

        Raises `ConfigurationError` for a lane that does not exist or a time that is not positive.
        """
        given = {
            "lane": lane,
            "max_wait": max_wait,
            "timeout": timeout,
            "retry_writes": retry_writes,
            "wait_for_reset": wait_for_reset,
            "budget": budget,
        }
        changes = {name: value for name, value in given.items() if value is not UNSET}
        if changes.get("lane", "bulk") not in get_args(Lane):
            raise ConfigurationError(f"lane is {lane!r}; choose one of {', '.join(get_args(Lane))}")
        for name in ("max_wait", "timeout"):
            value = changes.get(name)
            if isinstance(value, int | float) and value < 0:
                raise ConfigurationError(f"{name} is {value}; it must not be negative")
        view = self._view()
        view._options = msgspec.structs.replace(self._options, **changes)
        return view

    def _view(self) -> Session:
        view = object.__new__(Session)
        view.__dict__.update(self.__dict__)
        view._is_owner = False
        return view

    # -- what it is ---------------------------------------------------------------------------

    @property
    def organization(self) -> str | None:
        """The organization that calls name."""
        return self._organization

    @property
    def api_url(self) -> str:
        """The API host's URL."""
        return self._account.api_url

    @property
    def token_age(self) -> float | None:
        """The seconds since the current access token was given, or None before the first call."""
        return self._account.token_age

    @property
    def accounts_url(self) -> str:
        """The accounts server's URL."""
        return self._account.accounts_url

    @property
    def decoder(self) -> Decoder:
        """What turns replies into values; its ``drift`` counts what did not fit."""
        return self._decoder

    @property
    def limits(self) -> Limits:
        """What this client may use of each organization's limits."""
        return self._account.limits

    @property
    def rate(self) -> float:
        """The steady rate of this organization's bulk calls, in calls a second."""
        return self._account.scheduler(self._organization).rate

    async def snapshot(self) -> Snapshot:
        """How far this organization's limits are used at this moment."""
        return await self._account.scheduler(self._organization).snapshot()

    def observe(self, event: Event) -> None:
        """Tell the observer, if there is one."""
        self._account.observe(event)

    def start(self, work: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
        """Run ``work`` as a task that ends with this session at the latest."""
        return self._account.start(work, name=name)

    # -- calls --------------------------------------------------------------------------------

    async def call(
        self,
        operation: Operation[T],
        *,
        ids: Sequence[str | int] = (),
        query: Mapping[str, object] | None = None,
        body: object = UNSET,
        extra_body: Mapping[str, object] | None = None,
        headers: Mapping[str, object] | None = None,
        fields: Mapping[str, object] | None = None,
        files: Mapping[str, Upload | None] | None = None,
    ) -> T:
        """Carry out ``operation``; the generated functions end here.

        ``ids`` fill the path's names in order; ``query``, ``headers`` and ``fields`` (of a form)
        leave out what is None; ``body`` with ``extra_body`` is sent as JSON, or as ``JSONString``
        beside ``files``. Raises `CallError`, `LimitError` or `AuthError`; before anything is sent,
        `TooManyIds` for more ids than one call takes, `TypeError` and `ValueError` for what cannot
        be sent and files that Zoho does not take.
        """
        refuse_beyond(operation.batches, query)
        content, content_type = await body_of(operation, body, extra_body, fields, files)
        call = self._call(operation, ids, query, headers, content, content_type)
        answer, value = await self._send(call, partial(self._decoder.value, operation, ids=ids))
        self._hear(operation, answer)
        return value

    def download(
        self,
        operation: Operation[Any],
        *,
        ids: Sequence[str | int] = (),
        query: Mapping[str, object] | None = None,
        headers: Mapping[str, object] | None = None,
    ) -> Download:
        """The document that ``operation`` answers, asked for when it is read."""
        call = self._call(operation, ids, query, headers)

        async def carry(use: Callable[[Document], Awaitable[T]]) -> T:
            try:
                return await self._account.receive(call, operation.name, use)
            except OrganizationError as error:
                raise await self._among_those_there_are(error) from None

        return Download(carry)

    def downloads(
        self,
        operation: Operation[Any],
        *,
        split: str,
        query: Mapping[str, object],
    ) -> Downloads:
        """As `download`, one for each batch of the ids that ``split`` names in ``query``."""
        ids = cast(Sequence[str | int], query[split])
        return Downloads(
            [
                self.download(operation, query={**query, split: batch})
                for batch in batches_of(ids, most_of(operation.batches, split))
            ]
        )

    async def reply(
        self,
        function: Callable[Concatenate[Session, P], Awaitable[T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Reply[T]:
        """What ``function`` gives, with the status, headers and all else of the answer.

        ``await zoho.reply(invoices.get, invoice_id)`` stands for
        ``await invoices.get(zoho, invoice_id)``. A list is awaited, as one page. Where a function
        makes several calls, the answer is the last one's. Raises what ``function`` raises, and
        `TypeError` for one that makes no call.
        """
        view = self._view()
        view._heard = []
        value = await function(view, *args, **kwargs)
        if not view._heard:
            raise TypeError(f"{getattr(function, '__name__', function)} made no call")
        return reply_of(value, view._heard[-1])

    async def fetch_page(
        self,
        operation: ListOperation[Any],
        read: Callable[[bytes], T],
        *,
        ids: Sequence[str | int] = (),
        query: Mapping[str, object] | None = None,
    ) -> tuple[Answer, T]:
        """The reply that holds one page of a list, and what ``read`` made of its body."""
        product = self._products.get(operation.product.name, operation.product)
        call = Call(
            request=self._request("GET", path_of(operation.path, ids), operation.per_user),
            product=product,
            options=self._options,
            caller=self,
            query=checked_query(query_of(query), product.organization_query) if query else {},
            scope=operation.scope,
            codes=operation.codes,
            per_user=operation.per_user,
        )
        answer, page = await self._send(call, read)
        self._hear(operation, answer)
        return answer, page

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, object] | None = None,
        body: object = UNSET,
        headers: Mapping[str, object] | None = None,
        product: str = "books",
    ) -> Any:
        """Call any path of a product's API, under the same limits and retries.

        ``path`` begins after the version (``/settings/preferences``). Returns the reply's JSON,
        numbers with a decimal point as `Decimal`. Raises as `call` does, and `ConfigurationError`
        for a method, path, header or product that cannot be: a path holds no query, fragment, blank
        or ``..``, and neither headers nor ``query`` name the organization.
        """
        verb = method.upper()
        if verb not in _METHODS:
            raise ConfigurationError(f"method {method!r} is none of {', '.join(sorted(_METHODS))}")
        checked_path(path)
        if product not in self._products:
            raise ConfigurationError(f"product {product!r} is none of {', '.join(self._products)}")
        called = self._products[product]
        call = Call(
            request=self._request(verb, path, False),
            product=called,
            options=self._options,
            caller=self,
            query=checked_query(query_of(query), called.organization_query) if query else {},
            headers=self._headers(headers),
            body=None if body is UNSET else encode(body),
        )
        return (await self._send(call, untyped))[1]

    async def organizations(self) -> list[KnownOrganization]:
        """The organizations that this account may call for: one call, which names none.

        Needs the scope ``ZohoBooks.settings.READ``. Raises as `call` does.
        """
        call = Call(
            request=self._request("GET", "/organizations", True),
            product=self._products["books"],
            options=self._options,
            caller=self,
            scope="ZohoBooks.settings.READ",
            per_user=True,
        )
        answer, _ = await self._account.send(call, read_envelope)
        try:
            return read_organizations(answer.body)
        except UNDECODABLE:
            problem = "the reply lists no organizations"
            raise UnreadableReply(call.request, problem, answer.status) from None

    async def _send(self, call: Call, read: Callable[[bytes], T]) -> tuple[Answer, T]:
        try:
            return await self._account.send(call, read)
        except OrganizationError as error:
            raise await self._among_those_there_are(error) from None

    async def _among_those_there_are(self, wrong: OrganizationError) -> OrganizationError:
        """``wrong`` with the organizations that it could have been, asked for once."""
        if wrong.choices:
            return wrong
        async with self._asking:
            if not self._choices:
                with suppress(ZohoError):
                    self._choices.extend(map(str, await self.organizations()))
        return wrong.among(tuple(self._choices))

    def _hear(self, operation: Operation[Any] | ListOperation[Any], answer: Answer) -> None:
        if self._heard is not None:
            self._heard.append((operation, answer))

    def _call(
        self,
        operation: Operation[Any],
        ids: Sequence[str | int],
        query: Mapping[str, object] | None,
        headers: Mapping[str, object] | None,
        body: Body = None,
        content_type: str = JSON,
    ) -> Call:
        product = self._products.get(operation.product.name, operation.product)
        return Call(
            request=self._request(
                operation.method, path_of(operation.path, ids), operation.per_user
            ),
            product=product,
            options=self._options,
            caller=self,
            query=checked_query(query_of(query), product.organization_query) if query else {},
            headers=self._headers(headers),
            body=body,
            content_type=content_type,
            scope=operation.scope,
            codes=operation.codes,
            accept=operation.accept,
            repeatable=operation.repeatable,
            per_user=operation.per_user,
        )

    def _headers(self, headers: Mapping[str, object] | None) -> Mapping[str, str]:
        """Headers as they are sent. Raises `ConfigurationError` for those that cannot be."""
        if not headers:
            return {}
        named = [product.organization_header for product in self._products.values()]
        return checked_headers(query_of(headers), named)

    def _request(self, method: str, path: str, per_user: bool) -> Request:
        return Request(method, path, None if per_user else self._organization)


def _organization(value: str | int | None) -> str | None:
    """An organization's id as text. Raises `ConfigurationError` for what cannot be one."""
    if value is None:
        return None
    text = str(value).strip()
    if not text.isdecimal():
        raise ConfigurationError(
            f"organization {text!r} is no id: it is a number such as 10234695 "
            "(in Zoho's web app under the organization's name)"
        )
    return text
