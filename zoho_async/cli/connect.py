"""Opens the session of a command: a real account, or a sandbox."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

import msgspec

from zoho_async.auth import MemoryStore, TokenStore
from zoho_async.auth.profiles import account_settings, chosen_profile
from zoho_async.errors import ConfigurationError
from zoho_async.events import Observer
from zoho_async.limits import Ledger, Limits, MemoryLedger, PlanName, RedisLedger
from zoho_async.regions import is_loopback
from zoho_async.runtime import ledger_path, open_ledger, token_store
from zoho_async.sandbox import Sandbox
from zoho_async.session import Session

#: The sample data of ``--sandbox``. Payments and credit notes follow from the invoices. Without
#: sales receipts and bank transactions, all revenue is in the lists.
SANDBOX_SIZES: Final = {
    "books.contacts": 700,
    "books.items": 300,
    "books.invoices": 3_800,
    "books.projects": 100,
    "books.sales_receipts": 0,
    "books.bank_transactions": 0,
}
SANDBOX_SEED: Final = 1
#: The lists that ``--sandbox`` exports.
SANDBOX_LISTS: Final = (
    *("books.contacts", "books.credit_notes", "books.customer_payments", "books.invoices"),
    *("books.items", "books.organizations", "books.projects"),
)

_ZOHO_MINUTE: Final = 60.0


@dataclass(frozen=True, kw_only=True)
class ConnectionOptions:
    """The account and its limits. The text under each option is its help text."""

    sandbox: bool = False
    """Use sample data. Needs no account."""

    profile: str | None = None
    """Account saved by ``zoho-async login``. Default: ``ZOHO_PROFILE``."""

    organization: str | None = None
    """Organization id. Default: ``ZOHO_ORGANIZATION_ID``."""

    region: str | None = None
    """Data center of the account: ``us``, ``eu``, ``in``, ... Default: ``ZOHO_REGION``."""

    limit: int = 90
    """Calls per minute. Zoho allows 100 to all programs of an organization together."""

    burst: int = 10
    """Calls per minute that bulk calls, such as those of exports, leave to interactive calls."""

    plan: PlanName | None = None
    """Zoho plan, which sets the daily and concurrent limits. Default: read from Zoho's replies."""

    ledger: Path | None = None
    """File that remembers calls between runs. Default: ``ZOHO_ASYNC_LEDGER``, or a file in the
    user's state directory."""

    redis: str | None = None
    """Redis server that shares the limits between machines, ``redis://HOST:6379/0``. Default:
    ``ZOHO_REDIS_URL``, which may hold a password."""

    minute: float | None = None
    """Length of a sandbox's minute in seconds. Sandboxes only."""


@asynccontextmanager
async def connected(
    wanted: ConnectionOptions,
    environ: Mapping[str, str],
    observer: Observer,
    *,
    organization: bool = True,
) -> AsyncGenerator[Session]:
    """Open a session with its ledger and token store. Raises `ConfigurationError`.

    ``organization`` says that the user must name one.
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
                raise ConfigurationError("--sandbox has its own limits: leave out --redis")
            sandbox = Sandbox(
                seed=SANDBOX_SEED, sizes=SANDBOX_SIZES, minute=wanted.minute or _ZOHO_MINUTE
            )
            await stack.enter_async_context(sandbox)
            environ = sandbox.environment()
            ledger = MemoryLedger()
            tokens: TokenStore = MemoryStore()
        else:
            profile = chosen_profile(wanted.profile, environ)
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
                "(Zoho's web app shows the id under the organization's name)"
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
    """The ledger of the options, else of the environment, else the user's file.

    No message repeats a URL, because a URL may hold a password.
    """
    if wanted.redis and wanted.ledger:
        raise ConfigurationError("--redis and --ledger cannot be combined: give one of them")
    redis = redis_ledger(wanted.redis, {} if wanted.ledger else environ)
    return redis or open_ledger(wanted.ledger or ledger_path(environ))


def redis_ledger(url: str | None, environ: Mapping[str, str]) -> RedisLedger | None:
    """The ledger at ``url`` or the environment's ``ZOHO_REDIS_URL``; None if neither is named."""
    if url and _holds_password(url):
        raise ConfigurationError(
            "other users can see a password on the command line: set ZOHO_REDIS_URL instead of "
            "--redis"
        )
    named = url or environ.get("ZOHO_REDIS_URL")
    return RedisLedger(named) if named else None


def _holds_password(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.password) or "password" in parse_qs(parts.query)
    except ValueError:
        return False  # not a URL


def _settings(wanted: ConnectionOptions, environ: Mapping[str, str]) -> dict[str, str]:
    """The settings: options first, then the environment, then the profile."""
    options = {"ZOHO_ORGANIZATION_ID": wanted.organization, "ZOHO_REGION": wanted.region}
    settings = account_settings(wanted.profile, environ)
    settings |= {name: value for name, value in options.items() if value}
    host = urlsplit(settings.get("ZOHO_BASE_URL", "")).hostname or ""
    if wanted.minute is not None and not is_loopback(host):
        raise ConfigurationError("--minute is for sandboxes only: leave it out")
    return settings
