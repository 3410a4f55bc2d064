"""The limit on a Redis that loses data and connections, for any history of its workers.

Redis is flushed, loses a key, or is restored from an older snapshot (as by a restart or a failover,
with another clock). One or several workers cannot reach it, and requests or answers are lost.
Workers ask, send, get replies, give up, are killed and are stopped. The test sets the clock, and
counts arrivals.
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
                    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # shrinking takes minutes
                    deadline=None,
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            machine.loop.close()


@pytest.mark.parametrize("machine", [Faults, SharesAtFaults])
def test_data_loss_and_outages_never_exceed_the_limit(
    machine: type[Faults],
) -> None:
    run(machine, 5)


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("machine", [Faults, SharesAtFaults])
def test_data_loss_and_outages_in_many_histories(machine: type[Faults]) -> None:
    run(machine, 150)
