"""One call as it is carried out, and what the answer to it means."""

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

from zoho_async.errors import BudgetSpent, ReplyError, Request, UnreadableReply, reply_error
from zoho_async.http.target import quoted_id
from zoho_async.http.transport import Answer, Body
from zoho_async.http.upload import MultipartForm
from zoho_async.http.verdict import Kind, Said, said_of
from zoho_async.limits import Lane, Quota
from zoho_async.operation import Product
from zoho_async.wire import Unreadable, read_envelope
from zoho_async.wire.envelope import Envelope

JSON: Final = "application/json"
PDF: Final = "application/pdf"
FORM: Final = "application/x-www-form-urlencoded"

#: How a success begins as Zoho writes it; what begins otherwise is looked at more closely.
_SUCCESS: Final = b'{"code":0,"message":"'

_NO_CONTENT: Final = 204
_DONE: Final = b'{"code":0,"message":""}'

#: As much of a document as is looked at before it is handed on.
START: Final = 1024


class Budget:
    """So many ``calls`` and no more, for all views of a session that have it among their options.

    A call that is tried again counts again. Raises `ValueError` for less than none.
    """

    def __init__(self, calls: int) -> None:
        if calls < 0:
            raise ValueError(f"a budget of {calls} calls is none")
        self.calls: Final = calls
        self.left = calls

    def check(self) -> None:
        """Raise `BudgetSpent` where no call is left."""
        if self.left <= 0:
            raise BudgetSpent(self.calls)

    def spend(self) -> bool:
        """Count one call; False where none is left, spent by others meanwhile."""
        if self.left <= 0:
            return False
        self.left -= 1
        return True


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How calls of one view of a session are made; `Session.with_options` changes them.

    ``max_wait`` is the longest wait for the limits in seconds (None: as long as it takes),
    ``timeout`` the longest silence of the server in seconds. ``wait_for_reset`` waits for the next
    day where this one's calls are used up (with ``max_wait=None``). ``budget`` caps the calls.
    """

    lane: Lane = "interactive"
    max_wait: float | None = 60.0
    timeout: float = 60.0
    retry_writes: bool = False
    wait_for_reset: bool = False
    budget: Budget | None = None


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of Zoho; it can be sent any number of times, each time the same."""

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
    #: Whether it is the user's and no organization's.
    per_user: bool = False

    @property
    def is_spent(self) -> bool:
        """Whether it cannot be sent again: a file's iterator was read."""
        return isinstance(self.body, MultipartForm) and self.body.is_spent

    @property
    def kind(self) -> Kind:
        """Whether it changes something, and may be sent twice then."""
        if self.request.method == "GET":
            return "read"
        return "repeatable" if self.repeatable or self.options.retry_writes else "write"

    def url(self, api_url: str) -> str:
        """The whole URL. ``+`` and all else in values is percent-encoded, as Zoho needs it."""
        text, organization = "", self.request.organization
        if self.query:
            text = urlencode(self.query, quote_via=quote)
        if organization and self.product.organization_query:
            named = f"{self.product.organization_query}={_quoted(organization)}"
            text = f"{text}&{named}" if text else named
        mark = "?" if text else ""
        return f"{api_url}{self.product.base_path}{self.request.path}{mark}{text}"

    def all_headers(self, token: str) -> dict[str, str]:
        """The headers of one attempt; ``token`` is the access token of this moment."""
        headers = {**self.headers, "Authorization": f"Zoho-oauthtoken {token}"}
        if isinstance(self.body, bytes):
            headers["Content-Type"] = self.content_type
        if self.accept != JSON:
            headers["Accept"] = self.accept
        if self.request.organization and self.product.organization_header:
            headers[self.product.organization_header] = self.request.organization
        return headers

    def understood(self, answer: Answer) -> Answer:
        """``answer`` as this package reads answers; the retired XML API has to be translated.

        A byte order mark before JSON is dropped. A write that is answered by HTTP 204 was done, and
        there is nothing to tell of it.
        """
        if answer.status == _NO_CONTENT and not answer.body and self.kind != "read":
            return msgspec.structs.replace(answer, body=_DONE)
        if answer.body.startswith(BOM_UTF8):
            return msgspec.structs.replace(answer, body=answer.body[len(BOM_UTF8) :])
        return answer


#: The same few organizations are named in every call.
_quoted = lru_cache(1024)(quote)


def path_of(template: str, ids: Sequence[str | int]) -> str:
    """``template`` with ``ids`` in place of its ``{names}``, in order.

    Raises `ValueError` and `TypeError` for what is no id.
    """
    parts = template.split("{")
    path = parts[0]
    for part, value in zip(parts[1:], ids, strict=True):
        name, _, rest = part.partition("}")
        path += quoted_id(name, value) + rest
    return path


