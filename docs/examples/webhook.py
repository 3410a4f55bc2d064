"""A receiver for the webhooks of Zoho Books.

    pip install zoho-async
    ZOHO_WEBHOOK_SECRET=... python webhook.py

Zoho signs webhooks that have a secret. This receiver refuses all others, keeps the rest in a file
until they are handled, and prints the state of each changed record. Webhooks can arrive late, twice
and in another order than the changes: what is not certain is read from the API.

In Zoho Books, make webhooks with the address https://HOST/hooks?event_type=edited (or created, or
deleted), method POST, the default payload, and a secret of 12 to 50 letters and digits.
"""

import asyncio
import os

from aiohttp import web

from zoho_async import Session
from zoho_async.books.invoices import Invoice
from zoho_async.webhooks import (
    Change,
    Receiver,
    WebhookQueue,
    aiohttp_handler,
    handle_changes,
    open_queue,
)


async def changed(change: Change) -> None:
    """Called once or more often for each change: make what you do here safe to repeat."""
    match change:
        case Change(is_deleted=True):
            print(change.resource, change.record_id, "deleted", flush=True)
        case Change(record=Invoice(invoice_number=number, balance=balance)):
            print(number, balance, flush=True)
        case _:
            print(change.resource, change.record_id, "changed", flush=True)


def application(queue: WebhookQueue) -> web.Application:
    receiver = Receiver(
        queue, "books", secret=os.environ["ZOHO_WEBHOOK_SECRET"], query_names=["event_type"]
    )
    app = web.Application()
    app.router.add_route("*", "/hooks", aiohttp_handler(receiver))
    return app


async def main() -> None:
    async with open_queue("webhooks.sqlite") as queue, Session.from_env() as zoho:
        runner = web.AppRunner(application(queue))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 8081).start()
        try:
            await handle_changes(queue, zoho, changed)
        finally:
            await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main())
