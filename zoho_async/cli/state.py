"""Where the command keeps what must outlive it: how far the limits are used, and access tokens.

A command that is killed and started again must know what it sent a moment ago, so its ledger is a
file of the user's, one for all directories and organizations. Access tokens stand beside it, so
that eleven runs in ten minutes do not ask for eleven.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from zoho_async.auth import FileStore, KeyringStore, TokenStore
from zoho_async.errors import ConfigurationError
from zoho_async.limits import SqliteLedger


def state_directory(environ: Mapping[str, str], platform: str = sys.platform) -> Path:
    """The user's directory for state, as the platform has it."""
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
    """Where the command's processes share access tokens: the keyring, or a file of the user's."""
    folder = ledger_path(environ).parent
    if keyring:
        return KeyringStore(folder / "tokens.lock")
    return FileStore(folder / "tokens.json")


def _home(environ: Mapping[str, str]) -> Path:
    home = environ.get("HOME") or environ.get("USERPROFILE")
    return Path(home) if home else Path.home()


def open_ledger(path: Path) -> SqliteLedger:
    """The ledger at ``path``, made where there is none. Raises `ConfigurationError`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.open("ab").close()
        return SqliteLedger(path)
    except OSError as problem:
        raise ConfigurationError(
            f"cannot keep the limits in {path}: {problem.strerror}; "
            "name another file with --ledger or ZOHO_ASYNC_LEDGER"
        ) from problem
