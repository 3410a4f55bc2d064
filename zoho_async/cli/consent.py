"""The three ways in which a user agrees to a login.

- `by_browser`: on Zoho's page in a browser on this machine. Needs no client secret, because PKCE
  ties the answer to this program.
- `by_device`: on any other device, with a code, a link and a QR code. For SSH and containers. Zoho
  wants the client secret of the device that waits.
- `by_code`: with a code that the API console's Self Client makes.

The first two find the user's data center from Zoho's answer. The third cannot: the code comes from
the user, and it works in one data center only.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
import webbrowser
from typing import Final

import msgspec
import segno
from rich.console import Console
from rich.text import Text

from zoho_async.auth import (
    AccountsServer,
    DeviceCode,
    Grant,
    OAuthClient,
    authorization_url,
    await_grant,
    console_url,
    exchange_code,
    read_redirect,
    request_device_code,
)
from zoho_async.auth.loopback import Loopback, redirect_uri
from zoho_async.cli.questions import ask, ask_secret, explain
from zoho_async.errors import AccountsUnavailable, InvalidClient, InvalidGrant
from zoho_async.regions import REGIONS

#: How long to wait for the browser, in seconds.
_BROWSER_TIMEOUT: Final = 600.0
#: How many codes may be tried.
_TRIES: Final = 3
#: Black on white in any theme: these two colors of a terminal are not part of its theme.
_QR_STYLE: Final = "color(16) on color(231)"
_QR_BLOCKS: Final = {(1, 1): "█", (1, 0): "▀", (0, 1): "▄", (0, 0): " "}


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What a login asks for, and the accounts server that it asks first.

    ``is_named`` says that the user named the data center or the server.
    """

    accounts_url: str
    is_named: bool
    scopes: list[str]
    client_id: str | None = None
    ports: tuple[int, ...] = ()


class Consent(msgspec.Struct, frozen=True):
    """The tokens that the user agreed to, and the client that has them.

    ``region`` is the user's data center as Zoho named it, or "".
    """

    client: OAuthClient
    grant: Grant
    region: str = ""


# -- in the browser -------------------------------------------------------------------------------


def by_browser(wanted: Wanted) -> Consent:
    """Let the user agree in the browser. Raises an `AuthError`, or `ConfigurationError`."""
    explain(
        f"At {console_url(wanted.accounts_url)} create a Mobile-based Application, which has no "
        "secret, or a Server-based Application. Add as redirect URI:",
        *map(redirect_uri, wanted.ports),
    )
    if len(wanted.ports) > 1:
        explain("The first one is used. The others are for the case that its port is busy.")
    client = OAuthClient(
        wanted.client_id or ask("Client ID"), ask_secret("Client secret", optional=True) or None
    )
    return asyncio.run(_by_browser(wanted, client))


async def _by_browser(wanted: Wanted, client: OAuthClient) -> Consent:
    state, verifier = secrets.token_urlsafe(24), secrets.token_urlsafe(32)
    async with Loopback(wanted.ports, state=state) as page:
        url = authorization_url(
            wanted.accounts_url,
            client.client_id,
            scopes=wanted.scopes,
            redirect_uri=page.redirect_uri,
            state=state,
            code_verifier=verifier,
        )
        explain("Agree in the browser. If none opens, open this address:", url)
        if not wanted.is_named:
            explain(
                "If the page does not know the client, press Ctrl-C and start again with --region "
                "and your data center: eu, in, au, ..."
            )
        if _has_browser():
            # It starts a program, and waits for one in the terminal.
            await asyncio.to_thread(webbrowser.open, url)
        else:
            explain(
                "No browser opens on this machine. To use one on another machine, press Ctrl-C and "
                "choose `zoho-async login --device`."
            )
        query = await page.answer(_BROWSER_TIMEOUT)
    found = read_redirect(query, state=state, accounts_url=wanted.accounts_url)
    async with AccountsServer(url=found.accounts_url or wanted.accounts_url) as server:
        grant = await exchange_code(
            server,
            client,
            found.code,
            redirect_uri=page.redirect_uri,
            code_verifier=verifier,
        )
    return Consent(client, grant, found.region)


