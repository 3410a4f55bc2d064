"""Write files whole or not at all.

The bytes go to a hidden file in the target's folder, which takes its name once it is complete and
on the disk. A run that is cancelled or killed leaves nothing under that name. Disk work runs on
threads, a megabyte at a time.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterable, Iterator
from itertools import count
from pathlib import Path
from threading import Lock
from typing import Final

from anyio import CancelScope, to_thread

from zoho_async.files import DraftFile, claim, make_directory, move

_BLOCK: Final = 1024 * 1024


async def save(chunks: AsyncIterable[bytes], target: str | os.PathLike[str], name: str) -> Path:
    """Write ``chunks`` to ``target`` and return the path. Missing folders are created.

    A ``target`` that is a folder, ends in a separator or has no suffix is a folder: the file is
    called ``name``, with a number if that name exists. Any other ``target`` is the file itself,
    which is replaced. Raises `OSError` if it cannot be written.
    """
    draft = Draft(target, name)
    try:
        await to_thread.run_sync(draft.open)
        await _write(draft, chunks)
        return await to_thread.run_sync(draft.finish)
    finally:
        with CancelScope(shield=True):
            await to_thread.run_sync(draft.clear)


async def _write(draft: Draft, chunks: AsyncIterable[bytes]) -> None:
    waiting: list[bytes] = []
    size = 0
    async for chunk in chunks:
        waiting.append(chunk)
        size += len(chunk)
        if size >= _BLOCK:
            await to_thread.run_sync(draft.write, waiting)
            waiting, size = [], 0
    await to_thread.run_sync(draft.write, waiting)


class Draft:
    """The hidden file. Its methods work on the disk, each on a thread and one at a time.

    A cancelled caller stops waiting for its thread, but the thread continues. So `clear` waits for
    the method that runs, and methods that have not started do nothing.
    """

    def __init__(self, target: str | os.PathLike[str], name: str) -> None:
        self._target: Final = target
        self._name: Final = name
        self._turn: Final = Lock()
        self._is_cleared = False
        self._is_named = False
        self._path = Path()
        self._file: DraftFile | None = None

    def open(self) -> None:
        with self._turn:
            if self._is_cleared:
                return
            text = os.fspath(self._target)
            path = Path(text)
            is_folder = text.endswith(("/", os.sep)) or path.is_dir() or not path.suffix
            self._is_named = not is_folder
            self._path = path / self._name if is_folder else path
            make_directory(self._path.parent)
            self._file = DraftFile(self._path.with_name(f".{secrets.token_hex(8)}.part"))

    def write(self, chunks: list[bytes]) -> None:
        with self._turn:
            if self._file is not None:
                for chunk in chunks:
                    self._file.write(chunk)

    def finish(self) -> Path:
        """Give the complete file its name, or the next free one if the target is a folder."""
        with self._turn:
            if self._file is None:
                return self._path
            self._file.sync()
            if self._is_named:
                move(self._file.path, self._path)
                return self._path
            return next(free for free in _names(self._path) if claim(self._file.path, free))

    def clear(self) -> None:
        """Close the file, and delete it unless it has its name."""
        with self._turn:
            self._is_cleared = True
            if self._file is not None:
                self._file.discard()
                self._file = None


def _names(path: Path) -> Iterator[Path]:
    """``a.pdf``, ``a (2).pdf``, ``a (3).pdf`` ..."""
    yield path
    for number in count(2):
        yield path.with_name(f"{path.stem} ({number}){path.suffix}")
