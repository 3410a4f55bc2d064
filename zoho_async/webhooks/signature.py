"""Check the signature of a webhook.

Model
-----
A webhook with a secret has the header ``X-Zoho-Webhook-Signature``: the HMAC-SHA256 of one text
under that secret, in hexadecimal digits. Zoho builds the text of three parts without separators:

- each query parameter, sorted by name: the name, directly followed by its value;
- each field of a form body, decoded and sorted together with the query parameters;
- any other body, byte for byte.

Invariant
---------
A request is accepted only if its signature is that of its text under one of the secrets. If
``is_proven`` of its `Delivery` is true, no other query and body have this text, so the delivery
holds what Zoho sent.

Why it holds
------------
The text has no separators: ``a=bc`` and ``ab=c`` have the same one, and the end of the query could
be moved into the body. So the receiver says what was chosen when the webhook was installed: the
names of the query's parameters, and the type of the body. Content types are not signed and are not
looked at.

- Each parameter must be there once, and no other. Its value has only characters of `_VALUE`, and
  the names fit into the query's text in one way only.
- A body behind a query starts with a character that no value has, as JSON objects and XML do. So
  the text has one place where the body starts.
- A form has no such place, because its values can be any text. Only a form with the single field
  ``JSONString`` is proven, if the names fit into its text in one way. Any other form is a hint that
  something happened, not data: the record must be read from the API.

The signature holds no time, so a request can be sent again by those who saw it. `Delivery.digest`
recognizes repeats.

What is unknown
---------------
How Zoho signs blanks and characters beyond ASCII in a query, and the order of two parameters with
the same name: both are refused. Whether names are sorted by bytes, as here, or by letters: names of
lower-case letters sort alike. How a multipart form is signed. One client reports signatures in
base64: both encodings are accepted.

Sources: Zoho Billing's help on securing webhooks, and verifiers that run in production. The page
describes Billing; Books has the same settings, Inventory the same calls, Invoice by likeness.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal, TypeAlias, cast
from urllib.parse import parse_qsl

import msgspec

from zoho_async.errors import ConfigurationError, ZohoError

Pairs: TypeAlias = Iterable[tuple[str, str]]
Fields: TypeAlias = tuple[tuple[str, str], ...]
#: What a webhook sends, as chosen when it was installed.
BodyType: TypeAlias = Literal["json", "form", "text", "none"]

#: The older form of a payload: one form field that holds JSON.
JSON_FIELD: Final = "JSONString"

_HEADER: Final = "x-zoho-webhook-signature"
#: Zoho Payments documents the first name and sends the second.
_PAYMENTS_HEADERS: Final = ("x-zohowebhook-signature", _HEADER)
_SECRET: Final = re.compile(r"[0-9A-Za-z]{12,50}")
_NAME: Final = re.compile(r"[A-Za-z][0-9A-Za-z_]{0,49}")
#: What a value in the query can hold: a word, a number, a date or an id.
_VALUE: Final = re.compile(r"[0-9A-Za-z_.:-]{0,100}")
_MOST_NAMES: Final = 10
_MOST_FIELDS: Final = 500


class WebhookError(ZohoError):
    """A request is not a webhook that can be used. It changed nothing."""


class WrongSignature(WebhookError):
    """A request has no signature, or one that does not match: answer 401."""


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook whose signature is right.

    ``query`` are the parameters of the address. ``body`` is the body as received; of a form, the
    text of its field ``JSONString``, or nothing. ``form`` are the fields of a form. ``is_proven``
    says that these are exactly what Zoho signed. If it is false, characters may have been moved
    from one value to another: use the delivery as a hint only. ``digest`` (64 hexadecimal digits)
    is the same for a request that is sent again.
    """

    query: Mapping[str, str]
    body: bytes
    form: Fields = ()
    is_proven: bool
    digest: str

    def __repr__(self) -> str:  # bodies hold personal data
        return f"Delivery(digest={self.digest!r}, is_proven={self.is_proven})"


