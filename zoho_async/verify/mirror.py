"""Read the tables of a finished export back, with every digit.

Model
-----
A mirror is a destination of an export with its checkpoint. `read_mirror` locks it like a run,
reads the fields that a comparison needs, and releases it. All values are text: a number has the
digits that Zoho sent (the column, or ``_exact``), a blank is "". Records that are marked deleted
are left out.

Invariant
---------
A row that is returned is a live row of the table, and every live row is returned once. Rows that
the export did not write, or wrote and that are gone, are named by comparing the ids with the
checkpoint's record index.

Why it holds
------------
The lock keeps exports out. The record index has each id that an export wrote, in the same
transaction or before the file got its final name. A deleted record leaves both.

Unknown
-------
Values that a person changed in place: the index has no values. The comparison with Zoho finds them.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final, cast

import msgspec

from zoho_async._msgspec import decoder_of
from zoho_async.export.catalog import children, list_operation, row_facts
from zoho_async.export.checkpoint import children as child_index
from zoho_async.export.checkpoint import records
from zoho_async.export.checkpoint.records import key
from zoho_async.export.checkpoint.store import Checkpoint, ResourceState
from zoho_async.export.columns.schema import DELETED, EXACT, EXTRA, short_name
from zoho_async.export.destinations.base import Database, Destination, OpenDestination, Origin
from zoho_async.export.destinations.database import OpenDatabase
from zoho_async.export.destinations.directory import Directory, OpenDirectory
from zoho_async.export.destinations.engine import Engine, quote
from zoho_async.export.destinations.formats import Csv, Parquet
from zoho_async.export.destinations.merge import Readable
from zoho_async.export.destinations.remote.commits import OpenRemote
from zoho_async.export.errors import CheckpointRefused, library
from zoho_async.paging.list_defaults import default_of
from zoho_async.verify.tables import NUMBERS
from zoho_async.wire import row_id

#: Zoho's clock and ours may differ by so many seconds.
CLOCK_MARGIN: Final = 300.0

_RAWS: Final = decoder_of(dict[str, msgspec.Raw])
#: Of a list whose end cannot be checked, every record that was shown was read.
_COMPLETE: Final = ("proven", "uncheckable", None)
_FINISHED: Final = ("resting", "complete")


class MirrorTable(msgspec.Struct, frozen=True, kw_only=True):
    """The live rows of a list: ``fields`` of them, as text.

    ``unusable`` says why it cannot be compared with Zoho, "" if it can. Rows were read if it is
    ``readable``. ``absent`` are fields that the table does not have. A record that changed at or
    after ``read_at`` (seconds since 1970) may be newer than its row. ``unknown`` are ids of rows
    that no export wrote, ``missing`` are ids that it wrote and that are gone, ``repeated`` are ids
    of more than one row. ``views`` are the values of ``filter_by`` with which the list was read, ""
    for none. The table ``hides`` records if the last run read changes alone, without those that the
    list leaves out by default. ``digest`` is that of `digest_of`.
    """

    resource: str
    fields: tuple[str, ...]
    rows: tuple[Mapping[str, str], ...] = ()
    unusable: str = ""
    readable: bool = False
    absent: tuple[str, ...] = ()
    read_at: float = 0.0
    views: tuple[str, ...] = ("",)
    hides: bool = False
    unknown: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    repeated: tuple[str, ...] = ()
    digest: str = ""


class Mirror(msgspec.Struct, frozen=True, kw_only=True):
    """What was read from the destination ``name``. ``tables`` are by the name of the list."""

    name: str
    organization: str
    host: str
    tables: Mapping[str, MirrorTable]


def read_mirror(destination: Destination, fields: Mapping[str, Sequence[str]]) -> Mirror:
    """Read the exported lists of ``destination``. Blocks.

    ``fields`` are the fields to read, by list. Of other lists only the ids are read. Raises
    `CheckpointRefused` if it holds no finished export or cannot be read back, `ExportRunning`, and
    `DestinationError`.
    """
    with destination.read_only() as query:
        if query is None:
            raise CheckpointRefused(
                f"{destination.name} holds no export: name what was given to --to of the export"
            )
    with closing(destination.open()) as place:
        checkpoint = Checkpoint.open(place.database, None, name=place.name)
        origin = _origin(place.database, place.name)
        known = row_facts()
        tables = {
            state.name: _table(place, state, tuple(fields.get(state.name, ())))
            for state in checkpoint.states()
            if state.name in known
        }
    return Mirror(
        name=destination.name, organization=origin.organization, host=origin.host, tables=tables
    )


def _origin(database: Database, name: str) -> Origin:
    rows = database.execute("SELECT organization, host FROM _zoho_place")
    if not rows:
        raise CheckpointRefused(f"{name} holds no export: run `zoho-async export` first")
    return Origin(*rows[0])


def _table(place: OpenDestination, state: ResourceState, wanted: tuple[str, ...]) -> MirrorTable:
    facts = row_facts()[state.name]
    identity = facts.row_id
    others = tuple(name for name in dict.fromkeys(wanted) if name != identity)
    fields = (identity, *others)
    if unreadable := _unreadable(state, identity):
        return MirrorTable(resource=state.name, fields=fields, unusable=unreadable)
    found = list(_rows(place, state, identity, fields))
    for name in NUMBERS.intersection(fields):
        for row in found:
            if name in row:
                row[name] = _number(row[name])
    ids = Counter(row[identity] for row in found)
    index = set(_indexed(place.database, state))
    absent = set(fields).difference(*found) if found else set[str]()
    for row in found:
        row |= dict.fromkeys(absent, "")
    return MirrorTable(
        resource=state.name,
        fields=fields,
        rows=tuple(found),
        unusable=_unusable(state),
        readable=True,
        absent=tuple(sorted(absent)),
        read_at=(state.part.begun or 0.0) - CLOCK_MARGIN,
        views=_views(state),
        hides=_hides(state),
        unknown=tuple(sorted(ids.keys() - index)),
        missing=tuple(sorted(index - ids.keys())),
        repeated=tuple(sorted(one for one, count in ids.items() if count > 1)),
        digest=digest_of(fields, found),
    )


def _unreadable(state: ResourceState, identity: str) -> str:
    """Why the ids of a list cannot be compared with its index, or ""."""
    if not state.bookmark.finished or state.status not in _FINISHED:
        return "its export is not finished: run it again"
    if state.shape:  # perhaps its ids were hashed
        return "its columns were chosen, hashed or masked"
    return "" if identity else "its rows have no ids"


def _unusable(state: ResourceState) -> str:
    """Why the rows of a list cannot be compared with Zoho, or ""."""
    request: dict[str, Any] = json.loads(state.bookmark.request or "{}")
    if request.get("filters") or request.get("since"):
        return "it was exported with a filter"
    if state.part.mode == "feed":
        return "its last run read what the change feed names: export without --change-feed"
    for result in (state.bookmark.completeness, state.passes.completeness):
        if result not in _COMPLETE:
            return f"its export is not proven complete ({result}): run it again"
    details = state.details
    refreshed = details.refresh_since == 0.0 and details.refresh_begins
    if state.name in children() and state.part.mode != "full" and not refreshed:
        return "it is older than its parents: export with --full or --refresh-children all"
    return ""


def _views(state: ResourceState) -> tuple[str, ...]:
    facts = row_facts()[state.name]
    default = default_of(facts.product, facts.path)
    if default is None:
        return ("",)
    held = {name for name, what in state.bookmark.capabilities.values.items() if what == "holds"}
    first = default.every if default.every in held else ""
    return (first, *(value for value in default.further if value in held))


def _hides(state: ResourceState) -> bool:
    facts = row_facts()[state.name]
    alone = state.part.mode == "changed" and not state.bookmark.capabilities.combined
    return alone and default_of(facts.product, facts.path) is not None


def _indexed(database: Database, state: ResourceState) -> Iterator[str]:
    table = child_index.TABLE if state.name in children() else records.TABLE
    rows = database.execute(f"SELECT id FROM {table} WHERE resource = {state.number:d}")
    return (one for (one,) in rows)


def digest_of(fields: Sequence[str], rows: Iterable[Mapping[str, str]]) -> str:
    """The SHA-256 of rows: a JSON array of ``fields`` per row, sorted, each with a line break.

    It does not depend on the kind of the destination, because numbers are written without trailing
    zeros and an empty value is "".
    """
    total = hashlib.sha256()
    texts = (json.dumps([row.get(name, "") for name in fields], ensure_ascii=False) for row in rows)
    for text in sorted(texts):
        total.update(text.encode("utf-8", "surrogatepass") + b"\n")
    return total.hexdigest()


# -- kinds of destinations ----------------------------------------------------------------------


def _rows(
    place: OpenDestination, state: ResourceState, identity: str, fields: Sequence[str]
) -> Iterable[dict[str, str]]:
    if isinstance(place, OpenDatabase):
        return _from_database(place.database, state.name, fields)
    if isinstance(place, OpenDirectory | OpenRemote):
        with place.local_copy(state.name) as directory:
            return list(_from_files(directory, state.name, identity, fields))
    raise CheckpointRefused(
        f"{place.name} cannot be read back: verify an export to a directory or a database"
    )


def _from_database(
    engine: Engine, resource: str, fields: Sequence[str]
) -> Iterator[dict[str, str]]:
    table = short_name(resource.replace(".", "_"))
    there = engine.columns(table)
    if not there:
        return
    names = [name for name in (*fields, EXACT, EXTRA) if name in there]
    live = f" WHERE {quote(DELETED)} IS NULL" if DELETED in there else ""
    for cells in engine.execute(f"SELECT {', '.join(map(quote, names))} FROM {quote(table)}{live}"):
        yield _row_of_cells(dict(zip(names, cells, strict=True)), fields)


def _row_of_cells(cells: dict[str, Any], fields: Sequence[str]) -> dict[str, str]:
    """The texts of a row's cells, with the digits in ``_exact`` and the values in ``_extra``."""
    exact = _object(cells.pop(EXACT, None))
    extra = _object(cells.pop(EXTRA, None))
    row = {name: _text(value) for name, value in cells.items()}
    if extra:
        held = (name for name in fields if name in extra and not row.get(name))
        row |= {name: _text(extra[name]) for name in held}
    if exact:
        row |= {name: _text(Decimal(str(value))) for name, value in exact.items()}
    return row


