"""The signature of webhooks: vectors, and every way to change a signed request."""

from __future__ import annotations

import base64
import hashlib
import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoho_async.errors import ConfigurationError
from zoho_async.webhooks import Delivery, WrongSignature, verify, verify_payments

SECRET: Final = "Secret1234567890"
HEADER: Final = "X-Zoho-Webhook-Signature"


def hmac_sha256(secret: str, text: bytes) -> str:
    """HMAC by its definition (RFC 2104), without the module under test's library."""
    key = secret.encode().ljust(64, b"\0")
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in key) + text).digest()
    return hashlib.sha256(bytes(byte ^ 0x5C for byte in key) + inner).hexdigest()


def signed(text: str, secret: str = SECRET) -> dict[str, str]:
    return {HEADER: hmac_sha256(secret, text.encode())}


@pytest.mark.parametrize(
    ("signature", "request_parts"),
    [
        (
            "714a1ce98d4f01084ea5d9b1d8ee987d23532ef07726c26d5724b4e237fea96c",
            {
                "query": "subscription_id=90343&name=basic",
                "query_names": ["name", "subscription_id"],
                "body": b'{"created_date":"2026-04-03"}',
            },
        ),
        (
            "41fb6e829fa8f5690f01e8fb1b0dc42ecfea9b3503861c1daa1683ebb41b2438",
            {"body": b'{"invoice":{"invoice_id":"90000000000000101"}}'},
        ),
        (
            "923b6d8c9ab317edc0123044c3f4299af3ad6d504ac100785208b6670153d82f",
            {
                "query": {"event_type": "paid"},
                "query_names": ["event_type"],
                "body": b"name=A+b&amount=10.00",
                "body_type": "form",
            },
        ),
        (
            "12f39ad0c57793f3b9be8c97ea6af65014fc0f5450f2179eafd009e659686ae6",
            {"query": [("x", "")], "query_names": ["x"], "body": b"{}"},
        ),
    ],
)
def test_the_vectors(signature: str, request_parts: dict[str, Any]) -> None:
    as_base64 = base64.b64encode(bytes.fromhex(signature)).decode()
    for text in (signature, signature.upper(), as_base64):
        delivery = verify(SECRET, headers={HEADER.lower(): text}, **request_parts)
        assert delivery.is_proven == (request_parts.get("body_type") != "form")
    changed = ("0" if signature[0] != "0" else "1") + signature[1:]
    with pytest.raises(WrongSignature, match="does not match"):
        verify(SECRET, headers={HEADER: changed}, **request_parts)


def test_the_vector_of_payments() -> None:
    value = "t=1775200000000,v=3d82089f2f5bcfde124b6aca2a612a3d6932c34f93c306d056805554c84ac3a9"
    body = b'{"event_type":"payment.succeeded"}'
    for name in (HEADER, "X-ZohoWebhook-Signature"):
        verify_payments(SECRET, headers={name: value}, body=body, now=1775200299.0)
    for now in (1775200301.0, 1775199699.0):
        with pytest.raises(WrongSignature, match="clock"):
            verify_payments(SECRET, headers={HEADER: value}, body=body, now=now)
    for other in (value.replace("t=1775200000000", "t=1775200000001"), value[:-1] + "8", "v=1", ""):
        with pytest.raises(WrongSignature):
            verify_payments(SECRET, headers={HEADER: other}, body=body, now=1775200000.0)
    both = {HEADER: value, "X-ZohoWebhook-Signature": value.upper()}
    with pytest.raises(WrongSignature, match="more than one"):
        verify_payments(SECRET, headers=both, body=body, now=1775200000.0)


def test_either_secret_is_accepted_while_it_is_changed() -> None:
    old, new = "OldSecret1234", "NewSecret1234"
    for secret in (old, new):
        verify([new, old], headers=signed("{}", secret), body=b"{}")
    with pytest.raises(WrongSignature):
        verify([new], headers=signed("{}", old), body=b"{}")


@pytest.mark.parametrize(
    "secret", ["", "short", "x" * 51, "with blank 123", (), ["good12345678", ""]]
)
def test_what_cannot_be_a_secret_is_refused_without_showing_it(secret: Any) -> None:
    with pytest.raises(ConfigurationError) as error:
        verify(secret, headers=signed("{}"), body=b"{}")
    assert str(error.value) == "the secret of a webhook has 12 to 50 letters and digits"


@pytest.mark.parametrize(
    ("headers", "query", "body"),
    [
        ({}, "", b"{}"),
        ({HEADER: "a", HEADER.lower(): "b"}, "", b"{}"),
        ({HEADER: "é" * 64}, "", b"{}"),
        (signed("b{}"), "b", b"{}"),
        (signed("a%{}"), "a=%25", b"{}"),
        (signed("a b{}"), "a=+b", b"{}"),
        (signed(""), "", b""),
        (signed("x"), "", b"x"),
    ],
)
def test_requests_without_one_clear_reading_are_refused(
    headers: dict[str, str], query: str, body: bytes
) -> None:
    with pytest.raises(WrongSignature):
        verify(
            SECRET,
            headers=headers,
            query=query,
            body=body,
            query_names=["a"] if "%" in query or "+" in query else [],
        )


