"""Each judge speaks about a faulty log made by hand, and keeps silent about a good one."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.simulation import judges
from tests.simulation.assumptions import Manners, Quotas
from tests.simulation.books import RESOURCES, Book, Record, Written
from tests.simulation.judges import (
    Findings,
    Heard,
    Intent,
    Reading,
    judge_blocks,
    judge_day,
    judge_error,
    judge_export,
    judge_import,
    judge_in_flight,
    judge_minute,
    judge_reading,
    judge_secrets,
    judge_silence,
    judge_tokens,
    judge_writes,
)
from tests.simulation.promises import PROMISES
from tests.simulation.quotas import Block, Minute
from tests.simulation.zoho import Arrival

Judge = Callable[[Findings], None]
BEGAN = 1_800_000_000.0


def arrivals(*moments: float, **more: float) -> list[Arrival]:
    return [
        Arrival(
            number + 1, at, "w", "1", "books", "GET", "contacts", until=at + more.get("open", 0.1)
        )
        for number, at in enumerate(moments)
    ]


def book(*lives: tuple[int, int | None]) -> Book:
    """A list of records "1", "2"... that live from one request to another."""
    made = Book(RESOURCES["contacts"], Manners(), random.Random(0), lambda at: BEGAN + at, str)
    for number, (born, died) in enumerate(lives, 1):
        created = BEGAN - 1000.0
        made.records[str(number)] = Record(
            str(number), created, created, {"contact_name": f"N{number}"}, born, died, [(born, "")]
        )
    return made


def reading(*ids: str, state: str = "changed", names: tuple[str, ...] | None = None) -> Reading:
    return Reading("contacts", 10, 20, ids, state, names, at=1000.0)


def read(found: Reading, lives: Book, manners: Manners | None = None) -> Judge:
    return lambda findings: judge_reading(findings, found, lives, manners or Manners())


def write(outcome: str, *names: str, returned: str = "") -> Judge:
    intent = Intent("contacts", "create", outcome, "A", returned=returned)  # type: ignore[arg-type]
    done = [
        Written(number, 1.0, "create", "contacts", str(number), name)
        for number, name in enumerate(names, 1)
    ]
    return lambda findings: judge_writes(findings, [intent], done)


EVERY_SECOND = [float(second) for second in range(130)]
STEADY = ((0, None), (0, None), (0, None))
NOISY = Manners(ties="shuffled")

GOOD: dict[str, list[Judge]] = {
    "P1 minute": [
        lambda f: judge_minute(f, arrivals(*EVERY_SECOND), limit=60),
        lambda f: judge_minute(
            f, [*arrivals(1, 2, 3), Arrival(4, 4, "other", "1", "books", "GET", "x")], limit=3
        ),
    ],
    "P1 in flight": [
        lambda f: judge_in_flight(f, arrivals(1, 2, 3, open=5.0), limit=2, answered=[1, 2])
    ],
    "P1 day": [
        lambda f: judge_day(
            f, arrivals(1, 90_000), start=BEGAN, zone="Europe/Berlin", limit=1, per_product=False
        )
    ],
    "P1 tokens": [lambda f: judge_tokens(f, [(60.0 * number, "r") for number in range(100)])],
    "P2 no block": [
        lambda f: judge_blocks(f, [Block(9.0, 90, 11, 0, "own")], arrivals=90, limit=90)
    ],
    "P2 silence": [
        lambda f: judge_silence(f, arrivals(1, 5, 910), [Heard(2.0, "w", "1")]),
        lambda f: judge_silence(f, arrivals(1, 70), [Heard(2.0, "w", "1", 60.0)]),
    ],
    "P3 once": [
        read(reading("1", "2"), book(*STEADY, (0, 15)), NOISY),
        read(reading("1", names=("N1",)), book(*STEADY), NOISY),
    ],
    "P3 proven": [
        read(reading("1", "2", state="proven"), book((0, None), (15, None), (16, None)), NOISY),
        read(reading("1", "2", "3", state="proven"), book(*STEADY)),
    ],
    "P3 whole": [read(reading("1", "2", "3"), book(*STEADY), Manners(total="none"))],
    "P3 honest": [read(reading("1", "2", "3", state="proven"), book(*STEADY))],
    "P3 export": [
        lambda f: judge_export(
            f, ["1", "2"], "proven", book((0, None), (15, None)), NOISY, since=10, until=20
        )
    ],
    "P4 once": [write("returned", "A", "B"), write("ambiguous"), write("cut off", "A")],
    "P4 truth": [write("returned", "A", returned="1"), write("refused", "B")],
    "P4 import": [
        lambda f: judge_import(
            f, {"A": "created", "B": "unknown"}, [Written(1, 1.0, "create", "contacts", "1", "A")]
        )
    ],
    "P5 errors": [lambda f: judge_error(f, type("ZohoError", (Exception,), {})(), 1.0)],
    "P6 secrets": [lambda f: judge_secrets(f, ["no token"], ["1000.secret"])],
}

FAULTY: list[tuple[str, Judge]] = [
    ("P1 minute", lambda f: judge_minute(f, arrivals(*EVERY_SECOND), limit=59)),
    ("P1 minute", lambda f: judge_minute(f, arrivals(59.9, 60.0, 60.1, 119.8), limit=3)),
    (
        "P1 minute",
        lambda f: judge_minute(
            f,
            [*arrivals(1, 2, 3), Arrival(4, 4, "other", "1", "books", "GET", "x")],
            limit=3,
            ledgers={"w": "redis", "other": "redis"},
        ),
    ),
    (
        "P1 in flight",
        lambda f: judge_in_flight(f, arrivals(1, 2, 3, open=5.0), limit=2, answered=[1, 2, 3]),
    ),
    (
        "P1 day",
        lambda f: judge_day(
            f, arrivals(1, 2), start=BEGAN, zone="Europe/Berlin", limit=1, per_product=False
        ),
    ),
    ("P1 tokens", lambda f: judge_tokens(f, [(50.0 * number, "r") for number in range(11)])),
    (
        "P2 no block",
        lambda f: judge_blocks(f, [Block(9.0, 91, 8, 2, "own")], arrivals=91, limit=90),
    ),
    ("P2 silence", lambda f: judge_silence(f, arrivals(1, 500), [Heard(2.0, "w", "1")])),
    ("P2 silence", lambda f: judge_silence(f, arrivals(1, 1000), [Heard(2.0, "w", "1", 1800.0)])),
    ("P3 once", read(reading("1", "2", "1"), book(*STEADY), NOISY)),
    ("P3 once", read(reading("1", "9"), book(*STEADY), NOISY)),
    ("P3 once", read(reading("1", "4"), book(*STEADY, (0, 10)), NOISY)),
    ("P3 once", read(reading("1", names=("N2",)), book(*STEADY), NOISY)),
    ("P3 proven", read(reading("1", "2", state="proven"), book(*STEADY), NOISY)),
    # Record 2 died and record 3 came: 1 alone was never all that was there.
    (
        "P3 proven",
        read(reading("1", state="proven"), book((0, None), (0, 16), (14, None)), NOISY),
    ),
    ("P3 whole", read(reading("1", "2"), book(*STEADY), Manners(total="none", more="never"))),
    ("P3 honest", read(reading("1", "2", "3"), book(*STEADY))),
    (
        "P3 export",
        lambda f: judge_export(
            f, ["1", "1"], "changed", book(*STEADY), Manners(), since=10, until=20
        ),
    ),
    (
        "P3 export",
        lambda f: judge_export(
            f, ["1", "2"], "proven", book(*STEADY), Manners(), since=10, until=20
        ),
    ),
    (
        "P3 export",
        lambda f: judge_export(
            f, ["1", "7"], "changed", book(*STEADY), Manners(), since=10, until=20
        ),
    ),
    ("P4 once", write("returned", "A", "A")),
    ("P4 once", write("cut off", "A", "A")),
    ("P4 truth", write("returned", "B")),
    ("P4 truth", write("refused", "A")),
    ("P4 truth", write("returned", "A", returned="7")),
    (
        "P4 import",
        lambda f: judge_import(
            f,
            {"A": "unknown"},
            [Written(n, 1.0, "create", "contacts", str(n), "A") for n in (1, 2)],
        ),
    ),
    ("P4 import", lambda f: judge_import(f, {"A": "created"}, [])),
    (
        "P4 import",
        lambda f: judge_import(
            f, {"A": "refused"}, [Written(1, 1.0, "create", "contacts", "1", "A")]
        ),
    ),
    ("P5 errors", lambda f: judge_error(f, KeyError("contacts"), 1.0)),
    ("P6 secrets", lambda f: judge_secrets(f, ["Bearer 1000.secret!"], ["1000.secret"])),
]


@pytest.mark.parametrize(("promise", "judge"), FAULTY)
def test_a_judge_speaks_about_a_faulty_log(promise: str, judge: Judge) -> None:
    findings = Findings()
    judge(findings)
    assert findings.checks[promise]
    assert {one.promise for one in findings.broken} == {promise}


@pytest.mark.parametrize("promise", GOOD)
def test_a_judge_keeps_silent_about_a_good_log(promise: str) -> None:
    for judge in GOOD[promise]:
        findings = Findings()
        judge(findings)
        assert findings.checks[promise]
        assert not findings.broken


def test_each_judge_of_a_promise_is_tested() -> None:
    """Workloads and the world judge a few more promises themselves."""
    source = Path(judges.__file__).read_text()
    named = set(re.findall(r'"(P\d [a-z ]+)"', source))
    assert named <= set(PROMISES)
    assert {promise for promise, _ in FAULTY} == set(GOOD) == named


@pytest.mark.parametrize(
    ("manners", "is_judged"),
    [
        (Manners(total="too small"), False),
        (Manners(total="none", empty=0.1), False),
        (Manners(empty=0.1), True),
        (Manners(skew=12.0), False),
        (Manners(), True),
    ],
)
def test_a_proof_is_judged_only_under_its_assumptions(manners: Manners, is_judged: bool) -> None:
    findings = Findings()
    judge_reading(findings, reading("1", state="proven"), book(*STEADY), manners)
    assert ("P3 proven" in findings.checks) == is_judged


@pytest.mark.parametrize(("kind", "worst"), [("rolling", 1), ("fixed", 0)])
def test_a_minute_is_rolling_or_fixed(kind: str, worst: int) -> None:
    """100 calls around a border of fixed minutes are too many in a rolling one only."""
    quotas = Quotas(minute=kind, phase=10.0)  # type: ignore[arg-type]
    minute = Minute(quotas)
    for number in range(120):
        minute.arrive(20.0 + number * 0.5, "own")  # 60 before the border at 50 s, 60 after it
    assert len(minute.blocks) == worst
