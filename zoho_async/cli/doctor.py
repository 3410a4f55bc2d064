"""``zoho-async doctor``: checks what an export needs, and says what to do.

It makes at most two requests, and none that writes: ``POST /oauth/v2/token`` for an access token,
if no other program stored one, and ``GET /organizations``. The second proves token, region and
organization, and its ``Date`` header tells the server's time. A request that fails is tried again
as in any other command. Without an account it makes none.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import Final

import msgspec

from zoho_async import __version__
from zoho_async.auth.profiles import account_settings, chosen_profile
from zoho_async.cli import checks, outcome
from zoho_async.cli.checks import Check
from zoho_async.cli.connect import ConnectionOptions, connected
from zoho_async.cli.outcome import interruptible
from zoho_async.cli.safe import print
from zoho_async.clock import SYSTEM_CLOCK, local_minute
from zoho_async.description import ORGANIZATIONS, is_allowed, scopes_for
from zoho_async.errors import (
    AccountsUnavailable,
    AuthError,
    ConfigurationError,
    LedgerError,
    LimitError,
    NotAuthorized,
    ZohoError,
)
from zoho_async.events import Event
from zoho_async.http.reply import Reply
from zoho_async.limits import Snapshot
from zoho_async.organizations import KnownOrganization
from zoho_async.session import Session

#: Seconds that the call may wait for a place in the limits.
_LONGEST_WAIT: Final = 10.0
#: Seconds by which the clock may be wrong. The header has whole seconds.
_TOLERATED: Final = 30.0
_WRONG: Final = 300.0
_ONLINE: Final = ("token", "clock", "organization", "scopes", "limits")


def doctor(
    resources: Sequence[str],
    profile: str | None,
    environ: Mapping[str, str],
    *,
    to: str | None,
    json: bool,
) -> int:
    """Run the checks and print them. Returns 1 if one failed. Raises `ConfigurationError`."""
    wanted = scopes_for(resources) if resources else []
    found = asyncio.run(interruptible(_run(wanted, profile, environ, to)))
    failed = [each for each in found if each.status == "failed"]
    code = outcome.FAILED if failed else outcome.DONE
    if json:
        report = {"version": __version__, "checks": found, "exit_code": code}
        print(msgspec.json.encode(report).decode())
        return code
    python = ".".join(map(str, sys.version_info[:3]))
    print(f"zoho-async {__version__}, Python {python}, {sys.platform}")
    for each in found:
        print("\n".join(_lines(each, shutil.get_terminal_size().columns)))
    warnings = sum(each.status == "warning" for each in found)
    print(f"{_counted(len(failed), 'check')} failed, {_counted(warnings, 'warning')}")
    return code


async def _run(
    wanted: list[str], profile: str | None, environ: Mapping[str, str], to: str | None
) -> list[Check]:
    setup = checks.configuration(profile, environ)
    settings = dict(environ)
    if setup.status != "failed":
        settings = account_settings(profile, environ)
    hosts = checks.hosts(settings)
    targets = () if hosts.status == "failed" else checks.urls(settings)
    found = [
        setup,
        hosts,
        checks.proxy(os.environ, targets),
        checks.certificates(os.environ),
    ]
    if "failed" in (setup.status, hosts.status):
        reason = setup if setup.status == "failed" else hosts
        found += [Check(name, "skipped", f"needs the {reason.name}") for name in _ONLINE]
    else:
        found += await _online(wanted, profile, environ)
    if to is not None:
        found.append(await asyncio.to_thread(checks.destination, to))
    return found


# -- with the account -----------------------------------------------------------------------------


async def _online(
    wanted: list[str], profile: str | None, environ: Mapping[str, str]
) -> list[Check]:
    """Make the call, and return the checks that need its reply."""
    chosen = chosen_profile(profile, environ)
    granted = chosen.scopes if chosen else ()
    connection = ConnectionOptions(profile=profile)
    try:
        async with connected(connection, environ, _ignore, organization=False) as zoho:
            reply: Reply[list[KnownOrganization]] | ZohoError
            try:
                listed = zoho.with_options(max_wait=_LONGEST_WAIT).organizations()
                reply = await zoho.reply(listed)
            except ZohoError as problem:
                reply = problem
            return [
                _token(zoho, reply, by_login=chosen is not None),
                _clock(reply),
                _organization(zoho, reply),
                _scopes(reply, granted, wanted),
                await _limits(zoho, reply),
            ]
    except (ConfigurationError, LedgerError) as problem:  # the ledger cannot be opened
        skipped = [Check(name, "skipped", "needs the limits") for name in _ONLINE[:-1]]
        return [*skipped, Check("limits", "failed", str(problem))]


def _token(
    zoho: Session, reply: Reply[list[KnownOrganization]] | ZohoError, *, by_login: bool
) -> Check:
    if isinstance(reply, LimitError | LedgerError):
        return Check("token", "skipped", "needs a free place in the limits")
    if isinstance(reply, NotAuthorized) and zoho.token_age is not None:
        return Check("token", "warning", "Zoho gave a token, but refused the call with it")
    if isinstance(reply, AuthError) and not isinstance(reply, AccountsUnavailable):
        advice = "run `zoho-async login`"
        if not by_login:
            advice = "correct the environment variables, or unset them and " + advice
        return Check("token", "failed", str(reply), advice)
    if isinstance(reply, ZohoError):
        advice = "check the network, proxy and certificates above, then try again"
        return Check("token", "failed", str(reply), advice)
    return Check("token", "ok", f"works, {round(zoho.token_age or 0)} s old")


def _clock(reply: Reply[list[KnownOrganization]] | ZohoError) -> Check:
    if isinstance(reply, ZohoError):
        return Check("clock", "skipped", "needs a reply of Zoho")
    try:
        theirs = parsedate_to_datetime(reply.headers.get("date", "")).timestamp()
    except ValueError:
        return Check("clock", "skipped", "Zoho's reply has no time")
    ahead = SYSTEM_CLOCK.time() - theirs
    text = f"{abs(ahead):,.0f} s {'ahead of' if ahead > 0 else 'behind'} Zoho's"
    if abs(ahead) <= _TOLERATED:
        return Check("clock", "ok", f"agrees with Zoho's within {_TOLERATED:.0f} s")
    status: checks.Status = "failed" if abs(ahead) > _WRONG else "warning"
    return Check("clock", status, text, "turn on time synchronization (NTP) on this machine")


def _organization(zoho: Session, reply: Reply[list[KnownOrganization]] | ZohoError) -> Check:
    at = "organization"
    if isinstance(reply, ZohoError):
        return Check(at, "skipped", "needs a reply of Zoho")
    listed = ", ".join(map(str, reply.value)) or "none"
    if zoho.organization is None:
        advice = "set ZOHO_ORGANIZATION_ID, or give --organization"
        return Check(at, "warning", f"none is named; the account has: {listed}", advice)
    for each in reply.value:
        if each.id == zoho.organization:
            return Check(at, "ok", str(each))
    advice = "set ZOHO_ORGANIZATION_ID to one of the account's, or log in with another account"
    return Check(at, "failed", f"{zoho.organization} is not one of the account's: {listed}", advice)


def _scopes(
    reply: Reply[list[KnownOrganization]] | ZohoError, granted: Sequence[str], wanted: list[str]
) -> Check:
    missing = [scope for scope in wanted if not is_allowed(scope, granted)] if granted else []
    if isinstance(reply, NotAuthorized):
        missing = [ORGANIZATIONS, *missing]
    if missing:
        advice = "log in again: `zoho-async login LISTS`, with the lists that you need"
        return Check("scopes", "failed", f"the token lacks {', '.join(missing)}", advice)
    if isinstance(reply, ZohoError):
        return Check("scopes", "skipped", "needs a reply of Zoho")
    if not granted:
        text = f"{ORGANIZATIONS} works; Zoho names the others only when you log in"
        return Check("scopes", "ok", text)
    return Check("scopes", "ok", ", ".join(granted))


async def _limits(zoho: Session, reply: Reply[list[KnownOrganization]] | ZohoError) -> Check:
    try:
        seen = await zoho.snapshot()
    except LedgerError as problem:
        return Check("limits", "failed", str(problem))
    seen = seen.for_products("books")  # which the checks call
    text = f"{seen.minute_used} of {seen.limit} calls in this minute, {_day(seen)}"
    if seen.blocked_for > 0:
        advice = "stop other programs that call this organization, or give them the same ledger"
        blocked = f"{text}; nothing is sent for {seen.blocked_for:,.0f} s, because Zoho refused"
        return Check("limits", "warning", blocked, advice)
    if seen.day_remaining == 0:
        reset = "" if seen.day_resets_at is None else f" until {local_minute(seen.day_resets_at)}"
        return Check("limits", "warning", text, f"the day's calls are used up: wait{reset}")
    if isinstance(reply, LimitError):
        return Check("limits", "warning", f"{text}; {reply}", "wait, then try again")
    return Check("limits", "ok", text)


def _day(seen: Snapshot) -> str:
    if seen.day_limit is None:
        return f"{seen.day_used:,} today (the daily limit is known after the first export)"
    left = seen.day_limit - seen.day_used if seen.day_remaining is None else seen.day_remaining
    return f"{left:,} of {seen.day_limit:,} left today"


def _ignore(event: Event) -> None:
    """The checks need no events."""


# -- output ---------------------------------------------------------------------------------------


def _lines(check: Check, width: int) -> list[str]:
    head = f"{check.status:<8} {check.name:<13} "
    indent = " " * len(head)

    def wrapped(text: str, first: str) -> list[str]:
        return textwrap.wrap(
            text,
            max(width, 60),
            initial_indent=first,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        )

    lines = wrapped(check.text, head)
    return [*lines, *wrapped(f"-> {check.advice}", indent)] if check.advice else lines


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"
