"""Every way to a token that Zoho has, as functions.

An account starts with a *code*: from the API console (Self Client) or from the authorization page
in a browser. `exchange_code` makes a refresh token of it, which lives until it is revoked, and
`refresh` makes access tokens of that, which live an hour. `client_credentials` needs no user.

The authorization page sends its answer to a redirect address, in the query. ``state`` ties it to
the question: an answer that lacks it was made by somebody else. The answer also names the data
center of the user who agreed, which need not be the one that was asked; the code works only there,
and is sent there only if the host stands in the table of regions.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import urlencode, urlsplit

import msgspec

from zoho_async.auth.credentials import Client, Credentials
from zoho_async.auth.reply import AccessToken, Grant, granted, refused, revoked
from zoho_async.auth.server import AccountsServer
from zoho_async.errors import AuthError, ConfigurationError, ConsentRefused
from zoho_async.regions import REGIONS, checked_url

TOKEN_PATH: Final = "/oauth/v2/token"
_REVOKE_PATH: Final = "/oauth/v2/token/revoke"
_AUTHORIZATION_PATH: Final = "/oauth/v2/auth"


def authorization_url(
    accounts_url: str,
    client_id: str,
    *,
    scopes: Iterable[str],
    redirect_uri: str,
    state: str,
) -> str:
    """Where a user agrees in a browser; what it answers is read by `read_redirect`.

    A refresh token comes of it each time (``access_type=offline``, ``prompt=consent``).
    ``redirect_uri`` must be registered for the client, letter by letter. ``state`` is to be
    unguessable (``secrets.token_urlsafe``). Raises `ConfigurationError` without scopes.
    """
    wanted = ",".join(scopes)
    if not wanted or not state:
        raise ConfigurationError("name at least one scope, and a state")
    query = {
        "response_type": "code",
        "client_id": client_id,
        "scope": wanted,
        "redirect_uri": redirect_uri,
        "access_type": "offline",
        "prompt": "consent",
        "state": state,
    }
    url = checked_url(accounts_url, what="the accounts URL")
    return f"{url}{_AUTHORIZATION_PATH}?{urlencode(query)}"


class Redirect(msgspec.Struct, frozen=True):
    """The code that came with a redirect, and the accounts server that will take it ("": as asked).

    ``region`` is that server's name in the table of regions.
    """

    code: str
    accounts_url: str = ""
    region: str = ""

    def __repr__(self) -> str:
        return f"Redirect(region={self.region!r}, ...)"


def read_redirect(query: Mapping[str, str], *, state: str) -> Redirect:
    """What the authorization page answered, ``query`` being that of the redirect.

    Raises `ConsentRefused` for another ``state`` or a user who refused, and the other `AuthError`
    that an error in it means.
    """
    if not hmac.compare_digest(query.get("state", "").encode(), state.encode()):
        raise ConsentRefused(
            "an answer came that does not belong to this login (its state differs): begin again"
        )
    error = query.get("error")
    if error:
        raise refused(error, "authorization")
    code = query.get("code", "")
    if not code:
        raise ConsentRefused("the authorization page sent no code: begin again")
    server = query.get("accounts-server", "").rstrip("/")
    for home in REGIONS.values():
        if home.accounts_url == server:
            return Redirect(code, server, home.name)
    return Redirect(code)


def console_url(accounts_url: str) -> str:
    """The API console that belongs to an accounts server; where Self Clients make their codes."""
    host = urlsplit(accounts_url).hostname or ""
    if any(home.accounts_url == accounts_url for home in REGIONS.values()):
        return f"https://api-console.{host.removeprefix('accounts.')}"
    return f"{accounts_url}/self-client"


async def exchange_code(
    server: AccountsServer, client: Client, code: str, *, redirect_uri: str | None = None
) -> Grant:
    """The tokens for ``code``, which is used up by this; ``redirect_uri`` is None for Self Clients.

    Raises `InvalidGrant` for a code that is no longer good, `AuthError` when no refresh token came
    with the access token, and what `refresh` raises.
    """
    form = {"grant_type": "authorization_code", "code": code.strip(), **client.form()}
    if redirect_uri is not None:
        form["redirect_uri"] = redirect_uri
    answer = await server.post(TOKEN_PATH, form)
    grant = granted(answer.status, answer.body, "authorization_code")
    if not grant.refresh_token:
        raise AuthError(
            "the code gave no refresh token: ask with access_type=offline and prompt=consent, or "
            "make the code in the API console's Self Client"
        )
    return grant


async def refresh(server: AccountsServer, credentials: Credentials) -> Grant:
    """A new access token. Zoho gives ten in ten minutes, and ends the oldest of 10 to 15.

    Raises `InvalidGrant`, `InvalidClient`, `TokenThrottled`, `AccountsUnavailable`, `AuthError`.
    """
    form = {
        "grant_type": "refresh_token",
        "refresh_token": credentials.refresh_token,
        **credentials.client.form(),
    }
    answer = await server.post(TOKEN_PATH, form)
    return granted(answer.status, answer.body, "refresh_token")


async def client_credentials(
    server: AccountsServer, client: Client, *, scopes: Iterable[str], soid: str | None = None
) -> AccessToken:
    """An access token for the client itself. ``soid`` names service and organization where Zoho
    asks for them (``ZohoBooks.10234695``). Raises as `refresh` does, and `InvalidScope`.
    """
    form = {"grant_type": "client_credentials", "scope": ",".join(scopes), **client.form()}
    if soid:
        form["soid"] = soid
    answer = await server.post(TOKEN_PATH, form)
    return granted(answer.status, answer.body, "client_credentials").access


async def revoke(server: AccountsServer, refresh_token: str) -> None:
    """End ``refresh_token`` and its access tokens. Raises `InvalidGrant` where it is none."""
    answer = await server.post(_REVOKE_PATH, {"token": refresh_token})
    revoked(answer.status, answer.body)
