"""One Zoho account: what all views of a session share, and how a call is made.

A call takes these steps: token, slot of its organization's scheduler, one request, meaning of the
answer, perhaps another try. The slot is released before any wait for another try. If the token
expires while the call waits for a slot, the slot is released unused: the limits assume that a call
is sent right after its admission.

Work that outlives the call that started it (look-ahead, renewal of tokens) is a task in ``_tasks``;
`aclose` cancels and awaits them. A call that waits (for a token, a slot, a connection, another try)
when the client closes ends with `SessionClosed`; one that was sent ends because its connection
breaks. No resource here is open across a ``yield``.

A forked process must not use the sockets: every call in it raises `UsedAfterFork`.
"""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from typing import Any, Final, TypeVar

import aiohttp
import msgspec

from zoho_async import __version__, fork
from zoho_async.auth import (
    AccessToken,
    AccountsServer,
    Credentials,
    MemoryStore,
    TokenSource,
    TokenStore,
    refresh,
    store_key,
)
from zoho_async.clock import Clock
from zoho_async.errors import (
    ConfigurationError,
    LimitError,
    NotAuthorized,
    NotConnected,
    ReplyError,
    SessionClosed,
    TransportError,
    UnreadableReply,
    UsedAfterFork,
    ZohoError,
    ambiguous,
)
from zoho_async.events import Event, Observer, Refreshed, guarded
from zoho_async.http.call import Call
from zoho_async.http.download import Document
from zoho_async.http.retry import Policy, Retries, verdict
from zoho_async.http.sender import Attempt, CallSender
from zoho_async.http.transport import Answer, Transport, verifies_certificates
from zoho_async.http.verdict import is_ambiguous
from zoho_async.limits import Ledger, Limits, Scheduler, Slot, scheduler
from zoho_async.limits.keys import host_key, organization_key, organization_names
from zoho_async.limits.midnight import zone_of
from zoho_async.limits.shared_limits import SharedLimits, shared_limits
from zoho_async.regions import API_URLS, checked_url, region

T = TypeVar("T")

#: Seconds that a call holds its slot while all connections are in use.
_CONNECTION_SOON: Final = 5.0