def _object(text: Any) -> dict[str, Any]:
    if not isinstance(text, str) or not text:
        return {}
    found: Any = json.loads(text, parse_float=Decimal)
    return cast(dict[str, Any], found) if isinstance(found, dict) else {}


def _from_files(
    directory: Directory, resource: str, identity: str, fields: Sequence[str]
) -> Iterator[dict[str, str]]:
    """The last version of each row: the full file, then the changes, the oldest first."""
    files = directory.files(resource)
    changed: dict[str, dict[str, str] | None] = {}
    for part in files.parts():
        changed |= dict(_from_file(directory, resource, part, identity, fields))
    used: set[str] = set()
    if files.full.is_file():
        for own, row in _from_file(directory, resource, files.full, identity, fields):
            used.add(own)
            latest = changed.get(own, row)
            if latest is not None:
                yield latest
    yield from (row for own, row in changed.items() if own not in used and row is not None)


def _from_file(
    directory: Directory, resource: str, path: Path, identity: str, fields: Sequence[str]
) -> Iterator[tuple[str, dict[str, str] | None]]:
    """The id and the row of each line of a file; None for a record that is marked deleted."""
    if isinstance(directory.format, Csv | Parquet):
        for cells in _cells(path, directory.format, fields):
            deleted = _text(cells.pop(DELETED, None))
            row = _row_of_cells(cells, fields)
            yield row[identity], None if deleted else row
        return
    operation = list_operation(row_facts()[resource])
    for line in _lines(directory, path):
        values = _RAWS.decode(line)
        own = key(row_id(operation, line), line)
        if len(values) == 2 and DELETED in values:
            yield own, None
            continue
        row = {name: text_of_json(values[name]) for name in fields if name in values}
        # Zoho leaves out blanks, so a field that no row has may still be in the table.
        yield own, dict.fromkeys(fields, "") | row | {identity: own}


