"""A breadth-first search of all states that a model can reach.

The model names the events of a state; the search applies each of them to each new state. Equal
states are searched once, so a model needs one form for states that behave alike.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

S = TypeVar("S", bound=Hashable)
E = TypeVar("E")


@dataclass(frozen=True)
class Found(Generic[E]):
    """What a search found.

    ``states`` and ``events`` are how many it went through. ``path`` are the events that lead to a
    forbidden state, or None if every state was searched and none is forbidden.
    """

    states: int
    events: int
    path: list[E] | None


def search(
    start: S,
    follow: Callable[[S], Iterable[tuple[E, S]]],
    is_forbidden: Callable[[S], bool],
    most: int,
) -> Found[E]:
    """Search from ``start``. ``follow`` returns each possible event of a state and what it makes.

    The path that it finds is one of the shortest. Raises `AssertionError` beyond ``most`` states,
    because a search that stops early proves nothing.
    """
    came: dict[S, tuple[S, E] | None] = {start: None}
    edge, events = [start], 0
    while edge:
        further: list[S] = []
        for state in edge:
            for event, after in follow(state):
                events += 1
                if after in came:
                    continue
                came[after] = state, event
                if is_forbidden(after):
                    return Found(len(came), events, _path(came, after))
                further.append(after)
        assert len(came) <= most, f"more than {most:,} states"
        edge = further
    return Found(len(came), events, None)


def _path(came: dict[S, tuple[S, E] | None], last: S) -> list[E]:
    path: list[E] = []
    while (step := came[last]) is not None:
        last, event = step
        path.append(event)
    return path[::-1]
