"""The rate kept against the limit: by simulation, and against a server that counts.

`pace` and `day` run in held time, without a client: the loop's clock moves when all tasks wait, and
then at once, so a day takes seconds. `pace` is how long 100 calls take under the limits. `day` is a
day of an organization with 10,000 calls: fifty exports share 9,000 of them while people continue to
work. The sandbox's judge, which shares no arithmetic with the scheduler, sees each call at its
arrival.

`limiters` makes the same 1,000 calls through aiolimiter alone, pyrate-limiter and this package, ten
at once, at the same time, each against another organization of a sandbox in another process. The
minute is shortened to three seconds and everything else with it; the table is in Zoho's minutes. A
refused call is repeated after ``Retry-After``, and until then its contender sends nothing, which is
kinder than most programs are.

`rows` exports 20,000 rows under Zoho's real minute, while another program makes ten calls per
minute in the same organization. A peer ends when Zoho blocks it.
"""

from __future__ import annotations

import asyncio
import json
import random
import selectors
import subprocess
import sys
import time
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeAlias, TypeVar

import aiohttp
import msgspec

from benchmarks.report import Reach, Table
from benchmarks.suites import Run
from zoho_async import Limits, Session
from zoho_async.books import projects
from zoho_async.clock import LoopClock
from zoho_async.limits import Lane, MemoryLedger, Quota, Refusal, Scheduler, scheduler
from zoho_async.sandbox.simulation.rate_limits import LimitRules, RateLimiter

# -- held time -------------------------------------------------------------------------------------

T = TypeVar("T")

#: Where its time begins, in seconds.
START: Final = 1_000_000.0


class _Selector(selectors.DefaultSelector):
    """Advances the clock instead of sleeping."""

    moved = START

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("all tasks wait, and for nothing that time brings")
        self.moved += max(0.0, timeout)
        return super().select(0)


class HeldLoop(asyncio.SelectorEventLoop):
    """`asyncio.run` on it with `run_held`."""

    def __init__(self) -> None:
        self._hand = _Selector()
        super().__init__(self._hand)

    def time(self) -> float:
        return self._hand.moved


def run_held(main: Coroutine[Any, Any, T]) -> T:
    """Run ``main`` in held time."""
    with asyncio.Runner(loop_factory=HeldLoop) as runner:
        return runner.run(main)


# -- by simulation ---------------------------------------------------------------------------------

ROWS_LATENCY = 0.3
_BULK_CALLERS = 50
_BULK_CALLS = 9_000
_PEOPLE_CALLS = 450
_DAY = 86_400.0


def seconds_for(calls: int, limits: Limits, latency: float = ROWS_LATENCY) -> float:
    """How long ``calls`` bulk calls take at least, in seconds."""
    return run_held(_seconds_for(calls, limits, latency))


async def _seconds_for(calls: int, limits: Limits, latency: float) -> float:
    ours = _scheduler(limits)

    async def call() -> None:
        slot = await ours.admit("bulk", max_wait=None)
        slot.sent()
        await asyncio.sleep(latency)
        await slot.replied()

    await asyncio.gather(*(call() for _ in range(calls)))
    return asyncio.get_running_loop().time() - START


def pace(run: Run) -> Table:
    """T: what any client must take for 100 calls, whatever it costs itself."""
    table = Table(
        key="pace",
        title="100 calls under the limits, replies after 0.3 s, by simulation",
        columns=["limits", "seconds", "calls a minute"],
    )
    for name, limits in {
        "limit 90, burst 10 (the default)": Limits(),
        "limit 90, the log alone": Limits(burst=90),
        "limit 100, burst 10": Limits(limit=100),
        "limit 100, the log alone": Limits(limit=100, burst=100),
    }.items():
        seconds = seconds_for(100, limits)
        long = seconds_for(2_000, limits) - seconds_for(1_000, limits)
        table.add(name, seconds, 1_000 / long * 60)
    table.notes.append("calls a minute: of the second thousand")
    return table


class _Day(msgspec.Struct):
    """What happened on one day, in seconds from its start."""

    waits: list[float] = []
    bulk_sent: list[float] = []
    people_sent: list[float] = []
    refused: int = 0
    bulk_done: float = 0.0