def verify(
    secret: str | Sequence[str],
    *,
    headers: Mapping[str, str],
    body: bytes,
    query: str | Mapping[str, str] | Pairs = "",
    query_names: Iterable[str] = (),
    body_type: BodyType = "json",
) -> Delivery:
    """Check that a webhook comes from Zoho Books, Invoice, Inventory or Billing.

    Args:
        secret: The secret that was given to the webhook, 12 to 50 letters and digits. Several
            while the secret is being changed.
        headers: The request's headers. Upper and lower case do not matter.
        body: The body as it was received, before anything decodes it.
        query: The query of the address: the text after ``?``, or decoded parameters.
        query_names: The parameters of the webhook's address, such as ``["event_type"]``. A request
            with fewer, more or other parameters is refused.
        body_type: What the webhook sends: ``json`` (the default payload), a ``form``, ``text`` of
            any other kind, or ``none``.

    Raises `WrongSignature` if the request is not signed with the secret or could be read in two
    ways, and `ConfigurationError` if the secret or the names cannot be those of a webhook.

        delivery = verify(secret, headers=request.headers, body=await request.read())
        event = parse(delivery, "books")
    """
    secrets = _secrets(secret)
    names = _checked_names(query_names)
    given = _decoded_signature(_one_header(headers, (_HEADER,)))
    pairs = _query_pairs(query, names)
    form = _form_fields(body, body_type)
    raw = b"" if body_type == "form" else body
    text = "".join(name + value for name, value in sorted([*pairs, *form]))
    _compare(secrets, text.encode() + raw, given)
    if body_type != "form":
        _check_body(body, body_type, behind_query=bool(pairs))
        if pairs and not _splits_in_one_way(text, sorted(names)):
            raise WrongSignature("a value in the query holds the name of another parameter")
    is_json_form = [name for name, _ in form] == [JSON_FIELD]
    return Delivery(
        query=dict(pairs),
        body=form[0][1].encode() if is_json_form else raw,
        form=form,
        is_proven=body_type != "form"
        or (is_json_form and _splits_in_one_way(text, sorted([*names, JSON_FIELD]))),
        digest=_digest(text.encode() + raw),
    )


def check_settings(secret: str | Sequence[str], query_names: Iterable[str]) -> None:
    """Raise `ConfigurationError` if these cannot be the secret and the names of a webhook."""
    _secrets(secret)
    _checked_names(query_names)


def unsigned(*, query: str, body: bytes, body_type: BodyType = "json") -> Delivery:
    """A delivery of a webhook without a secret. Nothing in it is proven.

    Raises `WrongSignature` if the query or the form cannot be decoded.
    """
    form = _form_fields(body, body_type)
    is_json_form = [name for name, _ in form] == [JSON_FIELD]
    raw = b"" if body_type == "form" else body
    return Delivery(
        query=dict(_decoded(query.removeprefix("?"), "query")),
        body=form[0][1].encode() if is_json_form else raw,
        form=form,
        is_proven=False,
        digest=_digest(query.encode() + b"\0" + body),
    )


def verify_payments(
    signing_key: str | Sequence[str],
    *,
    headers: Mapping[str, str],
    body: bytes,
    tolerance: float = 300.0,
    now: float | None = None,
) -> Delivery:
    """Check that a webhook comes from Zoho Payments.

    Its signature has the form ``t=MILLISECONDS,v=HEX`` and is that of the time, a dot and the body.
    A request whose time differs from ``now`` (seconds since 1970, default: the clock) by more than
    ``tolerance`` seconds is refused. Zoho states no tolerance; five minutes are usual. Raises
    `WrongSignature` and `ConfigurationError`.
    """
    keys = _several(signing_key)
    if not all(keys) or not keys:
        raise ConfigurationError("the signing key of Zoho Payments is empty")
    text = _one_header(headers, _PAYMENTS_HEADERS)
    parts = re.fullmatch(r"t=([0-9]{10,16}),v=([0-9A-Fa-f]{64})", text.strip())
    if parts is None:
        raise WrongSignature("the signature does not have the form t=MILLISECONDS,v=HEX")
    signed = parts[1].encode() + b"." + body
    _compare(keys, signed, bytes.fromhex(parts[2]))
    age = (time.time() if now is None else now) - int(parts[1]) / 1000
    if abs(age) > tolerance:
        raise WrongSignature(
            f"the request was signed {abs(age):.0f} s {'ago' if age > 0 else 'in the future'}, "
            f"and {tolerance:.0f} s are allowed; check this computer's clock"
        )
    return Delivery(query={}, body=body, is_proven=True, digest=_digest(signed))


def _several(secret: str | Sequence[str]) -> tuple[str, ...]:
    return (secret,) if isinstance(secret, str) else tuple(secret)


def _secrets(secret: str | Sequence[str]) -> tuple[str, ...]:
    secrets = _several(secret)
    if not secrets or not all(_SECRET.fullmatch(each) for each in secrets):
        raise ConfigurationError("the secret of a webhook has 12 to 50 letters and digits")
    return secrets


