"""What a person writes after ``--to``, as a destination.

postgresql://user@host/name      a PostgreSQL database
duckdb:PATH, or PATH.duckdb      a DuckDB file
sqlite:PATH, or PATH.sqlite, PATH.sqlite3, PATH.db
any other path                   a directory of files in a format

Of several organizations each has a place of its own below that: a directory in the directory, a
schema ``zoho_10234695`` in PostgreSQL, and for the databases that are files ``books-10234695.db``
in place of ``books.db``. So each has its own state and lock, and can be exported alone.
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
from zoho_async.export.destinations.directory import JSON_LINES, Directory, Format, recorded_format
from zoho_async.export.destinations.formats import Csv, Gzip, Parquet, Zstandard
from zoho_async.export.errors import ExportError
from zoho_async.http.file_names import component

#: What each format is made by; JSON Lines are the rows as they come.
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
    """What was given names no destination, or not in that form."""


def open_destination(
    to: str | os.PathLike[str],
    format: str | None = None,
    flatten: bool = False,
    *,
    organization: str | None = None,
) -> Destination:
    """The destination that ``to`` names; nothing is opened yet.

    ``format`` is that of files in a directory (by default the one they have, for a new directory
    JSON Lines), ``flatten`` asks for child tables in files of their own. ``organization`` asks for
    the place of one among several. Raises `UnknownDestination`, `MissingExtra`, or `DestinationError`
    for an address that cannot be read.
    """
    text = os.fspath(to)
    database = _database(text, organization)
    if database is None:
        path = Path(text, component(organization)) if organization else Path(text)
        return _directory(path, format, flatten=flatten)
    if format is not None or flatten:
        raise UnknownDestination(
            f"{database.name} is a database, whose tables have no file format and always have "
            "their lists in child tables; leave --format and --flatten out, or name a directory"
        )
    return database


def _database(text: str, organization: str | None) -> Destination | None:
    if re.match(r"postgres(ql)?://", text):
        return PostgreSql(text, schema=f"zoho_{component(organization)}" if organization else None)
    scheme = _SCHEME.match(text)
    if scheme:  # the rest may hold a password, so it is not repeated
        raise UnknownDestination(
            f"{scheme[1]}://... is no destination; there are postgresql://user@host/name, "
            "duckdb:PATH, sqlite:PATH and directories"
        )
    prefix, colon, path = text.partition(":")
    if colon and prefix in _PREFIXES:
        if not path:
            raise UnknownDestination(f"{prefix}: needs a path, such as {prefix}:books.{prefix}")
        return _PREFIXES[prefix](_path_for_organization(Path(path), organization))
    make = _ENDINGS.get(Path(text).suffix.lower())
    if make is None or Path(text).is_dir():
        return None
    return make(_path_for_organization(Path(text), organization))


def _path_for_organization(path: Path, organization: str | None) -> Path:
    if not organization:
        return path
    return path.with_name(f"{path.stem}-{component(organization)}{path.suffix}")


def _directory(path: Path, format: str | None, *, flatten: bool) -> Destination:
    held, _, option = (recorded_format(path) or JSON_LINES).partition(" ")
    if format is None and option:
        flatten = True
    name = (format or held).lower()
    if name not in FORMATS:
        raise UnknownDestination(f"unknown format {name!r}: there are {', '.join(FORMATS)}")
    if flatten and name != "parquet":
        raise UnknownDestination(
            f"--flatten is for Parquet and not for {name}: databases always have child tables, and "
            "other files hold each row whole"
        )
    make = FORMATS[name]
    finish_file = Parquet(flatten=flatten) if flatten else make() if make else None
    return Directory(path, finish_file)
