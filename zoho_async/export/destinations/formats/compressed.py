"""Compressed JSON Lines."""

from __future__ import annotations

import gzip
import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from zoho_async.export.destinations.base import Table
from zoho_async.export.errors import library

_CHUNK: Final = 1 << 20


class Gzip:
    """``.jsonl.gz``. The header has no name and no time, so equal rows give equal files."""

    name: str = "jsonl.gz"
    suffix: str = ".jsonl.gz"

    def __init__(self, level: int = 6) -> None:
        self._level: Final = level

    def write(self, rows: Path, target: Path, table: Table) -> None:
        """Compress ``rows`` to ``target``."""
        with (
            rows.open("rb") as spool,
            target.open("wb") as file,
            gzip.GzipFile("", "wb", self._level, file, mtime=0) as packed,
        ):
            shutil.copyfileobj(spool, packed, _CHUNK)

    def read(self, path: Path) -> Iterator[bytes]:
        """The rows of a file."""
        with gzip.open(path) as lines:
            for line in lines:
                yield line.rstrip(b"\n")


class Zstandard:
    """``.jsonl.zst``. Raises `MissingExtra` if ``zstandard`` is not installed."""

    name: str = "jsonl.zst"
    suffix: str = ".jsonl.zst"

    def __init__(self, level: int = 3) -> None:
        self._zstandard: Final[Any] = library("zstandard", "zstd", "writing .jsonl.zst")
        self._level: Final = level

    def write(self, rows: Path, target: Path, table: Table) -> None:
        """Compress ``rows`` to ``target``."""
        compressor = self._zstandard.ZstdCompressor(level=self._level, write_checksum=True)
        with rows.open("rb") as spool, target.open("wb") as file:
            compressor.copy_stream(spool, file, size=rows.stat().st_size)

    def read(self, path: Path) -> Iterator[bytes]:
        """The rows of a file."""
        with path.open("rb") as file:
            reader = self._zstandard.ZstdDecompressor().stream_reader(file)
            for line in io.BufferedReader(reader, _CHUNK):
                yield line.rstrip(b"\n")
