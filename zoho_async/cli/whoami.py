"""``whoami``, ``login --check`` and ``logout``."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import msgspec

from zoho_async.auth import (
    AccountsServer,
    Profile,
    Profiles,
    profile_settings,
    profiles_path,
    revoke,
    store_key,
)
from zoho_async.auth.credentials import names_credentials
from zoho_async.auth.lease import clear_token
from zoho_async.auth.profiles import DEFAULT, chosen_profile
from zoho_async.cli import outcome
from zoho_async.cli.connect import ConnectionOptions, connected
from zoho_async.cli.safe import print, safe, say
from zoho_async.clock import local_minute
from zoho_async.errors import ConfigurationError, InvalidGrant, ReplyError
from zoho_async.limits import Snapshot
from zoho_async.organizations import KnownOrganization
from zoho_async.runtime import token_store


def whoami(name: str | None, environ: Mapping[str, str], *, json: bool) -> int:
    """Show the account. Makes two API calls. Raises `ZohoError`."""
    profile = chosen_profile(name, environ)
    found = asyncio.run(_found(name, environ, profile))
    if json:
        print(msgspec.json.encode(found).decode())
    else:
        print("\n".join(f"{label:<15}{safe(value)}" for label, value in _lines(found)))
    return outcome.DONE


def check(name: str | None, environ: Mapping[str, str]) -> int:
    """Check that the account works and may use its organization. Raises `ZohoError`."""
    profile = chosen_profile(name, environ)
    found = asyncio.run(_found(name, environ, profile))
    found_ids = {each["id"] for each in found["organizations"]}
    if found["organization"] and found["organization"] not in found_ids:
        raise ConfigurationError(
            f"organization {found['organization']} is not one of the account's: "
            f"{', '.join(sorted(found_ids)) or 'it has none'}"
        )
    print(f"works: {found['account']}, region {found['region']}, {_counted(len(found_ids))}")
    return outcome.DONE


def logout(name: str | None, environ: Mapping[str, str]) -> int:
    """Revoke the refresh token of a profile and delete the profile. Raises `ZohoError`."""
    wanted = name or environ.get("ZOHO_PROFILE") or DEFAULT
    profiles = Profiles(profiles_path(environ))
    profile = profiles.get(wanted)
    if profile is None:
        known = ", ".join(profiles.names()) or "none"
        raise ConfigurationError(f"there is no profile {wanted!r}; saved profiles: {known}")
    if profile.refresh_token and (profile.client_secret or profile.public):
        try:
            asyncio.run(_revoked(profile, environ))
        except InvalidGrant:
            say("The refresh token was already revoked.")
    profiles.remove(wanted)
    print(f"logged out of {wanted}: the refresh token is revoked and the profile deleted")
    return outcome.DONE


async def _revoked(profile: Profile, environ: Mapping[str, str]) -> None:
    store = token_store(environ, keyring=profile.keyring)
    server = AccountsServer(profile.region, url=profile.accounts_url or None)
    try:
        async with server:
            await store.change(store_key(server.url, profile.credentials), clear_token)
            await revoke(server, profile.refresh_token)
    finally:
        await store.close()


async def _found(
    name: str | None, environ: Mapping[str, str], profile: Profile | None
) -> dict[str, Any]:
    settings = profile_settings(name, environ)
    connection = ConnectionOptions(profile=name)
    async with connected(connection, environ, lambda event: None, organization=False) as zoho:
        organizations = await zoho.organizations()
        if zoho.organization:
            # Only a reply about the organization tells its daily quota.
            with suppress(ReplyError):
                await zoho.request("GET", f"/organizations/{zoho.organization}")
        snapshot = await zoho.snapshot()
        return {
            "account": settings["ZOHO_CLIENT_ID"],
            "profile": (name or environ.get("ZOHO_PROFILE") or DEFAULT) if profile else None,
            "region": settings.get("ZOHO_REGION") or "us",
            "api_url": zoho.api_url,
            "scopes": list(profile.scopes) if profile else None,
            "organization": zoho.organization,
            "organizations": [_row(each) for each in organizations],
            "token_age": None if zoho.token_age is None else round(zoho.token_age),
            "day": _day(snapshot),
            "products": {
                name: _day(snapshot.for_products(name)) for name in sorted(snapshot.products)
            },
            "others": snapshot.others,
        }


def _row(organization: KnownOrganization) -> dict[str, str]:
    return {"id": organization.id, "name": organization.name}


def _day(snapshot: Snapshot) -> dict[str, Any]:
    return {
        "used": snapshot.day_used,
        "limit": snapshot.day_limit,
        "remaining": snapshot.day_remaining,
        "resets_at": snapshot.day_resets_at,
    }


def _lines(found: dict[str, Any]) -> list[tuple[str, str]]:
    where = f"profile {found['profile']}" if found["profile"] else "the environment"
    scopes = found["scopes"]
    lines = [
        ("account", f"{found['account']} (from {where})"),
        ("region", f"{found['region']} ({found['api_url']})"),
        ("scopes", "not known: see the API console" if scopes is None else ", ".join(scopes)),
        ("token", f"{found['token_age']} s old"),
    ]
    if found["products"]:
        lines += [("quota", f"{name}: {_quota(day)}") for name, day in found["products"].items()]
    else:
        lines.append(("quota", _quota(found["day"])))
    if found["others"]:
        lines.append(("others", f"about {found['others']:.0f} calls a minute"))
    for each in found["organizations"]:
        mark = " <- in use" if each["id"] == found["organization"] else ""
        lines.append(("organization", f"{each['id']} {each['name']}{mark}"))
    return lines


def _quota(day: Mapping[str, Any]) -> str:
    quota = f"{day['used']} calls used today"
    if day["limit"] is not None:
        quota += f" of {day['limit']}"
    if day["remaining"] is not None:
        quota += f", {day['remaining']} left"
    if day["resets_at"] is not None:
        quota += f", resets at {local_minute(day['resets_at'])}"
    return quota


def _counted(number: int) -> str:
    return f"{number} organization{'' if number == 1 else 's'}"


def note_if_overruled(name: str | None, environ: Mapping[str, str] = os.environ) -> None:
    """Warn that the environment overrides the named profile."""
    if name and names_credentials(environ):
        say(
            f"zoho-async: the environment overrides profile {name!r}; unset "
            "ZOHO_CLIENT_ID, ZOHO_CLIENT_SECRET and ZOHO_REFRESH_TOKEN to use the profile"
        )
