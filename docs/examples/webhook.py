"""A receiver for the webhooks of Zoho Books' invoices.

    pip install zoho-async
    ZOHO_WEBHOOK_SECRET=... python webhook.py

Zoho signs webhooks that have a secret. This receiver refuses all others, and reads each invoice
from the API again: webhooks can arrive twice and in another order than the changes.

In Zoho Books, make a webhook for invoices with the address https://HOST/hooks?event_type=changed,
method POST, the default payload, and a secret of 12 to 50 letters and digits.
"""

import os
from collections.abc import AsyncIterator

from aiohttp import web

from zoho_async import Session, webhooks
from zoho_async.books.invoices import Invoice
from zoho_async.errors import LimitError, NotFound

SESSION = web.AppKey("session", Session)


async def hook(request: web.Request) -> web.Response:
    try:
        delivery = webhooks.verify(
            os.environ["ZOHO_WEBHOOK_SECRET"],
            headers=request.headers,
            query=request.query,
            query_names=["event_type"],
            body=await request.read(),
        )
        event = webhooks.parse(delivery, "books")
    except webhooks.WrongSignature as error:
        raise web.HTTPUnauthorized(text=str(error)) from None
    except webhooks.UnreadableWebhook as error:
        raise web.HTTPBadRequest(text=str(error)) from None
    if event.resource != "books.invoices":
        raise web.HTTPBadRequest(text="not an invoice")
    try:
        # Sent by a machine that tries again: it may wait behind people, as a bulk call.
        patient = request.app[SESSION].with_options(lane="bulk", max_wait=30.0)
        await changed(await patient.books.invoices.get(event.record_id))
    except NotFound:
        return web.Response(text="deleted")
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
    app = web.Application(client_max_size=1024 * 1024)
    app.cleanup_ctx.append(session)
    app.router.add_post("/hooks", hook)
    return app


if __name__ == "__main__":
    web.run_app(application(), host="127.0.0.1", port=8081)
