"""What keeps an export from starting or going on, each with what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from zoho_async.errors import ConfigurationError, ZohoError
from zoho_async.export.events import Summary


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
    """Some lists could not be read; the others are complete. ``summary`` tells of each."""

    def __init__(self, summary: Summary) -> None:
        self.summary: Final = summary
        failed = [one for one in summary.resources if one.status in ("failed", "partial")]
        told = "; ".join(f"{one.resource}: {one.error or one.status}" for one in failed)
        super().__init__(f"not exported: {told or 'nothing that the token may read'}")
