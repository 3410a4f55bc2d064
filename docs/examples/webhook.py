"""A receiver for the webhooks of Zoho Books.

    pip install 'zoho-async[cli]'
    zoho-async webhooks install --url https://HOST/hooks --module invoices
    python webhook.py

Zoho signs webhooks that have a secret. This receiver refuses all others, keeps the rest in a file
until they are handled, and prints the state of each changed record. Webhooks can arrive late, twice
and in another order than the changes: what is not certain is read from the API. Some never arrive:
at its start and each hour, the program reads which invoices changed.

On another computer than that of the command, set ZOHO_WEBHOOK_SECRET for both.
"""

import asyncio

from aiohttp import web

from zoho_async import Session
from zoho_async.books.invoices import Invoice
from zoho_async.webhooks import (
    Change,
    Receiver,
    WebhookQueue,
    aiohttp_handler,
    handle_changes,
    keep_caught_up,
    open_queue,
    saved_secret,
)

LISTS = ["books.invoices"]


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
    receiver = Receiver(queue, "books", secret=saved_secret(), query_names=["event_type"])
    app = web.Application()
    app.router.add_route("*", "/hooks", aiohttp_handler(receiver))
    return app


async def main() -> None:
    async with open_queue("webhooks.sqlite") as queue, Session.from_env() as zoho:
        runner = web.AppRunner(application(queue))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 8081).start()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(keep_caught_up(queue, zoho, LISTS))
                tasks.create_task(handle_changes(queue, zoho, changed))
        finally:
            await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main())
