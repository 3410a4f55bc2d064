"""pytest fixtures: `zoho_sandbox`, a fresh local Zoho per test, and `zoho`, a session on it.

The plugin comes with the package and loads nothing until a test uses a fixture. Both fixtures are
async, for pytest-asyncio in any mode or anyio's plugin. A mark sets options of the sandbox. Its
arguments are those of `zoho_async.sandbox.Sandbox`.

    @pytest.mark.zoho_sandbox(sizes={"invoices": 40})
    async def test_overdue_invoices_are_reported(zoho, zoho_sandbox):
        zoho_sandbox.faults.append(Fault(kind="status", status=503))
        assert await overdue(zoho) == ...
        assert zoho_sandbox.unknown == []

The session keeps its own limits in memory, waits little between retries, and is closed after the
test.
"""

from __future__ import annotations

import importlib.util
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from zoho_async import Session
    from zoho_async.sandbox import Sandbox

MARK: Final = "zoho_sandbox"


def pytest_configure(config: pytest.Config) -> None:
    """Register the mark, for ``--strict-markers``."""
    config.addinivalue_line(
        "markers", f"{MARK}(**options): the options of zoho_async.sandbox.Sandbox for this test"
    )


def _async_fixture(function: Callable[..., Any]) -> Any:
    """Make an async fixture. pytest-asyncio in strict mode needs its own decorator."""
    if importlib.util.find_spec("pytest_asyncio") is None:
        return pytest.fixture(function)
    import pytest_asyncio

    return pytest_asyncio.fixture(function)


@_async_fixture
async def zoho_sandbox(request: pytest.FixtureRequest) -> AsyncIterator[Sandbox]:
    """A fresh sandbox. The mark ``zoho_sandbox`` sets its options."""
    from zoho_async.sandbox import Sandbox

    options: dict[str, Any] = {}
    for mark in reversed(list(request.node.iter_markers(MARK))):  # the nearest mark wins
        options |= mark.kwargs
    async with Sandbox(**options) as sandbox:
        yield sandbox


@_async_fixture
async def zoho(zoho_sandbox: Sandbox) -> AsyncIterator[Session]:
    """A session on the test's sandbox."""
    from zoho_async import Credentials, Limits, Session
    from zoho_async.http.retry import Policy
    from zoho_async.limits import MemoryLedger

    minute = zoho_sandbox.client_minute
    session = Session(
        Credentials.from_env(zoho_sandbox.environment()),
        organization=zoho_sandbox.organization,
        api_url=zoho_sandbox.url,
        accounts_url=zoho_sandbox.accounts_url,
        limits=Limits(
            window=minute,
            linger=min(30.0, minute / 2),
            in_flight=min(10, zoho_sandbox.limits.in_flight),
        ),
        ledger=MemoryLedger(),
        retry=Policy(base=0.01),
    )
    async with session:
        yield session
