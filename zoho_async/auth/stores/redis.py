"""Tokens in Redis (the extra ``redis``), for all machines of a fleet.

A change reads the value and the server's time under WATCH and writes in a transaction. Redis
refuses the transaction if another client was faster; then the change runs again on the new value.
Of any number of clients that try at once one succeeds, so the fleet always makes progress.
"""

from __future__ import annotations

import copy
from types import TracebackType
from typing import Any, Final, Protocol, TypeVar, cast

import msgspec

from zoho_async.auth.lease import LEASE, PERIOD, TOKEN_STATE, TokenState
from zoho_async.auth.stores.base import Change
from zoho_async.errors import ConfigurationError, TokenStoreError
from zoho_async.fork import Process, never_close

T = TypeVar("T")

#: Redis deletes the key of a refresh token so many seconds after the token's end.
_RETENTION: Final = PERIOD


class _Pipe(Protocol):
    """The part of redis' pipelines that is used. Their own types are partly unknown."""

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

    Access tokens are stored in plain text: anyone who can read this Redis can use them for an hour.
    Raises `ConfigurationError` if the extra is missing or the URL is wrong.
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
                    return await self._try_change(name, change)
                except WatchError:
                    continue
        except (RedisError, OSError) as problem:
            # The original message may contain the URL, and the URL a password.
            raise TokenStoreError(
                f"the Redis that shares tokens failed ({type(problem).__name__}); check the server "
                "and ZOHO_REDIS_URL"
            ) from None

    async def _try_change(self, name: str, change: Change[T]) -> T:
        async with self._redis.pipeline() as pipe:
            await pipe.watch(name)
            found = await pipe.get(name)
            seconds, micros = await pipe.time()
            now = float(seconds) + float(micros) / 1e6
            before = TOKEN_STATE.decode(found) if found else TokenState()
            after = copy.deepcopy(before)
            answer = change(after, now)
            if after != before:
                end = max(now, after.issued + after.life) + _RETENTION
                pipe.multi()
                pipe.set(name, msgspec.json.encode(after), exat=int(end) + 1)
                await pipe.execute()
            return answer

    def _check_process(self) -> None:
        """Open new connections after a fork: those of the parent must not be used."""
        if self._process.changed():
            never_close(self._redis)
            self._redis = self._connect()

    async def close(self) -> None:
        self._check_process()
        await self._redis.aclose()
