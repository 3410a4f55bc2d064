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

    ``latency`` is how much later each chunk arrives, in seconds and each way. ``bandwidth`` is in
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
        self._relays: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Proxy:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
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
        for relay in self._relays:
            relay.cancel()
        await asyncio.gather(*self._relays, return_exceptions=True)
        if self._server is not None:
            await self._server.wait_closed()

    @property
    def open(self) -> int:
        """Connections that are open now."""
        return len(self._relays)

    def cut(self) -> None:
        """Reset every connection now."""
        for writer in self._writers:
            _reset(writer)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        relay = asyncio.current_task()
        assert relay is not None  # asyncio runs this callback as a task
        self._relays.add(relay)
        self.connections += 1
        try:
            await self._relay(reader, writer)
        except (OSError, asyncio.CancelledError):
            _reset(writer)
        finally:
            self._relays.discard(relay)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            to_reader, to_writer = await asyncio.open_connection(*self._target)
        except OSError:
            self._writers.discard(writer)
            raise
        self._writers.add(to_writer)
        directions = [
            asyncio.create_task(self._copy(reader, to_writer, up=True)),
            asyncio.create_task(self._copy(to_reader, writer, up=False)),
        ]
        try:
            # one way at its end leaves the other open (a reply may still be coming)
            await asyncio.gather(*directions)
        finally:
            for direction in directions:
                direction.cancel()
            await asyncio.gather(*directions, return_exceptions=True)
            for end in (writer, to_writer):
                self._writers.discard(end)
                end.close()

    async def _copy(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, up: bool
    ) -> None:
        copied = 0
        while chunk := await reader.read(self._chunk_size()):
            if self.blackhole:
                continue
            await asyncio.sleep(self.latency + self._seconds(len(chunk)))
            most = self.cut_up if up else self.cut_down
            if most is not None and copied + len(chunk) > most:
                writer.write(chunk[: max(0, most - copied)])
                with contextlib.suppress(OSError):
                    await writer.drain()
                raise ConnectionResetError("cut")
            copied += len(chunk)
            if up:
                self.bytes_up += len(chunk)
            else:
                self.bytes_down += len(chunk)
            writer.write(chunk)
            await writer.drain()
        if not self.blackhole and writer.can_write_eof():
            with contextlib.suppress(OSError):
                writer.write_eof()

    def _chunk_size(self) -> int:
        """The largest chunk at a time: a tenth of a second's worth, so that it flows evenly."""
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