def test_a_form_with_json_is_proven_and_any_other_is_a_hint() -> None:
    text = '{"invoice":{"notes":"a & b"}}'
    body = urlencode({"JSONString": text}).encode()
    arguments: dict[str, Any] = {"body_type": "form", "query_names": ["event_type"]}
    found = verify(
        SECRET,
        headers=signed(f"JSONString{text}event_typecreated"),
        query="event_type=created",
        body=body,
        **arguments,
    )
    assert found.is_proven
    assert (found.body, found.query["event_type"]) == (text.encode(), "created")
    text = '{"invoice":{"notes":"event_type"}}'  # the name occurs twice
    found = verify(
        SECRET,
        headers=signed(f"JSONString{text}event_typecreated"),
        query="event_type=created",
        body=urlencode({"JSONString": text}).encode(),
        **arguments,
    )
    assert not found.is_proven
    found = verify(SECRET, headers=signed("a1b2"), query="", body=b"a=1&b=2", body_type="form")
    assert not found.is_proven
    assert (found.form, found.body) == ((("a", "1"), ("b", "2")), b"")


def words(alphabet: str, longest: int) -> Iterator[str]:
    for length in range(longest + 1):
        yield from map("".join, itertools.product(alphabet, repeat=length))


def requests_of(names: Sequence[str]) -> Iterable[tuple[dict[str, str], str]]:
    bodies = [body for body in words("ab{", 3) if body.startswith("{")]
    for values in itertools.product(words("ab{", 3), repeat=len(names)):
        for body in bodies:
            yield dict(zip(names, values, strict=True)), body


@pytest.mark.parametrize("names", [["a"], ["a", "b"], ["a", "ab"]])
def test_no_two_requests_with_one_text_are_both_accepted(names: list[str]) -> None:
    """All short requests: whatever shares its signed text with another is accepted once at most."""
    by_text: dict[str, list[tuple[dict[str, str], str]]] = defaultdict(list)
    for query, body in requests_of(names):
        text = "".join(name + query[name] for name in sorted(query)) + body
        by_text[text].append((query, body))
    shared = {text: requests for text, requests in by_text.items() if len(requests) > 1}
    assert len(shared) > 30
    for text, requests in list(shared.items())[:: max(1, len(shared) // 400)]:
        headers, accepted = signed(text), 0
        for query, body in requests:
            try:
                verify(SECRET, headers=headers, query=query, query_names=names, body=body.encode())
            except WrongSignature:
                continue
            accepted += 1
        assert accepted <= 1, (text, requests)


NAMES: Final[tuple[str, ...]] = ("event_type", "module")
values = st.text(alphabet="abcXYZ019_.:-", max_size=12)


@given(st.data(), st.tuples(values, values), st.binary(max_size=30))
def test_every_change_of_a_request_is_refused(
    data: st.DataObject, given_values: tuple[str, str], rest: bytes
) -> None:
    """Any other body, name or value is refused: forgeries have none of the text's own freedoms."""
    query: dict[str, str] = dict(zip(NAMES, given_values, strict=True))
    body = b"{" + rest
    text = b"".join((name + query[name]).encode() for name in NAMES) + body
    headers = {HEADER: hmac_sha256(SECRET, text)}

    def accepted(query: dict[str, str], body: bytes) -> Delivery | None:
        try:
            return verify(SECRET, headers=headers, query=query, query_names=NAMES, body=body)
        except WrongSignature:
            return None

    original = accepted(query, body)
    assert original is None or (original.query == query and original.body == body)
    other_query = dict(query)
    other_body = body
    match data.draw(st.sampled_from(["value", "name", "body", "move"])):
        case "value":
            other_query[data.draw(st.sampled_from(NAMES))] = data.draw(values)
        case "name":
            other_query[data.draw(values)] = other_query.pop(data.draw(st.sampled_from(NAMES)))
        case "body":
            at = data.draw(st.integers(0, len(body) - 1))
            other_body = body[:at] + data.draw(st.binary(min_size=1, max_size=2)) + body[at + 1 :]
        case _:
            count = data.draw(st.integers(1, 5))
            last = other_query["module"]
            other_query["module"] = last[:-count]
            other_body = last[-count:].encode() + body
    if (other_query, other_body) != (query, body):
        assert accepted(other_query, other_body) is None


def test_repeats_have_the_same_digest_and_a_repr_shows_no_data() -> None:
    first = verify(SECRET, headers=signed('{"a":"secret note"}'), body=b'{"a":"secret note"}')
    second = verify(SECRET, headers=signed('{"a":"secret note"}'), body=b'{"a":"secret note"}')
    assert first.digest == second.digest
    assert "note" not in repr(first)
