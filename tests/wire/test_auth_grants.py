"""All OAuth grants, against accounts pages that enforce Zoho's rules."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

import aiohttp
import pytest

from tests.support.consent_pages import agree, self_client_code
from zoho_async import Session
from zoho_async.auth import (
    AccountsServer,
    Credentials,
    OAuthClient,
    authorization_url,
    client_credentials,
    console_url,
    exchange_code,
    read_redirect,
    refresh,
    revoke,
)
from zoho_async.auth.reply import revoked
from zoho_async.errors import (
    AccountsUnavailable,
    AuthError,
    ConfigurationError,
    ConsentRefused,
    InvalidClient,
    InvalidGrant,
    InvalidRedirect,
    InvalidScope,
    TokenThrottled,
)
from zoho_async.sandbox import Sandbox
from zoho_async.sandbox.simulation.faults import Fault

SCOPES = ["ZohoBooks.invoices.READ", "ZohoBooks.settings.READ"]
HERE = "http://localhost:8976/callback"


def asked(
    zoho: Sandbox,
    *,
    scopes: list[str] | None = None,
    redirect_uri: str = HERE,
    code_verifier: str = "",
) -> str:
    return authorization_url(
        zoho.accounts_url,
        zoho.client_id,
        scopes=scopes or SCOPES,
        redirect_uri=redirect_uri,
        state="the-state",
        code_verifier=code_verifier,
    )


def client(zoho: Sandbox) -> OAuthClient:
    return OAuthClient(zoho.client_id, zoho.client_secret)


def test_the_authorization_url_asks_for_a_lasting_token() -> None:
    url = authorization_url(
        "https://accounts.zoho.eu", "1000.C", scopes=SCOPES, redirect_uri=HERE, state="s"
    )
    query = dict(parse_qsl(urlsplit(url).query))
    assert url.startswith("https://accounts.zoho.eu/oauth/v2/auth?")
    assert (query["access_type"], query["prompt"]) == ("offline", "consent")
    assert query["scope"] == ",".join(SCOPES)
    assert query["redirect_uri"] == HERE


async def test_agreeing_in_a_browser_ends_in_a_session_that_works() -> None:
    async with Sandbox() as zoho:
        query = await agree(asked(zoho))
        answer = read_redirect(query, state="the-state", accounts_url=zoho.accounts_url)
        async with AccountsServer(url=zoho.accounts_url) as server:
            grant = await exchange_code(server, client(zoho), answer.code, redirect_uri=HERE)
        assert grant.scope == ",".join(SCOPES)
        credentials = Credentials(zoho.client_id, zoho.client_secret, grant.refresh_token)
        async with Session(
            credentials,
            organization=zoho.organization,
            api_url=zoho.url,
            accounts_url=zoho.accounts_url,
        ) as session:
            assert (await session.request("GET", "/invoices"))["code"] == 0


async def test_a_user_who_refuses_is_not_a_throttle() -> None:
    async with Sandbox() as zoho:
        answer = await agree(asked(zoho), answer="reject")
        with pytest.raises(ConsentRefused, match="refused on the authorization page"):
            read_redirect(answer, state="the-state")


@pytest.mark.parametrize("query", [{"code": "c"}, {"code": "c", "state": "other"}, {}])
def test_an_answer_with_another_state_is_refused(query: dict[str, str]) -> None:
    with pytest.raises(ConsentRefused, match="start again"):
        read_redirect(query, state="the-state")


def test_a_code_is_sent_to_another_data_center_only_if_it_is_zohos() -> None:
    redirect = {"code": "c", "state": "s", "location": "eu"}
    found = read_redirect({**redirect, "accounts-server": "https://accounts.zoho.eu"}, state="s")
    assert (found.accounts_url, found.region) == ("https://accounts.zoho.eu", "eu")
    assert read_redirect(redirect, state="s") == found
    assert "'c'" not in repr(found)


@pytest.mark.parametrize(
    "named",
    [
        {"accounts-server": "https://accounts.zoho.eu.evil"},
        {"accounts-server": "https://accounts.zoho.eu@evil.example", "location": "eu"},
        {"accounts-server": "http://accounts.zoho.eu", "location": "eu"},
        {"accounts-server": "https://accounts.zoho.eu", "location": "in"},
        {"accounts-server": "https://accounts.zoho.xx", "location": "xx"},
        {"location": "xx"},
        {"location": "evil.example"},
    ],
)
def test_an_answer_that_names_an_unknown_data_center_is_refused(named: dict[str, str]) -> None:
    with pytest.raises(ConsentRefused, match="the code was not sent") as caught:
        read_redirect({"code": "the-code", "state": "s", **named}, state="s")
    assert "the-code" not in str(caught.value)


def test_the_server_that_was_asked_may_answer_itself() -> None:
    redirect = {"code": "c", "state": "s", "location": "us"}
    own = {**redirect, "accounts-server": "http://127.0.0.1:8080"}
    found = read_redirect(own, state="s", accounts_url="http://127.0.0.1:8080")
    assert (found.accounts_url, found.region) == ("", "")
    with pytest.raises(ConsentRefused):
        read_redirect(own, state="s", accounts_url="http://127.0.0.1:8081")


VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"


def test_the_challenge_is_that_of_rfc_7636() -> None:
    """Appendix B of the RFC has this pair."""
    url = authorization_url(
        "https://accounts.zoho.eu",
        "1000.C",
        scopes=SCOPES,
        redirect_uri=HERE,
        state="s",
        code_verifier=VERIFIER,
    )
    query = dict(parse_qsl(urlsplit(url).query))
    assert query["code_challenge"] == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    assert query["code_challenge_method"] == "S256"
    assert VERIFIER not in url
    for wrong in ("short", "x" * 129, "=" * 43):
        with pytest.raises(ConfigurationError, match="code_verifier"):
            authorization_url(
                *("https://accounts.zoho.eu", "1000.C"),
                scopes=SCOPES,
                redirect_uri=HERE,
                state="s",
                code_verifier=wrong,
            )


async def test_a_client_without_a_secret_logs_in_with_pkce_and_calls() -> None:
    async with Sandbox() as zoho, AccountsServer(url=zoho.accounts_url) as server:
        public = OAuthClient(zoho.client_id, None)
        code = (await agree(asked(zoho, code_verifier=VERIFIER)))["code"]
        grant = await exchange_code(server, public, code, redirect_uri=HERE, code_verifier=VERIFIER)
        credentials = Credentials(zoho.client_id, None, grant.refresh_token)
        await refresh(server, credentials)
        environ = {
            **zoho.environment(),
            "ZOHO_CLIENT_SECRET": "none",
            "ZOHO_REFRESH_TOKEN": grant.refresh_token,
        }
        async with Session.from_env(environ) as session:
            assert (await session.request("GET", "/invoices"))["code"] == 0
        with pytest.raises(InvalidGrant):  # a code works once
            await exchange_code(server, public, code, redirect_uri=HERE, code_verifier=VERIFIER)


@pytest.mark.parametrize("verifier", ["", "x" * 43, VERIFIER.lower()])
async def test_a_stolen_code_is_worthless_without_the_verifier(verifier: str) -> None:
    async with Sandbox() as zoho, AccountsServer(url=zoho.accounts_url) as server:
        for thief in (OAuthClient(zoho.client_id, None), client(zoho)):
            code = (await agree(asked(zoho, code_verifier=VERIFIER)))["code"]
            with pytest.raises(InvalidGrant):
                await exchange_code(server, thief, code, redirect_uri=HERE, code_verifier=verifier)


async def test_a_client_with_a_secret_cannot_leave_it_out() -> None:
    async with Sandbox() as zoho, AccountsServer(url=zoho.accounts_url) as server:
        code = (await agree(asked(zoho)))["code"]
        with pytest.raises(InvalidClient, match="missing"):
            await exchange_code(server, OAuthClient(zoho.client_id, None), code, redirect_uri=HERE)
        with pytest.raises(InvalidClient, match="missing"):
            await refresh(server, Credentials(zoho.client_id, None, zoho.refresh_token))


async def test_a_code_works_only_in_the_users_data_center() -> None:
    async with Sandbox() as zoho:
        zoho.tokens.user_location = "eu"
        elsewhere = zoho.url.replace("127.0.0.1", "localhost")
        answer = await agree(asked(zoho))
        assert (answer["location"], answer["accounts-server"]) == ("eu", elsewhere)
        async with AccountsServer(url=zoho.accounts_url) as server:
            with pytest.raises(InvalidGrant):
                await exchange_code(server, client(zoho), answer["code"], redirect_uri=HERE)
        async with AccountsServer(url=elsewhere) as server:
            await exchange_code(server, client(zoho), answer["code"], redirect_uri=HERE)


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({"scopes": ["everything"]}, "Invalid OAuth Scope"),
        ({"redirect_uri": "https://elsewhere.example/"}, "Invalid Redirect Uri"),
    ],
)
async def test_the_page_shows_the_person_what_is_wrong_with_the_request(
    changes: dict[str, object], shown: str
) -> None:
    async with Sandbox() as zoho, aiohttp.ClientSession() as http:
        page = await http.get(asked(zoho, **changes))  # type: ignore[arg-type] # one of two
        assert page.status == 400
        assert shown in await page.text()


async def test_a_code_works_once() -> None:
    async with Sandbox() as zoho, AccountsServer(url=zoho.accounts_url) as server:
        code = await self_client_code(zoho)
        await exchange_code(server, client(zoho), f" {code}\n")
        with pytest.raises(InvalidGrant, match="was used before"):
            await exchange_code(server, client(zoho), code)


async def test_a_code_lives_a_minute_and_one_from_the_console_as_long_as_chosen() -> None:
    now = 0.0
    async with Sandbox(now=lambda: now) as zoho, AccountsServer(url=zoho.accounts_url) as server:
        from_browser = (await agree(asked(zoho)))["code"]
        from_console = await self_client_code(zoho, minutes=3)
        now = 61.0
        with pytest.raises(InvalidGrant, match="make a new one"):
            await exchange_code(server, client(zoho), from_browser, redirect_uri=HERE)
        await exchange_code(server, client(zoho), from_console)


async def test_a_code_without_offline_access_says_what_is_missing() -> None:
    async with Sandbox() as zoho, AccountsServer(url=zoho.accounts_url) as server:
        url = asked(zoho).replace("access_type=offline", "access_type=online")
        code = (await agree(url))["code"]
        with pytest.raises(AuthError, match="access_type=offline"):
            await exchange_code(server, client(zoho), code, redirect_uri=HERE)


async def test_another_redirect_address_raises() -> None:
    async with Sandbox() as zoho, AccountsServer(url=zoho.accounts_url) as server:
        code = (await agree(asked(zoho)))["code"]
        with pytest.raises(InvalidRedirect, match="API console"):
            await exchange_code(server, client(zoho), code, redirect_uri=HERE + "/")


async def test_a_client_gets_a_token_without_a_user() -> None:
    async with Sandbox() as zoho, AccountsServer(url=zoho.accounts_url) as server:
        token = await client_credentials(server, client(zoho), scopes=SCOPES, soid="ZohoBooks.1")
        assert token.expires_in == 3600
        with pytest.raises(InvalidScope, match="zoho-async scopes"):
            await client_credentials(server, client(zoho), scopes=[])


async def test_revoking_a_refresh_token_ends_its_access_tokens() -> None:
    async with Sandbox() as zoho, AccountsServer(url=zoho.accounts_url) as server:
        credentials = Credentials(zoho.client_id, zoho.client_secret, zoho.refresh_token)
        access = (await refresh(server, credentials)).access
        await revoke(server, zoho.refresh_token)
        with pytest.raises(InvalidGrant, match="zoho-async login"):
            await refresh(server, credentials)
        with pytest.raises(InvalidGrant):
            await revoke(server, zoho.refresh_token)
        async with aiohttp.ClientSession() as http:
            headers = {"Authorization": f"Zoho-oauthtoken {access.value}"}
            async with http.get(f"{zoho.url}/books/v3/items", headers=headers) as reply:
                assert reply.status == 401


async def test_the_twenty_first_refresh_token_silently_ends_the_first() -> None:
    async with Sandbox() as zoho, AccountsServer(url=zoho.accounts_url) as server:
        for _ in range(20):
            await exchange_code(server, client(zoho), await self_client_code(zoho))
        assert len(zoho.refresh_tokens) == 20
        with pytest.raises(InvalidGrant):
            await refresh(
                server, Credentials(zoho.client_id, zoho.client_secret, zoho.refresh_token)
            )


async def test_a_throttle_is_never_reported_as_a_revoked_token() -> None:
    now = 0.0
    async with Sandbox(now=lambda: now) as zoho, AccountsServer(url=zoho.accounts_url) as server:
        credentials = Credentials(zoho.client_id, zoho.client_secret, zoho.refresh_token)
        for _ in range(10):
            await refresh(server, credentials)
        with pytest.raises(TokenThrottled, match="still valid"):
            await refresh(server, credentials)
        now = 601.0
        await refresh(server, credentials)


@pytest.mark.parametrize(
    ("id_", "secret", "advice"),
    [
        ("1000.other", "sandbox-client-secret", "ZOHO_CLIENT_ID"),
        ("1000.SANDBOXCLIENT", "x", "SECRET"),
    ],
)
async def test_a_wrong_client_id_and_a_wrong_secret_raise_different_advice(
    id_: str, secret: str, advice: str
) -> None:
    async with Sandbox() as zoho, AccountsServer(url=zoho.accounts_url) as server:
        with pytest.raises(InvalidClient, match=advice):
            await exchange_code(server, OAuthClient(id_, secret), "1000.code")


async def test_a_page_of_html_points_at_the_region() -> None:
    fault = Fault(kind="status_html", status=200, path="/oauth/*")
    async with Sandbox(faults=[fault]) as zoho, AccountsServer(url=zoho.accounts_url) as server:
        with pytest.raises(AccountsUnavailable, match="ZOHO_REGION"):
            await exchange_code(server, client(zoho), "1000.code")


async def test_an_unreachable_accounts_server_raises_without_secrets() -> None:
    async with AccountsServer(url="http://127.0.0.1:9") as server:
        with pytest.raises(AccountsUnavailable) as caught:
            await exchange_code(server, OAuthClient("1000.C", "the-secret"), "1000.the-code")
    assert "the-" not in str(caught.value) + repr(caught.value)


def test_secrets_may_go_to_loopback_or_over_https_only() -> None:
    with pytest.raises(ConfigurationError, match="https"):
        AccountsServer(url="http://accounts.example")


def test_each_data_center_has_its_console() -> None:
    assert console_url("https://accounts.zoho.eu") == "https://api-console.zoho.eu"
    assert console_url("https://accounts.zohocloud.ca") == "https://api-console.zohocloud.ca"
    assert console_url("http://127.0.0.1:1") == "http://127.0.0.1:1/self-client"


def test_a_failed_revocation_raises() -> None:
    revoked(200, b'{"status":"success"}')
    with pytest.raises(AuthError, match="not revoked"):
        revoked(200, b'{"status":"failure"}')
