"""A web service that calls Zoho for its customers, each with an account of their own.

    pip install zoho-async fastapi uvicorn
    uvicorn customers:app

A customer opens ``/connect``, agrees on Zoho's page, and returns to ``/callback``. The refresh
token is saved under the customer. All sessions share one connector, so a session is small.
"""

import asyncio
import os
import secrets
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Annotated, NamedTuple

import aiohttp
from fastapi import Cookie, Depends, FastAPI, Header, HTTPException, Request, Response
from fastapi.responses import RedirectResponse

from zoho_async import Session
from zoho_async.auth import (
    AccountsServer,
    Credentials,
    OAuthClient,
    authorization_url,
    exchange_code,
    read_redirect,
    revoke,
)
from zoho_async.errors import AuthError, InvalidGrant

SCOPES = ["ZohoBooks.invoices.READ", "ZohoBooks.settings.READ"]
REGION = os.environ.get("ZOHO_REGION", "us")  # where Zoho asks first; the answer names the real one
ACCOUNTS_URL = os.environ.get("ZOHO_ACCOUNTS_URL")
API_URL = os.environ.get("ZOHO_BASE_URL")
CALLBACK = os.environ.get("CALLBACK", "http://localhost:8000/callback")
CLIENT = OAuthClient(os.environ["ZOHO_CLIENT_ID"], os.environ["ZOHO_CLIENT_SECRET"])


class Account(NamedTuple):
    """What is kept of a customer's account. Encrypt the file, or the column with the token."""

    refresh_token: str
    region: str
    organization: str


class Accounts:
    """The accounts by customer, in a file."""

    def __init__(self, path: str) -> None:
        self._file = sqlite3.connect(path)
        self._file.execute(
            "CREATE TABLE IF NOT EXISTS accounts"
            " (customer TEXT PRIMARY KEY, refresh_token TEXT, region TEXT, organization TEXT)"
        )

    def save(self, customer: str, account: Account) -> None:
        with self._file:
            self._file.execute(
                "INSERT OR REPLACE INTO accounts VALUES (?, ?, ?, ?)", (customer, *account)
            )

    def get(self, customer: str) -> Account | None:
        query = "SELECT refresh_token, region, organization FROM accounts WHERE customer = ?"
        row = self._file.execute(query, (customer,)).fetchone()
        return Account(*row) if row else None

    def delete(self, customer: str) -> None:
        with self._file:
            self._file.execute("DELETE FROM accounts WHERE customer = ?", (customer,))

    def close(self) -> None:
        self._file.close()


class Connections:
    """An open session per customer, over one connector."""

    def __init__(self, accounts: Accounts) -> None:
        self.accounts = accounts
        self.connector = aiohttp.TCPConnector(limit=100)
        self._sessions: dict[str, Session] = {}

    def open(self, account: Account) -> Session:
        return Session(
            Credentials(CLIENT.client_id, CLIENT.client_secret, account.refresh_token),
            organization=account.organization or None,
            region=account.region,
            api_url=API_URL,
            accounts_url=ACCOUNTS_URL,
            http=self.connector,
        )

    def session(self, customer: str) -> Session:
        """The customer's session. Raises `KeyError` if the customer is not connected."""
        if customer not in self._sessions:
            account = self.accounts.get(customer)
            if account is None:
                raise KeyError(customer)
            self._sessions[customer] = self.open(account)
        return self._sessions[customer]

    async def close(self, customer: str) -> None:
        """Close the customer's session, after the account has changed."""
        session = self._sessions.pop(customer, None)
        if session is not None:
            await session.aclose()

    async def aclose(self) -> None:
        await asyncio.gather(*(session.aclose() for session in self._sessions.values()))
        await self.connector.close()
        self.accounts.close()


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.connections = Connections(Accounts(os.environ.get("ACCOUNTS", "accounts.sqlite")))
    yield
    await app.state.connections.aclose()


app = FastAPI(lifespan=lifespan)


def signed_in(x_customer: Annotated[str, Header()]) -> str:
    """The customer who asks. Replace it by your own login: a header proves nothing."""
    return x_customer


def connections(request: Request) -> Connections:
    found: Connections = request.app.state.connections
    return found


Customer = Annotated[str, Depends(signed_in)]
Opened = Annotated[Connections, Depends(connections)]


def accounts_server(region: str, opened: Connections) -> AccountsServer:
    return AccountsServer(region, url=ACCOUNTS_URL, http=opened.connector)


@app.get("/connect")
async def connect(customer: Customer, opened: Opened) -> Response:
    state = secrets.token_urlsafe()
    server = accounts_server(REGION, opened)
    page = authorization_url(
        server.url, CLIENT.client_id, scopes=SCOPES, redirect_uri=CALLBACK, state=state
    )
    reply = RedirectResponse(page)
    # The browser that began must be the one that returns.
    reply.set_cookie("zoho_state", state, max_age=600, httponly=True, samesite="lax")
    return reply


@app.get("/callback")
async def callback(
    request: Request, customer: Customer, opened: Opened, zoho_state: Annotated[str, Cookie()]
) -> dict[str, str]:
    try:
        asked = accounts_server(REGION, opened).url
        answer = read_redirect(request.query_params, state=zoho_state, accounts_url=asked)
        region = answer.region or REGION  # the customer's own data center
        async with accounts_server(region, opened) as server:
            grant = await exchange_code(server, CLIENT, answer.code, redirect_uri=CALLBACK)
    except AuthError:
        raise HTTPException(400, "Zoho did not connect the account: start again") from None
    async with opened.open(Account(grant.refresh_token, region, "")) as zoho:
        organizations = await zoho.organizations()
    if not organizations:
        raise HTTPException(400, "this Zoho account has no organization")
    chosen = next((each for each in organizations if each.is_default), organizations[0])
    await opened.close(customer)
    opened.accounts.save(customer, Account(grant.refresh_token, region, chosen.id))
    return {"organization": chosen.name or chosen.id}


@app.get("/overdue")
async def overdue(customer: Customer, opened: Opened) -> list[dict[str, str | Decimal | None]]:
    try:
        zoho = opened.session(customer).with_options(max_wait=5.0)
    except KeyError:
        raise HTTPException(409, "connect your Zoho account first") from None
    try:
        return [
            {"number": invoice.invoice_number, "balance": invoice.balance}
            async for invoice in zoho.books.invoices.list(status="overdue")
        ]
    except InvalidGrant:  # the customer removed the connection at Zoho
        await opened.close(customer)
        opened.accounts.delete(customer)
        raise HTTPException(409, "connect your Zoho account again") from None


@app.post("/disconnect")
async def disconnect(customer: Customer, opened: Opened) -> dict[str, str]:
    account = opened.accounts.get(customer)
    if account is not None:
        await opened.close(customer)
        opened.accounts.delete(customer)
        try:
            async with accounts_server(account.region, opened) as server:
                await revoke(server, account.refresh_token)
        except InvalidGrant:
            pass  # it was revoked already
    return {"status": "disconnected"}
