"""The sandbox's clock and latencies, without a server."""

from __future__ import annotations

import asyncio
import random
import statistics

import pytest

from zoho_async.errors import ConfigurationError
from zoho_async.sandbox import LongTail, Sandbox, SandboxClock, parse_lag
from zoho_async.sandbox.simulation.latency import Latency, draw_seconds


class RealClock:
    """The real clock, which the test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_scaled_clock_passes_a_minute_in_a_real_second() -> None:
    real = RealClock()
    clock = SandboxClock(60.0, real)
    began = clock.now()
    real.now += 1.0
    assert clock.now() - began == 60.0
    assert clock.client_seconds(60.0) == 1.0


def test_a_held_clock_moves_only_by_advance_and_continues_from_there() -> None:
    real = RealClock()
    clock = SandboxClock(2.0, real)
    clock.hold()
    began = clock.now()
    real.now += 50.0
    assert (clock.held, clock.now() - began) == (True, 0.0)
    clock.advance(900.0)
    assert clock.now() - began == 900.0
    clock.release()
    real.now += 1.0
    assert clock.now() - began == 902.0


async def test_a_sleeper_on_a_held_clock_wakes_after_enough_advances() -> None:
    clock = SandboxClock()
    clock.hold()
    sleeper = asyncio.create_task(clock.sleep(10.0))
    for seconds in (4.0, 5.0):
        await asyncio.sleep(0)
        clock.advance(seconds)
    await asyncio.sleep(0)
    assert not sleeper.done()
    clock.advance(1.0)
    await sleeper


@pytest.mark.parametrize("speed", [0.0, -1.0, float("inf"), float("nan")])
def test_an_invalid_speed_is_refused(speed: float) -> None:
    with pytest.raises(ConfigurationError, match="speed"):
        Sandbox(speed=speed)


def test_the_clock_does_not_go_back() -> None:
    with pytest.raises(ValueError, match="back"):
        SandboxClock().advance(-1.0)


def test_a_long_tail_has_its_median_and_a_few_much_longer_draws() -> None:
    chance = random.Random(5)
    draws = [LongTail(0.2).draw(chance) for _ in range(4000)]
    assert 0.18 < statistics.median(draws) < 0.22
    assert 20 < sum(draw > 2.0 for draw in draws) < 80  # one in a hundred above ten medians
    assert LongTail(0.0).draw(chance) == 0.0


def test_a_latency_may_differ_by_path() -> None:
    latency: Latency = {"*/invoices": (1.0, 2.0), "*/items": 0.5}
    chance = random.Random(5)
    assert 1.0 <= draw_seconds(latency, "/books/v3/invoices", chance) <= 2.0
    assert draw_seconds(latency, "/books/v3/items", chance) == 0.5
    assert draw_seconds(latency, "/books/v3/contacts", chance) == 0.0


@pytest.mark.parametrize(
    ("text", "lag"),
    [
        ("0.3", 0.3),
        ("0.1:0.5", (0.1, 0.5)),
        ("0.5:0.1", (0.1, 0.5)),
        ("tail:0.3", LongTail(0.3)),
        ("tail:0.3:0.5", LongTail(0.3, 0.5)),
    ],
)
def test_a_latency_can_be_written_as_text(text: str, lag: object) -> None:
    assert parse_lag(text) == lag


@pytest.mark.parametrize("text", ["", "soon", "1:2:3", "tail:", "-1", "nan", "tail:0.1:x"])
def test_invalid_latency_text_is_refused_with_the_accepted_forms(text: str) -> None:
    with pytest.raises(ConfigurationError, match="a range"):
        parse_lag(text)
