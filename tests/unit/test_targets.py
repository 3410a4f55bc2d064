"""What callers put into a path or a header never makes a call another one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aioresponses import aioresponses

from zoho_async import Credentials, Session
from zoho_async.books import contacts
from zoho_async.errors import ConfigurationError
from zoho_async.http.target import checked_headers, checked_path, quoted_id
from zoho_async.limits import MemoryLedger

HOSTILE_PATHS = [
    *("", "x", "/", "//evil.example/x", "https://evil.example/x", "/x//y", "/x/", "/contacts/"),
    *("/x#y", "/x#", "/x?y=1", "/x?", "/x y", "/x\ty", "/x\r\nHost: evil", "/x\ny", "/x\x00y"),
    *("/..", "/../x", "/x/..", "/x/../y", "/./x", "/x/.", "/..;/x", "/..;a=b/x", "/.;x"),
    *("/%2e%2e/x", "/%2E./x", "/.%2e/x", "/%252e%252e/x", "/%25252e%25252e/x", "/%2e/x"),
    *("/x%2fy", "/x%2Fy", "/x%252fy", "/x\\y", "/x%5cy", "/x%5Cy", "/x%255cy", "/..\\x"),
    *("/x%00", "/x%0d%0aHost:%20evil", "/x%0A", "/x%7f", "/x%", "/x%2", "/x%zz", "/%"),
    *(
        "/é",
        "/\u2025/x",
        "/\uff0e\uff0e/x",
        "/\uff0fx",
        "/x\ud800",
        "/x\u2028",
        "/x\x7f",
        '/"',
        "/<",
    ),
    *("/%20..%20/x", "/..%3b/x", "/%2e%2e%3bx/y", " /x", "/x ", "\ufeff/x"),
]
ORDINARY_PATHS = [
    *("/contacts", "/contacts/460000000026049", "/settings/preferences", "/a-b_c.d~e"),
    *(
        "/customfields/cf_x:y",
        "/plans/a%20b",
        "/plans/%C3%A9",
        "/x/...",
        "/x/..a",
        "/x/.a",
        "/x/a..",
    ),
    *("/users/me@example.com", "/x;v=1", "/plans/100%25"),
]


@pytest.fixture
async def zoho(credentials: Credentials) -> AsyncIterator[Session]:
    async with Session(credentials, organization="10234695", ledger=MemoryLedger()) as session:
        yield session


@pytest.mark.parametrize("path", HOSTILE_PATHS)
async def test_a_path_that_would_arrive_as_another_is_refused(
    path: str, zoho: Session, mocked: aioresponses
) -> None:
    with pytest.raises(ConfigurationError, match="path"):
        checked_path(path)
    for method in ("GET", "POST", "DELETE"):
        with pytest.raises(ConfigurationError, match="path"):
            await zoho.request(method, path)
    assert mocked.requests == {}


@pytest.mark.parametrize("path", ORDINARY_PATHS)
def test_an_ordinary_path_is_left_as_it_is(path: str) -> None:
    assert checked_path(path) == path


@pytest.mark.parametrize(
    "hostile",
    [
        *("", " ", "\t", ".", "..", " .. ", "../1", "1/..", "a/../b", "..\\1"),
        *("a\nb", "a\tb", "\x00", "1\x7f", "\ud800"),
    ],
)
async def test_an_id_that_is_none_is_refused(hostile: str, zoho: Session) -> None:
    with pytest.raises(ValueError, match="contact_id"):
        quoted_id("contact_id", hostile)
    with pytest.raises(ValueError, match="contact_id"):
        await contacts.delete(zoho, hostile)


@pytest.mark.parametrize("value", [None, True, 1.0, b"1", ["1"]])
def test_what_is_neither_text_nor_int_is_no_id(value: object) -> None:
    with pytest.raises(TypeError, match="contact_id"):
        quoted_id("contact_id", value)


@pytest.mark.parametrize(
    ("value", "quoted"),
    [
        ("460000000026049", "460000000026049"),
        (7, "7"),
        (" 7\n", "7"),
        ("a/b", "a%2Fb"),
        ("a?b#c", "a%3Fb%23c"),
        ("a b", "a%20b"),
        ("%2e%2e", "%252e%252e"),
        ("é", "%C3%A9"),
        ("...", "..."),
    ],
)
def test_an_id_arrives_as_one_segment(value: Any, quoted: str) -> None:
    assert quoted_id("plan_code", value) == quoted


@pytest.mark.parametrize(
    "name",
    [
        *("Host", "content-length", "Transfer-Encoding", "CONNECTION", "Authorization", "TE"),
        *("Expect", "Upgrade", "Trailer", "Keep-Alive", "Proxy-Authorization", "Cookie"),
        *("Content-Type", "Content-Encoding", "Accept-Encoding", "X-HTTP-Method-Override"),
        *("X-com-zoho-subscriptions-organizationid", "x-COM-zoho-subscriptions-organizationid"),
        *("", "a b", "a:b", "a\r\nb", "é", "a\x00"),
    ],
)
async def test_a_header_that_frames_or_names_is_refused_by_its_name(
    name: str, zoho: Session, mocked: aioresponses
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        await zoho.request("GET", "/contacts", headers={name: "secret"}, product="billing")
    assert "secret" not in str(refused.value)
    assert name in str(refused.value) or repr(name) in str(refused.value)
    assert mocked.requests == {}


@pytest.mark.parametrize("value", ["a\r\nHost: evil", "a\nb", "a\rb", "a\x00", "\x7f", "\ud800"])
async def test_a_header_whose_value_would_end_it_is_refused(value: str, zoho: Session) -> None:
    with pytest.raises(ConfigurationError, match="X-Thing") as refused:
        await zoho.request("GET", "/contacts", headers={"X-Thing": value})
    assert value not in str(refused.value)
    with pytest.raises(ConfigurationError, match="X-Unique-Identifier-Value"):
        await contacts.upsert(zoho, contacts.ContactInput(), key="cf_a", value=value)


def test_an_ordinary_header_is_left_as_it_is() -> None:
    given = {"X-Upsert": "true", "X-Unique-Identifier-Value": "Müller & Söhne", "Accept": "a/b"}
    assert checked_headers(given, ["X-Org", ""]) == given


async def test_a_query_names_no_other_organization(zoho: Session) -> None:
    with pytest.raises(ConfigurationError, match="for_organization"):
        await zoho.request("GET", "/contacts", query={"organization_id": "2"})
    with pytest.raises(ConfigurationError, match="for_organization"):
        await contacts.get(zoho, "1", extra_query={"organization_id": "2"})
    with pytest.raises(ConfigurationError, match="for_organization"):
        await contacts.list(zoho, extra_query={"organization_id": "2"})
