"""Token stores: one shared value per refresh token, changed by one caller at a time.

A store is a lock around values. The decisions are in `lease` and are the same for every store. A
store provides the value and a time that all its users agree on, and saves the changed value.
``key`` is a hash that identifies the refresh token and reveals nothing about it.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from typing import Final, Protocol, TypeAlias, TypeVar

from zoho_async.auth.credentials import Credentials
from zoho_async.auth.lease import LEASE, TokenState, release
from zoho_async.clock import SYSTEM_CLOCK, Clock
from zoho_async.fork import Process

T = TypeVar("T")

#: A function of the shared value and the store's time. It may change the value.
Change: TypeAlias = Callable[[TokenState, float], T]


class TokenStore(Protocol):
    """Shares tokens. ``lease`` is how long a caller that refreshes may block others, in seconds."""

    @property
    def lease(self) -> float: ...

    async def change(self, key: str, change: Change[T]) -> T:
        """Apply ``change`` to the value of ``key`` under the lock, and return its result.

        ``change`` may run more than once, each time on a fresh value. Raises `TokenStoreError`.
        """
        ...

    async def close(self) -> None:
        """Close files and sockets. Calling it again does nothing."""
        ...


class MemoryStore:
    """Tokens in this process. Sessions with the same store share them.

    A forked process has a copy: the tokens that existed, and separate leases.
    """

    def __init__(self, *, clock: Clock = SYSTEM_CLOCK, lease: float = LEASE) -> None:
        self.lease: Final = lease
        self._clock: Final = clock
        self._lock = threading.Lock()
        self._values: Final[dict[str, TokenState]] = {}
        self._process: Final = Process()

    async def change(self, key: str, change: Change[T]) -> T:
        if self._process.changed():
            self._lock = threading.Lock()
            for shared in self._values.values():
                release(shared, 0.0, holder=shared.holder)  # the lease belongs to the parent
        with self._lock:
            return change(self._values.setdefault(key, TokenState()), self._clock.time())

    async def close(self) -> None:
        """Do nothing: a memory store holds no file or socket."""


def store_key(accounts_url: str, credentials: Credentials) -> str:
    """Return the key for ``credentials``. Another secret gives another key."""
    words = (
        accounts_url,
        credentials.client_id,
        credentials.client_secret or "",
        credentials.refresh_token,
    )
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:32]
