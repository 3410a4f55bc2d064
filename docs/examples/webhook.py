"""A receiver for Zoho's webhooks that believes none of them.

    pip install zoho-async
    WEBHOOK_SECRET=... python webhook.py

Zoho does not sign its webhooks, so whoever knows the address can send one. This receiver takes one
thing from them, the id of an invoice, and reads the invoice itself. The secret in the path keeps
strangers from spending the organization's calls; it is no proof of what a message says.
"""

import hmac
import os
import re
from collections.abc import AsyncIterator

from aiohttp import web

from zoho_async import Session
from zoho_async.books.invoices import Invoice
from zoho_async.errors import LimitError, NotFound

SESSION = web.AppKey("session", Session)
ID = re.compile(r"[0-9]{1,19}")


async def hook(request: web.Request) -> web.Response:
    secret = os.environ["WEBHOOK_SECRET"]
    if not hmac.compare_digest(request.match_info["secret"].encode(), secret.encode()):
        raise web.HTTPNotFound
    invoice_id = request.match_info["invoice_id"]
    if not ID.fullmatch(invoice_id):
        raise web.HTTPBadRequest(text="no id")
    try:
        # Sent by a machine that tries again: it may wait behind people, as a bulk call.
        patient = request.app[SESSION].with_options(lane="bulk", max_wait=30.0)
        await changed(await patient.books.invoices.get(invoice_id))
    except NotFound:
        return web.Response(text="gone")  # deleted since, or made up: nothing to do either way
    except LimitError:
        raise web.HTTPServiceUnavailable(headers={"Retry-After": "60"}) from None
    return web.Response(text="ok")


async def changed(invoice: Invoice) -> None:
    """Called once or more often for each change: make what you do here safe to repeat."""
    print(invoice.invoice_number, invoice.status, invoice.balance, flush=True)


async def session(app: web.Application) -> AsyncIterator[None]:
    async with Session.from_env() as zoho:
        app[SESSION] = zoho
        yield


def application() -> web.Application:
    app = web.Application()
    app.cleanup_ctx.append(session)
    app.router.add_post("/hooks/{secret}/invoices/{invoice_id}", hook)
    return app


if __name__ == "__main__":
    web.run_app(application(), host="127.0.0.1", port=8081)
