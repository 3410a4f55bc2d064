"""Results of a test, for the report at the end of the run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from tests.conformance.patches import Patches
from tests.conformance.proof import Proof


class Tally:
    """Counts operations, reply values and patches, and collects problems."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._patches = Patches()
        self._faults: list[str] = []

    def add(self, where: str, proofs: Sequence[Proof], problems: Sequence[str] = ()) -> None:
        """Count an operation. It needs at least one proof and no ``problems``."""
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
        """Add the results to the report of the run, and fail if there are problems."""
        record_property("conformance", (name, dict(self._counts), dict(self._patches.used)))
        assert not self._faults, f"{len(self._faults)} differences\n" + "\n".join(self._faults)
