"""Fuzz: a mutated reply becomes a value or an exception of this package.

Real replies of the sandbox are changed in their bytes, in the types of their values and in their
structure, and passed to each reader of replies. Nothing hangs or crashes, no page that can be read
loses a row, and no exception contains a secret.
"""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Callable
from typing import Any, Final, TypeAlias

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from tests.support.plain_client import raw
from zoho_async.auth.reply import granted
from zoho_async.books import contacts, invoices
from zoho_async.errors import AuthError, ReplyError, Request, UnreadableReply
from zoho_async.http.call import Call, Options, error_of, quota_of, retry_after
from zoho_async.http.transport import Answer
from zoho_async.operation import BOOKS
from zoho_async.sandbox import ODD_VALUES, Sandbox
from zoho_async.wire import Decoder, Unreadable, raw_page

Cut: TypeAlias = tuple[str, int, bytes]
Swap: TypeAlias = tuple[str, int, Any]

SECRET: Final = "1000.0123456789abcdef0123456789abcdef.fedcba9876543210fedcba9876543210"
CALL: Final = Call(
    request=Request("GET", "/contacts", "10234695"),
    product=BOOKS,
    options=Options(),
    caller=None,
)
TOKEN: Final = json.dumps(
    {
        "access_token": SECRET,
        "refresh_token": SECRET,
        "scope": "ZohoBooks.fullaccess.all",
        "api_domain": "https://www.zohoapis.com",
        "token_type": "Bearer",
        "expires_in": 3600,
    }
).encode()
REFUSAL: Final = b'{"code":44,"message":"too many","error_info":["10234695"]}'

cuts = st.lists(
    st.tuples(
        st.sampled_from(["flip", "drop", "insert", "end", "twice"]),
        st.integers(0, 1_000_000),
        st.binary(min_size=1, max_size=4),
    ),
    min_size=1,
    max_size=6,
)
swaps = st.lists(
    st.tuples(
        st.sampled_from(["replace", "remove", "wrap", "unwrap", "rename"]),
        st.integers(0, 1_000_000),
        st.sampled_from([*ODD_VALUES.values(), True, 10**400, 1e300, "\ud800", "x" * 5000]),
    ),
    min_size=1,
    max_size=6,
)
thorough = settings(
    max_examples=1500, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True
)


def shredded(body: bytes, changes: list[Cut]) -> bytes:
    for how, at, piece in changes:
        at %= len(body) + 1
        match how:
            case "flip":
                body = body[:at] + bytes(255 - byte for byte in body[at : at + 1]) + body[at + 1 :]
            case "drop":
                body = body[:at] + body[at + len(piece) :]
            case "insert":
                body = body[:at] + piece + body[at:]
            case "end":
                body = body[:at]
            case _:
                body += body[at:]
    return body


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) in a JSON value."""
    found: list[tuple[Any, Any]] = []
    keys = value.keys() if isinstance(value, dict) else range(len(value))
    for key in keys:
        found.append((value, key))
        if isinstance(value[key], dict | list):
            found += places(value[key])
    return found


def swapped(body: bytes, changes: list[Swap]) -> bytes:
    reply: Any = json.loads(body)
    for how, at, value in changes:
        if not isinstance(reply, dict) or not (there := places(reply)):
            break
        holder, key = there[at % len(there)]
        match how:
            case "replace":
                holder[key] = copy.deepcopy(value)
            case "remove":
                del holder[key]
            case "wrap":
                holder[key] = [holder[key]]
            case "unwrap" if isinstance(holder[key], list) and holder[key]:
                holder[key] = holder[key][0]
            case "rename" if isinstance(holder, dict):
                holder[f"{key}_"] = holder.pop(key)
            case _:
                holder[key] = {"": holder[key]}
    return json.dumps(reply).encode()


async def _bodies() -> tuple[bytes, bytes]:
    async with raw(Sandbox(sizes={"contacts": 4, "invoices": 3})) as zoho:
        page = (await zoho.get("/contacts")).body
        first = json.loads(zoho.sandbox.truth("invoices")[0])["invoice_id"]
        return page, (await zoho.get(f"/invoices/{first}")).body


@pytest.fixture(scope="module")
def replies() -> tuple[bytes, bytes]:
    """The bytes of a page of contacts and of an invoice."""
    return asyncio.run(_bodies())


def rows_of(body: bytes) -> int | None:
    """The rows of a page by Python's JSON parser, or None if it finds no list."""
    try:
        found = json.loads(body)["contacts"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return len(found) if isinstance(found, list) else None


def assert_quiet(problem: Exception) -> None:
    assert SECRET not in f"{problem}{problem!r}{problem.__cause__!r}"


def is_read(body: bytes) -> bool:
    """Whether a session reads the values of this answer of HTTP 200."""
    return error_of(CALL, Answer(200, {}, body)) is None


def assert_page(body: bytes) -> None:
    if not is_read(body):
        return
    rows = rows_of(body)
    readers: list[Callable[[], int]] = [
        lambda: len(Decoder().page(contacts._LIST, body).rows),
        lambda: len(raw_page(contacts._LIST, body).rows),
    ]
    for read in readers:
        try:
            found = read()
        except Unreadable as problem:
            assert_quiet(problem)
        else:
            assert rows is None or found == rows


def assert_read(body: bytes, status: int) -> None:
    """All other readers of replies."""
    if is_read(body):
        try:
            record = Decoder().value(invoices._GET, body)
        except Unreadable as problem:
            assert_quiet(problem)
        else:
            assert isinstance(record.extra, dict)
    answer = Answer(
        status,
        {"x-rate-limit-limit": body[:20].decode("latin-1"), "retry-after": str(len(body))},
        body,
    )
    quota_of(answer)
    retry_after(answer)
    error = error_of(CALL, answer)
    assert error is None or isinstance(error, ReplyError | UnreadableReply)
    assert len(str(error)) < 100_000
    try:
        grant = granted(status, body, "refresh_token")
    except AuthError as problem:
        assert_quiet(problem)
    else:
        assert SECRET not in repr(grant)


@pytest.mark.long
@pytest.mark.timeout(300)
@thorough
@given(cuts=cuts, status=st.sampled_from([200, 201, 400, 401, 429, 500]))
def test_changed_bytes_are_a_value_or_our_exception(
    replies: tuple[bytes, bytes], cuts: list[Cut], status: int
) -> None:
    page, record = replies
    assert_page(shredded(page, cuts))
    for body in (record, REFUSAL, TOKEN):
        assert_read(shredded(body, cuts), status)


@pytest.mark.long
@pytest.mark.timeout(300)
@thorough
@given(changes=swaps, status=st.sampled_from([200, 201, 400, 401, 429, 500]))
def test_changed_values_and_structures_lose_no_page_and_crash_nothing(
    replies: tuple[bytes, bytes], changes: list[Swap], status: int
) -> None:
    page, record = replies
    assert_page(swapped(page, changes))
    for body in (record, REFUSAL, TOKEN):
        assert_read(swapped(body, changes), status)


@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b'{"contacts":' * 50_000, b"\x00" * 10, b"\xff\xfe", b" ", b"null"]
)
def test_hostile_bodies_are_our_exception(body: bytes) -> None:
    assert_page(body)
    assert_read(body, 200)
