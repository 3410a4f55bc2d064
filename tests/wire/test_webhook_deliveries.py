"""The sandbox sends webhooks: on which changes, how signed, how often, and to whom not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from aiohttp import web

from tests.support.unlimited_sandbox import strict_session
from zoho_async import Session
from zoho_async.books.invoices import InvoiceCreate, InvoiceInput, InvoiceLineItemInput
from zoho_async.books.webhooks import WebhookCreate, WebhookQueryParameterInput
from zoho_async.books.workflows import WorkflowCreate, WorkflowInstantActionInput
from zoho_async.errors import ConfigurationError, InvalidRequest
from zoho_async.sandbox import Sandbox, WebhookRules
from zoho_async.sandbox.deliveries.requests import request_of, signature
from zoho_async.sandbox.deliveries.rules import operations_of
from zoho_async.sandbox.deliveries.sender import is_allowed
from zoho_async.webhooks import parse, verify

SECRET: Final = "Secret1234567890"


class Hook:
    """A server that keeps what it receives. ``answers`` are its first statuses; then 200."""

    def __init__(self) -> None:
        self.url = ""
        self.answers: list[int] = []
        self.received: list[tuple[web.BaseRequest, bytes]] = []

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        self.received.append((request, await request.read()))
        status = self.answers.pop(0) if self.answers else 200
        return web.Response(status=status, headers={"Location": self.url})

    def bodies(self) -> list[Any]:
        return [json.loads(body) for _, body in self.received]


@pytest.fixture
async def hook() -> AsyncIterator[Hook]:
    hook = Hook()
    runner = web.ServerRunner(web.Server(hook))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    hook.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hooks"
    yield hook
    await runner.cleanup()


async def install(zoho: Session, url: str, rule_type: str, entity: str = "invoice") -> str:
    """Create a webhook and the rule that fires it, and return the rule's id."""
    event = WebhookQueryParameterInput(param_name="event_type", param_value=rule_type)
    webhook = await zoho.books.webhooks.create(
        WebhookCreate(url=url, secret=SECRET, entity=entity, query_parameters=[event])
    )
    action = WorkflowInstantActionInput(action_id=webhook.webhook_id, action_type="webhook")
    rule = await zoho.books.workflows.create(
        WorkflowCreate(
            workflow_name=rule_type, entity=entity, rule_type=rule_type, instant_actions=[action]
        )
    )
    return rule.workflow_id


VECTORS: Final[list[tuple[list[tuple[str, str]], bytes, str]]] = [
    ([("subscription_id", "90343"), ("name", "basic")], b'{"created_date":"2026-04-03"}',
     "714a1ce98d4f01084ea5d9b1d8ee987d23532ef07726c26d5724b4e237fea96c"),
    ([], b'{"invoice":{"invoice_id":"90000000000000101"}}',
     "41fb6e829fa8f5690f01e8fb1b0dc42ecfea9b3503861c1daa1683ebb41b2438"),
    ([("event_type", "paid"), ("name", "A b"), ("amount", "10.00")], b"",
     "923b6d8c9ab317edc0123044c3f4299af3ad6d504ac100785208b6670153d82f"),
    ([("x", "")], b"{}", "12f39ad0c57793f3b9be8c97ea6af65014fc0f5450f2179eafd009e659686ae6"),
]  # fmt: skip


@pytest.mark.parametrize(("parameters", "body", "expected"), VECTORS)
def test_the_sandbox_signs_like_the_vectors(
    parameters: list[tuple[str, str]], body: bytes, expected: str
) -> None:
    assert signature(SECRET, parameters, body) == expected


