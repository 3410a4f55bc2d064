"""A Redis that lost its data, and shares while it is unreachable, on a clock that the test sets."""

from __future__ import annotations

import asyncio
import warnings
from bisect import bisect_left
from collections.abc import Iterator
from typing import Any, cast

import pytest
import redis

from tests.support.redis_faults import (
    ACCOUNT,
    ALONE,
    KEY,
    LEASE,
    LIMITS,
    Client,
    Faults,
    SharesAtFaults,
    Worker,
)
from tests.support.redis_server import RedisServer
from zoho_async.clock import SYSTEM_CLOCK
from zoho_async.errors import ConfigurationError, LedgerError, WaitTooLong
from zoho_async.events import Event, LedgerStarted
from zoho_async.limits import Limits, Quota, RedisLedger, Refusal, scheduler
from zoho_async.limits.redis.epoch import offline_wait, share_lifetime, startup_wait
from zoho_async.limits.redis.rows import _DECODER
from zoho_async.limits.usage import Denial, Ending

SETTLED = startup_wait(LIMITS, LEASE)
QUIET = offline_wait(LIMITS, LEASE)
REACH = share_lifetime(LIMITS, LEASE, ALONE)


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer(forgetful=True) as running:
        yield running


@pytest.fixture
def world(server: RedisServer) -> Iterator[Faults]:
    yield from world_of(Faults, server)


@pytest.fixture
def shares(server: RedisServer) -> Iterator[Faults]:
    yield from world_of(SharesAtFaults, server)


def world_of(kind: type[Faults], server: RedisServer) -> Iterator[Faults]:
    kind.url, kind.loop = server.url, asyncio.new_event_loop()
    world = kind()
    world.workers[0].run(world.workers[0].ledger.initialize())
    yield world
    for worker in world.workers:
        worker.run(worker.ledger.close())
    world.server.close()
    kind.loop.close()


def worst(world: Faults) -> int:
    """Return the most arrivals in any window."""
    ordered = sorted(world.arrivals)
    return max(bisect_left(ordered, start + LIMITS.window) - at for at, start in enumerate(ordered))


def calls(world: Faults, which: int) -> int:
    """Make as many calls as are admitted now, each answered at once. Returns their number."""
    before = len(world.arrivals)
    world.call(which, 0.0, answered=True)
    return len(world.arrivals) - before


def pass_time(world: Faults, seconds: float) -> None:
    """Advance by seconds, with all renewal tasks running."""
    for _ in range(int(seconds) + 1):
        world.clock.now += seconds / (int(seconds) + 1)
        world.all_beat()


def denied(worker: Worker) -> Denial:
    answer = worker.take()
    assert isinstance(answer, Denial)
    return answer


# -- lost data ---------------------------------------------------------------------------------


def test_a_call_that_a_worker_enters_again_does_not_make_own_calls_those_of_others(
    world: Faults,
) -> None:
    worker = world.workers[0]
    for counter in range(1, 6):
        place = worker.take()
        assert isinstance(place, int)
        world.clock.now += 12.0
        worker.settle(place, Ending("replied", 0.1, Quota(1000, 1000 - counter)))
    worker.beat()
    world.save()
    place = worker.take()
    assert isinstance(place, int)
    world.restore(0.0)
    pass_time(world, 1.0)
    assert isinstance(worker.take(), Denial)  # it enters its call again
    worker.settle(place, Ending("replied", 0.1, Quota(1000, 1000 - 6)))
    worker.beat()
    others = _DECODER.decode(worker.connection.memories[KEY].packed).usage.others
    assert others is not None
    assert [(each.least, each.most) for each in others.readings] == [(0, 1)]


@pytest.mark.parametrize("how", ["flushed", "older snapshot", "key lost", "another process"])
def test_after_data_loss_no_place_is_given_until_earlier_calls_left_the_count(
    world: Faults, how: str
) -> None:
    """A new worker and an idle one both wait."""
    world.save()
    assert calls(world, 0) == LIMITS.limit
    if how == "flushed":
        world.flush()
    elif how == "key lost":
        world.lose_a_key(KEY)
    elif how == "older snapshot":
        world.restore(0.0)
    else:
        world.save()
        world.restore(-30.0)
    world.kill(1)
    denial = denied(world.workers[1])
    assert denial.reason == "ledger_new"
    assert denial.wait == pytest.approx(SETTLED)
    assert [calls(world, which) for which in range(3)] == [0, 0, 0]
    pass_time(world, SETTLED - 0.5)
    assert calls(world, 0) == 0
    pass_time(world, 1.0)
    assert calls(world, 1) == LIMITS.limit
    assert worst(world) == LIMITS.limit


