"""A sandbox in another process, and destinations for exports that are killed."""

from __future__ import annotations

import csv
import gzip
import json
import os
import subprocess
import sys
import time
import urllib.request
import zipfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from tests.support import export_databases
from tests.support.export_databases import Target
from tests.support.postgresql_server import PostgresqlServer

HERE = Path(__file__).parents[2]
SIZES = {"books.contacts": 150, "books.invoices": 600}
MINUTE = 0.25
FORMS = {
    "jsonl": (),
    "jsonl.gz": ("--format", "jsonl.gz"),
    "jsonl.zst": ("--format", "jsonl.zst"),
    "csv": ("--format", "csv"),
    "parquet": ("--format", "parquet"),
    "flat parquet": ("--format", "parquet", "--flatten"),
    "flat csv": ("--format", "csv", "--flatten"),
    "csv for Excel": ("--format", "csv", "--excel"),
}
#: Single files, with the lists that they hold.
FILES = {
    "books.xlsx": (*SIZES, "--flatten"),
    "invoices.csv": ("books.invoices",),
    "invoices.parquet": ("books.invoices",),
    "invoices.jsonl.gz": ("books.invoices",),
}
DATABASES = ("sqlite", "duckdb", "postgresql")
_TABLES = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'table'",
    "duckdb": "SELECT table_name AS name FROM duckdb_tables()",
    "postgresql": "SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public'",
}
_ALONE = (
    "SELECT 1 AS one FROM pg_stat_activity WHERE datname = current_database()"
    " AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
)


class Server:
    """A sandbox in another process."""

    def __init__(self, folder: Path) -> None:
        sizes = [f"--size={name}={rows}" for name, rows in SIZES.items()]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "zoho_async.sandbox", "--minute", str(MINUTE), *sizes,
             "--tokens", "100000", "--per-day", "1000000", "--latency", "0:0.01"],
            stdout=subprocess.PIPE, cwd=HERE,
        )  # fmt: skip
        assert self._process.stdout is not None
        said = json.loads(self._process.stdout.readline())
        self._url = said["url"]
        self.environ = {**os.environ, **said["environment"], "XDG_STATE_HOME": str(folder)}

    def truth(self, resource: str) -> bytes:
        with urllib.request.urlopen(f"{self._url}/__sandbox__/truth/{resource}") as reply:
            rows: bytes = reply.read()
        return rows

    def close(self) -> None:
        self._process.terminate()
        self._process.communicate()


class Place:
    """A destination of the runs and its content."""

    def __init__(self, kind: str, folder: Path, postgresql: PostgresqlServer | None) -> None:
        self.kind = kind
        self.folder = folder
        self.target: Target | None = None
        folder.mkdir(parents=True)
        if kind == "sqlite":
            self.target = export_databases.sqlite_target(folder)
        elif kind == "duckdb":
            self.target = export_databases.duckdb_target(folder)
        elif kind == "postgresql":
            assert postgresql is not None
            address = postgresql.create(f"killed_{'_'.join(folder.parts[-2:])}")
            self.target = export_databases.postgresql_target(address)
        self.to = str(folder) if self.target is None else self.target.to
        if kind in FILES:
            self.to = str(folder / kind)
        lists = FILES.get(kind, tuple(SIZES))
        self.arguments = ["export", *lists, "--to", self.to, "--minute", str(MINUTE)]
        self.arguments += FORMS.get(kind, ())

    def held(self) -> dict[str, Any]:
        """Files and their bytes, or tables and their sorted rows."""
        if self.kind in FILES:
            files = [path for path in self.folder.iterdir() if path.is_file()]
            assert [path.name for path in files] == [self.kind]
            assert not list(self.folder.glob(".*/making"))
            return {path.name: path.read_bytes() for path in files}
        if self.target is None:
            files = [path for path in (self.folder / "books").rglob("*") if path.is_file()]
            return {str(path.relative_to(self.folder)): path.read_bytes() for path in files}
        names = [one["name"] for one in self.target.ask(_TABLES[self.kind])]
        assert "_zoho_record" in names
        return {
            name: sorted(map(repr, self.target.ask(f'SELECT * FROM "{name}"')))
            for name in names
            if not name.startswith("_zoho_")
        }

    def assert_whole(self) -> None:
        """A single file that is there can be read to its end, whenever a run was killed."""
        path = Path(self.to)
        if self.kind == "books.xlsx" and path.exists():
            with zipfile.ZipFile(path) as parts:
                assert parts.testzip() is None
        elif self.kind == "invoices.jsonl.gz" and path.exists():
            assert len(gzip.decompress(path.read_bytes()).splitlines()) == SIZES["books.invoices"]
        elif self.kind == "invoices.parquet" and path.exists():
            assert pq.read_metadata(path).num_rows == SIZES["books.invoices"]
        elif self.kind == "invoices.csv" and path.exists():
            with path.open(newline="", encoding="utf-8") as file:
                assert sum(1 for _ in csv.reader(file)) == SIZES["books.invoices"] + 1

    def until_alone(self) -> None:
        """PostgreSQL ends the session of a killed client when it notices."""
        patience = time.monotonic() + 60
        while self.kind == "postgresql" and self.target and self.target.ask(_ALONE):
            assert time.monotonic() < patience, "the session of the killed client stays"
