"""A `dlt <https://dlthub.com>`_ source for the lists of an organization::

    import dlt
    from zoho_async.integrations.dlt import zoho

    pipeline = dlt.pipeline("zoho", destination="duckdb", dataset_name="books")
    pipeline.run(zoho(["invoices", "contacts"]))

Model
-----
An `Export` reads the lists into a directory under the pipeline's working directory, and dlt loads
the rows from there. Tables are named ``books_invoices``. Lists inside rows are child tables.

dlt commits the state of a resource together with its rows. The state holds the *watermark* of the
load (`zoho_async.export.incremental`), and the next load reads from it.

Invariant
---------
The directory holds everything since the state that it started from, and is kept until dlt commits a
newer state.

Why it holds
------------
After a crash the state is unchanged. The next run continues in the same directory and loads all of
it, so no call is made twice. A directory that started from another state is removed.

Rows
----
A record can be in several files of the directory. Only its newest row is loaded. A deleted record
is a row with its id and ``_deleted_time``, which dlt treats as a *hard delete*. With
``detect_deletions`` the source reads the ids from the destination, and requests each record that
the list no longer has.

Numbers are `Decimal` and become ``decimal(38, 6)``, exchange rates ``decimal(38, 9)``. The digits
of a number with more are in the column ``_exact`` of its row, as in other destinations
(`zoho_async.export.columns.numbers`). Times are instants. Blanks are NULL. A value that does not
fit the type of its column goes into one of dlt's variant columns. Custom fields and other observed
fields have the names and types of every destination (`zoho_async.export.columns.observed`), as far
as dlt's naming keeps them.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

import msgspec

from zoho_async._msgspec import describe
from zoho_async.description import Field, Kind, OperationFacts
from zoho_async.errors import MissingScope
from zoho_async.export.bookmark import Bookmark, bookmark_of, seed
from zoho_async.export.catalog import exportable, resolve
from zoho_async.export.checkpoint.store import LAYOUT
from zoho_async.export.columns.batch import ColumnReader, reader_of
from zoho_async.export.columns.numbers import PRECISION, SCALES, number_kind, parse, stored
from zoho_async.export.columns.observed import Observer, until_steady
from zoho_async.export.columns.schema import DELETED, EXACT, Observed, fields_of, shape_of
from zoho_async.export.destinations.directory import Directory
from zoho_async.export.errors import CheckpointRefused, library
from zoho_async.export.events import ResourceFailed
from zoho_async.export.job import Export
from zoho_async.export.options import ExportOptions
from zoho_async.export.resource_store import table_of
from zoho_async.runtime import Account, run_blocking, unattended
from zoho_async.wire.text import is_array, is_object, untyped_object

if TYPE_CHECKING:
    from dlt.sources import DltSource

#: The name of a column and the digits of its number.
_Exact: TypeAlias = tuple[str, str]

#: Rows per batch for dlt.
_ROWS: Final = 1_000

_TYPES: Final[dict[Kind, dict[str, Any]]] = {
    "id": {"data_type": "text"},
    "text": {"data_type": "text"},
    "integer": {"data_type": "bigint"},
    "boolean": {"data_type": "bool"},
    "date": {"data_type": "date"},
    "time": {"data_type": "timestamp"},
}


class _Start(msgspec.Struct, frozen=True):
    """The state that a directory started from, and its layout."""

    bookmark: Bookmark
    detects_deletions: bool
    layout: int = LAYOUT


class _SourceOptions(msgspec.Struct, frozen=True):
    """Options of all lists. ``named`` is true if the caller chose the lists."""

    organization: str | None
    account: Account
    detect_deletions: bool
    named: bool


def zoho(
    resources: Sequence[str] = (),
    *,
    organization: str | None = None,
    account: Account = unattended,
    detect_deletions: bool = False,
) -> DltSource:
    """The ``dlt`` source of an organization's lists, one dlt resource per list.

    ``resources`` are as for `Export`; the default is every list of Books that the token may read.
    ``account`` opens the session, by default from the environment or profile, with limits and
    tokens that outlive the process. ``organization`` overrides the session's organization.
    ``detect_deletions`` reads the lists in full and finds deleted records.

    Raises `MissingExtra` if dlt is not installed, and `UnknownResource`. During extraction it
    raises the errors of `Export`.
    """
    dlt = library("dlt", "dlt", "the dlt source")
    lists = resolve(resources, exportable())
    task = _SourceOptions(organization, account, detect_deletions, bool(resources))

    def made() -> list[Any]:
        return [_resource(dlt, facts, task) for facts in lists]

    return cast("DltSource", dlt.source(made, name="zoho")())


def _resource(dlt: Any, facts: OperationFacts, task: _SourceOptions) -> Any:
    name = facts.resource.replace(".", "_")
    fields = table_of(facts.resource, facts).fields
    merged = bool(facts.row_id)

    def rows() -> Iterator[list[dict[str, Any]]]:
        state: dict[str, Any] = dlt.current.resource_state()
        describe(Bookmark)
        bookmark = msgspec.convert(dict(state), Bookmark)
        if bookmark.organization:
            _check_layout(facts.resource, bookmark.layout)
        folder = Path(dlt.current.pipeline().working_dir) / "zoho" / facts.resource
        held = _held_ids(dlt, name, facts.row_id) if task.detect_deletions else ()
        _prepare_directory(folder, facts, _Start(bookmark, task.detect_deletions), held)
        organization = run_blocking(partial(_export, folder, facts, bookmark, task))
        if organization is None:
            return
        observed = _ObservedRows(facts, bookmark.observed)
        for batch in _batches(folder, facts):
            batch_rows, columns = observed.read(batch)
            hints = dlt.mark.make_hints(columns=columns)
            yield dlt.mark.with_hints(batch_rows, hints) if columns else batch_rows
        after = bookmark_of(folder, facts, organization, bookmark)
        after = msgspec.structs.replace(after, observed=observed.fields)
        state.clear()  # fields with default values are not written
        state.update(msgspec.to_builtins(after))

    return dlt.resource(
        rows,
        name=name,
        primary_key=facts.row_id or None,
        write_disposition="merge" if merged else "replace",
        columns=_columns(fields)
        | ({DELETED: {"data_type": "timestamp", "hard_delete": True}} if merged else {}),
        nested_hints=dict(_nested(fields)),
    )


def _check_layout(resource: str, held: int) -> None:
    """Raise `CheckpointRefused` if tables of another layout hold the rows."""
    if held != LAYOUT:
        raise CheckpointRefused(
            f"another version of zoho-async loaded the tables of {resource} (layout {held}, "
            f"but this version writes {LAYOUT}); rebuild them, which reads the list in full: "
            f'pipeline.run(zoho(["{resource}"]), refresh="drop_resources")'
        )


# -- the directory ----------------------------------------------------------------------------


def _prepare_directory(
    folder: Path, facts: OperationFacts, start: _Start, held: Sequence[str]
) -> None:
    """Keep a directory that started from ``start``, or replace it by a new one."""
    marker = folder / "start.json"
    encoded = msgspec.json.encode(start)
    if marker.exists() and marker.read_bytes() == encoded:
        return
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    if start.bookmark.organization:
        seed(folder, facts, start.bookmark, held)
    marker.write_bytes(encoded)


def _held_ids(dlt: Any, table: str, row_id: str) -> list[str]:
    """The ids that the destination holds."""
    pipeline = dlt.current.pipeline()
    if not row_id or table not in pipeline.default_schema.tables:
        return []
    with pipeline.sql_client() as client:
        name, column = client.make_qualified_table_name(table), client.escape_column_name(row_id)
        with client.execute_query(f"SELECT {column} FROM {name}") as cursor:
            return [str(one) for (one,) in cursor.fetchall()]


async def _export(
    folder: Path, facts: OperationFacts, bookmark: Bookmark, task: _SourceOptions
) -> str | None:
    """Update the directory. Return the organization's id, or None if the scope is missing."""
    async with task.account() as session:
        named = task.organization
        own = session if named is None else session.for_organization(named)
        if bookmark.organization and own.organization != bookmark.organization:
            raise CheckpointRefused(
                f"this pipeline holds {facts.resource} of organization {bookmark.organization}, "
                f"got organization {own.organization}: use another pipeline and dataset for it"
            )
        options = ExportOptions(detect_deletions=task.detect_deletions)
        async with Export(own, [facts.resource], to=folder, options=options) as job:
            async for event in job:
                if isinstance(event, ResourceFailed):
                    if isinstance(event.error, MissingScope) and not task.named:
                        return None
                    raise event.error
        return str(own.organization)


