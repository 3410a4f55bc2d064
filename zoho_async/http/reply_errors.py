"""Choose the exception for an answer, by its HTTP status and Zoho's code.

Some of Zoho's codes under 10,000 have another meaning in each module, so the HTTP status decides
first. Only codes that mean the same in every module and under any status (`GLOBAL_CODES`) overrule
it. Zoho sends codes as int or as text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from zoho_async.errors import (
    Blocked,
    DailyLimitReply,
    InvalidRequest,
    InvalidToken,
    MissingScope,
    NotAuthorized,
    NotFound,
    OrganizationError,
    RateLimited,
    ReplyError,
    Request,
    ServerError,
    TooManyInFlight,
)
from zoho_async.http.verdict import BodyStatus, body_status

#: Codes that mean the same in every module and under any HTTP status, according to the documents
#: and recorded traffic.
GLOBAL_CODES: Final[dict[int, type[ReplyError]]] = {
    14: InvalidToken,
    43: Blocked,
    44: Blocked,
    45: DailyLimitReply,
    57: MissingScope,
    1070: TooManyInFlight,
    6024: OrganizationError,
    6041: OrganizationError,
}

_STATUSES: Final[dict[int, type[ReplyError]]] = {
    400: InvalidRequest,
    401: NotAuthorized,
    404: NotFound,
    429: RateLimited,
}


def reply_error(
    request: Request,
    status: int,
    code: int | None,
    message: str,
    *,
    scope: str = "",
    choices: tuple[str, ...] = (),
    codes: Mapping[int, str] | None = None,
    status_in_body: BodyStatus | None = None,
) -> ReplyError:
    """Return the exception for an answer of HTTP ``status`` with Zoho's ``code`` (None: no code).

    ``scope`` is the operation's documented scope, for `MissingScope`; ``choices`` are the
    organizations that the answer lists, for `OrganizationError`. ``codes`` are the meanings of
    codes in the operation's resource. ``status_in_body`` is what the body says about the call. By
    default it follows from ``code``; without a code it is ``nothing``.
    """
    error = _reply_error(request, status, code, message, scope, choices)
    if status_in_body is None:
        status_in_body = (
            "nothing" if code is None else body_status(code, "", codes or {}, trouble=False)
        )
    error.status_in_body = status_in_body
    if code is not None and code not in GLOBAL_CODES and codes and code in codes:
        return error.with_explanation(codes[code])
    return error


def _reply_error(
    request: Request,
    status: int,
    code: int | None,
    message: str,
    scope: str,
    choices: tuple[str, ...],
) -> ReplyError:
    kind = GLOBAL_CODES.get(code) if code is not None else None
    if kind is MissingScope:
        return MissingScope(request, status, code, message, scope)
    if kind is OrganizationError:
        return OrganizationError(request, status, code, message, choices)
    if kind is None:
        kind = _STATUSES.get(status) or (ServerError if status >= 500 else ReplyError)
    return kind(request, status, code, message)
