"""Many ids in one call, and how many at most.

Some calls take ids by the dozen, each kind up to a documented number (a `Batch`, which the
operation carries as data). What goes beyond it depends on what half of it would mean:

- *A read* beyond it is split: each id is asked for once, in the caller's order, and the rows of the
  calls are joined. That is exact, because a row belongs to one id and reading changes nothing.
- *A write* beyond it is refused before anything is sent, with the number named. The calls of a
  split write would succeed one by one, and after a failure nobody could tell what was done.

What is not known: what Zoho does beyond the number (an error, or the rest ignored). So it is never
tried.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final, TypeAlias, cast

import msgspec

from zoho_async.errors import TooManyIds

Id: TypeAlias = str | int

#: As many records go into one document where nobody says how many do; it is the number that Zoho
#: documents for those of which it says one.
DOCUMENTED: Final = 25


class Batch(msgspec.Struct, frozen=True):
    """At most ``most`` ids go into the query parameter ``parameter`` of one call."""

    parameter: str
    most: int


def batches_of(ids: Iterable[Id], most: int) -> list[tuple[Id, ...]]:
    """``ids`` in their order, each once, in tuples of at most ``most``; none for no ids.

    An id as text and as a number is the same id. Raises `ValueError` for a ``most`` below 1.
    """
    if most < 1:
        raise ValueError(f"a batch of {most} holds nothing")
    known: dict[str, Id] = {}
    for each in ids:
        known.setdefault(str(each).strip(), each)
    once = list(known.values())
    return [tuple(once[start : start + most]) for start in range(0, len(once), most)]


def ids_in(value: object) -> Sequence[Id]:
    """The ids that a query parameter was given: a sequence, or text with commas."""
    if isinstance(value, str):
        return [each for each in (part.strip() for part in value.split(",")) if each]
    if isinstance(value, Sequence | AbstractSet):
        return list(cast(Iterable[Id], value))
    return []


def refuse_beyond(batches: Sequence[Batch], query: Mapping[str, Any] | None) -> None:
    """Raises `TooManyIds` where ``query`` holds more ids than one call takes."""
    for batch in batches:
        given = len(ids_in((query or {}).get(batch.parameter)))
        if given > batch.most:
            raise TooManyIds(batch.parameter, given, batch.most)


def most_of(batches: Sequence[Batch], parameter: str) -> int:
    """How many ids go into ``parameter`` of one call that answers a document."""
    return next((batch.most for batch in batches if batch.parameter == parameter), DOCUMENTED)
