"""A session: one Zoho account, its connections and its organizations.

Open one `Session` and share it among all tasks of an event loop. ``zoho.books``, ``zoho.invoice``,
``zoho.billing`` and ``zoho.inventory`` have the calls. The session turns an `Operation` and its
arguments into a call and a value. ``for_organization`` and ``with_options`` return views: the same
account, token and connections, with another organization or other options.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from functools import cached_property, partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, cast, get_args

import aiohttp
import msgspec
from msgspec import UNSET, UnsetType

from zoho_async.auth import Credentials, TokenStore
from zoho_async.auth.credentials import names_credentials
from zoho_async.clock import SYSTEM_CLOCK, Clock
from zoho_async.errors import ConfigurationError, OrganizationError
from zoho_async.events import Event, Observer, guarded
from zoho_async.http.body import body_of
from zoho_async.http.call import Budget, Call
from zoho_async.http.call_settings import CallSettings
from zoho_async.http.client import Client
from zoho_async.http.download import Document, Download, Downloads
from zoho_async.http.reply import Reply, record_answer, with_reply
from zoho_async.http.retry import Policy
from zoho_async.http.transport import Answer
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
from zoho_async.organizations import KnownOrganization, Organizations, organization_id
from zoho_async.wire import Decoder, encode
from zoho_async.wire.text import untyped

if TYPE_CHECKING:
    from zoho_async.billing import ZohoBilling
    from zoho_async.books import ZohoBooks
    from zoho_async.inventory import ZohoInventory
    from zoho_async.invoice import ZohoInvoice


T = TypeVar("T")


class _Core(msgspec.Struct, frozen=True):
    """What a session shares with its views."""

    client: Client
    decoder: Decoder
    organizations: Organizations


class Session:
    """A Zoho account and its connections. ``async with`` closes it.

        async with Session.from_env() as zoho:
            async for invoice in zoho.books.invoices.list(status="overdue"):
                print(invoice.invoice_number, invoice.balance)

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
        client = Client(
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
        known = {**PRODUCTS, **{product.name: product for product in products}}
        self._core = _Core(
            client=client,
            decoder=Decoder(strict=strict, observer=observer),
            organizations=Organizations(client, known["books"]),
        )
        self._settings = CallSettings(products=known, organization=organization_id(organization))
        client.expect(self._settings.organization)

    @classmethod
    def from_env(
        cls,
        environ: Mapping[str, str] | None = None,
        *,
        profile: str | None = None,
        organization: str | int | None = None,
        region: str | None = None,
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
    ) -> Session:
        """Create a session from the environment, or from what ``zoho-async login`` stored.

        ``ZOHO_CLIENT_ID``, ``ZOHO_CLIENT_SECRET`` and ``ZOHO_REFRESH_TOKEN`` are the credentials.
        If the environment sets none of them, they come from the profile ``profile``, else the one
        that ``ZOHO_PROFILE`` names, else ``default``. ``ZOHO_ORGANIZATION_ID`` and ``ZOHO_REGION``
        (default us) name the organization and data center; ``ZOHO_BASE_URL`` and
        ``ZOHO_ACCOUNTS_URL`` override the region's hosts. Arguments win over variables, variables
        over the profile. The other options are those of `Session`.

        Raises `ConfigurationError` that names what is missing or wrong.
        """
        env = os.environ if environ is None else environ
        if not names_credentials(env):
            from zoho_async.auth.profiles import account_settings  # rarely needed

            env = account_settings(profile, env)
        return cls(
            Credentials.from_env(env),
            organization=organization or env.get("ZOHO_ORGANIZATION_ID") or None,
            region=region or env.get("ZOHO_REGION") or "us",
            api_url=api_url or env.get("ZOHO_BASE_URL") or None,
            accounts_url=accounts_url or env.get("ZOHO_ACCOUNTS_URL") or None,
            limits=limits,
            ledger=ledger,
            tokens=tokens,
            observer=observer,
            strict=strict,
            http=http,
            products=products,
            retry=retry,
            clock=clock,
        )

    def __repr__(self) -> str:
        return f"<Session organization={self.organization!r} api_url={self.api_url!r}>"

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
        """End background work and waiting calls, and close the connections.

        Calls that wait for a slot raise `SessionClosed`. On a view it does nothing.
        """
        await self._core.client.aclose()

    # -- views ------------------------------------------------------------------------------

    def for_organization(self, organization: str | int) -> Session:
        """Return a view that calls for another organization, under that organization's limits."""
        named = organization_id(organization)
        return _View(self._core, msgspec.structs.replace(self._settings, organization=named))

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
        options = msgspec.structs.replace(self._settings.options, **changes)
        return _View(self._core, msgspec.structs.replace(self._settings, options=options))

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
        return self._settings.organization

    @property
    def api_url(self) -> str:
        """The API host's URL."""
        return self._core.client.api_url

    @property
    def token_age(self) -> float | None:
        """Seconds since the current access token was issued, or None before the first call."""
        return self._core.client.token_age

    @property
    def accounts_url(self) -> str:
        """The accounts server's URL."""
        return self._core.client.accounts_url

    @property
    def decoder(self) -> Decoder:
        """Turns replies into values. Its ``drift`` counts the values that did not fit."""
        return self._core.decoder

    @property
    def limits(self) -> Limits:
        """The share of each organization's limits that this client may use."""
        return self._core.client.limits

    @property
    def rate(self) -> float:
        """The steady rate of this organization's bulk calls, in calls per second."""
        return self._core.client.scheduler(self.organization).rate

    async def snapshot(self) -> Snapshot:
        """Return the current usage of this organization's limits. Makes no API call."""
        return await self._core.client.scheduler(self.organization).snapshot()

    def observe(self, event: Event) -> None:
        """Pass ``event`` to the observer, if there is one."""
        self._core.client.observe(event)

    def start(self, work: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
        """Run ``work`` as a task that ends no later than this session."""
        return self._core.client.start(work, name=name)

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
        call = self._settings.for_operation(
            operation,
            self,
            ids=ids,
            query=query,
            headers=headers,
            body=content,
            content_type=content_type,
        )
        answer, value = await self._send(
            call, partial(self._core.decoder.value, operation, ids=ids)
        )
        record_answer(operation, answer)
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
        call = self._settings.for_operation(operation, self, ids=ids, query=query, headers=headers)

        async def carry(use: Callable[[Document], Awaitable[T]]) -> T:
            try:
                return await self._core.client.receive(call, operation.name, use)
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

    def reply(self, call: Awaitable[T]) -> Coroutine[Any, Any, Reply[T]]:
        """Await ``call``, and return its value with the rest of the answer.

            reply = await zoho.reply(zoho.books.invoices.get("1"))
            print(reply.status, reply.message, reply.value.total)

        A list gives one page. If several calls are made, the answer is the last one's. The
        organization and the options are those of ``call``. Raises what ``call`` raises, and
        `TypeError` if it makes no call.
        """
        return with_reply(call)

    async def fetch_page(
        self,
        operation: ListOperation[Any],
        read: Callable[[bytes], T],
        *,
        ids: Sequence[str | int] = (),
        query: Mapping[str, object] | None = None,
    ) -> tuple[Answer, T]:
        """Fetch one page of a list, and return the answer and what ``read`` made of its body."""
        call = self._settings.for_page(operation, self, ids=ids, query=query)
        answer, page = await self._send(call, read)
        record_answer(operation, answer)
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
        call = self._settings.for_path(
            method,
            path,
            self,
            product=product,
            query=query,
            headers=headers,
            body=None if body is UNSET else encode(body),
        )
        answer, value = await self._send(call, untyped)
        record_answer(None, answer)
        return value

    async def organizations(self) -> list[KnownOrganization]:
        """Return the user's organizations. Makes one call, which names no organization.

        Needs the scope ``ZohoBooks.settings.READ``. Raises as `call` does.
        """
        answer, found = await self._core.organizations.fetch(self._settings.options, self)
        record_answer(None, answer)
        return found

    async def _send(self, call: Call, read: Callable[[bytes], T]) -> tuple[Answer, T]:
        try:
            return await self._core.client.send(call, read)
        except OrganizationError as error:
            raise await self._with_choices(error) from None

    async def _with_choices(self, wrong: OrganizationError) -> OrganizationError:
        return await self._core.organizations.with_choices(wrong, self._settings.options, self)


class _View(Session):
    """The account of a session with another organization or other options."""

    def __init__(self, core: _Core, settings: CallSettings) -> None:
        self._core = core
        self._settings = settings

    async def aclose(self) -> None:
        """Do nothing: the connections belong to the session."""
