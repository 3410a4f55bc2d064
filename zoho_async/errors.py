"""The exception tree.

Catch by cause: `ZohoError` is everything, `ReplyError` means that Zoho refused the call,
`TransportError` that no usable answer came, `LimitError` that the limits forbid the call now,
`AuthError` that the credentials do not work. Each error names the call (method, path,
organization), the answer (status, code, Zoho's message) and what to do. No error holds a token, a
query value or a body.

Each error also knows whether the call may have run and whether another try may help
(`zoho_async.http.verdict`). `zoho_async.http.reply_errors` chooses the error for an answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self, cast

import msgspec

from zoho_async.clock import local_minute

if TYPE_CHECKING:
    from zoho_async.http.verdict import BodyStatus

#: Zoho's codes for an unknown path and for an unknown record.
_NO_PATH: Final = 5
_NO_RECORD: Final = 1002


class ZohoError(Exception):
    """Base class of everything that this package raises on purpose.

    It can be copied and pickled, with all its attributes.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        # Exception would call the class with its message, but most classes take other arguments.
        return _rebuild, (type(self), self.args), self.__dict__


def _rebuild(kind: type[ZohoError], args: tuple[object, ...]) -> ZohoError:
    return kind.__new__(kind, *args)


def first_failure(failure: BaseException) -> BaseException:
    """Return the first failure of a task group, at any depth; any other failure as it is."""
    if not isinstance(failure, BaseExceptionGroup):
        return failure
    group = cast("BaseExceptionGroup[BaseException]", failure)
    return first_failure(group.exceptions[0])


class ConfigurationError(ZohoError):
    """A setting cannot work: a region, URL, credential or option. Nothing was sent."""


class CancelledFilter(ConfigurationError, ValueError):
    """``filter_by`` cancels another filter of the same request. Nothing was sent."""


class UnconfirmedFilter(UserWarning):
    """A list's reply does not confirm a filter that was sent. Zoho may have ignored it."""


class LedgerError(ZohoError):
    """The ledger that counts calls cannot be read or written now. Nothing was sent."""


class UsedAfterFork(ConfigurationError):
    """A session or an in-memory ledger was used in a forked process that did not create it."""

    def __init__(self, what: str, instead: str) -> None:
        super().__init__(
            f"{what} was created in another process and cannot be used after a fork; {instead}"
        )


class SessionClosed(ZohoError):
    """The session was closed before or during this call."""

    def __init__(self) -> None:
        super().__init__("the session is closed; open a new Session")


class TooManyIds(ZohoError, ValueError):
    """A write has ``given`` ids, but one call takes at most ``most``. Nothing was sent.

    The client does not split a write, because its first half could succeed and its second fail.
    """

    def __init__(self, parameter: str, given: int, most: int) -> None:
        self.parameter: Final = parameter
        self.given: Final = given
        self.most: Final = most
        super().__init__(
            f"{parameter} has {given} ids, but one call takes at most {most}; "
            f"split them into calls of {most} and check each answer"
        )


class Request(msgspec.Struct, frozen=True):
    """Method, path (without query) and organization of a call. Holds nothing secret."""

    method: str
    path: str
    organization: str | None = None

    def __str__(self) -> str:
        where = f" (organization {self.organization})" if self.organization else ""
        return f"{self.method} {self.path}{where}"


class CallError(ZohoError):
    """One call failed; ``request`` names it."""

    hint: ClassVar[str] = ""

    def __init__(self, request: Request, problem: str) -> None:
        self._request: Final = request
        text = f"{request}: {problem}"
        super().__init__(f"{text} - {self.hint}" if self.hint else text)

    @property
    def request(self) -> Request:
        """The call."""
        return self._request


# -- limits -------------------------------------------------------------------------------------


class LimitError(ZohoError):
    """The organization's limits do not allow the call now. ``request`` names the call, if known."""

    _call: Request | None = None

    @property
    def request(self) -> Request | None:
        """The call, if it is known."""
        return self._call

    def with_request(self, request: Request) -> Self:
        """Name the call that was not admitted, and return the error."""
        self._call = request
        self.args = (f"{request}: {self.args[0]}",)
        return self


class WaitTooLong(LimitError):
    """The wait for the limits would exceed ``max_wait``. ``seconds`` is how long it would be."""

    def __init__(self, seconds: float, why: str = "the limits") -> None:
        self.seconds: Final = seconds
        self.why: Final = why
        super().__init__(
            f"waiting for {why} would take {seconds:.1f} s, longer than max_wait; "
            "try later, or raise max_wait (None: no limit)"
        )


