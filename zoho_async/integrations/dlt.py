"""A `dlt <https://dlthub.com>`_ source: an organization in any warehouse that dlt loads into::

    import dlt
    from zoho_async.integrations.dlt import zoho

    pipeline = dlt.pipeline("zoho", destination="duckdb", dataset_name="books")
    pipeline.run(zoho(["invoices", "contacts"]))

**Who does what.** An `Export` reads the lists, with all that it knows of limits, capabilities and
proofs; dlt carries the rows. In between lies a directory of files below the pipeline's working
directory. Tables are called ``books_invoices``, lists within rows are child tables.

**What makes it exact.** dlt commits the state of a resource together with its rows, so the state
names the *watermark* that the rows of one load lead to (`zoho_async.export.incremental`), and the
next load reads from there. The directory holds *everything since the state that it was begun from*,
and it is kept until the state has moved on. So an end in between, wherever it is, costs no call
twice: the next run finds the state where it was, goes on with the directory, and loads all of it. A
directory that was begun from another state is thrown away.

Within a load a record may stand in several files of the directory. The newest row counts; older
ones are left out. A deleted record is a row with its id and ``_deleted_time``, which dlt takes as
a *hard delete*. With ``detect_deletions`` the ids that the destination holds are read
from it, and each that the list no longer has is asked about.

**Exactness of values.** Amounts go through as `Decimal` and land as ``decimal(38, 12)``, times as
instants; blanks are NULL. A value that does not fit its described type lands in a column of its own
(dlt's variant columns), not in none.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from zoho_async._msgspec import describe
from zoho_async.description import Field, Kind, OperationFacts
from zoho_async.errors import MissingScope
from zoho_async.export.bookmark import Bookmark, reached_by, seed
from zoho_async.export.catalog import exportable, resolve
from zoho_async.export.columns.decode import PRECISION, SCALE
from zoho_async.export.columns.schema import DELETED
from zoho_async.export.destinations.directory import Directory
from zoho_async.export.errors import CheckpointRefused
from zoho_async.export.events import ResourceFailed
from zoho_async.export.job import Export
from zoho_async.export.optional import library
from zoho_async.runtime import Account, alone, unattended
from zoho_async.wire.text import untyped_object

if TYPE_CHECKING:
    from dlt.sources import DltSource

#: Rows that are handed to dlt at once.
_ROWS: Final = 1_000

_TYPES: Final[dict[Kind, dict[str, Any]]] = {
    "id": {"data_type": "text"},
    "text": {"data_type": "text"},
    "decimal": {"data_type": "decimal", "precision": PRECISION, "scale": SCALE},
    "integer": {"data_type": "bigint"},
    "boolean": {"data_type": "bool"},
    "date": {"data_type": "date"},
    "time": {"data_type": "timestamp"},
}


class _Begun(msgspec.Struct, frozen=True):
    """What a directory was begun from."""

    reached: Bookmark
    swept: bool


class _Task(msgspec.Struct, frozen=True):
    """What is asked of every list; ``named`` says that somebody chose the lists."""

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
    """The ``dlt`` source of an organization's lists, one resource each.

    ``resources`` are as for `Export`; none means every list of Books that the token may read.
    ``account`` opens the session that is used (by default that of the environment or profile, with
    limits and tokens that outlive the process), ``organization`` names another than that one's.
    ``detect_deletions`` reads the lists whole and finds deleted records. Raises `MissingExtra`
    without dlt and `UnknownResource`; and while dlt extracts, what `Export` raises.
    """
    dlt = library("dlt", "dlt", "the dlt source")
    lists = resolve(resources, exportable())
    task = _Task(organization, account, detect_deletions, bool(resources))

    def made() -> list[Any]:
        return [_resource(dlt, facts, task) for facts in lists]

    return cast("DltSource", dlt.source(made, name="zoho")())


def _resource(dlt: Any, facts: OperationFacts, task: _Task) -> Any:
    name = facts.resource.replace(".", "_")
    merged = bool(facts.row_id)

    def rows() -> Iterator[list[dict[str, Any]]]:
        state: dict[str, Any] = dlt.current.resource_state()
        describe(Bookmark)
        reached = msgspec.convert(dict(state), Bookmark)
        folder = Path(dlt.current.pipeline().working_dir) / "zoho" / facts.resource
        held = _held_ids(dlt, name, facts.row_id) if task.detect_deletions else ()
        _begin(folder, facts, _Begun(reached, task.detect_deletions), held)
        of = alone(partial(_export, folder, facts, reached, task))
        if of is None:
            return
        yield from _portions(folder, facts)
        state.clear()  # what is left out must not stay
        state.update(msgspec.to_builtins(reached_by(folder, facts, of, reached)))

    return dlt.resource(
        rows,
        name=name,
        primary_key=facts.row_id or None,
        write_disposition="merge" if merged else "replace",
        columns=_columns(facts.reply)
        | ({DELETED: {"data_type": "timestamp", "hard_delete": True}} if merged else {}),
        nested_hints=dict(_nested(facts.reply)),
    )


# -- the directory ----------------------------------------------------------------------------


def _begin(folder: Path, facts: OperationFacts, begun: _Begun, held: Sequence[str]) -> None:
    """A directory that holds what came since ``begun``: the one that is there, or a new one."""
    note = folder / "begun.json"
    encoded = msgspec.json.encode(begun)
    if note.exists() and note.read_bytes() == encoded:
        return
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    if begun.reached.organization:
        seed(folder, facts, begun.reached, held)
    note.write_bytes(encoded)


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
    folder: Path, facts: OperationFacts, reached: Bookmark, task: _Task
) -> str | None:
    """Bring the directory to now; the organization's id, or None where that is not allowed."""
    async with task.account() as session:
        named = task.organization
        own = session if named is None else session.for_organization(named)
        if reached.organization and own.organization != reached.organization:
            raise CheckpointRefused(
                f"this pipeline holds {facts.resource} of organization {reached.organization}, "
                f"and {own.organization} is asked for; give that one a dataset of its own"
            )
        async with Export(
            own, [facts.resource], to=folder, detect_deletions=task.detect_deletions
        ) as job:
            async for event in job:
                if isinstance(event, ResourceFailed):
                    if isinstance(event.error, MissingScope) and not task.named:
                        return None
                    raise event.error
        return str(own.organization)


