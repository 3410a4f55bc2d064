"""A process that makes the copy of a mirror, or answers one SQL statement from the copy.

Model
-----
The statement comes from a model. DuckDB can read and write files, attach databases, load code and
use all memory and time, and a crash of it ends its process.

Invariant
---------
A statement reads the copy and nothing else. It ends within its time and memory, and it changes
nothing that a later statement sees.

Why it holds
------------
- The statement runs in a process that is started for it, without the variables of the environment,
  and killed when its time is over (`mirror`). It also ends itself then.
- The copy is opened read-only, with external access off: no files, no attached databases, no
  extensions, no network. Then the configuration is locked. Only one SELECT is run.
- DuckDB's memory limit is set, and it has no directory for temporary files. Below it, the operating
  system limits memory and processor time, and allows no file to grow (not on Windows).

The program reads a `SqlTask` as JSON from its input and writes a `SqlAnswer` to its output.
"""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Literal, cast

import msgspec

from zoho_async._msgspec import decoder_of
from zoho_async.wire.text import is_object

#: DuckDB's memory limit, and the limit of the process with its libraries, in bytes.
_MEMORY: Final = 256 << 20
_ADDRESS_SPACE: Final = 2 << 30
#: The most rows and characters of an answer.
MOST_ROWS: Final = 10_000
MOST_TEXT: Final = 4 << 20
_BATCH: Final = 500
_MESSAGE: Final = 600
#: Tables of exports that hold no records.
_INTERNAL: Final = "_zoho_"
#: DuckDB's settings for a statement.
SETTINGS: Final[dict[str, str | bool | int | float | list[str]]] = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    "memory_limit": f"{_MEMORY}B",
    "temp_directory": "",
    "threads": 1,
    "lock_configuration": "true",
}
_TYPES: Final = {"INTEGER": "BIGINT", "NUMERIC": "DECIMAL(38,6)"}


class SqlTask(msgspec.Struct, frozen=True, kw_only=True):
    """What to do. ``copy`` makes ``file`` from ``source``; ``query`` runs ``sql`` on ``file``."""

    action: Literal["copy", "query"]
    file: str
    source: str = ""
    sql: str = ""
    seconds: int = 0


class SqlAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The columns and rows, or an error. ``is_cut`` says that there are more rows."""

    columns: Sequence[str] = ()
    rows: Sequence[Sequence[Any]] = ()
    is_cut: bool = False
    error: str = ""
    is_locked: bool = False


def main() -> None:
    """Do the task of the input."""
    task = decoder_of(SqlTask).decode(sys.stdin.buffer.read())
    answer = _copy(task) if task.action == "copy" else _query(task)
    sys.stdout.buffer.write(msgspec.json.encode(answer))


# -- queries ------------------------------------------------------------------------------------


def _query(task: SqlTask) -> SqlAnswer:
    import duckdb

    _limit_process(task.seconds)
    try:
        statements = duckdb.extract_statements(task.sql)
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            return SqlAnswer(error="only one SELECT statement is run; DESCRIBE and SHOW are too")
        with duckdb.connect(task.file, read_only=True, config=SETTINGS) as connection:
            connection.execute(task.sql)
            columns = [column[0] for column in connection.description or ()]
            rows, is_cut = _fetched(connection)
            return SqlAnswer(columns=columns, rows=rows, is_cut=is_cut)
    except MemoryError:
        return SqlAnswer(error="out of memory: ask for less")
    except Exception as problem:
        return SqlAnswer(error=_message(problem))


def _limit_process(seconds: int) -> None:
    """Let the operating system limit memory, processor time and the size of written files."""
    if sys.platform == "win32":
        return
    import resource

    signal.alarm(seconds + 1)  # for a statement that waits, if the server was ended meanwhile
    for limit, most in (
        (resource.RLIMIT_AS, _ADDRESS_SPACE),
        (resource.RLIMIT_CPU, seconds + 1),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        with suppress(ValueError, OSError):  # not more than what is allowed already
            resource.setrlimit(limit, (most, most))


def _fetched(connection: Any) -> tuple[list[list[Any]], bool]:
    from zoho_async.integrations.mcp.pages import shown

    rows: list[list[Any]] = []
    size = 0
    while batch := connection.fetchmany(_BATCH):
        for row in batch:
            values = [_value(shown(value)) for value in row]
            size += len(msgspec.json.encode(values))
            if size > MOST_TEXT or len(rows) == MOST_ROWS:
                return rows, True
            rows.append(values)
    return rows, False


def _value(value: Any) -> Any:
    """A value that JSON has: dates and other types of DuckDB become text."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 2**63:
        return str(value)
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, list | tuple):
        return [_value(each) for each in cast("Sequence[Any]", value)]
    if is_object(value):
        return {str(name): _value(each) for name, each in value.items()}
    return str(value)


