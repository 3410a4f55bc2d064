"""Parse the value of ``--to`` into a destination. The suffix decides::

    postgresql://user@host/name      a PostgreSQL database
    duckdb:PATH, or PATH.duckdb      a DuckDB file
    sqlite:PATH, or PATH.sqlite, PATH.sqlite3, PATH.db
    s3://bucket/path, gs://..., abfs://...   files in an object store, in a format
    PATH.xlsx                        an Excel workbook, a sheet per list
    PATH.csv, PATH.parquet, PATH.jsonl, PATH.jsonl.gz, PATH.jsonl.zst
                                     one list in one file
    PATH, PATH/, or an existing directory
                                     a directory of files in a format

Any other suffix is refused with a suggestion, because it is more often a mistake than the name of a
directory. A suffix has a letter, so ``backup-2026.11.28`` is a directory.

With several organizations each gets a separate place: a subdirectory, a PostgreSQL schema
``zoho_10234695``, or a file ``books-10234695.db`` for ``books.db``. So each has its own
checkpoint and lock, and can be exported alone.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from zoho_async.errors import ConfigurationError
from zoho_async.export.destinations import DuckDb, PostgreSql, Sqlite
from zoho_async.export.destinations.base import Destination
from zoho_async.export.destinations.directory import JSON_LINES, Directory, Format, recorded_format
from zoho_async.export.destinations.formats import Csv, Gzip, Parquet, Xlsx, Zstandard
from zoho_async.export.destinations.remote import Remote
from zoho_async.export.destinations.remote.store import is_remote
from zoho_async.export.destinations.single_file import OneList, SingleFile
from zoho_async.export.errors import ExportError
from zoho_async.http.file_names import component

#: The formats of files. JSON Lines hold rows as they come.
FORMATS: Final = ("jsonl", "jsonl.gz", "jsonl.zst", "csv", "parquet")
_FLAT_FORMATS: Final = ("csv", "parquet")
_WORKBOOK: Final = "xlsx"

_DATABASES: Final[dict[str, Callable[[Path], Destination]]] = {
    ".duckdb": DuckDb,
    ".sqlite": Sqlite,
    ".sqlite3": Sqlite,
    ".db": Sqlite,
}
_PREFIXES: Final[dict[str, Callable[[Path], Destination]]] = {"duckdb": DuckDb, "sqlite": Sqlite}
_FILES: Final = {f".{name}": name for name in (*FORMATS, _WORKBOOK)}
_SUFFIXES: Final = (*_DATABASES, *_FILES)
#: Suffixes of other programs, and what comes closest to them.
_CLOSEST: Final = {
    **dict.fromkeys((".xls", ".xlsm", ".xlsb", ".ods"), ".xlsx"),
    **dict.fromkeys((".json", ".ndjson", ".txt.gz", ".json.gz"), ".jsonl"),
    **dict.fromkeys((".txt", ".tsv", ".tab", ".csv.gz", ".csv.zst"), ".csv"),
    **dict.fromkeys((".sql", ".db3", ".sqlitedb", ".mdb", ".accdb"), ".sqlite"),
    **dict.fromkeys((".pq", ".parq", ".arrow", ".feather"), ".parquet"),
    ".gz": ".jsonl.gz",
    ".zst": ".jsonl.zst",
    ".ddb": ".duckdb",
}
_SCHEME: Final = re.compile(r"([a-z][a-z0-9+.-]+)://")
_SUFFIX: Final = re.compile(r"(?:\.[A-Za-z0-9]+)?\.(?=[0-9]*[A-Za-z])[A-Za-z0-9]+$")


class UnknownDestination(ExportError, ConfigurationError):
    """``--to``, ``--format``, ``--flatten`` or ``--excel`` is invalid."""


def open_destination(
    to: str | os.PathLike[str],
    format: str | None = None,
    flatten: bool = False,
    *,
    excel: bool = False,
    organization: str | None = None,
) -> Destination:
    """Return the destination that ``to`` names, without opening it.

    ``format`` is the file format of a directory. The default is the format of its existing files,
    or JSON Lines for a new directory. ``flatten`` writes child tables to separate files or sheets.
    ``excel`` writes CSV for Excel. ``organization`` selects the separate place of one of several
    organizations. Raises `UnknownDestination`, `MissingExtra`, or `DestinationError` for an invalid
    address.
    """
    text = os.fspath(to)
    if not text.strip():  # such as --to "$BACKUP" without the variable
        raise UnknownDestination("--to is empty: name a directory, a file or a database")
    if is_remote(text):
        return _remote(text, organization, format, flatten=flatten, excel=excel)
    database = _database(text, organization)
    if database is not None:
        if format is not None or flatten or excel:
            raise UnknownDestination(
                f"--format, --flatten and --excel are for files, and {database.name} is a "
                "database: remove these options, or name a directory"
            )
        return database
    suffix = _suffix_of(text)
    if suffix in _FILES:
        path = _path_for_organization(Path(text), suffix, organization)
        return _single_file(path, suffix, format, flatten=flatten, excel=excel)
    if suffix:
        raise UnknownDestination(_unknown_suffix(text, suffix))
    path = Path(text, component(organization)) if organization else Path(text)
    return _directory(path, format, flatten=flatten, excel=excel)


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
        named = Path(path)
        return _PREFIXES[prefix](_path_for_organization(named, named.suffix, organization))
    suffix = _suffix_of(text)
    make = _DATABASES.get(suffix)
    return make(_path_for_organization(Path(text), suffix, organization)) if make else None


def _remote(
    address: str, organization: str | None, format: str | None, *, flatten: bool, excel: bool
) -> Destination:
    if address.lower().endswith(_SUFFIXES):  # a password in it is not repeated
        raise UnknownDestination(
            f"an address that ends in {Path(address).suffix} would be a folder with that name: "
            "name a folder, and choose its files with --format"
        )
    if organization:
        address = f"{address.rstrip('/')}/{component(organization)}"
    return Remote(address, lambda path: _directory(path, format, flatten=flatten, excel=excel))


def _suffix_of(text: str) -> str:
    """The suffix that says what ``text`` is, in lower case; "" if it is a directory."""
    if text.endswith((os.sep, os.altsep or os.sep)) or Path(text).is_dir():
        return ""
    found = _SUFFIX.search(Path(text).name.lstrip("."))
    if found is None:
        return ""
    whole = found[0].lower()
    last = whole[whole.rindex(".") :]
    return whole if whole in (*_SUFFIXES, *_CLOSEST) else last


def _unknown_suffix(text: str, suffix: str) -> str:
    near = difflib.get_close_matches(suffix, _SUFFIXES, n=1, cutoff=0.6)
    meant = _CLOSEST.get(suffix) or (near[0] if near else "")
    question = f"did you mean {text[: -len(suffix)]}{meant}?" if meant else "what is it?"
    return (
        f"{text}: unknown suffix {suffix}: {question} A file ends in {', '.join(_SUFFIXES)}; "
        f"a directory of files is {text}{os.sep}"
    )


def _path_for_organization(path: Path, suffix: str, organization: str | None) -> Path:
    if not organization:
        return path
    stem, end = path.name[: len(path.name) - len(suffix)], path.name[len(path.name) - len(suffix) :]
    return path.with_name(f"{stem}-{component(organization)}{end}")


def _single_file(
    path: Path, suffix: str, format: str | None, *, flatten: bool, excel: bool
) -> Destination:
    name = _FILES[suffix]
    if format is not None and format.lower() != name:
        raise UnknownDestination(
            f"{path} is a file of format {name}, and --format is {format}: leave it out, "
            f"or name a directory without a suffix: --to {_without(path, suffix)}"
        )
    if name == _WORKBOOK:
        if excel:
            raise UnknownDestination("--excel is for CSV: an .xlsx file needs no option")
        return SingleFile(path, suffix, Xlsx(flatten=flatten))
    if flatten:
        kept = name if name in _FLAT_FORMATS else "csv"
        raise UnknownDestination(
            f"--flatten writes several files, and {path} is one: use "
            f"--format {kept} --flatten --to {_without(path, suffix)}, or "
            f"--flatten --to {_without(path, suffix)}.xlsx"
        )
    return SingleFile(path, suffix, OneList(_format(name, excel=excel)))


def _without(path: Path, suffix: str) -> str:
    return str(path)[: -len(suffix)]


def _directory(path: Path, format: str | None, *, flatten: bool, excel: bool) -> Directory:
    held, *recorded = (recorded_format(path) or JSON_LINES).split()
    name = (format or held).lower()
    if format is None:
        flatten = flatten or "--flatten" in recorded
        excel = excel or "--excel" in recorded
    if name == _WORKBOOK:
        raise UnknownDestination(f"a workbook is a file: use --to {path}.xlsx without --format")
    return Directory(path, _format(name, flatten=flatten, excel=excel))


def _format(name: str, *, flatten: bool = False, excel: bool = False) -> Format | None:
    """The format called ``name``; None for JSON Lines."""
    if name not in FORMATS:
        raise UnknownDestination(f"unknown format {name!r}: use one of {', '.join(FORMATS)}")
    if flatten and name not in _FLAT_FORMATS:
        raise UnknownDestination(
            f"--flatten works with --format csv, --format parquet and .xlsx files, got {name}: "
            "JSON Lines hold each row whole, and databases always have child tables"
        )
    if excel and name != "csv":
        raise UnknownDestination(f"--excel works with --format csv and .csv files, got {name}")
    match name:
        case "jsonl.gz":
            return Gzip()
        case "jsonl.zst":
            return Zstandard()
        case "csv":
            return Csv(flatten=flatten, excel=excel)
        case "parquet":
            return Parquet(flatten=flatten)
        case _:
            return None
