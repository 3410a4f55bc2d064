"""The world that one seed makes: loop, network, clocks, workers, log and promises.

A world replaces what a process takes from its machine while it runs: the clock, chance, process id,
threads and sockets (`installed`). Run each world in a new process (`runner`): a dead worker
leaves coroutines behind that must never be closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import hashlib
import itertools
import os
import random
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Coroutine, Generator, Mapping
from functools import cached_property
from typing import Any, Final, TypeVar
from unittest import mock

import aiohappyeyeballs
import anyio
import msgspec
from anyio._backends._asyncio import AsyncIOBackend

from tests.simulation.assumptions import Assumptions
from tests.simulation.disk import Disk
from tests.simulation.faults import Fault
from tests.simulation.loop import WORKER, Nothing, TooLong, VirtualLoop, Worker, context_of
from tests.simulation.network import Endpoint, Network
from tests.simulation.plan import Plan
from tests.simulation.wire import HttpServer, Service
from tests.simulation.zoho import Zoho
from zoho_async.export import summary

T = TypeVar("T")
_FIRST_PID: Final = 1000
#: Callbacks after which a scenario must have ended: an endless loop takes no virtual time.
_MOST_CALLBACKS: Final = 5_000_000
#: Seconds between two looks of a job at the limits, for its reports only. The package's one second
#: would be most of the work of a world that waits for the next day.
_POLL_SECONDS: Final = 60.0
#: Modules whose names for the clock's functions are replaced as well.
_TIMED: Final = ("aiohttp.", "redis.", "zoho_async.")


class Event(msgspec.Struct, frozen=True):
    """One line of the story: when (virtual seconds), which worker ("" for the world), and what."""

    at: float
    worker: str
    kind: str
    text: str


class Violation(msgspec.Struct, frozen=True):
    """A broken promise."""

    promise: str
    at: float
    sentence: str
    evidence: tuple[str, ...] = ()


class WorkerClock:
    """The two readings of time of one worker, or of the world itself."""

    def __init__(self, loop: VirtualLoop, began: float, worker: Worker | None = None) -> None:
        self._loop: Final = loop
        self._began: Final = began
        self._worker: Final = worker

    def monotonic(self) -> float:
        ahead = 0.0 if self._worker is None else self._worker.monotonic_ahead
        return self._loop.now + ahead

    def time(self) -> float:
        ahead = 0.0 if self._worker is None else self._worker.wall_ahead
        return self._began + self._loop.now + ahead


class World:
    """One simulated world. See the module."""

    def __init__(self, plan: Plan) -> None:
        self.plan: Final = plan
        self.random: Final = random.Random(f"{plan.seed}/world")
        #: The loop's time at the start.
        self.began: Final = 1000.0
        chance = random.Random(f"{plan.seed}/threads")
        self.loop: Final = VirtualLoop(
            start=self.began,
            longest=plan.longest,
            most_callbacks=_MOST_CALLBACKS,
            thread_delay=lambda: 0.0002 + 0.01 * chance.random() ** 6,
        )
        self.clock: Final = WorkerClock(self.loop, plan.began)
        self.network: Final = Network(
            self.loop, str(plan.seed), plan.faults, self._on_fault, self._on_phase
        )
        self.loop.network = self.network
        self.loop.set_exception_handler(self._on_unhandled)
        self.log: Final[list[Event]] = []
        self.workers: Final[list[Worker]] = []
        #: What each worker's lives returned or raised, by its name. None for a killed life.
        self.results: Final[dict[str, list[object]]] = {}
        self.zoho: Final = Zoho(
            msgspec.convert(plan.assumptions, Assumptions),
            plan.seed,
            plan.began,
            tuple(name for one in plan.workloads for name in one.organizations),
        )
        self.serve("accounts.zoho.com", self.zoho)
        self.serve("www.zohoapis.com", self.zoho)
        self.violations: Final[list[Violation]] = []
        #: Checks by promise, faults by kind and situation, and what else is counted.
        self.checks: Final[Counter[str]] = Counter()
        self.faults: Final[Counter[tuple[str, str]]] = Counter()
        self.counts: Final[Counter[str]] = Counter()
        #: What was reached, for the coverage: each fault with its situation and workload.
        self.situations: Final[set[str]] = set()
        #: What a kill at a phase calls after it killed the worker: restarts it, for example.
        self.after_kill: Callable[[Worker, Fault], None] = lambda _worker, _fault: None
        #: What a forked child of a worker does, by the worker's process id.
        self.forks: Final[dict[int, Callable[[Worker], Coroutine[Any, Any, object]]]] = {}
        self._clocks: Final[dict[int, WorkerClock]] = {}
        self._limiters: Final[dict[int, anyio.CapacityLimiter]] = {}
        self.outside: Final = context_of(None)
        self._at_end: Final = contextlib.ExitStack()

    # -- story and promises ---------------------------------------------------------------------

    def note(self, kind: str, text: str = "", worker: Worker | None = None) -> None:
        """Add an event to the log. The worker is the running one, if none is given."""
        worker = worker or WORKER.get()
        self.log.append(Event(self.loop.now, repr(worker) if worker else "", kind, text))

    def digest(self) -> str:
        """Return the digest of the log: equal for equal runs."""
        found = hashlib.sha256()
        for event in self.log:
            found.update(f"{event.at!r} {event.worker} {event.kind} {event.text}\n".encode())
        for arrival in self.zoho.log:
            found.update(f"{arrival.at!r} {arrival.worker} {arrival}\n".encode())
        return found.hexdigest()

    def check(self, promise: str, times: int = 1) -> None:
        """Count that ``promise`` was checked."""
        self.checks[promise] += times

    def violation(self, promise: str, sentence: str, *evidence: str) -> None:
        """Report a broken promise."""
        self.violations.append(Violation(promise, self.loop.now, sentence, evidence))
        self.note("violation", f"{promise}: {sentence}")

    def count_fault(self, kind: str, situation: str) -> None:
        """Count that a fault of ``kind`` took effect in ``situation``."""
        worker = WORKER.get()
        self._count(kind, situation, worker.name if worker else "")
        self.note("fault", f"{kind} ({situation})")

    def _count(self, kind: str, situation: str, worker: str) -> None:
        self.faults[kind, situation] += 1
        self.situations.add(f"{kind}: {situation}, {worker.rstrip('0123456789.')}")

    def _on_fault(self, fault: Fault, situation: str) -> None:
        self._count(fault.kind, situation, fault.worker)
        self.log.append(Event(self.loop.now, fault.worker, "fault", f"{fault.kind} ({situation})"))

    def _on_unhandled(self, loop: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
        error = context.get("exception")
        text = f"{context.get('message')}: {error!r}"
        self.violation("P6", f"an error reached the event loop: {text}")

    # -- workers --------------------------------------------------------------------------------

    def spawn(
        self, name: str, work: Callable[[Worker], Coroutine[Any, Any, T]], *, life: int = 1
    ) -> Worker:
        """Start ``work`` as a new process."""
        worker = Worker(name, _FIRST_PID + len(self.workers), life=life)
        chance = random.Random(f"{self.plan.seed}/{worker!r}/clock")
        worker.monotonic_ahead = chance.uniform(0.0, 1e6)
        worker.wall_ahead = chance.uniform(-self.plan.clock_skew, self.plan.clock_skew)
        self.workers.append(worker)
        context = context_of(worker)
        worker.task = context.run(self.loop.create_task, work(worker), name=repr(worker))
        self.note("started", f"pid {worker.pid}", worker)
        return worker

    def fork(
        self, parent: Worker, name: str, work: Callable[[Worker], Coroutine[Any, Any, T]]
    ) -> Worker:
        """Start ``work`` as a child of ``parent``: it has another process id.

        ``work`` may use the parent's objects, as a forked child has them.
        """
        child = self.spawn(name, work)
        self.note("forked", f"from {parent!r}", child)
        assert child.task is not None
        child.task.add_done_callback(self._end_child, context=self.outside)
        return child

    def _end_child(self, task: asyncio.Task[Any]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            text = "".join(traceback.format_exception(error))
            self.violation("simulation", f"{task.get_name()} raised {error!r}", text)

    def kill(self, worker: Worker) -> None:
        """End ``worker`` without any cleanup."""
        if not worker.dead:
            self.note("killed", "", worker)
            self.loop.kill(worker)
            self.network.end_connections(worker)

    def stop(self, worker: Worker, seconds: float) -> None:
        """Stop ``worker`` for so many seconds."""
        self.note("stopped", f"{seconds:.3f} s", worker)
        self.loop.stop_worker(worker)
        self.loop.call_later(seconds, self.resume, worker, context=self.outside)

    def resume(self, worker: Worker) -> None:
        """Continue a stopped worker."""
        if worker.halted and not worker.dead:
            self.note("resumed", "", worker)
            self.loop.resume_worker(worker)

    def clock_of(self, worker: Worker) -> WorkerClock:
        """Return the clock of ``worker``: ahead of or behind the world's."""
        found = self._clocks.get(worker.pid)
        if found is None:
            found = self._clocks[worker.pid] = WorkerClock(self.loop, self.plan.began, worker)
        return found

    def _on_phase(self, worker: Worker, fault: Fault) -> None:
        self._hit(worker, fault, fault.phase)

    def hit(self, worker: Worker, fault: Fault) -> None:
        """Let a fault with a moment hit ``worker``."""
        self._hit(worker, fault, "moment")

    def _hit(self, worker: Worker, fault: Fault, situation: str) -> None:
        if worker.dead or worker.task is None or worker.task.done():
            return
        child = self.forks.get(worker.pid)
        if fault.kind == "fork" and child is None:
            return
        self._on_fault(fault, situation)
        if fault.kind == "fork" and child is not None:
            self.fork(worker, f"{worker!r} child {len(self.workers)}", child)
        if fault.kind == "stop":
            self.stop(worker, fault.seconds)
        elif fault.kind == "kill":
            self.kill(worker)
            self.after_kill(worker, fault)

    # -- services -------------------------------------------------------------------------------

    def serve(self, host: str, service: Service, port: int = 443) -> None:
        """Let ``service`` answer the HTTP requests to ``host``."""
        self.network.listen(host, port, lambda end: HttpServer(end, service), counts_requests=True)

    # -- running --------------------------------------------------------------------------------

    @cached_property
    def disk(self) -> Disk:
        """The files of this world's machine, from the first use to the end of `run`."""
        disk = Disk(self, self.plan.seed, self.plan.faults)
        self._at_end.callback(disk.close)
        self._at_end.enter_context(disk.installed())
        return disk

    def run(self, main: Callable[[], Coroutine[Any, Any, T]]) -> T | None:
        """Run ``main`` to its end. None, with a violation, if it does not end."""
        with installed(self), self._at_end:
            asyncio.set_event_loop(self.loop)
            try:
                task = self.outside.run(self.loop.create_task, main())
                try:
                    self.check("P5")
                    return self.loop.run_until_complete(task)
                except Nothing:
                    self.violation("P5", "everything waits, and no timer is left", *self.waiting())
                except TooLong:
                    sentence = f"no end within {self.plan.longest:g} s or {_MOST_CALLBACKS} steps"
                    self.violation("P5", sentence, *self.waiting())
                return None
            finally:
                asyncio.set_event_loop(None)

    def close(self) -> None:
        """Close the loop, for a world without dead workers."""
        self.loop.close()

    def waiting(self) -> list[str]:
        """Return the tasks that have not ended, with the place where each waits."""
        lines: list[str] = []
        for worker in self.workers:
            for task in [] if worker.dead else self.loop.tasks_of(worker):
                stack = task.get_stack(limit=1)
                place = "" if not stack else f"{stack[0].f_code.co_filename}:{stack[0].f_lineno}"
                lines.append(f"{worker!r} {task.get_name()} {place}")
        return lines


