"""The requests of webhooks: address, body and signature.

Model
-----
A webhook's record says what is sent:

- without ``body_type`` and ``raw_data``: the default payload, which is the JSON of the record as
  its detail call gives it, under the module's name; of a deleted record only the id,
- ``raw_data``: that text, with placeholders,
- ``body_type`` form: the parameters in ``form_data``, or the older single field ``JSONString``,
- ``body_type`` none, or the method DELETE: no body.

With a secret, the header ``X-Zoho-Webhook-Signature`` is the HMAC-SHA256 of these parts, without
separators, in hexadecimal digits: the parameters of the query and of a form together, decoded and
sorted by name, each name directly followed by its value; then any other body as it is.

This module shares no code with `zoho_async.webhooks`, which it judges.

What is unknown
---------------
The texts of ``body_type`` and of placeholders. Here a placeholder is ``${MODULE.FIELD_NAME}``. How
Zoho encodes blanks in a query: here as ``%20``.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import msgspec

from zoho_async.sandbox.data.values import is_list, is_object
from zoho_async.sandbox.records.resource import Record
from zoho_async.sandbox.replies import ENCODER

HEADER: Final = "X-Zoho-Webhook-Signature"
Parameters: TypeAlias = list[tuple[str, str]]
_PLACEHOLDER: Final = re.compile(r"\$\{(?:[A-Za-z_]+\.)?([A-Za-z_0-9]+)\}")
_METHODS: Final = frozenset({"POST", "PUT", "DELETE"})
#: Headers that the connection needs, and the signature.
_RESERVED: Final = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", HEADER.lower()}
)


class WebhookRequest(msgspec.Struct, frozen=True):
    """A request that is ready to be sent, also more than once."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes


def signature(secret: str, parameters: Iterable[tuple[str, str]], body: bytes) -> str:
    """Sign ``parameters`` (of query and form, decoded) and a ``body`` that is not a form."""
    digest = hmac.new(secret.encode(), digestmod=hashlib.sha256)
    for name, value in sorted(parameters, key=lambda pair: pair[0]):
        digest.update(name.encode())
        digest.update(value.encode())
    digest.update(body)
    return digest.hexdigest()


def request_of(
    webhook: Mapping[str, Any], payload: Mapping[str, Any], record: Record
) -> WebhookRequest:
    """Return the request of a webhook with this default payload about ``record``.

    Raises `ValueError` for an invalid address.
    """
    parts = urlsplit(str(webhook.get("url") or ""))
    query = parse_qsl(parts.query, keep_blank_values=True)
    query += _parameters(webhook.get("query_parameters"), record)
    form, body, content_type = _content(webhook, payload, record)
    headers = {
        name: value
        for name, value in _parameters(webhook.get("headers"), record)
        if name.lower() not in _RESERVED
    }
    if content_type:
        headers["Content-Type"] = content_type
    secret = str(webhook.get("secret") or "")
    if secret:
        headers[HEADER] = signature(secret, [*query, *form], body)
    method = str(webhook.get("method") or "POST").upper()
    return WebhookRequest(
        method=method if method in _METHODS else "POST",
        url=urlunsplit(parts._replace(query=urlencode(query, quote_via=quote), fragment="")),
        headers=headers,
        body=urlencode(form, quote_via=quote).encode() if form else body,
    )


def _content(
    webhook: Mapping[str, Any], payload: Mapping[str, Any], record: Record
) -> tuple[Parameters, bytes, str]:
    """The fields of a form, any other body, and the content type."""
    kind, raw = str(webhook.get("body_type") or "").lower(), webhook.get("raw_data")
    if "none" in kind or str(webhook.get("method")).upper() == "DELETE":
        return [], b"", ""
    default = ENCODER.encode(payload)
    if "form" in kind:
        form = _parameters(webhook.get("form_data"), record)
        form = form or [("JSONString", default.decode())]
        return form, b"", "application/x-www-form-urlencoded"
    if raw:
        content_type = "application/json" if "json" in kind else "text/plain; charset=utf-8"
        return [], filled(str(raw), record).encode(), content_type
    return [], default, "application/json"


def _parameters(given: Any, record: Record) -> Parameters:
    rows: Sequence[Any] = given if is_list(given) else ()
    return [
        (str(row.get("param_name") or ""), filled(str(row.get("param_value") or ""), record))
        for row in rows
        if is_object(row) and row.get("param_name")
    ]


def filled(text: str, record: Record) -> str:
    """Replace the placeholders in ``text`` by the fields of ``record``; unknown ones by ""."""

    def value(found: re.Match[str]) -> str:
        field = record.get(found[1].lower(), "")
        return field if isinstance(field, str) else ENCODER.encode(field).decode()

    return _PLACEHOLDER.sub(value, text)
