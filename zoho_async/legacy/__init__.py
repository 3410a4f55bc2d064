"""The 2010 API of Zoho Invoice: authtoken and XML. **Zoho has retired it.**

Zoho's own servers no longer take authtokens; use `zoho_async.invoice` with OAuth for anything new.
This room is for hosts that still speak it (an archive, a proxy, a test double) and for programs
that have to be moved from it::

    async with Legacy(AuthToken(authtoken, apikey), api_url="https://...") as zoho:
        async for item in zoho.items():
            print(item.name, item.rate)          # rate is a Decimal
        reply = await zoho.request("POST", "/invoices/create", {"XMLString": document})

The same limits, retries and pages hold as for `Session`. Its modules: `authtoken` (how one was
got), `session` (the calls), `xml` (what replies are turned into), `items`.
"""

from zoho_async.legacy.authtoken import (
    AuthToken,
    AuthTokenRefused,
    browser_url,
    create_authtoken,
    read_authtoken,
)
from zoho_async.legacy.items import ITEMS, Item
from zoho_async.legacy.product import LEGACY
from zoho_async.legacy.session import Legacy, PageNames

__all__ = [
    "ITEMS",
    "LEGACY",
    "AuthToken",
    "AuthTokenRefused",
    "Item",
    "Legacy",
    "PageNames",
    "browser_url",
    "create_authtoken",
    "read_authtoken",
]
