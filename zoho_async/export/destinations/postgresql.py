"""A PostgreSQL destination, in the first schema of the search path.

Rows are loaded with COPY. If all ids are new, COPY writes straight into the table. Otherwise it
fills a temporary table, and ``INSERT ... ON CONFLICT DO UPDATE`` moves the rows from there. Views,
foreign keys and columns that others added stay in place.

An advisory lock on the schema keeps a second run out. It belongs to the connection, so it ends with
the process. A broken connection ends the run. The same command continues it.

The address may hold a password. Only the driver gets it. An error text of the driver is shown only
if it contains no part of the password.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final
from urllib.parse import unquote

from zoho_async.export.columns.numbers import PRECISION, SCALES, NumberStorage
from zoho_async.export.columns.schema import Column, ColumnKind, short_name
from zoho_async.export.columns.tables import FlatTable
from zoho_async.export.destinations.base import Query, Value
from zoho_async.export.destinations.database import OpenDatabase
from zoho_async.export.destinations.engine import definitions, on_conflict, quote, quote_all
from zoho_async.export.errors import DestinationError, ExportRunning, library

_TYPES: Final[dict[ColumnKind, str]] = {
    "text": "text",
    "json": "text",
    "texts": "text",
    "decimal": f"numeric({PRECISION},{SCALES['decimal']})",
    "exchange_rate": f"numeric({PRECISION},{SCALES['exchange_rate']})",
    "date": "date",
    "time": "timestamp with time zone",
    "integer": "bigint",
    "boolean": "boolean",
}
_ARRAYS: Final[dict[type, str]] = {
    str: "text[]",
    int: "bigint[]",
    float: "double precision[]",
    bytes: "bytea[]",
}
#: Exact text of a column's values, if a cast does not give it.
_AS_TEXT: Final[dict[ColumnKind, str]] = {
    "decimal": "trim_scale({}::numeric)::text",
    "date": "to_char({}, 'YYYY-MM-DD')",
    "time": """to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')""",
}
_ADVICE: Final = (
    "check the server's disk space and permissions, then run the same command again to continue"
)
#: A quoted name or text, a placeholder, or a percent sign.
_MARKED: Final = re.compile(r""""(?:[^"]|"")*"|'(?:[^']|'')*'|\?|%""")
_NULL: Final = r"\N"
_ESCAPES: Final = {"\\": r"\\", "\n": r"\n", "\r": r"\r", "\t": r"\t"}
_WORDS: Final = {True: "t", False: "f", None: _NULL}


class PostgreSql:
    """A database at ``postgresql://user@host/name``, or any other address that libpq accepts.

    ``schema`` replaces the first schema of the search path and is created if missing. Raises
    `MissingExtra` if ``psycopg`` is not installed, and `DestinationError` for an invalid address.
    """

    def __init__(self, address: str, *, schema: str | None = None) -> None:
        self._psycopg: Final = library("psycopg", "postgresql", "writing to PostgreSQL")
        self._secrets: Final = _secrets(address)
        self.name: Final = self._name(address) + (f", schema {schema}" if schema else "")
        self._schema: Final = schema
        self._address: Final = address

    @property
    def has_password(self) -> bool:
        """Whether the address contains a password."""
        return bool(self._psycopg.conninfo.conninfo_to_dict(self._address).get("password"))

    def open(self) -> OpenDatabase:
        """Connect and lock the schema. Raises `ExportRunning` or `DestinationError`."""
        connection = self._connect()
        if isinstance(connection, str):
            raise DestinationError(
                self.name,
                connection,
                "check that the server is running and reachable, then run the same command again",
            )
        engine = PostgreSqlEngine(self.name, self._psycopg, connection, self._schema)
        return OpenDatabase(engine)

    @contextmanager
    def read_only(self) -> Generator[Query | None]:
        connection = self._connect()
        if isinstance(connection, str):
            raise DestinationError(self.name, connection)
        try:
            connection.execute("SET default_transaction_read_only = on")
            if self._schema is not None:
                connection.execute(f"SET search_path TO {quote(self._schema)}")
            there = connection.execute("SELECT to_regclass('_zoho_place')").fetchone()
            yield (lambda sql: connection.execute(sql).fetchall()) if there[0] else None
        except self._psycopg.Error as problem:
            raise DestinationError(self.name, self._describe(problem)) from None
        finally:
            connection.close()

    def _connect(self) -> Any:
        """A connection, or the text of the error. The driver's exception may hold a password."""
        try:
            return self._psycopg.connect(self._address, autocommit=True, client_encoding="UTF8")
        except self._psycopg.Error as problem:
            return self._describe(problem)

    def _name(self, address: str) -> str:
        parts: dict[str, Any] = {"host": "@"}
        with suppress(self._psycopg.Error):
            parts = self._psycopg.conninfo.conninfo_to_dict(address)
        host, name = str(parts.get("host") or "localhost"), str(parts.get("dbname") or "")
        if "@" in host + name:  # what comes before it is a part of the user's name or password
            raise DestinationError(
                "PostgreSQL",
                "the address is invalid",
                "write characters such as @ : / ? # % in a user name or password as %40 and so on, "
                "or put the password in PGPASSWORD or a .pgpass file",
            )
        return f"PostgreSQL database {name or '(default)'} at {host}"

    def _describe(self, problem: Exception) -> str:
        text = " ".join(str(problem).split())
        if any(secret in text for secret in self._secrets):
            return "the connection failed (details hidden because they contain the password)"
        return text


