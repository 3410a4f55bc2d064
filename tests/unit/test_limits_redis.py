"""Usage in Redis: sharing, leases, and an unreachable server."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import textwrap
import time
from bisect import bisect_left
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from tests.support.held_clock import HeldClock
from tests.support.redis_server import RedisServer, redis_8
from zoho_async.clock import SYSTEM_CLOCK
from zoho_async.errors import ConfigurationError, LedgerError, WaitTooLong
from zoho_async.limits import Limits, Quota, RedisLedger, Refusal, Scheduler, scheduler
from zoho_async.limits.redis.rows import _DECODER
from zoho_async.limits.usage import DRIFT, Denial, Ending

KEY, ACCOUNT = "api/1", "api/@me"
QUICK = Limits(limit=4, burst=4, window=0.4, linger=0.1, in_flight=4)


@pytest.fixture(scope="module", params=["installed", "8"])
def server(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    """Run with the installed server and with the newest one."""
    with RedisServer() if request.param == "installed" else RedisServer(redis_8()) as running:
        yield running


def client_of(ledger: RedisLedger) -> Any:
    """Return the client of the ledger, whose types are not complete."""
    return ledger._worker().connection.client


async def test_redis_7_and_8_are_both_tried(
    server: RedisServer, request: pytest.FixtureRequest
) -> None:
    ledger = RedisLedger(server.url)
    version = (await client_of(ledger).info("server"))["redis_version"]
    await ledger.close()
    major = int(version.partition(".")[0])
    assert major == 8 if "[8]" in request.node.name else major >= 7


@pytest.fixture
async def ledger(server: RedisServer) -> AsyncIterator[RedisLedger]:
    ledger = RedisLedger(server.url)
    server.flush()
    yield ledger
    await ledger.close()


def limiter_on(ledger: RedisLedger, limits: Limits = QUICK) -> Scheduler:
    return scheduler(
        KEY, account=ACCOUNT, limits=limits, ledger=ledger, clock=SYSTEM_CLOCK, observer=None
    )


async def taken(ledger: RedisLedger, limits: Limits = QUICK) -> int:
    answer = await ledger.take(KEY, ACCOUNT, "interactive", limits, SYSTEM_CLOCK)
    assert not isinstance(answer, Denial)
    return answer


async def written(*ledgers: RedisLedger) -> None:
    """Write the endings that wait for the next admission."""
    for ledger in ledgers:
        await ledger._worker().write_pending()


async def settled(ledger: RedisLedger, place: int, ending: Ending) -> float:
    return await ledger.settle(KEY, ACCOUNT, place, ending, QUICK, SYSTEM_CLOCK)


async def test_two_workers_share_one_minute(server: RedisServer, ledger: RedisLedger) -> None:
    other = RedisLedger(server.url)
    for each in (ledger, other, ledger, other):
        await settled(each, await taken(each), Ending("replied", 0.0))
    await written(ledger, other)
    answer = await ledger.take(KEY, ACCOUNT, "bulk", QUICK, SYSTEM_CLOCK)
    assert isinstance(answer, Denial)
    assert answer.reason == "minute"
    seen = await other.snapshot(KEY, ACCOUNT, QUICK, SYSTEM_CLOCK)
    assert (seen.minute_used, seen.in_flight, seen.day_used) == (4, 0, 4)
    await other.close()


async def test_a_worker_without_a_lease_gives_its_places_back(
    server: RedisServer, ledger: RedisLedger
) -> None:
    other = RedisLedger(server.url, lease=0.05)
    for _ in range(4):
        await taken(other)
    connection = other._worker().connection
    assert connection.renewal is not None
    connection.closing = True  # killed: its lease is not renewed
    await asyncio.gather(connection.renewal)
    await asyncio.sleep(0.1)
    seen = await ledger.snapshot(KEY, ACCOUNT, QUICK, SYSTEM_CLOCK)
    assert seen.minute_used == 4  # they may be on their way
    async with asyncio.timeout(60):
        slot = await limiter_on(ledger).admit("bulk", max_wait=None)
    await slot.unsent()
    connection.open_places.clear()
    await other.close()


async def test_a_living_worker_keeps_its_lease_through_a_long_call(
    server: RedisServer, ledger: RedisLedger
) -> None:
    other = RedisLedger(server.url, lease=0.4)
    place = await taken(other)
    await asyncio.sleep(1.2)
    seen = await ledger.snapshot(KEY, ACCOUNT, Limits(), SYSTEM_CLOCK)
    assert seen.in_flight == 1
    await settled(other, place, Ending("replied", 0.3))
    await other.close()
    assert not [task for task in asyncio.all_tasks() if "lease" in task.get_name()]


async def test_a_command_that_swallows_a_cancel_does_not_keep_a_worker_alive(
    server: RedisServer,
) -> None:
    """On Python 3.11, `asyncio.wait_for` swallows a cancel that comes right after its end."""
    for turns in range(8):
        server.flush()
        ledger = RedisLedger(server.url, lease=0.06)
        await taken(ledger)  # stays open, so the lease is renewed
        stop = ledger.watch(KEY, lambda: None)
        connection = ledger._worker().connection
        run = connection.scripts_run
        while connection.scripts_run == run:  # noqa: ASYNC110
            await asyncio.sleep(0)
        for _ in range(turns):  # the command is being sent, or its reply is awaited
            await asyncio.sleep(0)
        async with asyncio.timeout(10):
            await ledger.close()
        assert connection.renewal is not None
        assert connection.renewal.done()
        stop()


async def test_a_cancel_does_not_keep_a_subscription(server: RedisServer) -> None:
    for turns in range(16):
        ledger = RedisLedger(server.url)
        stop = ledger.watch(KEY, lambda: None)
        subscriber = ledger._worker().connection.subscriber
        for _ in range(turns * 2):
            await asyncio.sleep(0)
        async with asyncio.timeout(2):
            await ledger.close()
        assert subscriber._task is not None
        assert subscriber._task.done()
        stop()


@pytest.mark.timeout(20)
async def test_closing_ends_if_the_last_operation_ended_in_the_same_turn(
    server: RedisServer,
) -> None:
    ledger = RedisLedger(server.url)
    operation = ledger._worker().connection.run(asyncio.sleep(0))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert operation.done()
    await ledger._worker().connection.finish()
    await ledger.close()


async def test_a_cancelled_admission_leaves_no_place_taken(ledger: RedisLedger) -> None:
    for turns in range(6):
        task = asyncio.create_task(taken(ledger))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        while tasks := ledger._worker().connection.tasks:
            await asyncio.wait(tuple(tasks))
        seen = await ledger.snapshot(KEY, ACCOUNT, QUICK, SYSTEM_CLOCK)
        if not task.cancelled():
            await settled(ledger, task.result(), Ending("unsent"))
            continue
        assert (seen.minute_used, seen.in_flight, seen.day_used) == (0, 0, 0)


async def test_a_place_whose_answer_was_lost_is_given_back(ledger: RedisLedger) -> None:
    place = await taken(ledger)
    ledger._worker().connection.open_places.clear()  # as if the answer of the script was lost
    again = await taken(ledger)
    assert again != place
    seen = await ledger.snapshot(KEY, ACCOUNT, QUICK, SYSTEM_CLOCK)
    assert seen.in_flight == 1


async def test_one_script_settles_a_call_and_admits_the_next(ledger: RedisLedger) -> None:
    connection = ledger._worker().connection
    limits = Limits()
    place = await taken(ledger, limits)  # the first call reads the usage
    await ledger.settle(KEY, ACCOUNT, place, Ending("replied", 0.0), limits, SYSTEM_CLOCK)
    before = connection.scripts_run
    for _ in range(10):
        place = await taken(ledger, limits)
        await ledger.settle(KEY, ACCOUNT, place, Ending("replied", 0.0), limits, SYSTEM_CLOCK)
    assert connection.scripts_run - before == 10


async def test_a_denial_costs_one_script_and_writes_nothing(ledger: RedisLedger) -> None:
    connection = ledger._worker().connection
    for _ in range(4):
        await settled(ledger, await taken(ledger), Ending("replied", 0.0))
    connection.cache.clear()
    before_denial = await connection.client.get("zoho_async:1:usage:api/1")
    before = connection.scripts_run
    assert isinstance(await ledger.take(KEY, ACCOUNT, "bulk", QUICK, SYSTEM_CLOCK), Denial)
    assert connection.scripts_run - before == 1
    assert await connection.client.get("zoho_async:1:usage:api/1") == before_denial


async def test_changes_of_another_worker_are_seen(server: RedisServer, ledger: RedisLedger) -> None:
    other = RedisLedger(server.url)
    for each in (ledger, ledger, other, ledger):
        await settled(each, await taken(each), Ending("replied", 0.0))
    for each in (ledger, other):
        answer = await each.take(KEY, ACCOUNT, "bulk", QUICK, SYSTEM_CLOCK)
        assert isinstance(answer, Denial)
    await other.close()


async def test_a_call_is_not_denied_on_old_usage(server: RedisServer, ledger: RedisLedger) -> None:
    """This worker's cache has a call in flight that got its reply in the meantime."""
    other, limits = RedisLedger(server.url), Limits(in_flight=2)
    place = await taken(other, limits)
    await taken(ledger, limits)
    assert KEY in ledger._worker().connection.cache
    await other.settle(KEY, ACCOUNT, place, Ending("replied", 0.0), limits, SYSTEM_CLOCK)
    await written(other)
    await taken(ledger, limits)
    ledger._worker().connection.open_places.clear()
    await other.close()


