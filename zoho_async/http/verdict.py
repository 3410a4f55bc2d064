"""Decide what the answer to a call means: whether the call ran, and whether another try may help.

Model. An answer has an HTTP status and, if its body is a JSON object, Zoho's own statement about
the call (`BodyStatus`). From these two follow two independent facts (`Verdict`): whether Zoho may
have acted, and whether another try can bring another answer. `next_step` combines them with what
the caller asked for.

Invariant. A write that may have run is never repeated automatically, and never raised as a refusal:
it becomes `AmbiguousWrite`. So "did not run" needs evidence, and everything without evidence may
have run.

Evidence that a call did not run:

- Zoho's own code above 0 with HTTP 2xx or 4xx: Zoho checks a call before it carries it out. The
  word "error" in place of a number means the same.
- HTTP 429 with JSON: refused because of the limits.
- HTTP 501 and 505: the server does not know the request. HTTP 521, 523, 525 and 526: a gateway did
  not reach Zoho.
- HTTP 5xx with a code from the resource's own table: a rule of the resource refused the call. Code
  1000 is in such tables too, but means an internal error, which can happen at any point.

No evidence: every other 5xx, 408 and 499 (a gateway gave up waiting), a body that is not JSON (it
comes from a gateway, which may have passed the call on), a 3xx, a 4xx without a code, a 2xx that
cannot be read, and a 2xx whose code is below 0 or that holds an ``error`` without a code.

Unknown. Whether Zoho ever carries out part of a call and then answers 4xx with a code: no such
answer is documented or recorded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

import msgspec

#: What the body says about a call. ``nothing``: it is not a JSON object, or its code makes no
#: sense. ``success``: a code of 0, or none. ``trouble``: a code below 0, or an ``error`` without a
#: code. ``code``: a code above 0, or a word in its place. ``own``: a code above 0 from the
#: resource's own table, not 1000. ``limit``: a code that refuses a call because of the limits.
BodyStatus: TypeAlias = Literal["nothing", "success", "trouble", "code", "own", "limit"]

#: When another try may help. ``unsent``: the request never left this machine. ``block``: after the
#: limits allow it again.
Again: TypeAlias = Literal["never", "soon", "block", "unsent"]

#: ``read`` changes nothing. ``repeatable`` changes something and can be sent twice without harm.
Kind: TypeAlias = Literal["read", "write", "repeatable"]

Step: TypeAlias = Literal["raise", "repeat", "after_block"]

LIMIT_CODES: Final = frozenset({43, 44, 45, 1070})
INTERNAL_ERROR: Final = 1000

#: Statuses that a read is repeated for.
_REPEATED: Final = frozenset({408, 499, 500, 502, 503, 504, *range(520, 530)})
_NEVER_RAN: Final = frozenset({501, 505, 521, 523, 525, 526})
_IMPATIENT: Final = frozenset({408, 499})
_TOO_MANY: Final = 429


class Verdict(msgspec.Struct, frozen=True):
    """Whether Zoho may have acted, and whether another try may help."""

    may_have_run: bool
    again: Again


def body_status(
    code: int | None, word: str, codes: Mapping[int, str], *, trouble: bool
) -> BodyStatus:
    """What an envelope says with its ``code``, or with the ``word`` in place of a number.

    ``codes`` are the resource's own. ``trouble``: there is an ``error`` but no code.
    """
    if code is None:
        return "code" if word else "trouble" if trouble else "success"
    if code in LIMIT_CODES:
        return "limit"
    if code > 0:
        return "own" if code in codes and code != INTERNAL_ERROR else "code"
    return "trouble" if code else "success"


def verdict_of(status: int, status_in_body: BodyStatus) -> Verdict:
    """Return what an unsuccessful answer of HTTP ``status`` means."""
    return Verdict(_may_have_run(status, status_in_body), _again(status, status_in_body))


def _may_have_run(status: int, status_in_body: BodyStatus) -> bool:
    if status in _NEVER_RAN:
        return False
    if status in _IMPATIENT or status_in_body == "nothing":
        return True
    if status == _TOO_MANY:
        return False
    if 200 <= status < 300 or 400 <= status < 500:
        return status_in_body not in ("code", "own", "limit")
    return not (500 <= status < 600 and status_in_body == "own")


def _again(status: int, status_in_body: BodyStatus) -> Again:
    if status_in_body == "limit" or status == _TOO_MANY:
        return "block"
    if status in _REPEATED or (200 <= status < 300 and status_in_body == "nothing"):
        return "soon"
    return "never"


def next_step(kind: Kind, verdict: Verdict) -> Step:
    """Decide what follows a failed try. A write that may have run is raised."""
    if kind == "write" and verdict.may_have_run:
        return "raise"
    if verdict.again == "block":
        return "after_block"
    if verdict.again == "unsent" or (verdict.again == "soon" and kind != "write"):
        return "repeat"
    return "raise"


def is_ambiguous(kind: Kind, verdict: Verdict) -> bool:
    """Whether a call with this last answer must be raised as `AmbiguousWrite`."""
    return kind != "read" and verdict.may_have_run
