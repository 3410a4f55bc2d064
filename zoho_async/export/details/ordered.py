"""Make requests in parallel, and handle the replies in the order of the requests.

At most `WIDTH` requests are under way or waiting to be handled, which limits memory and what an
interruption loses. If a request fails, the replies before it are handled first, because their calls
were made.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from itertools import takewhile
from typing import Final, Generic, TypeVar

import anyio

K = TypeVar("K")
V = TypeVar("V")

#: The largest number of requests under way.
WIDTH: Final = 10


class _Slot(Generic[K, V]):
    """A request and its reply."""

    def __init__(self, key: K) -> None:
        self.key: Final = key
        self.answer: V | None = None
        self.error: Exception | None = None
        self.done: Final = anyio.Event()

    def is_answered(self) -> bool:
        return self.done.is_set() and self.error is None


async def in_order(
    keys: Sequence[K],
    ask: Callable[[K], Awaitable[V]],
    write: Callable[[Sequence[tuple[K, V]]], Awaitable[None]],
) -> None:
    """Call ``ask`` for all ``keys``, `WIDTH` at a time; ``write`` gets the replies in their order.

    If ``ask`` raises, the replies before it are written, and then it raises.
    """
    slots: list[_Slot[K, V]] = [_Slot(key) for key in keys]
    room = anyio.Semaphore(WIDTH)

    async def work(slot: _Slot[K, V]) -> None:
        try:
            slot.answer = await ask(slot.key)
        except Exception as error:
            slot.error = error
        slot.done.set()

    async def begin_all() -> None:
        for slot in slots:
            await room.acquire()
            group.start_soon(work, slot)

    failure: Exception | None = None
    async with anyio.create_task_group() as group:
        group.start_soon(begin_all)
        place = 0
        while place < len(slots) and failure is None:
            await slots[place].done.wait()
            ready = list(takewhile(_Slot[K, V].is_answered, slots[place:]))
            try:
                if ready:
                    await write([(slot.key, slot.answer) for slot in ready])  # type: ignore[misc]  # answered
                else:
                    failure = slots[place].error
            except Exception as error:
                failure = error
                break
            for slot in ready:
                slot.answer = None  # free its memory
                room.release()
            place += len(ready)
        group.cancel_scope.cancel()
    if failure is not None:  # outside the group, so that it is raised as it is
        raise failure
