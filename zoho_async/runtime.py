"""Sessions of unattended programs, and the state that must survive a restart.

A program that is killed and restarted must know which calls it made a moment ago, so its ledger is
a file of the user, one for all directories and organizations. Access tokens are in a file next to
it, so that eleven runs in ten minutes do not request eleven tokens. If programs run on several
machines, ``ZOHO_REDIS_URL`` names the Redis that keeps both for all of them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TypeAlias, TypeVar

from anyio.from_thread import start_blocking_portal

from zoho_async.auth import FileStore, KeyringStore, RedisStore, TokenStore
from zoho_async.auth.profiles import chosen_profile
from zoho_async.errors import ConfigurationError
from zoho_async.limits import Ledger, Limits, RedisLedger, SqliteLedger
from zoho_async.session import Session

T = TypeVar("T")

#: Opens the session of an account: `unattended` or a function like it.
Account: TypeAlias = Callable[[], AbstractAsyncContextManager[Session]]


def run_blocking(work: Callable[[], Awaitable[T]]) -> T:
    """Run ``work`` in a new event loop on another thread, and return its result.

    It can be called from anywhere, even while an event loop is running. An interrupt of the caller
    (a signal, a scheduler's timeout) cancels the work and waits until it has cleaned up.
    """
    with start_blocking_portal() as portal:
        return portal.call(work)


@asynccontextmanager
async def unattended(
    environ: Mapping[str, str] | None = None, *, limits: Limits | None = None
) -> AsyncGenerator[Session]:
    """Open a session for a program that restarts often, or that runs many times at once.

    The account is that of ``environ`` (None: the process's environment), or of the profile that
    ``zoho-async login`` created. Limits and tokens are kept in the Redis at ``ZOHO_REDIS_URL``,
    else in the user's files. Raises `ConfigurationError`.
    """
    env = os.environ if environ is None else environ
    profile = chosen_profile(None, env)
    redis = env.get("ZOHO_REDIS_URL")
    ledger: Ledger
    tokens: TokenStore
    if redis:
        ledger, tokens = RedisLedger(redis), RedisStore(redis)
    else:
        ledger = open_ledger(ledger_path(env))
        tokens = token_store(env, keyring=profile is not None and profile.keyring)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(ledger.close)
        stack.push_async_callback(tokens.close)
        yield await stack.enter_async_context(
            Session.from_env(env, limits=limits, ledger=ledger, tokens=tokens)
        )


def state_directory(environ: Mapping[str, str], platform: str = sys.platform) -> Path:
    """The user's directory for state on this platform."""
    if platform == "win32":
        base = environ.get("LOCALAPPDATA")
        return Path(base) / "zoho-async" if base else _home(environ) / "AppData/Local/zoho-async"
    base = environ.get("XDG_STATE_HOME", "")
    if base.startswith("/"):
        return Path(base) / "zoho-async"
    if platform == "darwin":
        return _home(environ) / "Library/Application Support/zoho-async"
    return _home(environ) / ".local/state/zoho-async"


def ledger_path(environ: Mapping[str, str]) -> Path:
    """The ledger's file: ``ZOHO_ASYNC_LEDGER``, or ``limits.sqlite`` in the state directory."""
    named = environ.get("ZOHO_ASYNC_LEDGER")
    return Path(named) if named else state_directory(environ) / "limits.sqlite"


def token_store(environ: Mapping[str, str], *, keyring: bool) -> TokenStore:
    """The store that the command's processes share: the keyring, or a file of the user."""
    folder = ledger_path(environ).parent
    if keyring:
        return KeyringStore(folder / "tokens.lock")
    return FileStore(folder / "tokens.json")


def _home(environ: Mapping[str, str]) -> Path:
    home = environ.get("HOME") or environ.get("USERPROFILE")
    return Path(home) if home else Path.home()


def open_ledger(path: Path) -> SqliteLedger:
    """Open the ledger at ``path``, created if missing. Raises `ConfigurationError`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.open("ab").close()
        return SqliteLedger(path)
    except OSError as problem:
        raise ConfigurationError(
            f"cannot open the ledger {path}: {problem.strerror}; "
            "name another file with --ledger or ZOHO_ASYNC_LEDGER"
        ) from problem