# -- rows -------------------------------------------------------------------------------------


class _ObservedRows:
    """Gives observed fields the columns that they have in every destination."""

    def __init__(self, facts: OperationFacts, fields: Observed) -> None:
        self._facts: Final = facts
        self._described: Final = shape_of(table_of(facts.resource, facts).fields, facts.row_id)
        self._observer: Final = Observer(fields)
        self._known: Final = {one.path for one in fields}

    @property
    def fields(self) -> Observed:
        return self._observer.fields

    def read(self, lines: Sequence[bytes]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """The rows of ``lines``, and hints for columns that they are the first to show."""
        read = until_steady(lambda: self._read(b"".join(lines)))
        names = {one.path: one.name for one in read.shape.columns}
        new = [one for one in self.fields if len(one.path) == 1]
        numbers = [Field(name=one.path[0], kind="decimal") for one in new if one.kind == "decimal"]
        described = [*self._facts.reply, *numbers]
        rows = [_with_exact(_without_blanks(untyped_object(line)), described) for line in lines]
        for one in new:
            _rename(rows, one.path[0], names[one.path])
        columns = _columns(
            [
                Field(name=names[one.path], kind=cast("Kind", one.kind))
                for one in new
                if one.path not in self._known
            ]
        )
        self._known.update(one.path for one in self.fields)
        return rows, columns

    def _read(self, lines: bytes) -> ColumnReader:
        reader = reader_of(self._described, self._observer)
        reader.read(lines)
        return reader


def _rename(rows: Sequence[dict[str, Any]], before: str, after: str) -> None:
    if before != after:
        for row in rows:
            if before in row:
                row[after] = row.pop(before)


def _batches(folder: Path, facts: OperationFacts) -> Iterator[list[bytes]]:
    """The newest row of each record in the directory, as lines."""
    files = Directory(folder).files(facts.resource)
    paths = [*reversed(files.parts()), *([files.full] if files.full.exists() else [])]
    seen: set[object] = set()
    for path in paths:
        has_older_files = path is not paths[-1]
        batch: list[bytes] = []
        with path.open("rb") as lines:
            for line in lines:
                identity = untyped_object(line).get(facts.row_id)
                if identity not in (None, ""):
                    if identity in seen:
                        continue
                    if has_older_files:
                        seen.add(identity)
                batch.append(line)
                if len(batch) == _ROWS:
                    yield batch
                    batch = []
        yield batch


def _without_blanks(row: Mapping[str, Any]) -> dict[str, Any]:
    cleaned = ((name, _clean(value)) for name, value in row.items())
    return {name: value for name, value in cleaned if value is not None}


def _clean(value: Any) -> Any:
    """``value`` without blanks at any depth, or None if it is blank."""
    if isinstance(value, str):
        return value if value.strip(" ") else None
    if isinstance(value, dict):
        return _without_blanks(value) or None  # pyright: ignore[reportUnknownArgumentType] # JSON
    if isinstance(value, list):
        elements = [_clean(one) for one in value]  # pyright: ignore[reportUnknownVariableType]
        return [one for one in elements if one is not None]
    return value


def _with_exact(row: dict[str, Any], fields: Sequence[Field]) -> dict[str, Any]:
    """``row`` with numbers as their columns hold them, and in ``_exact`` the digits that they lack.

    The same applies to the rows of its lists.
    """
    exact = dict(_round(row, fields))
    if exact:
        row[EXACT] = msgspec.json.encode(exact, order="sorted").decode()
    return row


def _round(row: dict[str, Any], fields: Sequence[Field], above: str = "") -> Iterator[_Exact]:
    """Round the numbers of ``row`` in place. Yield the digits of those that change."""
    for field in fields:
        value = row.get(field.name)
        if value is None:
            continue
        if field.kind == "decimal":
            yield from _round_one(row, field.name, value, above)
        elif field.kind == "object" and is_object(value):
            yield from _round(value, field.fields, f"{above}{field.name}__")
        elif field.kind == "list" and field.fields and is_array(value):
            for one in value:
                if is_object(one):
                    _with_exact(one, field.fields)


def _round_one(row: dict[str, Any], name: str, value: object, above: str) -> Iterator[_Exact]:
    text = str(value)
    number = None if isinstance(value, bool) else parse(text)
    if number is None:
        return
    cell, holds = stored(text, number, number_kind(name), "decimal")
    if not holds:
        yield above + name, text
    if cell is None:
        del row[name]
    elif not holds:
        row[name] = Decimal(cell)


# -- columns ----------------------------------------------------------------------------------


def _columns(fields: Sequence[Field], above: str = "") -> dict[str, dict[str, Any]]:
    """dlt's column hints for plain fields, including fields of objects."""
    found: dict[str, dict[str, Any]] = {}
    for field in fields:
        name = above + field.name
        if field.kind == "object":
            found |= _columns(field.fields, name + "__")
        elif field.kind == "decimal":
            scale = SCALES[number_kind(field.name)]
            decimal = {"data_type": "decimal", "precision": PRECISION, "scale": scale}
            found[name] = {"name": name, **decimal}
        elif field.kind in _TYPES:
            found[name] = {"name": name, **_TYPES[field.kind]}
    return found


def _nested(
    fields: Sequence[Field], above: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """dlt's hints for the child tables of lists in rows, by path."""
    for field in fields:
        path = (*above, field.name)
        if field.kind == "object":
            inside = (*above, field.name)
            yield from _nested(field.fields, inside)
        elif field.kind == "list" and (inside_fields := fields_of(field)):
            yield path, {"columns": _columns(inside_fields)}
            yield from _nested(inside_fields, path)
