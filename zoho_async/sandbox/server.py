"""The sandbox: an HTTP server on loopback that behaves as Zoho is known to.

This module has the server's lifecycle and what tests set and read. `applications` answers requests,
`admin` answers under ``/__sandbox__/``, and `dashboard` renders the page at ``/``.
"""

from __future__ import annotations

import asyncio
import functools
import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from aiohttp import web

from zoho_async.errors import ConfigurationError
from zoho_async.sandbox import admin, applications, dashboard
from zoho_async.sandbox.api.organizations import load_organizations, time_zone_of
from zoho_async.sandbox.api.organizations import rows as organization_rows
from zoho_async.sandbox.api.router import operations
from zoho_async.sandbox.data.dates import day as day_of
from zoho_async.sandbox.data.persistence import Persistence
from zoho_async.sandbox.data.seed import SampleData
from zoho_async.sandbox.data.store import Store
from zoho_async.sandbox.deliveries.sender import Deliveries
from zoho_async.sandbox.deliveries.settings import WebhookRules
from zoho_async.sandbox.hosts import Hosts
from zoho_async.sandbox.middleware import Arrival
from zoho_async.sandbox.oauth.server import Accounts, TokenRules
from zoho_async.sandbox.simulation.activity import ActivityRules
from zoho_async.sandbox.simulation.calendar import DayCalendar
from zoho_async.sandbox.simulation.clock import SandboxClock
from zoho_async.sandbox.simulation.faults import Fault, Faults
from zoho_async.sandbox.simulation.latency import Latency
from zoho_async.sandbox.simulation.rate_limits import LimitRules, RateLimiter, Window
from zoho_async.sandbox.snapshot import SandboxSnapshot, read_snapshot, write_snapshot

_SAMPLE: Final = "sample"
_EVERY_ADDRESS: Final = frozenset({"0.0.0.0", "::"})


