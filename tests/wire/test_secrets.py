"""No secret is in anything that is printed, logged, raised or kept, whatever fails.

Runs full of failures are made to tell all they can - debug logs, chains of tracebacks, reprs,
events, progress - and all of it is searched, together with every file they leave. The two files
whose purpose is to hold secrets are the only ones left out.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import traceback
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.support.consent_pages import self_client_code
from tests.support.forked_command import ForkedCommand
from zoho_async import Session
from zoho_async.auth import (
    AccountsServer,
    Credentials,
    FileStore,
    OAuthClient,
    exchange_code,
    refresh,
    revoke,
)
from zoho_async.auth.lease import TokenState
from zoho_async.books import invoices, items
from zoho_async.errors import ZohoError
from zoho_async.events import Event
from zoho_async.export import Export
from zoho_async.http.retry import Policy
from zoho_async.limits import SqliteLedger
from zoho_async.sandbox import Sandbox
from zoho_async.sandbox.simulation.faults import Fault

#: Access tokens, refresh tokens and codes of the sandbox all look like this.
TOKENS = re.compile(rb"1000\.[0-9a-f]{32}\.[0-9a-f]{32}")
HOLD_SECRETS = {"tokens.json", "profiles.json"}
PRIVATE_QUERY = "a-customers-own-words"


class CapturedText:
    """Everything that was printed, logged or raised; `search` finds secrets in it."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self.parts: list[str] = []
        self.errors: list[BaseException] = []
        self._caplog = caplog

    def add(self, *things: object) -> None:
        self.parts.extend(f"{thing}\n{thing!r}" for thing in things)

    def error(self, error: BaseException) -> None:
        self.errors.append(error)
        self.add(error, error.args)
        self.parts.extend(traceback.format_exception(error))

    def event(self, event: Event) -> None:
        self.add(event)

    async def of(self, doing: Awaitable[Any]) -> None:
        try:
            await doing  # a record that came is the caller's own
        except ZohoError as error:
            self.error(error)

    def search(self, zoho: Sandbox, folder: Path) -> int:
        """Look through everything; how many bytes that was."""
        logged = [record.getMessage() + repr(record.args) for record in self._caplog.records]
        captured = "\n".join([*self.parts, *logged, self._caplog.text]).encode()
        assert_no_secret(zoho, captured, "what was printed")
        return len(captured) + search_files(zoho, folder)


def assert_no_secret(zoho: Sandbox, text: bytes, where: str) -> None:
    for secret in (zoho.client_secret, zoho.refresh_token, "wrong-secret", "1000.wrong-code"):
        assert secret.encode() not in text, where
    assert PRIVATE_QUERY.encode() not in text, where
    found = TOKENS.search(text)
    assert found is None, where


def search_files(zoho: Sandbox, folder: Path) -> int:
    seen = 0
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name not in HOLD_SECRETS:
            content = path.read_bytes()
            assert_no_secret(zoho, content, str(path))
            seen += len(content)
    return seen


@pytest.fixture
def captured(caplog: pytest.LogCaptureFixture) -> CapturedText:
    caplog.set_level(logging.DEBUG)
    return CapturedText(caplog)


FAULTS: list[list[Fault]] = [
    [],
    *(
        [Fault(kind=kind, path="/oauth/*", times=None, status=502)]
        for kind in ("drop", "drop_unread", "status", "status_html", "empty", "cut", "html")
    ),
    *(
        [Fault(kind=kind, path="/books/*", times=None, status=500, location="https://x.example")]
        for kind in ("drop", "drop_undone", "status", "status_html", "empty", "cut", "html")
    ),
    [Fault(kind="redirect", path="/books/*", times=None, location="https://x.example/")],
    [Fault(kind="redirect", path="/oauth/*", times=None, location="https://x.example/")],
    [Fault(kind="code", path="/books/*", times=None, status=401, code=57)],
    [Fault(kind="code", path="/books/*", times=None, status=401, code=14)],
    [Fault(kind="code", path="/books/*", times=None, status=400, code=6041)],
    [Fault(kind="refuse", path="/books/*", times=None, code=45)],
    [Fault(kind="odd", path="/books/*", times=None)],
]


