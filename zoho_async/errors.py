"""The exception tree, and the map from (HTTP status, Zoho code) to it.

Catch by cause: `ZohoError` is everything, `ReplyError` is "Zoho answered no", `TransportError` is
"no usable answer came", `LimitError` is "not now", `AuthError` is "not you". Each says what was
asked (method, path, organization), what came back (status, code, Zoho's message) and what to do.
None ever holds a token, a query value or a body.

Each error also knows what it says about the call: whether it ran, and whether another try may help
(`zoho_async.http.verdict`).

Zoho's codes under 10,000 are partly per module, so the HTTP status decides first; only the codes
that mean the same in every module and under any status (`GLOBAL_CODES`) overrule it. They come as
int or as text.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import ClassVar, Final, Self

import msgspec

from zoho_async.http.verdict import Said, said_of


class ZohoError(Exception):
    """Anything that this package raises on purpose."""


class ConfigurationError(ZohoError):
    """The caller's settings cannot work: a region, URL, credential or option. Nothing was sent."""


class LedgerError(ZohoError):
    """The place where the limits are kept cannot be read or written now. Nothing was sent."""


class UsedAfterFork(ConfigurationError):
    """A session or a ledger in memory was used in a process that was forked from its own."""

    def __init__(self, what: str, instead: str) -> None:
        super().__init__(
            f"{what} belongs to the process that made it, and this one was forked from that one; "
            f"{instead}"
        )


class SessionClosed(ZohoError):
    """The session was closed before or during this call."""

    def __init__(self) -> None:
        super().__init__("the session is closed; open a new Session")


class TooManyIds(ZohoError, ValueError):
    """A write was given ``given`` ids, and one call takes ``most``. Nothing was sent.

    It is not split, because its first half could succeed and its second fail.
    """

    def __init__(self, parameter: str, given: int, most: int) -> None:
        self.parameter: Final = parameter
        self.given: Final = given
        self.most: Final = most
        super().__init__(
            f"{parameter} holds {given} ids, and one call takes at most {most}; "
            f"call it for {most} at a time and look at each answer"
        )


class Request(msgspec.Struct, frozen=True):
    """What was asked: enough to find the call, nothing secret (the path without its query)."""

    method: str
    path: str
    organization: str | None = None

    def __str__(self) -> str:
        where = f" (organization {self.organization})" if self.organization else ""
        return f"{self.method} {self.path}{where}"


class CallError(ZohoError):
    """One call failed; ``request`` says which."""

    hint: ClassVar[str] = ""

    def __init__(self, request: Request, problem: str) -> None:
        self.request: Final = request
        text = f"{request}: {problem}"
        super().__init__(f"{text} - {self.hint}" if self.hint else text)


# -- not now ------------------------------------------------------------------------------------


class LimitError(ZohoError):
    """The organization's limits do not let this call go now; ``asked`` says which, if one was."""

    asked: Request | None = None

    def __str__(self) -> str:
        text = super().__str__()
        return text if self.asked is None else f"{self.asked}: {text}"


class WaitTooLong(LimitError):
    """The wait for the limits would exceed ``max_wait``; ``seconds`` says how long it would be."""

    def __init__(self, seconds: float, why: str = "the limits") -> None:
        self.seconds: Final = seconds
        self.why: Final = why
        super().__init__(
            f"waiting for {why} would take {seconds:.1f} s, longer than max_wait; "
            "try later, or raise max_wait (None waits as long as it takes)"
        )


class DailyQuotaExceeded(LimitError):
    """The organization's calls for the day are used up. ``reset_at`` is None where not known."""

    def __init__(self, reset_at: datetime | None) -> None:
        self.reset_at: Final = reset_at
        when = f"at {reset_at:%Y-%m-%d %H:%M} UTC" if reset_at else "at a time Zoho did not name"
        super().__init__(
            f"the organization's calls for the day are used up; the count restarts {when}"
        )


class BudgetSpent(LimitError):
    """As many calls were made as were allowed; the organization's limits may allow more."""

    def __init__(self, calls: int) -> None:
        self.calls: Final = calls
        super().__init__(f"the budget of {calls:,} calls is spent")


# -- no usable answer ---------------------------------------------------------------------------


