"""Send webhooks when records change.

Model
-----
`Deliveries` gets each event of each organization's records. All events of one record in the same
turn of the event loop are one change, so a call makes one webhook per record and rule. The record
is rendered at the end of that turn, and the request does not change between tries.

Each webhook has a task, which sends until an answer has a 2xx status or `WebhookRules.retries` are
used up. Waiting is by the sandbox's clock, so a held clock holds them. Redirects are not followed.

Invariant
---------
No request is sent to a host that is not loopback, unless `WebhookRules.hosts` has its name. Every
change that fires a rule has an entry in the log, whatever became of it. The log keeps the newest
`MOST_LOGGED` entries.

Without a rule an event costs one look into a dictionary. The HTTP client opens with the first
webhook.

What is unknown
---------------
Zoho's retries, timeout, concurrency, and what it does with webhooks over the day's limit: see
`WebhookRules`. Whether Zoho makes one webhook per call, and if changes that follow from other
records (an invoice that a payment pays) fire rules: here they do.
"""

from __future__ import annotations

import asyncio
import functools
import ipaddress
import random
from collections import Counter, deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit, urlunsplit

import msgspec
from yarl import URL

from zoho_async.sandbox.api.context import RecordRef
from zoho_async.sandbox.api.render import key_of, record_values
from zoho_async.sandbox.data.dates import stamp
from zoho_async.sandbox.data.store import RecordEvent, Store
from zoho_async.sandbox.data.values import is_object
from zoho_async.sandbox.deliveries.billing import (
    BillingWebhook,
    SubscriptionTerms,
    add_event,
    event_type_of,
    note_status,
    subscription_of,
)
from zoho_async.sandbox.deliveries.requests import WebhookRequest, request_of
from zoho_async.sandbox.deliveries.rules import ActiveRule, rules_of
from zoho_async.sandbox.deliveries.settings import WebhookDelivery, WebhookRules
from zoho_async.sandbox.records.resource import Record
from zoho_async.sandbox.simulation.clock import SandboxClock
from zoho_async.sandbox.simulation.latency import draw_seconds

if TYPE_CHECKING:
    import aiohttp

MOST_LOGGED: Final = 20_000
_DAY: Final = 86_400.0
#: Lists whose records decide what is sent.
_SETTINGS: Final = frozenset({"webhook", "workflow"})


class _Change(msgspec.Struct):
    """The events of one record in one turn of the loop."""

    store: Store
    event: RecordEvent
    operation: str


