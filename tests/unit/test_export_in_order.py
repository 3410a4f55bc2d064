"""Questions are asked side by side, and their answers are taken in order, whatever fails."""

from __future__ import annotations

import random
from collections.abc import Sequence

import anyio
import pytest

from zoho_async.export.details.ordered import WIDTH, in_order

pytestmark = pytest.mark.looptime


class Service:
    """Replies after a random delay. Keeps the replies that were handled."""

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
async def test_replies_are_handled_in_the_order_of_the_requests(seed: int) -> None:
    service = Service(seed)
    await in_order(range(70), service.ask, service.take)
    assert service.taken == list(range(70))
    assert 1 < service.ahead <= WIDTH


@pytest.mark.parametrize("fails_at", [0, 1, 13, 69])
async def test_replies_before_a_failure_are_handled_and_none_after_it(
    fails_at: int,
) -> None:
    service = Service(3, fails_at)
    with pytest.raises(ZeroDivisionError):
        await in_order(range(70), service.ask, service.take)
    assert service.taken == list(range(fails_at))
    assert service.asked <= fails_at + WIDTH


async def test_a_failing_handler_ends_the_requests() -> None:
    service = Service(5)

    async def refuse(_: Sequence[tuple[int, int]]) -> None:
        raise OSError("no room")

    with pytest.raises(OSError, match="no room"):
        await in_order(range(70), service.ask, refuse)
    assert service.asked <= WIDTH
