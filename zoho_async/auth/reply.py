"""What the accounts server's answer to a token request means.

Errors come with HTTP 200 as well as 400, so success is an ``access_token``, never a status. The
throttle ("Access Denied") is no judgement on the refresh token. An HTML page means a gateway fault
or another data center's host.
"""

from __future__ import annotations

from typing import Final

import msgspec

from zoho_async.errors import (
    AccountsUnavailable,
    AuthError,
    InvalidClient,
    InvalidGrant,
    TokenThrottled,
)


class AccessToken(msgspec.Struct, frozen=True):
    """An access token, the seconds it lives from its issue, and the API host that came with it."""

    value: str
    expires_in: float
    api_domain: str = ""

    def __repr__(self) -> str:
        return f"AccessToken(..., expires_in={self.expires_in})"


class _Answer(msgspec.Struct):
    access_token: str = ""
    expires_in: float = 3600
    api_domain: str = ""
    error: str = ""
    error_description: str = ""


#: Zoho's error names, as the OAuth pages and recorded traffic have them.
_ERRORS: Final[dict[str, tuple[type[AuthError], str]]] = {
    "invalid_code": (
        InvalidGrant,
        "the refresh token is wrong or revoked, or belongs to another data center: check "
        "ZOHO_REFRESH_TOKEN and ZOHO_REGION, or make a new token in the API console",
    ),
    "invalid_grant": (
        InvalidGrant,
        "the refresh token is wrong or revoked: make a new one in the API console",
    ),
    "invalid_client": (
        InvalidClient,
        "the client id is unknown in this data center: check ZOHO_CLIENT_ID and ZOHO_REGION",
    ),
    "invalid_client_secret": (
        InvalidClient,
        "the client secret does not belong to the client id: check ZOHO_CLIENT_SECRET",
    ),
    "access denied": (
        TokenThrottled,
        "too many access tokens were asked for with this refresh token (10 in 10 minutes); "
        "the refresh token is still good: wait ten minutes, and share one session",
    ),
}


def access_token(status: int, body: bytes) -> AccessToken:
    """The token in an answer of HTTP ``status``. Raises the `AuthError` that says what to do."""
    try:
        answer = msgspec.json.decode(body, type=_Answer, strict=False)
    except (msgspec.DecodeError, RecursionError):
        raise AccountsUnavailable(
            f"the accounts server answered HTTP {status} with something that is not JSON: "
            "a gateway fault, or the wrong region for this account"
        ) from None
    if answer.access_token:
        return AccessToken(answer.access_token, max(answer.expires_in, 1.0), answer.api_domain)
    if status >= 500:
        raise AccountsUnavailable(f"the accounts server failed (HTTP {status}); try again later")
    kind, advice = _ERRORS.get(answer.error.strip().lower(), (None, ""))
    if kind is None and status == 429:
        kind, advice = _ERRORS["access denied"]
    if kind is None:
        kind, advice = AuthError, f"no token: the accounts server answered HTTP {status}"
        if answer.error:
            advice += f", {answer.error[:60]!r}"
    raise kind(advice)
