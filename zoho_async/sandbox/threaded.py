"""Serve a sandbox from another thread, for synchronous clients.

A synchronous call blocks the event loop of its thread. A sandbox on that loop could not answer, and
the call would wait forever. Here the sandbox has its own loop in its own thread.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zoho_async.sandbox.server import Sandbox


@contextmanager
def serve_in_thread(sandbox: Sandbox) -> Generator[Sandbox]:
    """Serve ``sandbox`` from another thread until the block ends.

    with serve_in_thread(Sandbox(sizes={"invoices": 40})) as sandbox:
        httpx.get(f"{sandbox.url}/books/v3/invoices", headers=...)

    Read and change it (``truth``, ``faults``, ``clock``) while no request is being answered, or
    over HTTP under ``/__sandbox__/``. At the end the server closes its connections and the thread
    ends. Raises `OSError` if the port is taken.
    """
    from anyio.from_thread import start_blocking_portal  # slow to import

    with start_blocking_portal() as portal, portal.wrap_async_context_manager(sandbox):
        yield sandbox
