"""``zoho-async login``: creates a profile with working credentials.

The refresh token is saved first, before anything else can fail. Secrets are never arguments.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from functools import partial
from typing import Final, Literal, TypeAlias

import msgspec

from zoho_async.auth import Grant, Profile, Profiles, profiles_path, store_key
from zoho_async.auth.credentials import names_credentials
from zoho_async.auth.lease import add_token
from zoho_async.auth.loopback import PORTS
from zoho_async.auth.stores.keyring import works
from zoho_async.cli import outcome
from zoho_async.cli.consent import Wanted, by_browser, by_code, by_device
from zoho_async.cli.questions import ask, choose, explain
from zoho_async.cli.safe import say
from zoho_async.description import ORGANIZATIONS, scopes_for
from zoho_async.errors import ConfigurationError, ZohoError
from zoho_async.organizations import KnownOrganization
from zoho_async.regions import REGIONS, Region, checked_url, region
from zoho_async.runtime import token_store
from zoho_async.session import Session

LoginWay: TypeAlias = Literal["browser", "device", "self-client"]

_WAYS: Final[dict[LoginWay, str]] = {
    "browser": "Browser: agree on Zoho's page. Needs no client secret",
    "device": "Device: agree on a phone or another computer, for SSH and containers",
    "self-client": "Self Client: paste a code from the API console",
}
#: Where a login starts if the user names no data center. Zoho's answer names the right one.
_FIRST_REGION: Final = "us"


def way_of(browser: bool | None, device: bool) -> LoginWay | None:
    """The way that the options name. Raises `ConfigurationError` if they name two."""
    if device and browser is not None:
        raise ConfigurationError("give one of --browser, --device and --self-client")
    if device:
        return "device"
    return None if browser is None else "browser" if browser else "self-client"


class LoginOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options of a login. The command asks for options that are None."""

    profile: str
    resources: tuple[str, ...] = ()
    write: bool = False
    region: str | None = None
    client_id: str | None = None
    organization: str | None = None
    way: LoginWay | None = None
    port: int | None = None
    keyring: bool = True


def login(order: LoginOptions, environ: Mapping[str, str]) -> int:
    """Log in, choose an organization and save the profile. Raises `ZohoError`."""
    profiles = Profiles(profiles_path(environ))
    before = profiles.get(order.profile)  # a file that cannot be read fails before the questions
    way = order.way or _ask_way()
    home, wanted = _wanted(order, way, environ)
    agree = {"browser": by_browser, "device": by_device, "self-client": by_code}[way]
    consent = agree(wanted)
    client, grant = consent.client, consent.grant
    profile = Profile(
        hash_key=(before.hash_key if before else "") or secrets.token_hex(32),
        client_id=client.client_id,
        client_secret=client.client_secret or "",
        public=client.client_secret is None,
        refresh_token=grant.refresh_token,
        region=consent.region or home.name,
        scopes=tuple(grant.scope.replace(",", " ").split()) or tuple(wanted.scopes),
        api_url=environ.get("ZOHO_BASE_URL", ""),
        accounts_url="" if consent.region else environ.get("ZOHO_ACCOUNTS_URL", ""),
        keyring=order.keyring and works(),
        organization=order.organization or "",
    )
    profiles.put(order.profile, profile)
    where = "the OS keyring" if profile.keyring else f"{profiles.path} (mode 0600)"
    explain(f"Logged in. The secrets are saved in {where}.")
    profile = _with_organization(profile, order, grant, environ)
    profiles.put(order.profile, profile)
    _print_next_steps(order, profile, environ)
    return outcome.DONE


# -- how and where ---------------------------------------------------------------------------------


def _ask_way() -> LoginWay:
    question = "How do you want to agree"
    return list(_WAYS)[choose(question, list(_WAYS.values()))]


def _wanted(
    order: LoginOptions, way: LoginWay, environ: Mapping[str, str]
) -> tuple[Region, Wanted]:
    """The data center to start at, and what to ask there."""
    named = order.region or environ.get("ZOHO_REGION")
    server = environ.get("ZOHO_ACCOUNTS_URL")
    if not named and not server and way == "self-client":
        named = _ask_region()
    home = region(named or _FIRST_REGION)
    return home, Wanted(
        accounts_url=checked_url(server or home.accounts_url, what="the accounts URL"),
        is_named=bool(named or server),
        scopes=sorted(
            {*scopes_for(order.resources or ["books"], write=order.write), ORGANIZATIONS}
        ),
        client_id=order.client_id,
        ports=PORTS if order.port is None else (order.port,),
    )


def _ask_region() -> str:
    while True:
        answer = ask(f"Data center ({', '.join(REGIONS)})", default=_FIRST_REGION).lower()
        if answer in REGIONS:
            return answer
        say("Unknown data center. It is the end of the address where you log in to Zoho.")


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
    if environ.get("ZOHO_REGION", profile.region).strip().lower() != profile.region:
        explain(
            f"Note: the account lives in data center {profile.region}, but ZOHO_REGION in the "
            "environment names another and overrides every profile. Unset it to use this one."
        )
    if names_credentials(environ):
        explain(
            "Note: ZOHO_CLIENT_ID, ZOHO_CLIENT_SECRET or ZOHO_REFRESH_TOKEN is set in the "
            "environment and overrides every profile. Unset them to use this one."
        )
