"""OAuth: credentials, grants, access tokens and the stores that share them."""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from zoho_async.auth.credentials import Credentials, OAuthClient
from zoho_async.auth.grants import (
    Redirect,
    authorization_url,
    client_credentials,
    console_url,
    exchange_code,
    read_redirect,
    refresh,
    revoke,
)
from zoho_async.auth.reply import AccessToken, Grant, access_token
from zoho_async.auth.server import AccountsServer
from zoho_async.auth.stores.base import MemoryStore, TokenStore, store_key
from zoho_async.auth.tokens import TokenSource

if TYPE_CHECKING:
    from zoho_async.auth.device import DeviceCode, DeviceGrant, await_grant, request_device_code
    from zoho_async.auth.profiles import Profile, Profiles, profile_settings, profiles_path
    from zoho_async.auth.stores.file import FileStore, KeyringStore
    from zoho_async.auth.stores.redis import RedisStore

__all__ = [
    "AccessToken",
    "AccountsServer",
    "Credentials",
    "DeviceCode",
    "DeviceGrant",
    "FileStore",
    "Grant",
    "KeyringStore",
    "MemoryStore",
    "OAuthClient",
    "Profile",
    "Profiles",
    "Redirect",
    "RedisStore",
    "TokenSource",
    "TokenStore",
    "access_token",
    "authorization_url",
    "await_grant",
    "client_credentials",
    "console_url",
    "exchange_code",
    "profile_settings",
    "profiles_path",
    "read_redirect",
    "refresh",
    "request_device_code",
    "revoke",
    "store_key",
]

#: Names that few programs need. They are loaded on first use, which keeps the import fast.
_LATER: Final = {
    "DeviceCode": "device",
    "DeviceGrant": "device",
    "await_grant": "device",
    "request_device_code": "device",
    "FileStore": "stores.file",
    "KeyringStore": "stores.file",
    "Profile": "profiles",
    "Profiles": "profiles",
    "RedisStore": "stores.redis",
    "profile_settings": "profiles",
    "profiles_path": "profiles",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