def test_a_first_start_waits_and_an_initialized_server_does_not(world: Faults) -> None:
    world.flush()
    assert denied(world.workers[0]).reason == "ledger_new"
    world.workers[1].run(world.workers[1].ledger.initialize())
    assert calls(world, 0) == LIMITS.limit


def test_a_durable_server_does_not_wait_at_a_first_start_or_a_restart(
    server: RedisServer, world: Faults
) -> None:
    world.flush()
    worker = world.workers[0]
    durable = RedisLedger(server.url, durable=True)
    place = worker.run(durable.take(KEY, ACCOUNT, "bulk", LIMITS, SYSTEM_CLOCK))
    assert isinstance(place, int)
    world.server.hset("zoho_async:1:epoch", "run_id", "of another process")
    place = worker.run(durable.take(KEY, ACCOUNT, "bulk", LIMITS, SYSTEM_CLOCK))
    assert isinstance(place, int)
    world.flush()  # this worker noticed that the server lost its data
    answer = worker.run(durable.take(KEY, ACCOUNT, "bulk", LIMITS, SYSTEM_CLOCK))
    assert isinstance(answer, Denial)
    assert answer.reason == "ledger_new"
    worker.run(durable.close())


def test_workers_enter_blocks_and_the_day_again(world: Faults) -> None:
    first, second, third = world.workers
    for worker, ending in (
        (first, Ending("replied", 0.0, Quota(1000, 402, 3600.0))),
        (second, Ending("replied", 0.0, None, Refusal(43, 500.0))),
    ):
        place = worker.take()
        assert isinstance(place, int)
        worker.settle(place, ending)
    world.flush()
    for worker in (first, second, third):
        denied(worker)
    denied(first)
    denied(second)  # twice: counts are not added up
    seen = third.run(third.ledger.snapshot(KEY, ACCOUNT, LIMITS, world.clock))
    assert (seen.day_used, seen.day_remaining) == (2, 401)
    assert seen.blocked_for == pytest.approx(500.0, abs=1.0)
    pass_time(world, SETTLED + 1)
    assert denied(third).reason == "block"


def test_a_call_that_was_open_at_the_data_loss_is_open_in_the_new_epoch(world: Faults) -> None:
    """Its reply may take longer than the startup wait."""
    world.ask(0, 1)
    world.send(0, 0.0)
    world.flush()
    denied(world.workers[0])
    pass_time(world, SETTLED + 1)
    seen = world.workers[1].run(world.workers[1].ledger.snapshot(KEY, ACCOUNT, LIMITS, world.clock))
    assert (seen.in_flight, seen.minute_used) == (1, 1)
    world.answer(0)


async def test_the_wait_of_a_new_ledger_is_reported_once(server: RedisServer) -> None:
    events: list[Event] = []
    ledger = RedisLedger(server.url)
    await ledger._worker().connection.client.flushall()
    limiter = scheduler(
        KEY,
        account=ACCOUNT,
        limits=Limits(),
        ledger=ledger,
        clock=SYSTEM_CLOCK,
        observer=events.append,
    )
    with pytest.raises(WaitTooLong, match="new or lost its data") as raised:
        await limiter.admit(max_wait=60.0)
    assert raised.value.seconds == pytest.approx(105, abs=2)
    assert [type(each) for each in events] == [LedgerStarted]
    assert (await limiter.snapshot()).starts_in == pytest.approx(105, abs=2)
    await ledger.close()


# -- servers that may not keep a ledger ---------------------------------------------------------


async def test_a_server_that_may_evict_usage_is_refused_or_warned_of(server: RedisServer) -> None:
    control = RedisLedger(server.url)
    client = control._worker().connection.client
    await client.config_set("maxmemory", "100mb")
    try:
        await client.config_set("maxmemory-policy", "allkeys-lru")
        ledger = RedisLedger(server.url)
        with pytest.raises(ConfigurationError, match="allkeys-lru"):
            await ledger.take(KEY, ACCOUNT, "bulk", LIMITS, SYSTEM_CLOCK)
        await client.config_set("maxmemory-policy", "volatile-lru")
        with pytest.warns(RuntimeWarning, match="volatile-lru"):
            await ledger.take(KEY, ACCOUNT, "bulk", LIMITS, SYSTEM_CLOCK)
        await ledger.close()
    finally:
        await client.config_set("maxmemory", "0")
        await client.config_set("maxmemory-policy", "noeviction")
        await control.close()