def _has_browser() -> bool:
    """Whether a graphical browser can open. A text browser would take over the terminal."""
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


# -- on another device ----------------------------------------------------------------------------


def by_device(wanted: Wanted) -> Consent:
    """Let the user agree on another device. Raises an `AuthError`, or `ConfigurationError`."""
    explain(
        f"At {console_url(wanted.accounts_url)} create a Non-browser Application. Its secret is "
        "needed on this machine, because Zoho asks for it when a device waits for its user."
    )
    client = OAuthClient(wanted.client_id or ask("Client ID"), ask_secret("Client secret"))
    return asyncio.run(_by_device(wanted, client))


async def _by_device(wanted: Wanted, client: OAuthClient) -> Consent:
    region, url, code = await _device_code(wanted, client.client_id)
    explain(
        f"On any device, open this address within {code.life / 60:.0f} minutes, type the code and "
        "agree:",
        code.url,
        f"Code: {code.user_code}",
    )
    show_qr_code(code.complete_url or code.url)
    explain("Waiting for you to agree. Ctrl-C stops the login.")
    async with AccountsServer(url=url) as server:
        found = await await_grant(server, client, code)
    return Consent(client, found.grant, found.region or region)


async def _device_code(wanted: Wanted, client_id: str) -> tuple[str, str, DeviceCode]:
    """Get a code from the data center that knows the client: its region, its URL and the code.

    If the user named none, all are asked in turn. Only the client id goes there, no secret.
    """
    places = [("", wanted.accounts_url)]
    if not wanted.is_named:
        places = [(home.name, home.accounts_url) for home in REGIONS.values()]
    problems: list[InvalidClient | AccountsUnavailable] = []
    for region, url in places:
        async with AccountsServer(url=url) as server:
            try:
                code = await request_device_code(server, client_id, scopes=wanted.scopes)
            except InvalidClient as problem:
                problems.append(problem)
            except AccountsUnavailable as problem:  # the client may belong to the next one
                if region:
                    explain(f"Data center {region}: {problem}")
                problems.append(problem)
            else:
                return region, url, code
    answers = [each for each in problems if isinstance(each, InvalidClient)] or problems
    # A client belongs to one data center. If that one answers otherwise, it says what is wrong.
    messages = [str(each) for each in answers]
    raise min(answers, key=lambda each: messages.count(str(each)))


def show_qr_code(text: str, console: Console | None = None) -> None:
    """Show ``text`` as a QR code, dark on light, if the terminal has the width and the colors.

    Two rows of the code share a line, so that its squares are square.
    """
    shown = console or Console(stderr=True)
    has_colors = shown.is_terminal and shown.color_system is not None and not shown.no_color
    if not has_colors or not shown.encoding.startswith("utf"):
        return
    rows = [list(row) for row in segno.make(text, error="l", micro=False).matrix_iter(border=2)]
    if len(rows[0]) > shown.width:
        return
    if len(rows) % 2:
        rows.append([0] * len(rows[0]))
    for pair in zip(rows[::2], rows[1::2], strict=True):
        blocks = "".join(_QR_BLOCKS[upper, lower] for upper, lower in zip(*pair, strict=True))
        shown.print(Text(blocks, style=_QR_STYLE), no_wrap=True, crop=False)


# -- with a code from the console -----------------------------------------------------------------


def by_code(wanted: Wanted) -> Consent:
    """Let the user paste a code. Raises an `AuthError`, or `ConfigurationError`."""
    explain(f"Open {console_url(wanted.accounts_url)} and choose Self Client.")
    client = OAuthClient(wanted.client_id or ask("Client ID"), ask_secret("Client secret"))
    explain(
        "Under Generate Code enter this scope and a duration of 10 minutes:",
        ",".join(wanted.scopes),
    )
    for left in reversed(range(_TRIES)):
        code = ask_secret("Code")
        try:
            return Consent(client, asyncio.run(_exchange(wanted, client, code)))
        except InvalidGrant as wrong:
            if not left:
                raise
            explain(str(wrong))
    raise AssertionError("unreachable")


async def _exchange(wanted: Wanted, client: OAuthClient, code: str) -> Grant:
    async with AccountsServer(url=wanted.accounts_url) as server:
        return await exchange_code(server, client, code)