def _checked_names(names: Iterable[str]) -> frozenset[str]:
    if isinstance(names, str):
        raise ConfigurationError(f"query_names takes a list of names, such as [{names!r}]")
    checked = frozenset(names)
    if len(checked) > _MOST_NAMES or not all(_NAME.fullmatch(name) for name in checked):
        raise ConfigurationError(
            f"query_names takes up to {_MOST_NAMES} names of letters, digits and _"
        )
    return checked


def _one_header(headers: Mapping[str, str], names: Sequence[str]) -> str:
    found = {value.strip() for name, value in headers.items() if name.lower() in names}
    if not found:
        raise WrongSignature(
            "the request has no signature: it does not come from Zoho, or the webhook has no secret"
        )
    if len(found) > 1:
        raise WrongSignature("the request has more than one signature")
    return found.pop()


def _decoded_signature(text: str) -> bytes:
    """The 32 bytes of a signature in hexadecimal digits or base64."""
    if re.fullmatch(r"[0-9A-Fa-f]{64}", text):
        return bytes.fromhex(text)
    if re.fullmatch(r"[0-9A-Za-z+/]{43}=", text):
        found = base64.b64decode(text)
        if base64.b64encode(found).decode() == text:  # unused bits of the last digit are 0
            return found
    raise WrongSignature("the signature has neither 64 hexadecimal digits nor 44 of base64")


def _compare(secrets: Sequence[str], signed: bytes, given: bytes) -> None:
    """Compare with every secret in constant time."""
    right = False
    for secret in secrets:
        own = hmac.digest(secret.encode(), signed, "sha256")
        right |= hmac.compare_digest(own, given)
    if not right:
        raise WrongSignature(
            "the signature does not match: the secret is another one, or the request was changed"
        )


def _query_pairs(
    query: str | Mapping[str, str] | Pairs, names: frozenset[str]
) -> list[tuple[str, str]]:
    if isinstance(query, str):
        pairs = _decoded(query.removeprefix("?"), "query")
    else:
        pairs = list(
            cast(Mapping[str, str], query).items() if isinstance(query, Mapping) else query
        )
    found = [name for name, _ in pairs]
    if sorted(found) != sorted(names):
        raise WrongSignature(
            f"the query must have exactly the parameters {sorted(names)}, each once: pass those of "
            "the webhook's address as query_names"
        )
    if not all(_VALUE.fullmatch(value) for _, value in pairs):
        raise WrongSignature(
            "a value in the query has characters other than letters, digits and _ . : -, or more "
            "than 100"
        )
    return pairs


def _form_fields(body: bytes, body_type: BodyType) -> Fields:
    if body_type != "form":
        return ()
    try:
        return tuple(_decoded(body.decode("ascii"), "form"))
    except UnicodeDecodeError:
        raise WrongSignature("the form has bytes that are not encoded") from None


def _decoded(text: str, place: str) -> list[tuple[str, str]]:
    if not text:
        return []
    try:
        return parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS)
    except ValueError:  # UnicodeDecodeError is one
        raise WrongSignature(f"the {place} cannot be decoded") from None


def _check_body(body: bytes, body_type: BodyType, *, behind_query: bool) -> None:
    start = body.lstrip()[:1]
    if body_type == "json" and start not in (b"{", b"["):
        raise WrongSignature("the body is not JSON: pass the webhook's body_type")
    if body_type == "none" and body:
        raise WrongSignature("the webhook sends no body, but the request has one")
    if behind_query and body and _VALUE.fullmatch(body[:1].decode("latin-1")):
        raise WrongSignature(
            "the body starts with a letter or digit, so where the query ends is not certain; use a "
            "JSON body, or an address without a query"
        )


def _digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()


def _splits_in_one_way(text: str, names: Sequence[str]) -> bool:
    """Whether ``text`` is each of ``names``, in this order, followed by a value, in one way only.

    Every way lies between the one that finds each name as early as possible and the one that finds
    each as late as possible. So there is one way if these two are the same.
    """
    first, *others = names
    if not text.startswith(first):
        return False
    early: list[int] = []
    start = len(first)
    for name in others:
        early.append(text.find(name, start))
        start = early[-1] + len(name)
    late: list[int] = []
    end = len(text)
    for name in reversed(others):
        late.append(text.rfind(name, len(first), end))
        end = late[-1]
    return early == late[::-1] and -1 not in early
