"""The seeds that are kept, by what they reach.

A seed is kept if it reaches something that no kept seed does: a kind of fault in a situation, or a
departure of the simulated Zoho, each with the workloads that met it. `seeds.txt` has one per line.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

FILE: Final = Path(__file__).with_name("seeds.txt")


def read() -> list[int]:
    """Return the kept seeds in their order."""
    if not FILE.exists():
        return []
    lines = (line.partition("#")[0].strip() for line in FILE.read_text("utf-8").splitlines())
    return [int(line) for line in lines if line]


def write(seeds: list[int]) -> None:
    """Replace the kept seeds."""
    FILE.write_text("".join(f"{seed}\n" for seed in seeds), "utf-8")


class Coverage:
    """What the seeds of a run reached."""

    def __init__(self) -> None:
        self.reached: Final[set[str]] = set()
        self.seeds: Final[list[int]] = []

    def add(self, seed: int, reached: tuple[str, ...]) -> bool:
        """Add what ``seed`` reached. Returns whether it is worth keeping."""
        new = not self.reached.issuperset(reached)
        if new:
            self.reached.update(reached)
            self.seeds.append(seed)
        return new
