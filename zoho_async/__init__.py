"""An asyncio client for Zoho's finance APIs.

The public names. Endpoint functions live in the products (``from zoho_async.books import
invoices``), exceptions in `zoho_async.errors`, what observers are told in `zoho_async.events`.
"""

__version__ = "0.1.0"

from zoho_async.auth import Credentials
from zoho_async.errors import ZohoError
from zoho_async.files import Download
from zoho_async.limits import Limits
from zoho_async.reply import Reply
from zoho_async.session import Session
from zoho_async.uploads import Upload

__all__ = [
    "Credentials",
    "Download",
    "Limits",
    "Reply",
    "Session",
    "Upload",
    "ZohoError",
    "__version__",
]
