"""OAuth credentials: a client's id and secret, and a user's refresh token.

A client of the type *Mobile-based Application* has no secret, because a program on a user's machine
cannot keep one. PKCE protects its login instead (`zoho_async.auth.grants`). Its ``client_secret``
equals None, or ``ZOHO_CLIENT_SECRET=none`` in the environment. A variable that is missing or empty
raises, so that a forgotten secret does not look like a client without one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from zoho_async.errors import ConfigurationError

_VARIABLES: Final = {
    "client_id": "ZOHO_CLIENT_ID",
    "client_secret": "ZOHO_CLIENT_SECRET",
    "refresh_token": "ZOHO_REFRESH_TOKEN",
}
#: The value of ``ZOHO_CLIENT_SECRET`` for a client without a secret.
NO_SECRET: Final = "none"


class OAuthClient(msgspec.Struct, frozen=True):
    """A client of the API console: its id and secret (None: it has none). The repr shows the id.

    Surrounding white space is removed. Raises `ConfigurationError` if one is empty.
    """

    client_id: str
    client_secret: str | None

    def __post_init__(self) -> None:
        _strip(self)

    def __repr__(self) -> str:
        return f"OAuthClient(client_id={self.client_id!r}, ...)"

    def form(self) -> dict[str, str]:
        """The parameters of a token request that name the client."""
        form = {"client_id": self.client_id}
        if self.client_secret is not None:
            form["client_secret"] = self.client_secret
        return form


class Credentials(msgspec.Struct, frozen=True):
    """A client's id and secret (None: it has none), and a user's refresh token for it.

    Surrounding white space, which often comes with pasted text, is removed. Raises
    `ConfigurationError` if one is empty. The repr shows the client id only.
    """

    client_id: str
    client_secret: str | None
    refresh_token: str

    def __post_init__(self) -> None:
        _strip(self)

    def __repr__(self) -> str:
        return f"Credentials(client_id={self.client_id!r}, ...)"

    @property
    def client(self) -> OAuthClient:
        """The client that the refresh token belongs to."""
        return OAuthClient(self.client_id, self.client_secret)

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Credentials:
        """Read ``ZOHO_CLIENT_ID``, ``ZOHO_CLIENT_SECRET`` and ``ZOHO_REFRESH_TOKEN``.

        The secret is ``none`` for a client without one. Raises `ConfigurationError` that names
        every missing variable.
        """
        values = {name: environ.get(variable, "").strip() for name, variable in _VARIABLES.items()}
        missing = [_VARIABLES[name] for name, value in values.items() if not value]
        if missing:
            raise ConfigurationError(
                f"set the environment variable{'s' if len(missing) > 1 else ''} "
                f"{', '.join(missing)} (from the Zoho API console of your data center)"
            )
        secret = values.pop("client_secret")
        return cls(**values, client_secret=None if secret == NO_SECRET else secret)


def names_credentials(environ: Mapping[str, str]) -> bool:
    """Whether the environment sets any credential, so that no profile is read."""
    return any(environ.get(name, "").strip() for name in _VARIABLES.values())


def _strip(fields: msgspec.Struct) -> None:
    for name in fields.__struct_fields__:
        given: str | None = getattr(fields, name)
        if given is None:
            continue
        value = given.strip()
        if not value:
            raise ConfigurationError(f"{name} is empty")
        msgspec.structs.force_setattr(fields, name, value)
