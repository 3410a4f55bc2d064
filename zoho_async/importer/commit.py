"""Send one write of the journal, at most once.

Model
-----
`commit` notes durably that a write is sent, makes the request, and notes its outcome:

- Zoho answered with the record: ``written``.
- Zoho refused the write itself: ``not_written``, with what Zoho said.
- The request certainly had no effect for another reason (the limits, the token, no connection):
  ``planned`` again, and the error is raised.
- Everything else: ``unknown``. `zoho_async.importer.settle` looks for evidence.

`zoho_async.http.verdict` decides what an error proves. In addition, a call that spent nothing of
its budget was never admitted, so a cancellation while it waited for the limits leaves it planned.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias, TypeVar

import msgspec
from anyio import CancelScope, to_thread

from zoho_async.description import OperationFacts
from zoho_async.errors import (
    AmbiguousWrite,
    AuthError,
    ConfigurationError,
    LimitError,
    NotAuthorized,
    NotConnected,
    OrganizationError,
    ReplyError,
    ZohoError,
)
from zoho_async.http.call import Budget, path_of
from zoho_async.http.retry import verdict
from zoho_async.importer.journal import WriteJournal
from zoho_async.importer.targets import facts_of, record_in, target_of
from zoho_async.importer.writes import JournaledWrite, carries
from zoho_async.session import Session
from zoho_async.wire.text import untyped

T = TypeVar("T")

#: Makes the request of a write and returns the reply.
MakeRequest: TypeAlias = Callable[[Session, OperationFacts, JournaledWrite], Awaitable[Any]]

#: Answers that do not concern the write itself: the next write would get them too.
_CONCERN_ALL: Final = (NotAuthorized, OrganizationError)


class Committed(msgspec.Struct, frozen=True):
    """The write after its commit, and the record in Zoho's answer ({} without one)."""

    write: JournaledWrite
    record: dict[str, Any]


async def commit(
    zoho: Session,
    journal: WriteJournal,
    number: int,
    *,
    after: float | None = None,
    budget: Budget | None = None,
    request: MakeRequest | None = None,
) -> Committed:
    """Send the write ``number`` of ``journal``, and return what became of it.

    ``after`` is as in `WriteJournal.send`, ``budget`` caps the calls. ``request`` makes the request
    in place of one with a JSON body, for files. The state of the returned write is ``written``,
    ``not_written`` or ``unknown``. Raises `WrongState` if it must not be sent, and the error of a
    call that had no effect and does not concern this write: `LimitError`, `AuthError`,
    `NotAuthorized`, `OrganizationError`, `NotConnected`.
    """
    facts = await to_thread.run_sync(facts_of, (await journal.write(number)).operation)
    target = await to_thread.run_sync(target_of, facts.resource)
    write = await journal.send(number, after=after)
    own = Budget(sys.maxsize, within=budget)
    view = zoho.with_options(budget=own, retry_writes=write.repeatable)
    try:
        reply = await (request or _request)(view, facts, write)
    except BaseException as error:
        ended = await _shielded(_note_error(journal, write, error, is_unsent=own.spent == 0))
        if ended is None or not isinstance(error, ZohoError):
            raise
        return Committed(ended, {})
    record = record_in(reply, facts, target.id_field)
    ended = await _shielded(_note_answer(journal, write, facts, record, target.id_field))
    return Committed(ended, record)


async def _shielded(work: Awaitable[T]) -> T:
    """Await ``work`` to its end, also during a cancellation."""
    result: list[T] = []
    with CancelScope(shield=True):
        result.append(await work)
    return result[0]


async def _request(zoho: Session, facts: OperationFacts, write: JournaledWrite) -> Any:
    body: Any = untyped(write.body) if write.body else msgspec.UNSET
    return await zoho.request(
        facts.method,
        path_of(facts.path, write.ids),
        query=write.query,
        headers=write.headers,
        body=body,
        product=facts.product,
    )


async def _note_answer(
    journal: WriteJournal,
    write: JournaledWrite,
    facts: OperationFacts,
    record: dict[str, Any],
    id_field: str,
) -> JournaledWrite:
    found = str(record.get(id_field, "")) if id_field else ""
    creates = facts.name.endswith((".create", ".upsert"))
    if creates and not found:
        return await journal.lose(write.number, "Zoho's answer does not name the record")
    modified = record.get("last_modified_time", "")
    return await journal.confirm(
        write.number,
        record=found or (write.ids[-1] if write.ids else ""),
        modified=modified if isinstance(modified, str) else "",
        carried=write.room is not None and carries(record, write.room, write.token) is True,
    )


async def _note_error(
    journal: WriteJournal, write: JournaledWrite, error: BaseException, *, is_unsent: bool
) -> JournaledWrite | None:
    """Note a failed request. Returns the write, or None if the error must be raised."""
    number = write.number
    if is_unsent or isinstance(error, LimitError | NotConnected):
        await journal.withdraw(number)
        return None
    if isinstance(error, AmbiguousWrite):
        return await journal.lose(number, str(error))
    if isinstance(error, ReplyError) and not verdict(error).may_have_run:
        if isinstance(error, _CONCERN_ALL):
            await journal.withdraw(number)
            return None
        return await journal.refuse(number, refusal_text(error))
    if isinstance(error, AuthError | ConfigurationError):  # raised before the request
        await journal.withdraw(number)
        return None
    return await journal.lose(number, f"no answer came ({type(error).__name__})")


def refusal_text(error: ReplyError) -> str:
    """What Zoho said about the write, without the address of the call."""
    number = f" (code {error.code})" if error.code is not None else ""
    said = error.message or "no message"
    return f"{said}{number}" + (f": {error.explanation}" if error.explanation else "")
