"""Parse the value of ``--to`` into a destination.

postgresql://user@host/name      a PostgreSQL database
duckdb:PATH, or PATH.duckdb      a DuckDB file
sqlite:PATH, or PATH.sqlite, PATH.sqlite3, PATH.db
s3://bucket/path, gs://..., abfs://...   files in an object store, in a format
any other path                   a directory of files in a format

With several organizations each gets a separate place: a subdirectory, a PostgreSQL schema
``zoho_10234695``, or a database file ``books-10234695.db`` for ``books.db``. So each has its own
checkpoint and lock, and can be exported alone.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from zoho_async.errors import ConfigurationError
from zoho_async.export.destinations import DuckDb, PostgreSql, Sqlite
from zoho_async.export.destinations.base import Destination
from zoho_async.export.destinations.directory import (
    JSON_LINES,
    SUFFIXES,
    Directory,
    Format,
    recorded_format,
)
from zoho_async.export.destinations.formats import Csv, Gzip, Parquet, Zstandard
from zoho_async.export.destinations.remote import Remote
from zoho_async.export.destinations.remote.store import is_remote
from zoho_async.export.errors import ExportError
from zoho_async.http.file_names import component

#: The constructor of each format. JSON Lines need none, because rows are kept as they come.
FORMATS: Final[Mapping[str, Callable[[], Format] | None]] = {
    "jsonl": None,
    "jsonl.gz": Gzip,
    "jsonl.zst": Zstandard,
    "csv": Csv,
    "parquet": Parquet,
}

_ENDINGS: Final[dict[str, Callable[[Path], Destination]]] = {
    ".duckdb": DuckDb,
    ".sqlite": Sqlite,
    ".sqlite3": Sqlite,
    ".db": Sqlite,
}
_PREFIXES: Final[dict[str, Callable[[Path], Destination]]] = {"duckdb": DuckDb, "sqlite": Sqlite}
_SCHEME: Final = re.compile(r"([a-z][a-z0-9+.-]+)://")


class UnknownDestination(ExportError, ConfigurationError):
    """``--to``, ``--format`` or ``--flatten`` is invalid."""


def open_destination(
    to: str | os.PathLike[str],
    format: str | None = None,
    flatten: bool = False,
    *,
    organization: str | None = None,
) -> Destination:
    """Return the destination that ``to`` names, without opening it.

    ``format`` is the file format of a directory. The default is the format of its existing files,
    or JSON Lines for a new directory. ``flatten`` writes child tables to separate files.
    ``organization`` selects the separate place of one of several organizations. Raises
    `UnknownDestination`, `MissingExtra`, or `DestinationError` for an invalid address.
    """
    text = os.fspath(to)
    if is_remote(text):
        return _remote(text, organization, format, flatten=flatten)
    database = _database(text, organization)
    if database is None:
        path = Path(text, component(organization)) if organization else Path(text)
        return _directory(path, format, flatten=flatten)
    if format is not None or flatten:
        raise UnknownDestination(
            f"--format and --flatten are for directories, and {database.name} is a database: "
            "remove these options, or name a directory"
        )
    return database


def _database(text: str, organization: str | None) -> Destination | None:
    if re.match(r"postgres(ql)?://", text):
        return PostgreSql(text, schema=f"zoho_{component(organization)}" if organization else None)
    scheme = _SCHEME.match(text)
    if scheme:  # the rest may hold a password, so it is not repeated
        raise UnknownDestination(
            f"unknown destination {scheme[1]}://...: use postgresql://user@host/name, "
            "duckdb:PATH, sqlite:PATH, s3://bucket/path or a directory"
        )
    prefix, colon, path = text.partition(":")
    if colon and prefix in _PREFIXES:
        if not path:
            raise UnknownDestination(f"{prefix}: needs a path, for example {prefix}:books.{prefix}")
        return _PREFIXES[prefix](_path_for_organization(Path(path), organization))
    make = _ENDINGS.get(Path(text).suffix.lower())
    if make is None or Path(text).is_dir():
        return None
    return make(_path_for_organization(Path(text), organization))


def _remote(
    address: str, organization: str | None, format: str | None, *, flatten: bool
) -> Destination:
    if address.lower().endswith((*_ENDINGS, *SUFFIXES)):  # a password in it is not repeated
        raise UnknownDestination(
            f"an address that ends in {Path(address).suffix} would be a folder with that name: "
            "name a folder, and choose its files with --format"
        )
    if organization:
        address = f"{address.rstrip('/')}/{component(organization)}"
    return Remote(address, lambda path: _directory(path, format, flatten=flatten))


def _path_for_organization(path: Path, organization: str | None) -> Path:
    if not organization:
        return path
    return path.with_name(f"{path.stem}-{component(organization)}{path.suffix}")


def _directory(path: Path, format: str | None, *, flatten: bool) -> Directory:
    held, _, option = (recorded_format(path) or JSON_LINES).partition(" ")
    if format is None and option:
        flatten = True
    name = (format or held).lower()
    if name not in FORMATS:
        raise UnknownDestination(f"unknown format {name!r}: use one of {', '.join(FORMATS)}")
    if flatten and name != "parquet":
        raise UnknownDestination(
            f"--flatten works only with --format parquet, got {name}: other files hold each row "
            "whole, and databases always have child tables"
        )
    make = FORMATS[name]
    finish_file = Parquet(flatten=flatten) if flatten else make() if make else None
    return Directory(path, finish_file)
