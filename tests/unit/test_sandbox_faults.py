"""Fault rules as values: when they act, and how TOML is parsed."""

from __future__ import annotations

import random

import pytest

from zoho_async.errors import ConfigurationError
from zoho_async.sandbox import Fault, read_rules
from zoho_async.sandbox.simulation.faults import Faults, describe_rules


def picked(rules: list[Fault], moments: list[float]) -> list[int]:
    faults = Faults(rules, seed=1)
    return [
        -1
        if (rule := faults.pick("GET", "/books/v3/items", None, now)) is None
        else rules.index(rule)
        for now in moments
    ]


def test_a_rule_affects_only_the_nth_call() -> None:
    assert picked([Fault(kind="drop", after=2)], [0.0] * 5) == [-1, -1, 0, -1, -1]


def test_a_rule_ends_after_its_duration_from_the_first_match() -> None:
    rule = Fault(kind="drop", times=None, lasts=10.0)
    assert picked([rule], [100.0, 109.9, 110.0, 200.0]) == [0, 0, -1, -1]


def test_the_first_matching_rule_applies() -> None:
    rules = [Fault(kind="drop", method="POST"), Fault(kind="empty"), Fault(kind="cut", times=None)]
    assert picked(rules, [0.0] * 3) == [1, 2, 2]


def test_probability_is_reproducible_by_seed() -> None:
    def hits(seed: int) -> list[bool]:
        rule, chance = Fault(kind="drop", times=None, probability=0.3), random.Random(seed)
        return [rule.wants("GET", "/x", None, 0.0, chance) for _ in range(200)]

    assert hits(1) == hits(1) != hits(2)
    assert 30 < sum(hits(1)) < 90


def test_rules_are_read_from_toml() -> None:
    rules = read_rules(
        """
        [[fault]]
        kind = "status"
        status = 503
        path = "*/invoices"
        probability = 0.05
        times = "always"

        [[fault]]
        kind = "refuse"
        code = "43"
        retry_after = 60
        lasts = 30.0
        """
    )
    assert rules == [
        Fault(kind="status", status=503, path="*/invoices", probability=0.05, times=None),
        Fault(kind="refuse", code="43", retry_after=60, lasts=30.0),
    ]
    assert read_rules("") == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[[fault]", "not valid TOML"),
        ("kind = 'drop'", "fault.. tables"),
        ("[fault]\nkind = 'drop'", "fault.. tables"),
        ("fault = [1]", "fault 1"),
        ("[[fault]]\nkind = 'dorp'", "fault 1: kind must be one of drop_unread.*got 'dorp'"),
        ("[[fault]]\nkind = 'drop'\n[[fault]]\nkind = 'drop'\ntims = 2", "fault 2: .*tims"),
        ("[[fault]]\nkind = 'drop'\nafter = 'x'", "fault 1: .*after"),
    ],
)
def test_invalid_rules_are_refused_with_place_and_reason(text: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        read_rules(text)


def test_a_rule_is_described_by_its_non_default_fields() -> None:
    rule = Fault(kind="status", status=503, times=None)
    rule.wants("GET", "/x", None, 0.0, random.Random(1))
    assert describe_rules([rule]) == [
        {"kind": "status", "path": "*", "method": "*", "times": None, "status": 503}
        | {"seen": 1, "hits": 1}
    ]


def test_an_unknown_kind_is_refused_by_the_constructor() -> None:
    with pytest.raises(ValueError, match=r"kind must be one of drop_unread.*got 'dorp'"):
        Fault(kind="dorp")  # type: ignore[arg-type]  # a type checker would reject it
