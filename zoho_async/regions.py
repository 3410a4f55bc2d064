"""Zoho's data centers: where tokens come from and where calls go.

An account lives in one data center and its tokens work nowhere else, so every host that may see a
secret stands in this table or was named explicitly by the caller. Source: the OAuth pages of the
Books and Invoice documentation. ``uk`` has an accounts host but appears in no finance document, so
its API host must be given.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

import msgspec

from zoho_async.errors import ConfigurationError


class Region(msgspec.Struct, frozen=True):
    """One data center: its name, accounts URL and API URL (``None`` where no document names it).

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
    """Whether ``host`` is this machine by a name that no resolver can turn elsewhere."""
    return host in _LOOPBACK


def region(name: str) -> Region:
    """The data center called ``name`` (any case). Raises `ConfigurationError` for any other."""
    try:
        return REGIONS[name.strip().lower()]
    except KeyError:
        known = ", ".join(REGIONS)
        raise ConfigurationError(f"unknown region {name!r}; choose one of: {known}") from None


def checked_url(url: str, *, what: str) -> str:
    """``url`` without its trailing slash, if secrets may be sent there.

    That is https anywhere the caller names, and plain http on loopback only. Raises
    `ConfigurationError` otherwise; the message names ``what`` was wrong.
    """
    parts = urlsplit(url.strip())
    if parts.username or parts.password:
        raise ConfigurationError(f"{what} must not hold a user name or password")
    if not parts.hostname or parts.query or parts.fragment:
        raise ConfigurationError(f"{what} must look like https://host, got {url!r}")
    if parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname)):
        return url.strip().rstrip("/")
    raise ConfigurationError(f"{what} must be https (http only on loopback), got {url!r}")
