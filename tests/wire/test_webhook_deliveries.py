"""The sandbox sends webhooks: on which changes, how signed, how often, and to whom not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import httpx
import msgspec
import pytest
from aiohttp import web

from tests.support.unlimited_sandbox import strict_session
from zoho_async import Session
from zoho_async.books.webhooks import WebhookCreate, WebhookQueryParameterInput
from zoho_async.books.workflows import WorkflowCreate, WorkflowInstantActionInput
from zoho_async.errors import ConfigurationError
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


@asynccontextmanager
async def hook_server() -> AsyncIterator[Hook]:
    hook = Hook()
    runner = web.ServerRunner(web.Server(hook))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    hook.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hooks"
    yield hook
    await runner.cleanup()


@pytest.fixture
async def hook() -> AsyncIterator[Hook]:
    async with hook_server() as hook:
        yield hook


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


VECTORS: Final = [
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
    record = msgspec.json.decode(
        b'{"invoice_id":"7","total":1.50}', float_hook=__import__("decimal").Decimal
    )
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
        ("date based", set()),
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
    """Also while the activity log reads the same events, and after a rule is switched off."""
    async with Sandbox() as sandbox, strict_session(sandbox) as zoho:
        first = [each async for each in zoho.books.contacts.list()][0].contact_id
        rules = [await install(zoho, hook.url, each) for each in ("created", "edited", "deleted")]
        await install(zoho, hook.url, "created or edited", "bill")
        made = await zoho.books.invoices.create(
            zoho_invoice(first), extra_query={"ignore_auto_number_generation": "true"}
        )
        await zoho.books.invoices.update(made.invoice_id, {"notes": "€ ümlaut"})
        await zoho.books.invoices.delete(made.invoice_id)
        await sandbox.deliveries.idle()
        await zoho.books.workflows.deactivate(rules[0])
        sandbox.store().collection("invoices").add({})
        await sandbox.deliveries.idle()
        await zoho.books.workflows.activate(rules[0])
        await zoho.books.workflows.delete(rules[0])
        sandbox.store().collection("invoices").add({})
        await sandbox.deliveries.idle()
        events = []
        for request, body in hook.received:
            delivery = verify(
                SECRET,
                headers=request.headers,
                query=request.query_string,
                body=body,
                query_names=["event_type"],
            )
            events.append(parse(delivery, "books"))
        assert [each.event_type for each in events] == ["created", "edited", "deleted"]
        assert {each.record_id for each in events} == {made.invoice_id}
        assert events[0].record == made
        assert events[1].values["notes"] == "€ ümlaut"
        assert events[2].values == {"invoice_id": made.invoice_id}
        log = [each async for each in zoho.books.reports.activity_logs()]  # type: ignore[attr-defined]
        assert len(log) >= 3


def zoho_invoice(customer: str) -> Any:
    from zoho_async.books.invoices import InvoiceCreate, InvoiceLineItemInput

    return InvoiceCreate(customer_id=customer, line_items=[InvoiceLineItemInput(rate=5, quantity=1)])
