"""Documents that come and go: PDFs and images of records, attachments and receipts."""

from __future__ import annotations

import os
from pathlib import Path

import anyio.to_thread
import msgspec


class Download(msgspec.Struct, frozen=True):
    """A document Zoho sent: its bytes, media type, and a file name (without any folder)."""

    content: bytes
    content_type: str
    name: str

    def __repr__(self) -> str:
        return f"Download({self.name!r}, {self.content_type!r}, {len(self.content)} bytes)"

    async def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write it into ``folder`` (made if need be) under its name; returns the path.

        Raises `OSError` where that cannot be written.
        """
        path = Path(folder) / self.name
        await anyio.to_thread.run_sync(_write, path, self.content)
        return path


class Upload(msgspec.Struct, frozen=True):
    """A document to be sent: its file name and bytes."""

    name: str
    content: bytes

    def __repr__(self) -> str:
        return f"Upload({self.name!r}, {len(self.content)} bytes)"

    @classmethod
    async def from_path(cls, path: str | os.PathLike[str]) -> Upload:
        """Read ``path`` whole. Raises `OSError` where it cannot be read."""
        content = await anyio.to_thread.run_sync(Path(path).read_bytes)
        return cls(Path(path).name, content)


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
