"""Hypothesis state machines that call the sandbox without HTTP and compare it with a model."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import Any, ClassVar, Final

from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from tests.support.sandbox_api import Api
from zoho_async.sandbox.data.schemas import schemas
from zoho_async.sandbox.replies import ApiRefusal

NOTHING: Final = Decimal(0)
PICKED: Final = st.integers(0, 7)
CENTS: Final = st.integers(1, 60_000).map(lambda cents: Decimal(cents) / 100)
#: A share in percent: often everything, sometimes more.
SHARE: Final = st.integers(1, 104).map(lambda n: 100 if 80 < n <= 100 else n)
#: The maximum number of runs of one machine.
_RUNS: Final = 20


class Machine(RuleBasedStateMachine):
    """Calls to one product. The model contains only what was requested and granted."""

    product: ClassVar[str]
    #: Events that a run must contain to be meaningful.
    expected: ClassVar[tuple[str, ...]] = ()
    forbidden: ClassVar[tuple[str, ...]] = ()
    granted: ClassVar[Counter[str]]
    refused: ClassVar[Counter[str]]

    def __init__(self) -> None:
        super().__init__()
        self.api = Api(self.product)
        parties = self.api.store.collection(self.api.store.world_of(self.product).parties)
        self.parties = [parties.id(0), parties.id(1)]
        self.number = 0

    def tried(
        self, what: str, method: str, path: str, body: dict[str, Any] | None = None, **params: str
    ) -> dict[str, Any] | None:
        """The reply to a call, or None if it was refused."""
        try:
            done = self.api.call(method, path, body, **params)
        except ApiRefusal:
            type(self).refused[what] += 1
            return None
        type(self).granted[what] += 1
        return done

    def state(self, word: str, record_id: str) -> dict[str, Any]:
        """A record as the sandbox returns it."""
        collection = self.api.store.at(schemas(self.product).by_path[word,], ())
        index = collection.find(record_id)
        assert index is not None
        return collection.state(index)

    def states(self, word: str) -> list[dict[str, Any]]:
        """The created records; excludes seeded ones if the machine starts empty."""
        collection = self.api.store.at(schemas(self.product).by_path[word,], ())
        return list(collection.written())

    def numbered(self, word: str) -> str:
        self.number += 1
        return f"{word}-{self.number}-of-ours"


def exact(record: dict[str, Any], name: str) -> Decimal:
    return Decimal(str(record.get(name) or 0))


def picked(ids: list[str], number: int) -> str:
    return ids[number % len(ids)] if ids else "1"


def prove(machine: type[Machine], examples: int, steps: int = 25) -> None:
    """Run a machine and check that the run was meaningful.

    What hypothesis draws also depends on the loaded modules, so a run can miss rare events. Then
    the machine runs again with another seed.
    """
    machine.granted, machine.refused = Counter(), Counter()
    chosen = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    missed: list[str] = []
    for number in range(_RUNS):
        run_state_machine_as_test(seed(number)(machine), settings=chosen)
        missed = [what for what in machine.expected if not machine.granted[what]]
        missed += [f"no {what}" for what in machine.forbidden if not machine.refused[what]]
        if not missed:
            break
    assert missed == []
