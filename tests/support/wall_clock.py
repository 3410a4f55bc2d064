"""A clock that shows one moment, for a sandbox whose day does not depend on the test's."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime


def noon_of(day: str) -> Callable[[], float]:
    """A clock that shows noon of a day in the sandbox's time zone."""
    moment = datetime.fromisoformat(f"{day}T12:00:00-03:00").timestamp()
    return lambda: moment
