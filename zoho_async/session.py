"""A session: one Zoho account, its connections and its organizations.

Open one `Session` and share it among all tasks of an event loop. It turns an `Operation` and its
arguments into a call and a value. ``for_organization`` and ``with_options`` return views: the same
account, token and connections, with another organization or other options.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property, partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, TypeVar, cast, get_args

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
from zoho_async.http.reply import Reply, ReplyCapture, reply_of
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
    check_id_count,
    max_ids,
    split_ids,
)
from zoho_async.wire import Decoder, encode, read_envelope
from zoho_async.wire import query as query_of
from zoho_async.wire.text import UNDECODABLE, untyped

if TYPE_CHECKING:
    from zoho_async.billing import ZohoBilling
    from zoho_async.books import ZohoBooks
    from zoho_async.inventory import ZohoInventory
    from zoho_async.invoice import ZohoInvoice


class KnownOrganization(msgspec.Struct, frozen=True, kw_only=True):
    """One of the user's organizations. Calls that name none go to the one with ``is_default``."""

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
    """Read a reply of ``GET /organizations``. Raises one of `UNDECODABLE`."""
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
    """A Zoho account and its connections. ``async with`` closes it.

        async with Session.from_env() as zoho:
            invoice = await invoices.get(zoho, "982000000567114")

    - ``credentials``: client id, client secret and refresh token.
    - ``organization``: the id that calls name. None means the account's default organization, which
      is not possible with a ledger that other processes share.
    - ``region``: the data center, a name in `regions.REGIONS`. ``api_url`` and ``accounts_url``
      override its hosts.
    - ``limits``: the share of the organization's limits that this client may use.
    - ``ledger``: counts the calls. By default in memory, one for the process.
    - ``tokens``: shares access tokens with other users of the same refresh token. By default each
      session has its own. The caller closes it.
    - ``observer``: a callable that gets the `events`.
    - ``strict``: raise `DecodeError` for values that do not fit their types, and `IncompleteList`
      at the end of a list that is not proven complete.
    - ``http``: an aiohttp connector, which stays open. Its ``limit`` is the maximum number of
      connections (default 100).
    - ``products``: replace entries of `operation.PRODUCTS`, for another version or base path, or to
      send the organization in a header.
    - ``retry``: the number of tries and the delays between them.
    - ``clock``: the source of time, for tests.

    Raises `ConfigurationError` for settings that cannot work.
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
        self._organization = _organization_id(organization)
        self._options = Options()
        self._is_owner = True
        self._choices_lock = asyncio.Lock()
        self._choices: list[str] = []
        self._products = {**PRODUCTS, **{product.name: product for product in products}}
        self._captured: list[ReplyCapture] | None = None
        self._decoder = Decoder(strict=strict, observer=observer)
        self._client = Client(
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
        self._client.expect(self._organization)

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
        """Create a session from ``ZOHO_CLIENT_ID``, ``ZOHO_CLIENT_SECRET``, ``ZOHO_REFRESH_TOKEN``.

        ``ZOHO_ORGANIZATION_ID`` and ``ZOHO_REGION`` (default us) name the organization and data
        center; ``ZOHO_BASE_URL`` and ``ZOHO_ACCOUNTS_URL`` override the region's hosts. Arguments
        win over variables. Raises `ConfigurationError` that names what is missing or wrong.
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
        """End background work and waiting calls, and close the connections. Not for views.

        Calls that wait for a slot raise `SessionClosed`. On a view it does nothing.
        """
        if self._is_owner:
            await self._client.aclose()

    # -- views ------------------------------------------------------------------------------

    def for_organization(self, organization: str | int) -> Session:
        """Return a view that calls for another organization, under that organization's limits."""
        view = self._view()
        view._organization = _organization_id(organization)
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
        """Return a view with other `Options`. Options that are left out stay as they are.

        Raises `ConfigurationError` for an unknown lane or a negative time.
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
            raise ConfigurationError(
                f"unknown lane {lane!r}; choose one of {', '.join(get_args(Lane))}"
            )
        for name in ("max_wait", "timeout"):
            value = changes.get(name)
            if isinstance(value, int | float) and value < 0:
                raise ConfigurationError(f"{name} must not be negative, got {value}")
        view = self._view()
        view._options = msgspec.structs.replace(self._options, **changes)
        return view

    def _view(self) -> Session:
        view = object.__new__(Session)
        view.__dict__.update(self.__dict__)
        for product in PRODUCTS:
            view.__dict__.pop(product, None)
        view._is_owner = False
        return view

    # -- products -----------------------------------------------------------------------------

    @cached_property
    def books(self) -> ZohoBooks:
        """Zoho Books: ``zoho.books.invoices.get("1")``."""
        from zoho_async.books import ZohoBooks

        return ZohoBooks(self)

    @cached_property
    def invoice(self) -> ZohoInvoice:
        """Zoho Invoice: ``zoho.invoice.estimates.get("1")``."""
        from zoho_async.invoice import ZohoInvoice

        return ZohoInvoice(self)

    @cached_property
    def billing(self) -> ZohoBilling:
        """Zoho Billing: ``zoho.billing.subscriptions.get("1")``."""
        from zoho_async.billing import ZohoBilling

        return ZohoBilling(self)

    @cached_property
    def inventory(self) -> ZohoInventory:
        """Zoho Inventory: ``zoho.inventory.items.get("1")``."""
        from zoho_async.inventory import ZohoInventory

        return ZohoInventory(self)

    # -- properties ---------------------------------------------------------------------------

    @property
    def organization(self) -> str | None:
        """The organization that calls name, or None for the account's default."""
        return self._organization

    @property
    def api_url(self) -> str:
        """The API host's URL."""
        return self._client.api_url

    @property
    def token_age(self) -> float | None:
        """Seconds since the current access token was issued, or None before the first call."""
        return self._client.token_age

    @property
    def accounts_url(self) -> str:
        """The accounts server's URL."""
        return self._client.accounts_url

    @property
    def decoder(self) -> Decoder:
        """Turns replies into values. Its ``drift`` counts the values that did not fit."""
        return self._decoder

    @property
    def limits(self) -> Limits:
        """The share of each organization's limits that this client may use."""
        return self._client.limits

    @property
    def rate(self) -> float:
        """The steady rate of this organization's bulk calls, in calls per second."""
        return self._client.scheduler(self._organization).rate

    async def snapshot(self) -> Snapshot:
        """Return the current usage of this organization's limits. Makes no API call."""
        return await self._client.scheduler(self._organization).snapshot()

    def observe(self, event: Event) -> None:
        """Pass ``event`` to the observer, if there is one."""
        self._client.observe(event)

    def start(self, work: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
        """Run ``work`` as a task that ends no later than this session."""
        return self._client.start(work, name=name)

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
        """Call ``operation`` and return its value. The generated functions end here.

        ``ids`` fill the path's names in order. ``query``, ``headers`` and ``fields`` (of a form)
        leave out values that are None. ``body`` with ``extra_body`` is sent as JSON, or as
        ``JSONString`` if there are ``files``. Raises `CallError`, `LimitError` or `AuthError`.
        Before anything is sent, raises `TooManyIds` for more ids than one call takes, and
        `TypeError` or `ValueError` for values that cannot be sent and files that Zoho does not
        accept.
        """
        check_id_count(operation.batches, query)
        content, content_type = await body_of(operation, body, extra_body, fields, files)
        call = self._call(operation, ids, query, headers, content, content_type)
        answer, value = await self._send(call, partial(self._decoder.value, operation, ids=ids))
        self._capture(operation, answer)
        return value

    def download(
        self,
        operation: Operation[Any],
        *,
        ids: Sequence[str | int] = (),
        query: Mapping[str, object] | None = None,
        headers: Mapping[str, object] | None = None,
    ) -> Download:
        """Return the document of ``operation``. No call is made until it is read."""
        call = self._call(operation, ids, query, headers)

        async def carry(use: Callable[[Document], Awaitable[T]]) -> T:
            try:
                return await self._client.receive(call, operation.name, use)
            except OrganizationError as error:
                raise await self._with_choices(error) from None

        return Download(carry)

    def downloads(
        self,
        operation: Operation[Any],
        *,
        split: str,
        query: Mapping[str, object],
    ) -> Downloads:
        """As `download`, with one document per batch of the ids that ``split`` names."""
        ids = cast(Sequence[str | int], query[split])
        return Downloads(
            [
                self.download(operation, query={**query, split: batch})
                for batch in split_ids(ids, max_ids(operation.batches, split))
            ]
        )

    async def reply(
        self,
        function: Callable[Concatenate[Session, P], Awaitable[T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Reply[T]:
        """Call ``function``, and return its value with the rest of the answer.

        ``await zoho.reply(invoices.get, invoice_id)`` calls ``invoices.get(zoho, invoice_id)``. A
        list gives one page. If the function makes several calls, the answer is the last one's.
        Raises what ``function`` raises, and `TypeError` if it makes no call.
        """
        view = self._view()
        view._captured = []
        value = await function(view, *args, **kwargs)
        if not view._captured:
            raise TypeError(f"{getattr(function, '__name__', function)} made no API call")
        return reply_of(value, view._captured[-1])

    async def fetch_page(
        self,
        operation: ListOperation[Any],
        read: Callable[[bytes], T],
        *,
        ids: Sequence[str | int] = (),
        query: Mapping[str, object] | None = None,
    ) -> tuple[Answer, T]:
        """Fetch one page of a list, and return the answer and what ``read`` made of its body."""
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
        self._capture(operation, answer)
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

        ``path`` begins after the version (``/settings/preferences``). Returns the reply's JSON;
        numbers with a decimal point are `Decimal`. Raises as `call` does, and `ConfigurationError`
        for an invalid method, path, header or product. A path contains no query, fragment, space or
        ``..``. Neither headers nor ``query`` may name the organization.
        """
        verb = method.upper()
        if verb not in _METHODS:
            raise ConfigurationError(
                f"unknown method {method!r}; choose one of {', '.join(sorted(_METHODS))}"
            )
        checked_path(path)
        if product not in self._products:
            raise ConfigurationError(
                f"unknown product {product!r}; choose one of {', '.join(self._products)}"
            )
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
        """Return the user's organizations. Makes one call, which names no organization.

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
        answer, _ = await self._client.send(call, read_envelope)
        try:
            return read_organizations(answer.body)
        except UNDECODABLE:
            problem = "the reply lists no organizations"
            raise UnreadableReply(call.request, problem, answer.status) from None

    async def _send(self, call: Call, read: Callable[[bytes], T]) -> tuple[Answer, T]:
        try:
            return await self._client.send(call, read)
        except OrganizationError as error:
            raise await self._with_choices(error) from None

    async def _with_choices(self, wrong: OrganizationError) -> OrganizationError:
        """Add the organizations to choose from, which are fetched once."""
        if wrong.choices:
            return wrong
        async with self._choices_lock:
            if not self._choices:
                with suppress(ZohoError):
                    self._choices.extend(map(str, await self.organizations()))
        return wrong.with_choices(tuple(self._choices))

    def _capture(self, operation: Operation[Any] | ListOperation[Any], answer: Answer) -> None:
        if self._captured is not None:
            self._captured.append((operation, answer))

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
        """Headers as they are sent. Raises `ConfigurationError` for invalid ones."""
        if not headers:
            return {}
        named = [product.organization_header for product in self._products.values()]
        return checked_headers(query_of(headers), named)

    def _request(self, method: str, path: str, per_user: bool) -> Request:
        return Request(method, path, None if per_user else self._organization)


def _organization_id(value: str | int | None) -> str | None:
    """An organization's id as text. Raises `ConfigurationError` if it is not an id."""
    if value is None:
        return None
    text = str(value).strip()
    if not text.isdecimal():
        raise ConfigurationError(
            f"organization must be a number such as 10234695, got {text!r}; "
            "Zoho's web app shows it under the organization's name"
        )
    return text