@pytest.mark.parametrize(
    ("fields", "content_type", "body"),
    [
        ({}, "application/json", b'{"invoice":{"invoice_id":"7","total":1.50}}'),
        (
            {"body_type": "json", "raw_data": '{"id": "${INVOICE.INVOICE_ID}", "t": ${TOTAL}}'},
            "application/json",
            b'{"id": "7", "t": 1.50}',
        ),
        (
            {
                "body_type": "form data",
                "form_data": [{"param_name": "a b", "param_value": "${INVOICE_ID}&"}],
            },
            "application/x-www-form-urlencoded",
            b"a%20b=7%26",
        ),
        (
            {"body_type": "form data"},
            "application/x-www-form-urlencoded",
            b"JSONString=%7B%22invoice%22%3A%7B%22invoice_id%22%3A%227%22%2C%22total%22%3A1.50%7D%7D",
        ),
        ({"method": "DELETE"}, "", b""),
    ],
)
def test_each_form_of_a_payload_is_signed_as_its_receiver_checks_it(
    fields: dict[str, Any], content_type: str, body: bytes
) -> None:
    record = {"invoice_id": "7", "total": Decimal("1.50")}
    webhook = {"url": "http://localhost/h?x=1", "secret": SECRET, **fields}
    request = request_of(webhook, {"invoice": record}, record)
    assert request.headers.get("Content-Type", "") == content_type
    assert request.body == body
    assert request.url == "http://localhost/h?x=1"
    verify(
        SECRET,
        headers=request.headers,
        query="x=1",
        body=body,
        query_names=["x"],
        body_type="form" if "form" in content_type else "json" if content_type else "none",
    )


@pytest.mark.parametrize(
    ("rule_type", "operations"),
    [
        ("created", {"created"}),
        ("edited", {"updated"}),
        ("created or edited", {"created", "updated"}),
        ("add_edit", {"created", "updated"}),
        ("delete", {"deleted"}),
        ("date based", set[str]()),
    ],
)
def test_the_type_of_a_rule(rule_type: str, operations: set[str]) -> None:
    assert operations_of(rule_type) == operations


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("http://127.0.0.1:80/", True),
        ("http://[::1]/", True),
        ("https://localhost/", True),
        ("http://hooks.test/", True),
        ("http://HOOKS.test./", True),
        ("http://example.com/", False),
        ("http://localhost.example.com/", False),
        ("http://localhost@example.com/", False),
        ("http://example.com\\@localhost.example.com/", False),
        ("http://example.com#@localhost/", False),
        ("http://10.0.0.1/", False),
        ("http://169.254.169.254/latest", False),
        ("http://0.0.0.0/", False),
        ("http://2130706433/", False),
        ("ftp://127.0.0.1/", False),
        ("file:///etc/passwd", False),
        ("/hooks", False),
        ("", False),
    ],
)
def test_webhooks_go_to_loopback_and_given_hosts_only(url: str, allowed: bool) -> None:
    assert is_allowed(url, ["hooks.test"]) is allowed


async def test_each_change_of_the_rules_module_is_sent_signed(hook: Hook) -> None:
    """Also if the activity log reads the same events, and until a rule is switched off."""
    async with Sandbox() as sandbox, strict_session(sandbox) as zoho:
        rules = [await install(zoho, hook.url, each) for each in ("created", "edited", "deleted")]
        await install(zoho, hook.url, "created or edited", "bill")
        customer = json.loads(sandbox.truth("contacts")[0])["contact_id"]
        made = await zoho.books.invoices.create(
            InvoiceCreate(customer_id=customer, line_items=[InvoiceLineItemInput(rate=5)])
        )
        await zoho.books.invoices.update(made.invoice_id, InvoiceInput(notes="€ ümlaut"))
        await zoho.books.invoices.delete(made.invoice_id)
        await sandbox.deliveries.idle()
        log = [each async for each in zoho.books.reports.activity_logs()]
        assert len([each for each in log if each.ref_transaction_type == "invoice"]) == 3

        rows = sandbox.store().collection("invoices")
        await zoho.books.workflows.deactivate(rules[0])
        rows.add({})
        await zoho.books.workflows.activate(rules[0])
        rows.add({"notes": "active"})
        await sandbox.deliveries.idle()
        await zoho.books.workflows.delete(rules[0])
        rows.add({})
        await sandbox.deliveries.idle()
    events = [
        parse(
            verify(
                SECRET,
                headers=request.headers,
                query=request.query_string,
                body=body,
                query_names=["event_type"],
            ),
            "books",
        )
        for request, body in hook.received
    ]
    assert [each.event_type for each in events] == ["created", "edited", "deleted", "created"]
    assert {each.record_id for each in events[:3]} == {made.invoice_id}
    assert events[0].record == made
    assert events[1].values["notes"] == "€ ümlaut"
    assert events[2].values == {"invoice_id": made.invoice_id}
    assert events[3].values["notes"] == "active"


