"""Send one request of a call, and end its slot.

Each attempt has a slot, and ends it exactly once: with the reply, as lost if the request may have
left this machine, or as unsent. The end of a slot survives cancellation.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Final, TypeVar

import anyio
import msgspec

from zoho_async.auth import AccessToken
from zoho_async.clock import Clock
from zoho_async.errors import (
    ConfigurationError,
    DecodeError,
    LedgerError,
    NotConnected,
    RateLimited,
    ReplyError,
    TransportError,
    UnreadableReply,
)
from zoho_async.events import Called, Observer
from zoho_async.http.call import (
    JSON,
    START,
    Call,
    error_of,
    is_document,
    is_success,
    quota_of,
    retry_after,
)
from zoho_async.http.download import Document
from zoho_async.http.transport import (
    ANSWER_TIMEOUT,
    Answer,
    OpenResponse,
    Transport,
    proxy_for,
)
from zoho_async.limits import Ledger, Refusal, Slot
from zoho_async.wire import AnotherRecord, Unreadable

T = TypeVar("T")


class Attempt(msgspec.Struct, frozen=True):
    """One try of a call: its token, its slot, the try's number, and when it began (monotonic)."""

    call: Call
    token: AccessToken
    slot: Slot
    number: int
    began: float


class CallSender:
    """Sends the calls of one client. ``open_transport`` returns the client's transport.

    ``api_url`` is the API host's URL. The client sets it.
    """

    def __init__(
        self,
        open_transport: Callable[[], Transport],
        *,
        api_url: str,
        ledger: Ledger,
        clock: Clock,
        observer: Observer | None,
    ) -> None:
        self.api_url = api_url
        self._open: Final = open_transport
        self._clock: Final = clock
        self._observer: Final = observer
        #: Whether no cancellation can interrupt the end of a slot.
        self._settles_at_once: Final = ledger.immediate is not None
        self._proxies: dict[str, str | None] = {}
        self._documents: set[Document] = set()

    async def close(self) -> None:
        """Close the documents that are open."""
        for document in list(self._documents):
            await document.aclose()

    async def answer(
        self, attempt: Attempt, read: Callable[[bytes], T]
    ) -> tuple[Answer, T] | UnreadableReply:
        """Send once and read the answer. The slot is settled in every case.

        Returns an `UnreadableReply` instead of raising it if another try would give the same.
        """
        call = attempt.call
        opened = await self._open_response(attempt)
        try:
            answer = call.understood(await self._read(opened))
        except BaseException as broken:
            await self._settle_lost(attempt, broken)
            raise
        finally:
            opened.close()
        await self._settle_answered(attempt, answer)
        try:
            return answer, read(answer.body)
        except (Unreadable, DecodeError) as problem:
            error = error_of(call, answer)
            if error is not None:
                raise error from None
            if isinstance(problem, DecodeError) and call.kind == "read":
                raise  # of a write it would say that the write did not happen
            unreadable = UnreadableReply(call.request, str(problem), answer.status)
            if isinstance(problem, AnotherRecord):  # another try may give the right record
                raise unreadable from None
            return unreadable

    async def document(self, attempt: Attempt, name: str) -> Document:
        """Send once and check the start of the document. Closing the document settles the slot."""
        call = attempt.call
        opened = await self._open_response(attempt)
        try:
            answer = await opened.peek(START) if opened.status < 300 else None
            if answer is None or not is_document(answer):
                answer = call.understood(await self._read(opened))
        except BaseException as broken:
            opened.close()
            await self._settle_lost(attempt, broken)
            raise
        if error_of(call, answer) is not None:
            opened.close()
            await self._settle_answered(attempt, answer)

        async def finish(document: Document) -> None:
            self._documents.discard(document)
            # Even if the document was not read to its end, Zoho has counted the call.
            await self._settle_answered(attempt, answer)

        document = Document(opened, name, finish)
        self._documents.add(document)
        return document

    async def _read(self, opened: OpenResponse) -> Answer:
        """Read the whole answer. If the body of an error cannot be read, return its status.

        A refusal because of the limits counts even if its text is lost.
        """
        try:
            return await opened.read()
        except TransportError:
            if opened.status < 400:
                raise
            return Answer(opened.status, opened.headers, b"")

    async def _open_response(self, attempt: Attempt) -> OpenResponse:
        """Send once and read the head of the answer. If that fails, the slot is settled."""
        call = attempt.call
        url = call.url(self.api_url)
        attempt.slot.sent()
        try:
            return await self._open().open(
                call.request,
                url,
                headers=call.all_headers(attempt.token.value),
                body=call.body,
                read_timeout=call.options.timeout,
                total_timeout=ANSWER_TIMEOUT if call.accept == JSON else None,
                proxy=self._proxy(url),
            )
        except (NotConnected, ConfigurationError):
            await self.settle(attempt.slot.unsent())
            self._report(attempt, None, None)
            raise
        except BaseException as broken:
            await self._settle_lost(attempt, broken)
            raise

    async def _settle_lost(self, attempt: Attempt, broken: BaseException) -> None:
        """Settle the slot of a request whose answer will not be read."""
        await self.settle(attempt.slot.lost())
        if isinstance(broken, TransportError):
            self._report(attempt, None, None)

    async def _settle_answered(self, attempt: Attempt, answer: Answer) -> None:
        """Settle the slot of a request that was answered. Raises the answer's error."""
        call = attempt.call
        error = None if is_success(call, answer) else error_of(call, answer)
        refusal = None
        if isinstance(error, RateLimited):
            refusal = Refusal(code=error.code, retry_after=retry_after(answer))
        await self.settle(attempt.slot.replied(quota=quota_of(answer), refusal=refusal))
        code = error.code if isinstance(error, ReplyError) else None
        self._report(attempt, answer.status, code)
        if error is not None:
            raise error

    async def settle(self, settling: Coroutine[Any, Any, None]) -> None:
        """Release a slot, even during a cancellation.

        A ledger that cannot be written must not hide an answer that arrived: a write that took
        effect would look as if it had not. The next admission uses the same ledger and raises its
        error.
        """
        if self._settles_at_once:
            await settling
            return
        with anyio.CancelScope(shield=True), suppress(ConfigurationError, LedgerError):
            await settling

    def _report(self, attempt: Attempt, status: int | None, code: int | None) -> None:
        if self._observer is not None:
            call = attempt.call
            self._observer(
                Called(
                    method=call.request.method,
                    path=call.request.path,
                    organization=call.request.organization,
                    status=status,
                    code=code,
                    seconds=self._clock.monotonic() - attempt.began,
                    attempt=attempt.number,
                )
            )

    def _proxy(self, url: str) -> str | None:
        host = url[: url.find("/", 8)]
        if host not in self._proxies:
            self._proxies[host] = proxy_for(host)
        return self._proxies[host]