class Sandbox:
    """A local Zoho with one user, one or more organizations, and sample records.

    Use it as an async context manager. ``url`` is set inside. ``limits``, ``tokens``, ``latency``,
    ``inbound``, ``faults``, ``webhooks``, ``activity`` and ``quota_headers`` may be changed while
    it runs.

    Args:
        seed: seed of the sample data and of random choices.
        sizes: number of sample records by ``product.resource``. Organizations that are created by
            calls start empty.
        organization: id of the default organization.
        organizations: ids of all organizations that exist at the start.
        minute: length of the rate-limit minute, in seconds.
        window: whether the minute is rolling or fixed.
        per_minute: calls per minute and organization.
        in_flight: concurrent calls per organization.
        per_day: calls per day and organization.
        product_days: calls per day of each product that has its own count, by product. The other
            products share ``per_day``.
        day: length of a day, in seconds. None: the calendar day in the organization's time zone.
        latency: delay of replies, in seconds (see `latency`).
        inbound: delay of requests, in seconds.
        block: length of the block after too many calls in a minute, in seconds.
        token_life: lifetime of an access token, in seconds.
        quota_headers: whether replies have the headers of the daily quota.
        faults: rules for what goes wrong (see `faults`).
        webhooks: how webhooks are sent (see `WebhookRules`).
        activity: what the activity logs of Books show, and when (see `ActivityRules`).
        host: address to listen on.
        port: port to listen on; 0 picks a free port.
        allowed_hosts: host names that requests may use in addition to loopback and ``host``.
        speed: sandbox seconds per real second.
        now: the real clock, in seconds.
        wall_clock: the time in seconds since 1970. The sample data ends before the day that it
            shows at the start, or that is in ``file``; writes have its times.
        file: SQLite file that keeps what is written, also for the next sandbox. Raises
            `sqlite3.Error` if it is not a database.
        snapshot: file that `save_snapshot` wrote. It decides the sample data (``seed``, ``sizes``,
            ``organization`` and ``organizations`` have no effect) and is not changed. Raises
            `ConfigurationError` if it is not a snapshot, or if ``file`` is given too.
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
        product_days: Mapping[str, int] | None = None,
        day: float | None = None,
        latency: Latency = 0.0,
        inbound: Latency = 0.0,
        block: float = 900.0,
        token_life: float = 3600.0,
        quota_headers: bool = True,
        faults: Sequence[Fault] = (),
        webhooks: WebhookRules | None = None,
        activity: ActivityRules | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        allowed_hosts: Sequence[str] = (),
        speed: float = 1.0,
        now: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        file: str | os.PathLike[str] | None = None,
        snapshot: str | os.PathLike[str] | None = None,
    ) -> None:
        loaded = None if snapshot is None else read_snapshot(snapshot)
        if loaded is not None:
            if file is not None:
                raise ConfigurationError("give either file or snapshot, not both")
            seed, sizes, organizations = loaded.seed, loaded.sizes, loaded.organizations
            organization = organizations[0]
        self.seed = seed
        self.organization = organization
        self.latency: Latency = latency
        self.inbound: Latency = inbound
        self.quota_headers = quota_headers
        self.limits = LimitRules(
            per_minute=per_minute,
            minute=minute,
            window=window,
            per_day=per_day,
            product_days=dict(product_days or {}),
            day=day,
            in_flight=in_flight,
            block=block,
        )
        self.tokens = TokenRules(life=token_life)
        self.faults: list[Fault] = list(faults)
        self.webhooks: Final = webhooks or WebhookRules()
        self.activity: Final = activity or ActivityRules()
        self.arrivals: list[Arrival] = []
        #: Requests that no specification describes, or that the sandbox does not simulate.
        self.unknown: list[Arrival] = []
        self.url = ""
        self.clock: Final = SandboxClock(speed, now)
        started = self.clock.now()
        calendar = DayCalendar(self._time_zone, wall_clock() - started)
        self.rate_limiter: Final = RateLimiter(self.limits, started, calendar)
        self.rules: Final = Faults(self.faults, seed)
        self.chance: Final = random.Random(seed)
        #: The webhooks that were sent or wait. ``.log`` says what became of each.
        self.deliveries: Final = Deliveries(self.webhooks, self.clock, seed)
        self.accounts: Final = Accounts(
            rules=self.tokens,
            client_id=self.client_id,
            client_secret=self.client_secret,
            refresh_token=self.refresh_token,
            seed=seed,
            speed=speed,
        )
        given = dict.fromkeys([organization, *(organizations or ())])
        self._given: Final = tuple(given)
        self._sizes: Final = dict(sizes or {})
        self._keep: Final = Persistence(
            Path(file) if file is not None else None, loaded.entries if loaded is not None else ()
        )
        sample = functools.partial(
            SampleData,
            seed,
            sizes=sizes or {},
            clock=wall_clock,
            today=_sample_day(self._keep, wall_clock),
        )
        self.stores: Final = [
            *(Store(sample(name), self._keep) for name in given),
            *load_organizations(self._keep, seed, tuple(given), wall_clock),
        ]
        for store in self.stores:
            store.activity = self.activity
        self._address = host, port
        self._hosts: Final = Hosts(host, allowed_hosts)
        self._something_arrived = asyncio.Event()
        self._runner: web.ServerRunner | None = None

    # -- lifecycle ------------------------------------------------------------------------------

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
        if host in _EVERY_ADDRESS:  # clients cannot connect to it
            host = self._hosts.first_allowed or "127.0.0.1"
        name = f"[{host}]" if ":" in host else host
        self.url = f"http://{name}:{bound[1]}"
        self.deliveries.open(self.stores)
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
        await self.deliveries.close(self.stores)
        await asyncio.to_thread(self._keep.close)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        refusal = self._hosts.refusal(request)
        if refusal is not None:
            return refusal
        path = request.path
        if path in dashboard.PATHS and request.method == "GET":
            return dashboard.answer(self, request)
        if path.startswith(admin.PREFIX):
            return await admin.answer(self, request)
        return await applications.answer(self, request)

    def record_arrival(self, arrival: Arrival) -> None:
        """Record an API request and wake tasks in `arrived`."""
        self.arrivals.append(arrival)
        self._something_arrived.set()

    # -- inspection --------------------------------------------------------------------------

    @property
    def organizations(self) -> tuple[str, ...]:
        """Ids of the organizations. Those that calls created come last."""
        return tuple(store.world.organization for store in self.stores)

    @property
    def accounts_url(self) -> str:
        """URL of the accounts server, which is the same server."""
        return self.url

    @property
    def calls(self) -> int:
        """Number of API requests, including refused ones."""
        return len(self.arrivals)

    @property
    def refused(self) -> int:
        """Number of requests refused for the limits, without those refused by a fault."""
        return sum(account.refused for account in self.rate_limiter.accounts.values())

    @property
    def token_requests(self) -> int:
        """Number of requests for an access token, successful or not."""
        return self.accounts.requests

    @property
    def refresh_tokens(self) -> list[str]:
        """The valid refresh tokens, oldest first."""
        return self.accounts.refresh_tokens

    @property
    def most_in_minute(self) -> int:
        """Most calls of one organization that were accepted within a minute."""
        return max((each.most_in_minute for each in self.rate_limiter.accounts.values()), default=0)

    @property
    def most_in_flight(self) -> int:
        """Most concurrent calls of one organization."""
        return max((each.most_in_flight for each in self.rate_limiter.accounts.values()), default=0)

    @property
    def connections(self) -> int:
        """Number of open connections."""
        server = None if self._runner is None else self._runner.server
        return 0 if server is None else len(server.connections)

    @property
    def client_minute(self) -> float:
        """Length of the rate-limit minute in real seconds: the `Limits.window` for a client."""
        return self.clock.client_seconds(self.limits.minute)

    def environment(self) -> dict[str, str]:
        """Return the environment variables that point a client here."""
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
        """Return the rows of a list as it sends them, in ``created_time`` order.

        Raises `KeyError` for an unknown resource or organization.
        """
        product, _, name = (resource if "." in resource else f"books.{resource}").partition(".")
        if name.partition(".")[0] == "organizations":
            facts = operations(product)[f"{product}.organizations.list"]
            return organization_rows(self.stores, facts)
        collection = self.store(organization).rows(resource)
        return [collection.encoded_row(index) for index in collection.indexes()]

    def store(self, organization: str | None = None) -> Store:
        """Return the records of an organization. ``.collection(resource)`` reads and changes them.

        Raises `KeyError` for an unknown organization.
        """
        name = organization or self.organization
        for store in self.stores:
            if store.world.organization == name:
                return store
        raise KeyError(name)

    def _time_zone(self, organization: str) -> str:
        """The time zone of an organization. That of the first one is the account's."""
        named = (each for each in self.stores if each.world.organization == organization)
        return time_zone_of(next(named, self.stores[0]))

    async def arrived(self, count: int) -> None:
        """Wait until ``count`` API requests have arrived in total, answered or not."""
        while len(self.arrivals) < count:
            self._something_arrived.clear()
            await self._something_arrived.wait()

    def revoke_tokens(self) -> None:
        """End every access token. The refresh tokens stay valid."""
        self.accounts.revoke_tokens()

    def save_snapshot(self, path: str | os.PathLike[str]) -> None:
        """Write all records to a file for ``Sandbox(snapshot=...)``, on any machine.

        Raises `OSError` if it cannot be written; an earlier file then stays.
        """
        entries = tuple(self._keep.entries())
        write_snapshot(
            path,
            SandboxSnapshot(
                seed=self.seed, sizes=self._sizes, organizations=self._given, entries=entries
            ),
        )

    def state(self) -> dict[str, Any]:
        """Return the counts that ``/__sandbox__/state`` shows."""
        return admin.state(self)


def _sample_day(keep: Persistence, wall_clock: Callable[[], float]) -> date:
    """The day before which the sample data ends. A sandbox's file keeps its first day."""
    kept = keep.place(_SAMPLE).get("day")
    today = kept.decode() if kept is not None else day_of(int(wall_clock()))
    keep.put(_SAMPLE, "day", today.encode())
    return date.fromisoformat(today)
