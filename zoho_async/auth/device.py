"""The device grant: a login on a machine without a browser (SSH, containers).

Model
    `request_device_code` gets two codes. The user opens an address on any other device, types the
    user code and agrees. Meanwhile `await_grant` asks again and again with the device code, until
    the accounts server answers with tokens or the codes expire.

Differences from RFC 8628, by Zoho's protocol pages
    ``interval`` and ``expires_in`` are milliseconds: 30000 and 300000. To be safe against a change,
    a value of at most 1,000 counts as seconds. The parameters are ``device_request``,
    ``device_token`` and ``code``, the paths are v3, and ``expired`` is the RFC's ``expired_token``.
    Polling needs the client secret.

The data center
    The user may live in another data center than the one that was asked. Polls are then answered
    with ``other_dc`` and the user's location. Polling goes on there with the same device code, so
    the client secret goes there too. Therefore the location only chooses an entry of the table of
    regions; an unknown one ends the login.

Invariant
    No two polls are closer together than the interval, counted from the answer to the one before.
    ``slow_down`` lengthens it by `SLOWER`. A server that cannot be reached is asked again after
    twice the interval, as the RFC recommends. An unreadable answer ends the login, unless its
    status says that a later one may differ.

Unknown
    The form of ``user_location`` (we take a name of the table in any case), and whether such a
    refresh token is refreshed at v2 or v3 (we use v2).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final, TypeAlias
from urllib.parse import urlsplit

import msgspec

from zoho_async._msgspec import decoder_of
from zoho_async.auth.credentials import OAuthClient
from zoho_async.auth.reply import EXPIRED, Grant, error_of, granted, is_temporary
from zoho_async.auth.server import AccountsServer
from zoho_async.clock import SYSTEM_CLOCK, Clock, wait
from zoho_async.errors import (
    AccountsUnavailable,
    AuthError,
    ConfigurationError,
    ConsentRefused,
    InvalidGrant,
)
from zoho_async.regions import REGIONS, checked_url
from zoho_async.wire.text import UNDECODABLE

CODE_PATH: Final = "/oauth/v3/device/code"
TOKEN_PATH: Final = "/oauth/v3/device/token"
#: Seconds that ``slow_down`` adds to the interval (RFC 8628, section 3.5).
SLOWER: Final = 5.0

#: Zoho's documented values in seconds, for an answer without them.
_INTERVAL: Final = 30.0
_LIFE: Final = 300.0
_LONGEST_LIFE: Final = 3600.0
#: The longest interval that faults of the accounts server lead to, in seconds.
_LONGEST_INTERVAL: Final = 60.0
#: The largest value that counts as seconds.
_MOST_SECONDS: Final = 1_000.0
_LONGEST_ADDRESS: Final = 500


class DeviceCode(msgspec.Struct, frozen=True, kw_only=True):
    """The codes of one login.

    Attributes:
        user_code: what the user types.
        url: the address that the user opens.
        complete_url: an address that has the user code in it, or "".
        device_code: what polling sends. The repr does not show it.
        life: seconds until both codes expire.
        interval: seconds between two polls.
    """

    user_code: str
    url: str
    complete_url: str
    device_code: str
    life: float
    interval: float

    def __repr__(self) -> str:
        return f"DeviceCode(url={self.url!r}, life={self.life}, interval={self.interval}, ...)"


class DeviceGrant(msgspec.Struct, frozen=True):
    """The tokens, and the name of the user's region ("": the server that was asked)."""

    grant: Grant
    region: str = ""


class _CodeAnswer(msgspec.Struct):
    user_code: str = ""
    device_code: str = ""
    verification_url: str = ""
    verification_uri: str = ""
    verification_uri_complete: str = ""
    expires_in: float = 0.0
    interval: float = 0.0


class _Location(msgspec.Struct):
    user_location: str = ""


_CODE_ANSWER: Final = decoder_of(_CodeAnswer, strict=False)
_LOCATION: Final = decoder_of(_Location, strict=False)

#: Opens the accounts server of a region.
OpenServer: TypeAlias = Callable[[str], AbstractAsyncContextManager[AccountsServer]]


