"""Named accounts: what ``zoho-async login`` stores, and how the environment overrides it.

Profiles are in one file that only the user can read (mode 0600). The client secret and the refresh
token go to the OS keyring if a working one exists; then the file holds no secret.

The environment wins. Credentials are never mixed. If the environment sets any of the three, then
all three and the rest (organization, region, hosts) come from it, and no profile is read: a refresh
token of one client does not work with the secret of another. If it sets none, single variables
override the profile's region, organization and hosts.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from zoho_async._msgspec import decoder_of
from zoho_async.auth.credentials import NO_SECRET, Credentials, names_credentials
from zoho_async.auth.stores.keyring import KeyringVault
from zoho_async.errors import ConfigurationError
from zoho_async.files import locked, write_private
from zoho_async.wire.text import UNDECODABLE

DEFAULT: Final = "default"

_SERVICE: Final = "zoho-async"
_VERSION: Final = 1
#: The fields of a profile that go to the keyring.
_SECRETS: Final = ("client_secret", "refresh_token", "hash_key")


class Profile(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One account and its organization. ``keyring`` says that its secrets are in the keyring,
    ``public`` that its client has no secret. ``hash_key`` is the key of ``export --hash``.

    The repr shows no secret.
    """

    client_id: str
    client_secret: str = ""
    refresh_token: str = ""
    region: str = "us"
    organization: str = ""
    scopes: tuple[str, ...] = ()
    api_url: str = ""
    accounts_url: str = ""
    keyring: bool = False
    public: bool = False
    hash_key: str = ""

    def __repr__(self) -> str:
        return (
            f"Profile(client_id={self.client_id!r}, region={self.region!r}, "
            f"organization={self.organization!r}, ...)"
        )

    @property
    def credentials(self) -> Credentials:
        """The account's credentials. Raises `ConfigurationError` if the secrets are missing."""
        secret = None if self.public else self.client_secret
        return Credentials(self.client_id, secret, self.refresh_token)

    def variables(self) -> dict[str, str]:
        """The profile as environment variables, as `Session.from_env` takes them."""
        named = {
            "ZOHO_CLIENT_ID": self.client_id,
            "ZOHO_CLIENT_SECRET": NO_SECRET if self.public else self.client_secret,
            "ZOHO_REFRESH_TOKEN": self.refresh_token,
            "ZOHO_REGION": self.region,
            "ZOHO_ORGANIZATION_ID": self.organization,
            "ZOHO_BASE_URL": self.api_url,
            "ZOHO_ACCOUNTS_URL": self.accounts_url,
        }
        return {name: value for name, value in named.items() if value}


class _File(msgspec.Struct):
    version: int = _VERSION
    profiles: dict[str, Profile] = {}


_FILE: Final = decoder_of(_File)