class DailyQuotaExceeded(LimitError):
    """The organization's calls for the day are used up.

    ``reset_at`` is in the organization's local time, or None if it is not known. ``product`` is the
    product whose calls are used up, or "" if all products share the day.
    """

    def __init__(self, reset_at: datetime | None, product: str = "") -> None:
        self.reset_at: Final = reset_at
        self.product: Final = product
        when = "at a time that Zoho did not send"
        if reset_at is not None:
            when = f"at {local_minute(reset_at)}"
        super().__init__(
            f"the organization's {product + ' ' if product else ''}calls for the day are used up; "
            f"the count restarts {when}"
        )


class BudgetSpent(LimitError):
    """All calls that ``max_calls`` allows were made. The organization's limits may allow more."""

    def __init__(self, calls: int) -> None:
        self.calls: Final = calls
        super().__init__(f"the budget of {calls:,} calls is spent")


# -- no usable answer ---------------------------------------------------------------------------


class TransportError(CallError):
    """No usable answer came."""


class NotConnected(TransportError):
    """No connection could be opened. The request was not sent."""

    hint = "check the network, the proxy variables and the host name"


class ConnectionBroken(TransportError):
    """The connection broke after the request was sent. Zoho may or may not have acted."""


class CallTimeout(TransportError):
    """No answer within the timeout, after the request was sent. Zoho may or may not have acted."""

    hint = "raise the timeout with with_options(timeout=...) if the operation is slow"


class UnreadableReply(TransportError):
    """The answer is empty, cut short, or of another kind than expected, such as HTML."""

    hint = "try again later, and check that ZOHO_REGION is the account's data center"

    def __init__(self, request: Request, problem: str, status: int | None = None) -> None:
        self.status: Final = status
        super().__init__(request, problem)


class ReplyTooLong(UnreadableReply):
    """The answer is larger than the client accepts. Another try would give the same."""

    hint = "ask for less, for example with a smaller per_page or a filter"


class AmbiguousWrite(CallError):
    """A write was sent and its outcome is not known. The client never repeats it by itself.

    ``status`` and ``code`` are those of the answer, None if there was none; ``__cause__`` is the
    error itself. Look up the record before you write again. If doing it twice is harmless, allow
    repeats with ``with_options(retry_writes=True)``: then this is raised only if all tries fail and
    at least one of them may have run.
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
    """Return the `AmbiguousWrite` for a write that failed with ``error``; raise it from that."""
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


# -- authentication -----------------------------------------------------------------------------


class AuthError(ZohoError):
    """The credentials do not give access; the message says what to do."""


class InvalidClient(AuthError):
    """The client id or secret is wrong, or belongs to another data center."""


class InvalidGrant(AuthError):
    """The refresh token or code is wrong, revoked, used already, or from another data center."""


class TokenThrottled(AuthError):
    """Too many token requests within ten minutes. The refresh token is still valid: wait."""


class AccountsUnavailable(AuthError):
    """The accounts server could not be reached, or its answer is unreadable."""


class InvalidScope(AuthError):
    """A requested scope does not exist, or this client may not use it."""


class InvalidRedirect(AuthError):
    """The redirect address is not registered for the client."""


class ConsentRefused(AuthError):
    """The user did not agree, or the authorization page's answer cannot be trusted."""


class TokenStoreError(AuthError):
    """The store that shares tokens cannot be used."""


# -- Zoho refused the call ----------------------------------------------------------------------


class ReplyError(CallError):
    """Zoho answered with an error: HTTP ``status``, its own ``code`` and ``message``.

    ``explanation`` is the documented meaning of the code in this resource, or "". It never decides
    the class of the exception. ``status_in_body`` is what the body says about the call, and
    ``retry_after`` the seconds that Zoho asks to wait before the next try, or None.
    """

    explanation = ""
    status_in_body: BodyStatus = "code"
    retry_after: float | None = None

    def __init__(self, request: Request, status: int, code: int | None, message: str) -> None:
        self.status: Final = status
        self.code: Final = code
        self.message: Final = message
        number = f", code {code}" if code is not None else ""
        super().__init__(request, f"HTTP {status}{number}: {message or 'no message'}")

    def with_explanation(self, explanation: str) -> Self:
        """Add the meaning that the code has in its resource, and return the error."""
        self.explanation = explanation
        self.args = (f"{self.args[0]} (in this resource code {self.code} means: {explanation})",)
        return self


class InvalidRequest(ReplyError):
    """A parameter or field has a value that Zoho does not accept."""

    hint = "correct the value that the message names"


class NotFound(ReplyError):
    """The record or path does not exist, or the record belongs to another organization."""

    hint = "check the id and the organization"