@asynccontextmanager
async def failing(
    captured: CapturedText, zoho: Sandbox, folder: Path, **environ: str
) -> AsyncIterator[Session]:
    """A session that keeps all it can in ``folder`` and tells all it does."""
    ledger, store = SqliteLedger(folder / "limits.sqlite"), FileStore(folder / "tokens.json")
    env = {**zoho.environment(), **environ}
    async with Session.from_env(
        env, ledger=ledger, tokens=store, observer=captured.event, retry=Policy(base=0.001)
    ) as session:
        quick = session.with_options(timeout=2.0, max_wait=1.0)
        account: Any = session._core.client
        captured.add(session, quick, store, ledger, account, account._tokens, account._credentials)
        yield quick
    await ledger.close()
    await store.close()


@pytest.mark.parametrize("faults", FAULTS, ids=lambda faults: "".join(f.kind for f in faults))
async def test_no_failing_call_shows_a_secret(
    captured: CapturedText, tmp_path: Path, faults: list[Fault]
) -> None:
    asyncio.get_running_loop().set_debug(True)
    zoho = Sandbox(sizes={"books.items": 20, "books.invoices": 20}, faults=faults)
    async with zoho:
        async with failing(captured, zoho, tmp_path) as session:
            search = {"search_text": PRIVATE_QUERY}
            await captured.of(session.request("GET", "/items", query=search))
            await captured.of(invoices.get(session, "1"))
            await captured.of(items.delete(session, "1"))
            await captured.of(session.request("POST", "/items", body={"name": PRIVATE_QUERY}))
            zoho.revoke_tokens()
            await captured.of(session.request("GET", "/items"))
            await captured.of(session.organizations())
            await captured.of(session.snapshot())
        assert captured.search(zoho, tmp_path) > 2_000


