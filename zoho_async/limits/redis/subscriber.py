"""Hear of the changes that other workers make: one Redis subscription per event loop.

Each write publishes the new usage (`script`). A worker listens to a key while a call waits there,
and for a while after another worker changed it. The newest usage that it heard replaces the one
that it wrote or read last, so its next decision costs no script, and neither does a denial.

Redis drops messages without a listener, and a connection may break unnoticed. So what was heard is
only a guess for a write, which compares it with what Redis has. For a denial, it counts only while
the server has confirmed the subscription. Each confirmation counts as a change, because earlier
messages were missed.

All waiters of a key hear the same message. If all of them asked at once, one would get the place
and the others would ask in vain. So each waits for a random time first (`stagger`), and hears if
another was faster.
"""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, cast

from zoho_async.limits.redis.script import REQUEST, Message, parse_message, usage_key

if TYPE_CHECKING:
    from redis.asyncio import Redis

#: Seconds that a subscription stays without watchers, and until a broken one is renewed.
STAYS: Final = 20.0
RETRY_EVERY: Final = 1.0


class Subscriber:
    """The watchers of each key, and the task that listens while there are any.

    Attributes:
        stagger: Returns the seconds until the watchers of a key are woken.
        requested: Called with a key when a worker waits for replies there.
    """

    def __init__(self, client: Redis, now: Callable[[], float]) -> None:
        # The library's types of subscriptions are not strict.
        self._client: Final = cast(Any, client)
        self._now: Final = now
        self.stagger: Callable[[str], float] = lambda key: 0.0
        self.requested: Callable[[str], None] = lambda key: None
        self._watchers: Final[defaultdict[str, set[Callable[[], None]]]] = defaultdict(set)
        #: Until when (by the loop) to listen to a key that nothing watches.
        self._kept: Final[dict[str, float]] = {}
        self._heard: Final[dict[str, tuple[Message, float]]] = {}
        #: The keys whose subscription the server confirmed, and when.
        self._confirmed: Final[dict[str, float]] = {}
        self._added: Final = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        #: Whether the task must end, because a command may swallow its `cancel`.
        self._closing = False

    def add(self, key: str, wake: Callable[[], None]) -> Callable[[], None]:
        """Call ``wake`` on changes of ``key``. Returns a function that stops it."""
        self._watchers[key].add(wake)
        self._listen_to(key)

        def forget() -> None:
            self._watchers[key].discard(wake)
            if not self._watchers[key]:
                del self._watchers[key]

        return forget

    def keep(self, key: str) -> None:
        """Listen to ``key`` for some more time."""
        self._kept[key] = asyncio.get_running_loop().time() + STAYS
        self._listen_to(key)

    def heard(self, key: str) -> tuple[Message, float] | None:
        """Return the newest usage of ``key`` that was published, and when it came."""
        return self._heard.get(key)

    def listens(self, key: str) -> bool:
        """Return whether the server confirmed the subscription to ``key``."""
        return key in self._confirmed

    def knows(self, key: str, since: float) -> bool:
        """Return whether all changes of ``key`` after ``since`` were heard."""
        return since >= self._confirmed.get(key, math.inf)

    async def close(self) -> None:
        """End the task and its connection."""
        self._closing = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _listen_to(self, key: str) -> None:
        if key not in self._confirmed:
            self._added.set()
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(
                self._listen(), name="zoho_async limits subscriber"
            )

    def _wanted(self) -> set[str]:
        """Return the keys to listen to."""
        if self._closing:
            return set()
        now = asyncio.get_running_loop().time()
        for key in [key for key, until in self._kept.items() if until <= now]:
            del self._kept[key]
        return self._watchers.keys() | self._kept.keys()

    async def _listen(self) -> None:
        from redis import exceptions as of_redis

        while self._wanted():
            with suppress(of_redis.RedisError, OSError):
                async with self._client.pubsub() as subscription:
                    await self._dispatch(subscription)
                    continue
            await asyncio.sleep(RETRY_EVERY)

    async def _dispatch(self, subscription: Any) -> None:
        """Hear messages, until there are no keys to listen to for a while."""
        keys: dict[bytes, str] = {}
        self._added.set()
        adding = asyncio.ensure_future(self._added.wait())
        receiving: asyncio.Future[Any] | None = None
        loop = asyncio.get_running_loop()
        tidied = loop.time()
        try:
            while not self._closing:
                if self._added.is_set():
                    self._added.clear()
                    new = {usage_key(key).encode(): key for key in self._wanted()}
                    new = {channel: key for channel, key in new.items() if channel not in keys}
                    if new:
                        keys |= new
                        await subscription.subscribe(*new)
                        continue
                if adding.done():
                    adding = asyncio.ensure_future(self._added.wait())
                received = receiving or asyncio.ensure_future(
                    subscription.get_message(timeout=STAYS / 4)
                )
                receiving = received
                await asyncio.wait((adding, received), return_when=asyncio.FIRST_COMPLETED)
                if not received.done():
                    continue
                message, receiving = received.result(), None
                if message is not None:
                    key = keys.get(message["channel"])
                    if key is not None:
                        self._receive(key, message)
                if loop.time() >= tidied + STAYS / 4:
                    tidied, wanted = loop.time(), self._wanted()
                    if not wanted:
                        return
                    gone = [channel for channel, key in keys.items() if key not in wanted]
                    for channel in gone:
                        self._forget(keys.pop(channel))
                    if gone:
                        await subscription.unsubscribe(*gone)
        finally:
            for key in keys.values():
                self._forget(key)
            adding.cancel()
            if receiving is not None:
                receiving.cancel()
                await asyncio.gather(receiving, return_exceptions=True)

    def _forget(self, key: str) -> None:
        self._confirmed.pop(key, None)
        self._heard.pop(key, None)

    def _receive(self, key: str, message: dict[str, Any]) -> None:
        if message["type"] == "message" and message["data"] == REQUEST:
            self.requested(key)
            return
        if message["type"] == "message":
            published = parse_message(message["data"])
            if published is None:
                self._forget(key)  # by a worker of an earlier version
            else:
                self._heard[key] = published, self._now()
                if not published.wakes:
                    return
        elif message["type"] == "subscribe":
            self._confirmed[key] = self._now()
        else:
            return
        if self._watchers.get(key):
            asyncio.get_running_loop().call_later(self.stagger(key), self._wake, key)

    def _wake(self, key: str) -> None:
        for wake in tuple(self._watchers.get(key, ())):
            wake()
