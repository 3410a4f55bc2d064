"""Redis as a model answers as Redis does, and the package works with it."""

from __future__ import annotations

import asyncio
import random
from hashlib import sha1
from typing import Any, Final, cast

import msgspec
import pytest
import redis
from redis.exceptions import NoScriptError

from tests.judges.redis_server import ForgetfulRedis
from tests.simulation.loop import Worker
from tests.simulation.plan import Plan
from tests.simulation.redis_model import (
    CANNOT_SAVE,
    OUT_OF_MEMORY,
    READ_ONLY,
    RedisClient,
    RedisModel,
)
from tests.simulation.redis_network import URL, RedisServer
from tests.simulation.redis_reply import Push, RedisError, Reply, Status, encode
from tests.simulation.world import World
from zoho_async.auth import RedisStore
from zoho_async.auth.lease import TokenState
from zoho_async.limits import Limits, RedisLedger
from zoho_async.limits.redis import script
from zoho_async.limits.usage import Denial, Ending

START: Final = 1_800_000_000.0
#: All data of the ledger.
ALL: Final = """
local found = {redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '+inf'),
  redis.call('HGETALL', KEYS[2]), redis.call('HGETALL', KEYS[3])}
for at = 4, #KEYS do found[at] = redis.call('GET', KEYS[at]) or '' end
return found
"""


class Client(RedisClient):
    """A connection that keeps what it gets."""

    def __init__(self, server: RedisModel) -> None:
        super().__init__(lambda data: None, lambda: None)
        server.opened(self)
        self.replies: list[Reply] = []

    def reply(self, reply: Reply) -> None:
        self.replies.append(reply)


class Both:
    """The model and a real server, asked the same."""

    def __init__(self, real: ForgetfulRedis, chance: random.Random) -> None:
        self.now = START
        self.real = real
        self.model = RedisModel(lambda: self.now, chance)
        self._connect()

    def _connect(self) -> None:
        self.client = cast(Any, redis.Redis).from_url(self.real.url, protocol=2)
        self.run_id: str = self.client.info("server")["run_id"]
        self.model.run_id = self.run_id
        self.simulated = Client(self.model)

    def ask(self, *command: object) -> Any:
        """Run ``command`` in both. Returns the reply, which is the same."""
        given = [each if isinstance(each, bytes) else str(each).encode() for each in command]
        try:
            real = self.client.execute_command(*command)
        except NoScriptError:
            real = "NOSCRIPT"
        simulated = self.model.execute(self.simulated, given)
        if isinstance(simulated, RedisError):
            simulated = cast(Any, str(simulated).split(" ", 1)[0])
        assert simulated == real, command
        return simulated

    def restart(self, dump: bytes | None, snapshot: Any) -> None:
        self.client.close()
        self.real.restart(dump)
        self.model.restart(snapshot)
        self._connect()


