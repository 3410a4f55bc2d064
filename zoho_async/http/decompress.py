"""Decompress the body of an answer, and detect a body that is cut short.

aiohttp returns the content of a truncated gzip body without an error (3.14; it checks ``deflate``
alone). If the server sends no length, or a proxy recompressed a broken answer, half a document
looks like a whole one. So bodies are decompressed here: every stream has to reach its end, which
for gzip includes a checksum and the length.

Only gzip and deflate are requested and understood. Output comes in pieces of limited size, so that
a few bytes that expand to gigabytes never fill the memory; the reader counts them.
"""

from __future__ import annotations

import zlib
from typing import Final

#: The ``Accept-Encoding`` of every request.
ACCEPTED: Final = "gzip, deflate"

_GZIP: Final = 31
_ZLIB: Final = 15
_RAW: Final = -15


class NotDecompressed(Exception):
    """The body does not match its ``Content-Encoding``, or is incomplete."""


class Decompressor:
    """Decompresses one body."""

    def __init__(self, encoding: str) -> None:
        self._encoding: Final = encoding
        self._stream: zlib._Decompress | None = None  # its public name is 3.13's
        self._waiting = b""

    def feed(self, data: bytes) -> None:
        """Add compressed bytes. Call it only if `take` returned nothing."""
        self._waiting += data

    def take(self, most: int) -> bytes:
        """Return at most ``most`` plain bytes; none if it needs more input or the body is complete.

        Raises `NotDecompressed`.
        """
        while True:
            if self._stream is None:
                if not self._waiting:
                    return b""
                self._stream = self._begun()
            try:
                plain = self._stream.decompress(self._waiting, most)
            except zlib.error:
                raise NotDecompressed(f"the body is not valid {self._encoding}") from None
            self._waiting = self._stream.unconsumed_tail
            if self._stream.eof:
                self._waiting = self._stream.unused_data
                self._stream = None
            if plain or (self._stream is not None and not self._waiting):
                return plain

    def end(self) -> None:
        """Raise `NotDecompressed` unless the body is complete."""
        if self._stream is not None:
            raise NotDecompressed(f"the {self._encoding} of the body is cut short")

    def _begun(self) -> zlib._Decompress:
        """Start the next stream: gzip may hold several."""
        match self._encoding:
            case "gzip" | "x-gzip":
                return zlib.decompressobj(_GZIP)
            case "deflate":
                # Some servers leave out the zlib header.
                has_header = self._waiting[0] & 0x0F == 8
                return zlib.decompressobj(_ZLIB if has_header else _RAW)
            case _:
                raise NotDecompressed(
                    f"the body is encoded as {self._encoding!r}, which was not requested"
                )


def decompressor(encoding: str) -> Decompressor | None:
    """Return a decompressor for a ``Content-Encoding``, or None if the body is plain."""
    name = encoding.strip().lower()
    return None if name in ("", "identity") else Decompressor(name)
