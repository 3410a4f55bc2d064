r"""Makes text from servers safe for a terminal.

Model. Names, messages and values come from a server, and a terminal obeys control characters: an
escape sequence moves its cursor, rewrites what was printed, or changes its title; a bidirectional
override shows text in another order than it is written. A code page may lack a character.

Invariant. What the command prints holds no control, format, surrogate or separator character, and
none that the stream cannot encode. Each becomes a visible escape, ``\u001b``. Line breaks are kept
only in texts that the command itself puts together, on stdout.

Why JSON stays exact. The escapes are those of JSON, and in JSON such characters can be inside
strings only. So JSON that was made safe holds the same values.

Unknown. Which characters a terminal shows in a width that it does not use; letters that look alike.
"""

from __future__ import annotations

import builtins
import io
import json
import os
import sys
import unicodedata
from typing import Final, TextIO

_UNSAFE: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
#: Joiners, which Persian and emoji need; they move nothing.
_JOINERS: Final = frozenset("\u200c\u200d")


def safe(text: str, *, lines: bool = False, encoding: str | None = None) -> str:
    """``text`` with visible escapes; ``lines`` keeps line breaks.

    ``encoding`` is that of the stream: characters that it lacks are escaped too.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        one if (lines and one == "\n") or _is_safe(one, encoding) else json.dumps(one)[1:-1]
        for one in text
    )


def print(
    *values: object, file: TextIO | None = None, end: str = "\n", flush: bool = False
) -> None:
    """Like the builtin, but safe. Line breaks within a text are kept on stdout only."""
    stream = sys.stdout if file is None else file
    text = " ".join(str(value) for value in values)
    shown = safe(text, lines=stream is sys.stdout, encoding=stream.encoding)
    builtins.print(shown, file=stream, end=end, flush=flush)


def say(text: str) -> None:
    """Print a message to the user."""
    print(text, file=sys.stderr, flush=True)


def replace_unencodable() -> None:
    """Let stdout and stderr replace characters that they cannot encode."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def discard_stdout() -> None:
    """Write nothing more to stdout, because its reader has gone."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _is_safe(character: str, encoding: str | None) -> bool:
    if unicodedata.category(character) in _UNSAFE and character not in _JOINERS:
        return False
    if encoding is None or character.isascii():
        return True
    try:
        character.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True
