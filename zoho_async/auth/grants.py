"""All OAuth grants that Zoho offers, as functions.

An account starts with a *code*: from the API console (Self Client) or from the authorization page
in a browser. `exchange_code` turns it into a refresh token, which lives until it is revoked.
`refresh` turns that into access tokens, which live an hour. `client_credentials` needs no user.
A machine without a browser uses the device grant (`zoho_async.auth.device`).

The authorization page sends its answer to a redirect address, in the query. ``state`` ties the
answer to the request; an answer without it is forged. The answer also names the data center of the
user who agreed, which may differ from the one that was asked. The code works only there, and it is
sent there only if the host is in the table of regions, or is the host that was asked.

PKCE (RFC 7636) ties the code to the program that began the login. The page gets the SHA-256 of a
secret, the *verifier*; the exchange must show the verifier itself. So a stolen code is worthless,
and a client without a secret is safe. Zoho's default method is ``plain``, which would show the
verifier in the address; we always send ``S256``. Unknown: whether Zoho checks the verifier for
clients that have a secret; it does no harm there.
"""

from __future__ import annotations

import hmac
import re
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Final
from urllib.parse import urlencode, urlsplit

import msgspec

from zoho_async.auth.credentials import Credentials, OAuthClient
from zoho_async.auth.reply import AccessToken, Grant, granted, refused, revoked
from zoho_async.auth.server import AccountsServer
from zoho_async.errors import AuthError, ConfigurationError, ConsentRefused
from zoho_async.regions import REGIONS, Region, checked_url

TOKEN_PATH: Final = "/oauth/v2/token"
_REVOKE_PATH: Final = "/oauth/v2/token/revoke"
_AUTHORIZATION_PATH: Final = "/oauth/v2/auth"
_VERIFIER: Final = re.compile(r"[A-Za-z0-9._~-]{43,128}")


def authorization_url(
    accounts_url: str,
    client_id: str,
    *,
    scopes: Iterable[str],
    redirect_uri: str,
    state: str,
    code_verifier: str = "",
) -> str:
    """Return the page on which a user agrees. `read_redirect` reads its answer.

    The answer always leads to a refresh token (``access_type=offline``, ``prompt=consent``).
    ``redirect_uri`` must be registered for the client, letter by letter. ``state`` must be
    unguessable (``secrets.token_urlsafe``). With a ``code_verifier`` (``token_urlsafe(32)``) the
    code works only together with it; the address holds only its hash. A client without a secret
    needs one. Raises `ConfigurationError` without scopes or state, or for a wrong verifier.
    """
    wanted = ",".join(scopes)
    if not wanted or not state:
        raise ConfigurationError("pass at least one scope, and a state that is not empty")
    query = {
        "response_type": "code",
        "client_id": client_id,
        "scope": wanted,
        "redirect_uri": redirect_uri,
        "access_type": "offline",
        "prompt": "consent",
        "state": state,
    }
    if code_verifier:
        query |= {"code_challenge": _challenge(code_verifier), "code_challenge_method": "S256"}
    url = checked_url(accounts_url, what="the accounts URL")
    return f"{url}{_AUTHORIZATION_PATH}?{urlencode(query)}"


def _challenge(verifier: str) -> str:
    """Return the hash that the authorization page gets, by RFC 7636."""
    if not _VERIFIER.fullmatch(verifier):
        raise ConfigurationError(
            "code_verifier must be 43 to 128 letters, digits or -._~, such as token_urlsafe(32)"
        )
    return urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode()


class Redirect(msgspec.Struct, frozen=True):
    """The code from a redirect, and the accounts server that takes it ("": the one that was asked).

    ``region`` is that server's name in the table of regions.
    """

    code: str
    accounts_url: str = ""
    region: str = ""

    def __repr__(self) -> str:
        return f"Redirect(region={self.region!r}, ...)"