async def test_a_block_of_the_account_is_seen_after_writing_own_usage(
    server: RedisServer, ledger: RedisLedger
) -> None:
    other, limits = RedisLedger(server.url), Limits()
    await settled(ledger, await taken(ledger, limits), Ending("replied", 0.0))
    assert KEY in ledger._worker().connection.cache
    place = await other.take("api/2", ACCOUNT, "bulk", limits, SYSTEM_CLOCK)
    assert not isinstance(place, Denial)
    ending = Ending("replied", 0.0, None, Refusal(43, 100.0))
    await other.settle("api/2", ACCOUNT, place, ending, limits, SYSTEM_CLOCK)
    answer = await ledger.take(KEY, ACCOUNT, "bulk", limits, SYSTEM_CLOCK)
    assert isinstance(answer, Denial)
    assert answer.reason == "block"
    await other.close()


async def test_a_reply_to_another_workers_call_wakes_a_waiter(
    server: RedisServer, ledger: RedisLedger
) -> None:
    limits = Limits(in_flight=1)
    other = RedisLedger(server.url)
    place = await taken(other, limits)
    ledger.poll = 3600.0  # so that only the message wakes it
    waiting = asyncio.create_task(limiter_on(ledger, limits).admit(max_wait=None))
    client = client_of(other)
    async with asyncio.timeout(60):
        while True:
            listeners = await client.pubsub_numsub("zoho_async:1:usage:api/1")
            if listeners[0][1]:
                break
        await other.settle(KEY, ACCOUNT, place, Ending("replied", 0.0), limits, SYSTEM_CLOCK)
        await (await waiting).unsent()
    await other.close()


