"""Zoho's data centers: the hosts for tokens and for API calls.

An account lives in one data center, and its tokens work in no other. A secret is sent only to a
host in this table or to one that the caller named. Source: the OAuth pages of the Books and Invoice
documentation. ``uk`` has an accounts host but no documented API host, so the caller must give one.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

import msgspec

from zoho_async.errors import ConfigurationError


class Region(msgspec.Struct, frozen=True):
    """One data center: its name, accounts URL and API URL (``None`` if it is not documented).

    ``legacy_url`` is the host of the retired XML API, documented for one data center only.
    """

    name: str
    accounts_url: str
    api_url: str | None
    legacy_url: str | None = None


_LEGACY_URLS: Final = {"us": "https://invoice.zoho.com"}

REGIONS: Final[dict[str, Region]] = {
    name: Region(
        name, f"https://{accounts}", f"https://{api}" if api else None, _LEGACY_URLS.get(name)
    )
    for name, accounts, api in (
        ("us", "accounts.zoho.com", "www.zohoapis.com"),
        ("eu", "accounts.zoho.eu", "www.zohoapis.eu"),
        ("in", "accounts.zoho.in", "www.zohoapis.in"),
        ("au", "accounts.zoho.com.au", "www.zohoapis.com.au"),
        ("jp", "accounts.zoho.jp", "www.zohoapis.jp"),
        ("ca", "accounts.zohocloud.ca", "www.zohoapis.ca"),
        ("sa", "accounts.zoho.sa", "www.zohoapis.sa"),
        ("cn", "accounts.zoho.com.cn", "www.zohoapis.com.cn"),
        ("uk", "accounts.zoho.uk", ""),
    )
}

API_URLS: Final = frozenset(region.api_url for region in REGIONS.values() if region.api_url)

_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


def is_loopback(host: str) -> bool:
    """Whether ``host`` is this machine, by a name that no resolver can redirect."""
    return host in _LOOPBACK


def region(name: str) -> Region:
    """Return the data center called ``name`` (any case). Raises `ConfigurationError` if unknown."""
    try:
        return REGIONS[name.strip().lower()]
    except KeyError:
        known = ", ".join(REGIONS)
        raise ConfigurationError(f"unknown region {name!r}; choose one of: {known}") from None


def checked_url(url: str, *, what: str) -> str:
    """Return ``url`` without its trailing slash if secrets may be sent there.

    Allowed are https to any host, and plain http on loopback only. Raises `ConfigurationError`
    otherwise; the message begins with ``what``.
    """
    parts = urlsplit(url.strip())
    if parts.username or parts.password:
        raise ConfigurationError(f"{what} must not contain a user name or password")
    if not parts.hostname or parts.query or parts.fragment:
        raise ConfigurationError(f"{what} must look like https://host, got {url!r}")
    if parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname)):
        return url.strip().rstrip("/")
    raise ConfigurationError(f"{what} must be https (http only on loopback), got {url!r}")
