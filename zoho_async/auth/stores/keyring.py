"""The OS keyring, where the extra ``keyring`` is installed and a keyring works."""

from __future__ import annotations

from typing import Final, Protocol, cast

from zoho_async.errors import ConfigurationError


class _Ring(Protocol):
    """What is used of keyring's backends, whose own types are partly unknown."""

    priority: float

    def get_password(self, service: str, username: str) -> str | None: ...
    def set_password(self, service: str, username: str, password: str) -> None: ...
    def delete_password(self, service: str, username: str) -> None: ...


class KeyringVault:
    """Secrets under the name ``service`` in the OS keyring.

    Raises `ConfigurationError` where the extra is missing or no keyring answers.
    """

    def __init__(self, service: str) -> None:
        try:
            import keyring
        except ModuleNotFoundError:
            raise ConfigurationError(
                "the OS keyring needs the extra: python -m pip install 'zoho-async[keyring]'"
            ) from None
        self._service: Final = service
        self._keyring: Final = cast(_Ring, keyring.get_keyring())
        if self._keyring.priority <= 0:
            raise ConfigurationError("this machine has no keyring that works")

    def get(self, name: str) -> str | None:
        """The secret called ``name``, or None."""
        with _told():
            return self._keyring.get_password(self._service, name)

    def set(self, name: str, secret: str) -> None:
        """Keep ``secret`` as ``name``."""
        with _told():
            self._keyring.set_password(self._service, name, secret)

    def delete(self, name: str) -> None:
        """Forget ``name``; no matter whether it was there."""
        if self.get(name) is not None:
            with _told():
                self._keyring.delete_password(self._service, name)


class _told:
    """Turns what keyrings raise into our own exception, without their words."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception):
            raise ConfigurationError(
                f"the OS keyring failed ({type(error).__name__}): unlock it, or keep secrets in "
                "the file with `zoho-async login --no-keyring`"
            ) from None


def works() -> bool:
    """Whether secrets can be kept in a keyring here; tried out, as some only seem to."""
    try:
        vault = KeyringVault("zoho-async check")
        vault.set("check", "works")
        kept = vault.get("check")
        vault.delete("check")
    except ConfigurationError:
        return False
    return kept == "works"
