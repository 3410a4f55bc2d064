"""Run worlds: one in this process, or each in a forked child.

A child makes runs independent: it starts with the same modules and caches each time, and the
coroutines of dead workers end with it, without cleanup.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import os
import random
import selectors
import signal
import sys
import time
import traceback
from collections.abc import Generator, Iterator
from contextlib import suppress
from functools import partial
from typing import Final

import msgspec

from tests.simulation import workloads
from tests.simulation.faults import Fault
from tests.simulation.loop import Worker
from tests.simulation.plan import Plan, WorkloadPlan
from tests.simulation.timeline import lines
from tests.simulation.world import Violation, World, find_timed_names

#: Real seconds after which a world is given up.
LONGEST: Final = 180.0
#: Virtual seconds after the last worker's end until connections and tasks must be gone.
_AFTERWARDS: Final = 5.0


class Outcome(msgspec.Struct, frozen=True):
    """What became of one plan. ``coverage`` names what it reached.

    ``organization_seconds`` is the virtual time, once for each organization that was called.
    """

    seed: int
    digest: str = ""
    calls: int = 0
    organization_seconds: float = 0.0
    cpu_seconds: float = 0.0
    faults: dict[str, int] = {}
    departures: dict[str, int] = {}
    checks: dict[str, int] = {}
    counts: dict[str, int] = {}
    coverage: tuple[str, ...] = ()
    violations: tuple[Violation, ...] = ()
    story: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()


class Scenario:
    """The workers of one plan, from their start to their end."""

    def __init__(self, world: World) -> None:
        self.world: Final = world
        self._table: Final = workloads.table()
        self._plans: Final[dict[str, WorkloadPlan]] = {}
        self._running = 0
        self._ended: Final = asyncio.Event()
        world.after_kill = self._restart

    async def run(self) -> None:
        """Start all workers, wait for their end, and judge."""
        world = self.world
        for plan in world.plan.workloads:
            self._table[plan.kind].prepare(world, plan)
            for name in plan.workers:
                self._plans[name] = plan
                world.results[name] = []
        for name in self._plans:
            self._start(name, 1)
        for fault in world.plan.faults:
            if fault.at and not fault.phase:
                world.loop.call_later(fault.at, self._hit, fault)
        await self._ended.wait()
        await asyncio.sleep(_AFTERWARDS)
        self._check_leaks()
        for plan in world.plan.workloads:
            self._table[plan.kind].judge(world, plan)

    def _start(self, name: str, life: int) -> None:
        plan = self._plans[name]
        run = self._table[plan.kind].run
        worker = self.world.spawn(name, lambda worker: run(self.world, worker, plan), life=life)
        self._running += 1
        assert worker.task is not None
        worker.task.add_done_callback(partial(self._end, worker), context=self.world.outside)

    def _end(self, worker: Worker, task: asyncio.Task[object]) -> None:
        error = None if task.cancelled() else task.exception()
        if task.cancelled():
            self.world.violation("simulation", f"{worker!r} was canceled")
        elif error is not None:
            text = "".join(traceback.format_exception(error))
            self.world.violation("simulation", f"{worker!r} raised {error!r}", text)
        self._close(worker, error or (None if task.cancelled() else task.result()))

    def _close(self, worker: Worker, result: object) -> None:
        self.world.note("ended", "", worker)
        self.world.results[worker.name].append(result)
        self._running -= 1
        if not self._running:
            self._ended.set()

    def _hit(self, fault: Fault) -> None:
        for worker in self.world.workers:
            if worker.name == fault.worker and not worker.dead:
                self.world.hit(worker, fault)

    def _restart(self, worker: Worker, fault: Fault) -> None:
        """Start a killed worker again after ``fault.seconds``."""
        self._running += 1  # the worker that will start
        self._close(worker, None)
        start = partial(self._start_again, worker.name, worker.life + 1)
        self.world.loop.call_later(fault.seconds, start, context=self.world.outside)

    def _start_again(self, name: str, life: int) -> None:
        self._running -= 1
        self._start(name, life)

    def _check_leaks(self) -> None:
        world = self.world
        for worker in world.workers:
            if worker.dead or worker.name not in self._plans:
                continue
            world.check("P6")
            if tasks := world.loop.tasks_of(worker):
                names = ", ".join(task.get_name() for task in tasks)
                world.violation("P6", f"{worker!r} ended and left tasks: {names}")
            if number := world.network.open_connections(worker):
                world.violation("P6", f"{worker!r} ended and left {number} connections open")


def run(plan: Plan, *, story: bool = False) -> Outcome:
    """Run one plan in this process."""
    began = time.process_time()
    world = World(plan)

    async def main() -> None:
        await Scenario(world).run()

    try:
        world.run(main)
    except Exception as error:
        text = "".join(traceback.format_exception(error))
        world.violation("simulation", f"the world raised {error!r}", text)
    called = {one.organization for one in world.zoho.log}
    faults: dict[str, int] = {}
    for (kind, _), times in world.faults.items():
        faults[kind] = faults.get(kind, 0) + times
    workload = plan.workloads[0].kind if len(plan.workloads) == 1 else ""
    departures = {f"{what}, {workload}" for what in world.zoho.departures if workload}
    return Outcome(
        seed=plan.seed,
        digest=world.digest(),
        calls=len(world.zoho.log),
        organization_seconds=(world.loop.now - world.began) * len(called),
        cpu_seconds=time.process_time() - began,
        faults=faults,
        departures=world.zoho.departures,
        checks=dict(world.checks),
        counts=dict(world.counts),
        coverage=tuple(sorted(world.situations | departures)),
        violations=tuple(world.violations),
        story=tuple(lines(world)) if story else (),
        modules=tuple(sys.modules),
    )


class Child:
    """A forked process that runs one plan."""

    def __init__(self, plan: Plan, *, story: bool = False) -> None:
        self.plan: Final = plan
        self.began: Final = time.monotonic()
        self.output, writer = os.pipe()
        self._received: Final[list[bytes]] = []
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid: Final = os.fork()
        if self.pid == 0:
            _in_child(plan, writer, story=story)
        os.close(writer)

    def read(self) -> Outcome | None:
        """Read what is there. Returns the outcome at its end."""
        data = os.read(self.output, 1 << 20)
        if data:
            self._received.append(data)
            return None
        _, status = os.waitpid(self.pid, 0)
        os.close(self.output)
        try:
            return msgspec.msgpack.decode(b"".join(self._received), type=Outcome)
        except msgspec.DecodeError:
            return self._failed(f"the process ended with status {status}")

    def end(self, reason: str) -> Outcome:
        """Kill the process, and return an outcome that says so."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.output)
        return self._failed(reason)

    def _failed(self, reason: str) -> Outcome:
        return Outcome(self.plan.seed, violations=(Violation("simulation", 0.0, reason),))


