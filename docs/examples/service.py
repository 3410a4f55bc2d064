"""A web service whose answers never wait for its own nightly export.

    pip install 'zoho-async[cli]' fastapi uvicorn
    uvicorn service:app

One session serves both: requests are *interactive* calls, the export is *bulk*, and the scheduler
lets the first go ahead of the second. Nothing here knows of minutes or quotas.
"""

import asyncio
import logging
import math
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse

from zoho_async import Session
from zoho_async.errors import (
    DailyQuotaExceeded,
    LimitError,
    NotFound,
    RateLimited,
    TransportError,
    WaitTooLong,
    ZohoError,
)
from zoho_async.export import Export
from zoho_async.limits import SqliteLedger
from zoho_async.observability import log_observer

STATE = os.environ.get("SERVICE_STATE", "state")
NIGHTLY = timedelta(hours=2)  # after midnight, UTC


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    os.makedirs(STATE, exist_ok=True)
    # The ledger outlives the process, so a restart forgets no call of the last minute.
    ledger = SqliteLedger(f"{STATE}/limits.sqlite")
    async with Session.from_env(ledger=ledger, observer=log_observer()) as zoho:
        app.state.zoho = zoho
        nightly = zoho.start(every_night(zoho), name="nightly export")
        yield
        nightly.cancel()  # what is durable stays; the next start goes on from there
    await ledger.close()


app = FastAPI(lifespan=lifespan)


@app.exception_handler(ZohoError)
async def unavailable(request: Request, error: ZohoError) -> JSONResponse:
    """Answer 503, and when to come back. What happened is for the log, not for the person."""
    logging.getLogger(__name__).warning("%s: %s", request.url.path, error)
    seconds = retry_after(error)
    headers = {} if seconds is None else {"Retry-After": str(math.ceil(seconds))}
    return JSONResponse({"detail": "try again later"}, 503, headers=headers)


def retry_after(error: ZohoError) -> float | None:
    """Seconds until a call can succeed, or None if nothing says so."""
    match error:
        case WaitTooLong():
            return error.seconds
        case DailyQuotaExceeded(reset_at=datetime() as reset_at):
            return max(1.0, (reset_at - datetime.now(UTC)).total_seconds())
        case RateLimited(retry_after=float() | int() as seconds):
            return seconds
        case LimitError() | TransportError():
            return 60.0  # a minute is what Zoho counts by
        case _:
            return None


@app.get("/invoices/{invoice_id}")
async def balance(invoice_id: str) -> dict[str, str | Decimal | None]:
    zoho: Session = app.state.zoho
    try:
        # A person waits for this: give up after two seconds rather than queue.
        invoice = await zoho.with_options(max_wait=2.0).books.invoices.get(invoice_id)
    except NotFound:
        raise HTTPException(404, "no such invoice") from None
    return {"number": invoice.invoice_number, "balance": invoice.balance}


async def every_night(zoho: Session) -> None:
    while True:
        now = datetime.now(UTC)
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        start = midnight + NIGHTLY
        if start <= now:
            start += timedelta(days=1)
        await asyncio.sleep((start - now).total_seconds())
        await export(zoho)


async def export(zoho: Session) -> None:
    """One run; a failure is logged, and the next night goes on where this one stopped."""
    try:
        async with Export(zoho, ["invoices", "contacts"], to=f"{STATE}/export") as job:
            await job.wait()
    except ZohoError as error:
        print(f"export stopped: {error}")
