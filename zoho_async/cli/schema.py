"""``zoho-async schema``: the columns of each list, with their types. Makes no API calls."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any, Final

import msgspec

from zoho_async.cli import outcome
from zoho_async.cli.safe import print
from zoho_async.errors import ConfigurationError
from zoho_async.export.catalog import all_lists, resolve, row_facts, rows_of
from zoho_async.export.checkpoint.store import Checkpoint
from zoho_async.export.columns.schema import (
    ColumnShape,
    Observed,
    shape_of,
    short_name,
    with_observed,
)
from zoho_async.export.columns.tables import Layout
from zoho_async.export.destinations.base import Table
from zoho_async.export.destinations.directory import FOLDER, Directory
from zoho_async.export.resource_store import recorded_table, table_of

#: The JSON Schema of a column's values; any other kind is a number.
_TYPES: Final[dict[str, dict[str, Any]]] = {
    "text": {"type": ["string", "null"]},
    "integer": {"type": ["integer", "null"]},
    "boolean": {"type": ["boolean", "null"]},
    "date": {"type": ["string", "null"], "format": "date"},
    "time": {"type": ["string", "null"], "format": "date-time"},
    "json": {"type": ["string", "null"], "contentMediaType": "application/json"},
    "texts": {"type": ["array", "null"], "items": {"type": "string"}},
}
_NUMBER: Final[dict[str, Any]] = {"type": ["number", "null"]}


def show(names: tuple[str, ...], to: str | None, *, json: bool) -> int:
    """Print the columns of the lists ``names``; the exit code.

    Without names: the lists in ``to``, or those of Books. ``to`` adds the columns that its export
    has observed. Raises `ConfigurationError` and `ExportError`.
    """
    wanted = [facts.resource for facts in resolve(names, all_lists())] if names or not to else []
    held = _tables_in(to) if to else {}
    for name in wanted or held:
        table = held.get(name) or table_of(name, row_facts()[name])
        if json:
            print(msgspec.json.encode(json_schema(table)).decode())
        else:
            print("\n".join(_lines(table)))
    return outcome.DONE


def json_schema(table: Table) -> dict[str, Any]:
    """The JSON Schema of the rows of ``table``. Lists are nested."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": table.name,
        **_object(with_observed(shape_of(table.fields, table.row_id), _observed(table))),
    }


def _object(shape: ColumnShape) -> dict[str, Any]:
    properties = {column.name: _TYPES.get(column.kind, _NUMBER) for column in shape.columns}
    for nested in shape.lists:
        properties[nested.name] = {"type": ["array", "null"], "items": _object(nested.shape)}
    return {"type": "object", "properties": properties}


def _lines(table: Table) -> list[str]:
    shape = with_observed(shape_of(table.fields, table.row_id), _observed(table))
    layout = Layout(short_name(table.name.replace(".", "_")), table.row_id, shape)
    seen = {one.path for one in _observed(table)}
    lines: list[str] = []
    for flat in layout.tables:
        width = max(len(column.name) for column in flat.columns)
        kinds = max(len(column.kind) for column in flat.columns)
        lines.append(flat.name)
        for column in flat.columns:
            mark = "  observed" if flat is layout.tables[0] and column.path in seen else ""
            lines.append(f"  {column.name:<{width}}  {column.kind:<{kinds}}{mark}".rstrip())
    return lines


def _observed(table: Table) -> Observed:
    return table.observer.fields if table.observer else ()


def _tables_in(to: str) -> dict[str, Table]:
    """The tables of the export in ``to``, by the name of the list."""
    from zoho_async.cli.export import parse_destination

    destination = parse_destination(to, None, flatten=False)
    path: Path | None = getattr(destination, "path", None)
    if isinstance(destination, Directory):
        path = destination.path / FOLDER
    if path is not None and not path.exists():
        raise ConfigurationError(
            f"{destination.name} holds no export: name the destination that was given to --to"
        )
    with closing(destination.open()) as place:
        checkpoint = Checkpoint.open(place.database, None, name=place.name)
        return {
            state.name: recorded_table(checkpoint, state, rows_of(state.name))
            for state in checkpoint.states()
        }
