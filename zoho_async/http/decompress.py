"""Decompress the body of an answer, and notice if it is cut short.

aiohttp hands over what a truncated gzip body holds and says nothing (3.14; it checks ``deflate``
alone). If the server names no length, or a proxy recompressed a broken answer, that is half a
document for a whole one. So bodies are decompressed here: every stream has to reach its own end,
which for gzip includes the checksum and the length of what it holds.

Only gzip and deflate are asked for, and only they are understood. Output comes in pieces of a given
size, so that a few bytes which stand for gigabytes never fill the memory; the reader counts them.
"""

from __future__ import annotations

import zlib
from typing import Final

#: What is asked for.
ACCEPTED: Final = "gzip, deflate"

_GZIP: Final = 31
_ZLIB: Final = 15
_RAW: Final = -15


class NotDecompressed(Exception):
    """The body is not what its ``Content-Encoding`` says, or not all of it. Says which."""


class Decompressor:
    """Turns the compressed bytes of one body into plain ones."""

    def __init__(self, encoding: str) -> None:
        self._encoding: Final = encoding
        self._stream: zlib._Decompress | None = None  # its public name is 3.13's
        self._waiting = b""

    def feed(self, data: bytes) -> None:
        """Add compressed bytes; call it only if `take` gave nothing."""
        self._waiting += data

    def take(self, most: int) -> bytes:
        """At most ``most`` plain bytes; none if there is more to feed, or the body is complete.

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
                raise NotDecompressed(f"the body is no {self._encoding}") from None
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
        """The next stream: gzip may hold several."""
        match self._encoding:
            case "gzip" | "x-gzip":
                return zlib.decompressobj(_GZIP)
            case "deflate":
                # Some servers leave out the header that the name promises.
                has_header = self._waiting[0] & 0x0F == 8
                return zlib.decompressobj(_ZLIB if has_header else _RAW)
            case _:
                raise NotDecompressed(
                    f"the body comes as {self._encoding!r}, which was not asked for"
                )


def decompressor(encoding: str) -> Decompressor | None:
    """For a ``Content-Encoding``; None if the body comes as it is."""
    name = encoding.strip().lower()
    return None if name in ("", "identity") else Decompressor(name)
