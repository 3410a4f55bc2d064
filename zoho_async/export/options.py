"""The options of an export, the same for the command and for Python.

The command reads them from `ExportOptions`: ``zoho-async export --max-calls 50`` is
``ExportOptions(max_calls=50)``. The text under each option is its help text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from os import PathLike
from typing import Final, Literal, TypeAlias
from zoneinfo import ZoneInfo

from zoho_async.errors import ConfigurationError

_DAY: Final = 86_400.0

#: Whose children are read again: of parents changed in the last so many days, or of all.
RefreshChildren: TypeAlias = int | Literal["all"]
FormatName: TypeAlias = Literal["jsonl", "jsonl.gz", "jsonl.zst", "csv", "parquet"]


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """What an export reads and writes, and when it ends.

    If an earlier run did not ask for ``details`` or ``files``, all records of the list are read
    again. Later runs keep fetching full records without ``details`` (except with ``restart``). A
    run without ``files`` leaves the documents of its records to the next run that has it.

    ``since`` is a time with its UTC offset, or a date: midnight in the organization's time zone.

    A full read that lacks known records and is not proven replaces nothing: the old rows stay, and
    the new ones are kept as changes. ``accept_shorter`` lets it replace them.

    Raises `ConfigurationError` for options that contradict each other.
    """

    details: bool = False
    """Read each new or changed record in full: line items, taxes, addresses."""

    files: bool = False
    """Save the PDF and the attachments of each new or changed record."""

    since: date | None = None
    """Skip records last modified before this date, such as ``2026-01-31``."""

    filter: Mapping[str, str] = field(default_factory=dict[str, str])
    """``NAME=VALUE`` for every list, such as ``status=overdue``. Repeatable."""

    select: tuple[str, ...] = ()
    """``LISTS:COLUMN,COLUMN``: write only these columns of the lists, and their ids. Repeatable."""

    exclude: tuple[str, ...] = ()
    """``LISTS:COLUMN,COLUMN``: do not write these columns, at any depth: ``*:notes``."""

    hash: tuple[str, ...] = ()
    """``LISTS:COLUMN,COLUMN``: write a keyed hash of the values, the same in every list and run.
    The key is ``ZOHO_HASH_KEY``, or that of the profile."""

    mask: tuple[str, ...] = ()
    """``LISTS:COLUMN,COLUMN``: write ``*`` for all but the last quarter of a value, at most 4
    characters."""

    full: bool = False
    """Read everything again, not only what changed."""

    refresh_children: RefreshChildren = 30
    """Read the children (comments, history) of parents changed in the last so many days again, or
    ``all``. 0 reads only those of new and changed parents. Default: 30."""

    detect_deletions: bool = False
    """Find deleted records: read whole lists, check each missing record."""

    change_feed: bool = False
    """Use Zoho's activity log (Books) and its events (Billing), and read each list in the cheapest
    way. The log names deleted records, and changed ones of lists without a filter. Lists are read
    whole every 30 days."""

    format: FormatName | None = None
    """File format of a directory. ``jsonl`` (the default) holds rows as Zoho sent them; ``parquet``
    has typed columns. A directory keeps its format."""

    flatten: bool = False
    """Write nested lists to separate files, such as ``invoices__line_items.csv``, or sheets. For
    CSV, Parquet and ``.xlsx``."""

    excel: bool = False
    """Write CSV for Excel: ids stay text, and no text is a formula. Values change for that."""

    files_to: str | PathLike[str] | None = None
    """Like ``--files``, but save into this directory instead of ``--to``."""

    restart: bool = False
    """Discard an interrupted export and read everything again."""

    max_calls: int | None = None
    """The most API calls of this run. It then ends with code 3; run the same command again to
    continue."""

    max_deletion_checks: int | None = None
    """The most records that ``--detect-deletions`` checks in one run. Default: all."""

    until_done: bool = False
    """If the day's calls are used up, wait for the next day and continue."""

    strict: bool = False
    """End with code 4 unless every list is proven complete and no number was rounded."""

    accept: tuple[str, ...] = ()
    """``short:LIST``: allow this list to count more records than are found. For this run.
    Repeatable."""

    accept_shorter: bool = False
    """Let an unproven read replace a file that has more records. For this run."""

    def __post_init__(self) -> None:
        if isinstance(self.since, datetime) and self.since.tzinfo is None:
            raise ConfigurationError(f"since must have a UTC offset, got {self.since}")
        if self.max_deletion_checks is not None and not self.detect_deletions:
            raise ConfigurationError(
                "--max-deletion-checks needs --detect-deletions: give both or neither"
            )
        if self.detect_deletions and self.full:
            raise ConfigurationError(
                "--detect-deletions compares with what is there and --full reads everything again: "
                "give one of them"
            )
        if self.refresh_children != "all" and self.refresh_children < 0:
            raise ConfigurationError(
                f"refresh-children must be a number of days or all, got {self.refresh_children}"
            )
        if self.max_calls is not None and self.max_calls < 1:
            raise ConfigurationError(f"max-calls must be at least 1, got {self.max_calls}")

    @property
    def since_day(self) -> date | None:
        """The date in ``since`` if it has no time."""
        return None if isinstance(self.since, datetime) else self.since

    @property
    def moment(self) -> float | None:
        """``since`` in seconds since 1970, once it has a time."""
        return self.since.timestamp() if isinstance(self.since, datetime) else None

    def refresh_since(self, now: float) -> float | None:
        """Return the moment since which a parent must have changed for a refresh of its children.

        0.0 means all parents, None no refresh. ``now`` is in seconds since 1970.
        """
        if self.refresh_children == 0:
            return None
        days = self.refresh_children
        since = 0.0 if days == "all" else max(0.0, now - days * _DAY)
        return max(since, self.moment or 0.0)


def midnight(day: date, time_zone: str | None) -> datetime | None:
    """Return the start of ``day`` in ``time_zone``, or None if this computer does not know it."""
    if not time_zone:
        return None
    try:
        return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(time_zone))
    except (KeyError, ValueError, OSError):  # ZoneInfoNotFoundError is a KeyError
        return None
