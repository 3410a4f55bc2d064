"""What happens to every request around the work itself: delays, limits, faults, errors.

Model
    A middleware receives a request's `Exchange` and the next handler. It calls the handler, or
    replies in its place. `chain` wraps a handler in a list of middlewares; the first is the
    outermost. `applications` has the lists.

Invariant
    A write takes effect at the arrival; only its reply is late. A request over the limits has no
    effect and its body is not read.

A request that no specification describes gets Zoho's error, is kept in ``unknown``, and is logged
as a warning, so that a wrong client is noticed.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec
from aiohttp import web

from zoho_async.sandbox.api.router import Target, organization_named
from zoho_async.sandbox.replies import ENCODER, ApiRefusal, ApiReply
from zoho_async.sandbox.reports.answer import scope_of
from zoho_async.sandbox.simulation.fault_effects import alter, replacement
from zoho_async.sandbox.simulation.faults import INSTEAD, Fault
from zoho_async.sandbox.simulation.latency import Latency, draw_seconds
from zoho_async.sandbox.simulation.rate_limits import LimitRefusal

if TYPE_CHECKING:
    from zoho_async.sandbox.server import Sandbox

log: Final = logging.getLogger("zoho_async.sandbox")

#: The name under which calls without an organization are counted.
ACCOUNT: Final = "@account"
_SCHEME: Final = "Zoho-oauthtoken "
_HANGS_UP: Final = frozenset({"drop", "drop_undone", "reset", "reset_undone", "silent"})


class Arrival(msgspec.Struct):
    """One API request that reached the sandbox.

    Attributes:
        time: the sandbox's clock, in seconds.
        organization: the organization that the request names, or None.
        status: HTTP status of the reply; 0 until it is answered, or if the connection was closed.
        code: Zoho's code in the reply, None until it is answered.
        fault: the kind of the fault that affected the request, or "".
    """

    time: float
    organization: str | None
    method: str
    path: str
    query: dict[str, str]
    status: int = 0
    code: int | None = None
    fault: str = ""


class Exchange:
    """One request on its way through the middlewares.

    Attributes:
        target: what the URL names, or None if that is no operation's path.
        organization: the organization that the request names, or None.
        fault: the rule that affects the request, or None.
        arrival: the record of the request; None until it has arrived.
        refusal: the limit that the request exceeds, or None.
    """

    __slots__ = ("arrival", "box", "fault", "organization", "refusal", "request", "target")

    def __init__(
        self, box: Sandbox, request: web.BaseRequest, target: Target | None = None
    ) -> None:
        self.box = box
        self.request = request
        self.target = target
        self.organization = organization_named(target, request.query, request.headers)
        self.fault: Fault | None = None
        self.arrival: Arrival | None = None
        self.refusal: LimitRefusal | None = None

    @property
    def account(self) -> str:
        """The name under which the request is counted."""
        return self.organization or ACCOUNT

    @property
    def product(self) -> str:
        """The product whose day the request counts in, "" if the URL names none."""
        return "" if self.target is None else self.target.product

    @property
    def token(self) -> str | None:
        """The access token of the request, or None if it has none."""
        header = self.request.headers.get("Authorization", "")
        return header.removeprefix(_SCHEME) if header.startswith(_SCHEME) else None


Handler: TypeAlias = Callable[[Exchange], Awaitable[ApiReply]]
Middleware: TypeAlias = Callable[[Exchange, Handler], Awaitable[ApiReply]]


def chain(middlewares: Sequence[Middleware], handler: Handler) -> Handler:
    """Wrap ``handler`` in ``middlewares``. The first is the outermost."""
    for middleware in reversed(middlewares):
        handler = functools.partial(_call, middleware, handler)
    return handler


def _call(middleware: Middleware, handler: Handler, exchange: Exchange) -> Awaitable[ApiReply]:
    return middleware(exchange, handler)


# -- latency ------------------------------------------------------------------------------------


async def delay_request(exchange: Exchange, handler: Handler) -> ApiReply:
    """Wait before the request arrives."""
    await _wait(exchange, exchange.box.inbound)
    return await handler(exchange)


async def delay_reply(exchange: Exchange, handler: Handler) -> ApiReply:
    """Wait before the reply is sent."""
    reply = await handler(exchange)
    await _wait(exchange, exchange.box.latency)
    return reply


async def _wait(exchange: Exchange, latency: Latency) -> None:
    seconds = draw_seconds(latency, exchange.request.path, exchange.box.chance)
    if seconds > 0:
        await exchange.box.clock.sleep(seconds)


# -- faults -------------------------------------------------------------------------------------


async def choose_fault(exchange: Exchange, handler: Handler) -> ApiReply:
    """Choose the fault that affects the request. One kind closes the connection at once."""
    box, request = exchange.box, exchange.request
    exchange.fault = box.rules.pick(
        request.method, request.path, exchange.organization, box.clock.now()
    )
    if exchange.fault is not None and exchange.fault.kind == "drop_unread":
        return ApiReply()
    return await handler(exchange)


async def apply_fault(exchange: Exchange, handler: Handler) -> ApiReply:
    """Reply instead of the work, or change the reply, as the fault requires."""
    fault = exchange.fault
    if fault is None:
        return await handler(exchange)
    if fault.kind in INSTEAD and not _end_tokens(exchange, fault):
        return replacement(fault, of_accounts=exchange.arrival is None)
    return alter(fault, await handler(exchange))


def _end_tokens(exchange: Exchange, fault: Fault) -> bool:
    """End tokens if the fault does so. Returns whether it did; the request then continues."""
    if fault.kind == "dead_token":
        exchange.box.accounts.end(exchange.token or "")
    elif fault.kind == "revoked_grant":
        exchange.box.accounts.revoke_grants()
    else:
        return False
    return True


# -- arrivals and limits ------------------------------------------------------------------------


async def record_arrival(exchange: Exchange, handler: Handler) -> ApiReply:
    """Record the request, and how it was answered."""
    box, request, fault = exchange.box, exchange.request, exchange.fault
    arrival = exchange.arrival = Arrival(
        time=box.clock.now(),
        organization=exchange.organization,
        method=request.method,
        path=request.path,
        query=dict(request.query),
        fault="" if fault is None else fault.kind,
    )
    box.record_arrival(arrival)
    reply = await handler(exchange)
    arrival.status = 0 if arrival.fault in _HANGS_UP else reply.status
    arrival.code = reply.code
    return reply


async def count_call(exchange: Exchange, handler: Handler) -> ApiReply:
    """Count the request as in flight until its reply is ready. Note the limit that it exceeds."""
    limiter, account = exchange.box.rate_limiter, exchange.account
    exchange.refusal = limiter.arrive(account, exchange.box.clock.now(), exchange.product)
    if exchange.refusal is not None:
        return await handler(exchange)
    try:
        return await handler(exchange)
    finally:
        limiter.leave(account)


async def add_quota_headers(exchange: Exchange, handler: Handler) -> ApiReply:
    """Add the headers of the daily quota."""
    box = exchange.box
    reply = await handler(exchange)
    if box.quota_headers:
        limit, remaining, reset = box.rate_limiter.quota(
            exchange.account, box.clock.now(), exchange.product
        )
        reply.headers["X-Rate-Limit-Limit"] = str(limit)
        reply.headers["X-Rate-Limit-Remaining"] = str(remaining)
        reply.headers["X-Rate-Limit-Reset"] = str(int(box.clock.client_seconds(reset)))
    return reply


async def refuse_over_limit(exchange: Exchange, handler: Handler) -> ApiReply:
    """Refuse a request that exceeds a limit."""
    refusal = exchange.refusal
    if refusal is None:
        return await handler(exchange)
    headers: dict[str, str] = {}
    if refusal.retry_after is not None:
        wait = exchange.box.clock.client_seconds(refusal.retry_after)
        headers["Retry-After"] = str(max(1, round(wait)))
    body = ENCODER.encode({"code": refusal.code, "message": refusal.message})
    return ApiReply(status=429, code=refusal.code, body=body, headers=headers)


# -- errors and authorization -------------------------------------------------------------------


async def reply_with_errors(exchange: Exchange, handler: Handler) -> ApiReply:
    """Turn an `ApiRefusal` into its reply, and keep requests that nothing describes."""
    try:
        return await handler(exchange)
    except ApiRefusal as refusal:
        if (refusal.code == 5 or refusal.status == 501) and exchange.arrival is not None:
            exchange.box.unknown.append(exchange.arrival)
            request = exchange.request
            log.warning("refused %s %s: %s", request.method, request.path, refusal.message)
        return refusal.reply()


async def authorize(exchange: Exchange, handler: Handler) -> ApiReply:
    """Check the path, the token and the organization. Raises `ApiRefusal`."""
    target = exchange.target
    if target is None:
        raise ApiRefusal(404, 5, "Invalid URL Passed")
    _check_token(exchange, target)
    names, named = exchange.box.organizations, exchange.organization
    if named is not None and named not in names:
        raise ApiRefusal(400, 6041, "This user is not associated with the organization.")
    if named is None and len(names) > 1 and target.parts[0] != "organizations":
        text = "You belong to several organizations: organization_id must name one."
        raise ApiRefusal(400, 6024, text, error_info=list(names))
    return await handler(exchange)


def _check_token(exchange: Exchange, target: Target) -> None:
    accounts, token = exchange.box.accounts, exchange.token
    state = "unknown" if token is None else accounts.state(token, exchange.box.clock.now())
    if token is None or state == "unknown":
        raise ApiRefusal(401, 14, "Invalid value passed for authtoken.")
    scope, route = accounts.scope(token), target.route
    described = route.facts.scope if route is not None else ""
    needed = scope_of(target.product, target.parts) or described
    lacking = "fullaccess" not in scope and not _scope_allows(scope, needed)
    if state == "dead" or lacking:
        raise ApiRefusal(401, 57, "You are not authorized to perform this operation")


def _scope_allows(granted: str, needed: str) -> bool:
    """Return whether the granted scopes include ``needed``, directly or by ``.ALL``."""
    scopes = {scope.strip().lower() for scope in granted.split(",")}
    wanted = needed.lower()
    return not wanted or wanted in scopes or f"{wanted.rpartition('.')[0]}.all" in scopes
