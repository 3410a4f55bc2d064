"""One API call: its request, and the meaning of its answer."""

from __future__ import annotations

from calendar import timegm
from codecs import BOM_UTF8
from collections.abc import Mapping, Sequence
from contextlib import suppress
from email.utils import parsedate
from functools import lru_cache
from typing import Final, cast
from urllib.parse import quote, urlencode

import msgspec

from zoho_async.errors import BudgetSpent, ReplyError, Request, UnreadableReply
from zoho_async.http.reply_errors import reply_error
from zoho_async.http.target import quoted_id
from zoho_async.http.transport import Answer, Body
from zoho_async.http.upload import MultipartForm
from zoho_async.http.verdict import BodyStatus, Kind, body_status
from zoho_async.limits import Lane, Quota
from zoho_async.operation import Product
from zoho_async.wire import Unreadable, read_envelope
from zoho_async.wire.envelope import Envelope

JSON: Final = "application/json"
PDF: Final = "application/pdf"
FORM: Final = "application/x-www-form-urlencoded"

#: How Zoho's successful replies begin. Replies that begin otherwise are decoded and checked.
_SUCCESS: Final = b'{"code":0,"message":"'

_NO_CONTENT: Final = 204
_DONE: Final = b'{"code":0,"message":""}'

_UTF8: Final = ("", "utf-8", "utf8")

#: Bytes of a document that are checked before the caller gets it.
START: Final = 1024


class Budget:
    """A cap of ``calls`` for all views of a session that share it in their options.

    Each retry counts as a call. A budget ``within`` another one spends both. Raises `ValueError` if
    ``calls`` is negative.
    """

    def __init__(self, calls: int, *, within: Budget | None = None) -> None:
        if calls < 0:
            raise ValueError(f"calls must not be negative, got {calls}")
        self.calls: Final = calls
        self.left = calls
        self._within: Final = within

    @property
    def spent(self) -> int:
        """The number of calls that were made."""
        return self.calls - self.left

    def check(self) -> None:
        """Raise `BudgetSpent` if no call is left."""
        if self._within is not None:
            self._within.check()
        if self.left <= 0:
            raise BudgetSpent(self.calls)

    def spend(self) -> bool:
        """Count one call. Returns False if other tasks have spent the last one meanwhile."""
        if self.left <= 0 or (self._within is not None and not self._within.spend()):
            return False
        self.left -= 1
        return True


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How a view of a session makes its calls. `Session.with_options` changes them.

    ``lane`` is ``interactive`` or ``bulk``. ``max_wait`` is the longest wait for the limits in
    seconds (None: no limit), ``timeout`` the longest pause between two reads of an answer.
    ``retry_writes`` allows repeats of writes whose outcome is not known. ``wait_for_reset`` waits
    for the next day if today's calls are used up (with ``max_wait=None``). ``budget`` caps the
    number of calls.
    """

    lane: Lane = "interactive"
    max_wait: float | None = 60.0
    timeout: float = 60.0
    retry_writes: bool = False
    wait_for_reset: bool = False
    budget: Budget | None = None


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A request to Zoho. It can be sent any number of times, each time the same."""

    request: Request
    product: Product
    options: Options
    caller: object
    query: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}
    body: Body = None
    content_type: str = JSON
    scope: str = ""
    codes: Mapping[int, str] = {}
    accept: str = JSON
    repeatable: bool = False
    #: Whether the call belongs to the user and names no organization.
    per_user: bool = False

    @property
    def is_spent(self) -> bool:
        """Whether it cannot be sent again, because a file's iterator was read."""
        return isinstance(self.body, MultipartForm) and self.body.is_spent

    @property
    def kind(self) -> Kind:
        """Whether it changes something, and if so, whether it may be sent twice."""
        if self.request.method == "GET":
            return "read"
        return "repeatable" if self.repeatable or self.options.retry_writes else "write"

    def url(self, api_url: str) -> str:
        """The whole URL. Every special character in values is percent-encoded, ``+`` too."""
        text, organization = "", self.request.organization
        if self.query:
            text = urlencode(self.query, quote_via=quote)
        if organization and self.product.organization_query:
            named = f"{self.product.organization_query}={_quoted(organization)}"
            text = f"{text}&{named}" if text else named
        mark = "?" if text else ""
        return f"{api_url}{self.product.base_path}{self.request.path}{mark}{text}"

    def all_headers(self, token: str) -> dict[str, str]:
        """The headers of one attempt with the current access ``token``."""
        headers = {**self.headers, "Authorization": f"Zoho-oauthtoken {token}"}
        if isinstance(self.body, bytes):
            headers["Content-Type"] = self.content_type
        if self.accept != JSON:
            headers["Accept"] = self.accept
        if self.request.organization and self.product.organization_header:
            headers[self.product.organization_header] = self.request.organization
        return headers

    def understood(self, answer: Answer) -> Answer:
        """Normalize ``answer``. The retired XML API overrides this to translate its answers.

        A byte order mark before JSON is dropped. HTTP 204 for a write becomes an empty success. A
        body that is not UTF-8 is decoded by the charset of its media type.
        """
        body = answer.body
        if answer.status == _NO_CONTENT and not body and self.kind != "read":
            body = _DONE
        elif body.startswith(BOM_UTF8):
            body = body[len(BOM_UTF8) :]
        elif (charset := answer.charset) not in _UTF8:
            body = _to_utf8(body, charset)
        return answer if body is answer.body else msgspec.structs.replace(answer, body=body)


