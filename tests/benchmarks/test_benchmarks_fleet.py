"""What a fleet asks of Redis for each call stays what the documentation says."""

from __future__ import annotations

from benchmarks.fleet import long, night, run
from tests.support.redis_server import RedisServer, redis_8


def test_a_call_of_a_fleet_costs_three_scripts_and_a_worker_one_connection() -> None:
    with RedisServer(redis_8()) as server:
        done = run(server, 0.3, "night", 60, 5, lambda fleet: night(fleet, 60, 5, 1, 4))
    assert done.calls == 60
    assert done.scripts <= 3.3 * done.calls
    assert done.connections <= 6 * done.workers  # as many as it has calls at a time
    assert 0.9 <= done.lasted <= 1.5  # three calls after each other


def test_long_lists_are_read_at_the_rate_of_their_organizations() -> None:
    with RedisServer(redis_8()) as server:
        done = run(server, 0.3, "long", 2, 2, lambda fleet: long(fleet, 2, 60))
    assert done.calls == 120
    assert done.scripts <= 5 * done.calls
    # 45 of each list's 60 at once, the others at 80 a minute
    assert 11 <= done.lasted <= 17
