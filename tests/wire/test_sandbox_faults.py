"""Faults over HTTP: which requests they affect, and how."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import aiohttp
import msgspec
import pytest

from tests.support.plain_client import PlainClient, raw, token_of
from zoho_async.sandbox import Fault, Sandbox


@pytest.fixture
async def zoho() -> AsyncIterator[PlainClient]:
    async with raw(Sandbox(sizes={"contacts": 30})) as client:
        yield client


async def test_a_rule_affects_only_the_calls_that_it_matches(zoho: PlainClient) -> None:
    rule = Fault(kind="status", status=503, path="*/invoices", after=1, times=2)
    zoho.sandbox.faults.append(rule)
    assert (await zoho.get("/projects")).status == 200
    statuses = [(await zoho.get("/invoices")).status for _ in range(4)]
    assert statuses == [200, 503, 503, 200]
    assert (rule.seen, rule.hits) == (4, 2)


async def test_a_rule_can_act_with_a_probability_and_without_end(zoho: PlainClient) -> None:
    zoho.sandbox.faults.append(Fault(kind="status", times=None, probability=0.5))
    statuses = [(await zoho.get("/projects")).status for _ in range(60)]
    assert 10 < statuses.count(500) < 50


@pytest.mark.parametrize(
    ("kind", "counted", "made"),
    [("drop_unread", 0, 0), ("drop_undone", 1, 0), ("drop", 1, 1), ("broken_body", 1, 1)],
)
async def test_connections_break_before_during_and_after_the_work(
    zoho: PlainClient, kind: str, counted: int, made: int
) -> None:
    zoho.sandbox.faults.append(msgspec.convert({"kind": kind}, Fault))
    with pytest.raises(aiohttp.ClientError):
        await zoho.call("POST", "/contacts", json={"contact_name": "Maybe"})
    assert zoho.sandbox.calls == counted
    assert len(zoho.sandbox.truth("contacts")) == 30 + made
    assert (await zoho.get("/projects")).status == 200


async def test_replies_are_empty_cut_off_or_html(zoho: PlainClient) -> None:
    zoho.sandbox.faults += [Fault(kind="empty"), Fault(kind="cut"), Fault(kind="html")]
    empty, cut, html = [await zoho.get("/projects") for _ in range(3)]
    assert (empty.status, empty.body) == (200, b"")
    assert cut.status == 200
    assert cut.body.startswith(b'{"code":0')
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(cut.body)
    assert html.body.startswith(b"<html>")
    assert html.headers["Content-Type"].startswith("text/html")


async def test_refusals_have_the_code_and_the_wait_of_the_rule(zoho: PlainClient) -> None:
    zoho.sandbox.faults += [
        Fault(kind="refuse", code=43, retry_after=7),
        Fault(kind="refuse", code=1070),
        Fault(kind="code", code=1000, message="Internal error"),
        Fault(kind="status_html", status=502),
        Fault(kind="redirect", location="https://elsewhere.example/"),
    ]
    blocked, flying, code, gateway, moved = [await zoho.get("/projects") for _ in range(5)]
    assert (blocked.status, blocked.code, blocked.headers["Retry-After"]) == (429, 43, "7")
    assert (flying.code, "Retry-After" in flying.headers) == (1070, False)
    assert (code.status, code.code) == (200, 1000)
    assert (gateway.status, gateway.body[:6]) == (502, b"<html>")
    assert (moved.status, moved.headers["Location"]) == (302, "https://elsewhere.example/")
    assert zoho.sandbox.refused == 0


async def test_lists_can_end_early_or_repeat_rows(zoho: PlainClient) -> None:
    zoho.sandbox.faults += [Fault(kind="last_page"), Fault(kind="repeat_rows", rows=2)]
    early = (await zoho.get("/contacts", per_page=10)).json
    assert early["page_context"]["has_more_page"] is False
    twice = (await zoho.get("/contacts", per_page=10)).json["contacts"]
    assert len(twice) == 12
    assert twice[10:] == twice[:2]


async def test_a_field_can_have_an_odd_value_in_rows_and_records(zoho: PlainClient) -> None:
    zoho.sandbox.faults.append(Fault(kind="odd", field="total", value="a lot", times=2))
    rows = (await zoho.get("/invoices", per_page=3)).json["invoices"]
    assert [row["total"] for row in rows] == ["a lot"] * 3
    one = (await zoho.get(f"/invoices/{rows[0]['invoice_id']}")).json["invoice"]
    assert one["total"] == "a lot"
    assert (await zoho.get("/invoices", per_page=3)).json["invoices"][0]["total"] != "a lot"


async def test_a_body_can_arrive_slowly(zoho: PlainClient) -> None:
    zoho.sandbox.faults.append(Fault(kind="slow", seconds=0.1))
    started = time.monotonic()
    answer = await zoho.get("/projects")
    assert time.monotonic() - started >= 0.08
    assert answer.json["code"] == 0


async def test_the_accounts_server_can_fail_too(zoho: PlainClient) -> None:
    zoho.sandbox.faults += [
        Fault(kind="status", path="/oauth/*"),
        Fault(kind="html", path="/oauth/*"),
        Fault(kind="drop", path="/oauth/*"),
    ]
    url = f"{zoho.sandbox.url}/oauth/v2/token"
    async with zoho.http.post(url) as reply:
        assert reply.status == 500
    async with zoho.http.post(url) as reply:
        assert (await reply.text()).startswith("<html>")
    with pytest.raises(aiohttp.ClientError):
        await zoho.http.post(url)
    assert "access_token" in (await token_of(zoho.sandbox, zoho.http))[1]


async def test_faults_can_be_added_over_http(zoho: PlainClient) -> None:
    rule = {"kind": "status", "status": 503, "path": "*/items"}
    async with zoho.http.post(f"{zoho.sandbox.url}/__sandbox__/faults", json=rule) as reply:
        assert reply.status == 200
    assert (await zoho.get("/items")).status == 503