async def test_a_failed_webhook_is_sent_again_by_the_sandboxs_clock_until_it_is_given_up(
    hook: Hook,
) -> None:
    rules = WebhookRules(retries=(60.0, 300.0))
    async with Sandbox(webhooks=rules) as sandbox, strict_session(sandbox) as zoho:
        await install(zoho, hook.url, "edited")
        rows, log = sandbox.store().collection("invoices"), sandbox.deliveries.log
        sandbox.clock.hold()
        hook.answers = [500, 302, 404, 200]
        rows.change(0, {"notes": "a"})
        await until(lambda: len(log) == 1 and log[0].problem == "HTTP 500")
        sandbox.clock.advance(59)
        await asyncio.sleep(0.01)
        assert (log[0].tries, log[0].status) == (1, "waiting")
        sandbox.clock.advance(1)
        await until(lambda: log[0].problem == "HTTP 302")
        await asyncio.sleep(0)  # it waits again
        sandbox.clock.advance(300)
        await sandbox.deliveries.idle()
        assert (log[0].tries, log[0].status, log[0].answer) == (3, "failure", 404)
        assert len({body for _, body in hook.received}) == 1
        rows.change(1, {"notes": "b"})
        await sandbox.deliveries.idle()
        assert log[1].status == "success"

        async with httpx.AsyncClient(base_url=sandbox.url) as person:
            shown = (await person.get("/__sandbox__/deliveries")).text.splitlines()
            page = (await person.get("/?still")).text
        assert [json.loads(each)["status"] for each in shown] == ["failure", "success"]
        assert "1 failure, 1 success" in page
        assert "HTTP 404" in page
        assert not any(SECRET in text for text in (*shown, page, repr(log)))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - the log is what others read too
            await asyncio.sleep(0.001)


async def test_what_is_skipped_is_logged_with_the_reason(hook: Hook) -> None:
    rules = WebhookRules(per_day=2, timeout=0.1)
    async with Sandbox(webhooks=rules) as sandbox, strict_session(sandbox) as zoho:
        await install(zoho, "http://hooks.invalid/", "deleted")
        await install(zoho, hook.url, "edited")
        rows, log = sandbox.store().collection("invoices"), sandbox.deliveries.log
        rows.remove(9)
        for number in range(3):
            rows.change(number, {"notes": "a"})
        await sandbox.deliveries.idle()
        assert [each.status for each in log] == ["skipped", "success", "success", "skipped"]
        assert "not loopback" in log[0].problem
        assert "of the day" in log[3].problem
        sandbox.clock.advance(86_400)
        rows.change(3, {"notes": "a"})
        await sandbox.deliveries.idle()
        assert log[4].status == "success"
        sandbox.webhooks.per_day = 100
        sandbox.webhooks.lost = 1.0
        rows.change(4, {"notes": "a"})
        await sandbox.deliveries.idle()
        assert (log[5].status, log[5].problem) == ("skipped", "lost")
    with pytest.raises(ConfigurationError, match="chance"):
        WebhookRules(duplicates=1.5)


