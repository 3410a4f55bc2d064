"""How faults change replies: replies instead of the work, and changed replies after it."""

from __future__ import annotations

import gzip
from codecs import BOM_UTF8
from decimal import Decimal
from typing import Any, Final

import msgspec

from zoho_async._msgspec import decoder_of
from zoho_async.sandbox.oauth.server import denied, throttled
from zoho_async.sandbox.replies import ENCODER, JSON_TYPE, ApiReply, ReplyPage
from zoho_async.sandbox.simulation.faults import Fault

_HTML: Final = (
    b"<html><head><title>Zoho</title></head><body><h1>Service unavailable</h1></body></html>"
)
_HTML_TYPE: Final = "text/html;charset=UTF-8"
_EXACT: Final = decoder_of(dict[str, Any], float_hook=Decimal)
_ENVELOPE: Final = frozenset({"code", "message", "page_context"})

#: Values that Zoho was seen to send against its documentation, for `Fault(kind="odd")`.
ODD_VALUES: Final[dict[str, Any]] = {
    "a blank": "",
    "a space": " ",
    "null": None,
    "no record's id": "-1",
    "an id": "460000000000097001",
    "an id as a number": 460000000000097001,
    "an amount as text": "46.00",
    "an amount with its currency": "$1,046.00",
    "an amount without a point": 46,
    "a count with a point": 46.0,
    "a month's name": "april",
    "a number as text": "1",
    "a time of day": "09/06/2026 09:45 AM",
    "text for days": "Due on Receipt",
    "true as text": "true",
    "an object": {"payment_id": "460000000000097001", "amount": 46.0},
    "an array": [{"payment_id": "460000000000097001", "amount": 46.0}],
    "an empty array": [],
    "an empty object": {},
}


def replacement(fault: Fault, *, of_accounts: bool) -> ApiReply:
    """Return the reply of a fault that replaces the work."""
    match fault.kind:
        case "redirect":
            return ApiReply(status=302, code=None, headers={"Location": fault.location})
        case "wrong_region" if of_accounts:
            return denied("invalid_client")
        case "wrong_region":
            return ApiReply(
                status=fault.status or 200, code=None, body=_HTML, content_type=_HTML_TYPE
            )
        case "denied_grant":
            return denied(fault.message or "invalid_code")
        case "throttled_grant":
            return throttled()
        case "status_html" | "status_html_done":
            return ApiReply(
                status=fault.status or 502, code=None, body=_HTML, content_type=_HTML_TYPE
            )
        case "refuse":
            message = fault.message or "You have been blocked for some time."
            return _refusal(fault.status or 429, fault, message, _retry_after(fault))
        case "unknown_token":
            body = ENCODER.encode({"code": 14, "message": "Invalid value passed for authtoken."})
            return ApiReply(status=401, code=14, body=body, content_type=JSON_TYPE)
        case "status" | "status_done":
            message = fault.message or "Internal error"
            return ApiReply(
                status=fault.status or 500,
                code=1000,
                body=ENCODER.encode({"code": 1000, "message": message}),
                content_type=JSON_TYPE,
                headers=_retry_after(fault),
            )
        case _:
            return _refusal(fault.status or 200, fault, fault.message or "Internal error", {})


def alter(fault: Fault, reply: ApiReply) -> ApiReply:
    """Change a finished reply as the fault requires. `http` changes how it is sent."""
    page = reply.page
    match fault.kind:
        case "status_done" | "status_html_done":
            return replacement(fault, of_accounts=False)
        case "empty":
            return _with_body(reply, b"")
        case "no_content" if reply.status < 300:
            return ApiReply(status=204, code=None, body=b"")
        case "byte_order_mark":
            return _with_body(reply, BOM_UTF8 + reply.content())
        case "cut_gzip":
            packed = gzip.compress(reply.content())
            whole = _with_body(reply, packed[: len(packed) * 2 // 3])
            coded = {**reply.headers, "Content-Encoding": "gzip"}
            return msgspec.structs.replace(whole, headers=coded)
        case "cut":
            body = reply.content()
            return _with_body(reply, body[: len(body) // 2])
        case "html":
            return ApiReply(code=None, body=_HTML, content_type=_HTML_TYPE)
        case "wrong_type":
            return _with_body(reply, _with_wrong_type(fault, reply.content()))
        case "wrong_content_type":
            whole = _with_body(reply, reply.content())
            return msgspec.structs.replace(whole, content_type=fault.content_type)
        case "bad_gzip":
            squeezed = {**reply.headers, "Content-Encoding": "gzip"}
            whole = _with_body(reply, b"\x1f\x8b\x08\x00" + reply.content())
            return msgspec.structs.replace(whole, headers=squeezed)
        case "odd":
            return _with_body(reply, _with_odd_value(reply.content(), fault.field, fault.value))
        case "last_page" if page is not None:
            page.context["has_more_page"] = False
        case "always_more" if page is not None:
            page.context["has_more_page"] = True
        case "no_total" if page is not None:
            page.context.pop("total", None)
            page.context.pop("total_pages", None)
        case "repeat_rows" if page is not None:
            page.rows.extend(page.rows[: fault.rows])
        case _:
            pass
    return reply


def shift_rows(fault: Fault, page: ReplyPage, before: ReplyPage) -> None:
    """Change a page as if ``rows`` records were inserted after the previous page was read.

    Every later row moves down. The page begins with the last rows of the previous page and loses as
    many at its end. The last page keeps its end.
    """
    moved = before.rows[-fault.rows :]
    kept = page.rows[: -fault.rows] if page.context.get("has_more_page") else page.rows
    page.rows[:] = [*moved, *kept]


def _with_body(reply: ApiReply, body: bytes) -> ApiReply:
    return msgspec.structs.replace(reply, page=None, body=body)


def _refusal(status: int, fault: Fault, message: str, headers: dict[str, str]) -> ApiReply:
    body = ENCODER.encode({"code": fault.code, "message": message})
    return ApiReply(
        status=status,
        code=fault.known_code(),
        body=body,
        content_type=JSON_TYPE,
        headers=headers,
    )


def _retry_after(fault: Fault) -> dict[str, str]:
    return {} if fault.retry_after is None else {"Retry-After": str(int(fault.retry_after))}


def _envelope(body: bytes) -> dict[str, Any] | None:
    """Return the reply's JSON object, or None for a document."""
    try:
        return _EXACT.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _with_wrong_type(fault: Fault, body: bytes) -> bytes:
    envelope = _envelope(body)
    if envelope is None or fault.field == "*":
        return ENCODER.encode(fault.value)
    names = [fault.field] if fault.field else [name for name in envelope if name not in _ENVELOPE]
    return ENCODER.encode(envelope | dict.fromkeys(names, fault.value))


def _with_odd_value(body: bytes, field: str, value: Any) -> bytes:
    envelope = _envelope(body)
    if envelope is None:
        return body
    for key, part in envelope.items():
        if key == "page_context" or not isinstance(part, list | dict):
            continue
        records = msgspec.convert([part] if isinstance(part, dict) else part, list[dict[str, Any]])
        for record in records:
            record[field] = value
        envelope[key] = records[0] if isinstance(part, dict) else records
    return ENCODER.encode(envelope)
