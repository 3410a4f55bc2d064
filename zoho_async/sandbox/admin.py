"""The admin API under ``/__sandbox__/``: counts, sample data, faults and the clock.

For tests in another process and for use with curl. These requests do not count as API calls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from aiohttp import web

from zoho_async._msgspec import decoder_of
from zoho_async.errors import ConfigurationError
from zoho_async.sandbox.deliveries.settings import WebhookRules
from zoho_async.sandbox.replies import ENCODER
from zoho_async.sandbox.simulation.faults import Fault, describe_rules

if TYPE_CHECKING:
    from zoho_async.sandbox.server import Sandbox

PREFIX: Final = "/__sandbox__/"


async def answer(box: Sandbox, request: web.BaseRequest) -> web.StreamResponse:
    """Answer a request whose path starts with `PREFIX`.

    - ``GET health`` returns ``{"status": "ok"}``, for containers that wait for the sandbox.
    - ``GET state`` returns counts.
    - ``GET arrivals`` returns every API request, one JSON object per line.
    - ``GET faults`` returns the rules and their counts. ``POST faults`` adds a rule or a list of
      rules. ``DELETE faults`` removes all rules, ``DELETE faults/N`` the Nth (from 0).
    - ``GET truth/RESOURCE`` returns the rows of a list, one per line.
    - ``GET deliveries`` returns the log of webhooks, one JSON object per line.
    - ``POST webhooks`` with fields of `WebhookRules`, except ``hosts``, changes how webhooks are
      sent. ``POST webhooks/billing`` with ``url``, ``secret`` and ``events`` adds one of Billing.
    - ``POST clock`` with ``{"advance": seconds}`` moves the clock forward.
    """
    match request.method, request.path.removeprefix(PREFIX).split("/"):
        case "GET" | "HEAD", ["health"]:
            return _json(b'{"status":"ok"}')
        case "GET", ["state"]:
            return _json(ENCODER.encode(state(box)))
        case "GET", ["arrivals"]:
            return _json(b"".join(ENCODER.encode(each) + b"\n" for each in box.arrivals))
        case "GET", ["faults"]:
            return _json(ENCODER.encode(describe_rules(box.faults)))
        case "POST", ["faults"]:
            return _add_faults(box, await request.read())
        case "DELETE", ["faults"]:
            box.faults.clear()
        case "DELETE", ["faults", number] if number.isdecimal() and int(number) < len(box.faults):
            del box.faults[int(number)]
        case "GET", ["deliveries"]:
            return _json(b"".join(ENCODER.encode(each) + b"\n" for each in box.deliveries.log))
        case "POST", ["webhooks"]:
            return _change_webhook_rules(box, await request.read())
        case "POST", ["webhooks", "billing"]:
            return _install_billing(box, await request.read())
        case "POST", ["clock"]:
            return _advance_clock(box, await request.read())
        case "GET", ["truth", resource]:
            try:
                rows = box.truth(resource, request.query.get("organization"))
            except KeyError:
                return web.Response(
                    status=404, text=f"no resource {resource!r} in this organization\n"
                )
            return _json(b"".join(row + b"\n" for row in rows))
        case _:
            return web.Response(status=404, text=f"no such page: {request.method} {request.path}\n")
    return _json(b"{}")


def state(box: Sandbox) -> dict[str, Any]:
    """Return the counts that ``GET state`` shows."""
    statuses: dict[str, int] = {}
    for arrival in box.arrivals:
        key = f"{arrival.status}/{arrival.code}"
        statuses[key] = statuses.get(key, 0) + 1
    return {
        "calls": box.calls,
        "refused": box.refused,
        "unknown": len(box.unknown),
        "token_requests": box.token_requests,
        "refresh_tokens": len(box.refresh_tokens),
        "most_in_minute": box.most_in_minute,
        "most_in_flight": box.most_in_flight,
        "answers": statuses,
        "faults": [{"kind": fault.kind, "hits": fault.hits} for fault in box.faults],
    }


def _add_faults(box: Sandbox, body: bytes) -> web.Response:
    try:
        many = body.lstrip().startswith(b"[")
        rules = _FAULTS.decode(body) if many else [_FAULT.decode(body)]
    except msgspec.DecodeError as error:
        return web.Response(status=400, text=f"not a valid fault: {error}\n")
    box.faults.extend(rules)
    return _json(b"{}")


class _Clock(msgspec.Struct, forbid_unknown_fields=True):
    advance: float


_CLOCK: Final = decoder_of(_Clock)
_FAULT: Final = decoder_of(Fault)
_FAULTS: Final = decoder_of(list[Fault])


def _advance_clock(box: Sandbox, body: bytes) -> web.Response:
    try:
        box.clock.advance(_CLOCK.decode(body).advance)
    except (msgspec.DecodeError, ValueError) as error:
        return web.Response(status=400, text=f"cannot advance the clock: {error}\n")
    return _json(b"{}")


class _BillingWebhook(msgspec.Struct, forbid_unknown_fields=True):
    url: str
    secret: str = ""
    events: tuple[str, ...] = ()
    organization: str = ""


_BILLING_WEBHOOK: Final = decoder_of(_BillingWebhook)
_WEBHOOK_RULES: Final = decoder_of(dict[str, msgspec.Raw])


def _install_billing(box: Sandbox, body: bytes) -> web.Response:
    try:
        asked = _BILLING_WEBHOOK.decode(body)
    except msgspec.DecodeError as error:
        return web.Response(status=400, text=f"not a valid webhook: {error}\n")
    organization = asked.organization or box.organization
    webhook_id = box.deliveries.install_billing(
        asked.url, asked.secret, organization=organization, events=asked.events
    )
    return _json(ENCODER.encode({"webhook_id": webhook_id}))


def _change_webhook_rules(box: Sandbox, body: bytes) -> web.Response:
    """Change some of the rules, or none if one is wrong."""
    try:
        asked = _WEBHOOK_RULES.decode(body)
        if "hosts" in asked:  # what requests can ask for must not open the way to other computers
            raise ValueError("hosts are given to Sandbox(webhooks=...) or --webhook-host")
        changed = msgspec.convert(
            msgspec.to_builtins(box.webhooks) | msgspec.json.decode(body), WebhookRules
        )
    except (msgspec.DecodeError, ConfigurationError, ValueError) as error:
        return web.Response(status=400, text=f"not valid rules of webhooks: {error}\n")
    for name in asked:
        setattr(box.webhooks, name, getattr(changed, name))
    return _json(b"{}")


def _json(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="application/json")