@pytest.mark.parametrize(
    "wrong",
    [
        {"ZOHO_CLIENT_SECRET": "wrong-secret"},
        {"ZOHO_REFRESH_TOKEN": "1000.wrong-code"},
        {"ZOHO_CLIENT_ID": "1000.OTHER"},
        {"ZOHO_ACCOUNTS_URL": "http://127.0.0.1:9"},
        {"ZOHO_BASE_URL": "http://127.0.0.1:9"},
        {"ZOHO_ORGANIZATION_ID": "3"},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
async def test_no_wrong_setting_shows_a_secret(
    captured: CapturedText, tmp_path: Path, wrong: dict[str, str]
) -> None:
    async with Sandbox(sizes={"books.items": 20}) as zoho:
        async with failing(captured, zoho, tmp_path, **wrong) as session:
            await captured.of(session.request("GET", "/items"))
            await captured.of(session.organizations())
        assert captured.errors
        captured.search(zoho, tmp_path)


async def test_no_failing_grant_shows_a_secret(captured: CapturedText, tmp_path: Path) -> None:
    async with Sandbox() as zoho, AccountsServer(url=zoho.accounts_url) as server:
        client = OAuthClient(zoho.client_id, zoho.client_secret)
        code = await self_client_code(zoho)
        await captured.of(exchange_code(server, client, code))
        await captured.of(exchange_code(server, client, code))
        await captured.of(
            exchange_code(server, OAuthClient(zoho.client_id, "wrong-secret"), "1000.x")
        )
        credentials = Credentials(zoho.client_id, zoho.client_secret, zoho.refresh_token)
        for _ in range(12):
            await captured.of(refresh(server, credentials))
        await captured.of(revoke(server, "1000.wrong-code"))
        await captured.of(revoke(server, zoho.refresh_token))
        await captured.of(refresh(server, credentials))
        away = AccountsServer(url="http://127.0.0.1:9")
        async with away:
            await captured.of(refresh(away, credentials))
        captured.add(server, client, credentials, TokenState(token=zoho.refresh_token))
        assert len(captured.errors) >= 6
        captured.search(zoho, tmp_path)


async def test_no_failing_job_leaves_a_secret(captured: CapturedText, tmp_path: Path) -> None:
    faults = [
        Fault(kind="drop", path="/books/v3/items", times=2),
        Fault(kind="code", path="/books/v3/invoices", after=1, times=None, status=401, code=57),
    ]
    sizes = {"books.items": 600, "books.invoices": 600}
    async with Sandbox(sizes=sizes, faults=faults) as zoho:
        async with failing(captured, zoho, tmp_path) as session:
            job = Export(session, ["items", "invoices"], to=tmp_path / "out")
            async with job:
                async for event in job:
                    captured.add(event)
            captured.add(job, job.summary)
        assert captured.search(zoho, tmp_path) > 10_000


async def test_the_search_finds_what_it_searches_for(
    captured: CapturedText, tmp_path: Path
) -> None:
    async with Sandbox() as zoho, AccountsServer(url=zoho.accounts_url) as server:
        credentials = Credentials(zoho.client_id, zoho.client_secret, zoho.refresh_token)
        token = (await refresh(server, credentials)).access
        for secret in (zoho.client_secret, zoho.refresh_token, token.value, PRIVATE_QUERY):
            with pytest.raises(AssertionError):
                assert_no_secret(zoho, f"printed {secret}".encode(), "here")
        logging.getLogger("zoho_async").debug("given %s", token.value)
        with pytest.raises(AssertionError):
            captured.search(zoho, tmp_path)


COMMANDS: list[tuple[list[str], dict[str, str]]] = [
    (["export", "items", "invoices", "--to", "OUT"], {}),
    (["export", "items", "--to", "OUT", "--json"], {"ZOHO_CLIENT_SECRET": "wrong-secret"}),
    (["export", "items", "--to", "OUT"], {"ZOHO_REFRESH_TOKEN": "1000.wrong-code"}),
    (["export", "items", "--to", "OUT"], {"ZOHO_ACCOUNTS_URL": "http://127.0.0.1:9"}),
    (["export", "items", "--to", "OUT"], {"ZOHO_ORGANIZATION_ID": "3"}),
    (["whoami"], {}),
    (["whoami", "--json"], {"ZOHO_REFRESH_TOKEN": "1000.wrong-code"}),
    (["login", "--check"], {"ZOHO_CLIENT_SECRET": "wrong-secret"}),
    (["doctor"], {"ZOHO_CLIENT_SECRET": "wrong-secret"}),
    (["logout"], {}),
]


@pytest.fixture(scope="module")
def forked() -> Iterator[ForkedCommand]:
    running = ForkedCommand("-X", "dev")
    yield running
    running.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.parametrize(("arguments", "changes"), COMMANDS)
async def test_no_command_prints_a_secret(
    tmp_path: Path, forked: ForkedCommand, arguments: list[str], changes: dict[str, str]
) -> None:
    faults = [
        Fault(kind="drop", path="/books/v3/items", times=1),
        Fault(kind="code", path="/books/v3/invoices", times=None, status=401, code=57),
    ]
    async with Sandbox(sizes={"books.items": 300, "books.invoices": 3}, faults=faults) as zoho:
        words = [word.replace("OUT", str(tmp_path / "out")) for word in arguments]
        environ = {
            **os.environ,
            **zoho.environment(),
            "HOME": str(tmp_path),
            "ZOHO_ASYNC_LEDGER": str(tmp_path / "limits.sqlite"),
            **changes,
        }
        _, out, err = await asyncio.to_thread(forked.run, words, environ)
        printed = out + err
        assert printed
        assert "Traceback" not in err
        assert_no_secret(zoho, printed.encode(), "what the command printed")
        search_files(zoho, tmp_path)


async def test_a_redirect_takes_no_authorization_to_another_host() -> None:
    seen: list[dict[str, str]] = []

    async def other_host(request: web.BaseRequest) -> web.Response:
        seen.append(dict(request.headers))
        return web.Response()

    runner = web.ServerRunner(web.Server(other_host))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    elsewhere = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    fault = Fault(kind="redirect", times=None, path="/books/*", location=elsewhere)
    async with Sandbox(faults=[fault]) as zoho, Session.from_env(zoho.environment()) as session:
        with pytest.raises(ZohoError, match="HTTP 302"):
            await session.request("POST", "/items", body={})
    await runner.cleanup()
    assert seen == []
