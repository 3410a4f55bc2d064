"""Copy what the checkpoint knows of one list into a SQLite file, and back.

Of every table of the checkpoint that has a column ``resource``, the file has the rows of the list.
The state of the list is in the manifest. So a list that is complete can be committed while others
are half read, and each list continues on another machine where it was last committed.

Every function blocks. None may be called in a transaction.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from zoho_async.export.checkpoint.file import StateFile
from zoho_async.export.checkpoint.store import (
    LAYOUT,
    PLACE,
    PLACE_COLUMNS,
    Checkpoint,
    ResourceState,
)
from zoho_async.export.destinations.directory import FOLDER
from zoho_async.export.destinations.engine import quote
from zoho_async.export.destinations.remote.manifest import Manifest

#: The folder of snapshots in the store.
CHECKPOINTS: Final = f"{FOLDER}/checkpoint"


def snapshot_path(resource: str, token: str) -> str:
    """Return the path in the store of the snapshot of a list."""
    return f"{CHECKPOINTS}/{resource}.{token}.sqlite"


def write_snapshot(database: StateFile, state: ResourceState, file: Path) -> None:
    """Write the rows of one list into the new ``file``."""
    with _attach(database, file):
        for table in _tables(database, "main"):
            database.execute(
                f"CREATE TABLE snapshot.{quote(table)} AS"
                f" SELECT * FROM main.{quote(table)} WHERE resource = ?",
                (state.number,),
            )


def read_snapshot(database: StateFile, state: ResourceState, file: Path) -> None:
    """Add the state and the rows of one list from ``file``."""
    with _attach(database, file), database.transaction():
        ours = set(_tables(database, "main"))
        for table in _tables(database, "snapshot"):
            if table in ours:
                database.execute(
                    f"INSERT INTO main.{quote(table)} SELECT * FROM snapshot.{quote(table)}"
                    " WHERE resource = ?",
                    (state.number,),
                )
        Checkpoint(database, "").put(state)


def clear(database: StateFile) -> None:
    """Remove everything that the checkpoint knows."""
    with database.transaction():
        for (table,) in database.execute(
            "SELECT name FROM main.sqlite_master WHERE type = 'table' AND name LIKE '\\_zoho\\_%'"
            " ESCAPE '\\'"
        ):
            database.execute(f"DROP TABLE main.{quote(table)}")


def states_in(manifest: Manifest) -> dict[str, ResourceState]:
    """Return the states of the lists in a manifest; none if another version wrote them."""
    if manifest.form != LAYOUT:
        return {}
    return {
        name: msgspec.convert(committed.state, ResourceState)
        for name, committed in manifest.lists.items()
    }


def enter_origin(database: StateFile, manifest: Manifest) -> None:
    """Store the source of the export, and its run. The checkpoint is empty."""
    Checkpoint.open(database, None, name="")  # creates its tables
    values = (manifest.form, manifest.organization, manifest.host, manifest.run, manifest.stamp)
    with database.transaction():
        database.insert(PLACE, PLACE_COLUMNS, [values])


def with_origin(database: StateFile, manifest: Manifest) -> Manifest:
    """Return the manifest with the source and the run that the checkpoint has now.

    Lists that another version of the checkpoint's tables wrote are left out.
    """
    if not database.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (PLACE,)):
        return manifest  # the run was refused before it wrote anything
    rows = database.execute(f"SELECT {', '.join(PLACE_COLUMNS)} FROM {PLACE}")
    if not rows:
        return manifest
    form, organization, host, run, stamp = rows[0]
    lists = manifest.lists if form == manifest.form else {}
    return msgspec.structs.replace(
        manifest,
        form=form,
        organization=organization,
        host=host,
        run=run,
        stamp=stamp,
        lists=lists,
    )


def _tables(database: StateFile, schema: str) -> list[str]:
    """Return the tables that have a column ``resource``."""
    rows = database.execute(
        f"SELECT t.name FROM {schema}.sqlite_master t, pragma_table_info(t.name, '{schema}') c"
        " WHERE t.type = 'table' AND c.name = 'resource' ORDER BY t.name"
    )
    return [name for (name,) in rows]


@contextmanager
def _attach(database: StateFile, file: Path) -> Generator[None]:
    database.execute("ATTACH ? AS snapshot", (str(file),))
    try:
        database.execute("PRAGMA snapshot.synchronous = OFF")
        database.execute("PRAGMA snapshot.journal_mode = OFF")
        yield
    finally:
        database.execute("DETACH snapshot")
