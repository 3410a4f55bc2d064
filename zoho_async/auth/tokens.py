"""One access token for everyone who calls, renewed before it ends.

Model: Zoho gives at most ten access tokens per refresh token in ten minutes, and each lives an
hour. So a token is shared by all calls of a session, and however many of them need a new one, one
request is made. Between ``RENEW_EARLY`` and ``RENEW_NOW`` seconds before its end a token is still
handed out while its successor is fetched in the background; after that callers wait for it.

A 401 may mean a token that died early or a missing scope. `refused` tells them apart by trying a
new token, but only ``MAX_FORCED`` times in ten minutes: a scope that is missing from every call
must not use up the tokens of a service that otherwise works.

A refresh token or client that the accounts server calls wrong stays wrong for this source: asking
again would only spend requests, so the same error is raised at once.

Unknown: whether clocks of accounts server and API agree; that is what RENEW_NOW is for.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, TypeAlias

from zoho_async.auth.reply import AccessToken
from zoho_async.clock import Clock
from zoho_async.errors import (
    AccountsUnavailable,
    AuthError,
    InvalidClient,
    InvalidGrant,
    TokenThrottled,
)
from zoho_async.retry import Policy

RENEW_EARLY: Final = 300.0
RENEW_NOW: Final = 60.0
PERIOD: Final = 600.0
MAX_TOKENS: Final = 10
MAX_FORCED: Final = 5

Fetch: TypeAlias = Callable[[], Awaitable[AccessToken]]
Start: TypeAlias = Callable[[Coroutine[Any, Any, AccessToken]], asyncio.Task[AccessToken]]


class TokenSource:
    """Hands out the current access token.

    ``fetch`` makes one request to the accounts server; ``start`` runs it as a task that the session
    owns, so that a caller who is cancelled does not cancel it for the others.
    """

    def __init__(self, fetch: Fetch, start: Start, clock: Clock, retry: Policy) -> None:
        self._fetch: Final = fetch
        self._start: Final = start
        self._clock: Final = clock
        self._retry: Final = retry
        self._token: AccessToken | None = None
        self._ends = 0.0
        self._renewal: asyncio.Task[AccessToken] | None = None
        self._wrong: AuthError | None = None
        self._fetched: deque[float] = deque(maxlen=MAX_TOKENS)
        self._forced: deque[float] = deque(maxlen=MAX_FORCED)

    def current(self) -> AccessToken | None:
        """The token that may be used right now without waiting, if there is one."""
        if self._token is None:
            return None
        left = self._ends - self._clock.monotonic()
        # A token whose whole life is short must still be used for most of it.
        life = self._token.expires_in
        if left <= min(RENEW_NOW, life / 4):
            return None
        if left <= min(RENEW_EARLY, life / 2) and self._renewal is None and self._may_fetch():
            self._renew()
        return self._token

    async def token(self) -> AccessToken:
        """The current token, or a new one. Raises an `AuthError` when none is to be had."""
        token = self.current()
        if token is not None:
            return token
        if self._wrong is not None:
            raise type(self._wrong)(*self._wrong.args)
        # A request of ours that the server would refuse only prolongs its refusals.
        if self._renewal is None and not self._may_fetch():
            raise TokenThrottled(
                f"{MAX_TOKENS} access tokens were asked for within {PERIOD:.0f} s; "
                "wait ten minutes, and share one session"
            )
        return await asyncio.shield(self._renewal or self._renew())

    def refused(self, token: AccessToken) -> bool:
        """Zoho refused ``token``: whether a different one is worth a try (it is dropped then)."""
        if self._token is not token:
            return True
        now = self._clock.monotonic()
        if len(self._forced) == MAX_FORCED and now - self._forced[0] < PERIOD:
            return False
        self._forced.append(now)
        self._token = None
        return True

    def _may_fetch(self) -> bool:
        full = len(self._fetched) == MAX_TOKENS
        return not full or self._clock.monotonic() - self._fetched[0] >= PERIOD

    def _renew(self) -> asyncio.Task[AccessToken]:
        self._fetched.append(self._clock.monotonic())
        self._renewal = self._start(self._fetch_and_keep())
        self._renewal.add_done_callback(self._renewed)
        return self._renewal

    async def _fetch_and_keep(self) -> AccessToken:
        asked = self._clock.monotonic()
        try:
            token = await self._fetch_patiently()
        except (InvalidClient, InvalidGrant) as error:
            self._wrong = error
            raise
        self._token, self._ends = token, asked + token.expires_in
        return token

    async def _fetch_patiently(self) -> AccessToken:
        """Fetch, and again after a fault that passes: an export must outlive one at the hour."""
        for attempt in range(1, self._retry.tries):
            try:
                return await self._fetch()
            except AccountsUnavailable:
                if not self._may_fetch():
                    raise
            await asyncio.sleep(self._retry.delay(attempt))
            self._fetched.append(self._clock.monotonic())
        return await self._fetch()

    def _renewed(self, task: asyncio.Task[AccessToken]) -> None:
        self._renewal = None
        if not task.cancelled():
            task.exception()  # an early renewal that fails is tried again when it is needed
