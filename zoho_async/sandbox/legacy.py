"""What the sandbox plays of the retired 2010 API: authtokens, and the list of items.

The items are those of the sandbox's own organization, in the XML of the document's samples. A wrong
authtoken or apikey is refused with the document's code 14; what is not played is refused too, with
a code of our own, as no document shows another.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from xml.sax.saxutils import escape, quoteattr

from zoho_async.sandbox.replies import Reply
from zoho_async.sandbox.store import Store

#: What the sandbox's own account proves itself with.
EMAIL: Final = "sam@example.com"
PASSWORD: Final = "sandbox-password"
AUTHTOKEN: Final = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
APIKEY: Final = "sandbox-apikey"

ACCOUNT_PATHS: Final = frozenset({"/apiauthtoken/nb/create"})
BASE: Final = "/api/"
