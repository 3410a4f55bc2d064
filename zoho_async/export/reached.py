"""How far some rows lead, in a form that fits beside them, and going on from there.

An `Export` keeps its state in its own destination. Where rows go on to another place (a warehouse,
an object store), the state that matters is what *that place* holds. It is small: whose rows they
are, the watermark that they lead to, and what was learnt of the list (`zoho_async.export.modes`).
Whoever commits `Reached` together with the rows may throw the export's directory away: a new one,
seeded with it, reads on from there. What was forgotten is which rows were written, so the rows of
the boundary come again, and merging by id makes them one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from zoho_async.description import OperationFacts
from zoho_async.export.directory import Directory
from zoho_async.export.modes import Filtering
from zoho_async.export.state import Position, State


class Reached(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Whose rows a place holds, and how far they lead; without an ``organization``, none."""

    organization: str = ""
    watermark: float | None = None
    filtering: Filtering = Filtering()


def seed(folder: Path, facts: OperationFacts, reached: Reached, held: Sequence[str] = ()) -> None:
    """Have the empty directory ``folder`` go on from ``reached``.

    ``held`` are the ids of the records that stand in the other place, for a sweep to ask about.
    """
    place = Directory(folder)
    try:
        state = State.open(place.open(None), None, name=place.name)
        position = state.begin(
            Position(
                name=facts.resource,
                stand="resting",
                finished=True,
                watermark=reached.watermark,
                filtering=reached.filtering,
            )
        )
        with state.database.transaction():
            known = state.known(position)
            known.add(dict.fromkeys(held, 0), 0, unknown=True)
            state.put(msgspec.structs.replace(position, largest=known.largest))
    finally:
        place.close()


def reached_by(folder: Path, facts: OperationFacts, organization: str) -> Reached:
    """What the rows in ``folder`` lead to; a run completed it."""
    place = Directory(folder)
    try:
        position = State.open(place.open(None), None, name=place.name).position(facts.resource)
    finally:
        place.close()
    assert position is not None, "the directory was exported into"
    return Reached(
        organization=organization, watermark=position.watermark, filtering=position.filtering
    )
