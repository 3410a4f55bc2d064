"""Compare the contents of a database with its checkpoint.

Model
-----
At the end of a part the checkpoint stores the number of rows of each table of the resource (for
the main table: rows not marked deleted), and the number of described columns that exist. The
record index also knows each written record.

Invariant
---------
Only an export removes anything from these tables. If a table, column or row is missing at the
start of the next run, a person removed it, and the list must be read in full. A full read upserts
rows by id and removes nothing that a person added, so it needs no consent.

Exceptions
----------
Child tables may shrink during a part, because a record can come again with fewer children. Then
only the presence of child tables and the record index count.

A view in place of a table is refused. So is a table with rows but no checkpoint, because its
organization is unknown.

Unknown
-------
Changed values, and rows that a person replaced by the same number of other rows.
"""

from __future__ import annotations

from typing import Final

from zoho_async.export.columns.schema import DELETED, ROW
from zoho_async.export.columns.tables import FlatTable, Layout
from zoho_async.export.destinations.base import RecordedContents
from zoho_async.export.destinations.engine import Engine, quote
from zoho_async.export.errors import DestinationChanged, DestinationError

_COLUMNS: Final = "columns of "


def table_sizes(engine: Engine, layout: Layout) -> dict[str, int]:
    """The number of rows and of described columns of each existing table."""
    sizes: dict[str, int] = {}
    for table in layout.tables:
        there = engine.columns(table.name)
        if there:
            sizes[table.name] = _rows(engine, table, live=DELETED in there)
            sizes[_COLUMNS + table.name] = sum(column.name in there for column in table.columns)
    return sizes


def find_missing(engine: Engine, layout: Layout, resource: str, recorded: RecordedContents) -> str:
    """Implement `zoho_async.export.destinations.base.Sink.find_missing`."""
    for table in layout.tables:
        if engine.is_view(table.name):
            raise DestinationError(
                engine.name,
                f"{table.name} is a view, but rows are written into a table",
                f"rename the view, or rename the table back to {table.name}",
            )
    if recorded.whole:
        return ""
    root = layout.tables[0]
    now = table_sizes(engine, layout)
    if not recorded.begun:
        if now.get(root.name):
            cause = f"{root.name} in {engine.name} has rows, but no checkpoint"
            raise DestinationChanged(resource, cause, "--restart")
        return ""
    if layout.id_column is None:  # every read is a full one
        return ""
    if now.get(root.name, 0) < recorded.records:
        return _shortfall(root.name, now.get(root.name), recorded.records)
    for name, size in _required_sizes(layout, recorded).items():
        if now.get(name, -1) < size:
            return _shortfall(name, now.get(name), size)
    return ""


def remove_orphans(engine: Engine, layout: Layout) -> None:
    """Delete children whose parent row is gone.

    The parent comes again as a new id and is appended with its children, so none may exist.
    """
    root, *children = layout.tables
    key = quote(root.key[0])
    there = root.key[0] in engine.columns(root.name)
    for child in children:
        if ROW in engine.columns(child.name):
            name = quote(child.name)
            same = f"{quote(root.name)}.{key} = {name}.{quote(ROW)}"
            rows = f" WHERE NOT EXISTS (SELECT 1 FROM {quote(root.name)} WHERE {same})"
            engine.execute(f"DELETE FROM {name}{rows if there else ''}")


def _required_sizes(layout: Layout, recorded: RecordedContents) -> dict[str, int]:
    """The smallest sizes that the tables must have."""
    if recorded.sizes and not recorded.reading:
        return dict(recorded.sizes)
    if recorded.sizes:
        return {name: n for name, n in recorded.sizes.items() if name.startswith(_COLUMNS)}
    if not recorded.reading or not recorded.records:
        return {}
    return {_COLUMNS + table.name: len(table.columns) for table in layout.tables}


def _shortfall(name: str, now: int | None, before: int) -> str:
    if now is None:
        return f"{name.removeprefix(_COLUMNS)} is missing"
    what = "" if name.startswith(_COLUMNS) else "rows of "
    return f"{now:,} of {before:,} {what}{name} are there"


def _rows(engine: Engine, table: FlatTable, *, live: bool) -> int:
    where = f" WHERE {quote(DELETED)} IS NULL" if live else ""
    ((number,),) = engine.execute(f"SELECT count(*) FROM {quote(table.name)}{where}")
    return int(number)
