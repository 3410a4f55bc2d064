"""Tokens in a file of the user's, or in the keyring: for all processes of one machine.

Both take a lock file, read the value, change it and write it whole. That blocks, so it happens in
one thread of the store's own; what a cancelled task asked for still comes before what it asks
next. A file is replaced, never written into, so a process that is killed leaves the old one.
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
from zoho_async.auth.lease import LEASE, PERIOD, SHARED, Shared
from zoho_async.auth.stores.base import Change
from zoho_async.auth.stores.locked import locked, write_private
from zoho_async.errors import ConfigurationError, TokenStoreError
from zoho_async.fork import Process
from zoho_async.wire.text import UNDECODABLE

T = TypeVar("T")

_VERSION: Final = 1
_SERVICE: Final = "zoho-async tokens"


class _File(msgspec.Struct):
    version: int = _VERSION
    tokens: dict[str, Shared] = {}


_FILE: Final = decoder_of(_File)


class _Locked:
    """What the file and the keyring have in common: one thread, one lock."""

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
        return await loop.run_in_executor(self._thread, self._alone, key, change)

    async def close(self) -> None:
        self._check_process()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.shutdown(wait=False)

    def _check_process(self) -> None:
        """A forked process has none of its parent's threads."""
        if self._process.changed():
            self._thread = None

    def _alone(self, key: str, change: Change[T]) -> T:
        try:
            with locked(self._lock):
                return self._changed(key, change)
        except OSError as problem:
            raise TokenStoreError(
                f"tokens cannot be shared in {self._lock.parent}: {problem.strerror}; "
                "choose another place"
            ) from problem

    def _changed(self, key: str, change: Change[T]) -> T:
        raise NotImplementedError


class FileStore(_Locked):
    """Tokens in the file ``path``, which only its owner may read (mode 0600).

    ``path`` with ``.lock`` after it is the lock; locks work on local disks, not on every network
    share. ``lease`` is how long a process that dies while it refreshes may block others, in
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

    def _changed(self, key: str, change: Change[T]) -> T:
        found = self._read()
        before = found.tokens.get(key, Shared())
        after, now = copy.deepcopy(before), self._now()
        answer = change(after, now)
        if after != before:
            kept = {name: value for name, value in found.tokens.items() if not _over(value, now)}
            write_private(self.path, msgspec.json.encode(_File(tokens={**kept, key: after})))
        return answer

    def _read(self) -> _File:
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return _File()
        if os.name == "posix" and stat.S_IMODE(self.path.stat().st_mode) & 0o077:
            self.path.chmod(0o600)
        try:
            found = _FILE.decode(content)
        except UNDECODABLE:
            found = None
        if found is None or found.version != _VERSION:
            raise ConfigurationError(
                f"the tokens in {self.path} cannot be read; move the file away once no token was "
                "asked for in ten minutes"
            ) from None
        return found


class KeyringStore(_Locked):
    """Tokens in the OS keyring (the extra ``keyring``), with the lock file ``lock`` beside.

    Raises `ConfigurationError` where the extra is missing or no keyring works.
    """

    def __init__(self, lock: str | Path, *, lease: float = LEASE) -> None:
        from zoho_async.auth.stores.keyring import KeyringVault

        super().__init__(Path(lock), lease)
        self._vault: Final = KeyringVault(_SERVICE)

    def _changed(self, key: str, change: Change[T]) -> T:
        text = self._vault.get(key)
        before = self._read(text) if text else Shared()
        after = copy.deepcopy(before)
        answer = change(after, time.time())
        if after != before:
            self._vault.set(key, msgspec.json.encode(after).decode())
        return answer

    def _read(self, text: str) -> Shared:
        try:
            return SHARED.decode(text)
        except UNDECODABLE:
            raise ConfigurationError(
                f"the tokens in the keyring ({_SERVICE!r}) cannot be read; remove them there once "
                "no token was asked for in ten minutes"
            ) from None


def _over(value: Shared, now: float) -> bool:
    """Whether nothing in ``value`` matters any more."""
    recent = max([value.issued + value.life, value.wrong_until, value.denied_until, *value.asked])
    return now - recent > PERIOD
