"""Token stores for all processes of one machine: a file, or the OS keyring.

Both take a lock file, read the value, change it and write it whole. That blocks, so each store has
one thread for it, which also keeps the order of changes if a task is cancelled. A file is replaced,
never written in place, so a killed process leaves the old one.
"""

from __future__ import annotations

import asyncio
import copy
import os
import stat
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from zoho_async._msgspec import decoder_of
from zoho_async.auth.lease import LEASE, PERIOD, TOKEN_STATE, TokenState
from zoho_async.auth.stores.base import Change
from zoho_async.errors import ConfigurationError, TokenStoreError
from zoho_async.files import locked, write_private
from zoho_async.fork import Process
from zoho_async.wire.text import UNDECODABLE

T = TypeVar("T")

_VERSION: Final = 1
_SERVICE: Final = "zoho-async tokens"


class _File(msgspec.Struct):
    version: int = _VERSION
    tokens: dict[str, TokenState] = {}


_FILE: Final = decoder_of(_File)


class _LockedStore:
    """Common part of the file and keyring stores: one thread, one lock."""

    def __init__(self, lock: Path, lease: float) -> None:
        self.lease: Final = lease
        self._lock: Final = lock
        self._thread: ThreadPoolExecutor | None = None
        self._process: Final = Process()

    async def change(self, key: str, change: Change[T]) -> T:
        self._check_process()
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="zoho_async tokens")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._change_locked, key, change)

    async def close(self) -> None:
        self._check_process()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.shutdown(wait=False)

    def _check_process(self) -> None:
        """Forget the thread after a fork: the child does not have it."""
        if self._process.changed():
            self._thread = None

    def _change_locked(self, key: str, change: Change[T]) -> T:
        try:
            with locked(self._lock):
                return self._apply(key, change)
        except OSError as problem:
            raise TokenStoreError(
                f"cannot share tokens in {self._lock.parent}: {problem.strerror}; "
                "choose a folder that you can write to"
            ) from problem

    def _apply(self, key: str, change: Change[T]) -> T:
        raise NotImplementedError


class FileStore(_LockedStore):
    """Tokens in the file ``path``, which only its owner may read (mode 0600).

    The lock is ``path`` with ``.lock`` appended. Locks work on local disks, but not on every
    network share. ``lease`` is how long a process that dies during a refresh may block others, in
    seconds.
    """

    def __init__(
        self, path: str | Path, *, lease: float = LEASE, now: Callable[[], float] = time.time
    ) -> None:
        self.path: Final = Path(path)
        super().__init__(self.path.with_name(f"{self.path.name}.lock"), lease)
        self._now: Final = now

    def __repr__(self) -> str:
        return f"FileStore({str(self.path)!r})"

    def _apply(self, key: str, change: Change[T]) -> T:
        found = self._read()
        before = found.tokens.get(key, TokenState())
        after, now = copy.deepcopy(before), self._now()
        answer = change(after, now)
        if after != before:
            kept = {
                name: value for name, value in found.tokens.items() if not _is_expired(value, now)
            }
            write_private(self.path, msgspec.json.encode(_File(tokens={**kept, key: after})))
        return answer

    def _read(self) -> _File:
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return _File()
        # A symbolic link may lead to a file that is not ours, so its mode stays as it is.
        mode = self.path.lstat().st_mode
        if os.name == "posix" and not stat.S_ISLNK(mode) and stat.S_IMODE(mode) & 0o077:
            self.path.chmod(0o600)
        try:
            found = _FILE.decode(content)
        except UNDECODABLE:
            found = None
        if found is None or found.version != _VERSION:
            raise ConfigurationError(
                f"cannot read the tokens in {self.path}; stop all programs that use it for ten "
                "minutes, then move the file away"
            ) from None
        return found


class KeyringStore(_LockedStore):
    """Tokens in the OS keyring (the extra ``keyring``), with the lock file ``lock``.

    Raises `ConfigurationError` if the extra is missing or no keyring works.
    """

    def __init__(self, lock: str | Path, *, lease: float = LEASE) -> None:
        from zoho_async.auth.stores.keyring import KeyringVault

        super().__init__(Path(lock), lease)
        self._vault: Final = KeyringVault(_SERVICE)

    def _apply(self, key: str, change: Change[T]) -> T:
        text = self._vault.get(key)
        before = self._read(text) if text else TokenState()
        after = copy.deepcopy(before)
        answer = change(after, time.time())
        if after != before:
            self._vault.set(key, msgspec.json.encode(after).decode())
        return answer

    def _read(self, text: str) -> TokenState:
        try:
            return TOKEN_STATE.decode(text)
        except UNDECODABLE:
            raise ConfigurationError(
                f"cannot read the tokens in the keyring ({_SERVICE!r}); stop all programs that use "
                "them for ten minutes, then remove them from the keyring"
            ) from None


def _is_expired(value: TokenState, now: float) -> bool:
    """Whether nothing in ``value`` matters any more."""
    recent = max(
        [value.issued + value.life, value.error_until, value.throttled_until, *value.requests]
    )
    return now - recent > PERIOD
