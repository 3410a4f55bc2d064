"""The device grant, against accounts pages that enforce Zoho's rules and with a clock held here."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from msgspec.structs import replace

from tests.support.answering_server import AnsweringServer
from tests.support.consent_pages import answer_device
from zoho_async.auth import (
    AccountsServer,
    Credentials,
    DeviceCode,
    DeviceGrant,
    OAuthClient,
    await_grant,
    refresh,
    request_device_code,
)
from zoho_async.errors import (
    AccountsUnavailable,
    AuthError,
    ConsentRefused,
    InvalidClient,
    InvalidGrant,
    InvalidScope,
)
from zoho_async.sandbox import Sandbox
from zoho_async.sandbox.simulation.faults import Fault

SCOPES = ["ZohoBooks.invoices.READ", "ZohoBooks.settings.READ"]


class HeldClock:
    """Time passes only in `sleep`, after which ``then`` runs what is due."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.sleeps: list[float] = []
        self.then: Callable[[int], Awaitable[object]] | None = None

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.sleeps.append(seconds)
        if self.then is not None:
            await self.then(len(self.sleeps))


class Device:
    """A device that logs in at a sandbox, which shares its clock."""

    def __init__(self, zoho: Sandbox, clock: HeldClock) -> None:
        self.zoho = zoho
        self.clock = clock
        self.opened: list[str] = []

    async def code(self) -> DeviceCode:
        async with AccountsServer(url=self.zoho.accounts_url) as server:
            return await request_device_code(server, self.zoho.client_id, scopes=SCOPES)

    async def login(self, code: DeviceCode, secret: str | None = None) -> DeviceGrant:
        client = OAuthClient(self.zoho.client_id, secret or self.zoho.client_secret)
        async with AccountsServer(url=self.zoho.accounts_url) as server:
            return await await_grant(
                server, client, code, clock=self.clock, open_server=self.other_server
            )

    @asynccontextmanager
    async def other_server(self, region: str) -> AsyncGenerator[AccountsServer]:
        self.opened.append(region)
        url = self.zoho.accounts_url.replace("127.0.0.1", "localhost")
        async with AccountsServer(url=url) as server:
            yield server

    def user(self, code: DeviceCode, *, poll: int, answer: str = "accept") -> None:
        """Let the user answer before the poll of this number."""

        async def act(number: int) -> None:
            if number == poll:
                await answer_device(self.zoho, code.user_code, answer=answer)

        self.clock.then = act


@asynccontextmanager
async def device(**options: Any) -> AsyncGenerator[Device]:
    clock = HeldClock()
    async with Sandbox(now=clock.monotonic, **options) as zoho:
        yield Device(zoho, clock)


async def test_the_user_agrees_elsewhere_and_the_device_has_tokens() -> None:
    async with device() as at:
        code = await at.code()
        assert (code.life, code.interval) == (300.0, 30.0)  # Zoho writes milliseconds
        assert code.user_code in code.complete_url
        assert code.device_code not in repr(code)
        at.user(code, poll=3)
        found = await at.login(code)
        assert at.clock.sleeps == [30.0, 30.0, 30.0]
        assert (found.region, found.grant.scope) == ("", ",".join(SCOPES))
        credentials = Credentials(
            at.zoho.client_id, at.zoho.client_secret, found.grant.refresh_token
        )
        async with AccountsServer(url=at.zoho.accounts_url) as server:
            assert (await refresh(server, credentials)).access.expires_in == 3600


async def test_a_device_that_asks_too_soon_asks_less_often() -> None:
    async with device() as at:
        code = replace(await at.code(), interval=22.0)
        at.user(code, poll=1)
        await at.login(code)
        assert at.clock.sleeps == [22.0, 27.0, 32.0]


async def test_a_user_who_refuses_ends_the_login() -> None:
    async with device() as at:
        code = await at.code()
        at.user(code, poll=1, answer="reject")
        with pytest.raises(ConsentRefused, match="refused on the authorization page"):
            await at.login(code)


@pytest.mark.parametrize("life", [300.0, 3000.0])
async def test_codes_expire_by_the_device_and_by_the_server(life: float) -> None:
    async with device() as at:
        code = replace(await at.code(), life=life)
        with pytest.raises(InvalidGrant, match="expired: start again"):
            await at.login(code)
        assert at.clock.sleeps == [30.0] * 10


async def test_the_end_comes_when_the_codes_end_if_that_is_before_the_next_poll() -> None:
    async with device() as at:
        code = replace(await at.code(), interval=22.0, life=60.0)
        with pytest.raises(InvalidGrant, match="expired"):
            await at.login(code)
        assert at.clock.sleeps == [22.0, 27.0, 11.0]


async def test_polling_goes_on_in_the_users_data_center() -> None:
    async with device() as at:
        at.zoho.tokens.user_location = "EU"
        code = await at.code()
        at.user(code, poll=2)
        found = await at.login(code)
        assert (found.region, at.opened) == ("eu", ["eu"])
        assert len(at.clock.sleeps) == 3


@pytest.mark.parametrize("location", ["xx", "", "evil.example", "accounts.zoho.eu", "eu\x1b[2J"])
async def test_no_secret_goes_to_an_unknown_data_center(location: str) -> None:
    async with device() as at:
        at.zoho.tokens.user_location = location or " "
        code = await at.code()
        at.user(code, poll=1)
        with pytest.raises(ConsentRefused, match="nothing was sent there") as caught:
            await at.login(code)
        assert at.opened == []
        assert "\x1b" not in str(caught.value)