def _to_utf8(body: bytes, charset: str) -> bytes:
    """Convert ``body`` if it is not UTF-8, which JSON should be whatever the header says."""
    try:
        body.decode()
    except UnicodeDecodeError:
        with suppress(LookupError, ValueError):  # an unknown charset, or not text in it
            return body.decode(charset).encode()
    return body


#: Cached, because every call names one of a few organizations.
_quoted = lru_cache(1024)(quote)


def path_of(template: str, ids: Sequence[str | int]) -> str:
    """Fill the ``{names}`` of ``template`` with ``ids``, in order.

    Raises `ValueError` and `TypeError` for values that are not ids.
    """
    parts = template.split("{")
    path = parts[0]
    for part, value in zip(parts[1:], ids, strict=True):
        name, _, rest = part.partition("}")
        path += quoted_id(name, value) + rest
    return path


def is_success(call: Call, answer: Answer) -> bool:
    """Whether the first bytes of ``answer`` show a success. If False, ask `error_of`.

    Nearly every answer begins this way, and checking all of it costs a sixth of decoding it. If the
    text is broken further on, decoding finds out.
    """
    return is_ok(answer) and answer.body.startswith(_SUCCESS) and call.accept == JSON


def is_ok(answer: Answer) -> bool:
    """Whether the HTTP status is 2xx."""
    return 200 <= answer.status < 300


def error_of(call: Call, answer: Answer) -> ReplyError | UnreadableReply | None:
    """Return the exception that ``answer`` amounts to, or None for success.

    Success is a status of 2xx with a code of 0, or without a code and without ``error`` (bulk
    writes answer rows instead). The word "error" in place of a number is an error.
    """
    if is_ok(answer) and call.accept != JSON:
        return _document_error(call, answer)
    try:
        envelope = read_envelope(answer.body)
        status_in_body = _body_status(call, envelope)
    except Unreadable as problem:
        return _without_envelope(call, answer, problem)
    return (
        None
        if is_ok(answer) and status_in_body == "success"
        else _envelope_error(call, answer, envelope, status_in_body)
    )


def _without_envelope(
    call: Call, answer: Answer, problem: Unreadable
) -> ReplyError | UnreadableReply:
    """The error for an answer that is not JSON: only its status is known."""
    if is_ok(answer):
        return UnreadableReply(call.request, str(problem), answer.status)
    if answer.status < 400:
        text = f"HTTP {answer.status}, a redirect, which is not followed"
        return UnreadableReply(call.request, text, answer.status)
    text = f"the reply is not JSON: {problem}"
    error = reply_error(call.request, answer.status, None, text, status_in_body="nothing")
    error.retry_after = retry_after(answer)
    return error


