"""The three services of the sandbox: the API, the API of 2010, and the accounts server.

Each is a handler in a list of middlewares. `application_of` chooses one by the URL's path.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, TypeAlias
from urllib.parse import parse_qsl

import msgspec
from aiohttp import web

from zoho_async.sandbox import legacy, middleware
from zoho_async.sandbox.api import dispatch
from zoho_async.sandbox.api.context import ApiCall
from zoho_async.sandbox.api.router import Route, resolve
from zoho_async.sandbox.data.files import form_of
from zoho_async.sandbox.hosts import is_at_localhost
from zoho_async.sandbox.http import parse_body, send
from zoho_async.sandbox.middleware import Exchange, Handler, chain
from zoho_async.sandbox.oauth import device, pages
from zoho_async.sandbox.oauth.server import Accounts
from zoho_async.sandbox.replies import ApiReply
from zoho_async.sandbox.simulation.fault_effects import shift_rows
from zoho_async.sandbox.simulation.faults import Fault

if TYPE_CHECKING:
    from zoho_async.sandbox.server import Sandbox

_TOKEN: Final = "/oauth/v2/token"


async def answer(box: Sandbox, request: web.BaseRequest) -> web.StreamResponse:
    """Answer a request to any of the services."""
    path = request.path
    of_accounts = path.startswith("/oauth/") or path in _ACCOUNTS_PATHS
    of_legacy = path.startswith(legacy.BASE)
    target = None if of_accounts or of_legacy else resolve(request.method, path)
    exchange = Exchange(box, request, target)
    handle = _ACCOUNTS if of_accounts else _LEGACY if of_legacy else _API
    return await send(request, await handle(exchange), exchange.fault, box.clock)


# -- the API ------------------------------------------------------------------------------------


async def _answer_api(exchange: Exchange) -> ApiReply:
    target, request, arrival = exchange.target, exchange.request, exchange.arrival
    assert target is not None  # the middlewares come first
    assert arrival is not None
    body = await request.read()
    call = ApiCall(
        product=target.product,
        form=form_of(request.headers.get("Content-Type", ""), body),
        method=request.method,
        parts=target.parts,
        params=arrival.query,
        headers=request.headers,
        body=parse_body(request, body),
    )
    reply = await _dispatch(exchange, call, target.route)
    if exchange.fault is not None and exchange.fault.kind == "shifted_rows":
        await _shift(exchange, call, target.route, exchange.fault, reply)
    return reply


async def _dispatch(exchange: Exchange, call: ApiCall, route: Route | None) -> ApiReply:
    box = exchange.box
    return await dispatch.answer(call, route, box.store(exchange.organization), box.stores)


async def _shift(
    exchange: Exchange, call: ApiCall, route: Route | None, fault: Fault, reply: ApiReply
) -> None:
    """Change ``reply`` to the page as it is after rows were inserted before the first page."""
    number = call.params.get("page", "1")
    if reply.page is None or not number.isdecimal() or int(number) < 2:
        return
    params = {**call.params, "page": str(int(number) - 1)}
    before = await _dispatch(exchange, msgspec.structs.replace(call, params=params), route)
    if before.page is not None:
        shift_rows(fault, reply.page, before.page)


async def _answer_legacy(exchange: Exchange) -> ApiReply:
    request = exchange.request
    body = await request.read()
    form = request.query if request.method == "GET" else _form(body)
    return legacy.answer(request.method, request.path, form, exchange.box.store())


_COUNTED: Final = (
    middleware.delay_request,
    middleware.choose_fault,
    middleware.record_arrival,
    middleware.count_call,
    middleware.delay_reply,
    middleware.add_quota_headers,
    middleware.refuse_over_limit,
    middleware.apply_fault,
    middleware.reply_with_errors,
)
_API: Final[Handler] = chain((*_COUNTED, middleware.authorize), _answer_api)
_LEGACY: Final[Handler] = chain(_COUNTED, _answer_legacy)


# -- the accounts server ------------------------------------------------------------------------


class AccountsCall(msgspec.Struct, frozen=True):
    """A request to the accounts server: its parameters, from query and body.

    ``is_home`` says that the data center that was asked is the user's.
    """

    box: Sandbox
    values: Mapping[str, str]
    is_home: bool

    @property
    def accounts(self) -> Accounts:
        return self.box.accounts

    @property
    def now(self) -> float:
        return self.box.clock.now()


_AccountsHandler: TypeAlias = Callable[[AccountsCall], ApiReply]


async def _read_accounts_form(exchange: Exchange, handler: Handler) -> ApiReply:
    """Count a token request once its body was read, whatever becomes of it."""
    await exchange.request.read()
    exchange.box.accounts.requests += exchange.request.path == _TOKEN
    return await handler(exchange)


async def _answer_accounts(exchange: Exchange) -> ApiReply:
    request, box = exchange.request, exchange.box
    values = {**request.query, **_form(await request.read())}
    methods = _ACCOUNTS_ROUTES.get(request.path)
    if methods is None:
        return ApiReply(status=404, code=None, body=b"{}")
    handler = methods.get(request.method)
    if handler is None:
        return ApiReply(status=405, code=None, body=b"{}")
    is_home = not box.tokens.user_location or is_at_localhost(request)
    return handler(AccountsCall(box, values, is_home))


def _issue_token(call: AccountsCall) -> ApiReply:
    return call.accounts.answer(
        call.values, now=call.now, api_domain=call.box.url, is_home=call.is_home
    )


def _revoke_token(call: AccountsCall) -> ApiReply:
    return call.accounts.revoke(call.values.get("token", ""))


def _consent_page(call: AccountsCall) -> ApiReply:
    return pages.consent_page(call.accounts, call.values)


def _consent(call: AccountsCall) -> ApiReply:
    return pages.consent(call.accounts, call.values, call.now, call.box.url)


def _self_client(call: AccountsCall) -> ApiReply:
    return pages.self_client()


def _create_code(call: AccountsCall) -> ApiReply:
    return pages.create_code(call.accounts, call.values, call.now)


def _start_device(call: AccountsCall) -> ApiReply:
    return device.start(call.accounts, call.values, call.now, call.box.url)


def _poll_device(call: AccountsCall) -> ApiReply:
    return device.poll(
        call.accounts, call.values, call.now, api_domain=call.box.url, is_home=call.is_home
    )


def _device_page(call: AccountsCall) -> ApiReply:
    return pages.device_page(call.values)


def _agree_to_device(call: AccountsCall) -> ApiReply:
    return pages.agree_to_device(call.accounts, call.values, call.now)


def _create_authtoken(call: AccountsCall) -> ApiReply:
    return legacy.create_authtoken(call.values)


def _no_authtoken(call: AccountsCall) -> ApiReply:
    return legacy.create_authtoken({})


_ACCOUNTS_ROUTES: Final[Mapping[str, Mapping[str, _AccountsHandler]]] = {
    _TOKEN: {"POST": _issue_token},
    f"{_TOKEN}/revoke": {"POST": _revoke_token},
    pages.AUTHORIZATION: {"GET": _consent_page, "POST": _consent_page},
    pages.CONSENT: {"GET": _consent_page, "POST": _consent},
    pages.SELF_CLIENT: {"GET": _self_client, "POST": _create_code},
    pages.DEVICE: {"GET": _device_page, "POST": _agree_to_device},
    device.CODE: {"POST": _start_device},
    device.TOKEN: {"POST": _poll_device},
    legacy.CREATE: {"GET": _no_authtoken, "POST": _create_authtoken},
}
#: Paths of the accounts server outside ``/oauth/``.
_ACCOUNTS_PATHS: Final = frozenset({pages.SELF_CLIENT, legacy.CREATE})
_ACCOUNTS: Final[Handler] = chain(
    (
        middleware.choose_fault,
        _read_accounts_form,
        middleware.delay_reply,
        middleware.apply_fault,
    ),
    _answer_accounts,
)


def _form(body: bytes) -> dict[str, str]:
    return dict(parse_qsl(body.decode(errors="replace")))
