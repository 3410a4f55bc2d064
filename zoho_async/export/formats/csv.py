"""CSV as RFC 4180 has it: CRLF, quotes where needed, a header, UTF-8 without a mark.

Lists are JSON text in one column; blanks are empty. Values are as Zoho sent them: a text that
begins with ``=`` stays so, and a spreadsheet may take it for a formula. Whoever opens the file
in one should import its columns as text.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any, Final

from zoho_async.export.batches import Reader
from zoho_async.export.columns import EXTRA, shape_of
from zoho_async.export.destination import Table
from zoho_async.export.formats.spool import portions

_WORDS: Final = {True: "true", False: "false", None: None}


class Csv:
    """``.csv``."""

    name: str = "csv"
    suffix: str = ".csv"

    def write(self, rows: Path, target: Path, table: Table) -> None:
        """Write ``rows`` to ``target``."""
        shape = shape_of(table.fields, table.row_id, lists=False)
        reader = Reader(shape)
        booleans = [n for n, column in enumerate(shape.columns) if column.kind == "boolean"]
        with target.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow([*(column.name for column in shape.columns), EXTRA])
            for lines in portions(rows):
                batch = reader.read(lines)
                columns: list[Any] = [*batch.values, batch.extra]
                for number in booleans:
                    columns[number] = [_WORDS[value] for value in columns[number]]
                writer.writerows(zip(*columns, strict=True))
