"""One access token for everyone who calls, renewed before it ends.

Within a session, however many calls need a new token, one task gets it. Between sessions, processes
and machines the token store decides who asks Zoho (see `turn`); the others look at the store until
the token is there, at growing intervals with jitter, never past the lease of the one who asks.

Between `turn.RENEW_EARLY` and `turn.RENEW_NOW` seconds before its end a token is still handed out
while its successor is fetched in the background; after that callers wait for it. A renewal ahead of
need that fails is tried again after ``AGAIN`` seconds, or when it is needed.

A refresh token or client that the accounts server calls wrong stays wrong for this source: asking
again would only spend requests, so the same error is raised at once.
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

#: Seconds between two tries to renew ahead of need.
AGAIN: Final = 30.0
#: The first and the longest pause between two looks at a store where somebody else is asking.
_LOOK: Final = 0.05
_LONGEST_LOOK: Final = 0.5
#: How long a task that is cancelled may take to give its turn back, in seconds.
_FAREWELL: Final = 2.0

Fetch: TypeAlias = Callable[[], Awaitable[AccessToken]]
Start: TypeAlias = Callable[[Coroutine[Any, Any, AccessToken]], asyncio.Task[AccessToken]]


class TokenSource:
    """Hands out the current access token.

    ``fetch`` makes one request to the accounts server; ``start`` runs it as a task that the session
    owns, so that a caller who is cancelled does not cancel it for the others. ``store`` shares
    tokens under ``key``. ``adopted`` is told of each token before it is used, ``refreshed`` of each
    that was asked for here, once nothing can lose it any more.
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
        self._young_until = 0.0
        self._born = 0.0
        self._early_from = 0.0
        self._renewal: asyncio.Task[AccessToken] | None = None
        self._wrong: AuthError | None = None

    @property
    def age(self) -> float | None:
        """The seconds since the current token was given, or None before the first."""
        return None if self._token is None else self._clock.monotonic() - self._born

    def current(self) -> AccessToken | None:
        """The token that may be used right now without waiting, if there is one."""
        if self._token is None:
            return None
        now = self._clock.monotonic()
        if now < self._young_until:
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
        """The current token, or a new one. Raises an `AuthError` when none is to be had."""
        token = self.current()
        if token is not None:
            return token
        if self._wrong is not None:
            raise type(self._wrong)(*self._wrong.args)
        return await asyncio.shield(self._renewal or self._renew())

    async def refused(self, token: AccessToken) -> bool:
        """Zoho refused ``token``: whether a different one is worth a try (it is dropped then)."""
        if self._token is not token:
            return True
        worth = await self._store.change(self._key, partial(lease.drop, value=token.value))
        if worth and self._token is token:
            self._token = None
        return worth

    def _renew(self, *, early: bool = False) -> asyncio.Task[AccessToken]:
        self._renewal = self._start(self._obtain(early))
        self._renewal.add_done_callback(self._renewed)
        return self._renewal

    async def _obtain(self, early: bool) -> AccessToken:
        """A token from the store, or by a turn of our own, as often as it takes."""
        looked, asked = 0, 0
        ask = partial(lease.ask, holder=self._holder, lease=self._store.lease, early=early)
        while True:
            began = self._clock.monotonic()
            word = await self._store.change(self._key, ask)
            match word:
                case lease.Have():
                    return self._keep(word, at=began)
                case lease.Denied():
                    raise self._remembered(word.error)
                case lease.Busy():
                    pause = min(_LOOK * 2.0**looked, _LONGEST_LOOK) * random.uniform(0.5, 1.0)
                    looked += 1
                    await asyncio.sleep(min(pause, word.seconds + _LOOK))
                case lease.Turn():
                    asked += 1
                    try:
                        have = await self._asked()
                        return self._keep(have, at=self._clock.monotonic())
                    except AccountsUnavailable:
                        # An export must outlive a fault of the accounts server at the hour.
                        if asked >= self._retry.tries:
                            raise
                    await asyncio.sleep(self._retry.delay(asked))

    async def _asked(self) -> lease.Have:
        """One request to the accounts server, and its answer in the store."""
        began = self._clock.monotonic()
        try:
            token = await self._fetch()
        except AuthError as error:
            self._remembered(error)
            await self._store.change(
                self._key, partial(lease.fail, holder=self._holder, error=error)
            )
            raise
        except BaseException:
            with anyio.move_on_after(_FAREWELL, shield=True):
                await self._store.change(self._key, partial(lease.release, holder=self._holder))
            raise
        took = self._clock.monotonic() - began
        have = await self._store.change(
            self._key, partial(lease.keep, holder=self._holder, token=token, took=took)
        )
        self._refreshed(token)
        return have

    def _keep(self, have: lease.Have, *, at: float) -> AccessToken:
        """Use what was had ``at`` a moment, no later than which its life was counted."""
        if self._token is None or self._token.value != have.token.value:
            self._adopted(have.token)
            self._token = have.token
            self._ends = at + have.left
            self._young_until = self._ends - lease.RENEW_EARLY
            self._born = at - have.age
        return self._token

    def _remembered(self, error: AuthError) -> AuthError:
        if isinstance(error, InvalidClient | InvalidGrant):
            self._wrong = error
        return error

    def _renewed(self, task: asyncio.Task[AccessToken]) -> None:
        self._renewal = None
        if not task.cancelled():
            task.exception()  # an early renewal that fails is tried again when it is needed
