"""Whose turn it is to ask for a token: what a token store decides, as functions of values.

Model. Everyone who uses one refresh token - tasks, processes, machines - shares one `Shared` value,
which a store changes under its lock, one at a time. Who needs a token calls `ask`, and is told one
of four things: here is one (`Have`); somebody is asking already (`Busy`); it is your turn (`Turn`),
ask the accounts server and bring what it says to `keep` or `fail`; or nobody may ask now
(`Denied`).

Invariant: within any ``PERIOD`` at most ``MOST`` turns are given, whoever asks, because a turn is
written down before the request is sent and is never taken back. Zoho counts arrivals, which lag
behind turns by up to the time that a request may take; ``PERIOD`` is longer than Zoho's ten minutes
by that much, so that no jitter puts an eleventh arrival into ten minutes.

A turn is a lease. One who dies with it blocks the others until it ends, never longer. One who is
merely slow may still bring a token after that; it is as good as any, so it is kept.

Time is the store's (wall) time. One clock serves a file, the server's serves Redis. A clock that
was set back makes entries of the future: they count as of now, and a token of the future is not
believed, because its end is not known.

A 401 may mean a token that died early or a missing scope. `drop` tells them apart by trying a new
token, but ``MOST_FORCED`` times in ``PERIOD``: a scope that is missing from every call must not use
up the tokens of a fleet that otherwise works.
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
MOST: Final = 10
MOST_FORCED: Final = 5
ZOHO_PERIOD: Final = 600.0
PERIOD: Final = ZOHO_PERIOD + LONGEST + 10.0
LEASE: Final = LONGEST + 5.0
#: Clocks of two machines that share a store may differ by so much, in seconds.
SKEW: Final = 30.0

_WRONG: Final[dict[str, type[AuthError]]] = {
    "InvalidClient": InvalidClient,
    "InvalidGrant": InvalidGrant,
}


class Shared(msgspec.Struct):
    """What a store keeps of one refresh token; times are in seconds of its clock.

    ``asked`` and ``forced`` are when turns were given and tokens dropped. ``denied_until`` is set
    by the accounts server's own throttle, ``wrong`` by its word that the credentials are no good.
    """

    token: str = ""
    issued: float = 0.0
    life: float = 0.0
    api_domain: str = ""
    asked: list[float] = []
    forced: list[float] = []
    holder: str = ""
    lease_ends: float = 0.0
    denied_until: float = 0.0
    wrong: str = ""
    advice: str = ""
    wrong_until: float = 0.0

    def __repr__(self) -> str:
        return f"Shared(issued={self.issued}, life={self.life}, asked={len(self.asked)}, ...)"


SHARED: Final = decoder_of(Shared)


class Have(msgspec.Struct, frozen=True):
    """A token, the seconds it still lives, and its age in seconds."""

    token: AccessToken
    left: float
    age: float


class Busy(msgspec.Struct, frozen=True):
    """Somebody is asking; his lease ends after ``seconds``."""

    seconds: float


class Turn(msgspec.Struct, frozen=True):
    """Ask the accounts server."""


class Denied(msgspec.Struct, frozen=True):
    """Nobody may ask; ``error`` says why."""

    error: AuthError


Word: TypeAlias = Have | Busy | Turn | Denied


def ask(shared: Shared, now: float, *, holder: str, lease: float, early: bool = False) -> Word:
    """What ``holder`` is to do. ``early`` asks for a successor of a token that still works."""
    _settle(shared, now)
    have = held(shared, now)
    if have is not None and not (early and have.left <= min(RENEW_EARLY, shared.life / 2)):
        return have
    if shared.wrong and now < shared.wrong_until:
        return Denied(_WRONG[shared.wrong](shared.advice))
    if shared.holder not in ("", holder) and now < shared.lease_ends:
        return have or Busy(shared.lease_ends - now)
    wait = _wait(shared, now)
    if wait > 0:
        return have or Denied(_throttled(wait))
    shared.asked.append(now)
    shared.holder, shared.lease_ends = holder, now + lease
    return Turn()


def held(shared: Shared, now: float) -> Have | None:
    """The token that may be used now. One with a short life must still be used for most of it."""
    left = shared.issued + shared.life - now
    if not shared.token or left <= min(RENEW_NOW, shared.life / 4):
        return None
    token = AccessToken(shared.token, shared.life, shared.api_domain)
    return Have(token, left, max(0.0, now - shared.issued))


def keep(shared: Shared, now: float, *, holder: str, token: AccessToken, took: float) -> Have:
    """``holder`` brings ``token``, ``took`` seconds after he asked for it."""
    shared.token, shared.life = token.value, token.expires_in
    shared.issued, shared.api_domain = now - took, token.api_domain
    shared.denied_until, shared.wrong, shared.advice = 0.0, "", ""
    release(shared, now, holder=holder)
    return Have(token, token.expires_in - took, took)


def bring(shared: Shared, now: float, *, token: AccessToken) -> None:
    """A token came with a code, without a turn; Zoho counts it all the same."""
    shared.asked.append(now)
    keep(shared, now, holder="", token=token, took=0.0)


def forget(shared: Shared, now: float) -> None:
    """The refresh token is no more, nor what came of it; that it was asked for still counts."""
    shared.token = ""


def fail(shared: Shared, now: float, *, holder: str, error: AuthError) -> None:
    """``holder`` was told ``error`` instead. Wrong credentials stay wrong for everyone."""
    if type(error).__name__ in _WRONG:
        shared.wrong, shared.advice = type(error).__name__, str(error)
        shared.wrong_until = now + PERIOD
    if isinstance(error, TokenThrottled):
        shared.denied_until = now + PERIOD
    release(shared, now, holder=holder)


def release(shared: Shared, now: float, *, holder: str) -> None:
    """``holder`` gives up his turn; that he had it still counts."""
    if shared.holder == holder:
        shared.holder, shared.lease_ends = "", 0.0


def drop(shared: Shared, now: float, *, value: str) -> bool:
    """Zoho refused the token ``value``: whether a different one is worth a try."""
    _settle(shared, now)
    if shared.token != value:
        return True
    if len(shared.forced) >= MOST_FORCED:
        return False
    shared.forced.append(now)
    shared.token = ""
    return True


def _settle(shared: Shared, now: float) -> None:
    """Forget what is past, and make the best of what lies in the future."""
    if shared.issued > now + SKEW:
        shared.token = ""
    shared.asked = [min(moment, now) for moment in shared.asked if moment > now - PERIOD]
    shared.forced = [min(moment, now) for moment in shared.forced if moment > now - PERIOD]
    shared.denied_until = min(shared.denied_until, now + PERIOD)
    shared.wrong_until = min(shared.wrong_until, now + PERIOD)
    shared.lease_ends = min(shared.lease_ends, now + 4 * LEASE)


def _wait(shared: Shared, now: float) -> float:
    """The seconds until a turn may be given."""
    oldest = shared.asked[-MOST] if len(shared.asked) >= MOST else None
    full = 0.0 if oldest is None else oldest + PERIOD - now
    return max(full, shared.denied_until - now, 0.0)


def _throttled(wait: float) -> TokenThrottled:
    return TokenThrottled(
        f"{MOST} access tokens were asked for with this refresh token within ten minutes, or the "
        f"accounts server said so; the refresh token is still good: wait ten minutes "
        f"({wait:.0f} s), and share one session or token store"
    )
