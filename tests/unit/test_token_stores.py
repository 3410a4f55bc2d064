"""Token stores in memory, files and keyrings: what a fleet shares."""

from __future__ import annotations

import asyncio
import os
import random
import stat
import sys
from collections.abc import Coroutine
from functools import partial
from pathlib import Path
from typing import Any

import keyring
import keyring.backend
import msgspec
import pytest

from tests.support.keyring_in_memory import Ring
from zoho_async.auth import (
    AccessToken,
    Credentials,
    FileStore,
    KeyringStore,
    MemoryStore,
    RedisStore,
    TokenSource,
    TokenStore,
    lease,
    store_key,
)
from zoho_async.auth.lease import TokenState
from zoho_async.auth.reply import access_token
from zoho_async.clock import LoopClock
from zoho_async.errors import (
    ConfigurationError,
    InvalidGrant,
    TokenStoreError,
    TokenThrottled,
)
from zoho_async.http.retry import Policy
from zoho_async.sandbox.oauth.server import Accounts, TokenRules

TOKEN = AccessToken("1000.secret", 3600.0)


def ask(shared: TokenState, now: float, holder: str = "me") -> lease.LeaseResult:
    return lease.acquire(shared, now, holder=holder, lease=25.0)


# -- whose turn ---------------------------------------------------------------------------------


def test_one_caller_asks_and_the_others_wait_no_longer_than_its_lease() -> None:
    shared = TokenState()
    assert ask(shared, 100.0, "a") == lease.LeaseGranted()
    assert ask(shared, 101.0, "b") == lease.RefreshRunning(24.0)
    assert ask(shared, 125.0, "b") == lease.LeaseGranted()
    late = lease.complete(shared, 126.0, holder="a", token=TOKEN, took=26.0)
    assert late.left == 3574.0
    assert isinstance(ask(shared, 127.0, "c"), lease.TokenReady)
    assert shared.holder == "b"


def test_ten_leases_are_granted_in_all_however_they_end() -> None:
    shared = TokenState()
    for number in range(10):
        assert ask(shared, 10.0 * number, f"worker {number}") == lease.LeaseGranted()
        lease.release(shared, 10.0 * number + 5, holder=f"worker {number}")
    denied = ask(shared, 100.0)
    assert isinstance(denied, lease.RefreshDenied)
    assert isinstance(denied.error, TokenThrottled)
    assert isinstance(ask(shared, lease.PERIOD - 1), lease.RefreshDenied)
    assert ask(shared, lease.PERIOD) == lease.LeaseGranted()
    assert isinstance(ask(shared, lease.PERIOD + 9, "other"), lease.RefreshRunning)


def test_zohos_own_throttle_is_waited_out_by_all() -> None:
    shared = TokenState()
    ask(shared, 0.0, "a")
    lease.fail(shared, 1.0, holder="a", error=TokenThrottled("slow down"))
    denied = ask(shared, 300.0, "b")
    assert isinstance(denied, lease.RefreshDenied)
    assert ask(shared, 1.0 + lease.PERIOD, "b") == lease.LeaseGranted()


def test_wrong_credentials_are_tried_by_one_of_a_fleet() -> None:
    shared = TokenState()
    ask(shared, 0.0, "a")
    lease.fail(shared, 1.0, holder="a", error=InvalidGrant("revoked"))
    denied = ask(shared, 2.0, "b")
    assert isinstance(denied, lease.RefreshDenied)
    assert isinstance(denied.error, InvalidGrant)


def test_a_token_is_handed_out_while_its_successor_is_fetched() -> None:
    shared = TokenState()
    ask(shared, 0.0)
    lease.complete(shared, 0.0, holder="me", token=TOKEN, took=0.0)
    early = partial(lease.acquire, lease=25.0, early=True)
    assert isinstance(early(shared, 3000.0, holder="a"), lease.TokenReady)
    assert early(shared, 3400.0, holder="a") == lease.LeaseGranted()
    assert isinstance(early(shared, 3401.0, holder="b"), lease.TokenReady)
    assert isinstance(ask(shared, 3401.0, "c"), lease.TokenReady)


def test_a_clock_that_was_set_back_neither_blocks_nor_prolongs() -> None:
    shared = TokenState()
    ask(shared, 1_000_000.0, "a")
    lease.complete(shared, 1_000_000.0, holder="a", token=TOKEN, took=0.0)
    assert ask(shared, 10.0, "b") == lease.LeaseGranted()
    assert shared.requests == [10.0, 10.0]


def test_a_missing_scope_does_not_use_up_a_fleets_tokens() -> None:
    shared = TokenState()
    worth = 0
    for number in range(40):
        if isinstance(ask(shared, float(number), "w"), lease.LeaseGranted):
            token = AccessToken(f"t{number}", 3600.0)
            lease.complete(shared, float(number), holder="w", token=token, took=0.0)
        worth += lease.reject_token(shared, float(number), value=shared.token)
    assert worth == lease.MAX_FORCED
    assert len(shared.requests) == lease.MAX_FORCED + 1