async def test_a_server_that_fails_for_a_while_is_asked_less_often() -> None:
    faults = [
        Fault(kind="status_html", status=502, path="/oauth/v3/device/token"),
        Fault(kind="drop_undone", path="/oauth/v3/device/token"),
    ]
    async with device(faults=faults) as at:
        code = await at.code()
        at.user(code, poll=1)
        await at.login(code)
        assert at.clock.sleeps == [30.0, 60.0, 60.0]


@pytest.mark.parametrize("status", [200, 400, 403, 404])
async def test_a_page_instead_of_an_answer_ends_the_login(
    server: AnsweringServer, status: int
) -> None:
    clock = HeldClock()
    server.answers = [answer(), web.Response(status=status, text="<html>no such page</html>")]
    async with AccountsServer(url=server.url) as accounts:
        code = await request_device_code(accounts, "1000.C", scopes=SCOPES)
        with pytest.raises(AccountsUnavailable, match=f"HTTP {status}"):
            await await_grant(accounts, OAuthClient("1000.C", "s"), code, clock=clock)
    assert clock.sleeps == [30.0]


async def test_a_device_code_gives_tokens_once() -> None:
    async with device() as at:
        code = await at.code()
        at.user(code, poll=1)
        await at.login(code)
        with pytest.raises(InvalidGrant, match="used before"):
            await at.login(code)
        with pytest.raises(aiohttp.ClientResponseError):  # nor does the user's code
            await answer_device(at.zoho, code.user_code)


async def test_wrong_clients_and_scopes_raise_what_to_do() -> None:
    async with device() as at:
        code = await at.code()
        with pytest.raises(InvalidClient, match="ZOHO_CLIENT_SECRET"):
            await at.login(code, secret="wrong")
        async with AccountsServer(url=at.zoho.accounts_url) as server:
            with pytest.raises(InvalidClient, match="ZOHO_CLIENT_ID"):
                await request_device_code(server, "1000.OTHER", scopes=SCOPES)
            with pytest.raises(InvalidScope):
                await request_device_code(server, at.zoho.client_id, scopes=["everything"])


def answer(**changes: object) -> web.Response:
    good = {
        "user_code": "ABCD-1234",
        "device_code": "1000.device",
        "verification_url": "https://accounts.zoho.com/oauth/v3/device",
        "expires_in": 300000,
        "interval": 30000,
    }
    return web.json_response({**good, **changes})


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((300000, 30000), (300.0, 30.0)),
        ((300, 5), (300.0, 5.0)),
        (("300000", "30000"), (300.0, 30.0)),
        ((1001, 1000), (1.001, 1000.0)),
        ((0, -1), (300.0, 30.0)),
        ((10**15, 0.001), (3600.0, 1.0)),
    ],
)
async def test_times_are_milliseconds_unless_they_are_small(
    server: AnsweringServer, given: tuple[object, object], expected: tuple[float, float]
) -> None:
    server.answers = [answer(expires_in=given[0], interval=given[1])]
    async with AccountsServer(url=server.url) as accounts:
        code = await request_device_code(accounts, "1000.C", scopes=SCOPES)
    assert (code.life, code.interval) == expected


@pytest.mark.parametrize(
    "changes",
    [
        {"verification_url": "javascript:alert(1)"},
        {"verification_url": "http://accounts.zoho.com/device"},
        {"verification_url": "https://user:word@accounts.zoho.com/device"},
        {"verification_url": "https://accounts.zoho.com/\x1b]0;title\x07"},
        {"verification_url": "https://accounts.zoho.com/" + "x" * 1000},
        {"verification_url": "https://[/"},
        {"user_code": ""},
        {"device_code": ""},
        {"verification_url": ["https://accounts.zoho.com/"]},
    ],
)
async def test_an_answer_without_a_usable_address_or_code_raises(
    server: AnsweringServer, changes: dict[str, object]
) -> None:
    server.answers = [answer(**changes)]
    async with AccountsServer(url=server.url) as accounts:
        with pytest.raises(AccountsUnavailable, match="try again"):
            await request_device_code(accounts, "1000.C", scopes=SCOPES)


async def test_a_login_without_a_refresh_token_raises(server: AnsweringServer) -> None:
    clock = HeldClock()
    token = {"access_token": "1000.t", "expires_in": 3600}
    server.answers = [answer(), web.json_response(token)]
    async with AccountsServer(url=server.url) as accounts:
        code = await request_device_code(accounts, "1000.C", scopes=SCOPES)
        with pytest.raises(AuthError, match="no refresh token"):
            await await_grant(accounts, OAuthClient("1000.C", "s"), code, clock=clock)
    form = server.last.body.decode()
    assert "grant_type=device_token" in form
    assert "code=1000.device" in form


async def test_a_lifetime_in_milliseconds_is_read_as_an_hour(server: AnsweringServer) -> None:
    token = {"access_token": "1000.t", "refresh_token": "1000.r", "expires_in": 3_600_000}
    server.answers = [answer(), web.json_response(token)]
    async with AccountsServer(url=server.url) as accounts:
        code = await request_device_code(accounts, "1000.C", scopes=SCOPES)
        client = OAuthClient("1000.C", "s")
        found = await await_grant(accounts, client, code, clock=HeldClock())
    assert found.grant.access.expires_in == 3600.0


async def test_no_code_and_no_secret_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    asyncio.get_running_loop().set_debug(True)
    caplog.set_level(logging.DEBUG)
    async with device() as at:
        code = await at.code()
        at.user(code, poll=2)
        found = await at.login(code)
        with pytest.raises(InvalidGrant) as caught:
            await at.login(code)
        shown = "\n".join(
            [
                *(record.getMessage() for record in caplog.records),
                *traceback.format_exception(caught.value),
                repr((code, found)),
            ]
        )
        secrets = (
            at.zoho.client_secret,
            code.device_code,
            found.grant.refresh_token,
            found.grant.access.value,
        )
    assert not any(secret in shown for secret in secrets)