def _lines(directory: Directory, path: Path) -> Iterable[bytes]:
    if directory.format is None:
        with path.open("rb") as file:
            yield from file
    elif isinstance(directory.format, Readable):
        yield from directory.format.read(path)
    else:
        raise CheckpointRefused(f"{path} cannot be read back: verify another format")


def _cells(path: Path, format: Csv | Parquet, fields: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The wanted cells of each row of a file; a column that the file lacks is left out."""
    wanted = {*fields, DELETED, EXACT, EXTRA}
    if isinstance(format, Parquet):
        parquet: Any = library("pyarrow.parquet", "parquet", "reading Parquet")
        with parquet.ParquetFile(path, pre_buffer=False) as file:
            names = [name for name in file.schema_arrow.names if name in wanted]
            for batch in file.iter_batches(columns=names, use_threads=False):
                yield from batch.to_pylist()
        return
    if "--excel" in format.name:  # values were changed for Excel
        raise CheckpointRefused(f"{path} was written for Excel: verify an export without --excel")
    with path.open(encoding="utf-8", newline="") as text:
        for row in csv.DictReader(text, strict=True):
            yield {name: cell for name, cell in row.items() if name in wanted}


def text_of_json(raw: msgspec.Raw) -> str:
    data = bytes(raw)
    if data[:1] == b'"':
        return decoder_of(str).decode(data).strip()
    if data in (b"null", b"true", b"false"):
        return data.decode() if data != b"null" else ""
    return _number(data.decode())


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _number(repr(value))
    if isinstance(value, int | Decimal):
        return _number(str(value))
    return str(value).strip()


def _number(text: str) -> str:
    """A number without trailing zeros and without an exponent."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        return text
    if not value.is_finite() or abs(value.adjusted()) > 60:
        return text
    plain = f"{value:f}"
    plain = plain.rstrip("0").rstrip(".") if "." in plain else plain
    return "0" if plain == "-0" else plain
