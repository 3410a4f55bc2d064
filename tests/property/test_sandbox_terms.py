"""The terms of a subscription follow from its start, its plan and the date."""

from __future__ import annotations

import time
from calendar import monthrange
from datetime import date, timedelta
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.examples import examples
from tests.support.sandbox_api import Api
from zoho_async.sandbox.data.dates import day

_DAYS: Final = {"weeks": 7, "days": 1}
_PLAIN: Final = settings(max_examples=examples(200), deadline=None, derandomize=True)
_LONG: Final = settings(_PLAIN, max_examples=2000)
ASKED: Final = {
    "days_ago": st.integers(-40, 900),
    "interval": st.integers(1, 7),
    "unit": st.sampled_from(("months", "years", "weeks", "days")),
    "trial": st.integers(0, 1).flatmap(lambda some: st.integers(0, 60 * some)),
    "cycles": st.integers(0, 1).flatmap(lambda some: st.integers(0, 12 * some)),
}


@_PLAIN
@given(**ASKED)
def test_a_term_contains_today_and_lasts_an_interval(
    days_ago: int, interval: int, unit: str, trial: int, cycles: int
) -> None:
    check(days_ago, interval, unit, trial, cycles)


@pytest.mark.long
@pytest.mark.timeout(300)  # under a minute alone; other programs share the machine
@_LONG
@given(**ASKED)
def test_a_term_contains_today_for_arbitrary_plans(
    days_ago: int, interval: int, unit: str, trial: int, cycles: int
) -> None:
    check(days_ago, interval, unit, trial, cycles)


def check(days_ago: int, interval: int, unit: str, trial: int, cycles: int) -> None:
    today = date.fromisoformat(day(int(time.time())))
    starts = today - timedelta(days=days_ago)
    made = subscribed(starts, interval, unit, trial, cycles)
    status, ends = made["status"], parsed(made["current_term_ends_at"])
    begins, billed = parsed(made["current_term_starts_at"]), parsed(made["next_billing_at"])
    first = starts + timedelta(days=trial)
    if starts > today:
        assert (status, begins, ends, billed) == ("future", None, None, starts)
        return
    if trial and first > today:
        assert (status, begins, ends, billed) == ("trial", starts, first, first)
        return
    assert begins is not None
    assert ends is not None
    assert made["activated_at"] == str(first)
    assert made["last_billing_at"] == str(begins)
    done, more = terms(first, begins, interval, unit), terms(first, ends, interval, unit)
    assert more == done + 1 > 0
    expires = parsed(made["expires_at"]) if cycles else None
    if expires is not None:
        assert terms(first, expires, interval, unit) == cycles
    if expires is not None and expires <= today:
        assert (status, billed, ends) == ("expired", None, expires)
    else:
        assert (status, billed) == ("live", ends)
        assert begins <= today < ends


def subscribed(starts: date, interval: int, unit: str, trial: int, cycles: int) -> dict[str, Any]:
    api = Api("billing")
    plan: dict[str, Any] = {
        "plan_code": "gold",
        "name": "Gold",
        "recurring_price": 1,
        "interval": interval,
    }
    plan |= {"interval_unit": unit, "trial_period": trial, "billing_cycles": cycles}
    product = api.store.collection("billing.products").id(0)
    api.call("POST", "/plans", {**plan, "product_id": product})
    body = {"customer_id": api.store.collection("billing.customers").id(0), "card_id": "1"}
    asked = {**body, "account_id": "1", "starts_at": str(starts), "plan": {"plan_code": "gold"}}
    made: dict[str, Any] = api.call("POST", "/subscriptions", asked)["subscription"]
    return made


def parsed(text: str) -> date | None:
    return date.fromisoformat(text) if text else None


def terms(since: date, until: date, interval: int, unit: str) -> int:
    """The number of whole terms between two dates at the ends of terms."""
    if unit in _DAYS:
        count, rest = divmod((until - since).days, _DAYS[unit] * interval)
    else:
        months = (until.year - since.year) * 12 + until.month - since.month
        count, rest = divmod(months, interval * (12 if unit == "years" else 1))
        assert until.day == min(since.day, monthrange(until.year, until.month)[1])
    assert rest == 0
    return count
