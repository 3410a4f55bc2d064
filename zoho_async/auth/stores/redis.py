"""Tokens in Redis (the extra ``redis``): for all machines of a fleet.

A change reads the value and the server's time under WATCH and writes in a transaction that Redis
refuses when somebody else was faster; then it is made again on the new value. Of any number who
try at once one succeeds, so the fleet always goes on.
"""

from __future__ import annotations

import copy
from types import TracebackType
from typing import Any, Final, Protocol, TypeVar, cast

import msgspec

from zoho_async.auth.lease import LEASE, PERIOD, SHARED, Shared
from zoho_async.auth.stores.base import Change
from zoho_async.errors import ConfigurationError, TokenStoreError
from zoho_async.fork import Process, keep

T = TypeVar("T")

#: Keys of one refresh token are forgotten so many seconds after the token's end.
_AFTERWARDS: Final = PERIOD


class _Pipe(Protocol):
    """What is used of redis' pipelines, whose own types are partly unknown."""

    async def __aenter__(self) -> _Pipe: ...
    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
    async def watch(self, name: str) -> object: ...
    async def get(self, name: str) -> bytes | None: ...
    async def time(self) -> tuple[int, int]: ...
    def multi(self) -> None: ...
    def set(self, name: str, value: bytes, *, exat: int) -> object: ...
    async def execute(self) -> object: ...


class _Client(Protocol):
    def pipeline(self) -> _Pipe: ...
    async def aclose(self) -> None: ...


class RedisStore:
    """Tokens in the Redis at ``url`` (``redis://...``, ``rediss://...``), under ``prefix``.

    Access tokens stand there as they are: whoever can read this Redis can use them for an hour.
    Raises `ConfigurationError` where the extra is missing or the URL is none.
    """

    def __init__(
        self, url: str, *, prefix: str = "zoho_async:token:", lease: float = LEASE
    ) -> None:
        try:
            from redis.asyncio import Redis
        except ModuleNotFoundError:
            raise ConfigurationError(
                "the Redis store needs the extra: python -m pip install 'zoho-async[redis]'"
            ) from None
        self.lease: Final = lease
        self._prefix: Final = prefix
        self._process: Final = Process()

        def connect() -> _Client:
            client: _Client = cast(Any, Redis).from_url(
                url, socket_timeout=10, socket_connect_timeout=10
            )
            return client

        self._connect: Final = connect
        try:
            self._redis = connect()
        except ValueError:
            raise ConfigurationError("the Redis URL must look like redis://host:6379/0") from None

    def __repr__(self) -> str:
        return "RedisStore(...)"

    async def change(self, key: str, change: Change[T]) -> T:
        from redis.exceptions import RedisError, WatchError

        name = self._prefix + key
        self._check_process()
        try:
            while True:
                try:
                    return await self._tried(name, change)
                except WatchError:
                    continue
        except (RedisError, OSError) as problem:
            # Its own words might hold the URL, and that a password.
            raise TokenStoreError(
                f"the Redis that shares tokens failed ({type(problem).__name__})"
            ) from None

    async def _tried(self, name: str, change: Change[T]) -> T:
        async with self._redis.pipeline() as pipe:
            await pipe.watch(name)
            found = await pipe.get(name)
            seconds, micros = await pipe.time()
            now = float(seconds) + float(micros) / 1e6
            before = SHARED.decode(found) if found else Shared()
            after = copy.deepcopy(before)
            answer = change(after, now)
            if after != before:
                end = max(now, after.issued + after.life) + _AFTERWARDS
                pipe.multi()
                pipe.set(name, msgspec.json.encode(after), exat=int(end) + 1)
                await pipe.execute()
            return answer

    def _check_process(self) -> None:
        """A forked process must not use the connections of its parent."""
        if self._process.changed():
            keep(self._redis)
            self._redis = self._connect()

    async def close(self) -> None:
        self._check_process()
        await self._redis.aclose()