class PostgreSqlEngine:
    """An open connection that holds the lock on its schema."""

    types: Mapping[ColumnKind, str] = _TYPES
    numbers: NumberStorage = "decimal"

    def __init__(self, name: str, psycopg: Any, connection: Any, schema: str | None) -> None:
        self.name: Final = name
        self._psycopg: Final = psycopg
        self._connection: Final = connection
        self._staging_tables: Final[set[str]] = set()
        try:
            if schema is not None:
                if not self.execute("SELECT 1 FROM pg_namespace WHERE nspname = ?", [schema]):
                    self.execute(f"CREATE SCHEMA IF NOT EXISTS {quote(schema)}")
                self.execute(f"SET search_path TO {quote(schema)}")
            self._lock()
        except BaseException:
            connection.close()
            raise

    def _lock(self) -> None:
        ((schema,),) = self.execute("SELECT current_schema()")
        if schema is None:
            raise DestinationError(
                self.name,
                "no schema in its search_path exists",
                "create one, or set search_path to an existing schema",
            )
        ((mine,),) = self.execute(
            "SELECT pg_try_advisory_lock(hashtextextended('zoho_async/' || current_schema(), 0))"
        )
        if not mine:
            raise ExportRunning(self.name)

    @contextmanager
    def translate_errors(self) -> Generator[None]:
        try:
            yield
        except self._psycopg.Error as problem:
            raise DestinationError(self.name, _first_line(problem), _ADVICE) from problem

    def execute(self, sql: str, values: Sequence[Value] = ()) -> list[tuple[Any, ...]]:
        with self.translate_errors():
            cursor = self._connection.execute(_driver_placeholders(sql), values)
            rows: list[tuple[Any, ...]] = cursor.fetchall() if cursor.description else []
            return rows

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Value]]) -> None:
        if rows:
            self._unnest(table, columns, rows, "")

    def upsert(
        self,
        table: str,
        key: Sequence[str],
        columns: Sequence[str],
        rows: Sequence[Sequence[Value]],
    ) -> None:
        if rows:
            self._unnest(table, columns, rows, on_conflict(key, columns))

    @contextmanager
    def transaction(self) -> Generator[None]:
        with self.translate_errors():
            try:
                with self._connection.transaction():
                    yield
            except BaseException:
                self._staging_tables.clear()  # a rollback drops the tables made in the transaction
                raise

    def columns(self, table: str) -> dict[str, str]:
        rows = self.execute(
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute"
            " WHERE attrelid = to_regclass(format('%I.%I', current_schema(), ?::text))"
            " AND attnum > 0 AND NOT attisdropped",
            [table],
        )
        return dict(rows)

    def is_view(self, name: str) -> bool:
        rows = self.execute(
            "SELECT 1 FROM pg_class WHERE relkind IN ('v', 'm')"
            " AND oid = to_regclass(format('%I.%I', current_schema(), ?::text))",
            [name],
        )
        return bool(rows)

    def define(self, column: Column) -> str:
        return f"{quote(column.name)} {_TYPES[column.kind]}"

    def create(self, table: FlatTable) -> None:
        self.execute(
            f"CREATE TABLE {quote(table.name)} ({definitions(table, _TYPES)},"
            f" PRIMARY KEY ({quote_all(table.key)}))"
        )

    def convert_to_text(self, table: str, column: Column) -> None:
        text = _AS_TEXT.get(column.kind, "{}::text").format(quote(column.name))
        self.execute(
            f"ALTER TABLE {quote(table)} ALTER {quote(column.name)}"
            f" TYPE {_TYPES['text']} USING {text}"
        )

    def holds_any(self, table: FlatTable, ids: Sequence[str]) -> bool:
        key, name = quote(table.key[0]), quote(table.name)
        return bool(self._query_ids(f"SELECT 1 FROM {name} WHERE {key} = ANY(?) LIMIT 1", ids))

    def append(self, table: FlatTable, values: Sequence[Sequence[Any]]) -> None:
        self._copy(quote(table.name), table, values)

    def merge(self, table: FlatTable, values: Sequence[Sequence[Any]]) -> None:
        kinds = zlib.crc32(repr([(one.name, one.kind) for one in table.columns]).encode())
        staging = quote(short_name(f"_zoho_staging_{kinds:08x}_{table.name}"))
        columns = [column.name for column in table.columns]
        names = quote_all(columns)
        if staging not in self._staging_tables:
            self.execute(
                f"CREATE TEMP TABLE IF NOT EXISTS {staging} ({definitions(table, _TYPES)})"
                " ON COMMIT DELETE ROWS"
            )
            self._staging_tables.add(staging)
        self._copy(staging, table, values)
        self.execute(
            f"INSERT INTO {quote(table.name)} ({names}) SELECT {names} FROM {staging}"
            f" {on_conflict(table.key, columns)}"
        )
        self.execute(f"DELETE FROM {staging}")

    def delete(self, table: FlatTable, ids: Sequence[str]) -> None:
        key = quote(table.key[0])
        self._query_ids(f"DELETE FROM {quote(table.name)} WHERE {key} = ANY(?)", ids)

    def close(self) -> None:
        """Release the lock and disconnect."""
        with suppress(self._psycopg.Error):  # the server ends a session some time after its client
            self._connection.execute("SELECT pg_advisory_unlock_all()")
        self._connection.close()

    def _query_ids(self, sql: str, ids: Sequence[str]) -> list[tuple[Any, ...]]:
        with self.translate_errors():
            cursor = self._connection.execute(_driver_placeholders(sql), [list(ids)])
            rows: list[tuple[Any, ...]] = cursor.fetchall() if cursor.description else []
            return rows

    def _copy(self, target: str, table: FlatTable, values: Sequence[Sequence[Any]]) -> None:
        names = quote_all([column.name for column in table.columns])
        rows = copy_text(table, values)
        with (
            self.translate_errors(),
            self._connection.cursor() as cursor,
            cursor.copy(f"COPY {target} ({names}) FROM STDIN") as copy,
        ):
            copy.write(rows)

    def _unnest(
        self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Value]], tail: str
    ) -> None:
        values = [list(column) for column in zip(*rows, strict=True)]
        arrays = ", ".join(f"%s::{_array_type(column)}" for column in values)
        with self.translate_errors():
            self._connection.execute(
                _escape_percent(
                    f"INSERT INTO {quote(table)} ({quote_all(columns)}) SELECT * FROM unnest("
                )
                + arrays
                + _escape_percent(f") {tail}"),
                values,
            )