async def test_the_late_ending_of_a_stopped_worker_frees_no_place(
    server: RedisServer, ledger: RedisLedger
) -> None:
    """No number is given twice, even by a server that lost its data."""
    still = RedisLedger(server.url)
    place = await taken(still)
    server.flush()
    ledger._worker().connection.memories.clear()
    open_places = await taken(ledger)
    assert open_places != place
    await settled(still, place, Ending("replied", 20.0))
    await written(still)
    seen = await ledger.snapshot(KEY, ACCOUNT, QUICK, SYSTEM_CLOCK)
    assert (seen.in_flight, seen.minute_used) == (
        1,
        2,
    )  # it counts, and no other call lost its place
    await settled(ledger, open_places, Ending("unsent"))
    await still.close()


async def test_a_place_that_was_not_used_within_a_lease_is_stale(server: RedisServer) -> None:
    clock = HeldClock()
    ledger = RedisLedger(server.url, lease=15.0)
    server.flush()
    limiter = scheduler(
        KEY, account=ACCOUNT, limits=QUICK, ledger=ledger, clock=clock, observer=None
    )
    slot = await limiter.admit()
    clock.now += 14.9
    before = slot.stale
    clock.now += 0.2
    assert (before, slot.stale) == (False, True)
    await slot.unsent()
    await ledger.close()


