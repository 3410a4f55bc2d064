"""A TCP proxy to put between a client and the sandbox: a slow, thin, torn or dead line.

It knows nothing of HTTP, so it breaks what HTTP cannot see coming: bytes arrive late, slowly, not
to the end, or not at all. Its attributes may be changed while it runs; they hold for connections
that are open already. "Up" is towards the server, "down" towards the client.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from types import TracebackType
from typing import Final
from urllib.parse import urlsplit

_CHUNK: Final = 16_384
_RESET: Final = struct.pack("ii", 1, 0)


class Proxy:
    """A line to ``target``, a URL such as ``sandbox.url``; ``url`` is the line's own end.

    ``latency`` is how much later each piece arrives, in seconds and each way. ``bandwidth`` is in
    bytes a second, each way and connection (None: as fast as it goes). ``cut_up`` and ``cut_down``
    are how many bytes of a connection get through before it is reset (None: all).  With
    ``blackhole`` bytes are taken and go nowhere, and nobody is told.
    """

    def __init__(
        self,
        target: str,
        *,
        latency: float = 0.0,
        bandwidth: float | None = None,
        cut_up: int | None = None,
        cut_down: int | None = None,
        blackhole: bool = False,
    ) -> None:
        parts = urlsplit(target)
        if parts.hostname is None or parts.port is None:
            raise ValueError(f"target {target!r} names no host and port")
        self.latency = latency
        self.bandwidth = bandwidth
        self.cut_up = cut_up
        self.cut_down = cut_down
        self.blackhole = blackhole
        self.url = ""
        #: Connections that were ever made, and the bytes that got through.
        self.connections = 0
        self.bytes_up = 0
        self.bytes_down = 0
        self._target: Final = parts.hostname, parts.port
        self._server: asyncio.Server | None = None
        self._lines: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Proxy:
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._server is not None:
            self._server.close()
        for line in self._lines:
            line.cancel()
        await asyncio.gather(*self._lines, return_exceptions=True)
        if self._server is not None:
            await self._server.wait_closed()

    @property
    def open(self) -> int:
        """Connections that are open now."""
        return len(self._lines)

    def cut(self) -> None:
        """Reset every connection now."""
        for writer in self._writers:
            _reset(writer)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = asyncio.current_task()
        assert line is not None  # asyncio runs this callback as a task
        self._lines.add(line)
        self.connections += 1
        try:
            await self._line(reader, writer)
        except (OSError, asyncio.CancelledError):
            _reset(writer)
        finally:
            self._lines.discard(line)

    async def _line(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            to_reader, to_writer = await asyncio.open_connection(*self._target)
        except OSError:
            self._writers.discard(writer)
            raise
        self._writers.add(to_writer)
        ways = [
            asyncio.create_task(self._carry(reader, to_writer, up=True)),
            asyncio.create_task(self._carry(to_reader, writer, up=False)),
        ]
        try:
            # one way at its end leaves the other open (a reply may still be coming)
            await asyncio.gather(*ways)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            for end in (writer, to_writer):
                self._writers.discard(end)
                end.close()

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, up: bool
    ) -> None:
        carried = 0
        while piece := await reader.read(self._piece()):
            if self.blackhole:
                continue
            await asyncio.sleep(self.latency + self._seconds(len(piece)))
            most = self.cut_up if up else self.cut_down
            if most is not None and carried + len(piece) > most:
                writer.write(piece[: max(0, most - carried)])
                with contextlib.suppress(OSError):
                    await writer.drain()
                raise ConnectionResetError("cut")
            carried += len(piece)
            if up:
                self.bytes_up += len(piece)
            else:
                self.bytes_down += len(piece)
            writer.write(piece)
            await writer.drain()
        if not self.blackhole and writer.can_write_eof():
            with contextlib.suppress(OSError):
                writer.write_eof()

    def _piece(self) -> int:
        """The largest piece at a time: a tenth of a second's worth, so that it flows evenly."""
        if self.bandwidth is None:
            return _CHUNK
        return max(1, min(_CHUNK, int(self.bandwidth / 10)))

    def _seconds(self, size: int) -> float:
        return 0.0 if self.bandwidth is None else size / self.bandwidth


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close a connection as a crashed host does: no goodbye, unsent bytes lost."""
    made: socket.socket | None = writer.get_extra_info("socket")
    if made is not None:
        with contextlib.suppress(OSError):
            made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
