"""Store the observed fields of each resource (`zoho_async.export.columns.observed`).

They change in the transaction that writes the rows which show them. A file destination learns them
when it converts the rows of a part, and stores them before it removes the rows.
"""

from __future__ import annotations

from typing import Final

import msgspec

from zoho_async._msgspec import decoder_of
from zoho_async.export.columns.schema import Observed
from zoho_async.export.destinations.base import Database
from zoho_async.export.errors import CheckpointRefused
from zoho_async.wire.text import UNDECODABLE

TABLE: Final = "_zoho_observed"
SCHEMA: Final = (
    f"CREATE TABLE IF NOT EXISTS {TABLE} (resource BIGINT NOT NULL, fields TEXT NOT NULL,"
    " PRIMARY KEY (resource))"
)
_FIELDS: Final = decoder_of(Observed)


def load(database: Database, resource: int) -> Observed:
    """Return the observed fields of resource number ``resource``. Raises `CheckpointRefused`."""
    rows = database.execute(f"SELECT fields FROM {TABLE} WHERE resource = ?", (resource,))
    try:
        return _FIELDS.decode(rows[0][0]) if rows else ()
    except UNDECODABLE as problem:
        raise CheckpointRefused(
            f"the columns in the checkpoint are damaged ({problem}); remove this export and make "
            "it again, or choose another place"
        ) from problem


def save(database: Database, resource: int, fields: Observed) -> None:
    """Store the observed fields of a resource within the caller's transaction."""
    text = msgspec.json.encode(fields).decode()
    # PostgreSQL holds no NUL, which JSON writes as an escape.
    database.upsert(TABLE, ("resource",), ("resource", "fields"), [(resource, text)])


def forget(database: Database, resource: int) -> None:
    """Remove the observed fields of a resource within the caller's transaction."""
    database.execute(f"DELETE FROM {TABLE} WHERE resource = ?", (resource,))
