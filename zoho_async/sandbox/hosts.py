"""Who may talk to the sandbox: names that mean this machine, and those that its user allows.

Model. A browser on the same machine can reach loopback, and runs scripts of any web page. A page
sends requests in two ways. From its own origin with its own name, which its owner lets resolve to
127.0.0.1 (DNS rebinding): the ``Host`` header then holds that name. Or across origins: the
``Origin`` header then holds the page's own address, or ``null``. Programs send no ``Origin`` and
the host that they were pointed at.

Invariant. A request is answered only if each ``Host`` and ``Origin`` names a loopback address, the
address that the connection arrived at, the one that the sandbox was told to listen on, or an
allowed name. Ports are not compared: a proxy in front has another port.

Why it holds. Browsers let no page set ``Host`` or ``Origin``. A name that resolves elsewhere is
accepted only if the user allowed it. Replies carry no CORS header, so a page reads none of them.
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
    """The hosts that requests may name: loopback, ``listening`` and ``allowed``.

    Raises `ConfigurationError` for an allowed name that is not a host name or address.
    """

    def __init__(self, listening: str, allowed: Iterable[str] = ()) -> None:
        self._names: Final = {_normalized(listening), *map(_allowed_name, allowed)}

    def refusal(self, request: web.BaseRequest) -> web.Response | None:
        """The refusal of a request with a foreign ``Host`` (421) or ``Origin`` (403)."""
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


def _refusal_reply(status: int, header: str, value: str) -> web.Response:
    message = (
        f"The sandbox refuses requests whose {header} is {value[:100]!r}: a web page could have "
        "sent them. If this name is yours, start the sandbox with --allowed-host NAME or "
        "Sandbox(allowed_hosts=[NAME])."
    )
    return web.Response(
        status=status,
        body=msgspec.json.encode({"code": status, "message": message}),
        content_type="application/json",
    )


def _normalized(name: str) -> str:
    """A host as it is compared: lower case, without brackets and trailing dot."""
    return name.strip().removeprefix("[").removesuffix("]").lower().removesuffix(".")


def _allowed_name(name: str) -> str:
    plain = _normalized(name)
    if _NAME.fullmatch(plain) is None and _address(plain) is None:
        raise ConfigurationError(
            f"an allowed host is a host name or address without scheme and port, got {name!r}"
        )
    return plain


def _host_of(header: str) -> str:
    """The host in a ``Host`` header, "" if there is none."""
    try:
        return _normalized(urlsplit(f"//{header}").hostname or "")
    except ValueError:
        return ""


def _origin_of(header: str) -> str:
    """The host in an ``Origin`` header, "" for ``null`` and what is not an origin."""
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
    """The address of this end of the connection, "" if it has gone."""
    if request.transport is None:
        return ""
    name: tuple[str, int] | None = request.transport.get_extra_info("sockname")
    return name[0] if name else ""
