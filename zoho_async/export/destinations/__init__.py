"""Database destinations: rows, children and checkpoint in one transaction.

Each table holds the current state of its resource, upserted by id (`database`). An `Engine` covers
the differences between the three databases.
"""

from zoho_async.export.destinations.duckdb import DuckDb
from zoho_async.export.destinations.postgresql import PostgreSql
from zoho_async.export.destinations.sqlite import Sqlite

__all__ = ["DuckDb", "PostgreSql", "Sqlite"]
