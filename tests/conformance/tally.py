"""What a test has proven, for the report at the end of the run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from tests.conformance.patches import Patches
from tests.conformance.proof import Proof


class Tally:
    """Counts operations, the values of their replies and the patches; gathers what is wrong."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._patches = Patches()
        self._faults: list[str] = []

    def add(self, where: str, proofs: Sequence[Proof], problems: Sequence[str] = ()) -> None:
        """Take note of an operation, which needs one proof at least and no ``problems``."""
        found = [
            *problems,
            *(f"({proof.name}): {each}" for proof in proofs for each in proof.problems),
        ]
        if not proofs:
            found.append("has no function")
        for proof in proofs:
            self._patches.used.update(proof.patches.used)
            self._counts["typed"] += proof.losses.typed
            self._counts["beyond"] += proof.losses.beyond
            self._counts["lists"] += proof.is_list
            self._counts["walked"] += proof.walked
        self._counts["operations"] += 1
        self._counts["proven"] += not found
        self._faults += [f"{where} {each}" for each in found]

    def report(self, name: str, record_property: Callable[[str, object], None]) -> None:
        """Hand over to the report of the run, and fail if anything is wrong."""
        record_property("conformance", (name, dict(self._counts), dict(self._patches.used)))
        assert not self._faults, f"{len(self._faults)} differences\n" + "\n".join(self._faults)