def _in_child(plan: Plan, output: int, *, story: bool) -> None:
    """Run ``plan``, write the outcome and leave without any cleanup."""
    status = 1
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its children
        data = msgspec.msgpack.encode(run(plan, story=story))
        with os.fdopen(output, "wb") as pipe:
            pipe.write(data)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def run_all(
    plans: Iterator[Plan], *, processes: int = 1, story: bool = False
) -> Generator[Outcome]:
    """Run plans in forked processes, so many at a time. Outcomes come in the order of their ends.

    Closing the iterator kills the processes that still run.
    """
    find_timed_names()  # here, and not in each child
    gc.collect()
    gc.freeze()
    running: dict[int, Child] = {}
    with selectors.SelectSelector() as selector:  # an epoll would be shared with the children
        try:
            while True:
                while len(running) < processes and (plan := next(plans, None)) is not None:
                    child = Child(plan, story=story)
                    running[child.output] = child
                    selector.register(child.output, selectors.EVENT_READ)
                if not running:
                    return
                for key, _ in selector.select(1.0):
                    child = running[key.fd]
                    outcome = child.read()
                    if outcome is not None:
                        selector.unregister(key.fd)
                        del running[key.fd]
                        yield outcome
                for output, child in list(running.items()):
                    if time.monotonic() - child.began > LONGEST:
                        selector.unregister(output)
                        del running[output]
                        yield child.end(f"the world ran for more than {LONGEST:g} real seconds")
        finally:
            for child in running.values():
                child.end("stopped")


def run_one(plan: Plan, *, story: bool = False) -> Outcome:
    """Run one plan in a forked process."""
    return next(run_all(iter([plan]), story=story))


def load_modules(table: dict[str, workloads.Workload]) -> None:
    """Import here what each workload imports, so that children need not do it each time."""
    shortest = (
        Plan(0, workloads=(WorkloadPlan(kind, (f"{kind}.1",), options=one.draw(random.Random(0))),))
        for kind, one in table.items()
    )
    for outcome in run_all(shortest, processes=2):
        for name in outcome.modules:
            if name not in sys.modules and not name.startswith(("__", "pytest")):
                with suppress(Exception):
                    importlib.import_module(name)