def test_a_token_that_was_replaced_already_is_not_dropped_again() -> None:
    shared = TokenState()
    ask(shared, 0.0)
    lease.complete(shared, 0.0, holder="me", token=TOKEN, took=0.0)
    assert lease.reject_token(shared, 1.0, value="1000.older")
    assert shared.token == TOKEN.value


def test_no_repr_shows_a_secret() -> None:
    shared = TokenState(token="1000.secret")
    assert "secret" not in repr(shared)
    key = store_key("https://a", Credentials("id", "the-secret", "the-refresh"))
    assert key != store_key("https://a", Credentials("id", "the-secret", "another"))
    assert len(key) == 32


# -- files --------------------------------------------------------------------------------------


async def test_a_token_file_is_its_owners_alone_and_survives_the_process(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "tokens.json"
    store = FileStore(path)
    await store.change("key", partial(lease.complete, holder="", token=TOKEN, took=0.0))
    await store.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    again = FileStore(path)
    word = await again.change("key", ask)
    assert isinstance(word, lease.TokenReady)
    assert word.token == TOKEN
    await again.close()


async def test_a_file_that_others_can_read_is_closed_to_them(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    path.write_bytes(b'{"version":1,"tokens":{}}')
    path.chmod(0o644)
    store = FileStore(path)
    await store.change("key", lambda shared, now: None)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    await store.close()


@pytest.mark.skipif(os.name != "posix", reason="needs file modes")
async def test_a_file_behind_a_symbolic_link_keeps_its_mode(tmp_path: Path) -> None:
    target, link = tmp_path / "shared.json", tmp_path / "tokens.json"
    target.write_text('{"version":1,"tokens":{}}')
    target.chmod(0o644)
    link.symlink_to(target)
    store = FileStore(link)
    await store.change("key", lambda state, now: None)
    await store.close()
    assert stat.S_IMODE(target.stat().st_mode) == 0o644


async def test_a_store_that_cannot_be_used_says_which_and_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    store = FileStore(tmp_path / "file" / "tokens.json")
    with pytest.raises(TokenStoreError, match="choose a folder"):
        await store.change("key", ask)
    await store.close()


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b'{"version":1,"tokens":{"\xff":{}}}'])
async def test_a_file_that_holds_no_tokens_says_so_and_what_to_do(
    content: bytes, tmp_path: Path
) -> None:
    (tmp_path / "tokens.json").write_bytes(content)
    store = FileStore(tmp_path / "tokens.json")
    with pytest.raises(ConfigurationError, match="move the file away"):
        await store.change("key", ask)
    await store.close()


async def test_a_change_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    store = FileStore(path)
    await store.change("key", ask)
    before = path.read_bytes()

    def broken(shared: TokenState, now: float) -> None:
        shared.token = "half"
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await store.change("key", broken)
    assert path.read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == ["tokens.json", "tokens.json.lock"]
    await store.close()


