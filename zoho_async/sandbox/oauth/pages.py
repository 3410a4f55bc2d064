"""The pages of the accounts server: consent, and the console's Self Client.

The consent page redirects with a code, the user's data center, and the state of the request. If the
request itself is wrong, the page shows the error and does not redirect. On the page for devices the
user types the code that the device shows. The user accepts or rejects with two plain buttons, so
that a person, an automated browser or a plain HTTP client can use them.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Final
from urllib.parse import urlencode, urlsplit

from zoho_async.sandbox.oauth.server import Accounts, Code
from zoho_async.sandbox.replies import ApiReply

AUTHORIZATION: Final = "/oauth/v2/auth"
CONSENT: Final = "/oauth/v2/auth/consent"
SELF_CLIENT: Final = "/self-client"
DEVICE: Final = "/oauth/v3/device"

_HTML: Final = "text/html;charset=UTF-8"
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
_HIDDEN: Final = (
    *("client_id", "scope", "redirect_uri", "state", "access_type", "prompt"),
    *("code_challenge", "code_challenge_method"),
)
_BUTTONS: Final = (
    "<button id=accept name=answer value=accept>Accept</button> "
    "<button id=reject name=answer value=reject>Reject</button>"
)


def consent_page(accounts: Accounts, values: Mapping[str, str]) -> ApiReply:
    """Return the page that asks for consent, or the error of the request."""
    return _error_page(accounts, values) or _consent_form(values)


def consent(accounts: Accounts, values: Mapping[str, str], now: float, url: str) -> ApiReply:
    """Redirect with the user's answer. ``url`` is the URL of the accounts server."""
    return _error_page(accounts, values) or _redirect(accounts, values, now, url)


def _error_page(accounts: Accounts, values: Mapping[str, str]) -> ApiReply | None:
    problem = _problem(accounts, values)
    if not problem:
        return None
    return _html(f"<h1>An error occurred</h1><p id=error>{escape(problem)}</p>", status=400)


def _problem(accounts: Accounts, values: Mapping[str, str]) -> str:
    """Return the error of an authorization request as the page shows it, or ""."""
    if values.get("client_id") != accounts.client_id:
        return "Invalid Client: the client id passed does not exist"
    address = values.get("redirect_uri", "")
    registered = accounts.rules.redirects
    known = address in registered if registered else urlsplit(address).hostname in _LOOPBACK
    if not known:
        return "Invalid Redirect Uri: it is not the one configured"
    if not scopes_of(values):
        return "Invalid OAuth Scope: the scope does not exist"
    if values.get("response_type", "code") != "code":
        return "Invalid Response Type"
    if values.get("code_challenge_method", "") not in ("", "plain", "S256"):
        return "Invalid Code Challenge Method"
    return ""


def scopes_of(values: Mapping[str, str]) -> list[str]:
    """Return the requested scopes, or [] if one of them is invalid."""
    scopes = [scope.strip() for scope in values.get("scope", "").split(",")]
    return scopes if all(scope.count(".") == 2 for scope in scopes) else []


def _consent_form(values: Mapping[str, str]) -> ApiReply:
    hidden = "".join(
        f'<input type=hidden name={name} value="{escape(values.get(name, ""))}">'
        for name in _HIDDEN
    )
    wanted = "".join(f"<li>{escape(scope)}</li>" for scope in scopes_of(values))
    return _html(
        f"<h1>Sandbox would like to access</h1><ul>{wanted}</ul>"
        f'<form method=post action="{CONSENT}">{hidden}{_BUTTONS}</form>'
    )


def _redirect(accounts: Accounts, values: Mapping[str, str], now: float, url: str) -> ApiReply:
    state = {"state": values["state"]} if values.get("state") else {}
    if values.get("answer") != "accept":
        answer = {**state, "error": "access_denied"}
    else:
        code = Code(
            scope=",".join(scopes_of(values)),
            ends=now + accounts.rules.code_life,
            redirect_uri=values["redirect_uri"],
            offline=values.get("access_type") == "offline",
            challenge=values.get("code_challenge", ""),
            method=values.get("code_challenge_method", "") or "plain",
        )
        location = accounts.rules.user_location
        server = f"http://localhost:{urlsplit(url).port}" if location else url
        answer = {
            **state,
            "code": accounts.new_code(code),
            "location": location or "us",
            "accounts-server": server,
        }
    headers = {"Location": f"{values['redirect_uri']}?{urlencode(answer)}"}
    return ApiReply(status=302, code=None, content_type=_HTML, headers=headers)


def create_code(accounts: Accounts, values: Mapping[str, str], now: float) -> ApiReply:
    """Answer the form of the Self Client with a code."""
    scopes = scopes_of(values)
    minutes = values.get("minutes", "3")
    if not scopes or minutes not in {"3", "5", "7", "10"}:
        return _html("<p id=error>Enter a valid scope</p>", status=400)
    code = accounts.new_code(Code(scope=",".join(scopes), ends=now + 60.0 * int(minutes)))
    return _html(f"<h1>Generated Code</h1><p id=code>{code}</p>")


def device_page(values: Mapping[str, str]) -> ApiReply:
    """Return the page on which the user of a device types its code."""
    given = escape(values.get("user_code", ""))
    return _html(
        f'<h1>Sandbox device login</h1><form method=post action="{DEVICE}">'
        f'<p>Code <input id=code name=user_code value="{given}"></p>{_BUTTONS}</form>'
    )


def agree_to_device(accounts: Accounts, values: Mapping[str, str], now: float) -> ApiReply:
    """Record what the user of a device chose."""
    typed = values.get("user_code", "").strip().upper()
    for login in accounts.devices.values():
        if login.user_code == typed and now < login.ends and not login.answer:
            login.answer = "accept" if values.get("answer") == "accept" else "reject"
            return _html("<p id=message>You can close this window.</p>")
    return _html("<p id=error>Invalid or expired code</p>", status=400)


def _html(body: str, *, status: int = 200) -> ApiReply:
    text = f"<!doctype html><meta charset=utf-8><title>Sandbox accounts</title>{body}"
    return ApiReply(status=status, code=None, body=text.encode(), content_type=_HTML)


def self_client() -> ApiReply:
    """Return the page of the console's Self Client."""
    return _html(
        f'<h1>Self Client</h1><form method=post action="{SELF_CLIENT}">'
        "<p>Scope <input id=scope name=scope size=80></p>"
        "<p>Time Duration <select name=minutes>"
        "<option>3</option><option>5</option><option>7</option><option>10</option></select></p>"
        "<button id=create>Create</button></form>"
    )
