"""Checks of ``zoho-async doctor`` that make no calls: settings, proxy, certificates, destination.

Each check returns one line: what was found, and what to do. Texts hold no secret: of a proxy they
show scheme, host and port, of an address of a database what its destination shows.
"""

from __future__ import annotations

import os
import shutil
import ssl
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Literal, TypeAlias
from urllib.parse import urlsplit
from urllib.request import proxy_bypass

import msgspec

from zoho_async.auth import Credentials
from zoho_async.auth.credentials import names_credentials
from zoho_async.auth.profiles import DEFAULT, account_settings, chosen_profile, profiles_path
from zoho_async.errors import ConfigurationError, ZohoError
from zoho_async.export.destinations import PostgreSql
from zoho_async.export.destinations.directory import Directory
from zoho_async.export.destinations.open import open_destination
from zoho_async.export.destinations.remote.store import is_remote
from zoho_async.http.transport import proxy_for
from zoho_async.regions import checked_url, is_loopback, region

Status: TypeAlias = Literal["ok", "warning", "failed", "skipped"]

_GIGABYTE: Final = 1_000_000_000
#: Variables of other programs that name certificates. Python's ssl does not read them.
_FOREIGN_BUNDLES: Final = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


class Check(msgspec.Struct, frozen=True):
    """The result of one check. ``advice`` says what to do, and "" if nothing.

    ``skipped`` means that the check needs another one that failed.
    """

    name: str
    status: Status
    text: str
    advice: str = ""


def configuration(name: str | None, environ: Mapping[str, str]) -> Check:
    """Check where the credentials come from, and that they are complete."""
    at = "configuration"
    try:
        profile = chosen_profile(name, environ)
        settings = account_settings(name, environ)
        Credentials.from_env(settings)
    except ConfigurationError as problem:
        is_new = not names_credentials(environ) and not profiles_path(environ).exists()
        advice = "to try it without an account: zoho-async export --sandbox --to demo"
        return Check(at, "failed", str(problem), advice if is_new else "")
    if profile is None:
        text = "the credentials come from the environment"
        if name:
            advice = "unset ZOHO_CLIENT_ID, ZOHO_CLIENT_SECRET and ZOHO_REFRESH_TOKEN to use it"
            return Check(at, "warning", f"{text}, which overrides profile {name}", advice)
        return Check(at, "ok", text)
    path = profiles_path(environ)
    where = "the OS keyring" if profile.keyring else str(path)
    text = f"profile {name or environ.get('ZOHO_PROFILE') or DEFAULT}, secrets in {where}"
    if os.name == "posix" and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        return Check(at, "warning", f"{text}; others may read the file", f"chmod 600 '{path}'")
    return Check(at, "ok", text)


def hosts(settings: Mapping[str, str]) -> Check:
    """Check the region, and the hosts that it or the settings name."""
    try:
        accounts_url, api_url = urls(settings)
    except ConfigurationError as problem:
        return Check("region", "failed", str(problem), "correct ZOHO_REGION or the named variable")
    name = region(settings.get("ZOHO_REGION") or "us").name
    return Check("region", "ok", f"{name}: tokens from {accounts_url}, calls to {api_url}")


def urls(settings: Mapping[str, str]) -> tuple[str, str]:
    """The accounts server's URL and the API's. Raises `ConfigurationError`."""
    home = region(settings.get("ZOHO_REGION") or "us")
    api_url = settings.get("ZOHO_BASE_URL") or home.api_url
    if api_url is None:
        raise ConfigurationError(
            f"the API host of region {home.name} is not documented: set ZOHO_BASE_URL"
        )
    accounts_url = settings.get("ZOHO_ACCOUNTS_URL") or home.accounts_url
    return (
        checked_url(accounts_url, what="ZOHO_ACCOUNTS_URL"),
        checked_url(api_url, what="ZOHO_BASE_URL"),
    )