async def test_expired_entries_are_deleted(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    now = 0.0
    store = FileStore(path, now=lambda: now)
    await store.change("old", ask)
    now = 10_000.0
    await store.change("new", ask)
    assert set(msgspec.json.decode(path.read_bytes())["tokens"]) == {"new"}
    await store.close()


# -- keyrings -----------------------------------------------------------------------------------


async def test_a_keyring_shares_tokens_and_nothing_is_on_disk(tmp_path: Path) -> None:
    before = keyring.get_keyring()
    keyring.set_keyring(Ring())
    try:
        store = KeyringStore(tmp_path / "tokens.lock")
        await store.change("key", partial(lease.complete, holder="", token=TOKEN, took=0.0))
        word = await store.change("key", ask)
        assert isinstance(word, lease.TokenReady)
        await store.close()
    finally:
        keyring.set_keyring(before)
    assert (tmp_path / "tokens.lock").read_bytes() == b""


async def test_a_keyring_that_holds_no_tokens_says_so_and_what_to_do(tmp_path: Path) -> None:
    before = keyring.get_keyring()
    ring = Ring()
    keyring.set_keyring(ring)
    ring.set_password("zoho-async tokens", "key", "no tokens")
    try:
        store = KeyringStore(tmp_path / "tokens.lock")
        with pytest.raises(ConfigurationError, match="remove them from the keyring"):
            await store.change("key", ask)
        await store.close()
    finally:
        keyring.set_keyring(before)


@pytest.mark.parametrize("name", ["keyring", "redis.asyncio"])
def test_a_missing_extra_is_named_in_the_error(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigurationError, match=r"pip install 'zoho-async\["):
        KeyringStore(tmp_path / "lock") if name == "keyring" else RedisStore("redis://x")


async def test_an_unreachable_redis_raises_without_its_url() -> None:
    store = RedisStore("redis://user:the-password@127.0.0.1:9/0")
    with pytest.raises(TokenStoreError) as caught:
        await store.change("key", ask)
    assert "the-password" not in str(caught.value) + repr(store)
    await store.close()


# -- sources that share -------------------------------------------------------------------------


class Fleet:
    """Workers that share a store, and an accounts server with Zoho's limits, on loop time."""

    def __init__(self, store: TokenStore, chance: random.Random) -> None:
        self.accounts = Accounts(
            rules=TokenRules(), client_id="c", client_secret="s", refresh_token="r", seed=1
        )
        self.form = {"client_id": "c", "client_secret": "s", "refresh_token": "r"}
        self.store = store
        self.chance = chance
        self.requests = 0
        self.throttled = 0
        self.tasks: set[asyncio.Task[AccessToken]] = set()

    def worker(self) -> TokenSource:
        return TokenSource(self.fetch, self.start, LoopClock(), Policy(), self.store, "key")

    async def fetch(self) -> AccessToken:
        self.requests += 1
        await asyncio.sleep(self.chance.uniform(0.05, 10.0))
        now = asyncio.get_running_loop().time()
        form = {**self.form, "grant_type": "refresh_token"}
        reply = self.accounts.answer(form, now=now, api_domain="")
        self.throttled += reply.status == 400
        await asyncio.sleep(self.chance.uniform(0.05, 5.0))
        return access_token(reply.status, reply.body)

    def start(self, work: Coroutine[Any, Any, AccessToken]) -> asyncio.Task[AccessToken]:
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    def state(self, token: AccessToken) -> str:
        return self.accounts.state(token.value, asyncio.get_running_loop().time())


@pytest.mark.looptime
async def test_all_workers_of_a_store_request_one_token() -> None:
    fleet = Fleet(MemoryStore(clock=LoopClock()), random.Random(1))
    workers = [fleet.worker() for _ in range(30)]
    tokens = await asyncio.gather(*(worker.token() for worker in workers for _ in range(10)))
    assert fleet.requests == 1
    assert len({token.value for token in tokens}) == 1


@pytest.mark.looptime
async def test_a_worker_that_dies_while_it_asks_blocks_for_its_lease() -> None:
    store = MemoryStore(clock=LoopClock(), lease=25.0)
    await store.change("key", partial(lease.acquire, holder="who died", lease=25.0))
    fleet = Fleet(store, random.Random(1))
    began = asyncio.get_running_loop().time()
    await asyncio.gather(*(fleet.worker().token() for _ in range(5)))
    assert fleet.requests == 1
    assert 25.0 <= asyncio.get_running_loop().time() - began < 25.0 + 1.0 + 15.0


@pytest.mark.looptime
async def test_a_cancelled_worker_releases_its_lease_at_once() -> None:
    fleet = Fleet(MemoryStore(clock=LoopClock()), random.Random(1))
    first = asyncio.create_task(fleet.worker().token())
    await asyncio.sleep(0.01)
    for task in list(fleet.tasks):
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    began = asyncio.get_running_loop().time()
    await fleet.worker().token()
    assert asyncio.get_running_loop().time() - began < 15.5
    assert fleet.requests == 2


@pytest.mark.looptime
@pytest.mark.parametrize("seed", [0, *(pytest.param(k, marks=pytest.mark.long) for k in (1, 2))])
async def test_a_day_of_a_fleet_stays_within_zohos_limits(seed: int) -> None:
    """Workers come, call, die while refreshing, lack scopes; tokens die early now and then."""
    chance = random.Random(seed)
    fleet = Fleet(MemoryStore(clock=LoopClock()), chance)
    handed_out_dead = 0
    revoked: set[str] = set()

    async def life(until: float) -> None:
        nonlocal handed_out_dead
        loop = asyncio.get_running_loop()
        worker = fleet.worker()
        while loop.time() < until:
            await asyncio.sleep(chance.uniform(1.0, 900.0))
            if chance.random() < 0.03:
                worker = fleet.worker()
            try:
                token = await worker.token()
            except TokenThrottled:
                continue
            good = fleet.state(token) == "good"
            handed_out_dead += not good and token.value not in revoked
            if not good or chance.random() < 0.02:
                await worker.refused(token)

    async def murder(until: float) -> None:
        loop = asyncio.get_running_loop()
        while loop.time() < until:
            await asyncio.sleep(chance.uniform(600.0, 7200.0))
            await fleet.store.change("key", partial(lease.acquire, holder="dies", lease=25.0))
            revoked.update(fleet.accounts.live_tokens)
            fleet.accounts.revoke_tokens()

    day = 86_400.0
    await asyncio.gather(*(life(day) for _ in range(20)), murder(day))
    for task in list(fleet.tasks):
        task.cancel()
    assert fleet.throttled == 0
    assert handed_out_dead == 0
    assert fleet.requests > 24
