"""``zoho-async login``: creates a profile with working credentials.

The refresh token is saved first, before anything else can fail. Secrets are never arguments.
"""

from __future__ import annotations

import asyncio
import getpass
import os
import secrets
import sys
import webbrowser
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

import msgspec

from zoho_async.auth import (
    AccountsServer,
    Grant,
    OAuthClient,
    Profile,
    Profiles,
    Redirect,
    authorization_url,
    console_url,
    exchange_code,
    profiles_path,
    store_key,
)
from zoho_async.auth.credentials import names_credentials
from zoho_async.auth.lease import add_token
from zoho_async.auth.loopback import Loopback, redirect_uri
from zoho_async.auth.stores.keyring import works
from zoho_async.cli import outcome
from zoho_async.cli.safe import print, safe, say
from zoho_async.description import ORGANIZATIONS, scopes_for
from zoho_async.errors import ConfigurationError, InvalidGrant, ZohoError
from zoho_async.organizations import KnownOrganization
from zoho_async.regions import REGIONS, checked_url, region
from zoho_async.runtime import token_store
from zoho_async.session import Session

#: How long to wait for the browser, in seconds.
_BROWSER_TIMEOUT: Final = 600.0
#: How many codes may be tried.
_TRIES: Final = 3


class LoginOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options of a login. The command asks for options that are None."""

    profile: str
    resources: tuple[str, ...] = ()
    write: bool = False
    region: str | None = None
    client_id: str | None = None
    organization: str | None = None
    browser: bool | None = None
    port: int = 8976
    keyring: bool = True


def login(order: LoginOptions, environ: Mapping[str, str]) -> int:
    """Log in, choose an organization and save the profile. Raises `ZohoError`."""
    scopes = sorted({*scopes_for(order.resources or ["books"], write=order.write), ORGANIZATIONS})
    home = region(order.region or environ.get("ZOHO_REGION") or _ask_region())
    accounts_url = checked_url(
        environ.get("ZOHO_ACCOUNTS_URL") or home.accounts_url, what="the accounts URL"
    )
    by_browser = order.browser if order.browser is not None else _ask_way()
    if by_browser:
        say(
            f"At {console_url(accounts_url)} add this redirect URI to the client (server-based "
            f"application):\n  {redirect_uri(order.port)}"
        )
    else:
        say(f"Open {console_url(accounts_url)} and choose Self Client.")
    client = OAuthClient(order.client_id or ask("Client ID"), ask_secret("Client secret"))
    if by_browser:
        grant, found = asyncio.run(_by_browser(order, client, accounts_url, scopes))
    else:
        grant, found = _by_code(client, accounts_url, scopes), Redirect("")
    before = profiles.get(order.profile)
    profile = Profile(
        hash_key=(before.hash_key if before else "") or secrets.token_hex(32),
        client_id=client.client_id,
        client_secret=client.client_secret,
        refresh_token=grant.refresh_token,
        region=found.region or home.name,
        scopes=tuple(grant.scope.replace(",", " ").split()) or tuple(scopes),
        api_url=environ.get("ZOHO_BASE_URL", ""),
        accounts_url="" if found.region else environ.get("ZOHO_ACCOUNTS_URL", ""),
        keyring=order.keyring and works(),
        organization=order.organization or "",
    )
    profiles = Profiles(profiles_path(environ))
    profiles.put(order.profile, profile)
    where = "the OS keyring" if profile.keyring else f"{profiles.path} (mode 0600)"
    say(f"Logged in. The secrets are saved in {where}.")
    profile = _with_organization(profile, order, grant, environ)
    profiles.put(order.profile, profile)
    _print_next_steps(order, profile, environ)
    return outcome.DONE


# -- questions ------------------------------------------------------------------------------------


def _ask_region() -> str:
    while True:
        answer = ask(f"Data center ({', '.join(REGIONS)})", default="us").lower()
        if answer in REGIONS:
            return answer
        say("Unknown data center. It is the end of the address where you log in to Zoho.")


def _ask_way() -> bool:
    ways = ["Self Client: paste a code from the API console", "Browser: agree on Zoho's page"]
    return choose("How", ways) == 1


# -- both ways to a grant -------------------------------------------------------------------------


def _by_code(client: OAuthClient, accounts_url: str, scopes: list[str]) -> Grant:
    say(f"Under Generate Code enter this scope and a duration of 10 minutes:\n  {','.join(scopes)}")
    for left in reversed(range(_TRIES)):
        code = ask_secret("Code")
        try:
            return asyncio.run(_exchange(client, accounts_url, code))
        except InvalidGrant as wrong:
            if not left:
                raise
            say(str(wrong))
    raise AssertionError("unreachable")


async def _by_browser(
    order: LoginOptions, client: OAuthClient, accounts_url: str, scopes: list[str]
) -> tuple[Grant, Redirect]:
    state = secrets.token_urlsafe(24)
    here = redirect_uri(order.port)
    async with Loopback(order.port, state=state) as page:
        url = authorization_url(
            accounts_url, client.client_id, scopes=scopes, redirect_uri=here, state=state
        )
        say(f"Agree in the browser. If none opens, open this address:\n  {url}")
        if _has_browser():
            webbrowser.open(url)
        found = await page.answer(_BROWSER_TIMEOUT)
        grant = await _exchange(
            client, found.accounts_url or accounts_url, found.code, redirect=here
        )
    return grant, found


def _has_browser() -> bool:
    """Whether a graphical browser can open. A text browser would take over the terminal."""
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


async def _exchange(
    client: OAuthClient, accounts_url: str, code: str, *, redirect: str | None = None
) -> Grant:
    async with AccountsServer(url=accounts_url) as server:
        return await exchange_code(server, client, code, redirect_uri=redirect)


# -- the organization -----------------------------------------------------------------------------


def _with_organization(
    profile: Profile, order: LoginOptions, grant: Grant, environ: Mapping[str, str]
) -> Profile:
    """``profile`` with the chosen organization, if the account has any."""
    try:
        there = asyncio.run(_organizations(profile, grant, environ))
    except ZohoError as problem:
        say(f"The organizations could not be listed: {problem}")
        return profile
    if order.organization:
        if order.organization not in {each.id for each in there}:
            listed = ", ".join(map(str, there)) or "none"
            say(f"Organization {order.organization} is not one of the account's: {listed}")
        return profile
    if not there:
        say("The account has no organization yet.")
        return profile
    default = next((at for at, each in enumerate(there) if each.is_default), 0)
    say("Organizations:")
    at = choose("Which one", [str(each) for each in there], default=default)
    return msgspec.structs.replace(profile, organization=there[at].id)


async def _organizations(
    profile: Profile, grant: Grant, environ: Mapping[str, str]
) -> list[KnownOrganization]:
    store = token_store(environ, keyring=profile.keyring)
    try:
        async with Session.from_env(profile.variables(), tokens=store) as zoho:
            key = store_key(zoho.accounts_url, profile.credentials)
            await store.change(key, partial(add_token, token=grant.access))
            return await zoho.organizations()
    finally:
        await store.close()


def _print_next_steps(order: LoginOptions, profile: Profile, environ: Mapping[str, str]) -> None:
    named = "" if order.profile == "default" else f" --profile {order.profile}"
    say(f"Done. Try: zoho-async whoami{named}")
    if profile.organization:
        say(f"      or: zoho-async export --to DIR{named}")
    if names_credentials(environ):
        say(
            "Note: ZOHO_CLIENT_ID, ZOHO_CLIENT_SECRET or ZOHO_REFRESH_TOKEN is set in the "
            "environment and overrides every profile. Unset them to use this one."
        )


# -- questions on stderr; input of secrets is hidden ----------------------------------------------


def ask(question: str, *, default: str = "") -> str:
    """The answer to ``question``. Enter means ``default``; without a default it asks again.

    Raises `ConfigurationError` at the end of the input.
    """
    suffix = f" [{default}]" if default else ""
    while True:
        print(f"{question}{suffix}: ", end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
        if not line:
            raise ConfigurationError("no answer on stdin: run this in a terminal")
        answer = line.strip() or default
        if answer:
            return answer


def ask_secret(question: str) -> str:
    """A secret. The terminal does not show it."""
    if not sys.stdin.isatty():
        return ask(question)
    while True:
        answer = getpass.getpass(safe(f"{question} (not shown): "), stream=sys.stderr).strip()
        if answer:
            return answer


def choose(question: str, choices: Sequence[str], *, default: int = 0) -> int:
    """The index of the choice whose number the user enters."""
    for number, choice in enumerate(choices, 1):
        say(f"  {number}. {choice}")
    while True:
        answer = ask(question, default=str(default + 1))
        if answer.isdecimal() and 1 <= int(answer) <= len(choices):
            return int(answer) - 1
        say(f"enter a number from 1 to {len(choices)}")
