"""Questions are asked side by side, and their answers are taken in order, whatever fails."""

from __future__ import annotations

import random
from collections.abc import Sequence

import anyio
import pytest

from zoho_async.export.details.ordered import WIDTH, in_order

pytestmark = pytest.mark.looptime


class Desk:
    """Answers after a while of its own; keeps what was taken."""

    def __init__(self, seed: int, fails_at: int | None = None) -> None:
        self.chance = random.Random(seed)
        self.fails_at = fails_at
        self.taken: list[int] = []
        self.asked = 0
        self.ahead = 0

    async def ask(self, number: int) -> int:
        self.asked += 1
        self.ahead = max(self.ahead, self.asked - len(self.taken))
        await anyio.sleep(self.chance.uniform(0, 5))
        if number == self.fails_at:
            raise ZeroDivisionError
        return number * 2

    async def take(self, answers: Sequence[tuple[int, int]]) -> None:
        await anyio.sleep(self.chance.uniform(0, 2))
        assert all(answer == 2 * number for number, answer in answers)
        self.taken += [number for number, _ in answers]


@pytest.mark.parametrize("seed", range(10))
async def test_answers_are_taken_in_the_order_of_the_questions(seed: int) -> None:
    desk = Desk(seed)
    await in_order(range(70), desk.ask, desk.take)
    assert desk.taken == list(range(70))
    assert 1 < desk.ahead <= WIDTH


@pytest.mark.parametrize("fails_at", [0, 1, 13, 69])
async def test_what_was_answered_before_a_failure_is_taken_and_nothing_after_it(
    fails_at: int,
) -> None:
    desk = Desk(3, fails_at)
    with pytest.raises(ZeroDivisionError):
        await in_order(range(70), desk.ask, desk.take)
    assert desk.taken == list(range(fails_at))
    assert desk.asked <= fails_at + WIDTH


async def test_a_failure_to_take_ends_the_asking() -> None:
    desk = Desk(5)

    async def refuse(_: Sequence[tuple[int, int]]) -> None:
        raise OSError("no room")

    with pytest.raises(OSError, match="no room"):
        await in_order(range(70), desk.ask, refuse)
    assert desk.asked <= WIDTH