def _array_type(column: Sequence[Value]) -> str:
    return next((_ARRAYS[type(value)] for value in column if value is not None), "text[]")


def copy_text(table: FlatTable, values: Sequence[Sequence[Any]]) -> bytes:
    """The rows of ``table`` in the text format of COPY."""
    columns = [
        _copy_cells(column.kind, cells) for column, cells in zip(table.columns, values, strict=True)
    ]
    return "\n".join([*map("\t".join, zip(*columns, strict=True)), ""]).encode()


def _copy_cells(kind: ColumnKind, cells: Sequence[Any]) -> list[str]:
    if kind == "integer":
        return [_NULL if cell is None else str(cell) for cell in cells]
    if kind == "boolean":
        return [_WORDS[cell] for cell in cells]
    if kind in ("text", "json"):
        whole = "".join(filter(None, cells))
        if any(special in whole for special in _ESCAPES):
            return [_NULL if cell is None else _escape(cell) for cell in cells]
    return [_NULL if cell is None else cell for cell in cells]


def _escape(text: str) -> str:
    for special, escape in _ESCAPES.items():
        text = text.replace(special, escape)  # the backslash first
    return text


def _driver_placeholders(sql: str) -> str:
    """``sql`` with ``%s`` for each ``?`` outside of quotes."""
    return _MARKED.sub(lambda found: "%s" if found[0] == "?" else _escape_percent(found[0]), sql)


def _escape_percent(sql: str) -> str:
    """``sql`` with each ``%`` doubled, because the driver reads ``%`` as a placeholder."""
    return sql.replace("%", "%%")


def _first_line(problem: Exception) -> str:
    lines = str(problem).splitlines()
    return lines[0] if lines else type(problem).__name__


def _secrets(address: str) -> set[str]:
    """The words of any password in ``address``, without words found elsewhere in it.

    A user with the same name, for example, is not secret.
    """
    found = re.findall(r"password\s*=\s*('(?:[^'\\]|\\.)*'|[^\s&]+)", address)
    rest = address
    if "://" in address and "@" in address:
        _, _, after = address.partition("://")
        login, _, server = after.rpartition("@")
        user, _, password = login.partition(":")
        found += [password, unquote(password)]
        rest = f"{user} {server}"
    else:
        for password in found:
            rest = rest.replace(password, " ")
    pieces = {piece for one in found for piece in re.split(r"\W+", one) if len(piece) > 1}
    return pieces - set(re.split(r"\W+", rest))