async def test_a_block_of_the_account_closes_all_its_organizations(ledger: RedisLedger) -> None:
    place = await taken(ledger)
    assert await settled(ledger, place, Ending("replied", 0.0, None, Refusal(43, 100.0))) > 99
    answer = await ledger.take("api/2", ACCOUNT, "bulk", QUICK, SYSTEM_CLOCK)
    assert isinstance(answer, Denial)
    assert answer.reason == "block"


async def test_the_day_is_entered_again_after_data_loss(ledger: RedisLedger) -> None:
    ending = Ending("replied", 0.0, Quota(1000, 500, 3600.0))
    await settled(ledger, await taken(ledger), ending)
    await client_of(ledger).flushall()
    seen = await ledger.snapshot(KEY, ACCOUNT, QUICK, SYSTEM_CLOCK)
    assert (seen.day_used, seen.day_remaining) == (1, 500)
    assert seen.starts_in > 0


async def test_keys_name_the_organization_and_expire(ledger: RedisLedger) -> None:
    await settled(ledger, await taken(ledger), Ending("replied", 0.0))
    client = client_of(ledger)
    keys = [key async for key in client.scan_iter()]
    names = ("epoch", "usage:api/1", "workers", "written")
    assert sorted(keys) == [f"zoho_async:1:{each}".encode() for each in names]
    assert 0 < await client.ttl(b"zoho_async:1:usage:api/1") <= 2 * 86_400


async def test_usage_that_cannot_be_read_is_an_error_that_says_what_to_do(
    ledger: RedisLedger,
) -> None:
    await settled(ledger, await taken(ledger), Ending("replied", 0.0))
    await written(ledger)
    client = client_of(ledger)
    (key,) = [name for name in await client.keys("*usage*") if name.endswith(KEY.encode())]
    await client.set(key, b"\xc1")
    ledger._worker().connection.cache.clear()
    with pytest.raises(LedgerError, match=r"cannot read .* key .*api/1.*stop all calls .* delete"):
        await taken(ledger)
    await client.delete(key)


async def test_calls_wait_while_redis_is_unreachable_and_continue_after_it() -> None:
    with RedisServer() as server:
        ledger = RedisLedger(server.url)
        limiter = limiter_on(ledger, Limits(linger=0.1))
        slot = await limiter.admit()
        slot.sent()
        server.stop()
        await slot.replied()  # kept, and written when Redis is back
        with pytest.raises(WaitTooLong, match="the ledger, which cannot be reached"):
            await limiter.admit(max_wait=0.1)
        with pytest.raises(LedgerError, match="Redis cannot be reached"):
            await limiter.snapshot()
        server.start()
        async with asyncio.timeout(60):
            slot = await limiter.admit(max_wait=None)
            await slot.unsent()
            renewal = ledger._worker().connection.renewal
            assert renewal is not None
            await renewal  # it ends when nothing is pending and no call is open
        assert (await limiter.snapshot()).minute_used == 1
        await ledger.close()


async def test_a_refusal_that_is_written_late_blocks_no_longer(ledger: RedisLedger) -> None:
    """``Retry-After`` and the reset count from the reply, not from its writing."""
    clock, limits = HeldClock(), Limits()
    place = await ledger.take(KEY, ACCOUNT, "bulk", limits, clock)
    assert not isinstance(place, Denial)
    worker = ledger._worker()
    worker.connection.unreachable_since = clock.now
    ending = Ending("replied", 0.1, Quota(1000, 400, 3600.0), Refusal(44, 100.0))
    await ledger.settle(KEY, ACCOUNT, place, ending, limits, clock)
    clock.now += 40.0
    await worker.heartbeat()
    seen = await ledger.snapshot(KEY, ACCOUNT, limits, clock)
    assert seen.blocked_for == pytest.approx(60.0, abs=5.0)
    assert seen.day_reset_in == pytest.approx(3560.0, abs=5.0)


