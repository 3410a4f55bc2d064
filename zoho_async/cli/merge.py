"""``zoho-async merge``: combines an export and its later changes into one file per list."""

from __future__ import annotations

from pathlib import Path

import msgspec

from zoho_async.cli import outcome
from zoho_async.cli.output import count
from zoho_async.cli.safe import print
from zoho_async.errors import ConfigurationError
from zoho_async.export import Directory, MergeResult, merge, open_destination


def merge_files(to: str, format: str | None, *, flatten: bool, json: bool) -> int:
    """Merge the files in ``to`` and print what was merged; the exit code.

    Raises `ExportError`. A directory of several organizations is merged one by one.
    """
    destination = open_destination(to, format, flatten)
    if not isinstance(destination, Directory):
        raise ConfigurationError(
            f"{destination.name} is a database, which always holds the current state: "
            "there is nothing to merge"
        )
    merged: list[MergeResult] = []
    for path in directories(destination.path):
        directory = open_destination(path, format, flatten)
        assert isinstance(directory, Directory)
        merged += merge(directory)
    if json:
        print(msgspec.json.encode({"merged": merged}).decode())
        return outcome.DONE
    for one in merged:
        print(f"  {one.file}  {count(one.rows, 'row')} after {count(one.changes, 'run')}")
    if not merged:
        print("nothing to merge: no run has found changes")
    return outcome.DONE


def directories(to: Path) -> list[Path]:
    """``to``, or the directories of the organizations in it."""
    nested = sorted(path.parent for path in to.glob("*/.zoho-export"))
    return nested if nested and not (to / ".zoho-export").exists() else [to]