# -- copies -------------------------------------------------------------------------------------


def _copy(task: SqlTask) -> SqlAnswer:
    """Make the copy next to its place, and put it there when it is complete."""
    source, file = Path(task.source), Path(task.file)
    part = file.with_name(f"{file.name}.part")
    for name in (part, _wal_of(part)):
        name.unlink(missing_ok=True)
    try:
        if _is_sqlite(source):
            _copy_sqlite(source, part)
        else:
            _copy_duckdb(source, part)
        os.replace(part, file)
    except Exception as problem:
        text = str(problem)
        return SqlAnswer(
            error=_message(problem),
            is_locked="lock on file" in text or "database is locked" in text,
        )
    return SqlAnswer()


def _wal_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.wal")


def _is_sqlite(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(16) == b"SQLite format 3\x00"


def _copy_duckdb(source: Path, part: Path) -> None:
    """Copy the file while no writer can have it open, and leave out the internal tables."""
    import duckdb

    with duckdb.connect(str(source), read_only=True):
        shutil.copyfile(source, part)
        if _wal_of(source).exists():
            shutil.copyfile(_wal_of(source), _wal_of(part))
    with duckdb.connect(str(part), config={"enable_external_access": "false"}) as copy:
        for (name,) in copy.execute("SELECT table_name FROM duckdb_tables()").fetchall():
            if name.startswith(_INTERNAL):
                copy.execute(f"DROP TABLE {_quoted(name)}")
        copy.execute("CHECKPOINT")


def _copy_sqlite(source: Path, part: Path) -> None:
    """Copy the tables of a SQLite file into a DuckDB file, as of one moment."""
    import duckdb

    uri = f"{source.resolve().as_uri()}?mode=ro"
    with (
        closing(sqlite3.connect(uri, uri=True, timeout=0, isolation_level=None)) as sqlite,
        duckdb.connect(str(part)) as copy,
    ):
        sqlite.execute("BEGIN")
        names = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        for (name,) in sqlite.execute(names).fetchall():
            if not name.startswith(_INTERNAL):
                _copy_table(sqlite, copy, name)
        copy.execute("CHECKPOINT")


def _copy_table(sqlite: sqlite3.Connection, copy: Any, name: str) -> None:
    arrow = import_module("pyarrow")
    info = sqlite.execute(f"PRAGMA table_info({_quoted(name)})").fetchall()
    columns = {row[1]: _TYPES.get(row[2].upper(), "VARCHAR") for row in info}
    defined = ", ".join(f"{_quoted(column)} {kind}" for column, kind in columns.items())
    copy.execute(f"CREATE TABLE {_quoted(name)} ({defined})")
    casts = ", ".join(
        f"CAST({_quoted(column)} AS {kind})" if kind != "VARCHAR" else _quoted(column)
        for column, kind in columns.items()
    )
    for batch in _batches(sqlite.execute(f"SELECT * FROM {_quoted(name)}")):
        arrays: list[Any] = [
            arrow.array(
                [None if row[at] is None else str(row[at]) for row in batch], arrow.string()
            )
            for at in range(len(columns))
        ]
        copy.register("_batch", arrow.table(dict(zip(columns, arrays, strict=True))))
        copy.execute(f"INSERT INTO {_quoted(name)} SELECT {casts} FROM _batch")
        copy.unregister("_batch")


def _batches(cursor: sqlite3.Cursor) -> Iterator[list[tuple[Any, ...]]]:
    while batch := cursor.fetchmany(_BATCH * 10):
        yield batch


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _message(problem: Exception) -> str:
    """The message of DuckDB, cut: it may repeat the statement."""
    return str(problem)[:_MESSAGE] or type(problem).__name__


if __name__ == "__main__":
    main()
