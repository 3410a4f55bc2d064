"""Read the answers of the accounts server.

Errors come with HTTP 200 as well as 400, so an ``access_token`` means success, never the status.
The throttle ("Access Denied", with a space) says nothing about the refresh token. It is not the
``access_denied`` of a user who refused on the authorization page. An HTML page means a gateway
fault or another data center's host. Zoho says ``invalid_code`` about codes and about refresh
tokens, so the advice depends on the grant type.
"""

from __future__ import annotations

import re
from codecs import BOM_UTF8
from typing import Final, Literal, TypeAlias

import msgspec

from zoho_async._msgspec import decoder_of
from zoho_async.errors import (
    AccountsUnavailable,
    AuthError,
    ConsentRefused,
    InvalidClient,
    InvalidGrant,
    InvalidRedirect,
    InvalidScope,
    TokenThrottled,
)
from zoho_async.wire.text import UNDECODABLE

#: The kind of request to the accounts server.
GrantType: TypeAlias = Literal[
    "refresh_token", "authorization_code", "client_credentials", "device", "revoke", "authorization"
]


class AccessToken(msgspec.Struct, frozen=True):
    """An access token, the seconds it lives from its issue, and the API host that Zoho named."""

    value: str
    expires_in: float
    api_domain: str = ""

    def __repr__(self) -> str:
        return f"AccessToken(..., expires_in={self.expires_in})"


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """The result of exchanging a code or client. ``refresh_token`` is "" if none came.

    ``scope`` is the granted scope as Zoho wrote it, or "".
    """

    access: AccessToken
    refresh_token: str = ""
    scope: str = ""

    def __repr__(self) -> str:
        return f"Grant(scope={self.scope!r}, ...)"


class _Answer(msgspec.Struct):
    """An answer of the accounts server. A field that is null is one that is not there."""

    access_token: str | None = None
    refresh_token: str | None = None
    expires_in: float | None = None
    api_domain: str | None = None
    scope: str | None = None
    status: str | None = None
    error: str | None = None
    error_description: str | None = None


#: A gateway between us and the accounts server gave up waiting.
_IMPATIENT: Final = frozenset({408, 499})
#: Zoho's tokens live an hour. A lifetime of more than a day is in milliseconds.
_LONGEST_LIFE: Final = 86_400.0
#: The characters that a header can carry.
_TOKEN: Final = re.compile("[!-~]+")
_ANSWER: Final = decoder_of(_Answer, strict=False)


_WRONG_TOKEN: Final = (
    "the refresh token is wrong or revoked, or belongs to another data center: check "
    "ZOHO_REFRESH_TOKEN and ZOHO_REGION, or get a new one with `zoho-async login`"
)
_WRONG_CODE: Final = (
    "the code is wrong, was used before, or has expired (it lives a few minutes and works once, "
    "in the data center that made it): start again, or make a new one and use it at once"
)
EXPIRED: Final = "the code of this login has expired: start again"
_REMEDIES: Final[dict[str, tuple[type[AuthError], str]]] = {
    "invalid_client": (
        InvalidClient,
        "the client id is unknown in this data center: check the id and the region "
        "(ZOHO_CLIENT_ID, ZOHO_REGION)",
    ),
    "invalid_client_secret": (
        InvalidClient,
        "the client secret is missing, or does not belong to the client id or to this data "
        "center: check the secret and the region (ZOHO_CLIENT_SECRET, ZOHO_REGION)",
    ),
    "unauthorized_client": (
        InvalidClient,
        "this kind of client cannot use this grant: create a client of the right kind in the API "
        "console (for the browser mobile-based or server-based, for --device a non-browser one)",
    ),
    "invalid_scope": (
        InvalidScope,
        "a scope does not exist or is not for this client: `zoho-async scopes RESOURCE` prints "
        "those that exist",
    ),
    "invalid_oauthscope": (
        InvalidScope,
        "the token lacks the scope: log in again with the scopes that `zoho-async scopes` prints",
    ),
    "invalid_redirect_uri": (
        InvalidRedirect,
        "the redirect address is not registered for the client: add exactly this address in the "
        "API console",
    ),
    "expired": (InvalidGrant, EXPIRED),
    "expired_token": (InvalidGrant, EXPIRED),
    "access_denied": (ConsentRefused, "the request was refused on the authorization page"),
    "access denied": (
        TokenThrottled,
        "too many access tokens were requested with this refresh token (10 in 10 minutes); "
        "the refresh token is still valid: wait ten minutes, and share one session or token store",
    ),
    "unsupported_grant_type": (AuthError, "the accounts server does not support this grant type"),
    "invalid_request": (AuthError, "the accounts server says that a parameter is missing"),
    "general_error": (AccountsUnavailable, "the accounts server failed; try again later"),
}


