"""Handle one request: from its arrival to the reply.

Model
    The steps of an API request are: inbound delay, arrival (recorded and checked against the
    limits), fault (if a rule matches), token, organization, API over the store, reply delay, reply.

Invariant
    A write takes effect at the arrival; only its reply is late. A request over the limits has no
    effect and its body is not read.

A request that no specification describes gets Zoho's error, is kept in ``unknown``, and is logged
as a warning, so that a wrong client is noticed.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

import msgspec
from aiohttp import web

from zoho_async.sandbox import legacy
from zoho_async.sandbox.api import dispatch as operations
from zoho_async.sandbox.api.context import ApiCall
from zoho_async.sandbox.api.router import split_path
from zoho_async.sandbox.data.files import form_of
from zoho_async.sandbox.http import hang_up, organization_of, parse_body, send
from zoho_async.sandbox.oauth import pages
from zoho_async.sandbox.replies import ENCODER, ApiRefusal, ApiReply
from zoho_async.sandbox.simulation.fault_effects import alter, replacement, shift_rows
from zoho_async.sandbox.simulation.faults import INSTEAD, Fault
from zoho_async.sandbox.simulation.latency import Latency, draw_seconds
from zoho_async.sandbox.simulation.rate_limits import LimitRefusal

if TYPE_CHECKING:
    from zoho_async.sandbox.server import Sandbox

log: Final = logging.getLogger("zoho_async.sandbox")

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


# -- the API ------------------------------------------------------------------------------------


async def api(box: Sandbox, request: web.BaseRequest) -> web.StreamResponse:
    """Answer a request to the API."""
    await _lag(box, box.inbound, request.path)
    now = box.clock.now()
    fault = box.rules.pick(request.method, request.path, now)
    if fault is not None and fault.kind == "drop_unread":
        return hang_up(request)
    organization = organization_of(request)
    arrival = Arrival(now, organization, request.method, request.path, dict(request.query))
    arrival.fault = "" if fault is None else fault.kind
    box.record_arrival(arrival)
    account = organization or ACCOUNT
    refused = box.rate_limiter.arrive(account, now)
    try:
        reply = await _reply(box, request, arrival, refused, fault)
        if box.quota_headers:
            reply.headers.update(_quota(box, account))
        await _lag(box, box.latency, request.path)
    finally:
        if refused is None:
            box.rate_limiter.leave(account)
    hung_up = fault is not None and fault.kind in _HANGS_UP
    arrival.status, arrival.code = (0 if hung_up else reply.status), reply.code
    return await send(request, reply, fault, box.clock)


async def _reply(
    box: Sandbox,
    request: web.BaseRequest,
    arrival: Arrival,
    refused: LimitRefusal | None,
    fault: Fault | None,
) -> ApiReply:
    try:
        if refused is not None:
            return _limit_reply(box, refused)
        if fault is not None and fault.kind in INSTEAD and not _end_tokens(box, request, fault):
            return replacement(fault, of_accounts=False)
        body = await request.read()
        if request.path.startswith(legacy.BASE):
            form = request.query if request.method == "GET" else _form(body)
            reply = legacy.answer(request.method, request.path, form, box.store())
            return reply if fault is None else alter(fault, reply)
        product, parts = _authorize(box, request, arrival)
        call = ApiCall(
            product=product,
            form=form_of(request.headers.get("Content-Type", ""), body),
            method=request.method,
            parts=parts,
            params=arrival.query,
            headers=request.headers,
            body=parse_body(request, body),
        )
        reply = await _dispatch(box, call, arrival)
        if fault is not None and fault.kind == "shifted_rows":
            await _shift(box, call, arrival, fault, reply)
    except ApiRefusal as refusal:
        if refusal.code == 5 or refusal.status == 501:
            box.unknown.append(arrival)
            log.warning("refused %s %s: %s", request.method, request.path, refusal.message)
        reply = refusal.reply()
    return reply if fault is None else alter(fault, reply)


async def _dispatch(box: Sandbox, call: ApiCall, arrival: Arrival) -> ApiReply:
    store = box.store(arrival.organization)
    return await operations.answer(call, store, box.stores)


async def _shift(
    box: Sandbox, call: ApiCall, arrival: Arrival, fault: Fault, reply: ApiReply
) -> None:
    """Change ``reply`` to the page as it is after rows were inserted before the first page."""
    number = arrival.query.get("page", "1")
    if reply.page is None or not number.isdecimal() or int(number) < 2:
        return
    params = {**call.params, "page": str(int(number) - 1)}
    before = await _dispatch(box, msgspec.structs.replace(call, params=params), arrival)
    if before.page is not None:
        shift_rows(fault, reply.page, before.page)


def _end_tokens(box: Sandbox, request: web.BaseRequest, fault: Fault) -> bool:
    """End tokens if the fault does so. Returns whether it did; the request then continues."""
    if fault.kind == "dead_token":
        box.accounts.end(request.headers.get("Authorization", "").removeprefix(_SCHEME))
    elif fault.kind == "revoked_grant":
        box.accounts.revoke_grants()
    else:
        return False
    return True


def _authorize(
    box: Sandbox, request: web.BaseRequest, arrival: Arrival
) -> tuple[str, tuple[str, ...]]:
    """Check token and organization. Returns the product and the path below its base."""
    place = split_path(request.path)
    if place is None:
        raise ApiRefusal(404, 5, "Invalid URL Passed")
    _check_token(box, request, *place)
    names = box.organizations
    if arrival.organization is None and place[1][0] == "organizations":
        return place
    if arrival.organization is None:
        if len(names) > 1:
            text = "You belong to several organizations: organization_id must name one."
            raise ApiRefusal(400, 6024, text, error_info=list(names))
    elif arrival.organization not in names:
        raise ApiRefusal(400, 6041, "This user is not associated with the organization.")
    return place


def _check_token(
    box: Sandbox, request: web.BaseRequest, product: str, parts: Sequence[str]
) -> None:
    header = request.headers.get("Authorization", "")
    token = header.removeprefix(_SCHEME)
    known = header.startswith(_SCHEME)
    state = box.accounts.state(token, box.clock.now()) if known else "unknown"
    if state == "unknown":
        raise ApiRefusal(401, 14, "Invalid value passed for authtoken.")
    scope = box.accounts.scope(token)
    operation = operations.find_operation(product, request.method, parts)
    lacking = (
        "fullaccess" not in scope
        and operation is not None
        and not _scope_allows(scope, operation.scope)
    )
    if state == "dead" or lacking:
        raise ApiRefusal(401, 57, "You are not authorized to perform this operation")


# -- the accounts server ------------------------------------------------------------------------


def is_accounts_path(path: str) -> bool:
    """Return whether the accounts server handles this path."""
    return path.startswith("/oauth/") or path in (pages.SELF_CLIENT, legacy.CREATE)


async def accounts(box: Sandbox, request: web.BaseRequest) -> web.StreamResponse:
    """Answer a request to the accounts server: tokens, revocation, and its pages."""
    fault = box.rules.pick(request.method, request.path, box.clock.now())
    if fault is not None and fault.kind == "drop_unread":
        return hang_up(request)
    form = _form(await request.read())
    box.accounts.requests += request.path == "/oauth/v2/token"
    await _lag(box, box.latency, request.path)
    if fault is not None and fault.kind in INSTEAD and not _end_tokens(box, request, fault):
        return await send(request, replacement(fault, of_accounts=True), fault, box.clock)
    reply = _account_reply(box, request, {**request.query, **form})
    return await send(request, reply if fault is None else alter(fault, reply), fault, box.clock)


def _account_reply(box: Sandbox, request: web.BaseRequest, values: Mapping[str, str]) -> ApiReply:
    now, posted = box.clock.now(), request.method == "POST"
    match request.path:
        case pages.AUTHORIZATION | pages.CONSENT | pages.SELF_CLIENT:
            return pages.page(
                box.accounts, request.path, values, posted=posted, now=now, url=box.url
            )
        case legacy.CREATE:
            return legacy.create_authtoken(values if posted else {})
        case "/oauth/v2/token" | "/oauth/v2/token/revoke" if not posted:
            return ApiReply(status=405, code=None, body=b"{}")
        case "/oauth/v2/token":
            return box.accounts.answer(values, now=now, api_domain=box.url)
        case "/oauth/v2/token/revoke":
            return box.accounts.revoke(values.get("token", ""))
        case _:
            return ApiReply(status=404, code=None, body=b"{}")


# -- helpers -------------------------------------------------------------------------------------


def _form(body: bytes) -> dict[str, str]:
    return dict(parse_qsl(body.decode(errors="replace")))


async def _lag(box: Sandbox, latency: Latency, path: str) -> None:
    seconds = draw_seconds(latency, path, box.chance)
    if seconds > 0:
        await box.clock.sleep(seconds)


def _quota(box: Sandbox, account: str) -> dict[str, str]:
    limit, remaining, reset = box.rate_limiter.quota(account, box.clock.now())
    return {
        "X-Rate-Limit-Limit": str(limit),
        "X-Rate-Limit-Remaining": str(remaining),
        "X-Rate-Limit-Reset": str(int(box.clock.client_seconds(reset))),
    }


def _limit_reply(box: Sandbox, refused: LimitRefusal) -> ApiReply:
    body = ENCODER.encode({"code": refused.code, "message": refused.message})
    wait = refused.retry_after
    headers = (
        {} if wait is None else {"Retry-After": str(max(1, round(box.clock.client_seconds(wait))))}
    )
    return ApiReply(status=429, code=refused.code, body=body, headers=headers)


def _scope_allows(granted: str, needed: str) -> bool:
    """Return whether the granted scopes include ``needed``, directly or by ``.ALL``."""
    scopes = {scope.strip().lower() for scope in granted.split(",")}
    wanted = needed.lower()
    return not wanted or wanted in scopes or f"{wanted.rpartition('.')[0]}.all" in scopes
