"""Limits against a server that counts: the sandbox, in a process of its own.

`limiters`: the same 1,000 calls by aiolimiter alone, by pyrate-limiter and by us, ten at once, at
the same time, each against an organization of its own. The minute is shortened to three seconds,
and everything else with it; the table is in minutes as Zoho would count them. A refused call is
made again after ``Retry-After``, and until then nobody of the same contender sends anything, which
is kinder than most programs are.

`rows`: 20,000 rows with Zoho's real minute, while somebody else makes ten calls a minute in the
same organization (the web app, another program). A peer ends where Zoho blocks it.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import aiohttp
import msgspec

from benchmarks.report import Reach, Table
from benchmarks.suites import Run
from benchmarks.suites.simulated import seconds_for
from zoho_async import Limits, Session
from zoho_async.books import projects
from zoho_async.limits import MemoryLedger

_MINUTE = 3.0
_SCALE = 60.0 / _MINUTE
_LATENCY = 0.3

#: One of the ten calls in flight is left to whoever else calls.
_ALONE = Limits(burst=90, in_flight=9)

#: Returns when one call may go.
Acquire: TypeAlias = Callable[[], Awaitable[object]]


class _Outcome(msgspec.Struct):
    """What one contender came to; seconds as they passed here."""

    done: int = 0
    refused: int = 0
    seconds: float = 0.0
    over: bool = False


class Box(msgspec.Struct, frozen=True):
    """A sandbox in another process: its URL and the variables that point a client there."""

    url: str
    environment: dict[str, str]


@contextmanager
def sandbox(*options: str) -> Iterator[Box]:
    """The sandbox's own command, gone at the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "zoho_async.sandbox", *options], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        yield msgspec.convert(json.loads(process.stdout.readline()), Box)
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


# -- the same 1,000 calls --------------------------------------------------------------------------


def limiters(run: Run) -> Table:
    """1,000 calls by each limiter: time, refused calls, the worst minute."""
    calls = run.either(1_000, 300)
    contenders = _contenders()
    options = [
        *("--minute", str(_MINUTE), "--block", str(900 / _SCALE), "--size", "contacts=3"),
        *("--latency", str(_LATENCY / _SCALE), "--inbound", f"0:{0.2 / _SCALE}"),
        *(
            word
            for number in range(len(contenders))
            for word in ("--organization", str(100 + number))
        ),
    ]
    with sandbox(*options) as box:
        # Seconds that a contender has: twenty minutes as Zoho would count them.
        return asyncio.run(_limiters(box, contenders, calls, run.either(60, 15)))


def _contenders() -> dict[str, Acquire | Limits]:
    """Another's limiter as it is asked for one call, or our limits."""
    from aiolimiter import AsyncLimiter

    found: dict[str, Acquire | Limits] = {
        "aiolimiter, 100 in 60 s": AsyncLimiter(100, _MINUTE).acquire,
        "aiolimiter, 1 in 0.6 s": AsyncLimiter(1, _MINUTE / 100).acquire,
    }
    try:
        from pyrate_limiter import Limiter, Rate
    except ImportError:
        pass
    else:
        rate = Limiter(Rate(100, int(_MINUTE * 1000)))
        found["pyrate-limiter, 100 in 60 s"] = lambda: rate.try_acquire_async("calls")
    linger = 30.0 / _SCALE
    found["zoho_async, as it comes"] = Limits(window=_MINUTE, linger=linger)
    found["zoho_async, limit 100, burst 10"] = Limits(limit=100, window=_MINUTE, linger=linger)
    found["zoho_async, limit 100, log alone"] = Limits(
        limit=100, burst=100, window=_MINUTE, linger=linger
    )
    return found


