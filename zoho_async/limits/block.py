"""The gate that a block closes, and the slow start after it opens.

Zoho says how long a block lasts only sometimes (``Retry-After``); sightings go from 15 to 60
minutes, longer for those who tried meanwhile. So nothing at all is sent until the gate opens, and a
block that follows while the last one is not yet forgotten lasts twice as long. Calls that were
already on their way when the gate closed are refused too; they belong to the same block.

After it opens the organization's rate starts at an eighth of its limit and grows by an eighth every
``window``, because what caused the block (others at work in the same organization) may still be
there.
"""

from __future__ import annotations

from typing import Final

import msgspec

NEVER: Final = float("-inf")

#: Seconds, and Zoho's own: no ``Limits.window``, however short, makes a block shorter.
FIRST_BLOCK: Final = 900.0
LONGEST_BLOCK: Final = 3600.0
#: How many steps the rate takes from its start back to the whole.
STEPS: Final = 8
#: No ``Retry-After`` is believed beyond a day, in seconds.
LONGEST_RETRY_AFTER: Final = 86_400.0


class Block(msgspec.Struct):
    """When the gate was last closed, when it opens (both monotonic), and how often in a row."""

    closed: float = NEVER
    opens: float = NEVER
    strikes: int = 0


def start_block(
    block: Block, retry_after: float | None, began: float, now: float, window: float
) -> None:
    """A block was answered to a call admitted at ``began``: keep the gate shut while it lasts."""
    lasts = min(retry_after, LONGEST_RETRY_AFTER) if retry_after and retry_after > 0 else None
    if began <= block.closed:
        if lasts is not None:
            block.opens = max(block.opens, now + lasts)
        return
    block.strikes = block.strikes + 1 if is_slow_start(block, now, window) else 1
    if lasts is None:
        # Few strikes reach the longest block, so the power stays small.
        lasts = min(FIRST_BLOCK * 2.0 ** min(block.strikes - 1, 8), LONGEST_BLOCK)
    block.closed = now
    block.opens = max(block.opens, now + lasts)


def is_slow_start(block: Block, now: float, window: float) -> bool:
    """Whether the rate is still held back after the last block."""
    return now < block.opens + (STEPS - 1) * window


def slow_start_spacing(block: Block, now: float, limit: int, window: float) -> float:
    """Seconds that two calls must lie apart while the rate grows back."""
    steps = 1 + (now - block.opens) / window
    return window * STEPS / (limit * steps)
