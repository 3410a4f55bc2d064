"""The secrets of installed webhooks: one per address, saved like those of accounts.

They are in a file next to the profiles that only the user can read, or in the OS keyring if the
profile keeps its secrets there. ``ZOHO_WEBHOOK_SECRET`` in the environment wins.
"""

from __future__ import annotations

import os
import secrets
import string
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from zoho_async._msgspec import decoder_of
from zoho_async.auth.profiles import chosen_profile, profile_settings, profiles_path
from zoho_async.auth.stores.keyring import KeyringVault
from zoho_async.errors import ConfigurationError
from zoho_async.files import locked, write_private
from zoho_async.webhooks.hooks import secret_tag
from zoho_async.webhooks.installed import Installed
from zoho_async.webhooks.signature import check_settings
from zoho_async.wire.text import UNDECODABLE

VARIABLE: Final = "ZOHO_WEBHOOK_SECRET"

_SERVICE: Final = "zoho-async"
_VERSION: Final = 1
#: Zoho takes 12 to 50 letters and digits.
_LENGTH: Final = 40


class SecretKey(msgspec.Struct, frozen=True, kw_only=True):
    """What a secret belongs to. ``url`` is without a query."""

    product: str
    organization: str
    url: str

    def __str__(self) -> str:
        return f"{self.product} {self.organization} {self.url}"


class _File(msgspec.Struct):
    """The file. A secret in the keyring is "" here."""

    version: int = _VERSION
    secrets: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"_File({len(self.secrets)} secrets)"


_FILE: Final = decoder_of(_File)


def new_secret() -> str:
    """Return a random secret: 40 letters and digits, about 238 bits."""
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(_LENGTH))


class SecretStore:
    """The secrets in the file ``path``, or with ``keyring`` in the OS keyring.

    Each method reads or writes the file at once. All raise `ConfigurationError` if the file or the
    keyring cannot be used.
    """

    def __init__(self, path: Path, *, keyring: bool) -> None:
        self.path: Final = path
        self._keyring: Final = keyring

    @property
    def place(self) -> str:
        """Where secrets are saved, for people."""
        return "the OS keyring" if self._keyring else f"{self.path} (mode 0600)"

    def get(self, key: SecretKey) -> str | None:
        """Return the secret of ``key``, or None."""
        found = self._read().secrets.get(str(key))
        return KeyringVault(_SERVICE).get(f"webhook {key}") if found == "" else found

    def urls(self, product: str, organization: str) -> list[str]:
        """The addresses of an organization's webhooks that have a secret here, sorted."""
        start = str(SecretKey(product=product, organization=organization, url=""))
        found = self._read().secrets
        return sorted(key.removeprefix(start) for key in found if key.startswith(start))

    def put(self, key: SecretKey, secret: str) -> None:
        """Save the secret of ``key``."""
        if self._keyring:
            KeyringVault(_SERVICE).set(f"webhook {key}", secret)
        self._change(str(key), "" if self._keyring else secret)

    def remove(self, key: SecretKey) -> None:
        """Delete the secret of ``key``. Does nothing if it does not exist."""
        if self._read().secrets.get(str(key)) == "":
            KeyringVault(_SERVICE).delete(f"webhook {key}")
        self._change(str(key), None)

    def _change(self, key: str, secret: str | None) -> None:
        try:
            with locked(self.path.with_name(f".{self.path.name}.lock")):
                found = self._read()
                found.secrets.pop(key, None)
                if secret is not None:
                    found.secrets[key] = secret
                encoded = msgspec.json.format(msgspec.json.encode(found))
                write_private(self.path, encoded + b"\n")
        except OSError as problem:
            raise ConfigurationError(
                f"cannot write the webhooks' secrets to {self.path}: {problem.strerror}; "
                f"set {VARIABLE} instead"
            ) from problem

    def _read(self) -> _File:
        try:
            found = _FILE.decode(self.path.read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return _File()
        except OSError as problem:
            raise ConfigurationError(
                f"cannot read the webhooks' secrets in {self.path}: {problem.strerror}"
            ) from problem
        except UNDECODABLE:
            found = _File(version=0)
        if found.version != _VERSION:
            raise ConfigurationError(
                f"{self.path} does not hold the secrets of webhooks in a readable form; move it "
                "away, and install the webhooks again"
            )
        return found


def secret_store(
    profile: str | None = None, environ: Mapping[str, str] | None = None
) -> SecretStore:
    """Return the store of the account: ``webhooks.json`` next to the profiles, or the keyring."""
    env = os.environ if environ is None else environ
    chosen = chosen_profile(profile, env)
    path = profiles_path(env).with_name("webhooks.json")
    return SecretStore(path, keyring=chosen is not None and chosen.keyring)


def saved_secret(
    url: str | None = None,
    *,
    product: str = "books",
    organization: str | None = None,
    profile: str | None = None,
    environ: Mapping[str, str] | None = None,
) -> str:
    """Return the secret for a `Receiver`: ``ZOHO_WEBHOOK_SECRET``, or what ``install`` saved.

    Reads files, so call it at the start of a program.

    Args:
        url: The address that was given to ``zoho-async webhooks install``. It can be left out if
            the organization has only one.
        product: The product that sends the webhooks.
        organization: Its id. Default: that of the environment or the profile.
        profile: The account that ``zoho-async login`` saved, as in `Session.from_env`.
        environ: The environment; None means that of the process.

    Raises `ConfigurationError` if there is no secret, or several and ``url`` is left out.
    """
    env = os.environ if environ is None else environ
    if env.get(VARIABLE):
        check_settings(env[VARIABLE], ())
        return env[VARIABLE]
    named = organization or profile_settings(profile, env).get("ZOHO_ORGANIZATION_ID") or ""
    store = secret_store(profile, env)
    urls = store.urls(product, named) if url is None else [url]
    if len(urls) > 1:
        raise ConfigurationError(f"there are webhooks at {', '.join(urls)}: name one of these")
    found = store.get(SecretKey(product=product, organization=named, url=urls[0])) if urls else None
    if not found:
        raise ConfigurationError(
            f"no secret of a webhook is saved here for organization {named or '(none)'}: run "
            f"`zoho-async webhooks install`, or set {VARIABLE}"
        )
    return found


def secret_to_install(
    store: SecretStore, key: SecretKey, found: Installed, environ: Mapping[str, str]
) -> str:
    """Return the secret for new webhooks of ``key``: that of the environment, the saved, or a new
    one, which is saved at once.

    Raises `ConfigurationError` if the webhooks in ``found`` have another secret, or one that is not
    known here.
    """
    secret = environ.get(VARIABLE) or store.get(key)
    existing = found.at(key.url)
    if secret:
        check_settings(secret, ())
        if any(each.tag not in ("", secret_tag(secret)) for each in existing):
            raise ConfigurationError(
                f"the webhooks at {key.url} have another secret than the one that is saved here or "
                f"in {VARIABLE}: use that one, or run `zoho-async webhooks remove --url {key.url}` "
                "first"
            )
        return secret
    if existing:
        raise ConfigurationError(
            f"the secret of the webhooks at {key.url} is not saved here: set {VARIABLE}, or run "
            f"`zoho-async webhooks remove --url {key.url}` first"
        )
    secret = new_secret()
    store.put(key, secret)
    return secret