async def _limiters(
    box: Box, contenders: dict[str, Acquire | Limits], calls: int, patience: int
) -> Table:
    works = [
        _ours(box, str(100 + number), limiter, calls)
        if isinstance(limiter, Limits)
        else _theirs(box, str(100 + number), limiter, calls, patience)
        for number, limiter in enumerate(contenders.values())
    ]
    outcomes = await asyncio.gather(*works)
    arrivals = await _arrivals(box)
    table = Table(
        key="limiters",
        title=f"{calls:,} calls by each limiter, ten at once, all at the same time",
        columns=["limiter", "minutes", "done", "refused", "worst minute", "calls a minute"],
    )
    least = 0.0
    for number, (name, outcome) in enumerate(zip(contenders, outcomes, strict=True)):
        minutes = outcome.seconds / _MINUTE
        times = arrivals.get(str(100 + number), [])
        worst = max((bisect_left(times, t + _MINUTE) - at for at, t in enumerate(times)), default=0)
        table.add(name, minutes, outcome.done, outcome.refused, worst, outcome.done / minutes)
        table.series[name] = [(t - times[0]) / _MINUTE for t in times]
    ours = [each for each in table.rows if str(each[0]).startswith("zoho_async")]
    least = (calls - 10) / Limits().rate / 60
    table.reach = [
        Reach("our refused calls", sum(int(row[3] or 0) for row in ours), 0),
        Reach("our time as it comes, to calls/r", float(ours[0][1] or 0) / least, 1.02, "x"),
    ]
    table.notes = [
        f"a minute is {_MINUTE:g} s here; replies after 0.3 s, requests on the way up to 0.2 s",
        f"whoever was not done after {patience / _MINUTE:g} minutes was stopped",
    ]
    return table


async def _theirs(
    box: Box, organization: str, acquire: Acquire, calls: int, patience: int
) -> _Outcome:
    outcome, left = _Outcome(), [calls]
    headers = {"Authorization": f"Zoho-oauthtoken {await _token(box)}"}
    url = f"{box.url}/books/v3/contacts?per_page=1&organization_id={organization}"
    began = time.monotonic()
    blocked_until = [0.0]

    async def caller(http: aiohttp.ClientSession) -> None:
        while left[0] > 0:
            left[0] -= 1
            while True:
                if (wait := blocked_until[0] - time.monotonic()) > 0:
                    await asyncio.sleep(wait)
                await acquire()
                async with http.get(url, headers=headers) as reply:
                    await reply.read()
                    if reply.status == 200:
                        outcome.done += 1
                        break
                    outcome.refused += 1
                    pause = time.monotonic() + float(reply.headers.get("Retry-After", "0.1"))
                    blocked_until[0] = max(blocked_until[0], pause)

    try:
        async with asyncio.timeout(patience), aiohttp.ClientSession() as http:
            await asyncio.gather(*(caller(http) for _ in range(10)))
    except TimeoutError:
        outcome.over = True
    outcome.seconds = time.monotonic() - began
    return outcome


async def _ours(box: Box, organization: str, limits: Limits, calls: int) -> _Outcome:
    outcome = _Outcome()
    session = Session.from_env(
        box.environment, organization=organization, limits=limits, ledger=MemoryLedger()
    )
    async with session as zoho:
        bulk = zoho.with_options(lane="bulk", max_wait=None)
        began = time.monotonic()

        async def call() -> None:
            await bulk.request("GET", "/contacts", query={"per_page": 1})
            outcome.done += 1

        await asyncio.gather(*(call() for _ in range(calls)))
        outcome.seconds = time.monotonic() - began
        outcome.refused = (await zoho.snapshot()).refused
    return outcome


async def _token(box: Box) -> str:
    names = {"client_id": "CLIENT_ID", "client_secret": "CLIENT_SECRET"}
    form = {name: box.environment[f"ZOHO_{variable}"] for name, variable in names.items()}
    form |= {
        "refresh_token": box.environment["ZOHO_REFRESH_TOKEN"],
        "grant_type": "refresh_token",
    }
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{box.url}/oauth/v2/token", data=form) as reply,
    ):
        return str((await reply.json())["access_token"])


async def _arrivals(box: Box) -> dict[str, list[float]]:
    """When calls arrived, refused ones included, by organization."""
    found: dict[str, list[float]] = {}
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"{box.url}/__sandbox__/arrivals") as reply,
    ):
        for line in (await reply.read()).splitlines():
            arrival: dict[str, Any] = msgspec.json.decode(line)
            found.setdefault(arrival["organization"], []).append(arrival["time"])
    return found


# -- 20,000 rows -----------------------------------------------------------------------------------