async def test_without_info_a_restart_cannot_be_noticed_so_it_is_refused(
    server: RedisServer,
) -> None:
    control = RedisLedger(server.url)
    client = cast(Any, control._worker().connection.client)
    await client.execute_command(
        "ACL", "SETUSER", "plain", "on", ">pw", "~*", "&*", "+@all", "-info"
    )
    try:
        url = server.url.replace("unix://", "unix://plain:pw@")
        ledger = RedisLedger(url)
        with pytest.raises(ConfigurationError, match=r"\+info.*durable=True"):
            await ledger.take(KEY, ACCOUNT, "bulk", LIMITS, SYSTEM_CLOCK)
        await ledger.close()
        durable = RedisLedger(url, durable=True)
        await durable.take(KEY, ACCOUNT, "bulk", LIMITS, SYSTEM_CLOCK)
        await durable.close()
    finally:
        await client.execute_command("ACL", "DELUSER", "plain")
        await control.close()


async def test_every_kind_of_outage_is_a_ledger_error(server: RedisServer) -> None:
    control = RedisLedger(server.url)
    client = cast(Any, control._worker().connection.client)
    ledger = RedisLedger(server.url)
    await client.execute_command("REPLICAOF", "127.0.0.1", "1")  # like a master that was replaced
    try:
        answer = await ledger.take(KEY, ACCOUNT, "bulk", LIMITS, SYSTEM_CLOCK)
        assert isinstance(answer, Denial)
        assert answer.reason == "ledger"
        with pytest.raises(LedgerError):
            await ledger.snapshot(KEY, ACCOUNT, LIMITS, SYSTEM_CLOCK)
    finally:
        await client.execute_command("REPLICAOF", "NO", "ONE")
    await ledger.snapshot(KEY, ACCOUNT, LIMITS, SYSTEM_CLOCK)
    await ledger.close()
    await control.close()


# -- shares ---------------------------------------------------------------------------------------


def connect(shares: Faults) -> None:
    """Have each worker take and give back a place, which registers its share."""
    for which in range(3):
        shares.ask(which, 1)
        shares.never_send(which)


def test_after_an_outage_the_first_worker_back_leaves_the_others_their_shares(
    shares: Faults,
) -> None:
    connect(shares)
    shares.break_every_way()
    shares.all_beat()
    pass_time(shares, QUIET + 1)
    assert [calls(shares, which) for which in range(3)] == [5, 3, 2]
    shares.heal(0)
    shares.workers[0].beat()
    assert calls(shares, 0) == 0  # all shares are used
    shares.heal(1)
    shares.workers[1].beat()
    assert calls(shares, 0) + calls(shares, 1) == 0
    assert worst(shares) == LIMITS.limit
    seen = shares.workers[0].run(
        shares.workers[0].ledger.snapshot(KEY, ACCOUNT, LIMITS, shares.clock)
    )
    assert (seen.minute_used, seen.day_used) == (8, 8)  # each call once
    assert not any(shares.workers[0].connection.offline.senders())  # and only once
    pass_time(shares, SETTLED)
    assert calls(shares, 0) == 8  # the share of the third is still reserved
    shares.heal(2)
    shares.workers[2].beat()
    assert calls(shares, 0) == 2
    assert worst(shares) == LIMITS.limit


def test_a_worker_is_connected_only_after_all_its_offline_calls_are_entered(shares: Faults) -> None:
    """The connection breaks again while it reconnects, after each command."""
    connect(shares)
    shares.break_every_way()
    shares.all_beat()
    pass_time(shares, QUIET + 1)
    assert [calls(shares, which) for which in range(3)] == [5, 3, 2]
    shares.heal(0)
    shares.workers[0].beat()
    shares.heal(1)
    for commands in range(1, 6):
        shares.break_the_way_soon(1, commands)
        shares.workers[1].beat()
        assert calls(shares, 0) == 0
    assert worst(shares) == LIMITS.limit


def test_an_offline_worker_sends_its_share_and_the_others_the_rest(
    shares: Faults,
) -> None:
    connect(shares)
    shares.break_the_way(0, "cut")
    sent = [0, 0, 0]
    for _ in range(int(QUIET + 3 * LIMITS.window)):
        pass_time(shares, 1.0)
        for which in (1, 2, 0):
            sent[which] += calls(shares, which)
    assert worst(shares) <= LIMITS.limit
    assert sent[0] >= 3 * 5  # it did continue


