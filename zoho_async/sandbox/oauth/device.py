"""The device grant: a device asks for codes, and polls until its user agreed.

The user agrees on a page (`pages.device_page`). All errors come with HTTP 200, and times are in
milliseconds. What a device code answers after it gave tokens is not known; here it is
``invalid_code``, as with other codes. The name ``invalid_request`` is assumed too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlencode

from zoho_async.sandbox.oauth.pages import DEVICE, scopes_of
from zoho_async.sandbox.oauth.server import Accounts, denied
from zoho_async.sandbox.replies import ENCODER, ApiReply

CODE: Final = f"{DEVICE}/code"
TOKEN: Final = f"{DEVICE}/token"


def start(accounts: Accounts, form: Mapping[str, str], now: float, url: str) -> ApiReply:
    """Answer the request for codes. ``url`` is the URL of the accounts server."""
    if form.get("client_id") != accounts.client_id:
        return denied("invalid_client")
    if form.get("grant_type") != "device_request":
        return denied("invalid_request")
    if not scopes_of(form):
        return denied("invalid_scope")
    code = accounts.new_device_code(",".join(scopes_of(form)), now)
    user_code = accounts.devices[code].user_code
    page = f"{url}{DEVICE}"
    values = {
        "user_code": user_code,
        "device_code": code,
        "verification_url": page,
        "verification_uri_complete": f"{page}?{urlencode({'user_code': user_code})}",
        "expires_in": _milliseconds(accounts, accounts.rules.device_life),
        "interval": _milliseconds(accounts, accounts.rules.device_interval),
    }
    return ApiReply(status=200, code=None, body=ENCODER.encode(values))


def poll(
    accounts: Accounts, form: Mapping[str, str], now: float, *, api_domain: str, is_home: bool
) -> ApiReply:
    """Answer a poll. ``is_home`` says that this is the user's data center."""
    if form.get("client_id") != accounts.client_id:
        return denied("invalid_client")
    if form.get("client_secret") != accounts.client_secret:
        return denied("invalid_client_secret")
    if form.get("grant_type") != "device_token":
        return denied("invalid_request")
    code = form.get("code", "")
    login = accounts.devices.get(code)
    if login is None:
        return denied("invalid_code")
    is_early = now - login.polled < accounts.rules.device_interval
    login.polled = now
    if now >= login.ends:
        return denied("expired")
    if is_early:
        return denied("slow_down")
    if not login.answer:
        return denied("authorization_pending")
    if not is_home:
        return _elsewhere(accounts.rules.user_location)
    del accounts.devices[code]
    if login.answer == "reject":
        return denied("access_denied")
    return accounts.device_tokens(login.scope, now=now, api_domain=api_domain)


def _elsewhere(location: str) -> ApiReply:
    """Return the answer for a user of another data center."""
    values = {"error": "other_dc", "user_location": location}
    return ApiReply(status=200, code=None, body=ENCODER.encode(values))


def _milliseconds(accounts: Accounts, seconds: float) -> int:
    return round(1_000 * seconds / accounts.speed)
