"""What a database holds of a resource, compared with what the checkpoint says.

Model. At the end of a part the checkpoint records for each table of the resource how many rows it
has (of the resource's own table: rows that are not marked deleted), and how many of the described
columns are there. Besides, the record index knows each record that was written.

Invariant. Only an export takes something out of these tables. So if a table, a column or a row is
no longer there at the start of the next run, a person took it out, and the list must be read in
full. Reading in full writes rows by their ids: it removes no row, column or table that a person
added, so it needs no consent.

While a part is under way, child tables may shrink (a record that comes again has fewer children),
so only their presence and the record index count. Rows that a person took out and replaced by as
many others are not noticed, nor are changed values.

A view in the place of a table, and a table with rows but without a checkpoint (whose organization
is not known), are refused.
"""

from __future__ import annotations

from typing import Final

from zoho_async.export.columns.schema import DELETED, ROW
from zoho_async.export.columns.tables import FlatTable, Layout
from zoho_async.export.destinations.base import Recorded
from zoho_async.export.destinations.engine import Engine, quoted
from zoho_async.export.errors import DestinationChanged, DestinationError

_COLUMNS: Final = "columns of "


def held(engine: Engine, layout: Layout) -> dict[str, int]:
    """The rows and the described columns of each table that is there."""
    sizes: dict[str, int] = {}
    for table in layout.tables:
        there = engine.columns(table.name)
        if there:
            sizes[table.name] = _rows(engine, table, live=DELETED in there)
            sizes[_COLUMNS + table.name] = sum(column.name in there for column in table.columns)
    return sizes


def missing(engine: Engine, layout: Layout, resource: str, recorded: Recorded) -> str:
    """What `zoho_async.export.destinations.base.Sink.missing` says."""
    for table in layout.tables:
        if engine.is_view(table.name):
            raise DestinationError(
                engine.name,
                f"{table.name} is a view, and rows are written into a table",
                f"rename the view, or give the table its name {table.name} back",
            )
    if recorded.whole:
        return ""
    root = layout.tables[0]
    now = held(engine, layout)
    if not recorded.begun:
        if now.get(root.name):
            cause = f"{root.name} in {engine.name} has rows, but the checkpoint of its export is "
            raise DestinationChanged(resource, cause + "not there", "--restart")
        return ""
    if layout.id_column is None:  # every read is a full one
        return ""
    if now.get(root.name, 0) < recorded.records:
        return _fewer(root.name, now.get(root.name), recorded.records)
    for name, size in _wanted(layout, recorded).items():
        if now.get(name, -1) < size:
            return _fewer(name, now.get(name), size)
    return ""


def remove_orphans(engine: Engine, layout: Layout) -> None:
    """Remove children whose row is gone: the row comes again, and brings them.

    Rows whose ids are new are appended with their children, so none may be there.
    """
    root, *children = layout.tables
    key = quoted(root.key[0])
    there = root.key[0] in engine.columns(root.name)
    for child in children:
        if ROW in engine.columns(child.name):
            name = quoted(child.name)
            same = f"{quoted(root.name)}.{key} = {name}.{quoted(ROW)}"
            rows = f" WHERE NOT EXISTS (SELECT 1 FROM {quoted(root.name)} WHERE {same})"
            engine.execute(f"DELETE FROM {name}{rows if there else ''}")


def _wanted(layout: Layout, recorded: Recorded) -> dict[str, int]:
    """The least sizes that must be there."""
    if recorded.sizes and not recorded.reading:
        return dict(recorded.sizes)
    if recorded.sizes:
        return {name: n for name, n in recorded.sizes.items() if name.startswith(_COLUMNS)}
    if not recorded.reading or not recorded.records:
        return {}
    return {_COLUMNS + table.name: len(table.columns) for table in layout.tables}


def _fewer(name: str, now: int | None, before: int) -> str:
    if now is None:
        return f"{name.removeprefix(_COLUMNS)} is missing"
    what = "" if name.startswith(_COLUMNS) else "rows of "
    return f"{now:,} of {before:,} {what}{name} are there"


def _rows(engine: Engine, table: FlatTable, *, live: bool) -> int:
    where = f" WHERE {quoted(DELETED)} IS NULL" if live else ""
    ((number,),) = engine.execute(f"SELECT count(*) FROM {quoted(table.name)}{where}")
    return int(number)
