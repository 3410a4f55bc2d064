"""The sandbox: a real HTTP server on loopback that behaves as Zoho is known to behave.

A request travels: lag on the way in - arrival (judged by the limits and recorded) - fault, if a
rule wants one - token - organization - the API over the store - lag on the way out - reply. Work
takes effect at the arrival; only the answer is late. A request that was refused for its limits was
neither looked at nor carried out.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qsl

import msgspec
from aiohttp import web

from zoho_async.sandbox import api, consent, organizations
from zoho_async.sandbox.accounts import Accounts, TokenRules
from zoho_async.sandbox.documents import form_of
from zoho_async.sandbox.exchange import (
    body_of,
    broken_off,
    hang_up,
    organization_of,
    response,
    slowly,
)
from zoho_async.sandbox.faults import INSTEAD, Fault, Faults, instead, spoil
from zoho_async.sandbox.keep import Keep
from zoho_async.sandbox.limits import Judge, LimitRules, Verdict, Window
from zoho_async.sandbox.replies import ENCODER, ApiRefusal, Reply
from zoho_async.sandbox.request import Call
from zoho_async.sandbox.routes import located, operations
from zoho_async.sandbox.store import Store
from zoho_async.sandbox.world import World

Lag: TypeAlias = float | tuple[float, float]

log: Final = logging.getLogger("zoho_async.sandbox")

_OWN: Final = "/__sandbox__/"
_SCHEME: Final = "Zoho-oauthtoken "
_ACCOUNT: Final = "@account"


class Arrival(msgspec.Struct):
    """One API request that reached the sandbox; status 0 and code None until it is answered.

    ``time`` is the sandbox's clock in seconds; ``organization`` is None where none was named.
    """

    time: float
    organization: str | None
    method: str
    path: str
    query: dict[str, str]
    status: int = 0
    code: int | None = None


class Sandbox:
    """A local Zoho with one user, some organizations and any number of records.

    Use as an async context manager; ``url`` is known inside. ``sizes`` are the rows of each
    ``product.resource``. ``latency`` is how late replies leave, ``inbound`` how late requests
    arrive, in seconds: one figure or a (low, high) pair, drawn from the seed. ``minute`` is the
    length of Zoho's minute, ``block`` of the block for exceeding it. ``limits`` and ``tokens``
    hold every other rule and may be changed while it runs, as may ``latency``, ``inbound``,
    ``faults`` and ``quota_headers``. ``now`` is its clock (monotonic seconds). What is written is
    kept in ``file``, a SQLite file, and is there again when the next sandbox opens it; raises
    `sqlite3.Error` where that is none.
    """

    client_id: Final = "1000.SANDBOXCLIENT"
    client_secret: Final = "sandbox-client-secret"
    refresh_token: Final = "1000.sandbox-refresh-token"

    def __init__(
        self,
        *,
        seed: int = 1,
        sizes: Mapping[str, int] | None = None,
        organization: str = "10234695",
        organizations: Sequence[str] | None = None,
        minute: float = 60.0,
        window: Window = "rolling",
        per_minute: int = 100,
        in_flight: int = 10,
        per_day: int = 10_000,
        latency: Lag = 0.0,
        inbound: Lag = 0.0,
        block: float = 900.0,
        token_life: float = 3600.0,
        quota_headers: bool = True,
        faults: Sequence[Fault] = (),
        host: str = "127.0.0.1",
        port: int = 0,
        now: Callable[[], float] = time.monotonic,
        file: str | os.PathLike[str] | None = None,
    ) -> None:
        self.seed = seed
        self.organization = organization
        self.latency: Lag = latency
        self.inbound: Lag = inbound
        self.quota_headers = quota_headers
        self.limits = LimitRules(
            per_minute=per_minute,
            minute=minute,
            window=window,
            per_day=per_day,
            in_flight=in_flight,
            block=block,
        )
        self.tokens = TokenRules(life=token_life)
        self.faults: list[Fault] = list(faults)
        self.arrivals: list[Arrival] = []
        self.url = ""
        self._now = now
        self._judge = Judge(self.limits, now())
        self._faults = Faults(self.faults, seed)
        self._chance = random.Random(seed)
        self._accounts = Accounts(
            rules=self.tokens,
            client_id=self.client_id,
            client_secret=self.client_secret,
            refresh_token=self.refresh_token,
            seed=seed,
        )
        names = list(dict.fromkeys([organization, *(organizations or ())]))
        self._keep = Keep(Path(file) if file is not None else None)
        self._stores = {name: Store(World(seed, name, sizes or {}), self._keep) for name in names}
        self._address = host, port
        self._something_arrived = asyncio.Event()
        self._runner: web.ServerRunner | None = None

    # -- life -----------------------------------------------------------------------------------

    async def __aenter__(self) -> Sandbox:
        server = web.Server(self._handle, access_log=None)
        self._runner = web.ServerRunner(server, shutdown_timeout=0.1)
        await self._runner.setup()
        host, port = self._address
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError:
            await self._runner.cleanup()
            raise
        bound = self._runner.addresses[0]
        self.url = f"http://{host}:{bound[1]}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        await asyncio.to_thread(self._keep.close)

    # -- for tests ------------------------------------------------------------------------------

    @property
    def accounts_url(self) -> str:
        """Where tokens are given: the same server."""
        return self.url

    @property
    def calls(self) -> int:
        """API requests that arrived, refused ones included."""
        return len(self.arrivals)

    @property
    def refused(self) -> int:
        """Requests that the limits refused (not those that a fault refused)."""
        return sum(account.refused for account in self._judge.accounts.values())

    @property
    def token_requests(self) -> int:
        """Requests for an access token, successful or not."""
        return self._accounts.requests

    @property
    def refresh_tokens(self) -> list[str]:
        """The refresh tokens that work, the oldest first."""
        return self._accounts.refresh_tokens

    @property
    def most_in_minute(self) -> int:
        """The most calls of one organization that were let in within a minute."""
        return max((each.most_in_minute for each in self._judge.accounts.values()), default=0)

    @property
    def most_in_flight(self) -> int:
        """The most calls of one organization that were being answered at a time."""
        return max((each.most_in_flight for each in self._judge.accounts.values()), default=0)

    def environment(self) -> dict[str, str]:
        """The environment variables that point a client here."""
        return {
            "ZOHO_CLIENT_ID": self.client_id,
            "ZOHO_CLIENT_SECRET": self.client_secret,
            "ZOHO_REFRESH_TOKEN": self.refresh_token,
            "ZOHO_ORGANIZATION_ID": self.organization,
            "ZOHO_REGION": "us",
            "ZOHO_BASE_URL": self.url,
            "ZOHO_ACCOUNTS_URL": self.accounts_url,
        }

    def truth(self, resource: str, organization: str | None = None) -> list[bytes]:
        """The rows of a list as it sends them, in ``created_time`` order.

        Raises `KeyError` for a resource or organization that is not here.
        """
        product, _, name = (resource if "." in resource else f"books.{resource}").partition(".")
        if name.partition(".")[0] == "organizations":
            facts = operations(product)[f"{product}.organizations.list"]
            return organizations.rows(list(self._stores.values()), facts)
        collection = self.store(organization).rows(resource)
        return [collection.encoded_row(index) for index in collection.indexes()]

    def store(self, organization: str | None = None) -> Store:
        """An organization's records: ``.collection(resource)`` adds, changes and removes them."""
        return self._stores[organization or self.organization]

    async def arrived(self, count: int) -> None:
        """Wait until ``count`` API requests have arrived in all, answered or not."""
        while len(self.arrivals) < count:
            self._something_arrived.clear()
            await self._something_arrived.wait()

    def revoke_tokens(self) -> None:
        """End every access token; the refresh token stays good."""
        self._accounts.revoke_tokens()

    def state(self) -> dict[str, Any]:
        """Counts, as ``/__sandbox__/state`` tells them."""
        statuses: dict[str, int] = {}
        for arrival in self.arrivals:
            key = f"{arrival.status}/{arrival.code}"
            statuses[key] = statuses.get(key, 0) + 1
        return {
            "calls": self.calls,
            "refused": self.refused,
            "token_requests": self.token_requests,
            "refresh_tokens": len(self.refresh_tokens),
            "most_in_minute": self.most_in_minute,
            "most_in_flight": self.most_in_flight,
            "answers": statuses,
            "faults": [{"kind": fault.kind, "hits": fault.hits} for fault in self.faults],
        }

    # -- requests -------------------------------------------------------------------------------

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path.startswith(_OWN):
            return await self._own(request)
        if request.path.startswith("/oauth/") or request.path == consent.SELF_CLIENT:
            return await self._account_request(request)
        await self._lag(self.inbound)
        fault = self._faults.pick(request.method, request.path)
        if fault is not None and fault.kind == "drop_unread":
            return hang_up(request)
        now = self._now()
        organization = organization_of(request)
        arrival = Arrival(now, organization, request.method, request.path, dict(request.query))
        self.arrivals.append(arrival)
        self._something_arrived.set()
        account = organization or _ACCOUNT
        verdict = self._judge.arrive(account, now)
        try:
            reply = await self._reply(request, arrival, verdict, fault)
            if self.quota_headers:
                reply.headers.update(self._quota(account))
            await self._lag(self.latency)
        finally:
            if verdict is None:
                self._judge.leave(account)
        arrival.status, arrival.code = reply.status, reply.code
        if fault is not None and fault.kind in ("drop", "drop_undone"):
            arrival.status = 0
            return hang_up(request)
        if fault is not None and fault.kind == "slow":
            return await slowly(request, reply, fault.seconds)
        if fault is not None and fault.kind == "broken_body":
            return await broken_off(request, reply)
        return response(reply)

    async def _reply(
        self,
        request: web.BaseRequest,
        arrival: Arrival,
        verdict: Verdict | None,
        fault: Fault | None,
    ) -> Reply:
        try:
            if verdict is not None:
                return _refused(verdict)
            if fault is not None and fault.kind in INSTEAD:
                return instead(fault)
            body = await request.read()
            product, parts = self._admitted(request, arrival)
            form = form_of(request.headers.get("Content-Type", ""), body)
            call = Call(
                product=product,
                form=form,
                method=request.method,
                parts=parts,
                params=arrival.query,
                headers=request.headers,
                body=body_of(request, body),
            )
            store = self._stores[arrival.organization or self.organization]
            reply = await api.answer(call, store, list(self._stores.values()))
        except ApiRefusal as refusal:
            if refusal.code in (5, 1000) and refusal.status in (404, 501):
                log.warning("refused %s %s: %s", request.method, request.path, refusal.message)
            reply = refusal.reply()
        return reply if fault is None else spoil(fault, reply)

    def _admitted(self, request: web.BaseRequest, arrival: Arrival) -> tuple[str, tuple[str, ...]]:
        """The product and the path below its base, if token and organization are right."""
        place = located(request.path)
        if place is None:
            raise ApiRefusal(404, 5, "Invalid URL Passed")
        self._check_token(request, *place)
        if place[1][0] == "organizations":
            return place
        if arrival.organization is None:
            if len(self._stores) > 1:
                text = "You belong to several organizations: organization_id must name one."
                raise ApiRefusal(400, 6024, text, error_info=list(self._stores))
        elif arrival.organization not in self._stores:
            text = "This user is not associated with the organization."
            raise ApiRefusal(400, 6041, text)
        return place

    def _check_token(self, request: web.BaseRequest, product: str, parts: Sequence[str]) -> None:
        header = request.headers.get("Authorization", "")
        if not header.startswith(_SCHEME):
            raise ApiRefusal(401, 14, "Invalid value passed for authtoken.")
        state = self._accounts.state(header.removeprefix(_SCHEME), self._now())
        if state == "unknown":
            raise ApiRefusal(401, 14, "Invalid value passed for authtoken.")
        scope = self._accounts.scope(header.removeprefix(_SCHEME))
        operation = api.described(product, request.method, parts)
        lacking = (
            "fullaccess" not in scope
            and operation is not None
            and not _covers(scope, operation.scope)
        )
        if state == "dead" or lacking:
            raise ApiRefusal(401, 57, "You are not authorized to perform this operation")

    async def _account_request(self, request: web.BaseRequest) -> web.StreamResponse:
        """The accounts server: tokens, their revocation, and the pages that a person sees."""
        fault = self._faults.pick(request.method, request.path)
        if fault is not None and fault.kind == "drop_unread":
            return hang_up(request)
        form = dict(parse_qsl((await request.read()).decode(errors="replace")))
        self._accounts.requests += request.path == "/oauth/v2/token"
        await self._lag(self.latency)
        if fault is not None and fault.kind in ("status", "status_html"):
            return response(instead(fault))
        reply = self._account_reply(request, {**request.query, **form})
        if fault is not None and fault.kind in ("drop", "drop_undone"):
            return hang_up(request)
        return response(reply if fault is None else spoil(fault, reply))

    def _account_reply(self, request: web.BaseRequest, asked: Mapping[str, str]) -> Reply:
        now, accounts, posted = self._now(), self._accounts, request.method == "POST"
        match request.path:
            case consent.AUTHORIZATION | consent.CONSENT | consent.SELF_CLIENT:
                return consent.page(
                    accounts, request.path, asked, posted=posted, now=now, url=self.url
                )
            case "/oauth/v2/token" | "/oauth/v2/token/revoke" if not posted:
                return Reply(status=405, code=None, body=b"{}")
            case "/oauth/v2/token":
                return accounts.answer(asked, now=now, api_domain=self.url)
            case "/oauth/v2/token/revoke":
                return accounts.revoke(asked.get("token", ""))
            case _:
                return Reply(status=404, code=None, body=b"{}")

    async def _own(self, request: web.BaseRequest) -> web.StreamResponse:
        """What is not Zoho's: counts and the truth, for tests in another process."""
        match request.path.removeprefix(_OWN).split("/"):
            case ["state"]:
                body = ENCODER.encode(self.state())
            case ["arrivals"]:
                body = b"".join(ENCODER.encode(each) + b"\n" for each in self.arrivals)
            case ["faults"] if request.method == "POST":
                self.faults.append(msgspec.json.decode(await request.read(), type=Fault))
                body = b"{}"
            case ["truth", resource]:
                try:
                    rows = self.truth(resource, request.query.get("organization"))
                except KeyError:
                    return web.Response(status=404, text="no such resource or organization\n")
                body = b"".join(row + b"\n" for row in rows)
            case _:
                return web.Response(status=404, text="no such page\n")
        return web.Response(body=body, content_type="application/json")

    def _quota(self, account: str) -> dict[str, str]:
        limit, remaining, reset = self._judge.quota(account, self._now())
        return {
            "X-Rate-Limit-Limit": str(limit),
            "X-Rate-Limit-Remaining": str(remaining),
            "X-Rate-Limit-Reset": str(int(reset)),
        }

    async def _lag(self, lag: Lag) -> None:
        seconds = lag if isinstance(lag, int | float) else self._chance.uniform(*lag)
        if seconds > 0:
            await asyncio.sleep(seconds)


def _covers(granted: str, needed: str) -> bool:
    """Whether scopes like ``ZohoBooks.invoices.ALL`` allow one like ``ZohoBooks.invoices.READ``."""
    scopes = {scope.strip().lower() for scope in granted.split(",")}
    wanted = needed.lower()
    return not wanted or wanted in scopes or f"{wanted.rpartition('.')[0]}.all" in scopes


def _refused(verdict: Verdict) -> Reply:
    body = ENCODER.encode({"code": verdict.code, "message": verdict.message})
    seconds = verdict.retry_after
    headers = {} if seconds is None else {"Retry-After": str(max(1, round(seconds)))}
    return Reply(status=429, code=verdict.code, body=body, headers=headers)
