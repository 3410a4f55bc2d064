"""The minute on a Redis that forgets and is cut off, for any history of the workers that share it.

Redis is flushed, loses a key, is restored from an older snapshot (as by a restart or a failover,
with another clock), or cannot be reached by one worker or several; requests or answers are lost on
the way. Workers ask, send, are answered, give up, are killed and stand still. The clock is held.
The judge counts arrivals and nothing else.
"""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import (
    run_state_machine_as_test,
)

from tests.support.redis_faults import (
    Faults,
    SharesAtFaults,
)
from tests.support.redis_server import RedisServer


def run(machine: type[Faults], examples: int) -> None:
    with RedisServer(forgetful=True) as server:
        machine.url, machine.loop = server.url, asyncio.new_event_loop()
        try:
            run_state_machine_as_test(
                machine,
                settings=settings(
                    max_examples=examples,
                    stateful_step_count=30,
                    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # a shrink takes minutes
                    deadline=None,
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            machine.loop.close()


@pytest.mark.parametrize("machine", [Faults, SharesAtFaults])
def test_a_redis_that_forgets_or_is_cut_off_never_lets_too_many_arrive(
    machine: type[Faults],
) -> None:
    run(machine, 5)


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("machine", [Faults, SharesAtFaults])
def test_a_redis_that_forgets_or_is_cut_off_in_many_histories(machine: type[Faults]) -> None:
    run(machine, 300)
