"""Every history of a few calls and workers keeps the limits, and every deliberate defect is found.

`model` says what is searched and on which premises. The bounds are small: 3 calls a minute.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.exhaustive.defects import DEFECTS, one
from tests.exhaustive.model import START, Event, Model, Setup, is_forbidden, timeline
from tests.exhaustive.search import Found, search
from zoho_async.limits import Lane, recovery
from zoho_async.limits import usage as usages
from zoho_async.limits.redis import epoch as epochs

LANES: tuple[Lane, ...] = ("interactive", "bulk")

#: Each search, and the least number of states that it must go through.
PLAIN = {
    "losses and deaths": (one("lose", "unsent", "crash"), 3_000),
    "silent workers": (one("silent", calls=2), 2_000),
    "places that lapse": (Setup(1, 2, faults=frozenset({"silent"}), lapse=1), 2_000),
    "a ledger that forgets": (Setup(calls=1, faults=frozenset({"lose"}), wait=1.0), 4_000),
    "bulk calls": (one(minute=3, lanes=LANES, burst=1), 4_000),
}
LONG = {
    "deaths of two workers": (Setup(calls=2, faults=frozenset({"crash"})), 5_000),
    "skewed clocks": (one("lose", skew=1), 4_000),
    "silent workers with more calls": (one("silent"), 8_000),
    "all faults": (Setup(1, 3, faults=frozenset({"lose", "unsent", "crash", "silent"})), 20_000),
    "three workers": (Setup(3, 1, faults=frozenset({"lose", "crash", "silent"})), 20_000),
    "skewed clocks of two workers": (
        Setup(faults=frozenset({"lose", "unsent", "crash"}), skew=1),
        10_000,
    ),
    "a ledger that forgets two workers": (Setup(calls=2, wait=1.0), 30_000),
    "bulk calls of two workers": (
        Setup(minute=3, lanes=LANES, burst=1, faults=frozenset({"lose"})),
        10_000,
    ),
}


def run(setup: Setup, patch: pytest.MonkeyPatch, most: int = 400_000) -> tuple[Model, Found[Event]]:
    patch.setattr(recovery, "LAPSE", float(setup.lapse or 1000))
    model = Model(setup)
    return model, search(START, model.follow, is_forbidden, most)


def set_drift(setup: Setup, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(usages, "DRIFT", setup.drift)
    patch.setattr(epochs, "DRIFT", setup.drift)


@pytest.mark.parametrize(
    "name", [*PLAIN, *(pytest.param(name, marks=pytest.mark.long) for name in LONG)]
)
def test_no_history_breaks_a_limit(
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    setup, least = (PLAIN | LONG)[name]
    set_drift(setup, monkeypatch)
    if setup.wait is not None:
        setup = replace(setup, wait=epochs.startup_wait(setup.limits, setup.lease))
    model, found = run(setup, monkeypatch)
    with capsys.disabled():
        print(f"\n{name}: {found.states:,} states, {found.events:,} events ", end="")
    if found.path is not None:
        pytest.fail(f"{name}:\n{timeline(model, found.path)}")
    assert found.states >= least


@pytest.mark.parametrize("name", DEFECTS)
def test_each_defect_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    setup, break_it = DEFECTS[name]
    set_drift(setup, monkeypatch)
    break_it(monkeypatch)
    model, found = run(setup, monkeypatch)
    assert found.path is not None, f"{found.states:,} states, and none shows it"
    print(f"{name}, after {found.states:,} states:\n{timeline(model, found.path)}")
