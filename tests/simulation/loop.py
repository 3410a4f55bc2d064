"""An event loop with virtual time, whose callbacks belong to simulated processes.

Model. Time is a number. Callbacks take no time. When nothing is ready, time jumps to the next
timer. Work on threads runs within the loop: it takes effect after a drawn delay, and its result
arrives after another one. Connections go to the `Network`.

Workers. A `Worker` is a simulated process. The context variable `WORKER` names the one that a
callback belongs to; tasks and callbacks inherit it. After `kill`, no callback of the worker runs
again, as after SIGKILL: no ``finally``, no close. `stop` holds its callbacks until `resume`, as
SIGSTOP and SIGCONT do. References to held callbacks and tasks are kept, so that garbage
collection runs no cleanup of a dead worker.

Determinism. Callbacks run in the order in which they were scheduled; timers by time, then by order.
Tasks and futures hash by their number, so that a set of them has the same order in each run.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from itertools import count
from typing import Any, Final, Protocol, TypeVar, TypeVarTuple, cast

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

#: Timers that must be cancelled before the heap is built again without them.
_COMPACT_AT: Final = 200


class Nothing(Exception):
    """Nothing is ready, no timer is left, and the scenario has not ended."""


class TooLong(Exception):
    """The scenario did not end within its virtual time."""


class Worker:
    """A simulated process.

    ``life`` is 1, and one more after each restart under the same name. ``halted`` says that no
    callback runs: the worker is dead or stopped.
    """

    def __init__(self, name: str, pid: int, *, life: int = 1) -> None:
        self.name: Final = name
        self.pid: Final = pid
        self.life: Final = life
        self.halted = False
        self.dead = False
        #: Seconds that its monotonic clock and its wall clock are ahead of the world's.
        self.monotonic_ahead = 0.0
        self.wall_ahead = 0.0
        #: Callbacks that did not run.
        self.held: list[asyncio.Handle] = []
        self.task: asyncio.Task[Any] | None = None

    def __repr__(self) -> str:
        return self.name if self.life == 1 else f"{self.name}#{self.life}"


#: The simulated process of the running callback; None for the world itself.
WORKER: ContextVar[Worker | None] = ContextVar("WORKER", default=None)


class Connects(Protocol):
    """What the loop needs of a network."""

    async def connect(
        self, factory: Callable[[], asyncio.BaseProtocol], host: str, port: int, *, tls: bool
    ) -> tuple[asyncio.Transport, asyncio.BaseProtocol]: ...

    async def resolve(self, host: str, port: int) -> list[tuple[Any, ...]]: ...


class SimulatedTask(asyncio.Task[Any]):
    """A task that knows its worker, and hashes by its number."""

    worker: Worker | None = None
    number: int = 0

    def __hash__(self) -> int:
        return self.number


class SimulatedFuture(asyncio.Future[Any]):
    """A future that hashes by its number."""

    number: int = 0

    def __hash__(self) -> int:
        return self.number


class VirtualLoop(asyncio.BaseEventLoop):
    """The event loop. ``thread_delay`` returns the seconds that a step on a thread takes.

    It ends with `TooLong` after ``longest`` virtual seconds or ``most_callbacks`` callbacks.
    """

    def __init__(
        self,
        *,
        start: float = 0.0,
        longest: float = 1e9,
        most_callbacks: int = 10**9,
        thread_delay: Callable[[], float] = lambda: 0.0005,
    ) -> None:
        super().__init__()
        self.now = start
        self.longest = start + longest
        self.thread_delay = thread_delay
        self.network: Connects | None = None
        self.callbacks = 0
        self._most_callbacks: Final = most_callbacks
        self._queue: Final[deque[asyncio.Handle]] = deque()
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._cancelled = 0
        self._numbers: Final = count(1)
        self._any_halted = False
        self._kept: Final[list[object]] = []
        self._tasks: Final[dict[int, SimulatedTask]] = {}
        self.set_task_factory(self._make_task)  # type: ignore[arg-type]

    # -- time ---------------------------------------------------------------------------------

    def time(self) -> float:
        return self.now

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._queue.append(handle)
        return handle

    call_soon_threadsafe = call_soon

    def call_later(
        self,
        delay: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        return self.call_at(self.now + delay, callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, next(self._numbers), handle))
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        self._cancelled += 1
        if self._cancelled > _COMPACT_AT and self._cancelled * 2 > len(self._timers):
            self._timers = [one for one in self._timers if not one[2]._cancelled]
            heapq.heapify(self._timers)
            self._cancelled = 0

    def _run_once(self) -> None:
        queue = self._queue
        if not queue:
            self._advance()
        elif self.callbacks > self._most_callbacks:
            raise TooLong
        for _ in range(len(queue)):
            handle = queue.popleft()
            if handle._cancelled:
                continue
            if self._any_halted:
                worker = cast(Any, handle)._context.get(WORKER)
                if worker is not None and worker.halted:
                    worker.held.append(handle)
                    continue
            self.callbacks += 1
            handle._run()

    def _advance(self) -> None:
        """Jump to the next timer, and make those ready that are due then."""
        timers = self._timers
        while timers and timers[0][2]._cancelled:
            heapq.heappop(timers)
            self._cancelled -= 1
        if not timers:
            raise Nothing
        when = timers[0][0]
        if when > self.longest:
            raise TooLong
        if when > self.now:
            self.now = when
        while timers and timers[0][0] <= self.now:
            handle = heapq.heappop(timers)[2]
            if handle._cancelled:
                self._cancelled -= 1
            else:
                self._queue.append(handle)

    def create_future(self) -> asyncio.Future[Any]:
        future = SimulatedFuture(loop=self)
        future.number = next(self._numbers)
        return future

    # -- workers --------------------------------------------------------------------------------

    def _make_task(
        self,
        loop: asyncio.AbstractEventLoop,
        work: Coroutine[Any, Any, Any],
        *,
        context: Context | None = None,
    ) -> SimulatedTask:
        task = SimulatedTask(work, loop=self, context=context)
        task.number = number = next(self._numbers)
        task.worker = WORKER.get() if context is None else context.get(WORKER)
        self._tasks[number] = task
        task.add_done_callback(self._forget_task)
        return task

    def _forget_task(self, task: asyncio.Task[Any]) -> None:
        self._tasks.pop(hash(task), None)

    def tasks_of(self, worker: Worker) -> list[SimulatedTask]:
        """Return the tasks of ``worker`` that have not ended."""
        return [task for task in self._tasks.values() if task.worker is worker]

    def kill(self, worker: Worker) -> None:
        """Run nothing of ``worker`` again."""
        worker.dead = worker.halted = self._any_halted = True
        for task in self.tasks_of(worker):
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            self._kept.append(task)
        self._kept.append(worker)

    def stop_worker(self, worker: Worker) -> None:
        """Hold the callbacks of ``worker``."""
        worker.halted = self._any_halted = True

    def resume_worker(self, worker: Worker) -> None:
        """Run the callbacks of ``worker`` that were held, and those to come."""
        if not worker.dead:
            worker.halted = False
            self._queue.extend(worker.held)
            worker.held.clear()

    # -- threads --------------------------------------------------------------------------------

    def run_in_executor(
        self, executor: object, func: Callable[[*Ts], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """Run ``func`` after a delay. As on a real thread, cancelling the result stops nothing."""
        result: asyncio.Future[T] = self.create_future()
        self.call_later(self.thread_delay(), self._on_thread, result, func, args)
        return result

    def _on_thread(
        self, result: asyncio.Future[Any], func: Callable[..., Any], args: tuple[Any, ...]
    ) -> None:
        value, error = None, None
        asyncio._set_running_loop(None)  # a thread has no running loop
        try:
            value = func(*args)
        except BaseException as found:
            error = found
        finally:
            asyncio._set_running_loop(self)
        self.call_later(self.thread_delay(), self._end_thread, result, value, error)

    @staticmethod
    def _end_thread(
        result: asyncio.Future[Any], value: object, error: BaseException | None
    ) -> None:
        if result.cancelled():
            return
        if error is not None:
            result.set_exception(error)
        else:
            result.set_result(value)

    # -- network ----------------------------------------------------------------------------------

    def getaddrinfo(  # type: ignore[override]
        self, host: Any, port: Any, **_: Any
    ) -> Awaitable[list[tuple[Any, ...]]]:
        assert self.network is not None
        return self.network.resolve(str(host), int(port))

    def create_connection(  # type: ignore[override]
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        host: str | None = None,
        port: int | None = None,
        *,
        ssl: object = None,
        sock: Any = None,
        **_: Any,
    ) -> Awaitable[tuple[asyncio.Transport, asyncio.BaseProtocol]]:
        assert self.network is not None
        if sock is not None:
            host, port = sock.getpeername()
        assert host is not None
        assert port is not None
        return self.network.connect(protocol_factory, host, port, tls=bool(ssl))

    def close(self) -> None:
        self._queue.clear()
        self._timers.clear()
        super().close()


def context_of(worker: Worker | None) -> Context:
    """Return a new context for callbacks of ``worker``."""
    context = copy_context()
    context.run(WORKER.set, worker)
    return context
