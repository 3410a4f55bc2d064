"""Secrets in the OS keyring. Needs the extra ``keyring`` and a working keyring."""

from __future__ import annotations

from typing import Final, Protocol, cast

from zoho_async.errors import ConfigurationError


class _Keyring(Protocol):
    """The part of a keyring backend that is used. Its own types are partly unknown."""

    priority: float

    def get_password(self, service: str, username: str) -> str | None: ...
    def set_password(self, service: str, username: str, password: str) -> None: ...
    def delete_password(self, service: str, username: str) -> None: ...


class KeyringVault:
    """Secrets under the name ``service`` in the OS keyring.

    Raises `ConfigurationError` if the extra is missing or no keyring works.
    """

    def __init__(self, service: str) -> None:
        try:
            import keyring
        except ModuleNotFoundError:
            raise ConfigurationError(
                "the OS keyring needs the extra: python -m pip install 'zoho-async[keyring]'"
            ) from None
        self._service: Final = service
        self._keyring: Final = cast(_Keyring, keyring.get_keyring())
        if self._keyring.priority <= 0:
            raise ConfigurationError(
                "this machine has no working keyring; keep secrets in the file with "
                "`zoho-async login --no-keyring`"
            )

    def get(self, name: str) -> str | None:
        """Return the secret called ``name``, or None."""
        with _translated_errors():
            return self._keyring.get_password(self._service, name)

    def set(self, name: str, secret: str) -> None:
        """Store ``secret`` as ``name``."""
        with _translated_errors():
            self._keyring.set_password(self._service, name, secret)

    def delete(self, name: str) -> None:
        """Delete ``name``. Does nothing if it does not exist."""
        if self.get(name) is not None:
            with _translated_errors():
                self._keyring.delete_password(self._service, name)


class _translated_errors:
    """Turns a keyring's exceptions into `ConfigurationError`, without their text."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception):
            raise ConfigurationError(
                f"the OS keyring failed ({type(error).__name__}): unlock it, or keep secrets in "
                "the file with `zoho-async login --no-keyring`"
            ) from None


def works() -> bool:
    """Whether a keyring can store secrets here. Tries it, because some only seem to work."""
    try:
        vault = KeyringVault("zoho-async check")
        vault.set("check", "works")
        kept = vault.get("check")
        vault.delete("check")
    except ConfigurationError:
        return False
    return kept == "works"
