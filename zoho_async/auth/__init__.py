"""OAuth: what proves who calls, and the access tokens that come of it."""

from zoho_async.auth.credentials import Credentials
from zoho_async.auth.reply import AccessToken, access_token
from zoho_async.auth.tokens import TokenSource

__all__ = ["AccessToken", "Credentials", "TokenSource", "access_token"]
