"""The retired API of 2010: authtokens, and the list of items.

The items are those of the sandbox's default organization, in the XML of Zoho's samples. A wrong
authtoken or API key gets the documented code 14.

Unknown: the codes for a page or method that does not exist. Both get today's code 5.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final
from xml.sax.saxutils import escape, quoteattr

from zoho_async.sandbox.data.store import Store
from zoho_async.sandbox.replies import ApiRefusal, ApiReply

#: The credentials of the sandbox's user.
EMAIL: Final = "sam@example.com"
PASSWORD: Final = "sandbox-password"
AUTHTOKEN: Final = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
APIKEY: Final = "sandbox-apikey"

#: The path that creates authtokens, and the base path of the API.
CREATE: Final = "/apiauthtoken/nb/create"
BASE: Final = "/api/"

_XML: Final = "text/xml;charset=UTF-8"
_PER_PAGE: Final = 200
_STAMP: Final = "#\n#Tue Nov 30 02:16:57 PST 2010\n"


def create_authtoken(form: Mapping[str, str]) -> ApiReply:
    """Answer a posted form in lines of ``KEY=VALUE``, as the accounts server does."""
    cause = ""
    if form.get("EMAIL_ID") != EMAIL or form.get("PASSWORD") != PASSWORD:
        cause = "INVALID_PASSWORD" if form.get("EMAIL_ID") == EMAIL else "NO_SUCH_USER"
    lines = f"CAUSE={cause}\nRESULT=FALSE\n" if cause else f"AUTHTOKEN={AUTHTOKEN}\nRESULT=TRUE\n"
    return ApiReply(body=(_STAMP + lines).encode(), code=None, content_type="text/plain")


def answer(method: str, path: str, form: Mapping[str, str], store: Store) -> ApiReply:
    """Answer an API request. ``form`` is the query of a GET or the body of a POST."""
    try:
        return _xml("1", "".join(_content(method, path, form, store)))
    except ApiRefusal as refusal:
        error = f"<Code>{refusal.code}</Code><Message>{escape(refusal.message)}</Message>"
        return _xml("0", error, http=refusal.status, code=refusal.code)


def _content(method: str, path: str, form: Mapping[str, str], store: Store) -> Iterator[str]:
    if form.get("authtoken") != AUTHTOKEN or form.get("apikey") != APIKEY or not form.get("scope"):
        raise ApiRefusal(200, 14, "Invalid Ticket Passed")
    if (method, path.rstrip("/")) != ("GET", "/api/items"):
        raise ApiRefusal(404, 5, "Invalid URL Passed")
    items = store.collection("books.items")
    indexes = items.indexes()
    page, size = _positive(form, "page", 1), min(_positive(form, "per_page", _PER_PAGE), _PER_PAGE)
    pages = max(1, -(-len(indexes) // size))
    yield '<Items uri="/api/items/">'
    for index in indexes[(page - 1) * size : page * size]:
        yield _item(items.row(index))
    yield f'</Items><PageContext Page="{page}" Per_Page="{size}"'
    yield f' Total="{len(indexes)}" Total_Pages="{pages}"/>'


def _item(row: Mapping[str, Any]) -> str:
    fields = {
        "ItemID": row["item_id"],
        "Name": row["name"],
        "Description": row["description"],
        "Rate": row["rate"],
        "Tax1Name": row["tax_name"],
        "Tax1Percentage": row["tax_percentage"],
        "Tax2Name": "",
        "Tax2Percentage": "",
    }
    inside = "".join(
        f"<{name}/>" if value in ("", None) else f"<{name}>{escape(str(value))}</{name}>"
        for name, value in fields.items()
    )
    return f"<Item uri={quoteattr('/api/items/' + str(row['item_id']))}>{inside}</Item>"


def _positive(form: Mapping[str, str], name: str, default: int) -> int:
    text = form.get(name, "")
    return int(text) if text.isdecimal() and 0 < int(text) < 1_000_000 else default


def _xml(status: str, inside: str, *, http: int = 200, code: int = 0) -> ApiReply:
    body = (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<Response status="{status}">{inside}</Response>'
    )
    return ApiReply(status=http, code=code, body=body.encode(), content_type=_XML)
