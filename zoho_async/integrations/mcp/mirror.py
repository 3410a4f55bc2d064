"""SQL on a copy of an export, in processes that are started for each statement.

The mirror is the SQLite or DuckDB file of ``zoho-async export``. Its copy is made on the first
statement and when the file has changed. While an export writes to the file, the last copy is used.
`sql_process` says why a statement can do no harm.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import anyio
import msgspec

from zoho_async._msgspec import decoder_of
from zoho_async.errors import ConfigurationError
from zoho_async.integrations.mcp.pages import Rows
from zoho_async.integrations.mcp.sql_process import MOST_ROWS, MOST_TEXT, SqlAnswer, SqlTask

#: Seconds that a statement and a copy can take.
STATEMENT: Final = 20
_COPY: Final = 600
#: Variables of the environment that the interpreter may need. None of them is a secret.
_KEPT: Final = ("PATH", "PYTHONPATH", "SYSTEMROOT", "VIRTUAL_ENV")


class SqlMirror:
    """A mirror's file, and the copy of it. ``close`` deletes the copy.

    ``seconds`` is how long a statement can take. Raises `ConfigurationError` if there is no file.
    """

    def __init__(self, path: Path, *, seconds: int = STATEMENT) -> None:
        if not path.is_file():
            raise ConfigurationError(
                f"there is no mirror at {path}: make it with `zoho-async export --to {path}`"
            )
        self._path: Final = path
        self.seconds = seconds
        self._folder: Final = Path(tempfile.mkdtemp(prefix="zoho-async-mcp-"))  # of this user only
        self._copy: Final = self._folder / "mirror.duckdb"
        self._seen: list[tuple[str, int, int]] = []
        self._lock: Final = anyio.Lock()

    def close(self) -> None:
        """Delete the copy."""
        shutil.rmtree(self._folder, ignore_errors=True)

    async def query(self, sql: str) -> Rows:
        """Return the rows of a SELECT, each a list of values. Makes no API call.

        Raises `ConfigurationError` for what is refused, for an error in the statement, and for one
        that takes too long or too much memory.
        """
        async with self._lock:  # one statement at a time has the memory
            is_fresh = await self._refresh()
            task = SqlTask(action="query", file=str(self._copy), sql=sql, seconds=self.seconds)
            answer = await _run(task, self.seconds)
        if answer.error:
            raise ConfigurationError(f"SQL: {answer.error}")
        head: dict[str, Any] = {"columns": list(answer.columns), "as_of": _moment(self._seen)}
        if not is_fresh:
            head["old"] = "an export writes to the mirror now; this is the copy from before"
        if answer.is_cut:
            head["cut"] = (
                f"at most {MOST_ROWS:,} rows and {MOST_TEXT:,} characters are read: aggregate, "
                "or use LIMIT and OFFSET"
            )
        return Rows(rows=answer.rows, head=head)

    async def _refresh(self) -> bool:
        """Make the copy if it is missing or old. False: the last copy is used."""
        seen = _state_of(self._path)
        if seen == self._seen:
            return True
        task = SqlTask(action="copy", source=str(self._path), file=str(self._copy))
        answer = await _run(task, _COPY)
        if answer.is_locked and self._seen:
            return False
        if answer.is_locked:
            raise ConfigurationError("an export writes to the mirror now: try again when it ended")
        if answer.error:
            raise ConfigurationError(f"the mirror cannot be copied: {answer.error}")
        self._seen = seen
        return True


def _state_of(path: Path) -> list[tuple[str, int, int]]:
    """The sizes and times of the file and its log, which change when an export writes."""
    found: list[tuple[str, int, int]] = []
    for ending in ("", ".wal", "-wal"):
        try:
            facts = os.stat(f"{path}{ending}")
        except FileNotFoundError:
            continue
        found.append((ending, facts.st_size, facts.st_mtime_ns))
    if not found:
        raise ConfigurationError(f"the mirror {path} is gone")
    return found


async def _run(task: SqlTask, seconds: float) -> SqlAnswer:
    """Run ``task`` in a process, which is killed after ``seconds``."""
    # -P: a `duckdb.py` in the working directory, which an agent may write, is not imported
    command = [sys.executable, "-P", "-m", "zoho_async.integrations.mcp.sql_process"]
    environ = {name: os.environ[name] for name in _KEPT if name in os.environ}
    try:
        with anyio.fail_after(seconds):
            done = await anyio.run_process(
                command,
                input=msgspec.json.encode(task),
                stderr=subprocess.DEVNULL,
                env=environ,
                check=False,
            )
    except TimeoutError:
        return SqlAnswer(error=f"it took longer than {seconds:g} s: ask for less")
    if done.returncode or not done.stdout:
        return SqlAnswer(error="it needed too much memory or time: ask for less")
    return decoder_of(SqlAnswer).decode(done.stdout)


def _moment(state: list[tuple[str, int, int]]) -> str:
    """When an export last wrote to the files."""
    seconds = max(changed for _, _, changed in state) / 1e9
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