def is_success(call: Call, answer: Answer) -> bool:
    """Whether ``answer`` is a success as far as its first bytes say; False: ask `error_of`.

    Nearly every answer begins so, and looking at all of it costs a sixth of decoding it. What may
    still come to light is that the text is broken further on, which whoever decodes it finds out.
    """
    return is_fine(answer) and answer.body.startswith(_SUCCESS) and call.accept == JSON


def is_fine(answer: Answer) -> bool:
    """Whether the status says success."""
    return 200 <= answer.status < 300


def error_of(call: Call, answer: Answer) -> ReplyError | UnreadableReply | None:
    """The exception that ``answer`` amounts to, or None for success.

    Success is a status of 2xx and a code of 0, or no code and no ``error`` (bulk writes answer rows
    instead). Zoho's word "error" in place of a number is an error.
    """
    if is_fine(answer) and call.accept != JSON:
        return _document_error(call, answer)
    try:
        envelope = read_envelope(answer.body)
        said = _said(call, envelope)
    except Unreadable as problem:
        return _without_envelope(call, answer, problem)
    return None if is_fine(answer) and said == "success" else _no(call, answer, envelope, said)


def _without_envelope(
    call: Call, answer: Answer, problem: Unreadable
) -> ReplyError | UnreadableReply:
    """The error for an answer that is no JSON: its status is all that there is."""
    if is_fine(answer):
        return UnreadableReply(call.request, str(problem), answer.status)
    if answer.status < 400:
        text = f"HTTP {answer.status}, a redirect to elsewhere"
        return UnreadableReply(call.request, text, answer.status)
    text = f"no reply in JSON: {problem}"
    error = reply_error(call.request, answer.status, None, text, said="nothing")
    error.retry_after = retry_after(answer)
    return error


def _said(call: Call, envelope: Envelope) -> Said:
    """What an envelope says about the call. Raises `Unreadable` for a code that is none."""
    sent = envelope.sent_code
    word = sent.strip() if isinstance(sent, str) and envelope.code is None else ""
    if envelope.code is None and sent is not None and not isinstance(sent, str):
        raise Unreadable("the code in the reply is no number")
    return said_of(envelope.code, word, call.codes, trouble=bool(envelope.error))


def _no(call: Call, answer: Answer, envelope: Envelope, said: Said) -> ReplyError:
    """The error that an envelope tells of."""
    error = reply_error(
        call.request,
        answer.status,
        envelope.code,
        envelope.message or _message(envelope.error),
        scope=call.scope,
        choices=_ids(envelope.error_info),
        codes=call.codes,
        said=said,
    )
    error.retry_after = retry_after(answer)
    return error


def _message(error: object) -> str:
    """What an ``error`` in an envelope tells, as text or as an object with a message."""
    if isinstance(error, dict):
        error = cast(dict[str, object], error).get("message")
    return error if isinstance(error, str) else ""


def _ids(error_info: object) -> tuple[str, ...]:
    """The organizations that code 6024 lists beside its message."""
    if not isinstance(error_info, list):
        return ()
    rows = cast(list[object], error_info)
    return tuple(str(row) for row in rows if isinstance(row, str | int))


def _document_error(call: Call, answer: Answer) -> ReplyError | UnreadableReply | None:
    """Errors stay JSON where a document was asked for; a page of HTML is no document."""
    if answer.content_type == JSON:
        with suppress(Unreadable):
            envelope = read_envelope(answer.body)
            if (said := _said(call, envelope)) != "success":
                return _no(call, answer, envelope, said)
        return UnreadableReply(call.request, "JSON came instead of a document", answer.status)
    if not answer.body:
        return UnreadableReply(call.request, "an empty document came", answer.status)
    if answer.content_type == "text/html" and "html" not in call.accept:
        return UnreadableReply(call.request, "HTML came instead of a document", answer.status)
    # Whatever its type is said to be; what stands before the mark, readers of PDFs skip.
    if call.accept == PDF and b"%PDF-" not in answer.body[:START]:
        return UnreadableReply(call.request, "what came is no PDF", answer.status)
    return None


def is_document(answer: Answer) -> bool:
    """Whether the start of an answer may be that of a document; errors come as JSON."""
    return is_fine(answer) and answer.content_type != JSON


def quota_of(answer: Answer) -> Quota | None:
    """The day's quota as the reply's headers give it, or None where they are not there."""
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
    """``Retry-After`` in seconds, or None where it is missing or nonsense.

    A date counts from the reply's own ``Date``, so that nobody's clock has to be right.
    """
    text = answer.headers.get("retry-after", "")
    seconds = _number(text)
    if seconds is not None or not text:
        return seconds
    until, now = parsedate(text), parsedate(answer.headers.get("date", ""))
    if until is None or now is None:
        return None
    return max(0.0, float(timegm(until) - timegm(now)))


def _number(text: str | None) -> float | None:
    """A header's number, commas and blanks allowed; None for what is none, or negative."""
    if not text:
        return None
    try:
        value = float(text.replace(",", "") if "," in text else text)
    except ValueError:
        return None
    return value if 0 <= value < 1e9 else None