def access_token(status: int, body: bytes, grant_type: GrantType = "refresh_token") -> AccessToken:
    """Return the token in an answer of HTTP ``status``. Raises an `AuthError` with advice."""
    return granted(status, body, grant_type).access


def granted(status: int, body: bytes, grant_type: GrantType) -> Grant:
    """Return all that an answer of HTTP ``status`` granted. Raises an `AuthError` with advice."""
    answer = _read(status, body)
    if answer.access_token:
        if not _TOKEN.fullmatch(answer.access_token):
            raise AccountsUnavailable(
                "the accounts server sent an access token that no header can carry; try again later"
            )
        return Grant(
            access=AccessToken(
                answer.access_token, _life(answer.expires_in), answer.api_domain or ""
            ),
            refresh_token=answer.refresh_token or "",
            scope=answer.scope or "",
        )
    if status < 300 and not answer.error:
        raise AccountsUnavailable(
            f"the accounts server answered HTTP {status} without a token; try again later"
        )
    raise _problem(status, answer, grant_type)


def _life(expires_in: float | None) -> float:
    """Return the seconds that a token lives. Other times of the device grant are milliseconds."""
    if expires_in is None:
        return 3600.0
    return max(expires_in / 1_000 if expires_in > _LONGEST_LIFE else expires_in, 1.0)


def error_of(status: int, body: bytes, grant_type: GrantType) -> tuple[str, AuthError] | None:
    """Return the name of an answer's error in lower case, and its exception; None without error."""
    answer = _read(status, body)
    if status < 300 and not answer.error:
        return None
    return (answer.error or "").strip().lower(), _problem(status, answer, grant_type)


def is_temporary(status: int) -> bool:
    """Say if a later answer may differ, although this one was unreadable."""
    return status >= 500 or status in _IMPATIENT or status == 429


def revoked(status: int, body: bytes) -> None:
    """Return if the answer confirms that the token was revoked. Raises an `AuthError` otherwise."""
    answer = _read(status, body)
    if status < 300 and not answer.error and (answer.status or "").lower() != "failure":
        return
    raise _problem(status, answer, "revoke")


def refused(error: str, grant_type: GrantType) -> AuthError:
    """Return the exception for Zoho's ``error`` name."""
    return _problem(400, _Answer(error=error), grant_type)


def _read(status: int, body: bytes) -> _Answer:
    try:
        return _ANSWER.decode(body.removeprefix(BOM_UTF8))
    except UNDECODABLE:
        raise AccountsUnavailable(
            f"the accounts server answered HTTP {status} with something that is not JSON: "
            "try again later, and check that ZOHO_REGION is the account's data center"
        ) from None


def _problem(status: int, answer: _Answer, grant_type: GrantType) -> AuthError:
    if status >= 500 or status in _IMPATIENT:
        return AccountsUnavailable(f"the accounts server failed (HTTP {status}); try again later")
    name = (answer.error or "").strip().lower()
    if name in ("invalid_code", "invalid_grant", "invalid_token"):
        is_code = grant_type in ("authorization_code", "device")
        return InvalidGrant(_WRONG_CODE if is_code else _WRONG_TOKEN)
    found = _REMEDIES.get(name) or (_REMEDIES["access denied"] if status == 429 else None)
    if found is not None:
        kind, advice = found
        return kind(advice)
    named = f", {answer.error[:60]!r}" if answer.error else ""
    wanted = "the token was not revoked" if grant_type == "revoke" else "no token"
    return AuthError(f"{wanted}: the accounts server answered HTTP {status}{named}")
