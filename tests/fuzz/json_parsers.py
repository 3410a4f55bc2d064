"""Fuzz targets for readers of JSON: blanks, envelopes, pages, records."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import msgspec

from tests.fuzz import slow_json
from tests.fuzz.slow_json import NotJson, NotJudged
from zoho_async.books import contacts, invoices, payment_terms
from zoho_async.errors import ReplyError, Request, UnreadableReply
from zoho_async.http.call import Call, Options, error_of
from zoho_async.http.transport import Answer
from zoho_async.http.verdict import is_ambiguous, verdict_of
from zoho_async.operation import BOOKS, ListOperation
from zoho_async.wire import Decoder, Percentage, Unreadable, raw_page, read_envelope
from zoho_async.wire.text import without_blanks

_ID: Final = "460000000026049"
_STATUSES: Final = (200, 200, 201, 204, 302, 400, 401, 404, 408, 429, 499, 500, 501, 502, 503, 521)
_WRITE: Final = Call(
    request=Request("POST", "/contacts", "10234695"),
    product=BOOKS,
    options=Options(),
    caller=None,
)


def blanks(data: bytes) -> None:
    """Taking out the blanks changes them alone, and makes no broken text readable."""
    try:
        sent = slow_json.read(data)
    except NotJudged:
        return
    except NotJson:
        try:
            slow_json.read(without_blanks(data))
        except (NotJson, NotJudged):
            return
        raise AssertionError("broken JSON became readable") from None
    found = slow_json.read(without_blanks(data))
    assert _with_nulls(found) == _with_nulls(sent), "a value changed"
    if data.replace(b" ", b"") == data:
        assert found == _with_nulls(sent, ("",)), "a blank stayed"


def envelope(data: bytes) -> None:
    """A call counts as refused only with the evidence that docs/faults.md lists.

    The first byte chooses the HTTP status.
    """
    status, body = _STATUSES[data[0] % len(_STATUSES)] if data else 200, data[1:]
    answer = Answer(status, {}, body)
    error = error_of(_WRITE, answer)
    assert error is None or isinstance(error, ReplyError | UnreadableReply)
    try:
        sent = slow_json.read(body)
    except NotJudged:
        return
    except NotJson:
        sent = None
    if not isinstance(sent, dict):
        assert error is not None, "an answer that is not a JSON object was a success"
        _must_raise(lambda: read_envelope(body))
        return
    code = _code(sent.get("code"))
    read = read_envelope(body)
    assert read.code == (code if isinstance(code, int) else None), "another code"
    success = 200 <= status < 300 and code == 0 and ("code" in sent or not sent.get("error"))
    if error is None:
        assert 200 <= status < 300, "a refusal was a success"
        assert code in (0, None), "an error was a success"
    else:
        assert not success or sent.get("code") is None, "a success was an error"
    if isinstance(error, ReplyError):
        ran = verdict_of(status, error.status_in_body)
        assert is_ambiguous("write", ran) == _may_have_run(status, code), (status, code)


def page(data: bytes) -> None:
    """A page that is read has each row once, with each value in a field or in ``extra``."""
    for operation in (contacts._LIST, invoices._LIST, payment_terms._LIST):
        _page(operation, data)


def record(data: bytes) -> None:
    """A record that is read is the requested one, with each value in a field or in ``extra``."""
    try:
        sent: Any = slow_json.read(data)
    except NotJudged:
        return
    except NotJson:
        _must_raise(lambda: Decoder().value(invoices._GET, data, [_ID]))
        return
    try:
        found = Decoder().value(invoices._GET, data, [_ID])
    except Unreadable:
        return
    assert isinstance(sent, dict)
    value = sent.get("invoice")
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, dict):
        own = value.get("invoice_id")
        assert not (isinstance(own, str) and own.isdecimal() and own != _ID), "another record"
        _assert_kept(found, value, found.extra)


def _page(operation: ListOperation[Any], data: bytes) -> None:
    outer, _, key = operation.key.rpartition(".")
    try:
        sent: Any = slow_json.read(data)
    except NotJudged:
        return
    except NotJson:
        _must_raise(lambda: Decoder().page(operation, data))
        _must_raise(lambda: raw_page(operation, data))
        return
    try:
        raw = raw_page(operation, data)
    except Unreadable:
        _must_raise(lambda: Decoder().page(operation, data))
        return
    typed = Decoder().page(operation, data)
    assert isinstance(sent, dict)
    assert (typed.ids, typed.total, typed.has_more) == (raw.ids, raw.total, raw.has_more)
    within = sent.get(outer) if outer else None
    envelope = {**sent, **within} if isinstance(within, dict) else sent
    rows = envelope.get(key)
    if not isinstance(rows, list):
        rows = next(
            (
                each
                for name, each in envelope.items()
                if isinstance(each, list) and each and isinstance(each[0], dict) and raw.rows
            ),
            [],
        )
    assert [slow_json.read(row) for row in raw.rows] == rows, "other rows"
    assert len(typed.rows) == len(rows), "another number of rows"
    for row, value in zip(typed.rows, rows, strict=True):
        if isinstance(value, dict):
            _assert_kept(row, value, row.extra)


def _assert_kept(shown: object, sent: dict[str, Any], extra: Any) -> None:
    """Each value of ``sent`` is in a field of ``shown`` or in ``extra``."""
    names = dict(
        zip(
            getattr(shown, "__struct_encode_fields__", ()),
            getattr(shown, "__struct_fields__", ()),
            strict=True,
        )
    )
    for name, value in sent.items():
        rest = extra.get(name) if isinstance(extra, dict) else None
        field = getattr(shown, names[name]) if name in names else None
        _assert_value_kept(field, value, rest)


def _assert_value_kept(shown: object, sent: object, rest: Any) -> None:
    if _is_blank(sent) or (rest is not None and _same(rest, sent)):
        return
    if isinstance(shown, msgspec.Struct) and isinstance(sent, dict):
        _assert_kept(shown, sent, rest)
    elif isinstance(shown, list) and isinstance(sent, list):
        assert len(shown) == len(sent), "another number of elements"
        rests = rest if isinstance(rest, list) else [None] * len(sent)
        for each, original, left in zip(shown, sent, rests, strict=True):
            if isinstance(each, msgspec.Struct) and not isinstance(original, dict):
                assert _is_blank(original) or _same(left, original), "an element was lost"
            else:
                _assert_value_kept(each, original, left)
    elif isinstance(shown, dict) and isinstance(sent, dict):
        assert _same(shown, sent), "an object changed"
    else:
        assert _means(shown, sent), f"{sent!r:.80} is neither shown ({shown!r:.80}) nor extra"


def _means(shown: object, sent: object) -> bool:
    """Whether a field's value is what was sent, perhaps in another type."""
    if isinstance(shown, bool):
        return shown is sent or (isinstance(sent, str) and sent.lower() == str(shown).lower())
    if isinstance(shown, datetime):
        return isinstance(sent, str) and datetime.fromisoformat(sent) == shown
    if isinstance(shown, date):
        return isinstance(sent, str) and date.fromisoformat(sent) == shown
    if isinstance(shown, str):
        return shown == sent or (isinstance(sent, Decimal) and str(sent) == shown)
    if isinstance(shown, int | Decimal):
        return _number(shown) == _number(sent)
    return isinstance(shown, Percentage) and shown.value == _number(sent)


