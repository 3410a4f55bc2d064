"""Events of a running import, and its summary. Exports share `WaitingForReset`.

Rows and writes that are counted in an event are in the journal. Times are in seconds.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import msgspec

from zoho_async.errors import ZohoError
from zoho_async.export.events import WaitingForReset
from zoho_async.export.outcomes import DONE
from zoho_async.importer.documents import CellProblem
from zoho_async.importer.writes import JournaledWrite


class ImportPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What an import will write.

    ``rows`` make ``documents``: ``creates``, ``updates`` and ``unchanged`` ones, those that an
    earlier run has ``written`` or left ``unknown``, and ``skipped`` ones that an earlier file
    wrote. ``problems`` are wrong cells; their documents are in none of these numbers. ``calls`` are
    the writes to make, ``calls_made`` those that were made for the plan. ``days`` is how many days
    of the organization's quota they take, None if that is not known. ``without_token`` of the
    creates have no room for a token.
    """

    target: str
    rows: int
    documents: int
    creates: int
    updates: int
    unchanged: int
    written: int
    unknown: int
    skipped: int
    problems: tuple[CellProblem, ...]
    calls: int
    calls_made: int
    seconds: float
    days: int | None
    without_token: int
    mapping: dict[str, str]


class ImportProgress(msgspec.Struct, frozen=True, kw_only=True):
    """One more write has ended: ``done`` of ``of``, ``refused`` and ``unknown`` among them."""

    target: str
    done: int
    of: int
    refused: int
    unknown: int


class RowRefused(msgspec.Struct, frozen=True, kw_only=True):
    """Zoho refused a record, or it is not at Zoho for another reason: ``problem``."""

    target: str
    rows: tuple[int, ...]
    problem: str


class Settling(msgspec.Struct, frozen=True, kw_only=True):
    """The answers of ``writes`` were lost. They are searched for, for about ``seconds``."""

    target: str
    writes: int
    seconds: float


ImportEvent: TypeAlias = ImportPlan | ImportProgress | RowRefused | Settling | WaitingForReset


class ImportSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The result of an import, over all its runs. Names are those of an export's `Summary`.

    ``rows`` is the number of rows in the source. ``created`` and ``updated`` records were written
    (an upsert counts as an update: Zoho does not say whether it created the record), ``unchanged``
    ones were as the rows want them, ``skipped`` ones were written by an earlier file. ``problems``
    are wrong cells and refused records. ``unknown`` writes need a person. ``remaining`` are still
    to be written. ``calls`` were made by this run; Zoho rejected ``refused`` calls meanwhile
    because of its limits. ``done`` says that every row is at Zoho.
    """

    organization: str
    target: str
    job: str
    rows: int
    created: int
    updated: int
    unchanged: int
    skipped: int
    problems: tuple[CellProblem, ...]
    unknown: tuple[JournaledWrite, ...]
    remaining: int
    calls: int
    refused: int
    seconds: float
    done: bool
    exit_code: int = DONE


class WrongRows(ZohoError):
    """The source has wrong cells, so nothing was written. ``problems`` names them all."""

    def __init__(self, problems: tuple[CellProblem, ...]) -> None:
        self.problems: Final = problems
        first = "; ".join(str(one) for one in problems[:1])
        more = f" and {len(problems) - 1:,} more" if len(problems) > 1 else ""
        super().__init__(f"nothing was written: {first}{more}")