def _body_status(call: Call, envelope: Envelope) -> BodyStatus:
    """What an envelope says about the call. Raises `Unreadable` if the code is not a code."""
    sent = envelope.sent_code
    word = sent.strip() if isinstance(sent, str) and envelope.code is None else ""
    if envelope.code is None and sent is not None and not isinstance(sent, str):
        raise Unreadable("the code in the reply is not a number")
    return body_status(envelope.code, word, call.codes, trouble=bool(envelope.error))


def _envelope_error(
    call: Call, answer: Answer, envelope: Envelope, status_in_body: BodyStatus
) -> ReplyError:
    """The error that an envelope reports."""
    error = reply_error(
        call.request,
        answer.status,
        envelope.code,
        envelope.message or _message(envelope.error),
        scope=call.scope,
        choices=_organization_ids(envelope.error_info),
        codes=call.codes,
        status_in_body=status_in_body,
    )
    error.retry_after = retry_after(answer)
    return error


def _message(error: object) -> str:
    """The text of an ``error`` in an envelope, which is text or an object with a message."""
    if isinstance(error, dict):
        error = cast(dict[str, object], error).get("message")
    return error if isinstance(error, str) else ""


def _organization_ids(error_info: object) -> tuple[str, ...]:
    """The organizations that code 6024 lists in addition to its message."""
    if not isinstance(error_info, list):
        return ()
    rows = cast(list[object], error_info)
    return tuple(str(row) for row in rows if isinstance(row, str | int))


def _document_error(call: Call, answer: Answer) -> ReplyError | UnreadableReply | None:
    """The error in the answer to a document request, or None. Errors stay JSON."""
    if answer.content_type == JSON:
        with suppress(Unreadable):
            envelope = read_envelope(answer.body)
            if (status_in_body := _body_status(call, envelope)) != "success":
                return _envelope_error(call, answer, envelope, status_in_body)
        return UnreadableReply(call.request, "the reply is JSON, not a document", answer.status)
    if not answer.body:
        return UnreadableReply(call.request, "the document is empty", answer.status)
    if answer.content_type == "text/html" and "html" not in call.accept:
        return UnreadableReply(call.request, "the reply is HTML, not a document", answer.status)
    # The content type is not trusted. PDF readers skip bytes before the mark, so this does too.
    if call.accept == PDF and b"%PDF-" not in answer.body[:START]:
        return UnreadableReply(call.request, "the reply is not a PDF", answer.status)
    return None


def is_document(answer: Answer) -> bool:
    """Whether the start of an answer may belong to a document. Errors come as JSON."""
    return is_ok(answer) and answer.content_type != JSON


def quota_of(answer: Answer) -> Quota | None:
    """The daily quota from the reply's headers, or None if they are missing."""
    of = answer.headers.get
    limit = _number(of("x-rate-limit-limit"))
    remaining = _number(of("x-rate-limit-remaining"))
    reset = _number(of("x-rate-limit-reset"))
    if limit is None and remaining is None and reset is None:
        return None
    return Quota(
        limit=None if limit is None else int(limit),
        remaining=None if remaining is None else int(remaining),
        reset=reset,
    )


def retry_after(answer: Answer) -> float | None:
    """``Retry-After`` in seconds, or None if it is missing or makes no sense.

    A date counts from the reply's own ``Date``, so no clock has to be right.
    """
    text = answer.headers.get("retry-after", "")
    seconds = _number(text)
    if seconds is not None or not text:
        return seconds
    until, now = parsedate(text), parsedate(answer.headers.get("date", ""))
    if until is None or now is None:
        return None
    try:
        return max(0.0, float(timegm(until) - timegm(now)))
    except ValueError:  # no such day
        return None


def _number(text: str | None) -> float | None:
    """A header's number, with commas and spaces allowed. None if it is negative or not a number."""
    if not text:
        return None
    try:
        value = float(text.replace(",", "") if "," in text else text)
    except ValueError:
        return None
    return value if 0 <= value < 1e9 else None
