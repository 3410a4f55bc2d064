"""One session per Dask worker, shared by all its tasks, in a separate event loop.

The first task opens the session. It is closed at the end of the run or when the worker leaves. So a
worker has one Redis connection, one share of the limits and one set of sockets for all its tasks.
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
    """Opens ``account`` on a worker. Tasks find the plugin by ``name``."""

    def __init__(self, name: str, account: Account) -> None:
        self.name = name
        self._account = account

    def setup(self, worker: Any) -> None:
        """Prepare the worker. The first task opens the session."""
        self._lock = threading.Lock()
        self._open = ExitStack()
        self._session: Session | None = None
        self._portal: BlockingPortal | None = None

    async def teardown(self, worker: Any) -> None:
        """Cancel running work and close the session."""
        await asyncio.to_thread(self._close)

    def run(self, work: Callable[[Session], Awaitable[T]]) -> T:
        """Run ``work`` in the session's loop, from any thread. May open the session first."""
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
    """The plugin ``name`` of the worker that runs this task."""
    return cast(SessionPlugin, get_worker().plugins[name])