@pytest.mark.parametrize("speed", [1 / DRIFT, 1.0, DRIFT])
async def test_a_reply_that_is_written_late_is_read_when_it_came(
    server: RedisServer, speed: float
) -> None:
    """The server's clock may run as fast or as slowly as allowed meanwhile."""
    clock, limits = HeldClock(), Limits()
    begin = clock.now

    def at_server(moment: float) -> float:
        return 5e9 + (moment - begin) * speed

    server.flush()
    ledger = RedisLedger(server.url)
    ledger._time = lambda: at_server(clock.now)
    place = await ledger.take(KEY, KEY, "bulk", limits, clock)
    assert isinstance(place, int)
    clock.now += 2.5
    quota = Quota(100_000, 99_990)
    await ledger.settle(KEY, KEY, place, Ending("replied", 0.5, quota), limits, clock)
    clock.now += 4.0
    worker = ledger._worker()
    await worker.write_pending()
    others = _DECODER.decode(worker.connection.memories[KEY].packed).usage.others
    assert others is not None
    (reading,) = others.readings
    sent, came = at_server(begin + 2.0), at_server(begin + 2.5)
    assert sent - 0.02 < reading.sent <= sent + 1e-5
    assert came - 1e-5 <= reading.received < came + 0.02
    await ledger.close()


async def test_an_offline_worker_sends_its_share_and_enters_it_afterwards() -> None:
    limits = Limits(limit=40, burst=40, window=0.5, linger=0.1, in_flight=40)
    with RedisServer() as server:
        ledger = RedisLedger(server.url, share=0.1, lease=0.1)
        limiter = limiter_on(ledger, limits)
        slot = await limiter.admit()
        slot.sent()
        await slot.replied()
        server.stop()
        began = time.monotonic()
        sent: list[float] = []
        for _ in range(9):
            slot = await limiter.admit(max_wait=None)
            slot.sent()
            sent.append(time.monotonic())
            await slot.replied()
        assert sent[0] - began >= 0.9  # earlier calls of others have left the count
        for at, start in enumerate(sent):
            assert bisect_left(sent, start + 0.5) - at <= 4
        server.start()
        seen = await ledger.snapshot(KEY, ACCOUNT, limits, SYSTEM_CLOCK)
        assert seen.minute_used >= 1
        await ledger.close()


async def test_invalid_arguments_are_refused() -> None:
    for wrong in ("http://localhost", "localhost:6379"):
        with pytest.raises(ConfigurationError, match="redis://"):
            RedisLedger(wrong)
    with pytest.raises(ConfigurationError, match="max_offline"):
        RedisLedger("redis://localhost", max_offline=-1)
    with pytest.raises(ConfigurationError, match="share"):
        RedisLedger("redis://localhost", share=2)
    assert "secret" not in repr(RedisLedger("redis://:secret@localhost"))


#: A worker as in the tests of the SQLite file. Prints when it sent.
WORKER = textwrap.dedent("""
    import asyncio, json, random, sys, time
    from zoho_async.clock import SYSTEM_CLOCK
    from zoho_async.limits import Limits, RedisLedger, scheduler

    url, calls, limits = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])

    async def main():
        ledger = RedisLedger(url)
        limiter = scheduler(
            "api/4", account="api/@us", limits=Limits(**limits), ledger=ledger,
            clock=SYSTEM_CLOCK, observer=None,
        )

        async def call():
            slot = await limiter.admit("bulk", max_wait=None)
            slot.sent()
            print("sent", time.monotonic(), flush=True)
            await asyncio.sleep(random.uniform(0.0, 0.02))
            await slot.replied()

        await asyncio.gather(*(call() for _ in range(calls)))
        await ledger.close()

    asyncio.run(main())
""")


def test_four_processes_share_one_limit_on_redis(server: RedisServer) -> None:
    limits = {"limit": 20, "burst": 20, "window": 1.0, "linger": 0.5, "in_flight": 20}
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, server.url, "12", json.dumps(limits)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    sent: list[float] = []
    for each in workers:
        out, _ = each.communicate(timeout=100)
        assert each.returncode == 0
        sent += [float(line.split()[1]) for line in out.splitlines()]
    sent.sort()
    assert len(sent) == 48
    for at, start in enumerate(sent):
        assert bisect_left(sent, start + 1.0) - at <= 20