def rows(run: Run) -> Table:
    """20,000 rows, latency 0.3 s, beside T and beside peers."""
    wanted = run.either(20_000, 2_000)
    works: dict[str, Callable[[Box, str, int], Awaitable[tuple[int, float, int]]]] = {
        "zoho_async, as it comes": lambda *at: _our_rows(Limits(), *at),
        "zoho_async, the log alone": lambda *at: _our_rows(_ALONE, *at),
        "aiohttp, one after the other": lambda *at: _their_rows(None, 1, *at),
        "aiohttp, ten at once": lambda *at: _their_rows(None, 10, *at),
        "aiohttp, aiolimiter 100 in 60 s": lambda *at: _their_rows(_bucket(), 10, *at),
    }
    options = [
        *("--latency", str(_LATENCY), "--size", f"projects={wanted}"),
        *(word for number in range(len(works)) for word in ("--organization", str(100 + number))),
    ]
    with sandbox(*options) as box:
        outcomes = asyncio.run(_rows(box, list(works.values()), wanted))
    calls = -(-wanted // 200)
    t = {"as it comes": Limits(), "the log alone": _ALONE}
    least = {name: seconds_for(calls, limits, _LATENCY) for name, limits in t.items()}
    table = Table(
        key="rows",
        title=f"{wanted:,} rows at latency 0.3 s, while others make ten calls a minute",
        columns=["who", "seconds", "T", "x T", "rows", "refused", "what became of it"],
    )
    for name, (came, seconds, refused) in zip(works, outcomes, strict=True):
        known = least.get(name.partition(", ")[2])
        ended = "done" if came == wanted else "blocked for 15 minutes, stopped"
        ratio = None if known is None else seconds / known
        table.add(name, seconds, known, ratio, came, refused, ended)
    for row in table.rows[:2]:
        if run.quick:
            break  # a tenth of the rows is over before the limits say anything
        table.reach.append(Reach(f"{row[0]}: to T", float(row[3] or 0), 1.02, "x"))
    table.reach.append(
        Reach("our refused calls", sum(int(row[5] or 0) for row in table.rows[:2]), 0)
    )
    return table


async def _rows(box: Box, works: list[Any], wanted: int) -> list[tuple[int, float, int]]:
    token = await _token(box)
    async with aiohttp.ClientSession() as http:
        others = [
            asyncio.create_task(_somebody_else(http, box, token, str(100 + number)))
            for number in range(len(works))
        ]
        found = await asyncio.gather(
            *(work(box, str(100 + number), wanted) for number, work in enumerate(works))
        )
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
    return list(found)


async def _somebody_else(
    http: aiohttp.ClientSession, box: Box, token: str, organization: str
) -> None:
    """Ten calls a minute, as people in the web app make."""
    headers = {"Authorization": f"Zoho-oauthtoken {token}"}
    url = f"{box.url}/books/v3/contacts?per_page=1&organization_id={organization}"
    while True:
        await asyncio.sleep(6.2)
        async with http.get(url, headers=headers) as reply:
            await reply.read()


async def _our_rows(
    limits: Limits, box: Box, organization: str, wanted: int
) -> tuple[int, float, int]:
    began, came = time.monotonic(), 0
    session = Session.from_env(
        box.environment, organization=organization, limits=limits, ledger=MemoryLedger()
    )
    async with session as zoho:
        bulk = zoho.with_options(lane="bulk", max_wait=None)
        async for page in projects.list(bulk).raw_pages():
            came += len(page.rows)
        seconds = time.monotonic() - began
        return came, seconds, (await zoho.snapshot()).refused


async def _their_rows(
    acquire: Acquire | None, at_once: int, box: Box, organization: str, wanted: int
) -> tuple[int, float, int]:
    headers = {"Authorization": f"Zoho-oauthtoken {await _token(box)}"}
    began, came, refused, blocked = time.monotonic(), 0, 0, False
    numbers = iter(range(1, -(-wanted // 200) + 1))

    async def caller(http: aiohttp.ClientSession) -> None:
        nonlocal came, refused, blocked
        for number in numbers:
            if acquire is not None:
                await acquire()
            query = f"page={number}&per_page=200&organization_id={organization}"
            url = f"{box.url}/books/v3/projects?{query}"
            while not blocked:
                async with http.get(url, headers=headers) as reply:
                    body: dict[str, Any] = msgspec.json.decode(await reply.read())
                if reply.status == 200:
                    came += len(body["projects"])
                    break
                refused += 1
                blocked = body["code"] != 1070  # that one is only "too many at once"
                await asyncio.sleep(0.5)

    async with aiohttp.ClientSession() as http:
        await asyncio.gather(*(caller(http) for _ in range(at_once)))
    return came, time.monotonic() - began, refused


def _bucket() -> Acquire:
    from aiolimiter import AsyncLimiter

    return AsyncLimiter(100, 60).acquire
