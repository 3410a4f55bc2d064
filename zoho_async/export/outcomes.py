"""The state in which a run leaves each list, and the exit code of the run.

Model. At the end of a run each list is in exactly one `ListState`. `STATES` has one row per state:
its meaning, what is printed, and the exit code with and without ``strict``. The command,
``--json``, `Summary.exit_code`, ``export --help`` and the documentation use this table.

The exit code of a run is the first of `PRECEDENCE` that a list or the failure that ended the run
asks for. For example, a run that used up the day's calls ends with 3 even if a list was refused:
the rest is still to be read, and the next run reports the refusal again.

A refusal is remembered by its HTTP status and Zoho's code. It is never taken for permanent: each
run asks again, with one call per list. If the next run meets the same refusal, it does not report
it again. There are two exceptions, which are reported each time: a list that was named and that the
token has no scope for, and any refusal if no list could be read. If several organizations are
exported, that means no list of any of them. An organization that refused every list for one reason
is asked for one list (`zoho_async.export.refusals`). A server error (HTTP 5xx) or an unreadable
reply is not a refusal. It is a failure of the run.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, TypeAlias

import msgspec

from zoho_async.paging.completeness import Completeness

DONE: Final = 0
FAILED: Final = 1
USAGE: Final = 2
QUOTA: Final = 3
INCOMPLETE: Final = 4

#: A list that changes while it is read in so many runs in a row counts as incomplete.
CHANGED_RUNS: Final = 3

#: What each exit code of an export means; ``export --help`` shows these lines.
EXIT_CODES: Final[dict[int, str]] = {
    DONE: "done",
    INCOMPLETE: (
        "done, but a list is short, was refused for the first time, or changed during "
        f"{CHANGED_RUNS} runs in a row; with `--strict`: a list is not proven complete, or a "
        "number was rounded"
    ),
    FAILED: "failed (the network, the disk, or Zoho's server); run the same command again",
    QUOTA: (
        "the day's calls are used up, or `--max-calls` is; run the same command again to continue, "
        "after the reset"
    ),
    USAGE: "wrong usage or configuration, or a destination that was changed by hand",
    130: "interrupted (143 by SIGTERM); run the same command again to continue",
}
#: The exit code of a run is the first of these that applies. A signal precedes them all.
PRECEDENCE: Final = (USAGE, QUOTA, FAILED, INCOMPLETE, DONE)

ListState: TypeAlias = Literal[
    "proven",
    "uncheckable",
    "changed",
    "keeps_changing",
    "short",
    "short_accepted",
    "refused",
    "refused_before",
    "failed",
    "stopped",
    "unfinished",
]


class StateRow(msgspec.Struct, frozen=True, kw_only=True):
    """One state: its meaning, and its exit code without (``exit_code``) and with ``--strict``."""

    state: ListState
    meaning: str
    shown: str
    exit_code: int
    strict: int


STATES: Final = (
    StateRow(
        state="proven",
        meaning="every record is there",
        shown="",
        exit_code=DONE,
        strict=DONE,
    ),
    StateRow(
        state="uncheckable",
        meaning=(
            "the list has no count and no strict order, so nothing can be proven; unless two "
            "passes brought the same, the bookmark stays, so the next run reads it again"
        ),
        shown="in `zoho-async resources`; a note if the bookmark stays",
        exit_code=DONE,
        strict=INCOMPLETE,
    ),
    StateRow(
        state="changed",
        meaning="it changed while it was read; the bookmark stays, so the next run reads it again",
        shown="a note",
        exit_code=DONE,
        strict=INCOMPLETE,
    ),
    StateRow(
        state="keeps_changing",
        meaning=f"the same in {CHANGED_RUNS} or more runs in a row",
        shown="the list",
        exit_code=INCOMPLETE,
        strict=INCOMPLETE,
    ),
    StateRow(
        state="short",
        meaning="it counts more records than were found",
        shown="the list and the number missing",
        exit_code=INCOMPLETE,
        strict=INCOMPLETE,
    ),
    StateRow(
        state="short_accepted",
        meaning="the same, and `--accept short:LIST` names it",
        shown="a note",
        exit_code=DONE,
        strict=INCOMPLETE,
    ),
    StateRow(
        state="refused",
        meaning="Zoho refused it for the first time, or for another reason than before",
        shown="the list and the reason",
        exit_code=INCOMPLETE,
        strict=INCOMPLETE,
    ),
    StateRow(
        state="refused_before",
        meaning="Zoho refused it for the same reason as in the run before",
        shown="",
        exit_code=DONE,
        strict=INCOMPLETE,
    ),
    StateRow(
        state="failed",
        meaning="Zoho's server failed on it, or its reply could not be read",
        shown="the list and the reason",
        exit_code=FAILED,
        strict=FAILED,
    ),
    StateRow(
        state="stopped",
        meaning="the day's calls or `--max-calls` were used up before its end",
        shown="how to continue",
        exit_code=QUOTA,
        strict=QUOTA,
    ),
    StateRow(
        state="unfinished",
        meaning="something else ended the run before its end",
        shown="the error, and how to continue",
        exit_code=FAILED,
        strict=FAILED,
    ),
)
_BY_STATE: Final = {row.state: row for row in STATES}


def complete_state(
    completeness: Completeness | None, *, changed_runs: int, accepted: bool
) -> ListState:
    """Return the state of a list that was read to its end."""
    if completeness == "short":
        return "short_accepted" if accepted else "short"
    if completeness == "changed":
        return "changed" if changed_runs < CHANGED_RUNS else "keeps_changing"
    return completeness or "uncheckable"


def code_of(state: ListState, *, strict: bool, rounded: bool = False) -> int:
    """Return the exit code for a list in ``state``.

    ``rounded`` says that a column does not hold one of its numbers.
    """
    row = _BY_STATE[state]
    if not strict:
        return row.exit_code
    return worst([row.strict, INCOMPLETE if rounded else DONE])


def worst(codes: Iterable[int]) -> int:
    """Return the exit code of a run whose lists have these ``codes``."""
    asked = {*codes, DONE}
    return next(code for code in PRECEDENCE if code in asked)
