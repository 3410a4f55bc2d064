"""The 2010 API of Zoho Invoice: authtoken and XML. **Zoho has retired it.**

Zoho's servers no longer accept authtokens. Use `zoho_async.invoice` with OAuth for new code. This
package is for hosts that still offer the API (an archive, a proxy, a test server) and for programs
that must be migrated::

    async with Legacy(AuthToken(authtoken, apikey), api_url="https://...") as zoho:
        async for item in zoho.items():
            print(item.name, item.rate)          # rate is a Decimal
        reply = await zoho.request("POST", "/invoices/create", {"XMLString": document})

Limits, retries and paging work as for `Session`. The modules: `authtoken` (getting a token),
`session` (calls and the list of items) and `xml` (converting replies).
"""

from zoho_async.legacy.authtoken import (
    AuthToken,
    AuthTokenRefused,
    browser_url,
    create_authtoken,
    read_authtoken,
)
from zoho_async.legacy.session import ITEMS, LEGACY, Item, Legacy, PageNames

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
