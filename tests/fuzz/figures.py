"""The figures of all fuzzing runs, in ``figures.json``."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

FILE: Final = Path(__file__).with_name("figures.json")


class TargetFigures(msgspec.Struct, frozen=True):
    """The figures of one target.

    ``tries`` inputs were tried in ``seconds``, in all runs together. The last run reached
    ``edges`` of the parsers' branches, and ``inputs`` are in the corpus.
    """

    tries: int = 0
    seconds: int = 0
    edges: int = 0
    inputs: int = 0


def read_figures() -> dict[str, TargetFigures]:
    """The figures by target; empty before the first run."""
    if not FILE.exists():
        return {}
    return msgspec.json.decode(FILE.read_bytes(), type=dict[str, TargetFigures])
