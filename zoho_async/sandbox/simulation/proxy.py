"""A TCP proxy that makes a connection slow, narrow, cut off or dead.

It works on bytes and knows nothing of HTTP. Bytes arrive late, slowly, in part, or not at all. Its
attributes may be changed while it runs and also apply to open connections. "Up" is towards the
server, "down" towards the client.
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
    """A proxy to ``target``, a URL such as ``sandbox.url``. Clients connect to ``url``.

    Args:
        target: URL with host and port.
        latency: delay of each chunk in each direction, in seconds.
        bandwidth: bytes per second, per direction and connection; None is unlimited.
        cut_up: bytes towards the server before a connection is reset; None: no reset.
        cut_down: bytes towards the client before a connection is reset; None: no reset.
        blackhole: whether bytes are read and dropped, without an error.

    Raises `ValueError` for a target without host or port.
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
            raise ValueError(f"target must be a URL with host and port, got {target!r}")
        self.latency = latency
        self.bandwidth = bandwidth
        self.cut_up = cut_up
        self.cut_down = cut_down
        self.blackhole = blackhole
        self.url = ""
        #: Connections accepted so far, and bytes forwarded.
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
        """Number of open connections."""
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
            # if one direction ends, the other stays open: a reply may still come
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
        """Return the chunk size: the bytes of a tenth of a second, so that data flows evenly."""
        if self.bandwidth is None:
            return _CHUNK
        return max(1, min(_CHUNK, int(self.bandwidth / 10)))

    def _seconds(self, size: int) -> float:
        return 0.0 if self.bandwidth is None else size / self.bandwidth


def _reset(writer: asyncio.StreamWriter) -> None:
    """Reset a connection, as a crashed host does. Unsent bytes are lost."""
    made: socket.socket | None = writer.get_extra_info("socket")
    if made is not None:
        with contextlib.suppress(OSError):
            made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
