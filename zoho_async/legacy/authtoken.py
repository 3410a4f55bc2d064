"""Authtokens: what the 2010 API was called with, in the two ways of getting one.

In a browser a person opens `browser_url`, signs in and copies the token. `create_authtoken` asks
for it with e-mail and password; both go in the body of a POST, never in a URL, where logs and
proxies would keep them. Either way the answer is lines of ``KEY=VALUE`` below comments; a token
works until it is revoked, so it is got once and kept like a password.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from zoho_async.auth import AccountsServer
from zoho_async.errors import AccountsUnavailable, AuthError, ConfigurationError
from zoho_async.regions import region

#: The scope of Zoho Invoice as API calls and the API mode name it, and as the browser mode does.
SCOPE: Final = "invoiceapi"
_BROWSER_SCOPE: Final = "ZohoInvoice/invoiceapi"
_CREATE: Final = "/apiauthtoken/nb/create"
_CAUSE: Final = re.compile(r"[A-Z0-9_ ]{1,60}")


class AuthTokenRefused(AuthError):
    """No authtoken was given; ``cause`` is Zoho's word for the reason, "" where it said none."""

    def __init__(self, cause: str) -> None:
        self.cause: Final = cause
        super().__init__(
            f"no authtoken was given ({cause or 'no cause was told'}): check e-mail and password; "
            "accounts that sign in through another service have no password here and need the "
            "browser mode"
        )


class AuthToken(msgspec.Struct, frozen=True):
    """What every call of the 2010 API proves itself with. The repr shows none of it.

    Raises `ConfigurationError` when one is empty.
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
        """The parameters that every call has."""
        return {"authtoken": self.authtoken, "apikey": self.apikey, "scope": self.scope}


def browser_url(region_name: str = "us") -> str:
    """Where a signed-in person gets an authtoken. Raises `ConfigurationError` for no region."""
    return f"{region(region_name).accounts_url}/apiauthtoken/create?SCOPE={_BROWSER_SCOPE}"


async def create_authtoken(server: AccountsServer, email: str, password: str) -> str:
    """A new authtoken for the account of ``email``.

    Raises `AuthTokenRefused` with Zoho's cause, `AccountsUnavailable` when no answer came or one
    that cannot be read.
    """
    answer = await server.post(_CREATE, {"SCOPE": SCOPE, "EMAIL_ID": email, "PASSWORD": password})
    return read_authtoken(answer.body.decode("utf-8", "replace"), answer.status)


def read_authtoken(text: str, status: int = 200) -> str:
    """The authtoken in an answer; raises as `create_authtoken`."""
    lines = (line.partition("=") for line in text.splitlines() if not line.startswith("#"))
    fields = {key.strip(): value.strip() for key, equals, value in lines if equals}
    token = fields.get("AUTHTOKEN", "")
    if fields.get("RESULT", "").upper() == "TRUE" and token and token.lower() != "null":
        return token
    if "RESULT" in fields:
        cause = fields.get("CAUSE", "")
        raise AuthTokenRefused(cause if _CAUSE.fullmatch(cause) else "")
    raise AccountsUnavailable(f"the accounts server answered HTTP {status} and no authtoken")
