"""What the tasks of one worker of a cluster share: one session, in an event loop of its own.

It is opened by the first task and closed when the run is over or the worker leaves. So a worker
has one connection to Redis, one place among those who share the limits, and one set of sockets,
however many tasks it does.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from typing import Any, TypeVar, cast

from anyio.from_thread import BlockingPortal, start_blocking_portal
from distributed import WorkerPlugin, get_worker

from zoho_async.runtime import Account
from zoho_async.session import Session

T = TypeVar("T")


class SessionPlugin(WorkerPlugin):
    """Opens ``account`` on a worker; ``name`` is that by which tasks find it."""

    def __init__(self, name: str, account: Account) -> None:
        self.name = name
        self._account = account

    def setup(self, worker: Any) -> None:
        """The worker begins: nothing is opened yet."""
        self._lock = threading.Lock()
        self._open = ExitStack()
        self._session: Session | None = None
        self._portal: BlockingPortal | None = None

    async def teardown(self, worker: Any) -> None:
        """The run is over, or the worker leaves: what is under way is cancelled, and all closed."""
        await asyncio.to_thread(self._close)

    def run(self, work: Callable[[Session], Awaitable[T]]) -> T:
        """Run ``work`` in the session's loop, from any thread. Raises what opening raises."""
        with self._lock:
            if self._portal is None or self._session is None:
                with ExitStack() as opening:
                    portal = opening.enter_context(start_blocking_portal())
                    self._session = opening.enter_context(
                        portal.wrap_async_context_manager(self._account())
                    )
                    self._portal = portal
                    self._open = opening.pop_all()
            portal, session = self._portal, self._session
        return portal.call(work, session)

    def _close(self) -> None:
        with self._lock:
            self._open.close()
            self._portal = self._session = None


def session_plugin(name: str) -> SessionPlugin:
    """The desk of the worker that this task runs on."""
    return cast(SessionPlugin, get_worker().plugins[name])
