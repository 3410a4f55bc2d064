"""A PostgreSQL server of the tests' own, on a socket in a folder that goes with it."""

from __future__ import annotations

import atexit
import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

import pytest

#: The folder of the first cluster of this process.
_first: Final[list[Path]] = []


class PostgresqlServer:
    """``postgres`` from PATH or where Debian keeps it; the test is skipped if it is missing.

    The server refuses to run as root, so it then runs as another system user. Each process that can
    reach the socket may log in as the user ``zoho``.
    """

    def __init__(self) -> None:
        self._programs = _programs()
        if self._programs is None:
            pytest.skip("no PostgreSQL server is installed (initdb is not found)")
        self._folder = tempfile.TemporaryDirectory(prefix="pg-")
        self._data = Path(self._folder.name, "data")
        self._user = _unprivileged() if os.geteuid() == 0 else None
        self.socket = self._folder.name

    def address(self, database: str = "postgres") -> str:
        """What a client connects to."""
        return f"postgresql://zoho@/{database}?host={self.socket}"

    def start(self) -> None:
        """Create the cluster if it is missing, start it and wait until it answers."""
        if not self._data.exists():
            if self._user is not None:
                os.chown(self._folder.name, self._user.pw_uid, self._user.pw_gid)
            self._create_cluster()
        options = f"-c listen_addresses='' -k {self.socket} -c shared_buffers=32MB -c fsync=off"
        log = str(Path(self._folder.name, "log"))
        self._run("pg_ctl", "-D", str(self._data), "-w", "-l", log, "-o", options, "start")

    def create(self, database: str) -> str:
        """Make a database; its address."""
        self._run("createdb", "-h", self.socket, "-U", "zoho", database)
        return self.address(database)

    def stop(self) -> None:
        """End it, whatever clients do."""
        if Path(self._data, "postmaster.pid").exists():
            self._run("pg_ctl", "-D", str(self._data), "-w", "-m", "fast", "stop")

    def __enter__(self) -> PostgresqlServer:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()
        self._folder.cleanup()

    def _create_cluster(self) -> None:
        """Copy a cluster, because `initdb` takes a second of CPU time."""
        if not _first:
            self._run(
                "initdb", "-D", str(self._data), "-U", "zoho", "-A", "trust", "-E", "UTF8",
                "--locale=C", "--no-sync",
            )  # fmt: skip
            _first.append(Path(tempfile.mkdtemp(prefix="pg-first-")))
            atexit.register(shutil.rmtree, _first[0])
            subprocess.run(["cp", "-a", str(self._data), str(_first[0])], check=True)
        else:
            subprocess.run(["cp", "-a", str(_first[0] / "data"), self._folder.name], check=True)

    def _run(self, program: str, *arguments: str) -> None:
        assert self._programs is not None
        user = {} if self._user is None else {"user": self._user.pw_uid, "group": self._user.pw_gid}
        subprocess.run(
            [str(self._programs / program), *arguments],
            cwd=self._folder.name,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=True,
            timeout=60,
            **({"extra_groups": [], **user} if user else {}),  # type: ignore[call-overload] # keywords
        )


def _programs() -> Path | None:
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return versions[-1].parent if versions else None


def _unprivileged() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("daemon")
