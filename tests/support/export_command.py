"""``python -m tests.support.export_command``: the command, started often, and perhaps killed.

It reads one run from each line of its input (`Order` as JSON) and does it in a child process, so
that a run needs no new interpreter and a kill can hit all of its work. It prints the process id of
the child and its exit code.
"""

from __future__ import annotations

import os
import resource
import sys

import duckdb
import msgspec
import psycopg
import pyarrow.parquet  # loaded once, for all children
import xlsxwriter
import zstandard

from zoho_async.cli import app, export
from zoho_async.export import destinations

__all__ = ["destinations", "duckdb", "export", "psycopg", "pyarrow", "xlsxwriter", "zstandard"]


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """One run: its arguments, its whole environment (None: that of this process), where it prints.

    It can write files of ``file_size`` bytes, as on a full disk.
    """

    arguments: list[str]
    out: str
    error: str
    environment: dict[str, str] | None = None
    file_size: int | None = None


def tell(words: str) -> None:
    os.write(1, f"{words}\n".encode())


def obey(order: Order) -> int:
    """Do the run in this process; its exit code."""
    if order.file_size is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (order.file_size, order.file_size))
    if order.environment is not None:
        os.environ.clear()
        os.environ.update(order.environment)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, path in ((1, order.out), (2, order.error)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND), number)
    sys.argv = ["zoho-async", *order.arguments]
    code = app.run()
    sys.stdout.flush()
    sys.stderr.flush()
    return code


def main() -> None:
    """Do one run after the other."""
    for line in sys.stdin:
        child = os.fork()
        if not child:
            os._exit(obey(msgspec.json.decode(line, type=Order)))
        tell(f"pid {child}")
        _, status = os.waitpid(child, 0)
        tell(f"ended {os.waitstatus_to_exitcode(status)}")


if __name__ == "__main__":
    main()
