"""How long a request or a reply is on its way: a fixed time, an even spread, or a long tail.

Measured services have a long tail: most answers take about the median, a few take many times that.
A lognormal has that shape with two figures. A latency may differ by path: the first glob that
matches wins, as ``{"*/invoices": LongTail(0.4), "*": 0.05}``.
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
    """A lognormal: half of the draws are below ``median`` seconds.

    ``spread`` is the deviation of the logarithm: with 1.0 one draw in a hundred is above ten
    medians, with 0.5 above three.
    """

    median: float
    spread: float = 1.0

    def draw(self, chance: random.Random) -> float:
        """One time, in seconds."""
        if self.median <= 0:
            return 0.0
        return chance.lognormvariate(math.log(self.median), self.spread)


#: Seconds: always the same, evenly between two figures, or with a long tail.
Lag: TypeAlias = float | tuple[float, float] | LongTail
#: One for all paths, or by glob over the path below the host.
Latency: TypeAlias = Lag | Mapping[str, Lag]


def draw_seconds(latency: Latency, path: str, chance: random.Random) -> float:
    """The seconds for one request to ``path``; 0 where no glob matches."""
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
    """``0.3``, ``0.1:0.5`` (evenly between), ``tail:0.3`` or ``tail:0.3:0.8`` (median, spread).

    Raises `ConfigurationError` for anything else.
    """
    kind, *figures = text.split(":") if text.startswith("tail:") else ("", *text.split(":"))
    try:
        numbers = [float(figure) for figure in figures]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 2) or not all(0 <= number < math.inf for number in numbers):
        raise ConfigurationError(
            f"a latency is seconds (0.3), a range (0.1:0.5) or a long tail (tail:0.3), got {text!r}"
        )
    if kind:
        return LongTail(*numbers)
    if len(numbers) == 1:
        return numbers[0]
    return min(numbers), max(numbers)
