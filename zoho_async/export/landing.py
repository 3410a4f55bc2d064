"""Where one resource's pages come down: its file, its seen ids and its place in the checkpoint.

The three move on together, in the order that `zoho_async.export.checkpoint` explains. Completing
goes the same way: the checkpoint says that all rows are durable, then the file gets its name; an
end between the two is put right by the next run, which settles what is complete.

Every method blocks on the disk, and raises `DestinationError` where the disk refuses.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from zoho_async.export.checkpoint import Checkpoint, Position, reason
from zoho_async.export.errors import CheckpointRefused, DestinationError
from zoho_async.export.jsonl import JsonLines
from zoho_async.export.seen import SeenIds, key


def file_of(directory: Path, resource: str) -> Path:
    """``DIR/books/invoices.jsonl`` for ``books.invoices``."""
    product, _, name = resource.partition(".")
    return directory / product / (name + JsonLines.suffix)


class Landing:
    """One resource of a run. ``request`` is what was asked of its list, as comparable text.

    ``identified`` says that the list's rows have ids. Where they have none, repeated rows cannot
    be told from equal ones: every row is kept, and an interrupted list is read anew.
    """

    def __init__(
        self, checkpoint: Checkpoint, resource: str, request: str, *, identified: bool
    ) -> None:
        self.resource: Final = resource
        self.file: Final = JsonLines(file_of(checkpoint.directory, resource))
        self._checkpoint: Final = checkpoint
        self._request: Final = request
        self._identified: Final = identified
        self._position: Position | None = None
        self._seen: SeenIds | None = None

    @property
    def position(self) -> Position:
        assert self._position is not None, "the landing was not opened"
        return self._position

    @property
    def seen(self) -> SeenIds:
        assert self._seen is not None, "the landing was not opened"
        return self._seen

    def open(self) -> None:
        """Go on where the checkpoint says, or begin.

        Raises `CheckpointRefused` when the checkpoint is of another request for this list.
        """
        with writing(self._checkpoint.directory):
            position = self._checkpoint.position(self.resource)
            if position is not None and position.request != self._request:
                raise CheckpointRefused(
                    f"{self._checkpoint.directory} holds an unfinished export of {self.resource} "
                    "that was asked for differently (other filters, or another version); ask the "
                    "same to go on, start anew with --fresh, or choose another directory"
                )
            if position is None or (not position.complete and not self._goes_on(position)):
                position = self._checkpoint.begin(self.resource, self._request)
                self.file.reopen(0)
            self._position = position
            self._seen = self._checkpoint.seen(position)

    def _goes_on(self, position: Position) -> bool:
        return self._identified and self.file.reopen(position.bytes)

    def saw(self, identity: str, row: bytes) -> bool:
        """Whether the file holds this row already."""
        with writing(self._checkpoint.directory):
            return key(identity, row) in self.seen

    def land(self, page: int, rows: Sequence[bytes], ids: Sequence[str]) -> int:
        """Write the rows of ``page`` that are not in the file yet; how many they were."""
        with writing(self._checkpoint.directory):
            keys = [key(identity, row) for identity, row in zip(ids, rows, strict=True)]
            fresh = self.seen.fresh(keys) if self._identified else list(range(len(rows)))
            written = self.file.append(rows[place] for place in fresh)
            self._position = self._checkpoint.advance(
                self.position,
                page=page,
                rows=self.position.rows + len(fresh),
                bytes=self.position.bytes + written,
                seen=self.seen,
                keys=[keys[place] for place in fresh] if self._identified else (),
            )
            return len(fresh)

    def complete(self) -> None:
        """The list is at its end: promise that, and give the file its own name."""
        with writing(self._checkpoint.directory):
            self._position = self._checkpoint.complete(self.position)
            self.file.settle()

    def close(self) -> None:
        self.file.close()


def settle(checkpoint: Checkpoint) -> None:
    """Name the files of resources that were completed right before the last run ended."""
    with writing(checkpoint.directory):
        for position in checkpoint.positions():
            if position.complete:
                JsonLines(file_of(checkpoint.directory, position.name)).settle()


@contextmanager
def writing(directory: Path) -> Generator[None]:
    """Tell what the disk refuses as `DestinationError`."""
    try:
        yield
    except (OSError, sqlite3.Error) as problem:
        raise DestinationError(directory, reason(problem)) from problem