def proxy(environ: Mapping[str, str], targets: Sequence[str]) -> Check:
    """Check the proxy for the URLs ``targets``, by the rules that calls use."""
    used = sorted({found for url in targets if (found := proxy_for(url))})
    for address in used:
        scheme, _, rest = address.partition("://")
        if not rest or _shown(address) == "":
            advice = "set HTTPS_PROXY to http://HOST:PORT"
            return Check("proxy", "failed", "the address of the proxy cannot be read", advice)
        if scheme not in ("http", "https"):
            return Check(
                "proxy",
                "failed",
                f"{_shown(address)} is a proxy of the kind {scheme}, which calls cannot use",
                "set HTTPS_PROXY to an HTTP proxy",
            )
    direct = [host for url in targets if (host := urlsplit(url).hostname) and not proxy_for(url)]
    wanted = [host for host in direct if not is_loopback(host) and not proxy_bypass(host)]
    if wanted and (environ.get("ALL_PROXY") or environ.get("all_proxy")):
        return Check(
            "proxy",
            "warning",
            "ALL_PROXY is not an HTTP proxy, so calls do not use it: they go out directly",
            "set HTTPS_PROXY to http://HOST:PORT, or if that is intended, NO_PROXY to "
            + ",".join(sorted(set(wanted))),
        )
    shown = ", ".join(map(_shown, used))
    return Check("proxy", "ok", f"calls go through {shown}" if used else "none, calls go directly")


def _shown(address: str) -> str:
    """Scheme, host and port of a proxy, without user and password. "" if it is invalid."""
    try:
        parts = urlsplit(address)
        port = "" if parts.port is None else f":{parts.port}"
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.hostname}{port}" if parts.hostname else ""


def certificates(environ: Mapping[str, str]) -> Check:
    """Check that there are certificates to verify Zoho's servers with."""
    at = "certificates"
    file, folder = environ.get("SSL_CERT_FILE"), environ.get("SSL_CERT_DIR")
    if file:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=file)
        except (OSError, ssl.SSLError):
            advice = "set it to a readable file of certificates (PEM), or unset it"
            return Check(at, "failed", f"SSL_CERT_FILE={file} has no readable certificates", advice)
    if folder and not Path(folder).is_dir():
        advice = "set it to a directory of certificates, or unset it"
        return Check(at, "failed", f"SSL_CERT_DIR={folder} is not a directory", advice)
    count = len(ssl.create_default_context().get_ca_certs())
    store = folder or ssl.get_default_verify_paths().capath
    has_folder = bool(store) and Path(str(store)).is_dir() and any(Path(str(store)).iterdir())
    if not count and not has_folder:
        advice = "install your system's CA certificates (ca-certificates), or set SSL_CERT_FILE"
        return Check(at, "failed", "no certificate authorities were found", advice)
    for name in _FOREIGN_BUNDLES:
        bundle = environ.get(name)
        if bundle and not Path(bundle).exists():
            text = f"{name}={bundle} does not exist; Python's ssl does not read it anyway"
            return Check(at, "warning", text, f"unset {name}, or correct it for other programs")
        if bundle and bundle not in (file, ssl.get_default_verify_paths().cafile):
            return Check(
                at,
                "warning",
                f"{name} is set, but Python's ssl does not read it",
                f"set SSL_CERT_FILE='{bundle}' if a proxy opens TLS",
            )
    return Check(at, "ok", f"{count} authorities" if count else f"authorities in {store}")


def destination(to: str) -> Check:
    """Check that an export could write to ``to``. Writes nothing."""
    try:
        return _destination(to)
    except ZohoError as problem:
        return Check("destination", "failed", str(problem))
    except OSError as problem:  # a directory that may not be searched, a name that is too long
        text = f"the path cannot be used: {problem.strerror}"
        return Check("destination", "failed", text, "name another place with --to")


def _destination(to: str) -> Check:
    at = "destination"
    place = open_destination(to)
    if isinstance(place, PostgreSql):
        with place.read_only():
            return Check(at, "ok", f"connected to {place.name}")
    if is_remote(to):
        return Check(at, "skipped", "an object store is checked when an export begins")
    if isinstance(place, Directory) and Path(to).is_file():
        return Check(at, "failed", f"{to} is not a directory", "name another place with --to")
    return _path(Path(to.partition(":")[2] if to.startswith(("duckdb:", "sqlite:")) else to))


def _path(path: Path) -> Check:
    at = "destination"
    there = path.absolute()
    while not there.exists() and there != there.parent:
        there = there.parent
    if there != path.absolute() and not there.is_dir():
        return Check(at, "failed", f"{there} is not a directory", "name another place with --to")
    if not os.access(there, os.W_OK):
        advice = "change its permissions, or name another place with --to"
        return Check(at, "failed", f"you may not write to {there}", advice)
    free = shutil.disk_usage(there).free
    text = f"{path}: {free / _GIGABYTE:,.1f} GB free"
    if free < _GIGABYTE:
        return Check(at, "warning", text, "free some space, or name another place with --to")
    return Check(at, "ok", text)
