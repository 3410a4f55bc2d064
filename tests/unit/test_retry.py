"""What may be tried again, when, and how often."""

from __future__ import annotations

import pytest

from zoho_async.errors import (
    CallTimeout,
    ConnectionBroken,
    InvalidRequest,
    NotConnected,
    Request,
    UnreadableReply,
    ZohoError,
    reply_error,
)
from zoho_async.retry import Outcome, Policy, RetryBudget, outcome

_CALL = Request("GET", "/invoices")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (reply_error(_CALL, 429, 44, ""), "refused"),
        (reply_error(_CALL, 429, 43, ""), "refused"),
        (reply_error(_CALL, 400, 44, ""), "refused"),
        (reply_error(_CALL, 200, 1070, ""), "refused"),
        (reply_error(_CALL, 429, 45, ""), "refused"),
        (reply_error(_CALL, 429, None, ""), "refused"),
        (NotConnected(_CALL, ""), "unsent"),
        (ConnectionBroken(_CALL, ""), "passing"),
        (CallTimeout(_CALL, ""), "passing"),
        (reply_error(_CALL, 500, 1000, ""), "passing"),
        (reply_error(_CALL, 502, None, ""), "passing"),
        (reply_error(_CALL, 503, None, ""), "passing"),
        (reply_error(_CALL, 504, None, ""), "passing"),
        (reply_error(_CALL, 501, None, ""), "final"),
        (UnreadableReply(_CALL, "", 200), "passing"),
        (UnreadableReply(_CALL, "", 302), "final"),
        (reply_error(_CALL, 400, 1000, ""), "final"),
        (reply_error(_CALL, 404, 1002, ""), "final"),
        (reply_error(_CALL, 200, 9004, ""), "final"),
        (reply_error(_CALL, 401, 57, ""), "final"),
    ],
)
def test_outcomes(error: ZohoError, expected: Outcome) -> None:
    assert outcome(error) == expected


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
        budget.called()
        while budget.spend() == 0.0:
            retries += 1
    assert retries <= 10 + 1000 / 10


def test_an_empty_budget_says_when_there_is_one_again() -> None:
    clock = _Clock()
    budget = RetryBudget(clock)
    while budget.spend() == 0.0:
        pass
    wait = budget.spend()
    assert 0 < wait <= 6.0
    clock.now += wait + 1e-9
    assert budget.spend() == 0.0