# -- rows -------------------------------------------------------------------------------------


def _portions(folder: Path, facts: OperationFacts) -> Iterator[list[dict[str, Any]]]:
    """All rows of the directory, the newest row of each record."""
    files = Directory(folder).files(facts.resource)
    paths = [*reversed(files.parts()), *([files.full] if files.full.exists() else [])]
    told: set[object] = set()
    for path in paths:
        several = path is not paths[-1]
        portion: list[dict[str, Any]] = []
        with path.open("rb") as lines:
            for line in lines:
                row = _without_blanks(untyped_object(line))
                identity = row.get(facts.row_id)
                if identity is not None:
                    if identity in told:
                        continue
                    if several:
                        told.add(identity)
                portion.append(row)
                if len(portion) == _ROWS:
                    yield portion
                    portion = []
        yield portion


def _without_blanks(row: Mapping[str, Any]) -> dict[str, Any]:
    cleaned = ((name, _cleaned(value)) for name, value in row.items())
    return {name: value for name, value in cleaned if value is not None}


def _cleaned(value: Any) -> Any:
    """A value without blanks at any depth; None for one that is blank."""
    if isinstance(value, str):
        return value if value.strip(" ") else None
    if isinstance(value, dict):
        return _without_blanks(value) or None  # pyright: ignore[reportUnknownArgumentType] # JSON
    if isinstance(value, list):
        elements = [_cleaned(one) for one in value]  # pyright: ignore[reportUnknownVariableType]
        return [one for one in elements if one is not None]
    return value


# -- columns ----------------------------------------------------------------------------------


def _columns(fields: Sequence[Field], above: str = "") -> dict[str, dict[str, Any]]:
    """dlt's hints for plain fields, those within objects among them."""
    found: dict[str, dict[str, Any]] = {}
    for field in fields:
        name = above + field.name
        if field.kind == "object":
            found |= _columns(field.fields, name + "__")
        elif field.kind in _TYPES:
            found[name] = {"name": name, **_TYPES[field.kind]}
    return found


def _nested(
    fields: Sequence[Field], above: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """dlt's hints for the tables of lists within rows, by the path to each."""
    for field in fields:
        path = (*above, field.name)
        if field.kind == "object":
            inside = (*above, field.name)
            yield from _nested(field.fields, inside)
        elif field.kind == "list" and field.fields:
            yield path, {"columns": _columns(field.fields)}
            yield from _nested(field.fields, path)