class TransportError(CallError):
    """No usable answer came."""


class NotConnected(TransportError):
    """No connection could be made: the request was not sent."""

    hint = "check the network, the proxy variables and the host name"


class ConnectionBroken(TransportError):
    """The connection broke after the request was sent: Zoho may or may not have acted."""


class CallTimeout(TransportError):
    """No answer within the timeout after the request was sent: Zoho may or may not have acted."""

    hint = "raise the timeout with with_options(timeout=...) if the operation is slow"


class UnreadableReply(TransportError):
    """The answer was empty, cut short, or not what was asked for (an HTML page, say)."""

    hint = "a gateway fault, or the wrong region for this account"

    def __init__(self, request: Request, problem: str, status: int | None = None) -> None:
        self.status: Final = status
        super().__init__(request, problem)


class AmbiguousWrite(CallError):
    """A write was sent and its outcome is not known; it is never repeated by itself.

    ``status`` and ``code`` are those of the answer, None if there was none. ``__cause__`` is what
    happened. Look the record up before writing again, or opt in to repeats with
    ``with_options(retry_writes=True)`` if doing it twice is harmless: then this is raised once the
    tries are used up and at least one of them may have run.
    """

    hint = "look up whether it took effect before writing again"

    def __init__(
        self, request: Request, problem: str, *, status: int | None = None, code: int | None = None
    ) -> None:
        self.status: Final = status
        self.code: Final = code
        super().__init__(request, problem)

    @property
    def method(self) -> str:
        """The HTTP method of the call."""
        return self.request.method

    @property
    def path(self) -> str:
        """The path of the call, without its query."""
        return self.request.path

    @property
    def organization(self) -> str | None:
        """The organization that the call named, or None."""
        return self.request.organization


def ambiguous(request: Request, error: ZohoError) -> AmbiguousWrite:
    """The `AmbiguousWrite` for a write that ended in ``error``; raise it from that."""
    status: int | None = getattr(error, "status", None)
    code: int | None = getattr(error, "code", None)
    answer = "" if status is None else f", HTTP {status}"
    number = "" if code is None else f", code {code}"
    return AmbiguousWrite(
        request,
        f"it is not known whether it took effect ({type(error).__name__}{answer}{number})",
        status=status,
        code=code,
    )


# -- Zoho answered no ---------------------------------------------------------------------------


class ReplyError(CallError):
    """Zoho answered with an error: HTTP ``status``, its own ``code`` and ``message``.

    ``explanation`` is what the documents say that the code means in this resource, "" where they
    say nothing. It never decides which exception this is. ``said`` is what the answer's body said
    about the call, and ``retry_after`` the seconds after which Zoho asks for the next try, if any.
    """

    explanation = ""
    said: Said = "code"
    retry_after: float | None = None

    def __init__(self, request: Request, status: int, code: int | None, message: str) -> None:
        self.status: Final = status
        self.code: Final = code
        self.message: Final = message
        number = f", code {code}" if code is not None else ""
        super().__init__(request, f"HTTP {status}{number}: {message or 'no message'}")

    def explained(self, explanation: str) -> Self:
        """The same error with what its code means in its resource."""
        self.explanation = explanation
        self.args = (f"{self.args[0]} (in this resource code {self.code} means: {explanation})",)
        return self


class InvalidRequest(ReplyError):
    """A parameter or field has a value that Zoho does not accept."""

    hint = "correct the value that the message names"


class NotFound(ReplyError):
    """No such record, or it belongs to another organization, or no such path."""

    hint = "check the id and the organization"


class NotAuthorized(ReplyError):
    """A fresh token was refused for this operation."""


class InvalidToken(NotAuthorized):
    """Even a freshly renewed access token was refused (code 14)."""

    hint = "check that ZOHO_REGION is the account's data center and that the token is not revoked"


class MissingScope(NotAuthorized):
    """The token lacks the scope of this operation (code 57 on a fresh token).

    ``scope`` is the one the description names, where it does.
    """

    def __init__(
        self, request: Request, status: int, code: int | None, message: str, scope: str = ""
    ) -> None:
        self.scope: Final = scope
        needed = f" (needs {scope})" if scope else ""
        super().__init__(request, status, code, f"{message}{needed}")

    hint = "log in again with this scope (`zoho-async login`), which gives a new refresh token"