def _number(value: object) -> Decimal | None:
    text = value.strip().removesuffix("%") if isinstance(value, str) else value
    try:
        return Decimal(text) if isinstance(text, str | int | Decimal) else None
    except InvalidOperation:
        return None


def _same(found: object, sent: object) -> bool:
    """Whether two plain values are equal, with ``null`` and blanks alike."""
    return _plain(found) == _plain(sent)


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items() if not _is_blank(each)}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return ("boolean", value) if isinstance(value, bool) else value


def _is_blank(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.replace(" ", ""))


def _with_nulls(value: object, blank: tuple[str, ...] | None = None) -> object:
    """``value`` with None for each blank that is the value of a key."""
    if isinstance(value, dict):
        return {
            name: None
            if isinstance(each, str) and (each in blank if blank else _is_blank(each))
            else _with_nulls(each, blank)
            for name, each in value.items()
        }
    if isinstance(value, list):
        return [_with_nulls(each, blank) for each in value]
    return value


def _code(sent: object) -> int | str | None:
    """Zoho's code: a number, a word in its place, or None. A broken one is ``"broken"``."""
    if sent is None:
        return None
    if isinstance(sent, str):
        text = sent.strip()
        try:
            number = Decimal(text) if text.isascii() and "_" not in text else None
        except InvalidOperation:
            number = None
        plain = number is not None and "e" not in text.lower() and number.is_finite()
        if plain and number is not None and number == int(number) and abs(number) < 10**18:
            return int(number)
        return text or None
    if isinstance(sent, Decimal) and (sent.as_tuple().exponent == 0 or sent.adjusted() < 18):
        return int(sent) if sent == int(sent) else "broken"
    return "broken"


def _may_have_run(status: int, code: int | str | None) -> bool:
    """The table of docs/faults.md, for an answer whose body is a JSON object."""
    if status in (501, 521):
        return False
    if status in (408, 499) or status >= 500 or code == "broken":
        return True
    if status == 429:
        return False
    has_code = (isinstance(code, int) and code > 0) or (isinstance(code, str) and bool(code))
    return not has_code or 300 <= status < 400


def _must_raise(read: Any) -> None:
    try:
        read()
    except Unreadable:
        return
    raise AssertionError("broken text was read")