class Deliveries:
    """The webhooks of one sandbox. ``log`` has what became of each, oldest first."""

    def __init__(self, rules: WebhookRules, clock: SandboxClock, seed: int) -> None:
        self.rules: Final = rules
        self.log: Final[deque[WebhookDelivery]] = deque(maxlen=MOST_LOGGED)
        self._clock: Final = clock
        self._chance: Final = random.Random(seed)
        self._rules: Final[dict[str, list[ActiveRule]]] = {}
        self._billing: Final[list[BillingWebhook]] = []
        self._subscriptions: Final[dict[str, SubscriptionTerms]] = {}
        self._changes: Final[dict[tuple[str, str, str], _Change]] = {}
        self._of_day: Counter[str] = Counter()
        self._day = 0
        self._tasks: Final[set[asyncio.Task[None]]] = set()
        self._slots: asyncio.Semaphore | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._client: aiohttp.ClientSession | None = None

    # -- lifecycle ------------------------------------------------------------------------------

    def open(self, stores: Iterable[Store]) -> None:
        """Listen to the events of ``stores``, and of those that calls create."""
        self._loop = asyncio.get_running_loop()
        self._slots = asyncio.Semaphore(self.rules.in_flight)
        for store in stores:
            store.on_event = self.note

    async def close(self, stores: Iterable[Store]) -> None:
        """End all waiting webhooks. Their status stays ``waiting``."""
        for store in stores:
            store.on_event = None
        self._loop = None
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def idle(self) -> None:
        """Wait until no webhook waits or is being sent."""
        while self._changes or self._tasks:
            await asyncio.sleep(0)  # the changes of this turn become tasks
            await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def waiting(self) -> int:
        """The number of webhooks that wait or are being sent."""
        return len(self._tasks)

    def install_billing(
        self, url: str, secret: str = "", *, organization: str, events: Iterable[str] = ()
    ) -> str:
        """Add a webhook of Billing, and return its id. Without ``events`` it gets all types."""
        webhook_id = str(7_900_000_000_001 + len(self._billing))
        self._billing.append(
            BillingWebhook(
                webhook_id=webhook_id,
                organization=organization,
                url=url,
                secret=secret,
                events=frozenset(events),
            )
        )
        return webhook_id

    # -- changes --------------------------------------------------------------------------------

    def note(self, store: Store, event: RecordEvent) -> None:
        """Take an event. It is decided at the end of this turn of the loop."""
        organization = store.world.organization
        if event.kind in _SETTINGS:
            self._rules.pop(organization, None)
            return
        rules = self._active_rules(store)
        of_billing = bool(self._billing) and event.schema.product == "billing"
        if not rules and not of_billing:
            return
        if not self._changes and self._loop is not None:
            self._loop.call_soon_threadsafe(self._send_changes)
        key = organization, event.schema.name, event.record_id
        before = self._changes.get(key)
        is_new = before is not None and before.operation == "created"
        operation = "created" if is_new and event.operation == "updated" else event.operation
        self._changes[key] = _Change(store, event, operation)

    def _active_rules(self, store: Store) -> list[ActiveRule]:
        organization = store.world.organization
        if organization not in self._rules:
            self._rules[organization] = rules_of(store)
        return self._rules[organization]

    def _send_changes(self) -> None:
        changes = list(self._changes.values()) if self._loop is not None else []
        self._changes.clear()
        for change in changes:
            event, store = change.event, change.store
            product = event.schema.product
            for rule in self._active_rules(store):
                if rule.matches(product, event.kind, change.operation, event.state):
                    payload, record = _payload(change)
                    entry = self._entry(change, change.operation, rule.webhook_id, rule.workflow_id)
                    self._start(entry, functools.partial(request_of, rule.webhook, payload, record))
            if product == "billing" and self._billing:
                self._add_billing_event(change)

    def _add_billing_event(self, change: _Change) -> None:
        event, store = change.event, change.store
        before = self._subscriptions.get(event.record_id)
        if event.kind == "subscription":
            self._subscriptions[event.record_id] = subscription_of(event.state)
        event_type = event_type_of(event.kind, change.operation, event.state, before)
        if not event_type:
            return
        webhooks = [each for each in self._billing if each.wants(store, event_type)]
        data, _ = _payload(change)
        payload = add_event(store, event_type, stamp(store.world.now()), data, webhooks)
        event_id = payload["event_id"]

        def note(entry: WebhookDelivery) -> None:
            note_status(store, event_id, entry, stamp(store.world.now()))

        for webhook in webhooks:
            entry = self._entry(change, event_type, webhook.webhook_id, event_id)
            self._start(entry, functools.partial(webhook.request, payload), note)

    def _entry(self, change: _Change, event: str, webhook_id: str, rule: str) -> WebhookDelivery:
        entry = WebhookDelivery(
            time=self._clock.now(),
            organization=change.store.world.organization,
            webhook_id=webhook_id,
            rule=rule,
            module=change.event.schema.name,
            record_id=change.event.record_id,
            event=event,
            url="",
        )
        self.log.append(entry)
        return entry

    # -- sending --------------------------------------------------------------------------------

    def _start(
        self,
        entry: WebhookDelivery,
        make: Callable[[], WebhookRequest],
        note: Callable[[WebhookDelivery], None] = lambda _: None,
    ) -> None:
        """Begin to send a webhook, and its duplicate if chance wants one."""
        rules, chance = self.rules, self._chance
        try:
            request = make()
            entry.url = _without_query(request.url)
            entry.problem = self._reason_to_skip(entry, request)
        except ValueError as problem:
            entry.problem = f"the address is not valid: {problem}"
            request = None
        if request is None or entry.problem:
            entry.status = "skipped"
            note(entry)
            return
        delay = draw_seconds(rules.delay, "", chance)
        late = chance.uniform(0, rules.spread) if chance.random() < rules.reordered else 0.0
        self._run(entry, request, delay + late, note)
        if chance.random() < rules.duplicates:
            again = msgspec.structs.replace(entry, is_duplicate=True)
            self.log.append(again)
            self._run(again, request, delay + chance.uniform(0, rules.spread), lambda _: None)

    def _reason_to_skip(self, entry: WebhookDelivery, request: WebhookRequest) -> str:
        """Why a webhook is not sent, or "". Counts it as one of the day."""
        host = urlsplit(request.url).hostname or ""
        if not is_allowed(request.url, self.rules.hosts):
            return (
                f"{host[:100]!r} is not loopback; allow it with WebhookRules(hosts=[...]) "
                "or python -m zoho_async.sandbox --webhook-host"
            )
        day = int(self._clock.now() // _DAY)
        if day != self._day:
            self._day = day
            self._of_day.clear()
        if self._of_day[entry.organization] >= self.rules.per_day:
            return f"the organization's {self.rules.per_day} webhooks of the day are used up"
        if len(self._tasks) >= self.rules.most_waiting:
            return f"{len(self._tasks)} webhooks wait already"
        self._of_day[entry.organization] += 1
        return "lost" if self._chance.random() < self.rules.lost else ""

    def _run(
        self,
        entry: WebhookDelivery,
        request: WebhookRequest,
        delay: float,
        note: Callable[[WebhookDelivery], None],
    ) -> None:
        task = asyncio.ensure_future(self._deliver(entry, request, delay, note))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver(
        self,
        entry: WebhookDelivery,
        request: WebhookRequest,
        delay: float,
        note: Callable[[WebhookDelivery], None],
    ) -> None:
        assert self._slots is not None  # `open` was called
        for pause in (delay, *self.rules.retries):
            if pause > 0:
                await self._clock.sleep(pause)
            async with self._slots:
                entry.tries += 1
                entry.answer, entry.problem = await self._send(request)
            if not entry.problem:
                entry.status = "success"
                break
        else:
            entry.status = "failure"
        note(entry)

    async def _send(self, request: WebhookRequest) -> tuple[int, str]:
        """Send a request once. Returns the status of the answer, and what is wrong or ""."""
        import aiohttp

        if self._client is None:
            self._client = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=("Content-Type",),
            )
        try:
            async with self._client.request(
                request.method,
                URL(request.url, encoded=True),
                data=request.body,
                headers=request.headers,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=self.rules.timeout),
            ) as answer:
                status = answer.status
        except TimeoutError:
            return 0, f"no answer within {self.rules.timeout:g} s"
        except (aiohttp.ClientError, OSError, ValueError) as problem:
            return 0, str(problem)[:200] or type(problem).__name__
        return status, "" if 200 <= status < 300 else f"HTTP {status}"


def is_allowed(url: str, hosts: Iterable[str]) -> bool:
    """Return whether webhooks may be sent to ``url``: to loopback, or to one of ``hosts``."""
    try:
        target = URL(url, encoded=True)  # as the HTTP client reads it
    except ValueError:
        return False
    host = (target.host or "").lower().removesuffix(".")
    if target.scheme not in ("http", "https") or not host:
        return False
    if host == "localhost" or host in {each.lower().removesuffix(".") for each in hosts}:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _without_query(url: str) -> str:
    """Return the address as it is logged, without user and query, which can hold secrets."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _payload(change: _Change) -> tuple[Record, Record]:
    """Return the default payload, and the record in it."""
    event = change.event
    schema = event.schema
    facts = schema.read or schema.listed
    key = (key_of(facts) if schema.read is not None and facts is not None else "") or schema.noun
    collection = change.store.at(schema, ())
    index = collection.find(event.record_id) if event.operation != "deleted" else None
    if index is None:
        record: Record = {schema.id_field: event.record_id}
        return {key: record}, record
    if facts is None:
        return {key: event.state}, event.state
    values = record_values(facts, RecordRef(schema, collection, index))
    found = values.get(key)
    record = found if is_object(found) else collection.row(index)
    return {key: record}, record
