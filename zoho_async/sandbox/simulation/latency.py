"""Delays of requests and replies: fixed, evenly distributed, or with a long tail.

Measured services have a long tail: most replies take about the median, and a few take many times
that. A lognormal distribution has that shape with two parameters. A latency may differ by path; the
first glob that matches wins, as in ``{"*/invoices": LongTail(0.4), "*": 0.05}``.
"""

from __future__ import annotations

import fnmatch
import math
import random
from collections.abc import Mapping
from typing import TypeAlias

import msgspec

from zoho_async.errors import ConfigurationError


class LongTail(msgspec.Struct, frozen=True):
    """A lognormal distribution with a ``median`` in seconds.

    ``spread`` is the standard deviation of the logarithm. With 1.0, one draw in a hundred is above
    ten medians; with 0.5, above three.
    """

    median: float
    spread: float = 1.0

    def draw(self, chance: random.Random) -> float:
        """Draw one delay, in seconds."""
        if self.median <= 0:
            return 0.0
        return chance.lognormvariate(math.log(self.median), self.spread)


#: Seconds: a fixed delay, a range (evenly distributed), or a long tail.
Lag: TypeAlias = float | tuple[float, float] | LongTail
#: One delay for all paths, or delays by glob of the path.
Latency: TypeAlias = Lag | Mapping[str, Lag]


def draw_seconds(latency: Latency, path: str, chance: random.Random) -> float:
    """Draw the delay of a request to ``path``, in seconds; 0 if no glob matches."""
    if isinstance(latency, Mapping):
        for pattern, lag in latency.items():
            if fnmatch.fnmatchcase(path, pattern):
                return _draw(lag, chance)
        return 0.0
    return _draw(latency, chance)


def _draw(lag: Lag, chance: random.Random) -> float:
    if isinstance(lag, LongTail):
        return lag.draw(chance)
    if isinstance(lag, tuple):
        return chance.uniform(*lag)
    return lag


def parse_lag(text: str) -> Lag:
    """Parse ``0.3``, ``0.1:0.5`` (a range) or ``tail:0.3:0.8`` (median and optional spread).

    Raises `ConfigurationError` for anything else.
    """
    kind, *figures = text.split(":") if text.startswith("tail:") else ("", *text.split(":"))
    try:
        numbers = [float(figure) for figure in figures]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 2) or not all(0 <= number < math.inf for number in numbers):
        raise ConfigurationError(
            f"latency must be seconds (0.3), a range (0.1:0.5) or a long tail (tail:0.3), "
            f"got {text!r}"
        )
    if kind:
        return LongTail(*numbers)
    if len(numbers) == 1:
        return numbers[0]
    return min(numbers), max(numbers)
