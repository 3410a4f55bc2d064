"""A sandbox and a session without limits, and the replies of its API before they are sent."""

from __future__ import annotations

from collections.abc import MutableSequence

import pytest

from zoho_async import Credentials, Limits, Session
from zoho_async.limits import MemoryLedger
from zoho_async.sandbox import Sandbox
from zoho_async.sandbox.api import dispatch
from zoho_async.sandbox.api.context import ApiCall
from zoho_async.sandbox.api.router import Route
from zoho_async.sandbox.data.store import Store
from zoho_async.sandbox.replies import ApiReply


def unlimited_sandbox() -> Sandbox:
    return Sandbox(per_minute=10**6, per_day=10**6, in_flight=10**3)


def strict_session(sandbox: Sandbox) -> Session:
    return Session(
        Credentials(sandbox.client_id, sandbox.client_secret, sandbox.refresh_token),
        organization=sandbox.organization,
        api_url=sandbox.url,
        accounts_url=sandbox.url,
        limits=Limits(limit=10**6, burst=10**6, in_flight=10**3),
        ledger=MemoryLedger(),
        strict=True,
    )


def recorded_replies(monkeypatch: pytest.MonkeyPatch) -> list[ApiReply]:
    """Return a list to which the API's replies are added before they are sent."""
    replies: list[ApiReply] = []
    answer = dispatch.answer

    async def answer_and_record(
        call: ApiCall, found: Route | None, store: Store, every: MutableSequence[Store]
    ) -> ApiReply:
        replies.append(await answer(call, found, store, every))
        return replies[-1]

    monkeypatch.setattr(dispatch, "answer", answer_and_record)
    return replies
