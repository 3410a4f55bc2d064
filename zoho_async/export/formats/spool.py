"""How a format reads its spool.

A format is a function of the spool and the table alone: the same rows give the same bytes with the
same versions of the libraries, so that an end in the middle is put right by doing it again. It
reads the spool in portions of bounded size, so memory does not grow with the number of rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

#: Bytes of rows read at once: about a thousand rows. A column of them costs Arrow and a database as
#: much as some hundred values, whatever it holds.
PORTION = 2 << 20


def portions(rows: Path) -> Iterator[bytes]:
    """The lines of a spool, about a thousand at a time."""
    rest = b""
    with rows.open("rb", buffering=0) as spool:
        while read := spool.read(PORTION):
            end = read.rfind(b"\n") + 1
            if end:
                yield b"".join((rest, memoryview(read)[:end]))
                rest = read[end:]
            else:
                rest += read
    if rest:
        yield rest + b"\n"
