"""One Zoho account: what all views of a session share, and how a call is carried out.

A call goes: token - slot of its organization's scheduler - one request - what the answer means -
perhaps again. The slot is given back before any wait for another try. A token that ends while its
call waits for a slot gives the slot back unused, so that what is sent is sent at once after its
admission: the limits reckon with that.

Work that outlives the call that began it (look-ahead, renewal of tokens) is a task in ``_tasks``;
`aclose` cancels and awaits them. A call that waits (for a token, its turn, a connection, another
try) when the account is closed ends with `SessionClosed`; one that is on its way ends as its
connection breaks. Nothing here is open across a ``yield``.

A forked process must not use the sockets: there every call raises `UsedAfterFork`.
"""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any, Final, TypeVar

import aiohttp
import anyio

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
    LedgerError,
    LimitError,
    NotAuthorized,
    NotConnected,
    RateLimited,
    ReplyError,
    SessionClosed,
    TooManyInFlight,
    TransportError,
    UnreadableReply,
    UsedAfterFork,
    ZohoError,
    ambiguous,
)
from zoho_async.events import Called, Event, Observer, Refreshed, Retried, guarded
from zoho_async.http.call import (
    JSON,
    START,
    Call,
    error_of,
    is_document,
    is_success,
    quota_of,
    retry_after,
)
from zoho_async.http.closing import Closing
from zoho_async.http.download import Document
from zoho_async.http.retry import Policy, RetryBudget, asked_wait, verdict
from zoho_async.http.transport import ANSWER_TIMEOUT, Answer, Opened, Transport, proxy_for, verifies
from zoho_async.http.verdict import is_ambiguous, next_step
from zoho_async.limits import Ledger, Limits, MemoryLedger, Refusal, Scheduler, Slot, scheduler
from zoho_async.limits.keys import host_key, organization_key, organization_names
from zoho_async.limits.shared_limits import SharedLimits, shared_limits
from zoho_async.regions import API_URLS, checked_url, region
from zoho_async.wire import AnotherRecord, Unreadable

T = TypeVar("T")

#: Seconds that a call holds its slot while all connections are in use.
_CONNECTION_SOON: Final = 5.0


