"""The options of ``zoho-async import``: types and help texts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias

from cyclopts import Parameter

from zoho_async.cli.options import MORE, annotated, option
from zoho_async.importer.options import ImportOptions

if TYPE_CHECKING:
    ImportArguments: TypeAlias = ImportOptions
else:
    ImportArguments = Annotated[
        annotated(
            ImportOptions,
            dict.fromkeys(
                (
                    *("token_field", "token_in_notes", "repeated", "settle_wait"),
                    *("max_calls", "until_done"),
                ),
                Parameter(group=MORE),
            ),
        ),
        Parameter(name="*"),
    ]

ImportFile: TypeAlias = Annotated[
    Path | None, option("The file: `.csv`, `.tsv`, `.xlsx`, `.jsonl` or `.parquet`.")
]
ImportTo: TypeAlias = Annotated[
    str | None, option("The resource, such as `books.contacts`; `books.` is optional.")
]
MappingFile: TypeAlias = Annotated[
    Path | None,
    option(
        "TOML file that names the field of each column. It is written if it does not exist. "
        "Default: by the names of the columns."
    ),
]
ErrorsFile: TypeAlias = Annotated[
    Path | None,
    option(
        "CSV file for the rows with problems, to correct and import. Default: `FILE.errors.csv`."
    ),
]
ImportPlanOnly: TypeAlias = Annotated[
    bool, option("Check everything and print what would be written. Writes nothing.")
]
UndoJob: TypeAlias = Annotated[
    str | None,
    option("Delete the records that this job created and that were not changed since."),
]
JournalFile: TypeAlias = Annotated[
    Path | None,
    option(
        "File of the write journal. Default: one per organization in the user's state directory.",
        MORE,
    ),
]
Sheet: TypeAlias = Annotated[
    str | None, option("Sheet of a workbook. Needed if it has several.", MORE)
]
Decisions: TypeAlias = Annotated[
    tuple[str, ...],
    option(
        "`ROW=ID` or `ROW=absent`: what a person found out about a write whose answer was lost. "
        "Repeatable.",
        MORE,
    ),
]

IMPORT_EPILOGUE: Final = """
**More examples**

- update the contacts that exist: `zoho-async import contacts.csv --to contacts --match email`
- one invoice per number, a line per row:
  `zoho-async import lines.xlsx --to invoices --group-by "Invoice Number"`
- columns with other names: `zoho-async import bills.csv --to bills --mapping bills.toml`
- over several days: `zoho-async import items.parquet --to items --until-done`

**Exit codes**

- 0: every row is at Zoho
- 1: failed
- 2: wrong rows, usage or configuration; nothing was written
- 3: the calls of the day or of --max-calls are used up
- 4: some rows have problems, or need a person
"""
