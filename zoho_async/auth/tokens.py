"""Hand out one access token to all calls, and renew it before it ends.

Within a session, one task gets a new token for all calls that need it. Between sessions, processes
and machines, the token store decides who asks Zoho (see `lease`). The others poll the store until
the token is there, at growing intervals with jitter, never past the lease of the holder.

Between `lease.RENEW_EARLY` and `lease.RENEW_NOW` seconds before its end, a token is still handed
out while a background task fetches its successor. After that, callers wait for the successor. If an
early renewal fails, it is tried again after ``AGAIN`` seconds, or when a token is needed.

If the accounts server calls the refresh token or client wrong, this source raises the same error
from then on without asking again.
"""

from __future__ import annotations

import asyncio
import os
import random
import uuid
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, Final, TypeAlias

import anyio

from zoho_async.auth import lease
from zoho_async.auth.reply import AccessToken
from zoho_async.auth.stores.base import TokenStore
from zoho_async.clock import Clock
from zoho_async.errors import AccountsUnavailable, AuthError, InvalidClient, InvalidGrant
from zoho_async.http.retry import Policy

#: Seconds between two early renewals.
AGAIN: Final = 30.0
#: First and longest pause between two polls of the store while another caller asks, in seconds.
_POLL: Final = 0.05
_LONGEST_POLL: Final = 0.5
#: Seconds that a cancelled task may take to release its lease.
_RELEASE_TIMEOUT: Final = 2.0

Fetch: TypeAlias = Callable[[], Awaitable[AccessToken]]
Start: TypeAlias = Callable[[Coroutine[Any, Any, AccessToken]], asyncio.Task[AccessToken]]


class TokenSource:
    """Hands out the current access token.

    ``fetch`` makes one request to the accounts server. ``start`` runs it as a task that the session
    owns, so that a cancelled caller does not cancel it for the others. ``store`` shares tokens
    under ``key``. ``adopted`` is called with each token before it is used, ``refreshed`` with each
    token that this source requested, after it is stored.
    """

    def __init__(
        self,
        fetch: Fetch,
        start: Start,
        clock: Clock,
        retry: Policy,
        store: TokenStore,
        key: str,
        adopted: Callable[[AccessToken], None] = lambda token: None,
        refreshed: Callable[[AccessToken], None] = lambda token: None,
    ) -> None:
        self._fetch: Final = fetch
        self._start: Final = start
        self._clock: Final = clock
        self._retry: Final = retry
        self._store: Final = store
        self._key: Final = key
        self._adopted: Final = adopted
        self._refreshed: Final = refreshed
        self._holder: Final = f"{os.getpid()}-{uuid.uuid4().hex}"
        self._token: AccessToken | None = None
        self._ends = 0.0
        self._fresh_until = 0.0
        self._issued = 0.0
        self._early_from = 0.0
        self._renewal: asyncio.Task[AccessToken] | None = None
        self._wrong: AuthError | None = None

    @property
    def age(self) -> float | None:
        """Seconds since the current token was issued, or None before the first."""
        return None if self._token is None else self._clock.monotonic() - self._issued

    def current(self) -> AccessToken | None:
        """Return the token that can be used without waiting, or None."""
        if self._token is None:
            return None
        now = self._clock.monotonic()
        if now < self._fresh_until:
            return self._token
        left = self._ends - now
        # A token whose whole life is short must still be used for most of it.
        life = self._token.expires_in
        if left <= min(lease.RENEW_NOW, life / 4):
            return None
        early = left <= min(lease.RENEW_EARLY, life / 2)
        if early and self._renewal is None and now >= self._early_from:
            self._early_from = now + AGAIN
            self._renew(early=True)
        return self._token

    async def token(self) -> AccessToken:
        """Return the current token, or wait for a new one. Raises an `AuthError` if it fails."""
        token = self.current()
        if token is not None:
            return token
        if self._wrong is not None:
            raise type(self._wrong)(*self._wrong.args)
        return await asyncio.shield(self._renewal or self._renew())

    async def refused(self, token: AccessToken) -> bool:
        """Return whether a new token is worth a try after Zoho refused ``token``.

        If so, the old token is dropped.
        """
        if self._token is not token:
            return True
        worth = await self._store.change(self._key, partial(lease.reject_token, value=token.value))
        if worth and self._token is token:
            self._token = None
        return worth

    def _renew(self, *, early: bool = False) -> asyncio.Task[AccessToken]:
        self._renewal = self._start(self._obtain(early))
        self._renewal.add_done_callback(self._renewed)
        return self._renewal

    async def _obtain(self, early: bool) -> AccessToken:
        """Get a token from the store, or request one under a lease. Repeats until one is there."""
        polls, requests = 0, 0
        ask = partial(lease.acquire, holder=self._holder, lease=self._store.lease, early=early)
        while True:
            began = self._clock.monotonic()
            result = await self._store.change(self._key, ask)
            match result:
                case lease.TokenReady():
                    return self._use(result, at=began)
                case lease.RefreshDenied():
                    raise self._remember(result.error)
                case lease.RefreshRunning():
                    pause = min(_POLL * 2.0**polls, _LONGEST_POLL) * random.uniform(0.5, 1.0)
                    polls += 1
                    await asyncio.sleep(min(pause, result.seconds + _POLL))
                case lease.LeaseGranted():
                    requests += 1
                    try:
                        have = await self._request()
                        return self._use(have, at=self._clock.monotonic())
                    except AccountsUnavailable:
                        # A long export must survive a fault of the accounts server.
                        if requests >= self._retry.tries:
                            raise
                    await asyncio.sleep(self._retry.delay(requests))

    async def _request(self) -> lease.TokenReady:
        """Make one request to the accounts server and store its answer."""
        began = self._clock.monotonic()
        try:
            token = await self._fetch()
        except AuthError as error:
            self._remember(error)
            await self._store.change(
                self._key, partial(lease.fail, holder=self._holder, error=error)
            )
            raise
        except BaseException:
            with anyio.move_on_after(_RELEASE_TIMEOUT, shield=True):
                await self._store.change(self._key, partial(lease.release, holder=self._holder))
            raise
        took = self._clock.monotonic() - began
        have = await self._store.change(
            self._key, partial(lease.complete, holder=self._holder, token=token, took=took)
        )
        self._refreshed(token)
        return have

    def _use(self, have: lease.TokenReady, *, at: float) -> AccessToken:
        """Use the token that was ready ``at`` a moment, from which its remaining life counts."""
        if self._token is None or self._token.value != have.token.value:
            self._adopted(have.token)
            self._token = have.token
            self._ends = at + have.left
            self._fresh_until = self._ends - lease.RENEW_EARLY
            self._issued = at - have.age
        return self._token

    def _remember(self, error: AuthError) -> AuthError:
        if isinstance(error, InvalidClient | InvalidGrant):
            self._wrong = error
        return error

    def _renewed(self, task: asyncio.Task[AccessToken]) -> None:
        self._renewal = None
        if not task.cancelled():
            task.exception()  # an early renewal that fails is tried again when it is needed
