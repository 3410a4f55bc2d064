"""Being told by Redis when another worker's call ended: one subscription for each event loop.

Redis forgets what nobody listens to, and a connection may break unnoticed, so this is a help and
not a promise: whoever waits asks by itself every second too. Each (new) subscription is itself told
as a change, because what happened before it was missed.
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

#: Seconds for which a subscription stays when nobody waits, and until a broken one is made anew.
STAYS: Final = 5.0
RETRY_EVERY: Final = 1.0


class Subscriber:
    """Who is to be woken for which key, and the task that listens while there is somebody."""

    def __init__(self, client: Redis) -> None:
        # What the library says of its subscriptions' types is not strict.
        self._client: Final = cast(Any, client)
        self._watchers: Final[defaultdict[str, set[Callable[[], None]]]] = defaultdict(set)
        self._added: Final = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def add(self, key: str, wake: Callable[[], None]) -> Callable[[], None]:
        """Have ``wake`` called on changes of ``key`` until what this returns is called."""
        channel = usage_key(key)
        self._watchers[channel].add(wake)
        self._added.set()
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(
                self._listen(), name="zoho_async limits news"
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
        """Pass on what comes, until nobody has waited for a while."""
        channels: set[str] = set()
        adding = asyncio.ensure_future(self._added.wait())
        hearing: asyncio.Future[Any] | None = None
        try:
            while True:
                new = self._watchers.keys() - channels
                if new:
                    await subscription.subscribe(*new)
                    channels |= new
                self._added.clear()
                if adding.done():
                    adding = asyncio.ensure_future(self._added.wait())
                last_asked = hearing or asyncio.ensure_future(
                    subscription.get_message(timeout=STAYS)
                )
                hearing = last_asked
                await asyncio.wait((adding, last_asked), return_when=asyncio.FIRST_COMPLETED)
                if not last_asked.done():
                    continue
                message, hearing = last_asked.result(), None
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
            if hearing is not None:
                hearing.cancel()
                await asyncio.gather(hearing, return_exceptions=True)
