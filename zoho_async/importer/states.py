"""The states of one write in the journal, and the steps between them.

Model
-----
Zoho has no idempotency key, so a write that was sent and has no clear answer may have run or not.
The journal keeps one state per intended write:

- ``planned``: certainly not at Zoho, and to be sent.
- ``sent``: the request may have left this process. Durable before the request is made.
- ``written``: at Zoho, with the id of its record.
- ``not_written``: certainly not at Zoho: Zoho refused it, its token was searched for in vain, or
  its record was deleted by an undo.
- ``unknown``: it may be at Zoho. Only evidence leads out of this state, never time alone.

Invariant
---------
A request is made only in ``sent``, and ``sent`` is reached only from ``planned`` and
``not_written``. A *repeatable* write (an upsert by a unique field) may also be sent from
``unknown``, because a second time changes nothing.

Why it holds
------------
One process has the journal open, so a write that is ``sent`` when the journal is opened has lost
its sender: it becomes ``unknown``. Every step is one durable transaction. A crash between two steps
therefore leaves ``planned`` (no request was made), ``sent`` (it becomes ``unknown``) or a final
state.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from zoho_async.errors import ZohoError

WriteState: TypeAlias = Literal["planned", "sent", "written", "not_written", "unknown"]

#: What happens to a write. ``send``: its request is about to be made. ``confirm``: it is at Zoho.
#: ``refuse``: it is certainly not at Zoho, and Zoho or a search said so. ``withdraw``: it is
#: certainly not at Zoho, because of the limits, the token or the network. ``lose``: its answer is
#: lost. ``undo``: its record was deleted again.
Step: TypeAlias = Literal["send", "confirm", "refuse", "withdraw", "lose", "undo"]

STATES: Final[tuple[WriteState, ...]] = (
    "planned",
    "sent",
    "written",
    "not_written",
    "unknown",
)
_NEXT: Final[dict[tuple[WriteState, Step], WriteState]] = {
    ("planned", "send"): "sent",
    ("not_written", "send"): "sent",
    ("sent", "confirm"): "written",
    ("sent", "refuse"): "not_written",
    ("sent", "withdraw"): "planned",
    ("sent", "lose"): "unknown",
    ("written", "undo"): "not_written",
    ("unknown", "confirm"): "written",
    ("unknown", "refuse"): "not_written",
}


class WrongState(ZohoError):
    """A write cannot take this step now. Nothing was sent."""


def next_state(state: WriteState, step: Step, *, repeatable: bool = False) -> WriteState:
    """Return the state after ``step``. Raises `WrongState` if ``state`` does not allow it.

    A ``repeatable`` write can be sent again while its state is unknown.
    """
    if repeatable and (state, step) == ("unknown", "send"):
        return "sent"
    try:
        return _NEXT[state, step]
    except KeyError:
        raise WrongState(f"a write that is {state.replace('_', ' ')} cannot {step}") from None
