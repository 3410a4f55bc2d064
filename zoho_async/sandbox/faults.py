"""Faults on request: what goes wrong, for which calls, how often.

A rule watches the requests that its method and path match. It lets ``after`` of them pass, spoils
the next ``times`` (None: all that follow), and is done. The first rule that wants a request has it.
Faults of the connection and of the reply are told apart by *when* they act: ``drop_unread`` before
the request is counted, those of ``refusals`` instead of the work, the rest after the work was done,
which is what makes a lost answer to a write ambiguous.
"""

from __future__ import annotations

import fnmatch
import random
from decimal import Decimal
from typing import Any, Final, Literal, TypeAlias

import msgspec

from zoho_async.sandbox.replies import ENCODER, JSON_TYPE, Reply

FaultKind: TypeAlias = Literal[
    "drop_unread",
    "drop_undone",
    "drop",
    "status",
    "status_html",
    "code",
    "empty",
    "cut",
    "html",
    "refuse",
    "redirect",
    "last_page",
    "repeat_rows",
    "slow",
    "broken_body",
    "odd",
]

#: Faults that answer (or hang up) instead of doing the work.
INSTEAD: Final[frozenset[str]] = frozenset(
    {"drop_undone", "status", "status_html", "code", "refuse", "redirect"}
)

_HTML: Final = (
    b"<html><head><title>Zoho</title></head><body><h1>Service unavailable</h1></body></html>"
)
_EXACT: Final = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal)


class Fault(msgspec.Struct, kw_only=True):
    """One rule. ``path`` is a glob over the path below the host, ``method`` a method or ``*``.

    - ``drop_unread``: the connection is closed before the request counts.
    - ``drop_undone``, ``drop``: closed after the request was taken, before or after its effect.
    - ``status``, ``status_html``: HTTP ``status`` with a JSON or an HTML body, nothing done.
    - ``code``: HTTP ``status`` (200 unless set) with Zoho's ``code`` and ``message``, nothing done.
    - ``refuse``: HTTP 429 with ``code`` and, where set, ``retry_after`` seconds.
    - ``redirect``: HTTP 302 to ``location``.
    - ``empty``, ``cut``, ``html``: HTTP 200 with no body, half of it, or a page of HTML.
    - ``last_page``: ``has_more_page`` is false. ``repeat_rows``: the page's first ``rows`` rows
      come a second time at its end.
    - ``broken_body``: half of the body comes, then the connection closes.
    - ``slow``: the body takes ``seconds`` to arrive.
    - ``odd``: ``field`` holds ``value`` in every row or record of the answer.
    """

    kind: FaultKind
    path: str = "*"
    method: str = "*"
    after: int = 0
    times: int | None = 1
    probability: float = 1.0
    status: int = 0
    code: int = 44
    message: str = "Internal error"
    retry_after: float | None = None
    location: str = "/"
    rows: int = 1
    seconds: float = 1.0
    field: str = ""
    value: Any = None
    #: How many requests matched, and how many were spoilt.
    seen: int = 0
    hits: int = 0

    def wants(self, method: str, path: str, chance: random.Random) -> bool:
        """Whether this request is one to spoil; counts it."""
        if self.method not in ("*", method) or not fnmatch.fnmatchcase(path, self.path):
            return False
        self.seen += 1
        spent = self.times is not None and self.hits >= self.times
        if spent or self.seen <= self.after or chance.random() >= self.probability:
            return False
        self.hits += 1
        return True


class Faults:
    """The rules in force, and the seeded chance they share."""

    def __init__(self, rules: list[Fault], seed: int) -> None:
        self.rules = rules
        self._chance = random.Random(seed)

    def pick(self, method: str, path: str) -> Fault | None:
        """The rule that spoils this request, or None. Call once a request."""
        for rule in self.rules:
            if rule.wants(method, path, self._chance):
                return rule
        return None


def instead(fault: Fault) -> Reply:
    """The answer of a fault that does not let the work be done."""
    if fault.kind == "redirect":
        return Reply(status=302, code=None, headers={"Location": fault.location})
    if fault.kind == "status_html":
        return Reply(status=fault.status or 502, code=None, body=_HTML, content_type="text/html")
    if fault.kind == "refuse":
        seconds = fault.retry_after
        headers = {} if seconds is None else {"Retry-After": str(int(seconds))}
        return _refusal(429, fault.code, "You have been blocked for some time.", headers)
    if fault.kind == "status":
        return _refusal(fault.status or 500, 1000, fault.message, {})
    return _refusal(fault.status or 200, fault.code, fault.message, {})


def spoil(fault: Fault, reply: Reply) -> Reply:
    """What a fault makes of a finished answer (a drop is the server's to do)."""
    page = reply.page
    if fault.kind == "empty":
        return msgspec.structs.replace(reply, page=None, body=b"")
    if fault.kind == "cut":
        body = reply.content()
        return msgspec.structs.replace(reply, page=None, body=body[: len(body) // 2])
    if fault.kind == "html":
        return Reply(code=None, body=_HTML, content_type="text/html;charset=UTF-8")
    if fault.kind == "last_page" and page is not None:
        page.context["has_more_page"] = False
    if fault.kind == "repeat_rows" and page is not None:
        page.rows.extend(page.rows[: fault.rows])
    if fault.kind == "odd":
        body = _with_odd_value(reply.content(), fault.field, fault.value)
        return msgspec.structs.replace(reply, page=None, body=body)
    return reply


def _refusal(status: int, code: int, message: str, headers: dict[str, str]) -> Reply:
    body = ENCODER.encode({"code": code, "message": message})
    return Reply(status=status, code=code, body=body, content_type=JSON_TYPE, headers=headers)


def _with_odd_value(body: bytes, field: str, value: Any) -> bytes:
    envelope = _EXACT.decode(body)
    for key, part in envelope.items():
        if key == "page_context" or not isinstance(part, list | dict):
            continue
        records = msgspec.convert([part] if isinstance(part, dict) else part, list[dict[str, Any]])
        for record in records:
            record[field] = value
        envelope[key] = records[0] if isinstance(part, dict) else records
    return ENCODER.encode(envelope)
