"""A Redis server that forgets, and a line to it that can be cut."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import pytest

from tests.support.ports import free_port


class ForgetfulRedis:
    """``redis-server`` on a port of loopback; it saves only on command."""

    def __init__(self) -> None:
        if shutil.which("redis-server") is None:
            pytest.skip("redis-server is not installed")
        self.port: int = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._folder = tempfile.TemporaryDirectory()
        self._dump = Path(self._folder.name, "dump.rdb")
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> ForgetfulRedis:
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        self._kill()
        self._folder.cleanup()

    def flush(self) -> None:
        """Forget everything."""
        assert self._command("FLUSHALL") == b"+OK"

    def save(self) -> bytes:
        """The dump of this moment."""
        assert self._command("SAVE") == b"+OK"
        return self._dump.read_bytes()

    def restart(self, dump: bytes | None = None) -> None:
        """Crash, and start again with what ``dump`` holds, or with nothing."""
        self._kill()
        self._dump.unlink(missing_ok=True)
        if dump is not None:
            self._dump.write_bytes(dump)
        self._start()

    def _start(self) -> None:
        options = ["--port", str(self.port), "--save", "", "--appendonly", "no"]
        self._process = subprocess.Popen(
            ["redis-server", *options, "--bind", "127.0.0.1", "--dir", self._folder.name],
            stdout=subprocess.DEVNULL,
        )
        patience = time.monotonic() + 60
        while True:
            try:
                if self._command("PING") == b"+PONG":
                    return
            except OSError:
                pass
            if time.monotonic() > patience:
                raise TimeoutError("redis-server does not answer")
            time.sleep(0.02)

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _command(self, command: str) -> bytes:
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as line:
            line.sendall(f"{command}\r\n".encode())
            return line.recv(64).split(b"\r\n")[0]


class Line:
    """A TCP line to ``port`` on a thread; while it is ``cut`` it answers nothing new."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._over = asyncio.Event()
        self._is_cut = False
        self._writers: set[asyncio.StreamWriter] = set()

    def __enter__(self) -> Line:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()

    def cut(self) -> None:
        """Break every connection, and refuse new ones until `heal`."""
        self._is_cut = True
        self._loop.call_soon_threadsafe(self._abort)

    def heal(self) -> None:
        """Let connections through again."""
        self._is_cut = False

    def _abort(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._connected, sock=self._socket)
        await self._over.wait()
        server.close()
        self._abort()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut:
            writer.transport.abort()
            return
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, back}
        await asyncio.gather(self._carry(reader, back), self._carry(there, writer))
        self._writers -= {writer, back}

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while piece := await reader.read(65_536):
                writer.write(piece)
                await writer.drain()
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()
