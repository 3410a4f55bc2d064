"""Which calls are tried again, when, and how often."""

from __future__ import annotations

import random

import pytest

from zoho_async.errors import (
    CallTimeout,
    ConnectionBroken,
    InvalidRequest,
    NotConnected,
    ReplyError,
    Request,
    TransportError,
    UnreadableReply,
)
from zoho_async.http.reply_errors import reply_error
from zoho_async.http.retry import Policy, RetryBudget, retry_after, verdict
from zoho_async.http.verdict import Again, Verdict

_CALL = Request("GET", "/invoices")


@pytest.mark.parametrize(
    ("error", "may_have_run", "again"),
    [
        (NotConnected(_CALL, ""), False, "unsent"),
        (ConnectionBroken(_CALL, ""), True, "soon"),
        (CallTimeout(_CALL, ""), True, "soon"),
        (UnreadableReply(_CALL, "", 200), True, "soon"),
        (UnreadableReply(_CALL, ""), True, "soon"),
        (UnreadableReply(_CALL, "", 302), True, "never"),
        (reply_error(_CALL, 429, 44, ""), False, "block"),
        (reply_error(_CALL, 500, 1000, ""), True, "soon"),
        (reply_error(_CALL, 404, 1002, ""), False, "never"),
    ],
)
def test_what_a_failure_says_about_its_call(
    error: ReplyError | TransportError, may_have_run: bool, again: Again
) -> None:
    assert verdict(error) == Verdict(may_have_run, again)


@pytest.mark.parametrize("code", [14, 57, 6024, 6041])
def test_an_error_that_blocks_nothing_is_not_repeated_after_a_block(code: int) -> None:
    assert verdict(reply_error(_CALL, 429, code, "")) == Verdict(False, "never")


def test_the_wait_that_a_server_asks_for_is_kept_and_never_beyond_a_day() -> None:
    error = reply_error(_CALL, 503, None, "")
    assert retry_after(error) == 0.0
    error.retry_after = 7.0
    assert retry_after(error) == 7.0
    error.retry_after = 1e8
    assert retry_after(error) == 86_400.0
    assert retry_after(ConnectionBroken(_CALL, "")) == 0.0


def test_codes_of_a_module_do_not_overrule_the_status() -> None:
    assert type(reply_error(_CALL, 400, 3062, "exists")) is InvalidRequest


def test_delays_double_to_a_cap_with_full_jitter() -> None:
    policy = Policy()
    assert [policy.delay(n, lambda: 1.0) for n in (1, 2, 3, 7, 8, 5000)] == [
        0.5,
        1.0,
        2.0,
        30.0,
        30.0,
        30.0,
    ]
    assert policy.delay(3, lambda: 0.0) == 0.0


class _Clock:
    now = 0.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now


def test_an_outage_is_never_amplified_beyond_a_tenth() -> None:
    clock = _Clock()
    budget = RetryBudget(clock)
    retries = 0
    for _ in range(1000):
        budget.deposit()
        while budget.withdraw() == 0.0:
            retries += 1
    assert retries <= 10 + 1000 / 10


def test_an_empty_budget_returns_the_wait_for_the_next_retry() -> None:
    clock = _Clock()
    budget = RetryBudget(clock)
    while budget.withdraw() == 0.0:
        pass
    wait = budget.withdraw()
    assert 0 < wait <= 6.0
    clock.now += wait + 1e-9
    assert budget.withdraw() == 0.0


@pytest.mark.parametrize("seed", range(20))
def test_a_wait_of_exactly_the_returned_seconds_is_enough(seed: int) -> None:
    chance = random.Random(seed)
    clock = _Clock()
    clock.now = chance.uniform(0.0, 1e6)
    budget = RetryBudget(clock)
    for _ in range(100):
        budget.deposit()
        wait = budget.withdraw()
        clock.now += wait
        assert wait == 0.0 or budget.withdraw() == 0.0
