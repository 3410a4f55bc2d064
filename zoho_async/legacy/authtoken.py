"""Get authtokens, the credentials of the 2010 API.

There are two ways. A person opens `browser_url`, signs in and copies the token. Or
`create_authtoken` requests it with e-mail and password, in the body of a POST, never in a URL,
because logs and proxies keep URLs. Both replies are comments and lines of ``KEY=VALUE``. A token
is valid until it is revoked, so request it once and store it like a password.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from zoho_async.auth import AccountsServer
from zoho_async.errors import AccountsUnavailable, AuthError, ConfigurationError
from zoho_async.regions import region

#: The scope of Zoho Invoice in API calls and `create_authtoken`, and in `browser_url`.
SCOPE: Final = "invoiceapi"
_BROWSER_SCOPE: Final = "ZohoInvoice/invoiceapi"
_CREATE: Final = "/apiauthtoken/nb/create"
_CAUSE: Final = re.compile(r"[A-Z0-9_ ]{1,60}")


class AuthTokenRefused(AuthError):
    """Zoho refused an authtoken. ``cause`` is Zoho's reason, or "" if it sent none."""

    def __init__(self, cause: str) -> None:
        self.cause: Final = cause
        super().__init__(
            f"Zoho refused an authtoken ({cause or 'no cause given'}): check e-mail and password. "
            "Accounts that sign in through another service have no password at Zoho; open "
            "browser_url() instead"
        )


class AuthToken(msgspec.Struct, frozen=True):
    """The credentials of every call of the 2010 API. The repr hides them.

    Raises `ConfigurationError` if one of them is empty.
    """

    authtoken: str
    apikey: str
    scope: str = SCOPE

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = str(getattr(self, name)).strip()
            if not value:
                raise ConfigurationError(f"{name} is empty")
            msgspec.structs.force_setattr(self, name, value)

    def __repr__(self) -> str:
        return "AuthToken(...)"

    def form(self) -> dict[str, str]:
        """The parameters of every call."""
        return {"authtoken": self.authtoken, "apikey": self.apikey, "scope": self.scope}


def browser_url(region_name: str = "us") -> str:
    """The page where a person gets an authtoken. Raises `ConfigurationError` for a bad region."""
    return f"{region(region_name).accounts_url}/apiauthtoken/create?SCOPE={_BROWSER_SCOPE}"


async def create_authtoken(server: AccountsServer, email: str, password: str) -> str:
    """Request a new authtoken for the account of ``email``.

    Raises `AuthTokenRefused` with Zoho's cause, and `AccountsUnavailable` if there is no reply or
    it cannot be read.
    """
    answer = await server.post(_CREATE, {"SCOPE": SCOPE, "EMAIL_ID": email, "PASSWORD": password})
    return read_authtoken(answer.body.decode("utf-8", "replace"), answer.status)


def read_authtoken(text: str, status: int = 200) -> str:
    """Read the authtoken in a reply. Raises as `create_authtoken`."""
    lines = (line.partition("=") for line in text.splitlines() if not line.startswith("#"))
    fields = {key.strip(): value.strip() for key, equals, value in lines if equals}
    token = fields.get("AUTHTOKEN", "")
    if fields.get("RESULT", "").upper() == "TRUE" and token and token.lower() != "null":
        return token
    if "RESULT" in fields:
        cause = fields.get("CAUSE", "")
        raise AuthTokenRefused(cause if _CAUSE.fullmatch(cause) else "")
    raise AccountsUnavailable(f"the accounts server sent HTTP {status} without an authtoken")