class OrganizationError(ReplyError):
    """The organization must be named (code 6024) or is not this user's (code 6041).

    ``choices`` are those there are, as far as Zoho told: ids, with names where they are known.
    """

    hint = "set ZOHO_ORGANIZATION_ID or Session(organization=...)"

    def __init__(
        self,
        request: Request,
        status: int,
        code: int | None,
        message: str,
        choices: tuple[str, ...] = (),
    ) -> None:
        self.choices: Final = choices
        super().__init__(request, status, code, message)
        if choices:
            self.args = (f"{self}; choose one of {', '.join(choices)}",)

    def among(self, choices: tuple[str, ...]) -> OrganizationError:
        """The same error with the choices that there are."""
        return OrganizationError(self.request, self.status, self.code, self.message, choices)


class RateLimited(ReplyError, LimitError):
    """Zoho refused the call for its limits (HTTP 429, or codes 43, 44, 45, 1070)."""

    hint = "the scheduler waits by itself; others use the same organization's limits"


class Blocked(RateLimited):
    """The organization (code 44) or the account (code 43) is blocked for a while."""


class TooManyInFlight(RateLimited):
    """Too many calls at once (code 1070)."""


class DailyLimitReply(RateLimited):
    """Zoho's own word that the day's calls are used up (code 45)."""


class ServerError(ReplyError):
    """Zoho failed (HTTP 5xx)."""

    hint = "try again later"


# -- not you ------------------------------------------------------------------------------------


class AuthError(ZohoError):
    """The accounts server gave no access token; the message says what to do."""


class InvalidClient(AuthError):
    """The client id or secret is wrong, or belongs to another data center."""


class InvalidGrant(AuthError):
    """The refresh token or code is wrong, revoked, used up, or from another data center."""


class TokenThrottled(AuthError):
    """Too many tokens were asked for in ten minutes. The refresh token is still good: wait."""


class AccountsUnavailable(AuthError):
    """The accounts server could not be reached or answered something unreadable."""


class InvalidScope(AuthError):
    """A scope was asked for that does not exist, or that this client may not have."""


class InvalidRedirect(AuthError):
    """The redirect address is not one that is registered for the client."""


class ConsentRefused(AuthError):
    """The user did not agree, or the answer of the authorization page is not to be trusted."""


class TokenStoreError(AuthError):
    """The place where tokens are shared cannot be used."""


# -- what came back did not fit -----------------------------------------------------------------


class DecodeError(ZohoError):
    """A reply's values do not fit their described types; raised only with ``strict=True``."""


class IncompleteList(ZohoError):
    """A list was read to its end, and it is not proven that this was all of it.

    Raised after the last row, only with ``strict=True``. ``completeness`` is what is known instead
    (`zoho_async.paging.completeness`), ``missing`` how many more rows the list counts.
    """

    def __init__(self, request: Request, completeness: str, missing: int = 0) -> None:
        self.request: Final = request
        self.completeness: Final = completeness
        self.missing: Final = missing
        why = {
            "uncheckable": "it gives no count to compare with",
            "changed": "it changed while it was read; read it again",
            "short": f"it counts {missing} more than were found; read it again",
        }[completeness]
        super().__init__(f"{request}: not proven complete: {why}")


# -- the map ------------------------------------------------------------------------------------

#: Codes that mean the same in every module and under any HTTP status, as the documents and
#: recorded traffic have them.
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
    said: Said | None = None,
) -> ReplyError:
    """The exception for an answer of HTTP ``status`` with Zoho's ``code`` (None where it has none).

    ``scope`` is the operation's documented scope, named by `MissingScope`; ``choices`` are the
    organizations that the answer lists, named by `OrganizationError`. ``codes`` are the meanings
    that codes have in the operation's resource. ``said`` is what the body said about the call; it
    follows from ``code`` if it is left out, and an answer without a code then said nothing.
    """
    error = _reply_error(request, status, code, message, scope, choices)
    if said is None:
        said = "nothing" if code is None else said_of(code, "", codes or {}, trouble=False)
    error.said = said
    if code is not None and code not in GLOBAL_CODES and codes and code in codes:
        return error.explained(codes[code])
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
