"""One token for all callers, renewed before it ends, on a simulated clock."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from zoho_async.auth import AccessToken, MemoryStore, TokenSource
from zoho_async.clock import LoopClock
from zoho_async.errors import AccountsUnavailable, AuthError, InvalidGrant, TokenThrottled
from zoho_async.http.retry import Policy

pytestmark = pytest.mark.looptime


class Accounts:
    """An accounts server: answers after a second, with a new token each time."""

    def __init__(self, *, life: float = 3600.0) -> None:
        self.requests = 0
        self.life = life
        self.error: AuthError | None = None
        self.tasks: list[asyncio.Task[AccessToken]] = []
        self.source = self.another()

    def another(self, store: MemoryStore | None = None) -> TokenSource:
        """A separate source; sources with one store share their token."""
        store = store or MemoryStore(clock=LoopClock())
        return TokenSource(self.fetch, self.start, LoopClock(), Policy(), store, "key")

    async def fetch(self) -> AccessToken:
        self.requests += 1
        number = self.requests
        await asyncio.sleep(1.0)
        if self.error is not None:
            raise self.error
        return AccessToken(f"token-{number}", self.life)

    def start(self, work: Coroutine[Any, Any, AccessToken]) -> asyncio.Task[AccessToken]:
        self.tasks.append(asyncio.create_task(work))
        return self.tasks[-1]


async def test_many_waiting_callers_request_one_token() -> None:
    accounts = Accounts()
    tokens = await asyncio.gather(*(accounts.source.token() for _ in range(100)))
    assert accounts.requests == 1
    assert {token.value for token in tokens} == {"token-1"}


async def test_a_cancelled_caller_does_not_cancel_the_token_for_the_others() -> None:
    accounts = Accounts()
    first = asyncio.create_task(accounts.source.token())
    second = asyncio.create_task(accounts.source.token())
    await asyncio.sleep(0.5)
    first.cancel()
    assert (await second).value == "token-1"
    assert first.cancelled()
    assert accounts.requests == 1


async def test_a_token_is_renewed_in_the_background_before_it_ends() -> None:
    accounts = Accounts()
    await accounts.source.token()
    await asyncio.sleep(3600 - 200)
    began = asyncio.get_running_loop().time()
    assert (await accounts.source.token()).value == "token-1"
    assert asyncio.get_running_loop().time() == began
    await asyncio.gather(*accounts.tasks)
    assert (await accounts.source.token()).value == "token-2"
    assert accounts.requests == 2


async def test_a_token_is_never_handed_out_in_its_last_minute() -> None:
    accounts = Accounts()
    await accounts.source.token()
    await asyncio.sleep(3600 - 30)
    assert accounts.source.current() is None
    assert (await accounts.source.token()).value == "token-2"


async def test_a_refused_token_is_replaced_once_for_all_who_held_it() -> None:
    accounts = Accounts()
    token = await accounts.source.token()
    assert all([await accounts.source.refused(token) for _ in range(10)])
    assert (await accounts.source.token()).value == "token-2"
    assert accounts.requests == 2


async def test_a_missing_scope_does_not_use_up_the_tokens() -> None:
    accounts = Accounts()
    again = 0
    for _ in range(50):
        again += await accounts.source.refused(await accounts.source.token())
    assert again == 5
    assert accounts.requests == 6


async def test_at_most_ten_tokens_are_requested_in_ten_minutes() -> None:
    accounts = Accounts(life=4.0)
    for _ in range(10):
        await accounts.source.token()
        await asyncio.sleep(5.0)
    with pytest.raises(TokenThrottled, match="wait ten minutes"):
        await accounts.source.token()
    assert accounts.requests == 10
    await asyncio.sleep(631.0)
    await accounts.source.token()


async def test_a_revoked_refresh_token_is_not_used_again() -> None:
    accounts = Accounts()
    accounts.error = InvalidGrant("revoked")
    for _ in range(20):
        with pytest.raises(InvalidGrant, match="revoked"):
            await accounts.source.token()
    assert accounts.requests == 1


async def test_a_temporary_fault_of_the_accounts_server_is_retried() -> None:
    accounts = Accounts()
    accounts.error = AccountsUnavailable("HTTP 502")
    waiting = asyncio.create_task(accounts.source.token())
    await asyncio.sleep(1.01)
    accounts.error = None
    assert (await waiting).value == "token-2"


async def test_a_lasting_fault_of_the_accounts_server_is_raised() -> None:
    accounts = Accounts()
    accounts.error = AccountsUnavailable("HTTP 502")
    with pytest.raises(AccountsUnavailable):
        await accounts.source.token()
    assert accounts.requests == 4