async def test_duplicates_and_another_order_on_request(hook: Hook) -> None:
    async with Sandbox() as sandbox, strict_session(sandbox) as zoho:
        await install(zoho, hook.url, "edited")
        async with httpx.AsyncClient(base_url=f"{sandbox.url}/__sandbox__") as person:
            asked: dict[str, Any] = {"duplicates": 0.5, "reordered": 0.5, "spread": 0.05}
            assert (await person.post("webhooks", json=asked)).status_code == 200
            for wrong in ({"hosts": ["example.com"]}, {"lost": 2}, {"unknown": 1}):
                assert (
                    await person.post("webhooks", json={**wrong, "delay": 9.0})
                ).status_code == 400
        assert (sandbox.webhooks.duplicates, sandbox.webhooks.delay) == (0.5, 0.0)
        rows = sandbox.store().collection("invoices")
        for number in range(40):
            rows.change(number, {"notes": f"{number}"})
        await sandbox.deliveries.idle()
    notes = [int(body["invoice"]["notes"]) for body in hook.bodies()]
    assert set(notes) == set(range(40))
    assert 45 < len(notes) < 80
    assert notes != sorted(notes)


async def test_billing_sends_its_events_and_lists_them_with_the_webhooks_status(
    hook: Hook,
) -> None:
    async with Sandbox() as sandbox, strict_session(sandbox) as zoho:
        billing = sandbox.store().collection("billing.subscriptions")
        billing.change(0, {"status": "live"})
        async with httpx.AsyncClient(base_url=f"{sandbox.url}/__sandbox__") as person:
            asked = {"url": hook.url, "secret": SECRET}
            assert (await person.post("webhooks/billing", json=asked)).status_code == 200
        hook.answers = [200, 500]
        sandbox.webhooks.retries = ()
        billing.change(0, {"status": "cancelled"})
        await sandbox.deliveries.idle()
        sandbox.store().collection("billing.invoices").change(0, {"status": "void"})
        await sandbox.deliveries.idle()
        [request, body], _ = hook.received
        event = parse(verify(SECRET, headers=request.headers, body=body), "billing")
        assert event.event_type == "subscription_cancelled"
        assert list(event.records) == ["subscription"]
        page = await zoho.billing.events.list(per_page=2)
        second, first = page.rows
        assert (second.event_type, first.event_id) == ("invoice_voided", event.event_id)
        states = [await zoho.billing.events.get(each.event_id) for each in (first, second)]
        assert [each.webhooks and each.webhooks[0].status for each in states] == [
            *("success", "failure")
        ]
        assert json.loads(states[0].payload or "")["subscription"]["status"] == "cancelled"


async def test_rules_are_kept_in_the_sandboxs_file_and_new_organizations_have_their_own(
    hook: Hook, tmp_path: Path
) -> None:
    file = tmp_path / "sandbox.sqlite"
    async with Sandbox(file=file) as sandbox, strict_session(sandbox) as zoho:
        await install(zoho, hook.url, "edited")
    async with Sandbox(file=file) as sandbox:
        assert "books.workflows" not in sandbox.store().collections
        sandbox.store().collection("invoices").change(0, {"notes": "a"})
        await sandbox.deliveries.idle()
        assert len(hook.received) == 1


async def test_a_secret_is_12_to_50_letters_and_digits() -> None:
    async with Sandbox() as sandbox, strict_session(sandbox) as zoho:
        for wrong in ("Secret12345", "Secret-1234567890", "S" * 51):
            with pytest.raises(InvalidRequest, match="secret"):
                await zoho.books.webhooks.create(WebhookCreate(url="http://h/", secret=wrong))


async def test_a_sandbox_without_rules_opens_nothing_for_webhooks() -> None:
    async with Sandbox() as sandbox:
        before = asyncio.all_tasks()
        for number in range(50):
            sandbox.store().collection("invoices").change(number, {"notes": "a"})
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == before
        assert not sandbox.deliveries.log
        assert "books.workflows" not in sandbox.store().collections
        assert sandbox.deliveries._client is None