async def request_device_code(
    server: AccountsServer, client_id: str, *, scopes: Iterable[str]
) -> DeviceCode:
    """Ask for the codes of a login. The client must be of the kind for devices.

    Raises as `zoho_async.auth.refresh` does, and `InvalidScope`.
    """
    wanted = ",".join(scopes)
    if not wanted:
        raise ConfigurationError("pass at least one scope")
    form = {
        "grant_type": "device_request",
        "client_id": client_id,
        "scope": wanted,
        "access_type": "offline",
        "prompt": "consent",
    }
    answer = await server.post(CODE_PATH, form)
    problem = error_of(answer.status, answer.body, "device")
    if problem is not None:
        raise problem[1]
    try:
        found = _CODE_ANSWER.decode(answer.body)
    except UNDECODABLE:
        found = _CodeAnswer()
    url = _address(found.verification_url or found.verification_uri)
    if not found.user_code or not found.device_code or not url:
        raise AccountsUnavailable(
            "the accounts server answered without a code or an address for the login: try again "
            "later, or log in with --browser"
        )
    return DeviceCode(
        user_code=found.user_code[:40],
        url=url,
        complete_url=_address(found.verification_uri_complete),
        device_code=found.device_code,
        life=min(_seconds(found.expires_in, _LIFE), _LONGEST_LIFE),
        interval=_seconds(found.interval, _INTERVAL),
    )


@asynccontextmanager
async def _server_of(region_name: str) -> AsyncGenerator[AccountsServer]:
    async with AccountsServer(region_name) as server:
        yield server


async def await_grant(
    server: AccountsServer,
    client: OAuthClient,
    code: DeviceCode,
    *,
    clock: Clock = SYSTEM_CLOCK,
    open_server: OpenServer = _server_of,
) -> DeviceGrant:
    """Poll ``server`` until the user agreed to ``code``. ``client`` needs its secret.

    ``open_server`` opens the accounts server of another region by its name. Raises
    `ConsentRefused` if the user refused or lives in an unknown data center, `InvalidGrant` if the
    codes expired or gave tokens before, `InvalidClient` for a wrong client or secret,
    `AccountsUnavailable` for a page instead of an answer, and another `AuthError` for any other
    answer.
    """
    ends, interval = clock.monotonic() + code.life, code.interval
    region = ""
    form = {**client.form(), "grant_type": "device_token", "code": code.device_code}
    while True:
        left = ends - clock.monotonic()
        await wait(clock, min(interval, left))
        if interval >= left:
            raise InvalidGrant(EXPIRED)
        if region:
            async with open_server(region) as there:
                found = await _poll(there, form)
        else:
            found = await _poll(server, form)
        match found:
            case Grant():
                return DeviceGrant(found, region)
            case _Refusal(name="authorization_pending"):
                pass
            case _Refusal(name="slow_down"):
                interval += SLOWER
            case _Refusal(name="other_dc"):
                region = _region_of(found.body)
            case _Refusal(error=AccountsUnavailable()):
                interval = max(interval, min(2 * interval, _LONGEST_INTERVAL))
            case _:
                raise found.error


class _Refusal(msgspec.Struct, frozen=True):
    """An answer without a token: the name of its error, the exception for it, and its body."""

    name: str
    error: AuthError
    body: bytes = b""


async def _poll(server: AccountsServer, form: Mapping[str, str]) -> Grant | _Refusal:
    """Ask once whether the user agreed."""
    try:
        answer = await server.post(TOKEN_PATH, form)
    except AccountsUnavailable as unavailable:
        return _Refusal("", unavailable)
    try:
        problem = error_of(answer.status, answer.body, "device")
    except AccountsUnavailable as unreadable:
        if not is_temporary(answer.status):
            raise
        return _Refusal("", unreadable)
    if problem is not None:
        return _Refusal(*problem, answer.body)
    grant = granted(answer.status, answer.body, "device")
    if not grant.refresh_token:
        raise AuthError("the login gave no refresh token: start again")
    return grant


def _region_of(body: bytes) -> str:
    """Return the region that an answer of ``other_dc`` names. Raises `ConsentRefused`."""
    try:
        location = _LOCATION.decode(body).user_location
    except UNDECODABLE:
        location = ""
    name = location.strip().lower()
    if name not in REGIONS:
        raise ConsentRefused(
            f"the account lives in data center {location[:20]!r}, which this version does not "
            f"know (known: {', '.join(REGIONS)}); nothing was sent there"
        )
    return name


def _address(text: str) -> str:
    """Return an address that may be shown and opened, or ""."""
    try:
        parts = urlsplit(text)
        checked_url(f"{parts.scheme}://{parts.netloc}", what="the address")
    except (ValueError, ConfigurationError):
        return ""
    return text if text.isascii() and text.isprintable() and len(text) <= _LONGEST_ADDRESS else ""


def _seconds(value: float, default: float) -> float:
    """Return Zoho's time, which is in milliseconds, in seconds."""
    if not 0 < value < float("inf"):
        return default
    return value / 1_000 if value > _MOST_SECONDS else max(value, 1.0)
