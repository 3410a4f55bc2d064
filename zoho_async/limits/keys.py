"""The key under which an organization is counted, so that it is counted once however it is named.

Zoho counts an organization's calls per data center. An API host can be written in many ways (upper
case, the scheme's default port, a trailing dot, an international name). A data center also has
several hosts: the API host, and older ones per product. All of them give one key, and all products
of an organization share it. Counting too much together only slows calls down. Only the day may be
per product: `zoho_async.limits.product_days`.

**Calls without an organization** go to the user's default one, and no reply says which that is.

- If processes share the ledger, calls must name the organization, because another process may have
  named it.
- In one process they are counted with the organization that is named there. The first name gives
  the key.
- If several organizations were named before, the call is refused, because the default one is not
  known.
"""

from __future__ import annotations

import ipaddress
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from zoho_async.errors import ConfigurationError
from zoho_async.limits.ledger import Ledger
from zoho_async.regions import API_URLS, is_loopback

#: The API host of each data center, by the domains of its hosts.
_DATA_CENTERS: Final[dict[str, str]] = {
    f"{name}.{ending}": f"www.zohoapis.{ending}"
    for ending in (*(url.partition("zohoapis.")[2] for url in API_URLS), "uk")
    for name in ("zoho", "zohoapis")
} | {"zohocloud.ca": "www.zohoapis.ca"}

_SCHEMES_PORT: Final = {"https": 443, "http": 80}


def host_key(url: str) -> str:
    """Return the host of an API ``url`` in one spelling: ``host`` or ``host:port``."""
    parts = urlsplit(url)
    host = _plain(parts.hostname or "")
    for domain, api_host in _DATA_CENTERS.items():
        if host == domain or host.endswith(f".{domain}"):
            host = api_host
    port = parts.port
    if port is None or port == _SCHEMES_PORT.get(parts.scheme):
        return host
    return f"{host}:{port}"


def organization_key(organization: str) -> str:
    """Return an organization's id without leading zeros."""
    return str(int(organization)) if organization.isdecimal() else organization


def _plain(host: str) -> str:
    """Return one spelling of a host name or address."""
    host = host.strip().rstrip(".").lower()
    with suppress(ValueError):
        address = ipaddress.ip_address(host)
        host = "localhost" if address.is_loopback else address.compressed
        return f"[{host}]" if ":" in host else host
    with suppress(UnicodeError):
        host = host.encode("idna").decode("ascii")
    return "localhost" if is_loopback(host) else host


class OrganizationNames:
    """The organizations that one user calls at one API host."""

    def __init__(self, user: str) -> None:
        self._user: Final = user
        self._named: str | None = None
        self._several = False
        self._unnamed: str | None = None

    def named(self, key: str) -> str:
        """Return the key under which the organization ``key`` is counted."""
        if self._unnamed is not None:
            return self._unnamed
        self._several = self._several or self._named not in (None, key)
        self._named = key
        return key

    def unnamed(self) -> str:
        """Return the key of calls without an organization.

        Raises `ConfigurationError` if several organizations were named.
        """
        if self._unnamed is None:
            if self._several:
                raise ConfigurationError(
                    "this call names no organization, and the session uses several: set "
                    "Session(organization=...), ZOHO_ORGANIZATION_ID or for_organization(...), so "
                    "that the call counts for the right one"
                )
            self._unnamed = self._named or self._user
        return self._unnamed

    def known(self) -> str:
        """Return the key of calls without an organization, without an error."""
        return self._unnamed or self._user


class SharedOrganizationNames(OrganizationNames):
    """`OrganizationNames` for a ledger that other processes share."""

    def named(self, key: str) -> str:
        return key

    def unnamed(self) -> str:
        raise ConfigurationError(
            "this call names no organization, and the ledger is shared with other processes: set "
            "Session(organization=...) or ZOHO_ORGANIZATION_ID (session.organizations() lists "
            "them), so that all processes count the call for the same one"
        )


_NAMES: Final[WeakKeyDictionary[Ledger, dict[str, OrganizationNames]]] = WeakKeyDictionary()


def organization_names(ledger: Ledger, user: str) -> OrganizationNames:
    """Return the organizations that ``user`` (``host/@client``) calls in ``ledger``."""
    known = _NAMES.setdefault(ledger, {})
    found = known.get(user)
    if found is None:
        kind = SharedOrganizationNames if ledger.is_shared else OrganizationNames
        found = known[user] = kind(user)
    return found
