"""Check the ``Host`` and ``Origin`` of each request against the accepted names.

Model
    A browser on the same machine can reach loopback, and it runs the scripts of any web page. A
    page has two ways to send requests. With DNS rebinding, the page's own host name resolves to
    127.0.0.1, and the ``Host`` header holds that name. With a cross-origin request, the ``Origin``
    header holds the page's address or ``null``. Programs send no ``Origin``, and their ``Host`` is
    the host that they were configured with.

Invariant
    A request is answered only if each ``Host`` and ``Origin`` is a loopback address, the address
    that the connection arrived at, the address that the sandbox listens on, or an allowed name.
    Ports are not compared, because a proxy in front uses another port.

Why it holds
    Browsers let no page set ``Host`` or ``Origin``. A name that resolves elsewhere is accepted only
    if the user allows it. Replies carry no CORS headers, so a page cannot read them.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

import msgspec
from aiohttp import web

from zoho_async.errors import ConfigurationError

_LOOPBACK_NAME: Final = "localhost"
_NAME: Final = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")


class Hosts:
    """The hosts that requests may use: loopback, ``listening`` and ``allowed``.

    Raises `ConfigurationError` for an allowed name that is not a host name or address.
    """

    def __init__(self, listening: str, allowed: Iterable[str] = ()) -> None:
        names = [_allowed_name(name) for name in allowed]
        self._names: Final = {_normalized(listening), *names}
        self.first_allowed: Final = names[0] if names else None

    def refusal(self, request: web.BaseRequest) -> web.Response | None:
        """Return the refusal of a foreign ``Host`` (421) or ``Origin`` (403), else None."""
        for host in request.headers.getall("Host", []):
            if not self._is_own(_host_of(host), request):
                return _refusal_reply(421, "Host", host)
        for origin in request.headers.getall("Origin", []):
            if not self._is_own(_origin_of(origin), request):
                return _refusal_reply(403, "Origin", origin)
        return None

    def _is_own(self, name: str, request: web.BaseRequest) -> bool:
        if name == _LOOPBACK_NAME or name in self._names:
            return True
        address = _address(name)
        if address is None:
            return False
        return address.is_loopback or address == _address(_local_address(request))


def is_at_localhost(request: web.BaseRequest) -> bool:
    """Whether the client reached the sandbox under the name ``localhost``."""
    return _host_of(request.headers.get("Host", "")) == _LOOPBACK_NAME


def _refusal_reply(status: int, header: str, value: str) -> web.Response:
    message = (
        f"The sandbox refused this request because its {header} is {value[:100]!r}. A web page "
        "could have sent it. If the name is yours, start the sandbox with --allowed-host NAME or "
        "Sandbox(allowed_hosts=[NAME])."
    )
    return web.Response(
        status=status,
        body=msgspec.json.encode({"code": status, "message": message}),
        content_type="application/json",
    )


def _normalized(name: str) -> str:
    """Normalize a host: lower case, without brackets or trailing dot."""
    return name.strip().removeprefix("[").removesuffix("]").lower().removesuffix(".")


def _allowed_name(name: str) -> str:
    plain = _normalized(name)
    if _NAME.fullmatch(plain) is None and _address(plain) is None:
        raise ConfigurationError(
            f"allowed host must be a host name or address without scheme or port, got {name!r}"
        )
    return plain


def _host_of(header: str) -> str:
    """Return the host in a ``Host`` header, or ""."""
    try:
        return _normalized(urlsplit(f"//{header}").hostname or "")
    except ValueError:
        return ""


def _origin_of(header: str) -> str:
    """Return the host in an ``Origin`` header, or "" for ``null`` or an invalid origin."""
    try:
        return _normalized(urlsplit(header).hostname or "")
    except ValueError:
        return ""


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _local_address(request: web.BaseRequest) -> str:
    """Return the local address of the connection, or "" if it is closed."""
    if request.transport is None:
        return ""
    name: tuple[str, int] | None = request.transport.get_extra_info("sockname")
    return name[0] if name else ""
