"""The block after code 43 or 44, and the slow start that follows it.

Zoho seldom says how long a block lasts (``Retry-After``). Reports go from 15 to 60 minutes, and
longer for clients that kept trying. So nothing is sent until the block ends, and there are no
probes. A second block during the slow start lasts twice as long. Calls that were on their way when
the block began are refused too; they belong to the same block.

After the block the rate starts at an eighth of the limit and grows by an eighth every ``window``,
because the cause (other programs in the same organization) may still be there.
"""

from __future__ import annotations

from typing import Final

import msgspec

NEVER: Final = float("-inf")

#: In seconds. These are Zoho's, so a shorter ``Limits.window`` does not shorten a block.
FIRST_BLOCK: Final = 900.0
LONGEST_BLOCK: Final = 3600.0
#: Steps in which the rate grows back to the limit.
STEPS: Final = 8
#: A longer ``Retry-After`` is cut to a day, in seconds.
LONGEST_RETRY_AFTER: Final = 86_400.0


class Block(msgspec.Struct):
    """When the last block began and ends (both monotonic), and how many came in a row."""

    closed: float = NEVER
    opens: float = NEVER
    strikes: int = 0


def start_block(
    block: Block, retry_after: float | None, began: float, now: float, window: float
) -> None:
    """Start or extend the block, for a refused call that was admitted at ``began``."""
    lasts = min(retry_after, LONGEST_RETRY_AFTER) if retry_after and retry_after > 0 else None
    if began <= block.closed:
        if lasts is not None:
            block.opens = max(block.opens, now + lasts)
        return
    block.strikes = block.strikes + 1 if is_slow_start(block, now, window) else 1
    if lasts is None:
        # A few strikes reach the longest block, so a small exponent is enough.
        lasts = min(FIRST_BLOCK * 2.0 ** min(block.strikes - 1, 8), LONGEST_BLOCK)
    block.closed = now
    block.opens = max(block.opens, now + lasts)


def is_slow_start(block: Block, now: float, window: float) -> bool:
    """Return whether the rate is still reduced after the last block."""
    return now < block.opens + (STEPS - 1) * window


def slow_start_spacing(block: Block, now: float, limit: int, window: float) -> float:
    """Return the seconds between two calls while the rate grows back."""
    steps = 1 + (now - block.opens) / window
    return window * STEPS / (limit * steps)
