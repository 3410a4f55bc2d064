"""``python -m tests.support.export_command``: the command, started often, to be killed.

It reads the arguments of a run from each line of its input (a JSON array) and runs the
command in a child process, so that a run needs no new interpreter and a kill can hit all of its
work. It prints the process id of the child and its exit code.
"""

from __future__ import annotations

import os
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


def tell(words: str) -> None:
    os.write(1, f"{words}\n".encode())


def main() -> None:
    """Do one run after the other; what the last one said is in the file that is named first."""
    said = sys.argv[1]
    for line in sys.stdin:
        child = os.fork()
        if not child:
            log = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(log, 1)
            os.dup2(log, 2)
            sys.argv = ["zoho-async", *msgspec.json.decode(line, type=list[str])]
            code = app.run()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        tell(f"pid {child}")
        _, status = os.waitpid(child, 0)
        tell(f"ended {os.waitstatus_to_exitcode(status)}")


if __name__ == "__main__":
    main()
