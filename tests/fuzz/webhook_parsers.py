"""Fuzz targets for webhooks: signatures that another implementation made, and events."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from typing import Any, Final, cast, get_args
from urllib.parse import parse_qsl, urlencode

from tests.fuzz import slow_json
from tests.fuzz.slow_json import NotJson, NotJudged
from zoho_async.webhooks import Delivery, WebhookError, WrongSignature, parse, verify
from zoho_async.webhooks.events import ProductName, UnreadableWebhook
from zoho_async.webhooks.signature import BodyType

_SECRET: Final = "0123456789abcdef"
_BODY_TYPES: Final[tuple[BodyType, ...]] = get_args(BodyType)
_PRODUCTS: Final[tuple[ProductName, ...]] = get_args(ProductName)
#: Longer texts have too many ways to be divided.
_LONGEST: Final = 60


def signature(data: bytes) -> None:
    """A delivery that is proven has the only query and body with its signature.

    The input is a digit for the body's type, the query, a line break and the body.
    """
    query, _, body = data[1:].partition(b"\n")
    body_type = _BODY_TYPES[data[0] % len(_BODY_TYPES)] if data else "json"
    text = query.decode("ascii", "ignore")
    names = list(dict(parse_qsl(text, keep_blank_values=True)))
    pairs = parse_qsl(text, keep_blank_values=True)
    if body_type == "form":
        pairs += parse_qsl(body.decode("ascii", "ignore"), keep_blank_values=True)
    signed = "".join(name + value for name, value in sorted(pairs)).encode()
    signed += b"" if body_type == "form" else body
    if len(names) > 10 or not all(name.isidentifier() and name.isascii() for name in names):
        return
    if any(name.startswith("_") or len(name) > 50 for name in names):
        return
    delivery = _verified(text, body, names, body_type, signed)
    if delivery is None:
        return
    assert _verified(text, body, names, body_type, signed + b"x") is None, "another signature"
    if body_type != "form":
        assert delivery.body == body
        assert dict(delivery.query) == dict(pairs)
    if delivery.is_proven and body_type != "form" and len(signed) <= _LONGEST:
        for other_query, other_body in _divisions(signed, sorted(names)):
            other = _verified(urlencode(other_query), other_body, names, body_type, signed)
            assert other is None or (other.query, other.body) == (delivery.query, delivery.body)


def event(data: bytes) -> None:
    """An event has the values that were sent; anything else is refused by one error.

    The first byte chooses the product.
    """
    product = _PRODUCTS[data[0] % len(_PRODUCTS)] if data else "books"
    delivery = Delivery(query={}, body=data[1:], is_proven=True, digest="")
    try:
        found = parse(delivery, product)
    except UnreadableWebhook:
        return
    try:
        sent = slow_json.read(data[1:])
    except NotJudged:
        return
    except NotJson:
        raise AssertionError("broken JSON became an event") from None
    assert isinstance(sent, dict)
    values = cast("dict[str, Any]", found.values)
    if product != "billing":
        assert [values] == [
            each
            for name, each in sent.items()
            if isinstance(each, dict) and name not in ("organization_id", "code", "message")
        ]
    elif isinstance(sent.get("data"), dict):
        assert values == sent["data"]


def _verified(
    query: str, body: bytes, names: list[str], body_type: BodyType, signed: bytes
) -> Delivery | None:
    given = hmac.new(_SECRET.encode(), signed, hashlib.sha256).hexdigest()
    try:
        return verify(
            _SECRET,
            headers={"X-Zoho-Webhook-Signature": given},
            body=body,
            query=query,
            query_names=names,
            body_type=body_type,
        )
    except WrongSignature:
        return None
    except WebhookError as problem:
        raise AssertionError(f"an undocumented error: {problem!r}") from problem


def _divisions(signed: bytes, names: list[str]) -> Iterator[tuple[list[tuple[str, str]], bytes]]:
    """Each query and body whose signed text is ``signed``."""
    if not names:
        yield [], signed
        return
    name = names[0].encode()
    if not signed.startswith(name):
        return
    rest = signed[len(name) :]
    for end in range(len(rest) + 1):
        try:
            value = rest[:end].decode()
        except UnicodeDecodeError:
            continue
        for others, body in _divisions(rest[end:], names[1:]):
            yield [(names[0], value), *others], body
