"""Under which key an organization is counted, so that it is counted once however it is named.

Zoho counts an organization's calls per data center. The same API host can be written in many ways
(upper case, a port that is the scheme's own, a dot at the end, an international name), and a data
center has several hosts: the API host, and the older ones of each product. All of them give one
key, and so do both products of an organization. Counting too much together only slows calls down.

**Calls that name no organization** go to the user's default one, and no reply says which that is.
If processes share the ledger, they must name it, because another process may have named it. In one
process they are counted with the organization that is named there too: which came first gives the
key. If several organizations were named before, there is no telling, and the call is refused.
"""

from __future__ import annotations

import ipaddress
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from zoho_async.errors import ConfigurationError
from zoho_async.limits.ledger import Ledger, MemoryLedger
from zoho_async.regions import API_URLS, is_loopback

#: Each data center's API host, by the domains that its hosts end in.
_DATA_CENTERS: Final[dict[str, str]] = {
    f"{name}.{ending}": f"www.zohoapis.{ending}"
    for ending in (*(url.partition("zohoapis.")[2] for url in API_URLS), "uk")
    for name in ("zoho", "zohoapis")
} | {"zohocloud.ca": "www.zohoapis.ca"}

_SCHEMES_PORT: Final = {"https": 443, "http": 80}


def host_key(url: str) -> str:
    """The host of an API ``url``, written in one way: ``host`` or ``host:port``."""
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
    """An organization's id in plain digits, without zeros in front."""
    return str(int(organization)) if organization.isdecimal() else organization


def _plain(host: str) -> str:
    """One spelling for a host name or address."""
    host = host.strip().rstrip(".").lower()
    with suppress(ValueError):
        address = ipaddress.ip_address(host)
        host = "localhost" if address.is_loopback else address.compressed
        return f"[{host}]" if ":" in host else host
    with suppress(UnicodeError):
        host = host.encode("idna").decode("ascii")
    return "localhost" if is_loopback(host) else host


class OrganizationNames:
    """The organizations that one user calls for at one API host, by name or without."""

    def __init__(self, user: str) -> None:
        self._user: Final = user
        self._named: str | None = None
        self._several = False
        self._unnamed: str | None = None

    def named(self, key: str) -> str:
        """The key of the organization that ``key`` names."""
        if self._unnamed is not None:
            return self._unnamed
        self._several = self._several or self._named not in (None, key)
        self._named = key
        return key

    def unnamed(self) -> str:
        """The key of calls that name none. Raises `ConfigurationError` if that is not known."""
        if self._unnamed is None:
            if self._several:
                raise ConfigurationError(
                    "several organizations are called for, and this call names none: name it "
                    "with Session(organization=...), ZOHO_ORGANIZATION_ID or for_organization, so "
                    "that it is counted with the others of the same organization"
                )
            self._unnamed = self._named or self._user
        return self._unnamed

    def known(self) -> str:
        """The key of calls that name none, as far as there were any."""
        return self._unnamed or self._user


class SharedOrganizationNames(OrganizationNames):
    """As `Names`, where other processes may have named the organization."""

    def named(self, key: str) -> str:
        return key

    def unnamed(self) -> str:
        raise ConfigurationError(
            "the limits are shared with other processes, and this call names no organization: name "
            "it with Session(organization=...) or ZOHO_ORGANIZATION_ID (session.organizations() "
            "lists them), so that every process counts it as the same one"
        )


_NAMES: Final[WeakKeyDictionary[Ledger, dict[str, OrganizationNames]]] = WeakKeyDictionary()


def organization_names(ledger: Ledger, user: str) -> OrganizationNames:
    """What is known of the names of ``user`` (``host/@client``) where ``ledger`` counts."""
    known = _NAMES.setdefault(ledger, {})
    found = known.get(user)
    if found is None:
        kind = OrganizationNames if isinstance(ledger, MemoryLedger) else SharedOrganizationNames
        found = known[user] = kind(user)
    return found