@pytest.mark.long
@pytest.mark.parametrize("seed", range(4))
def test_the_model_answers_the_packages_scripts_as_a_real_server(seed: int) -> None:
    chance = random.Random(seed)
    workers, places = ["w1", "w2", "w3"], ["api/1", "api/2", "api/@me"]
    known: dict[str, bytes] = {}
    epoch, shares = "", 0
    saved: tuple[bytes, Any] | None = None
    written = read = 0
    with ForgetfulRedis() as real:
        both = Both(real, chance)
        for step in range(2_000):
            both.now += chance.choice([0.0, 0.001, 0.5, 5.0, 20.0, -30.0])
            kind = chance.random()
            if kind < 0.01:
                saved = (real.save(), both.model.save())
            elif kind < 0.015:
                both.restart(
                    *(saved if saved is not None and chance.random() < 0.7 else (None, None))
                )
            elif kind < 0.02:
                both.client.script_flush()
                both.model.flush_scripts()
            elif kind < 0.03:
                real.flush()
                both.model.flush()
            elif kind < 0.05:
                key = script.usage_key(chance.choice(places))
                both.ask("DEL", key)
            elif kind < 0.07:
                worker = chance.choice(workers)
                both.ask("EVAL", script.SIGN_OFF, 2, script.WORKERS, script.EPOCH, worker)
            elif kind < 0.08:
                durable = chance.choice(["", "1"])
                both.ask("EVAL", script.INITIALIZE, 1, script.EPOCH, durable, f"new{step}")
            else:
                own, account = chance.choice(places), chance.choice(places)
                keys = [script.usage_key(own), script.usage_key(account)]
                arguments: list[object] = [
                    chance.choice(workers),
                    chance.choice([15.0, 15.0, ""]),
                    script.KEPT,
                    f"{both.now:.6f}",
                    chance.choice(["", "", "", "1"]),
                    epoch,
                    f"epoch{step}",
                    chance.choice(["", "0.25", "0.5", "0.3333333333333333"]),
                    chance.choice([60, 93.5]),
                ]
                if chance.random() < 0.7:
                    arguments += [
                        sha1(known.get(own, b"")).hexdigest(),
                        sha1(known.get(account, b"")).hexdigest(),
                        chance.randbytes(chance.choice([3, 40, 400])),
                        chance.choice([b"", b"", chance.randbytes(30)]),
                        chance.choice(["", "1"]),
                        shares,
                        chance.choice(["", "1"]),
                    ]
                all_keys = (*keys, script.WORKERS, script.EPOCH, script.WRITTEN)
                given: tuple[object, ...] = (len(all_keys), *all_keys, *arguments)
                reply = both.ask("EVALSHA", script.SCRIPT_SHA, *given)
                if reply == "NOSCRIPT":
                    reply = both.ask("EVAL", script.SCRIPT, *given)
                if reply[0]:
                    written += 1
                    known[own] = cast(bytes, arguments[11])
                    if arguments[12]:
                        known[account] = cast(bytes, arguments[12])
                else:
                    read += 1
                    known[own], known[account] = reply[3], reply[4]
                    epoch, shares = reply[6].decode(), len(reply[8])
            if step % 10 == 0:
                keys = [script.usage_key(place) for place in places]
                both.ask("EVAL", ALL, 6, script.WORKERS, script.EPOCH, script.WRITTEN, *keys)
        assert written > 200
        assert read > 200
        assert not both.model.unknown
        both.client.close()


def test_the_package_works_with_the_model() -> None:
    world = World(Plan(seed=1))
    redis_server = RedisServer(world)
    model = redis_server.model
    limits = Limits(limit=3, burst=3)
    ended: list[str] = []

    async def work(worker: Worker) -> None:
        clock = world.clock_of(worker)
        ledgers = [RedisLedger(URL), RedisLedger(URL)]
        await ledgers[0].initialize()

        async def take(which: int) -> int | Denial:
            return await ledgers[which].take("api/1", "api/@me", "interactive", limits, clock)

        async def settle(which: int, place: int | Denial) -> None:
            assert isinstance(place, int)
            ending = Ending("unsent")
            await ledgers[which].settle("api/1", "api/@me", place, ending, limits, clock)

        woken = asyncio.Event()
        forget = ledgers[1].watch("api/1", woken.set)
        places = [await take(0), await take(1), await take(0)]
        assert isinstance(await take(1), Denial)
        await asyncio.sleep(1)
        model.flush_scripts()
        woken.clear()
        await settle(0, places[0])
        async with asyncio.timeout(5):
            await woken.wait()  # by the message that the model published
        for refusal in (READ_ONLY, OUT_OF_MEMORY, CANNOT_SAVE):
            model.refusal = refusal
            denial = await take(1)
            assert isinstance(denial, Denial)
            assert denial.reason == "ledger"
        model.refusal = ""
        for which, each in ((0, places[2]), (1, places[1]), (1, await take(1))):
            await settle(which, each)
        forget()
        store = RedisStore(URL)

        def change(state: TokenState, now: float) -> float:
            state.issued = now
            return now

        written = await store.change("user", change)
        assert written == pytest.approx(world.clock.time(), abs=1)
        assert await store.change("user", lambda state, now: state.issued) == written
        await store.close()
        for ledger in ledgers:
            await ledger.close()
        ended.append(worker.name)

    async def main() -> None:
        task = world.spawn("one", work).task
        assert task is not None
        await task

    world.run(main)
    world.close()
    assert ended == ["one"]
    assert not world.violations
    assert not model.unknown
    assert not world.network.connections


