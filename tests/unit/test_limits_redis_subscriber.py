"""What a worker hears of others, on simulated time and from a server that the test plays."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any, Self

import pytest

from zoho_async.limits.redis.script import REQUEST, usage_key
from zoho_async.limits.redis.subscriber import STAYS, Subscriber

pytestmark = pytest.mark.looptime


class Server:
    """A subscription. The test publishes what it delivers."""

    def __init__(self) -> None:
        self.channels = set[bytes]()
        self.messages = asyncio.Queue[dict[str, Any]]()

    def pubsub(self) -> Self:
        return self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        self.channels.clear()

    async def subscribe(self, *channels: bytes) -> None:
        self.channels |= set(channels)
        for channel in channels:
            self.messages.put_nowait({"type": "subscribe", "channel": channel, "data": 1})

    async def unsubscribe(self, *channels: bytes) -> None:
        self.channels -= set(channels)

    async def get_message(self, *, timeout: float) -> dict[str, Any] | None:
        try:
            return await asyncio.wait_for(self.messages.get(), timeout)
        except TimeoutError:
            return None

    async def publish(self, key: str, data: bytes) -> None:
        message = {"type": "message", "channel": usage_key(key).encode(), "data": data}
        self.messages.put_nowait(message)
        await asyncio.sleep(0.01)


async def test_a_worker_hears_changes_requests_and_confirmations() -> None:
    server, woken, requests = Server(), list[str](), list[str]()
    subscriber = Subscriber(server, asyncio.get_running_loop().time)  # type: ignore[arg-type]
    subscriber.requested = requests.append
    subscriber.add("a", lambda: woken.append("a"))
    subscriber.add("b", lambda: woken.append("b"))
    await asyncio.sleep(0.01)
    assert sorted(woken) == ["a", "b"]  # what was published before the confirmation was missed
    assert subscriber.listens("a")
    assert subscriber.knows("a", 1.0)
    assert not subscriber.knows("a", -1.0)

    woken.clear()
    await server.publish("a", b"12.5 epoch o- usage")
    assert (woken, requests) == ([], [])  # no call ended
    await server.publish("a", b"13.5 epoch ow usage")
    assert (woken, requests) == (["a"], [])
    heard = subscriber.heard("a")
    assert heard is not None
    assert heard[0].time == 13.5
    await server.publish("b", REQUEST)
    assert (woken, requests) == (["a"], ["b"])
    assert subscriber.heard("b") is None

    await server.publish("a", b"not of this version")
    assert (woken, subscriber.heard("a")) == (["a", "a"], None)
    await server.publish("a", b"14.5 epoch ow usage")  # it still listens
    assert woken == ["a", "a", "a"]
    await subscriber.close()
    assert server.channels == set()


async def test_a_worker_stops_listening_to_what_it_does_not_need() -> None:
    server = Server()
    subscriber = Subscriber(server, asyncio.get_running_loop().time)  # type: ignore[arg-type]
    leave = [subscriber.add(key, lambda: None) for key in ("a", "b")]
    await asyncio.sleep(0.01)
    await server.publish("a", b"12.5 epoch ow usage")
    leave[0]()
    await asyncio.sleep(STAYS)
    assert server.channels == {usage_key("b").encode()}
    assert (subscriber.listens("a"), subscriber.heard("a")) == (False, None)
    assert subscriber.listens("b")
    subscriber.keep("a")
    leave[1]()
    await asyncio.sleep(STAYS / 2)
    assert server.channels == {usage_key("a").encode()}
    await asyncio.sleep(STAYS)
    assert server.channels == set()
    assert not subscriber.listens("a")