def test_a_worker_sends_offline_for_its_time_and_then_waits(shares: Faults) -> None:
    connect(shares)
    shares.break_the_way(0, "cut")
    shares.workers[0].beat()
    pass_time(shares, QUIET + ALONE - 1)
    assert calls(shares, 0) == 5
    pass_time(shares, LIMITS.window + 1)
    assert denied(shares.workers[0]).reason == "ledger"
    pass_time(shares, REACH)
    assert calls(shares, 1) == LIMITS.limit  # its share is no longer reserved


def test_a_worker_that_signs_off_frees_its_share_at_once(shares: Faults) -> None:
    connect(shares)
    leaving = shares.workers[0]
    leaving.run(leaving.ledger.close())
    pass_time(shares, LEASE + 1)
    assert calls(shares, 1) == LIMITS.limit


def test_lost_shares_stay_reserved_for_offline_workers(shares: Faults) -> None:
    connect(shares)
    shares.break_the_way(0, "cut")
    shares.workers[0].beat()
    pass_time(shares, 1)
    shares.flush()
    pass_time(shares, QUIET)
    assert calls(shares, 0) == 5
    assert [calls(shares, 1), calls(shares, 2)] == [5, 0]
    assert worst(shares) == LIMITS.limit
    pass_time(shares, REACH)
    assert calls(shares, 1) == LIMITS.limit


def test_leases_do_not_outlast_a_failover_to_a_server_whose_clock_is_behind(
    shares: Faults,
) -> None:
    connect(shares)
    shares.break_the_way(0, "cut")
    shares.workers[0].beat()
    shares.save()
    shares.restore(-30.0)
    for _ in range(int(QUIET + 2 * LIMITS.window)):
        pass_time(shares, 1.0)
        for which in (1, 2, 0):
            calls(shares, which)
    assert worst(shares) <= LIMITS.limit


def test_shares_above_1_in_total_are_refused(server: RedisServer, shares: Faults) -> None:
    connect(shares)
    fourth = Worker(server.url, 0.25, shares.loop, shares)
    assert isinstance(fourth.take(), int)  # one of the others may be dead
    for _ in range(int(2 * LEASE) + 1):
        shares.clock.now += 1.0
        shares.all_beat()
    with pytest.raises(ConfigurationError, match=r"must not exceed 1, got 1\.25"):
        fourth.take()
    fourth.run(fourth.ledger.close())


def test_a_known_block_applies_while_offline(shares: Faults) -> None:
    connect(shares)
    worker = shares.workers[0]
    place = worker.take()
    assert isinstance(place, int)
    worker.settle(place, Ending("replied", 0.0, None, Refusal(44, 500.0)))
    shares.break_the_way(0, "cut")
    worker.beat()
    pass_time(shares, QUIET + 1)
    assert denied(worker).reason == "block"


def test_a_client_without_answers_is_not_offline_at_once(shares: Faults) -> None:
    """Each script that it sends may renew its lease, so it may still be connected."""
    connect(shares)
    shares.break_the_way(0, "lossy")
    for _ in range(int(QUIET) + 5):
        pass_time(shares, 1.0)
        for which in range(3):
            calls(shares, which)
    assert worst(shares) <= LIMITS.limit


def test_a_late_answer_renews_the_lease_after_a_failed_call(shares: Faults) -> None:
    """Of two calls at once, one is lost and the other is answered five seconds later."""
    connect(shares)
    worker, execute = shares.workers[0], shares.workers[0].client.execute_command
    scripts = 0

    async def first_lost_second_late(*command: object) -> object:
        nonlocal scripts
        if command[0] == "EVALSHA":
            scripts += 1
            if scripts == 1:
                raise redis.TimeoutError
            await asyncio.sleep(0)
            shares.clock.now += 5.0
        return await execute(*command)

    worker.client.execute_command = first_lost_second_late  # type: ignore[method-assign]

    async def both() -> None:
        await asyncio.gather(
            *(
                worker.ledger.take(key, ACCOUNT, "interactive", LIMITS, shares.clock)
                for key in (KEY, "api/2")
            )
        )

    lost = shares.clock.now
    worker.run(both())
    shares.break_the_way(0, "cut")
    assert worker.connection.unreachable_since == lost
    pass_time(shares, QUIET - 1)
    assert denied(worker).reason == "ledger"
    pass_time(shares, 2)
    assert isinstance(worker.take(), int)


def test_the_broken_network_of_these_tests_raises() -> None:
    """The fake network does break."""
    client = Client("redis://127.0.0.1:1")
    client.way = "cut"
    with pytest.raises(redis.ConnectionError):
        asyncio.run(client.execute_command("PING"))
    with warnings.catch_warnings():
        asyncio.run(client.aclose())
