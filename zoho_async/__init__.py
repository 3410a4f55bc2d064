"""An asyncio client for Zoho's finance APIs.

This module holds the public names. Endpoint functions are in the products (``from zoho_async.books
import invoices``), exceptions in `zoho_async.errors`, events for observers in `zoho_async.events`.

Names are loaded on first use: the pytest plugin, the command's help and the sandbox need the
package but not the client.
"""

__version__ = "0.1.0"

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zoho_async.auth import Credentials
    from zoho_async.errors import ZohoError
    from zoho_async.http.download import Download, attachments
    from zoho_async.http.reply import Reply
    from zoho_async.http.upload import Upload
    from zoho_async.limits import Limits
    from zoho_async.session import Session
else:
    _HOMES = {
        "Credentials": "auth",
        "Download": "http.download",
        "Limits": "limits",
        "Reply": "http.reply",
        "Session": "session",
        "Upload": "http.upload",
        "ZohoError": "errors",
        "attachments": "http.download",
    }

    def __getattr__(name):
        """Load a public name, or a module of the package."""
        if name in _HOMES:
            value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
            globals()[name] = value
            return value
        try:
            return importlib.import_module(f"{__name__}.{name}")
        except ModuleNotFoundError as missing:
            if missing.name != f"{__name__}.{name}":
                raise
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None

    def __dir__():
        return sorted({*globals(), *__all__})


__all__ = [
    "Credentials",
    "Download",
    "Limits",
    "Reply",
    "Session",
    "Upload",
    "ZohoError",
    "__version__",
    "attachments",
]
