"""Wake waiters when a call of another worker ended: one Redis subscription per event loop.

Redis drops messages without a listener, and a connection may break unnoticed. So waiters also ask
once per second. Each new subscription counts as a change, because earlier messages were missed.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, cast

from zoho_async.limits.redis.script import usage_key

if TYPE_CHECKING:
    from redis.asyncio import Redis

#: Seconds that a subscription stays without watchers, and until a broken one is renewed.
STAYS: Final = 5.0
RETRY_EVERY: Final = 1.0


class Subscriber:
    """The watchers of each key, and the task that listens while there are any."""

    def __init__(self, client: Redis) -> None:
        # The library's types of subscriptions are not strict.
        self._client: Final = cast(Any, client)
        self._watchers: Final[defaultdict[str, set[Callable[[], None]]]] = defaultdict(set)
        self._added: Final = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def add(self, key: str, wake: Callable[[], None]) -> Callable[[], None]:
        """Call ``wake`` on changes of ``key``. Returns a function that stops it."""
        channel = usage_key(key)
        self._watchers[channel].add(wake)
        self._added.set()
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(
                self._listen(), name="zoho_async limits subscriber"
            )

        def forget() -> None:
            self._watchers[channel].discard(wake)
            if not self._watchers[channel]:
                del self._watchers[channel]

        return forget

    async def close(self) -> None:
        """End the task and its connection."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _listen(self) -> None:
        from redis import exceptions as of_redis

        while self._watchers:
            with suppress(of_redis.RedisError, OSError):
                async with self._client.pubsub() as subscription:
                    await self._dispatch(subscription)
                    return
            await asyncio.sleep(RETRY_EVERY)

    async def _dispatch(self, subscription: Any) -> None:
        """Wake watchers on messages, until there are no watchers for a while."""
        channels: set[str] = set()
        adding = asyncio.ensure_future(self._added.wait())
        receiving: asyncio.Future[Any] | None = None
        try:
            while True:
                new = self._watchers.keys() - channels
                if new:
                    await subscription.subscribe(*new)
                    channels |= new
                self._added.clear()
                if adding.done():
                    adding = asyncio.ensure_future(self._added.wait())
                received = receiving or asyncio.ensure_future(
                    subscription.get_message(timeout=STAYS)
                )
                receiving = received
                await asyncio.wait((adding, received), return_when=asyncio.FIRST_COMPLETED)
                if not received.done():
                    continue
                message, receiving = received.result(), None
                if message is not None:
                    channel = message["channel"].decode()
                    for wake in tuple(self._watchers.get(channel, ())):
                        wake()
                elif not self._watchers:
                    return
                gone = channels - self._watchers.keys()
                if message is None and gone:
                    await subscription.unsubscribe(*gone)
                    channels -= gone
        finally:
            adding.cancel()
            if receiving is not None:
                receiving.cancel()
                await asyncio.gather(receiving, return_exceptions=True)
