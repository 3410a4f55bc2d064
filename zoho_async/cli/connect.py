"""The session that an order of the command line needs: a real account, or a sandbox of its own."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

import msgspec

from zoho_async.auth import MemoryStore, TokenStore, profile_settings
from zoho_async.auth.profiles import chosen_profile, names_credentials
from zoho_async.errors import ConfigurationError
from zoho_async.events import Observer
from zoho_async.limits import Ledger, Limits, MemoryLedger, PlanName, RedisLedger
from zoho_async.runtime import ledger_path, open_ledger, token_store
from zoho_async.sandbox import Sandbox
from zoho_async.session import Session

#: What ``--sandbox`` holds: the lists of a small firm, the same rows every time.
SANDBOX_SIZES: Final = {
    "books.contacts": 1_500,
    "books.items": 1_000,
    "books.invoices": 6_000,
    "books.projects": 300,
}
SANDBOX_SEED: Final = 1
#: The lists that have rows in it.
SANDBOX_LISTS: Final = tuple(sorted((*SANDBOX_SIZES, "books.organizations")))

_ZOHO_MINUTE: Final = 60.0
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


class ConnectionOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Whom to call, and how fast. ``minute`` is for sandboxes whose minute is a shorter one."""

    sandbox: bool = False
    profile: str | None = None
    organization: str | None = None
    region: str | None = None
    limit: int = 90
    burst: int = 10
    plan: PlanName | None = None
    minute: float | None = None
    ledger: Path | None = None
    redis: str | None = None


@asynccontextmanager
async def connected(
    wanted: ConnectionOptions,
    environ: Mapping[str, str],
    observer: Observer,
    *,
    organization: bool = True,
) -> AsyncGenerator[Session]:
    """The session, with all that stands behind it. Raises `ConfigurationError`.

    ``organization`` says that one must be named.
    """
    async with AsyncExitStack() as stack:
        limits = _limits(wanted)
        ledger: Ledger
        if wanted.sandbox:
            if wanted.organization or wanted.region or wanted.profile:
                raise ConfigurationError(
                    "--sandbox has its own organization: leave out --organization, --region "
                    "and --profile"
                )
            if wanted.redis:
                raise ConfigurationError(
                    "--sandbox shares its limits with nobody: leave out --redis"
                )
            sandbox = Sandbox(
                seed=SANDBOX_SEED, sizes=SANDBOX_SIZES, minute=wanted.minute or _ZOHO_MINUTE
            )
            await stack.enter_async_context(sandbox)
            environ = sandbox.environment()
            ledger = MemoryLedger()
            tokens: TokenStore = MemoryStore()
        else:
            profile = chosen_profile(wanted.profile, environ)
            if profile is None and not names_credentials(environ):
                raise ConfigurationError(
                    "no account is known: run `zoho-async login`, or set the environment variables "
                    "ZOHO_CLIENT_ID, ZOHO_CLIENT_SECRET, ZOHO_REFRESH_TOKEN"
                )
            environ = _settings(wanted, environ)
            ledger = _ledger(wanted, environ)
            tokens = token_store(environ, keyring=profile is not None and profile.keyring)
        stack.push_async_callback(ledger.close)
        stack.push_async_callback(tokens.close)
        session = Session.from_env(
            environ, limits=limits, ledger=ledger, tokens=tokens, observer=observer
        )
        await stack.enter_async_context(session)
        if organization and session.organization is None:
            raise ConfigurationError(
                "no organization is named: set ZOHO_ORGANIZATION_ID or give --organization "
                "(its id is in Zoho's web app under the organization's name)"
            )
        yield session


def _limits(wanted: ConnectionOptions) -> Limits:
    limits = Limits(limit=wanted.limit, burst=wanted.burst)
    if wanted.plan is not None:
        limits = Limits.for_plan(wanted.plan, limit=wanted.limit, burst=wanted.burst)
    if wanted.minute is None:
        return limits
    return msgspec.structs.replace(
        limits, window=wanted.minute, linger=min(30.0, wanted.minute / 2)
    )


def _ledger(wanted: ConnectionOptions, environ: Mapping[str, str]) -> Ledger:
    """The ledger that is named, on the command line before the environment; else the user's file.

    No message repeats a URL, which may hold a password.
    """
    if wanted.redis and wanted.ledger:
        raise ConfigurationError("the limits are kept in one place: give --redis or --ledger")
    redis = redis_ledger(wanted.redis, {} if wanted.ledger else environ)
    return redis or open_ledger(wanted.ledger or ledger_path(environ))


def redis_ledger(url: str | None, environ: Mapping[str, str]) -> RedisLedger | None:
    """The ledger at ``url`` or the environment's ``ZOHO_REDIS_URL``; None if neither is named."""
    if url and _holds_password(url):
        raise ConfigurationError(
            "a password on the command line can be seen by others: set ZOHO_REDIS_URL to the URL "
            "instead of --redis"
        )
    named = url or environ.get("ZOHO_REDIS_URL")
    return RedisLedger(named) if named else None


def _holds_password(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.password) or "password" in parse_qs(parts.query)
    except ValueError:
        return False  # nor is it a URL


def _settings(wanted: ConnectionOptions, environ: Mapping[str, str]) -> dict[str, str]:
    """The environment over the profile, with the options of the command line over both."""
    options = {"ZOHO_ORGANIZATION_ID": wanted.organization, "ZOHO_REGION": wanted.region}
    settings = profile_settings(wanted.profile, environ)
    settings |= {name: value for name, value in options.items() if value}
    host = urlsplit(settings.get("ZOHO_BASE_URL", "")).hostname
    if wanted.minute is not None and host not in _LOOPBACK:
        raise ConfigurationError(
            "--minute is for sandboxes only: Zoho's minute has 60 seconds; leave it out"
        )
    return settings