class Client:
    """Sockets, token, schedulers and background work of one account in one event loop."""

    #: Whether a new token may help after Zoho refused one.
    _can_renew = True

    def __init__(
        self,
        credentials: Credentials,
        *,
        region_name: str,
        api_url: str | None,
        accounts_url: str | None,
        limits: Limits,
        ledger: Ledger,
        observer: Observer | None,
        connector: aiohttp.BaseConnector | None,
        clock: Clock,
        retry: Policy,
        tokens: TokenStore | None = None,
    ) -> None:
        home = region(region_name)
        if api_url is None and home.api_url is None:
            raise ConfigurationError(
                f"the API host of region {home.name!r} is not documented: "
                "set ZOHO_BASE_URL or Session(api_url=...)"
            )
        self._credentials: Final = credentials
        #: Replaces the organization's id in calls that name no organization.
        self._account_key: Final = f"@{credentials.client_id}"
        self._given_api_url = None if api_url is None else checked_url(api_url, what="the API URL")
        self._observer: Final = guarded(observer)
        self._sender: Final = CallSender(
            self._open,
            api_url=self._given_api_url or home.api_url or "",
            ledger=ledger,
            clock=clock,
            observer=self._observer,
        )
        self._ledger: Final = ledger
        self._take_host(self.api_url)
        self._accounts: Final = AccountsServer(
            home.name, url=accounts_url, open_transport=self._open
        )
        secured = any(url.startswith("https:") for url in (self.api_url, self._accounts.url))
        if connector is not None and secured and not verifies_certificates(connector):
            raise ConfigurationError(
                "the connector passed as http does not verify certificates, so secrets could go to "
                "any server; add your proxy's certificate to its SSLContext instead"
            )
        self._limits: Final = limits
        self._time_zones: dict[str, str] = {}
        self._connector: Final = connector
        self._clock: Final = clock
        self._transport: Transport | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._schedulers: OrderedDict[str, Scheduler] = OrderedDict()
        self._closed = False
        self._closing: Final = _Closing()
        self._retries: Final = Retries(retry, clock, self._observer, self._closing.wait)
        self._shared_limits: SharedLimits | None = None
        self._process: Final = fork.Process()
        #: The event loop of the first call.
        self._loop: asyncio.AbstractEventLoop | None = None
        fork.register(self)
        self._tokens: Final = TokenSource(
            self._fetch_token,
            lambda work: self.start(work, name="token renewal"),
            clock,
            retry,
            store=tokens or MemoryStore(clock=clock),
            key=store_key(self._accounts.url, credentials),
            adopted=self._adopt,
            refreshed=lambda token: self.observe(Refreshed(expires_in=token.expires_in)),
        )

    # -- what views use ---------------------------------------------------------------------

    @property
    def api_url(self) -> str:
        """The API host's URL: as given, else as the token named it, else the region's."""
        return self._sender.api_url

    @property
    def accounts_url(self) -> str:
        """The accounts server's URL."""
        return self._accounts.url

    @property
    def limits(self) -> Limits:
        """The share of each organization's limits that this client may use."""
        return self._limits

    @property
    def token_age(self) -> float | None:
        """Seconds since the current token was issued, or None before the first."""
        return self._tokens.age

    def observe(self, event: Event) -> None:
        """Pass ``event`` to the observer, if there is one."""
        if self._observer is not None:
            self._observer(event)

    def scheduler(self, organization: str | None, *, unnamed: bool = False) -> Scheduler:
        """The scheduler of ``organization``, or the account's own for calls that name none.

        ``unnamed`` marks a call for the default organization, whichever that is. Raises
        `ConfigurationError` if the organization must be named or the client belongs to another
        event loop, and `UsedAfterFork`.
        """
        self._check_owner()
        key = self._key(organization, unnamed=unnamed)
        # Stored here because the pace of bulk calls lives only as long as its scheduler.
        found = self._schedulers.get(key)
        if found is None:
            self._drop_idle_schedulers()
            found = self._schedulers[key] = scheduler(
                key,
                account=f"{self._host}/{self._account_key}",
                limits=self._limits_of(organization),
                ledger=self._ledger,
                clock=self._clock,
                observer=self._observer,
                caller=self,
            )
        return found

    def expect(self, organization: str | None) -> None:
        """Apply this client's limits to ``organization`` before its first call."""
        if organization is not None:
            self._shared_limits = shared_limits(self._ledger, self._key(organization))
            self._shared_limits.join(self, self._limits_of(organization))

    def learn_time_zones(self, time_zones: Mapping[str, str]) -> None:
        """Count the day of these organizations in their time zones, unless ``limits`` has one."""
        for organization, time_zone in time_zones.items():
            if zone_of(time_zone) is not None:
                name = organization_key(organization)
                self._time_zones[name] = time_zone
                if (found := self._schedulers.get(f"{self._host}/{name}")) is not None:
                    found.join(self, self._limits_of(organization))

    def _limits_of(self, organization: str | None) -> Limits:
        if organization is None or self._limits.time_zone is not None:
            return self._limits
        time_zone = self._time_zones.get(organization_key(organization))
        return msgspec.structs.replace(self._limits, time_zone=time_zone)

    def _key(self, organization: str | None, *, unnamed: bool = False) -> str:
        """What the calls of ``organization`` are counted under."""
        if organization is not None:
            return self._names.named(f"{self._host}/{organization_key(organization)}")
        return self._names.unnamed() if unnamed else self._names.known()

    def _take_host(self, api_url: str) -> None:
        """Count calls under the host of ``api_url`` from now on."""
        self._host = host_key(api_url)
        self._names = organization_names(self._ledger, f"{self._host}/{self._account_key}")

    # -- forks --------------------------------------------------------------------------------

    def _check_owner(self) -> None:
        """Raise if another process or event loop uses the client."""
        if self._process.other:
            raise UsedAfterFork(
                "the session",
                "open one in the child (in gunicorn: the post_fork hook, in Celery: the signal "
                "worker_process_init)",
            )
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            raise ConfigurationError(
                "the session belongs to another event loop: open one session in each loop, within "
                "asyncio.run(...)"
            )

    def before_fork(self) -> None:
        """Do nothing: the client holds no lock that a child could inherit."""

    def after_fork(self, *, child: bool) -> None:
        """Keep the parent's connections open in the child."""
        if child:
            fork.never_close(self._transport)

    def _drop_idle_schedulers(self) -> None:
        """Check the two organizations that were checked longest ago. This needs no timer."""
        for _ in range(min(2, len(self._schedulers))):
            key, limiter = next(iter(self._schedulers.items()))
            if limiter.idle and self._retries.forget(limiter.organization):
                del self._schedulers[key]
            else:
                self._schedulers.move_to_end(key)

    def start(self, work: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
        """Run ``work`` as a task that `aclose` ends. Raises `SessionClosed` after that."""
        if self._closed or self._process.other:
            work.close()
            self._check_owner()
            raise SessionClosed
        task = asyncio.create_task(work, name=f"zoho_async {name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def aclose(self) -> None:
        """End background work and waiting calls, and close the sockets. It may be called twice.

        In a forked process it does nothing.
        """
        self._closed = True
        if self._process.other:
            return
        self._closing.close()
        for limiter in self._schedulers.values():
            limiter.leave(self)
        if self._shared_limits is not None:
            self._shared_limits.leave(self)
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._sender.close()
        transport, self._transport = self._transport, None
        if transport is not None:
            await transport.close()

    async def send(self, call: Call, read: Callable[[bytes], T]) -> tuple[Answer, T]:
        """Make ``call``, and return its successful answer and what ``read`` made of the body.

        ``read`` raises `Unreadable` for text that is not a complete JSON object. It runs within an
        attempt, so that such an answer is tried again if that does no harm. Raises a `ReplyError`,
        `TransportError`, `AmbiguousWrite`, `LimitError` or `AuthError`, as `zoho_async.http.retry`
        decides.
        """
        found = await self._run(call, lambda attempt: self._sender.answer(attempt, read))
        if isinstance(found, UnreadableReply):
            if call.kind != "read":
                raise ambiguous(call.request, found) from found
            raise found
        return found

    async def receive(self, call: Call, name: str, use: Callable[[Document], Awaitable[T]]) -> T:
        """Pass the document that ``call`` answers to ``use``, and return its result.

        The document is called ``name`` if Zoho sends no name. ``use`` closes the document or passes
        it to an owner that does. Raises as `send`.
        """

        async def once(attempt: Attempt) -> T:
            return await use(await self._sender.document(attempt, name))

        return await self._run(call, once)

    async def _run(self, call: Call, once: Callable[[Attempt], Awaitable[T]]) -> T:
        """Try ``once``, and again while that may help.

        If any try of a write may have run, every failure is raised as `AmbiguousWrite`: a later
        refusal says nothing about an earlier try.
        """
        self._check_owner()
        self._retries.deposit(call.request.organization)
        attempt, renewed, in_doubt = 0, False, False
        last: TransportError | ReplyError | None = None
        try:
            while True:
                attempt += 1
                try:
                    token, slot = await self._closing.wait(self._admit(call))
                except LimitError as limited:
                    raise limited.with_request(call.request) from last
                try:
                    began = self._clock.monotonic()
                    return await once(Attempt(call, token, slot, attempt, began))
                except (TransportError, ReplyError) as error:
                    last = error
                in_doubt = in_doubt or is_ambiguous(call.kind, verdict(last))
                # "not authorized" may mean a token that died early: one new token shows.
                if self._may_renew(call, last) and not renewed:
                    renewed = await self._tokens.refused(token)
                    if renewed:
                        attempt -= 1
                        continue
                await self._retries.wait(call, last, attempt)
        except ZohoError as error:
            if in_doubt:
                raise ambiguous(call.request, error) from error
            raise

    def _may_renew(self, call: Call, error: ZohoError) -> bool:
        """Whether a new token may help. A write that may have run is not sent again."""
        if not (isinstance(error, NotAuthorized) and self._can_renew) or call.is_spent:
            return False
        return not (call.kind == "write" and verdict(error).may_have_run)

    # -- one attempt ------------------------------------------------------------------------

    async def _admit(self, call: Call) -> tuple[AccessToken, Slot]:
        """Wait for a slot and a connection, and for a token that is still good then.

        A call that waits for a connection holds a slot, so it waits only briefly: the limits assume
        that it arrives right after its admission. A call that waits for a slot holds no connection,
        so that others can use it.
        """
        budget, began = call.options.budget, self._clock.monotonic()
        while True:
            if self._closed:
                raise SessionClosed
            if budget is not None:
                budget.check()
            if self._tokens.current() is None:
                await self._tokens.token()
            limiter = self.scheduler(call.request.organization, unnamed=not call.per_user)
            slot = await limiter.admit(
                call.options.lane,
                max_wait=call.options.max_wait,
                caller=call.caller,
                wait_for_reset=call.options.wait_for_reset,
                product=call.product.name,
            )
            transport = await self._take_connection(slot)
            token = self._tokens.current()
            usable = transport is not None and not slot.stale and not self._closed
            if token is not None and usable and (budget is None or budget.spend()):
                return token, slot
            if transport is not None:  # before the wait for the ledger, which may be cancelled
                transport.release()
            await self._sender.settle(slot.unsent())
            longest = math.inf if call.options.max_wait is None else call.options.max_wait
            if transport is None and self._clock.monotonic() - began > longest:
                many = self._open().connections
                raise NotConnected(call.request, f"all {many} connections are in use")

    async def _take_connection(self, slot: Slot) -> Transport | None:
        """Take a connection for the call that holds ``slot``. None if none is free soon."""
        try:
            transport = self._open()
            return transport if await transport.acquire(_CONNECTION_SOON) else None
        except BaseException:
            await self._sender.settle(slot.unsent())
            raise

    def _open(self) -> Transport:
        if self._closed:
            raise SessionClosed
        if self._transport is None:
            self._transport = Transport(self._connector, user_agent=f"zoho_async/{__version__}")
        return self._transport

    # -- tokens -----------------------------------------------------------------------------

    async def _fetch_token(self) -> AccessToken:
        """Make one request to the accounts server."""
        return (await refresh(self._accounts, self._credentials)).access

    def _adopt(self, token: AccessToken) -> None:
        # The token goes only to hosts in the table, even if the accounts server names another.
        if self._given_api_url is None and token.api_domain in API_URLS:
            self._sender.api_url = token.api_domain
            self._take_host(token.api_domain)


class _Closing:
    """Ends every wait that goes through it with `SessionClosed`, once it is closed."""

    def __init__(self) -> None:
        self._waits: Final[set[asyncio.Timeout]] = set()

    async def wait(self, work: Awaitable[T]) -> T:
        """Return the result of ``work``. Raises what it raises, and `SessionClosed`."""
        scope = asyncio.timeout(None)
        self._waits.add(scope)
        try:
            async with scope:
                return await work
        except TimeoutError:
            if scope.expired():
                raise SessionClosed from None
            raise
        finally:
            self._waits.discard(scope)

    def close(self) -> None:
        """End the waits, in their tasks."""
        for scope in self._waits:
            with suppress(RuntimeError):  # it is ending already
                scope.reschedule(0.0)