def read_redirect(query: Mapping[str, str], *, state: str, accounts_url: str = "") -> Redirect:
    """Read the authorization page's answer from the ``query`` of the redirect.

    ``accounts_url`` is the server that was asked. The answer may name it, or one in the table of
    regions. Raises `ConsentRefused` if ``state`` differs, the user refused or the answer names
    another server, and another `AuthError` for any other error in the answer.
    """
    if not state or not hmac.compare_digest(query.get("state", "").encode(), state.encode()):
        raise ConsentRefused(
            "an answer came that does not belong to this login (its state differs): start again"
        )
    error = query.get("error")
    if error:
        raise refused(error, "authorization")
    code = query.get("code", "")
    if not code:
        raise ConsentRefused("the authorization page sent no code: start again")
    home = _home(query.get("accounts-server", ""), query.get("location", ""), accounts_url)
    return Redirect(code) if home is None else Redirect(code, home.accounts_url, home.name)


def _home(server: str, location: str, asked: str) -> Region | None:
    """Return the data center that an answer names, or None for the server that was asked.

    Both values came over the user's browser: they choose an entry of the table, nothing else.
    """
    server = server.rstrip("/")
    by_server = next((home for home in REGIONS.values() if home.accounts_url == server), None)
    by_location = REGIONS.get(location.strip().lower())
    if not (server or location):
        return None
    if server and server == asked.rstrip("/"):
        return by_server
    found = by_server if server else by_location
    if found is None or by_location not in (None, found):
        raise ConsentRefused(
            f"the answer names data center {location[:20]!r} and accounts server {server[:80]!r}, "
            "which do not belong to Zoho as far as this version knows; the code was not sent: "
            "start again, or name the accounts server with ZOHO_ACCOUNTS_URL if you trust it"
        )
    return found


def console_url(accounts_url: str) -> str:
    """Return the API console of an accounts server, where Self Clients get their codes."""
    host = urlsplit(accounts_url).hostname or ""
    if any(home.accounts_url == accounts_url for home in REGIONS.values()):
        return f"https://api-console.{host.removeprefix('accounts.')}"
    return f"{accounts_url}/self-client"


async def exchange_code(
    server: AccountsServer,
    client: OAuthClient,
    code: str,
    *,
    redirect_uri: str | None = None,
    code_verifier: str = "",
) -> Grant:
    """Exchange ``code``, which works once, for tokens. Self Clients have no ``redirect_uri``.

    ``code_verifier`` is the one of `authorization_url`. Raises `InvalidGrant` if the code is not
    valid any more, `AuthError` if no refresh token came with the access token, and what `refresh`
    raises.
    """
    form = {"grant_type": "authorization_code", "code": code.strip(), **client.form()}
    if redirect_uri is not None:
        form["redirect_uri"] = redirect_uri
    if code_verifier:
        form["code_verifier"] = code_verifier
    answer = await server.post(TOKEN_PATH, form)
    grant = granted(answer.status, answer.body, "authorization_code")
    if not grant.refresh_token:
        raise AuthError(
            "the code gave no refresh token: ask with access_type=offline and prompt=consent, or "
            "make the code in the API console's Self Client"
        )
    return grant


async def refresh(server: AccountsServer, credentials: Credentials) -> Grant:
    """Get a new access token. Zoho gives ten in ten minutes and ends the oldest of 10 to 15.

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
    server: AccountsServer, client: OAuthClient, *, scopes: Iterable[str], soid: str | None = None
) -> AccessToken:
    """Get an access token for the client itself.

    ``soid`` names service and organization if Zoho asks for them (``ZohoBooks.10234695``). Raises
    as `refresh` does, and `InvalidScope`.
    """
    form = {"grant_type": "client_credentials", "scope": ",".join(scopes), **client.form()}
    if soid:
        form["soid"] = soid
    answer = await server.post(TOKEN_PATH, form)
    return granted(answer.status, answer.body, "client_credentials").access


async def revoke(server: AccountsServer, refresh_token: str) -> None:
    """Revoke ``refresh_token`` and its access tokens. Raises `InvalidGrant` if it is not valid."""
    answer = await server.post(_REVOKE_PATH, {"token": refresh_token})
    revoked(answer.status, answer.body)