class Profiles:
    """The profiles in the file ``path``. Each method reads or writes the file at once.

    All methods raise `ConfigurationError` if the file or the keyring cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self.path: Final = path

    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted(self._read().profiles)

    def get(self, name: str) -> Profile | None:
        """Return the profile called ``name`` with its secrets, or None if it does not exist."""
        profile = self._read().profiles.get(name)
        if profile is None or not profile.keyring:
            return profile
        vault = KeyringVault(_SERVICE)
        kept = {field: vault.get(f"{name}/{field}") or "" for field in _SECRETS}
        return msgspec.structs.replace(profile, **kept)

    def put(self, name: str, profile: Profile) -> None:
        """Store ``profile`` as ``name``. Its secrets go to the keyring if ``profile.keyring``.

        A profile without ``hash_key`` keeps the one that is stored.
        """
        if not profile.hash_key and (before := self.get(name)) is not None:
            profile = msgspec.structs.replace(profile, hash_key=before.hash_key)
        kept = profile
        if profile.keyring:
            vault = KeyringVault(_SERVICE)
            for field in _SECRETS:
                if secret := getattr(profile, field):
                    vault.set(f"{name}/{field}", secret)
                else:  # some keyrings refuse an empty one
                    vault.delete(f"{name}/{field}")
            kept = msgspec.structs.replace(profile, **dict.fromkeys(_SECRETS, ""))
        self._change(name, kept)

    def remove(self, name: str) -> None:
        """Delete ``name`` and its secrets. Does nothing if it does not exist."""
        profile = self._read().profiles.get(name)
        if profile is None:
            return
        if profile.keyring:
            vault = KeyringVault(_SERVICE)
            for field in _SECRETS:
                vault.delete(f"{name}/{field}")
        self._change(name, None)

    def _change(self, name: str, profile: Profile | None) -> None:
        try:
            with locked(self.path.with_name(f".{self.path.name}.lock")):
                found = self._read()
                found.profiles.pop(name, None)
                if profile is not None:
                    found.profiles[name] = profile
                encoded = msgspec.json.format(msgspec.json.encode(found))
                write_private(self.path, encoded + b"\n")
        except OSError as problem:
            raise ConfigurationError(
                f"cannot write the profiles to {self.path}: {problem.strerror}; "
                "name another file with ZOHO_ASYNC_PROFILES"
            ) from problem

    def _read(self) -> _File:
        try:
            found = _FILE.decode(self.path.read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return _File()
        except OSError as problem:
            raise ConfigurationError(
                f"cannot read the profiles in {self.path}: {problem.strerror}; "
                "check the file's permissions"
            ) from problem
        except UNDECODABLE:
            found = _File(version=0)
        if found.version != _VERSION:
            raise ConfigurationError(
                f"{self.path} is not a readable profiles file; move it away and log in again"
            ) from None
        return found


def profiles_path(environ: Mapping[str, str], platform: str = sys.platform) -> Path:
    """The file of profiles: ``ZOHO_ASYNC_PROFILES``, or one in the platform's config folder."""
    named = environ.get("ZOHO_ASYNC_PROFILES")
    if named:
        return Path(named)
    home = Path(environ.get("HOME") or environ.get("USERPROFILE") or Path.home())
    given = environ.get("XDG_CONFIG_HOME", "")
    if platform == "win32":
        folder = Path(environ.get("APPDATA") or home / "AppData/Roaming")
    elif given.startswith("/"):
        folder = Path(given)
    elif platform == "darwin":
        folder = home / "Library/Application Support"
    else:
        folder = home / ".config"
    return folder / "zoho-async" / "profiles.json"


def chosen_profile(
    name: str | None = None, environ: Mapping[str, str] | None = None
) -> Profile | None:
    """Return the profile to use, or None if the environment sets the credentials or none exists.

    It is ``name``, else ``ZOHO_PROFILE``, else the one called ``default``. Raises
    `ConfigurationError` if a named profile does not exist.
    """
    env = os.environ if environ is None else environ
    if names_credentials(env):
        return None
    named = name or env.get("ZOHO_PROFILE")
    profiles = Profiles(profiles_path(env))
    profile = profiles.get(named or DEFAULT)
    if profile is None and named:
        known = ", ".join(profiles.names()) or "none yet"
        raise ConfigurationError(
            f"there is no profile {named!r} (known: {known}); "
            f"create it with `zoho-async login --profile {named}`"
        )
    return profile


def profile_settings(
    name: str | None = None, environ: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return the environment on top of the chosen profile, for `Session.from_env`."""
    env = dict(os.environ if environ is None else environ)
    profile = chosen_profile(name, env)
    if profile is None:
        return env
    given = {variable: value for variable, value in env.items() if value}
    return {**profile.variables(), **given}


def account_settings(
    name: str | None = None, environ: Mapping[str, str] | None = None
) -> dict[str, str]:
    """As `profile_settings`. Raises `ConfigurationError` if they have no credentials."""
    settings = profile_settings(name, environ)
    if not names_credentials(settings):
        raise ConfigurationError(
            "no account is configured: run `zoho-async login`, or set the environment variables "
            "ZOHO_CLIENT_ID, ZOHO_CLIENT_SECRET, ZOHO_REFRESH_TOKEN"
        )
    return settings