def day(run: Run) -> Table:
    """A day of 10,000 calls: 50 bulk callers and a trickle of people."""
    table = Table(
        key="day",
        title="A day of 10,000 calls: 50 callers want 9,000, people 450; replies in 0.3 to 1.5 s",
        columns=[
            *("bulk goes", "people p50 s", "people p99 s", "people max s", "bulk done h"),
            *("calls/r h", "x calls/r", "worst minute", "refused"),
        ],
    )
    seeds = range(run.either(5, 1))
    full = [run_held(_live(Limits.for_plan("premium"), seed, every=15.0)) for seed in seeds]
    # Together with people: by 450 in the time that bulk takes, or over the whole day.
    even_limits = Limits.for_plan("premium", pace="even")
    even = run_held(_live(even_limits, 0, every=_DAY / (_PEOPLE_CALLS + 50)))
    limits = Limits.for_plan("premium")
    least = (_BULK_CALLS - limits.burst) / limits.rate
    for name, days in {"at full pace": full, "evenly over the day": [even]}.items():
        waits = sorted(wait for one in days for wait in one.waits)
        done = max(one.bulk_done for one in days)
        ideal = least if days is full else None
        table.add(
            name,
            _quantile(waits, 0.5),
            _quantile(waits, 0.99),
            waits[-1],
            done / 3600,
            None if ideal is None else ideal / 3600,
            None if ideal is None else done / ideal,
            max(_worst_minute(one) for one in days),
            sum(one.refused for one in days),
        )
    everyone = sorted(wait for one in (*full, even) for wait in one.waits)
    table.reach = [
        Reach("people's wait, 99th percentile", _quantile(everyone, 0.99), 1.0, " s"),
        Reach("bulk done, to calls/r", max(one.bulk_done for one in full) / least, 1.01, "x"),
        Reach("refused calls", sum(one.refused for one in (*full, even)), 0),
    ]
    table.notes.append(f"at full pace: the worst of {len(full)} days; a call of people every 15 s")
    table.series = {"full": _series(full[0]), "even": _series(even), "rate": limits.rate}
    return table


async def _live(limits: Limits, seed: int, *, every: float) -> _Day:
    """One day; people call every so many seconds on average."""
    chance, lived = random.Random(seed), _Day()
    ours = _scheduler(limits)
    # The day began when we begin, and Zoho tells so in every reply.
    judge = RateLimiter(LimitRules(), START)
    clock = asyncio.get_running_loop().time

    async def call(lane: Lane, caller: object) -> None:
        asked = clock()
        slot = await ours.admit(lane, caller=caller, max_wait=None, wait_for_reset=True)
        slot.sent()
        (lived.bulk_sent if lane == "bulk" else lived.people_sent).append(clock() - START)
        if lane == "interactive":
            lived.waits.append(clock() - asked)
        await asyncio.sleep(chance.uniform(0.05, 0.3))
        verdict = judge.arrive("1", clock())
        limit, remaining, reset = judge.quota("1", clock())
        await asyncio.sleep(chance.uniform(0.25, 1.2))
        refusal = None
        if verdict is None:
            judge.leave("1")
        else:
            lived.refused += 1
            refusal = Refusal(verdict.code, verdict.retry_after)
        await slot.replied(quota=Quota(limit, remaining, reset), refusal=refusal)

    async def export(number: int) -> None:
        for _ in range(_BULK_CALLS // _BULK_CALLERS):
            await call("bulk", number)

    async def people() -> None:
        async with asyncio.TaskGroup() as calls:
            for _ in range(_PEOPLE_CALLS):
                await asyncio.sleep(chance.expovariate(1 / every))
                calls.create_task(call("interactive", "people"))

    async def exports() -> None:
        await asyncio.gather(*(export(number) for number in range(_BULK_CALLERS)))
        lived.bulk_done = clock() - START

    await asyncio.gather(exports(), people())
    return lived


def _scheduler(limits: Limits) -> Scheduler:
    return scheduler(
        "host/1",
        account="host/@client",
        limits=limits,
        ledger=MemoryLedger(),
        clock=LoopClock(),
        observer=None,
    )


def _quantile(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _worst_minute(lived: _Day) -> int:
    times = sorted(lived.bulk_sent + lived.people_sent)
    return max(bisect_left(times, time + 60.0) - at for at, time in enumerate(times))


def _series(lived: _Day) -> dict[str, Any]:
    """Calls of each minute while bulk runs, and people's waits."""
    minutes = int(lived.bulk_done // 60) + 1
    counts = {name: [0] * minutes for name in ("bulk", "people")}
    for name, sent in (("bulk", lived.bulk_sent), ("people", lived.people_sent)):
        for moment in sent:
            if moment < lived.bulk_done:
                counts[name][int(moment // 60)] += 1
    return {**counts, "waits": sorted(lived.waits)}


# -- against a server that counts ------------------------------------------------------------------

_MINUTE = 3.0
_SCALE = 60.0 / _MINUTE
_LATENCY = 0.3

#: One of the ten calls in flight is left to other programs.
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
        f"a contender that was not done after {patience / _MINUTE:g} minutes was stopped",
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
    """Export 20,000 rows at a latency of 0.3 s, against the least time and against peers."""
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
