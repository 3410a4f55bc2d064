"""What an account proves itself with."""

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


class Credentials(msgspec.Struct, frozen=True):
    """A client's id and secret, and a user's refresh token for it.

    Surrounding white space is cut off (it comes along when pasting). Raises `ConfigurationError`
    when one is empty. The repr shows the client id only.
    """

    client_id: str
    client_secret: str
    refresh_token: str

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = str(getattr(self, name)).strip()
            if not value:
                raise ConfigurationError(f"{name} is empty")
            msgspec.structs.force_setattr(self, name, value)

    def __repr__(self) -> str:
        return f"Credentials(client_id={self.client_id!r}, ...)"

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Credentials:
        """Read ``ZOHO_CLIENT_ID``, ``ZOHO_CLIENT_SECRET`` and ``ZOHO_REFRESH_TOKEN``.

        Raises `ConfigurationError` that names every variable that is missing.
        """
        values = {name: environ.get(variable, "").strip() for name, variable in _VARIABLES.items()}
        missing = [_VARIABLES[name] for name, value in values.items() if not value]
        if missing:
            raise ConfigurationError(
                f"set the environment variable{'s' if len(missing) > 1 else ''} "
                f"{', '.join(missing)} (from the Zoho API console of your data center)"
            )
        return cls(**values)