def _hashed_by_address() -> list[type]:
    """Return the classes whose instances are in sets that are iterated."""
    from aiohttp.client_proto import ResponseHandler
    from anyio._backends._asyncio import CancelScope

    from zoho_async.http.download import Document

    return [asyncio.Timeout, ResponseHandler, CancelScope, Document]


async def _start_connection(addr_infos: Any, **_: Any) -> Endpoint:
    return Endpoint(*addr_infos[0][4])


@functools.lru_cache(1)
def _timed_names(modules: int) -> list[tuple[object, str, bool]]:
    """Return the names for the clock's functions in other modules, and whether each is the wall's.

    ``modules`` is the number of modules that are loaded: with more, the search is made again.
    """
    found: list[tuple[object, str, bool]] = []
    for name, module in list(sys.modules.items()):
        if name.startswith(_TIMED):
            for attribute, value in list(vars(module).items()):
                if value is time.monotonic or value is time.time:
                    found.append((module, attribute, value is time.time))
    return found


def find_timed_names() -> None:
    """Search now, so that the worlds of forked processes need not."""
    _timed_names(len(sys.modules))


@contextlib.contextmanager
def installed(world: World) -> Generator[None]:
    """Replace the clock, chance, process id, threads and sockets while ``world`` runs."""
    chance = random.Random(f"{world.plan.seed}/urandom")
    pid = os.getpid()

    def getpid() -> int:
        worker = WORKER.get()
        return pid if worker is None else worker.pid

    def clock() -> WorkerClock:
        worker = WORKER.get()
        return world.clock if worker is None else world.clock_of(worker)

    def monotonic() -> float:
        return clock().monotonic()

    def wall() -> float:
        return clock().time()

    def sleep(seconds: float) -> None:
        raise AssertionError("a thread slept: the simulation has no threads to wait in")

    async def on_thread(
        cls: object,
        func: Callable[..., T],
        args: tuple[Any, ...],
        abandon_on_cancel: bool = False,
        limiter: anyio.CapacityLimiter | None = None,
    ) -> T:
        """As anyio does, with a limiter for each worker."""
        await AsyncIOBackend.checkpoint()
        if limiter is None:
            worker = WORKER.get()
            number = 0 if worker is None else worker.pid
            limiter = world._limiters.get(number)
            if limiter is None:
                limiter = world._limiters[number] = anyio.CapacityLimiter(40)
        async with limiter:
            with anyio.CancelScope(shield=not abandon_on_cancel):
                return await world.loop.run_in_executor(None, func, *args)
        raise AssertionError("unreachable")

    numbers = itertools.count(1)
    known: dict[int, tuple[int, object]] = {}

    def numbered(self: object) -> int:
        """Hash by the order of creation, so that sets have the same order in each run."""
        found = known.get(id(self))
        if found is None:
            found = known[id(self)] = (
                next(numbers),
                self,
            )  # kept, so that its id is not used again
        return found[0]

    replaced: list[tuple[Any, str, Any]] = [
        *((kind, "__hash__", numbered) for kind in _hashed_by_address()),
        (os, "urandom", chance.randbytes),
        (random, "_urandom", chance.randbytes),
        (os, "getpid", getpid),
        (time, "time", wall),
        (time, "monotonic", monotonic),
        (time, "perf_counter", monotonic),
        (time, "sleep", sleep),
        (aiohappyeyeballs, "start_connection", _start_connection),
        (summary, "_POLL_SECONDS", _POLL_SECONDS),
        (AsyncIOBackend, "run_sync_in_worker_thread", classmethod(on_thread)),
    ]
    for module, attribute, is_wall in _timed_names(len(sys.modules)):
        replaced.append((module, attribute, wall if is_wall else monotonic))
    collects = gc.isenabled()
    state = random.getstate()
    with contextlib.ExitStack() as stack:
        for target, attribute, value in replaced:
            stack.enter_context(mock.patch.object(target, attribute, value))
        stack.enter_context(mock.patch.dict(os.environ, clear=True))
        stack.callback(random.setstate, state)
        random.seed(f"{world.plan.seed}/random")
        gc.disable()  # collection would depend on what else lives in this process
        try:
            yield
        finally:
            if collects:
                gc.enable()