def test_a_changed_key_stops_a_transaction() -> None:
    now = START
    model = RedisModel(lambda: now, random.Random(1))
    first, second = Client(model), Client(model)

    def ask(client: Client, *words: bytes) -> Reply:
        return model.execute(client, list(words))

    assert ask(first, b"WATCH", b"a") == Status("OK")
    ask(first, b"MULTI")
    assert ask(first, b"SET", b"a", b"1", b"EXAT", b"1800000005") == Status("QUEUED")
    assert ask(first, b"EXEC") == [Status("OK")]
    ask(first, b"WATCH", b"a")
    ask(second, b"SET", b"a", b"2")
    ask(first, b"MULTI")
    ask(first, b"SET", b"a", b"3")
    assert ask(first, b"EXEC") is None
    assert ask(first, b"GET", b"a") == b"2"
    ask(first, b"SET", b"a", b"1", b"EX", b"5")
    ask(first, b"WATCH", b"a")
    now += 5
    ask(first, b"MULTI")
    assert ask(first, b"EXEC") is None
    assert isinstance(ask(first, b"KEYS", b"*"), RedisError)
    assert model.unknown == ["KEYS *"]


def test_a_failover_loses_the_last_writes_and_a_restart_returns_to_a_snapshot() -> None:
    now = START
    model = RedisModel(lambda: now, random.Random(1))
    client = Client(model)

    def ask(*words: bytes) -> Reply:
        return model.execute(client, list(words))

    ask(b"HSET", b"h", b"a", b"1")
    saved = model.save()
    now += 10
    ask(b"HSET", b"h", b"a", b"2", b"b", b"2")
    ask(b"ZADD", b"z", b"1.5", b"m")
    now += 3
    ask(b"HDEL", b"h", b"a", b"b")
    run_id = model.run_id
    model.failover(2.0)
    assert model.run_id != run_id
    assert ask(b"HGETALL", b"h") == [b"a", b"2", b"b", b"2"]
    assert ask(b"ZSCORE", b"z", b"m") == b"1.5"
    model.restart(saved)
    assert ask(b"HGETALL", b"h") == [b"a", b"1"]
    assert ask(b"ZSCORE", b"z", b"m") is None
    model.restart()
    assert ask(b"HGETALL", b"h") == []


def test_replies_are_written_for_both_versions_of_the_protocol() -> None:
    reply: Reply = {b"a": [1, None, b"x", Status("OK"), RedisError("ERR no")]}
    assert encode(reply, 3) == b"%1\r\n$1\r\na\r\n*5\r\n:1\r\n_\r\n$1\r\nx\r\n+OK\r\n-ERR no\r\n"
    assert encode(reply, 2) == b"*2\r\n$1\r\na\r\n*5\r\n:1\r\n$-1\r\n$1\r\nx\r\n+OK\r\n-ERR no\r\n"
    assert encode(Push([b"message"]), 3) == b">1\r\n$7\r\nmessage\r\n"
    assert encode(Push([b"message"]), 2) == b"*1\r\n$7\r\nmessage\r\n"


def test_a_snapshot_is_not_changed_by_later_writes() -> None:
    model = RedisModel(lambda: START, random.Random(1))
    client = Client(model)
    model.execute(client, [b"HSET", b"h", b"a", b"1"])
    saved = model.save()
    before = msgspec.json.encode([list(saved.entries), str(saved.entries)])
    model.execute(client, [b"HSET", b"h", b"a", b"2"])
    assert msgspec.json.encode([list(saved.entries), str(saved.entries)]) == before
