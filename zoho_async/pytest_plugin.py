"""pytest fixtures: a fresh local Zoho per test, and a session on it.

The plugin comes with the package and loads nothing until a test uses a fixture. `zoho_sandbox` and
`zoho` are async, for pytest-asyncio in any mode or anyio's plugin. A mark sets options of the
sandbox. Its arguments are those of `zoho_async.sandbox.Sandbox`.

    @pytest.mark.zoho_sandbox(sizes={"invoices": 40})
    async def test_overdue_invoices_are_reported(zoho, zoho_sandbox):
        zoho_sandbox.faults.append(Fault(kind="status", status=503))
        assert await overdue(zoho) == ...
        assert zoho_sandbox.unknown == []

The session keeps its own limits in memory, waits little between retries, and is closed after the
test.

`threaded_zoho_sandbox` is for tests of synchronous clients. The sandbox runs in another thread,
because a synchronous call would block its event loop. It takes the same mark.

    def test_a_synchronous_client(threaded_zoho_sandbox):
        url = threaded_zoho_sandbox.url
        assert httpx.get(f"{url}/books/v3/contacts").status_code == 401
"""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
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

    if not _is_async(request.function):
        pytest.fail(
            "zoho_sandbox answers only while its event loop runs, and a synchronous test blocks "
            "it: use threaded_zoho_sandbox, or make the test async",
            pytrace=False,
        )
    async with Sandbox(**_options(request)) as sandbox:
        yield sandbox


@pytest.fixture
def threaded_zoho_sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """A fresh sandbox in another thread, for synchronous clients. Takes the mark too."""
    from zoho_async.sandbox import Sandbox, serve_in_thread

    with serve_in_thread(Sandbox(**_options(request))) as sandbox:
        yield sandbox


def _options(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The options of the test's marks. The nearest mark wins."""
    options: dict[str, Any] = {}
    for mark in reversed(list(request.node.iter_markers(MARK))):
        options |= mark.kwargs
    return options


def _is_async(function: Any) -> bool:
    """Whether a test function is async, also behind a decorator such as Hypothesis's ``given``."""
    inner = getattr(getattr(function, "hypothesis", None), "inner_test", function)
    return inspect.iscoroutinefunction(inspect.unwrap(inner))


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
