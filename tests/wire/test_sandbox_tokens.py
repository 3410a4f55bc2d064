"""The sandbox's accounts server, and how the API checks tokens and organizations."""

from __future__ import annotations

import aiohttp
import pytest

from tests.support.plain_client import raw, token_of
from zoho_async.sandbox import Sandbox


async def test_a_refresh_returns_a_token_its_lifetime_and_the_api_domain() -> None:
    async with Sandbox(token_life=1800) as zoho, aiohttp.ClientSession() as http:
        status, answer = await token_of(zoho, http)
        assert status == 200
        assert set(answer) == {"access_token", "scope", "api_domain", "token_type", "expires_in"}
        assert answer["expires_in"] == 1800
        assert answer["api_domain"] == zoho.url
        assert zoho.token_requests == 1
        assert zoho.calls == 0


async def test_parameters_may_be_in_the_query() -> None:
    async with Sandbox() as zoho, aiohttp.ClientSession() as http:
        query = {
            "grant_type": "client_credentials",
            "client_id": zoho.client_id,
            "client_secret": zoho.client_secret,
            "scope": "ZohoBooks.fullaccess.all",
        }
        async with http.post(f"{zoho.url}/oauth/v2/token", params=query) as reply:
            assert "access_token" in await reply.json()


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"refresh_token": "1000.old"}, "invalid_code"),
        ({"client_id": "1000.OTHER"}, "invalid_client"),
        ({"client_secret": "no"}, "invalid_client_secret"),
    ],
)
async def test_wrong_credentials_come_with_http_200(changes: dict[str, str], error: str) -> None:
    async with Sandbox() as zoho, aiohttp.ClientSession() as http:
        assert await token_of(zoho, http, **changes) == (200, {"error": error})


async def test_the_eleventh_token_in_ten_minutes_is_refused_and_later_issued() -> None:
    now = 0.0
    async with Sandbox(now=lambda: now) as zoho, aiohttp.ClientSession() as http:
        for _ in range(10):
            status, answer = await token_of(zoho, http)
            assert "access_token" in answer
        status, answer = await token_of(zoho, http)
        assert (status, answer["error"], answer["status"]) == (400, "Access Denied", "failure")
        now = 601.0
        assert "access_token" in (await token_of(zoho, http))[1]


async def test_a_token_ends_at_its_expiry_or_when_it_is_revoked() -> None:
    now = 0.0
    sandbox = Sandbox(token_life=100, now=lambda: now)
    async with raw(sandbox) as zoho:
        assert (await zoho.get("/projects")).status == 200
        now = 100.0
        dead = await zoho.get("/projects")
        assert (dead.status, dead.code) == (401, 57)
        _, fresh = await token_of(sandbox, zoho.http)
        assert (await zoho.call("GET", "/projects", token=fresh["access_token"])).status == 200
        sandbox.revoke_tokens()
        dead = await zoho.call("GET", "/projects", token=fresh["access_token"])
        assert (dead.status, dead.code) == (401, 57)


async def test_an_unknown_token_gets_code_14() -> None:
    async with raw(Sandbox()) as zoho:
        for token in ("1000.made-up", " "):
            answer = await zoho.call("GET", "/projects", token=token)
            assert (answer.status, answer.code) == (401, 14)


async def test_a_token_over_the_maximum_ends_the_oldest() -> None:
    sandbox = Sandbox()
    sandbox.tokens.live = 2
    async with raw(sandbox) as zoho:
        await token_of(sandbox, zoho.http)
        assert (await zoho.get("/projects")).status == 200
        await token_of(sandbox, zoho.http)
        assert (await zoho.get("/projects")).status == 401


async def test_a_token_without_the_scope_of_an_operation_gets_code_57() -> None:
    sandbox = Sandbox()
    sandbox.tokens.scope = "ZohoBooks.invoices.READ,ZohoBooks.contacts.ALL"
    async with raw(sandbox) as zoho:
        assert (await zoho.get("/invoices")).status == 200
        assert (await zoho.get("/contacts")).status == 200
        refused = await zoho.get("/projects")
        assert (refused.status, refused.code) == (401, 57)
        written = await zoho.call("POST", "/invoices", json={})
        assert (written.status, written.code) == (401, 57)


async def test_organizations_are_the_users_own_and_need_no_organization() -> None:
    sandbox = Sandbox(organization="111", organizations=["111", "222"])
    async with raw(sandbox) as zoho:
        answer = (await zoho.call("GET", "/organizations", organization=None)).json
        assert [row["organization_id"] for row in answer["organizations"]] == ["111", "222"]
        assert "page_context" not in answer
        one = (await zoho.call("GET", "/organizations/222", organization=None)).json
        assert one["organization"]["organization_id"] == "222"
        rows = [bytes(row) for row in sandbox.truth("books.organizations")]
        assert (
            b'{"code":0,"message":"success","organizations":[' + b",".join(rows) + b"]}"
            == (await zoho.call("GET", "/organizations", organization=None)).body
        )


async def test_a_user_of_several_organizations_must_name_one_of_them() -> None:
    sandbox = Sandbox(organization="111", organizations=["111", "222"])
    async with raw(sandbox) as zoho:
        unnamed = await zoho.call("GET", "/projects", organization=None)
        assert (unnamed.status, unnamed.code) == (400, 6024)
        assert unnamed.json["error_info"] == ["111", "222"]
        foreign = await zoho.call("GET", "/projects", organization="333")
        assert (foreign.status, foreign.code) == (400, 6041)
        mine = await zoho.call("GET", "/projects", organization="111")
        other = await zoho.call("GET", "/projects", organization="222")
        assert mine.body != other.body


async def test_a_single_organization_need_not_be_named() -> None:
    async with raw(Sandbox()) as zoho:
        assert (await zoho.call("GET", "/projects", organization=None)).status == 200


async def test_unknown_paths_get_code_5_and_are_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with raw(Sandbox()) as zoho:
        for path in ("/nothing", "/invoices/1/nothing", "/", "/contacts/abc"):
            answer = await zoho.get(path)
            assert (answer.status, answer.code) == (404, 5)
            assert f"GET /books/v3{path}" in caplog.text
        async with zoho.http.get(f"{zoho.sandbox.url}/crm/v2/leads") as reply:
            assert (await reply.json())["code"] == 5
