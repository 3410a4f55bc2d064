"""Databases as destinations: rows, children and state in one place and one transaction.

Each table holds the current state of its resource, upserted by id (see `sink`); an `Engine` is what
the three differ in.
"""

from zoho_async.export.destinations.duckdb import DuckDb
from zoho_async.export.destinations.postgresql import PostgreSql
from zoho_async.export.destinations.sqlite import Sqlite

__all__ = ["DuckDb", "PostgreSql", "Sqlite"]
