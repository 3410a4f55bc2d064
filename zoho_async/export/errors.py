"""What keeps an export from starting or going on, each with what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from zoho_async.errors import ConfigurationError, ZohoError
from zoho_async.export.events import ResourceSummary, Summary


class ExportError(ZohoError):
    """An export cannot start or go on; nothing that was promised is lost."""


class UnknownResource(ExportError, ConfigurationError):
    """No list of that name can be exported; ``near`` are names that look like it."""

    def __init__(self, name: str, near: Sequence[str], why: str = "") -> None:
        self.name: Final = name
        self.near: Final = tuple(near)
        advice = why or (
            f"did you mean {' or '.join(self.near)}?"
            if self.near
            else "`zoho-async resources` lists those that can be exported"
        )
        super().__init__(f"unknown resource {name!r}: {advice}")


class UnknownFilter(ExportError, ConfigurationError):
    """A filter is not a parameter of one of the lists that are asked for."""


class CheckpointRefused(ExportError):
    """The place holds an export that this run must not touch (another organization, say)."""


class DestinationChanged(CheckpointRefused):
    """A person changed what an export wrote; ``resource`` must be read in full, as they ask.

    ``option`` is the option of the command that does it.
    """

    def __init__(self, resource: str, cause: str, option: str) -> None:
        self.resource: Final = resource
        self.option: Final = option
        super().__init__(f"{cause}; {option} reads {resource} in full and replaces it")


class ExportRunning(ExportError):
    """Another run is exporting into the same place now."""

    def __init__(self, place: Path | str) -> None:
        self.place: Final = str(place)
        super().__init__(
            f"another export is running into {place}, or another program has it open; "
            "let it end, or choose another place"
        )


class DestinationError(ExportError):
    """The place cannot be written. What was promised before stands.

    ``advice`` is what to do about it, where that is known better than by the default.
    """

    def __init__(self, place: Path | str, cause: str, advice: str = "") -> None:
        self.place: Final = str(place)
        advice = advice or (
            "make it writable (or make room) and run the same again, or choose another place"
        )
        super().__init__(f"cannot write to {place}: {cause}; {advice}")


class ExportIncomplete(ExportError):
    """Some lists could not be read or are not complete; the others are. ``summary`` has each."""

    def __init__(self, summary: Summary) -> None:
        self.summary: Final = summary
        super().__init__("; ".join(map(problem_of, summary.incomplete)))


def problem_of(one: ResourceSummary) -> str:
    """What is wrong with a list that is not complete, and what to do about it."""
    if one.error:
        return f"{one.resource}: {one.error}"
    if one.state == "short":
        return (
            f"{one.resource} is short: {one.missing:,} records that the list counts were not "
            f"found; run it again, or accept it with --accept short:{one.resource}"
        )
    if one.state in ("changed", "keeps_changing"):
        return f"{one.resource} changed while it was read, so a record may be missing"
    if one.state == "uncheckable":
        return f"{one.resource} cannot be checked: it has no count and no strict order"
    return f"{one.resource}: {one.state}"
