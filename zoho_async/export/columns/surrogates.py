"""Preserve halves of surrogate pairs in ``_extra``.

A server that cuts a text between two UTF-16 units leaves half of a pair, such as ``\\ud83d``. JSON
can write it but UTF-8 cannot, so no typed column can hold it.

Model
-----
A text with a half pair is a misfit, like a text with NUL. It goes complete into ``_extra``, which
keeps the escape in JSON text. Before a row is decoded, `mark_halves` replaces each half by a mark
that contains NUL, so the existing rule makes the text a misfit. At the end `restore` writes the
escapes back into the JSON text.

Invariant
---------
The columns and ``_extra`` together hold the row.

Exception
---------
If a row already contains a mark, it is not changed. Its halves become U+FFFD, as in replies.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from zoho_async.export.columns.schema import ColumnShape

if TYPE_CHECKING:
    from zoho_async.export.columns.batch import RowBatch

#: The mark that replaces an escape such as ``\\ud83d`` in JSON text.
_MARK: Final = r"\u0000~half-{}~"
_MARK_PATTERN: Final = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000~half-([0-9a-f]{4})~")
#: An escape in JSON text. The group matches half of a pair.
_ESCAPE: Final = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    r"|u([dD][89a-fA-F][0-9a-fA-F]{2})|.)"
)


def mark_halves(row: bytes) -> bytes:
    """``row`` with a mark for each half of a pair."""
    if b"~half-" in row:
        return row
    text = row.decode("utf-8", "replace")
    return _ESCAPE.sub(lambda e: _MARK.format(e[1].lower()) if e[1] else e[0], text).encode()


def restore(shape: ColumnShape, batch: RowBatch) -> None:
    """Write the escapes back into the JSON text of ``batch``, which is of ``shape``."""
    batch.extra = [_restore_text(text) for text in batch.extra]
    for column, cells in zip(shape.columns, batch.values, strict=True):
        if column.kind == "json":
            cells[:] = [_restore_text(text) for text in cells]
    for nested, elements in zip(shape.lists, batch.lists, strict=True):
        restore(nested.shape, elements.batch)


def _restore_text(text: str | None) -> str | None:
    if text is None or "~half-" not in text:
        return text
    return _MARK_PATTERN.sub(r"\1\\u\2", text)
