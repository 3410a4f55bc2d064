"""Where a token is shared: one value for each refresh token, changed by one at a time.

A store is nothing but a lock around values. What is decided under it stands in `turn`, the same
for every store; a store gives the value, the time that all who share it agree on, and keeps what
came of it. ``key`` is a hash that says which refresh token is meant and tells nothing about it.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from typing import Final, Protocol, TypeAlias, TypeVar

from zoho_async.auth.credentials import Credentials
from zoho_async.auth.lease import LEASE, Shared, release
from zoho_async.clock import SYSTEM_CLOCK, Clock
from zoho_async.fork import Process

T = TypeVar("T")

#: A function of the shared value and the store's time; it may change the value.
Change: TypeAlias = Callable[[Shared, float], T]


class TokenStore(Protocol):
    """What shares tokens. ``lease`` is how long one who refreshes may block others, in seconds."""

    @property
    def lease(self) -> float: ...

    async def change(self, key: str, change: Change[T]) -> T:
        """Apply ``change`` to the value of ``key``, alone; what it returned.

        It may be applied more than once, to a fresh value each time. Raises `TokenStoreError`.
        """
        ...

    async def close(self) -> None:
        """Let go of files and sockets. Calling it again does nothing."""
        ...


class MemoryStore:
    """Tokens in this process; Sessions that are given the same store share them.

    A forked process has a copy: its own turns, and the tokens that were there.
    """

    def __init__(self, *, clock: Clock = SYSTEM_CLOCK, lease: float = LEASE) -> None:
        self.lease: Final = lease
        self._clock: Final = clock
        self._lock = threading.Lock()
        self._values: Final[dict[str, Shared]] = {}
        self._process: Final = Process()

    async def change(self, key: str, change: Change[T]) -> T:
        if self._process.changed():
            self._lock = threading.Lock()
            for shared in self._values.values():
                release(shared, 0.0, holder=shared.holder)  # the parent keeps its turn to itself
        with self._lock:
            return change(self._values.setdefault(key, Shared()), self._clock.time())

    async def close(self) -> None:
        """Nothing is held."""


def store_key(accounts_url: str, credentials: Credentials) -> str:
    """The key of what ``credentials`` share; another secret is another key."""
    words = (accounts_url, *(getattr(credentials, name) for name in credentials.__struct_fields__))
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:32]
