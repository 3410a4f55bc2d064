"""The rows of an import that were not written, as a CSV file to correct and import again.

The file has the columns of the source and three more in front: the row's number, the columns of
its wrong cells, and what is wrong. An import of the file leaves these three out. A cell that a
spreadsheet would take for a formula has a quote in front, which the import removes.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from zoho_async.errors import ConfigurationError
from zoho_async.files import write_private
from zoho_async.importer.documents import CellProblem
from zoho_async.importer.files import ERROR_COLUMNS, Formula, ImportSource, quoted
from zoho_async.wire.encode import encode
from zoho_async.wire.text import is_array, is_object

#: The problem of a row whose document was not written because of another row.
OTHER_ROW = "another row of the same document has a problem"


def write_errors(
    path: str | os.PathLike[str],
    source: ImportSource,
    problems: Sequence[CellProblem],
    together: Mapping[int, Collection[int]],
) -> int:
    """Write the rows of ``source`` that have ``problems`` to ``path``; returns their number.

    ``together`` has the rows of the same document by row: they are written too. An earlier errors
    file is replaced, any other file is not. Raises `ConfigurationError`. Blocks.
    """
    file = Path(path)
    _check_free(file)
    by_row: dict[int, list[CellProblem]] = {}
    for one in problems:
        by_row.setdefault(one.row, []).append(one)
    rows = {other for row in by_row for other in (row, *together.get(row, ()))}
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow([*ERROR_COLUMNS, *map(quoted, source.columns)])
    for row in source.rows:
        if row.number not in rows:
            continue
        found = by_row.get(row.number, [CellProblem(row.number, "", OTHER_ROW)])
        columns = "; ".join(dict.fromkeys(one.column for one in found if one.column))
        said = "; ".join(
            f"{one.column}: {one.problem}" if one.column else one.problem for one in found
        )
        cells = [_cell(row.cells.get(name)) for name in source.columns]
        writer.writerow([row.number, quoted(columns), quoted(said), *cells])
    try:
        write_private(file, text.getvalue().encode())
    except OSError as problem:
        raise ConfigurationError(f"cannot write {file}: {problem.strerror}") from None
    return len(rows)


def _check_free(file: Path) -> None:
    """Raise `ConfigurationError` if ``file`` exists and is no errors file."""
    head = ERROR_COLUMNS[0].encode()
    try:
        with file.open("rb") as opened:
            found = opened.read(len(head))
    except FileNotFoundError:
        return
    except OSError as problem:
        raise ConfigurationError(f"cannot write {file}: {problem.strerror}") from None
    if found != head:
        raise ConfigurationError(f"{file} exists and is no errors file; name another one")


def _cell(value: Any) -> str:
    if value is None or isinstance(value, Formula):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if is_object(value) or is_array(value):
        return encode(value).decode()
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime):
        is_day = value.time() == datetime.min.time() and value.tzinfo is None
        return value.date().isoformat() if is_day else value.isoformat()
    return quoted(str(value))