class Client:
    """Sockets, token, schedulers and background work of one account in one event loop."""

    #: Whether there may be another token where one was refused.
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
                f"no document names the API host of region {home.name!r}: "
                "set ZOHO_BASE_URL or Session(api_url=...)"
            )
        self._credentials: Final = credentials
        #: What the calls that name no organization go by in place of its id.
        self._whole: Final = f"@{credentials.client_id}"
        self._given_api_url = None if api_url is None else checked_url(api_url, what="the API URL")
        self._call_at(self._given_api_url or home.api_url or "")
        self._accounts: Final = AccountsServer(
            home.name, url=accounts_url, open_transport=self._open
        )
        secured = any(url.startswith("https:") for url in (self._api_url, self._accounts.url))
        if connector is not None and secured and not verifies(connector):
            raise ConfigurationError(
                "the connector given as http does not verify certificates, and secrets would go to "
                "whoever answers; give its SSLContext the certificate of your proxy instead"
            )
        self._limits: Final = limits
        self._ledger: Final = ledger
        # The ledger in memory settles without a pause in which a cancellation could come.
        self._at_once: Final = type(ledger) is MemoryLedger
        self._observer: Final = guarded(observer)
        self._connector: Final = connector
        self._clock: Final = clock
        self._retry: Final = retry
        self._transport: Transport | None = None
        self._proxies: dict[str, str | None] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._documents: set[Document] = set()
        self._budgets: dict[str | None, RetryBudget] = {}
        self._schedulers: OrderedDict[str, Scheduler] = OrderedDict()
        self._closed = False
        self._closing: Final = Closing()
        self._shared_limits: SharedLimits | None = None
        self._process: Final = fork.Process()
        fork.follow(self)
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
        return self._api_url

    @property
    def accounts_url(self) -> str:
        """The accounts server's URL."""
        return self._accounts.url

    @property
    def limits(self) -> Limits:
        """What this client may use of each organization's limits."""
        return self._limits

    @property
    def token_age(self) -> float | None:
        """The seconds since the current token was given, or None before the first."""
        return self._tokens.age

    def observe(self, event: Event) -> None:
        """Tell the observer, if there is one."""
        if self._observer is not None:
            self._observer(event)

    def scheduler(self, organization: str | None, *, unnamed: bool = False) -> Scheduler:
        """The scheduler of ``organization``, or the account's own for calls that name none.

        ``unnamed`` says that such a call is for the default organization, whichever that is. Raises
        `ConfigurationError` if it must be named, and `UsedAfterFork`.
        """
        self._check_process()
        key = self._key(organization, unnamed=unnamed)
        # Kept here because the pace of bulk calls lives only as long as its scheduler.
        found = self._schedulers.get(key)
        if found is None:
            self._forget_idle()
            found = self._schedulers[key] = scheduler(
                key,
                account=f"{self._host}/{self._whole}",
                limits=self._limits,
                ledger=self._ledger,
                clock=self._clock,
                observer=self._observer,
                caller=self,
            )
        return found

    def expect(self, organization: str | None) -> None:
        """Have this account's limits hold for ``organization`` before its first call."""
        if organization is not None:
            self._shared_limits = shared_limits(self._ledger, self._key(organization))
            self._shared_limits.join(self, self._limits)

    def _key(self, organization: str | None, *, unnamed: bool = False) -> str:
        """What the calls of ``organization`` are counted under."""
        names = organization_names(self._ledger, f"{self._host}/{self._whole}")
        if organization is not None:
            return names.named(f"{self._host}/{organization_key(organization)}")
        return names.unnamed() if unnamed else names.known()

    # -- forks --------------------------------------------------------------------------------

    def _check_process(self) -> None:
        if self._process.other:
            raise UsedAfterFork(
                "the session",
                "open one in the child (in gunicorn: the post_fork hook, in Celery: the signal "
                "worker_process_init)",
            )

    def before_fork(self) -> None:
        """Nothing is held that a child could not inherit."""

    def after_fork(self, *, child: bool) -> None:
        """A child must not close its parent's connections."""
        if child:
            fork.keep(self._transport)

    def _forget_idle(self) -> None:
        """Look at two of the organizations that were looked at longest ago; none needs a timer."""
        for _ in range(min(2, len(self._schedulers))):
            key, limiter = next(iter(self._schedulers.items()))
            budget = self._budgets.get(limiter.organization)
            if limiter.idle and (budget is None or budget.full):
                del self._schedulers[key]
                self._budgets.pop(limiter.organization, None)
            else:
                self._schedulers.move_to_end(key)

    def start(self, work: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
        """Run ``work`` as a task that `aclose` ends. Raises `SessionClosed` after that."""
        if self._closed or self._process.other:
            work.close()
            self._check_process()
            raise SessionClosed
        task = asyncio.create_task(work, name=f"zoho_async {name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def aclose(self) -> None:
        """End background work and what waits, and close the sockets. Again it does nothing.

        In a forked process it does nothing at all.
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
        for document in list(self._documents):
            await document.aclose()
        transport, self._transport = self._transport, None
        if transport is not None:
            await transport.close()

    async def send(self, call: Call, read: Callable[[bytes], T]) -> tuple[Answer, T]:
        """Carry out ``call``; the answer is a success, and ``read`` what was made of its body.

        ``read`` raises `Unreadable` for text that is no JSON object, or not all of one. It is
        called within an attempt, so that such an answer is tried again where that does no harm.

        Raises what DESIGN's table of retries says: a `ReplyError`, `TransportError`,
        `AmbiguousWrite`, `LimitError` or `AuthError`.
        """

        found = await self._carry(call, partial(self._answer, call, read))
        if isinstance(found, UnreadableReply):
            if call.kind != "read":
                raise ambiguous(call.request, found) from found
            raise found
        return found

    async def receive(self, call: Call, name: str, use: Callable[[Document], Awaitable[T]]) -> T:
        """What ``use`` makes of the document that ``call`` answers.

        It is called ``name`` where Zoho gives it no name. ``use`` closes the document, or hands it
        to someone who does. Raises as `send`.
        """

        async def once(token: AccessToken, slot: Slot, attempt: int) -> T:
            return await use(await self._document(call, name, token, slot, attempt))

        return await self._carry(call, once)

    async def _carry(self, call: Call, once: Callable[[AccessToken, Slot, int], Awaitable[T]]) -> T:
        """Try ``once``, and again while that may help.

        If any try of a write may have run, whatever ends the call is raised as `AmbiguousWrite`: a
        later refusal says nothing about an earlier try.
        """
        budget = self._budget(call.request.organization)
        budget.called()
        attempt, renewed, in_doubt = 0, False, False
        last: TransportError | ReplyError | None = None
        try:
            while True:
                attempt += 1
                try:
                    token, slot = await self._closing.wait(self._admitted(call))
                except LimitError as limited:
                    limited.asked = call.request
                    raise limited from last
                try:
                    return await once(token, slot, attempt)
                except (TransportError, ReplyError) as error:
                    last = error
                in_doubt = in_doubt or is_ambiguous(call.kind, verdict(last))
                # "not authorized" may be a token that died early: one new token tells.
                if self._may_renew(call, last) and not renewed:
                    renewed = await self._tokens.refused(token)
                    if renewed:
                        attempt -= 1
                        continue
                await self._before_another(call, last, attempt, budget)
        except ZohoError as error:
            if in_doubt:
                raise ambiguous(call.request, error) from error
            raise

    def _may_renew(self, call: Call, error: ZohoError) -> bool:
        """Whether a new token may help; a write that may have run is not sent again."""
        if not (isinstance(error, NotAuthorized) and self._can_renew) or call.is_spent:
            return False
        return not (call.kind == "write" and verdict(error).may_have_run)

    # -- one attempt ------------------------------------------------------------------------

    async def _admitted(self, call: Call) -> tuple[AccessToken, Slot]:
        """A slot and a connection, and a token that is good now that they are here.

        Who waits for a connection holds a slot, and not for long: it would count as one that
        arrives sooner than it then would. Who waits for a slot holds no connection: others can use
        it.
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
            )
            transport = await self._connected(slot)
            token = self._tokens.current()
            usable = transport is not None and not slot.stale and not self._closed
            if token is not None and usable and (budget is None or budget.spend()):
                return token, slot
            if transport is not None:  # first: the wait for the ledger may be cancelled
                transport.give_back()
            await self._settled(slot.unsent())
            longest = math.inf if call.options.max_wait is None else call.options.max_wait
            if transport is None and self._clock.monotonic() - began > longest:
                many = self._open().connections
                raise NotConnected(call.request, f"all {many} connections are in use")

    async def _connected(self, slot: Slot) -> Transport | None:
        """Take a connection for the call that has ``slot``; None if none is free before long."""
        try:
            transport = self._open()
            return transport if await transport.take(_CONNECTION_SOON) else None
        except BaseException:
            await self._settled(slot.unsent())
            raise

    async def _answer(
        self,
        call: Call,
        read: Callable[[bytes], T],
        token: AccessToken,
        slot: Slot,
        attempt: int,
    ) -> tuple[Answer, T] | UnreadableReply:
        """Send once and read the answer. The slot is settled whatever happens.

        An `UnreadableReply` is returned and not raised where another try would bring the same.
        """
        began = self._clock.monotonic()
        opened = await self._opened(call, token, slot, attempt)
        try:
            answer = call.understood(await self._read(opened))
        except BaseException as broken:
            await self._lost(call, slot, broken, began, attempt)
            raise
        finally:
            opened.close()
        await self._judge(call, answer, slot, began, attempt)
        try:
            return answer, read(answer.body)
        except Unreadable as problem:
            error = error_of(call, answer)
            if error is not None:
                raise error from None
            unreadable = UnreadableReply(call.request, str(problem), answer.status)
            if isinstance(problem, AnotherRecord):  # another try may bring the right one
                raise unreadable from None
            return unreadable

    async def _document(
        self, call: Call, name: str, token: AccessToken, slot: Slot, attempt: int
    ) -> Document:
        """Send once and look at the start of the document; closing it settles the slot."""
        began = self._clock.monotonic()
        opened = await self._opened(call, token, slot, attempt)
        try:
            answer = await opened.peek(START) if opened.status < 300 else None
            if answer is None or not is_document(answer):
                answer = call.understood(await self._read(opened))
        except BaseException as broken:
            opened.close()
            await self._lost(call, slot, broken, began, attempt)
            raise
        if error_of(call, answer) is not None:
            opened.close()
            await self._judge(call, answer, slot, began, attempt)

        async def finish(document: Document) -> None:
            self._documents.discard(document)
            # That it was not read to its end changes nothing: the call has reached Zoho long ago.
            await self._judge(call, answer, slot, began, attempt)

        document = Document(opened, name, finish)
        self._documents.add(document)
        return document

    async def _read(self, opened: Opened) -> Answer:
        """The answer, read to its end; of an error, its status if the body cannot be read.

        A refusal for the limits must be heard, whatever becomes of its text.
        """
        try:
            return await opened.read()
        except TransportError:
            if opened.status < 400:
                raise
            return Answer(opened.status, opened.headers, b"")

    async def _opened(self, call: Call, token: AccessToken, slot: Slot, attempt: int) -> Opened:
        """Send once and read the head of the answer. Where that fails the slot is settled."""
        url = call.url(self._api_url)
        began = self._clock.monotonic()
        slot.sent()
        try:
            return await self._open().open(
                call.request,
                url,
                headers=call.all_headers(token.value),
                body=call.body,
                silence=call.options.timeout,
                total=ANSWER_TIMEOUT if call.accept == JSON else None,
                proxy=self._proxy(url),
            )
        except (NotConnected, ConfigurationError):
            await self._settled(slot.unsent())
            self._called(call, None, None, began, attempt)
            raise
        except BaseException as broken:
            await self._lost(call, slot, broken, began, attempt)
            raise

    async def _lost(
        self, call: Call, slot: Slot, broken: BaseException, began: float, attempt: int
    ) -> None:
        """Settle the slot of a request whose answer nobody will read."""
        await self._settled(slot.lost())
        if isinstance(broken, TransportError):
            self._called(call, None, None, began, attempt)

    async def _judge(
        self, call: Call, answer: Answer, slot: Slot, began: float, attempt: int
    ) -> None:
        """Settle the slot of a request that was answered. Raises what the answer amounts to."""
        error = None if is_success(call, answer) else error_of(call, answer)
        refusal = None
        if isinstance(error, RateLimited):
            refusal = Refusal(code=error.code, retry_after=retry_after(answer))
        settling = slot.replied(quota=quota_of(answer), refusal=refusal)
        if self._at_once:
            await settling
        else:
            await self._settled(settling)
        code = error.code if isinstance(error, ReplyError) else None
        self._called(call, answer.status, code, began, attempt)
        if error is not None:
            raise error

    async def _settled(self, settling: Coroutine[Any, Any, None]) -> None:
        """Give a slot back, cancelled or not.

        A ledger that cannot be written must not cost an answer that is here: a write that took
        effect would look as if it had not. The next admission meets the same ledger, and raises.
        """
        if self._at_once:
            await settling
            return
        with anyio.CancelScope(shield=True), suppress(ConfigurationError, LedgerError):
            await settling

    def _called(
        self, call: Call, status: int | None, code: int | None, began: float, attempt: int
    ) -> None:
        if self._observer is not None:
            self._observer(
                Called(
                    method=call.request.method,
                    path=call.request.path,
                    organization=call.request.organization,
                    status=status,
                    code=code,
                    seconds=self._clock.monotonic() - began,
                    attempt=attempt,
                )
            )

    def _open(self) -> Transport:
        if self._closed:
            raise SessionClosed
        if self._transport is None:
            self._transport = Transport(self._connector, user_agent=f"zoho_async/{__version__}")
        return self._transport

    def _proxy(self, url: str) -> str | None:
        host = url[: url.find("/", 8)]
        if host not in self._proxies:
            self._proxies[host] = proxy_for(host)
        return self._proxies[host]

    # -- again? -----------------------------------------------------------------------------

    async def _before_another(
        self, call: Call, error: TransportError | ReplyError, attempt: int, budget: RetryBudget
    ) -> None:
        """Return when it is time for another try; raise ``error`` (or worse) when there is none."""
        step = next_step(call.kind, verdict(error))
        if call.is_spent and (step != "raise" or isinstance(error, NotAuthorized)):
            error.add_note(
                "The call was not tried again: a file in it comes from an iterator, which can be "
                "read once only. Give its path or its bytes instead."
            )
            raise error
        patient = call.options.lane == "bulk"
        given_up = attempt >= self._retry.tries and not (patient and step == "after_block")
        asked = 0.0 if step == "after_block" else asked_wait(error)
        if step == "raise" or given_up or self._is_too_long(call, error, asked):
            raise error
        if step != "after_block":
            while wait := budget.spend():
                if not patient:
                    raise error
                await self._closing.wait(anyio.sleep(wait))
        # The scheduler's gates pace all refusals but "too many at once".
        paced = step == "after_block" and not isinstance(error, TooManyInFlight)
        delay = 0.0 if paced else asked + self._retry.delay(attempt)
        self.observe(
            Retried(
                method=call.request.method,
                path=call.request.path,
                organization=call.request.organization,
                attempt=attempt,
                delay=delay,
                cause=type(error).__name__,
            )
        )
        await self._closing.wait(anyio.sleep(delay))

    def _is_too_long(self, call: Call, error: ZohoError, asked: float) -> bool:
        """Whether the server asks for a longer wait than the caller allows."""
        if call.options.max_wait is None or asked <= call.options.max_wait:
            return False
        error.add_note(f"Zoho asked to wait {asked:.0f} s, longer than max_wait.")
        return True

    def _budget(self, organization: str | None) -> RetryBudget:
        budget = self._budgets.get(organization)
        if budget is None:
            budget = self._budgets[organization] = RetryBudget(self._clock)
        return budget

    # -- tokens -----------------------------------------------------------------------------

    async def _fetch_token(self) -> AccessToken:
        """One request to the accounts server."""
        return (await refresh(self._accounts, self._credentials)).access

    def _adopt(self, token: AccessToken) -> None:
        # A host that is not in the table must not see the token, whoever names it.
        if self._given_api_url is None and token.api_domain in API_URLS:
            self._call_at(token.api_domain)

    def _call_at(self, api_url: str) -> None:
        self._api_url = api_url
        self._host = host_key(api_url)
