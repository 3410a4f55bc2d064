"""The usage of an organization that no one else calls, for sessions made by tests."""

from __future__ import annotations

from zoho_async.limits import Snapshot


def idle_snapshot(*, day_limit: int | None, admitted: int = 0) -> Snapshot:
    return Snapshot(
        minute_used=0,
        limit=90,
        next_place_in=0.0,
        in_flight=0,
        cap=10,
        day_used=0,
        day_limit=day_limit,
        day_remaining=None,
        day_reset_in=None,
        blocked_for=0.0,
        admitted=admitted,
    )
