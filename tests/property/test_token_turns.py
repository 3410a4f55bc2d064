"""A fleet never makes more than ten token requests in Zoho's ten minutes."""

from __future__ import annotations

from typing import Literal, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.examples import examples
from zoho_async.auth import AccessToken, lease
from zoho_async.auth.lease import TokenState
from zoho_async.auth.server import LONGEST
from zoho_async.errors import AccountsUnavailable, TokenThrottled

Deed: TypeAlias = Literal["ask", "early", "keep", "short", "fail", "throttled", "release", "drop"]

WORKERS = ("a", "b", "c")
LEASE = 25.0

deeds = st.lists(
    st.tuples(
        st.floats(0.0, 200.0),
        st.sampled_from(WORKERS),
        st.sampled_from(
            ("ask", "early", "keep", "short", "fail", "throttled", "release", "drop", "ask", "ask")
        ),
        st.floats(0.0, LONGEST),
    ),
    max_size=120,
)


@settings(max_examples=examples(300), deadline=None)
@given(deeds)
def test_zoho_gets_at_most_ten_requests_in_ten_minutes_with_any_delays(
    history: list[tuple[float, str, Deed, float]],
) -> None:
    shared, now = TokenState(), 1_000_000.0
    arrivals: list[float] = []
    leases: dict[str, float] = {}
    for wait, worker, deed, delay in history:
        now += wait
        match deed:
            case "ask" | "early":
                word = lease.acquire(shared, now, holder=worker, lease=LEASE, early=deed == "early")
                if isinstance(word, lease.LeaseGranted):
                    others = [end for who, end in leases.items() if who != worker]
                    assert all(end <= now for end in others), "two turns at a time"
                    arrivals.append(now + delay)
                    leases[worker] = now + LEASE
                elif isinstance(word, lease.RefreshRunning):
                    assert 0 < word.seconds <= LEASE
                elif isinstance(word, lease.TokenReady):
                    assert 0 < word.left <= word.token.expires_in
            case "keep" | "short":
                token = AccessToken(f"t{now}", 3600.0 if deed == "keep" else 30.0)
                lease.complete(shared, now, holder=worker, token=token, took=delay)
                leases.pop(worker, None)
            case "fail" | "throttled":
                error = (
                    AccountsUnavailable("502") if deed == "fail" else TokenThrottled("slow down")
                )
                lease.fail(shared, now, holder=worker, error=error)
                leases.pop(worker, None)
            case "release":
                lease.release(shared, now, holder=worker)
                leases.pop(worker, None)
            case "drop":
                lease.reject_token(shared, now, value=shared.token)
    arrivals.sort()
    for first, eleventh in zip(arrivals, arrivals[lease.MAX_REQUESTS :], strict=False):
        assert eleventh - first > lease.ZOHO_PERIOD


@pytest.mark.parametrize("calls", [1, 30])
def test_after_enough_silence_there_is_always_a_turn(calls: int) -> None:
    shared = TokenState()
    for second in range(calls):
        lease.acquire(shared, 100.0 * second, holder=f"worker {second}", lease=LEASE)
    later = 100.0 * calls + lease.PERIOD
    assert lease.acquire(shared, later, holder="another", lease=LEASE) == lease.LeaseGranted()
