"""Decide who may ask for a new access token, as functions of values.

Model. All users of one refresh token (tasks, processes, machines) share one `TokenState`, which a
store changes under its lock, one change at a time. A caller that needs a token calls `acquire` and
gets one of four results:

- `TokenReady`: here is a token.
- `RefreshRunning`: another caller is asking; wait.
- `LeaseGranted`: ask the accounts server, then call `complete` or `fail`.
- `RefreshDenied`: no caller may ask now.

Invariant. Within any ``PERIOD`` at most ``MAX_REQUESTS`` leases are granted to all callers
together.

Why it holds. A lease is written down before the request is sent, and the entry is never taken back.
Zoho counts arrivals, which lag behind leases by up to the time that a request may take. ``PERIOD``
is longer than Zoho's ten minutes by that much, so no jitter puts an eleventh arrival into ten
minutes.

A lease ends by itself. A holder that dies blocks the others until then, never longer. A holder that
is only slow may still store its token after that; the token is as good as any other.

Time is the store's (wall) time: one clock serves a file, the server's clock serves Redis. If a
clock was set back, entries lie in the future. They count as of now, and a token from the future is
dropped because its end is not known.

A 401 may mean a token that died early or a missing scope. `reject_token` tells them apart by trying
a new token, but only ``MAX_FORCED`` times in ``PERIOD``: a scope that is missing from every call
must not use up the tokens of a fleet that otherwise works.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import msgspec

from zoho_async._msgspec import decoder_of
from zoho_async.auth.reply import AccessToken
from zoho_async.auth.server import LONGEST
from zoho_async.errors import AuthError, InvalidClient, InvalidGrant, TokenThrottled

RENEW_EARLY: Final = 300.0
RENEW_NOW: Final = 60.0
MAX_REQUESTS: Final = 10
MAX_FORCED: Final = 5
ZOHO_PERIOD: Final = 600.0
PERIOD: Final = ZOHO_PERIOD + LONGEST + 10.0
LEASE: Final = LONGEST + 5.0
#: Clocks of two machines that share a store may differ by so much, in seconds.
SKEW: Final = 30.0

_CREDENTIAL_ERRORS: Final[dict[str, type[AuthError]]] = {
    "InvalidClient": InvalidClient,
    "InvalidGrant": InvalidGrant,
}


class TokenState(msgspec.Struct):
    """What a store keeps for one refresh token. Times are seconds of the store's clock.

    ``requests`` are the times of leases, ``rejections`` those of rejected tokens.
    ``throttled_until`` is set when the accounts server throttles, ``error`` when it says that the
    credentials are wrong.
    """

    token: str = ""
    issued: float = 0.0
    life: float = 0.0
    api_domain: str = ""
    requests: list[float] = []
    rejections: list[float] = []
    holder: str = ""
    lease_ends: float = 0.0
    throttled_until: float = 0.0
    error: str = ""
    error_text: str = ""
    error_until: float = 0.0

    def __repr__(self) -> str:
        count = len(self.requests)
        return f"TokenState(issued={self.issued}, life={self.life}, requests={count}, ...)"


TOKEN_STATE: Final = decoder_of(TokenState)


class TokenReady(msgspec.Struct, frozen=True):
    """A token, the seconds it still lives, and its age in seconds."""

    token: AccessToken
    left: float
    age: float


class RefreshRunning(msgspec.Struct, frozen=True):
    """Another caller is asking. Its lease ends after ``seconds``."""

    seconds: float


class LeaseGranted(msgspec.Struct, frozen=True):
    """The caller must ask the accounts server."""


class RefreshDenied(msgspec.Struct, frozen=True):
    """No caller may ask now. ``error`` says why."""

    error: AuthError


LeaseResult: TypeAlias = TokenReady | RefreshRunning | LeaseGranted | RefreshDenied


def acquire(
    shared: TokenState, now: float, *, holder: str, lease: float, early: bool = False
) -> LeaseResult:
    """Decide what ``holder`` does next. ``early`` asks to replace a token that still works."""
    _expire(shared, now)
    have = usable_token(shared, now)
    if have is not None and not (early and have.left <= min(RENEW_EARLY, shared.life / 2)):
        return have
    if shared.error and now < shared.error_until:
        return RefreshDenied(_CREDENTIAL_ERRORS[shared.error](shared.error_text))
    if shared.holder not in ("", holder) and now < shared.lease_ends:
        return have or RefreshRunning(shared.lease_ends - now)
    wait = _wait(shared, now)
    if wait > 0:
        return have or RefreshDenied(_throttled(wait))
    shared.requests.append(now)
    shared.holder, shared.lease_ends = holder, now + lease
    return LeaseGranted()


def usable_token(shared: TokenState, now: float) -> TokenReady | None:
    """Return the token that may be used now, or None.

    A token with a short life must still be used for most of it.
    """
    left = shared.issued + shared.life - now
    if not shared.token or left <= min(RENEW_NOW, shared.life / 4):
        return None
    token = AccessToken(shared.token, shared.life, shared.api_domain)
    return TokenReady(token, left, max(0.0, now - shared.issued))


def complete(
    shared: TokenState, now: float, *, holder: str, token: AccessToken, took: float
) -> TokenReady:
    """Store the ``token`` that ``holder`` got ``took`` seconds after it asked."""
    shared.token, shared.life = token.value, token.expires_in
    shared.issued, shared.api_domain = now - took, token.api_domain
    shared.throttled_until, shared.error, shared.error_text = 0.0, "", ""
    release(shared, now, holder=holder)
    return TokenReady(token, token.expires_in - took, took)


def add_token(shared: TokenState, now: float, *, token: AccessToken) -> None:
    """Store a token that came with a code, without a lease. Zoho counts it, and so does this."""
    shared.requests.append(now)
    complete(shared, now, holder="", token=token, took=0.0)


def clear_token(shared: TokenState, now: float) -> None:
    """Drop the token of a revoked refresh token. Its requests still count."""
    shared.token = ""


def fail(shared: TokenState, now: float, *, holder: str, error: AuthError) -> None:
    """Record that ``holder`` got ``error``. Wrong credentials stay wrong for all callers."""
    if type(error).__name__ in _CREDENTIAL_ERRORS:
        shared.error, shared.error_text = type(error).__name__, str(error)
        shared.error_until = now + PERIOD
    if isinstance(error, TokenThrottled):
        shared.throttled_until = now + PERIOD
    release(shared, now, holder=holder)


def release(shared: TokenState, now: float, *, holder: str) -> None:
    """End the lease of ``holder``. Its request still counts."""
    if shared.holder == holder:
        shared.holder, shared.lease_ends = "", 0.0


def reject_token(shared: TokenState, now: float, *, value: str) -> bool:
    """Return whether a new token is worth a try after Zoho refused the token ``value``."""
    _expire(shared, now)
    if shared.token != value:
        return True
    if len(shared.rejections) >= MAX_FORCED:
        return False
    shared.rejections.append(now)
    shared.token = ""
    return True


def _expire(shared: TokenState, now: float) -> None:
    """Drop what is past, and move entries from the future to now."""
    if shared.issued > now + SKEW:
        shared.token = ""
    shared.requests = [min(moment, now) for moment in shared.requests if moment > now - PERIOD]
    shared.rejections = [min(moment, now) for moment in shared.rejections if moment > now - PERIOD]
    shared.throttled_until = min(shared.throttled_until, now + PERIOD)
    shared.error_until = min(shared.error_until, now + PERIOD)
    shared.lease_ends = min(shared.lease_ends, now + 4 * LEASE)


def _wait(shared: TokenState, now: float) -> float:
    """Seconds until the next lease may be granted."""
    oldest = shared.requests[-MAX_REQUESTS] if len(shared.requests) >= MAX_REQUESTS else None
    full = 0.0 if oldest is None else oldest + PERIOD - now
    return max(full, shared.throttled_until - now, 0.0)


def _throttled(wait: float) -> TokenThrottled:
    return TokenThrottled(
        f"{MAX_REQUESTS} access tokens were requested with this refresh token within ten minutes, "
        f"or the accounts server said so; the refresh token is still valid: wait ten minutes "
        f"({wait:.0f} s), and share one session or token store"
    )