def says_gone(error: ReplyError) -> bool:
    """Whether the error says that the record does not exist.

    Some products answer code 1002 with HTTP 400. An unknown path says nothing about the record.
    """
    return error.code == _NO_RECORD or (isinstance(error, NotFound) and error.code != _NO_PATH)


class NotAuthorized(ReplyError):
    """Zoho refused a fresh token for this operation."""


class InvalidToken(NotAuthorized, AuthError):
    """Zoho refused even a newly refreshed access token (code 14)."""

    hint = "check that ZOHO_REGION is the account's data center and that the token is not revoked"


class MissingScope(NotAuthorized):
    """The token lacks the scope of this operation (code 57 on a fresh token).

    ``scope`` is the scope that the description names, or "".
    """

    def __init__(
        self, request: Request, status: int, code: int | None, message: str, scope: str = ""
    ) -> None:
        self.scope: Final = scope
        needed = f" (needs {scope})" if scope else ""
        super().__init__(request, status, code, f"{message}{needed}")

    hint = "log in again with this scope (`zoho-async login`) to get a new refresh token"


class OrganizationError(ReplyError):
    """The call must name an organization (code 6024), or the user cannot use it (code 6041).

    ``choices`` are the user's organizations as far as they are known: ids, with names if known.
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

    def with_choices(self, choices: tuple[str, ...]) -> OrganizationError:
        """Return a copy of the error that names the organizations to choose from."""
        named = OrganizationError(self.request, self.status, self.code, self.message, choices)
        named.status_in_body, named.retry_after = self.status_in_body, self.retry_after
        return named.with_explanation(self.explanation) if self.explanation else named


class RateLimited(ReplyError, LimitError):
    """Zoho refused the call because of its limits (HTTP 429, or codes 43, 44, 45, 1070)."""

    hint = "another program or user shares this organization's limits; try again later"


class Blocked(RateLimited):
    """The organization (code 44) or the account (code 43) is blocked for a while."""


class TooManyInFlight(RateLimited):
    """Too many calls ran at the same time (code 1070)."""


class DailyLimitReply(RateLimited):
    """Zoho says that the day's calls are used up (code 45)."""


class ServerError(ReplyError):
    """Zoho failed (HTTP 5xx)."""

    hint = "try again later"


# -- unexpected content -------------------------------------------------------------------------


class DecodeError(ZohoError):
    """A value in a reply does not fit its described type. Raised only with ``strict=True``."""


class ShapeError(DecodeError):
    """A row does not fit the struct or dataclass that was given to `Pager.into`.

    ``field`` is the path of the field, such as ``MyInvoice.line_items[].rate``.
    """

    def __init__(self, field: str, problem: str) -> None:
        self.field: Final = field
        super().__init__(problem)


class IncompleteList(ZohoError):
    """A list was read to its end, but it is not proven to be complete.

    Raised after the last row, only with ``strict=True``. ``completeness`` is the result
    (`zoho_async.paging.completeness`), ``missing`` the number of rows that Zoho counts and the read
    did not find.
    """

    def __init__(self, request: Request, completeness: str, missing: int = 0) -> None:
        self.request: Final = request
        self.completeness: Final = completeness
        self.missing: Final = missing
        why = {
            "uncheckable": "Zoho sends no count to compare with",
            "changed": "the list changed while it was read; read it again",
            "short": f"Zoho counts {missing} more rows than were found; read it again",
        }[completeness]
        super().__init__(f"{request}: the list is not proven complete: {why}")


class ReportMismatch(ZohoError):
    """The reply to a report is for another period, basis or rule than requested.

    Zoho answers so without an error. ``asked`` has what was requested, by the names in Zoho's
    ``page_context``. ``received`` has what the reply says instead, and is empty if the reply does
    not say it.
    """

    def __init__(
        self, operation: str, asked: Mapping[str, str], received: Mapping[str, str]
    ) -> None:
        self.operation: Final = operation
        self.asked: Final = dict(asked)
        self.received: Final = dict(received)
        wanted = ", ".join(f"{name} {value}" for name, value in asked.items())
        if received:
            came = ", ".join(f"{name} {value}" for name, value in received.items())
            text = (
                f"asked for {wanted}, but the reply is for {came}; its numbers are not returned. "
                "Zoho did not apply the parameter: check that the report takes it"
            )
        else:
            text = (
                f"asked for {wanted}, but the reply does not confirm it, so its numbers may be "
                "those of another period; allow_unconfirmed=True (--allow-unconfirmed) reads them, "
                "but no table takes them"
            )
        super().__init__(f"{operation}: {text}")
