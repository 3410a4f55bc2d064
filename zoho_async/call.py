"""One call as it is carried out, and what the answer to it means."""

from __future__ import annotations

from calendar import timegm
from collections.abc import Mapping, Sequence
from email.utils import parsedate
from functools import lru_cache
from typing import Final, cast
from urllib.parse import quote, urlencode

import msgspec

from zoho_async.errors import BudgetSpent, ReplyError, Request, UnreadableReply, reply_error
from zoho_async.limits import Lane, Quota
from zoho_async.multipart import Form
from zoho_async.operation import Product
from zoho_async.transport import Answer, Body
from zoho_async.wire import Unreadable, read_envelope

JSON: Final = "application/json"
PDF: Final = "application/pdf"
FORM: Final = "application/x-www-form-urlencoded"

#: How a success begins as Zoho writes it; what begins otherwise is looked at more closely.
_SUCCESS: Final = b'{"code":0,"message":"'

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
        return isinstance(self.body, Form) and self.body.is_spent

    @property
    def may_repeat(self) -> bool:
        """Whether sending it twice does no harm, as far as anyone said."""
        return self.request.method == "GET" or self.repeatable or self.options.retry_writes

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
        """``answer`` as this package reads answers; the retired XML API has to be translated."""
        return answer


#: The same few organizations are named in every call.
_quoted = lru_cache(1024)(quote)


def path_of(template: str, ids: Sequence[str | int]) -> str:
    """``template`` with ``ids`` in place of its ``{names}``, in order.

    Raises `ValueError` for an empty id: without it the path would be that of another operation.
    """
    parts = template.split("{")
    path = parts[0]
    for part, value in zip(parts[1:], ids, strict=True):
        name, _, rest = part.partition("}")
        text = str(value).strip()
        if not text or text in {".", ".."}:
            raise ValueError(f"{name} is {value!r}; an id is needed")
        path += quote(text, safe="") + rest
    return path


def is_success(call: Call, answer: Answer) -> bool:
    """Whether ``answer`` is a success as far as its first bytes say; False: ask `error_of`.

    Nearly every answer begins so, and looking at all of it costs a sixth of decoding it. What may
    still come to light is that the text is broken further on, which whoever decodes it finds out.
    """
    return answer.status < 300 and answer.body.startswith(_SUCCESS) and call.accept == JSON


def error_of(call: Call, answer: Answer) -> ReplyError | UnreadableReply | None:
    """The exception that ``answer`` amounts to, or None for success.

    Success is a status of 2xx and a code of 0, or no code (bulk writes answer rows instead).
    """
    fine = answer.status < 300
    if fine and call.accept != JSON:
        return _document_error(call, answer)
    try:
        envelope = read_envelope(answer.body)
    except Unreadable as problem:
        if fine:
            return UnreadableReply(call.request, str(problem), answer.status)
        if answer.status < 400:
            return UnreadableReply(
                call.request, f"HTTP {answer.status}, a redirect to elsewhere", answer.status
            )
        return reply_error(call.request, answer.status, None, f"no reply in JSON: {problem}")
    if fine and not envelope.code:
        return None
    return reply_error(
        call.request,
        answer.status,
        envelope.code,
        envelope.message,
        scope=call.scope,
        choices=_ids(envelope.error_info),
        codes=call.codes,
    )


def _ids(error_info: object) -> tuple[str, ...]:
    """The organizations that code 6024 lists beside its message."""
    if not isinstance(error_info, list):
        return ()
    rows = cast(list[object], error_info)
    return tuple(str(row) for row in rows if isinstance(row, str | int))


def _document_error(call: Call, answer: Answer) -> ReplyError | UnreadableReply | None:
    """Errors stay JSON where a document was asked for; a page of HTML is no document."""
    if answer.content_type == JSON:
        try:
            envelope = read_envelope(answer.body)
        except Unreadable:
            envelope = None
        if envelope is not None and envelope.code:
            return reply_error(
                call.request,
                answer.status,
                envelope.code,
                envelope.message,
                scope=call.scope,
                codes=call.codes,
            )
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
    return answer.status < 300 and answer.content_type != JSON


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
