"""The network in memory: hosts, links and connections between workers and servers.

Model. A connection has two streams of bytes. Bytes arrive after a drawn delay and in order. What
is under way when a worker dies still arrives. Connections are independent, so requests of
different connections overtake each other. TLS costs one more round trip and is otherwise absent:
bytes are not encrypted, and both ends are trusted.

A link is a worker and a host. It counts attempts to connect and requests, and knows the faults for
them. While a worker and a host are parted, bytes wait, as TCP sends them again until it succeeds.

Servers are objects with two methods (`ServerSide`), which the network calls outside of any worker.
"""

from __future__ import annotations

import asyncio
import errno
import random
import socket
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol

from tests.simulation.faults import CONNECT, STREAM, Fault, Phase
from tests.simulation.loop import WORKER, VirtualLoop, Worker, context_of

#: Seconds for one direction: the shortest, and how much longer it may be.
_NEAR: Final = 0.002
_SPREAD: Final = 0.04
#: Seconds after which an attempt to connect to a silent host fails.
_UNREACHABLE: Final = 130.0


class ServerSide(Protocol):
    """What a server does with one connection."""

    def data_received(self, data: bytes) -> None:
        """Handle bytes of the client."""

    def closed(self) -> None:
        """The client has closed the connection, or died."""


class Link:
    """What the network knows of one worker and one host."""

    __slots__ = ("connects", "faults", "host", "latest", "random", "requests", "worker")

    def __init__(self, worker: Worker, host: str, chance: random.Random) -> None:
        self.worker: Final = worker
        self.host: Final = host
        self.random: Final = chance
        self.connects = 0
        self.requests = 0
        self.faults: dict[tuple[str, int], Fault] = {}
        #: Until when nothing passes.
        self.latest = 0.0


class Endpoint:
    """An address that was connected to: what the resolver and the loop pass on as a socket."""

    def __init__(self, host: str, port: int) -> None:
        self._address: Final = (host, port)

    def getpeername(self) -> tuple[str, int]:
        return self._address

    def close(self) -> None:
        """Do nothing: no file is open."""


class Network:
    """All hosts and connections of a world.

    ``on_fault`` is called with each fault that took effect and its situation; ``on_phase`` with the
    worker and a fault whose phase is reached.
    """

    def __init__(
        self,
        loop: VirtualLoop,
        seed: str,
        faults: Iterable[Fault],
        on_fault: Callable[[Fault, str], None],
        on_phase: Callable[[Worker, Fault], None],
    ) -> None:
        self.loop: Final = loop
        self.outside: Final = context_of(None)
        self.on_fault: Final = on_fault
        self._on_phase: Final = on_phase
        self._phases: Final[dict[tuple[str, str, Phase, int], Fault]] = {}
        self._seed: Final = seed
        self._links: Final[dict[tuple[Worker, str], Link]] = {}
        self._faults: Final = list(faults)
        for fault in self._faults:
            if fault.phase:
                self._phases[fault.worker, fault.host, fault.phase, fault.nth] = fault
        self._servers: Final[dict[tuple[str, int], Callable[[ServerEnd], ServerSide]]] = {}
        self._addresses: Final[dict[str, str]] = {}
        self._hosts: Final[dict[str, str]] = {}
        self._counting: Final[set[str]] = set()
        #: Open connections, in the order in which they were opened.
        self.connections: Final[dict[int, ClientEnd]] = {}
        self._opened = 0

    def listen(
        self,
        host: str,
        port: int,
        server: Callable[[ServerEnd], ServerSide],
        *,
        counts_requests: bool = False,
    ) -> None:
        """Let ``server`` make one `ServerSide` for each connection to ``host`` and ``port``.

        ``counts_requests``: the server counts the requests and applies the faults of its links. If
        not, all that arrives at once is a request, and the network applies the faults of `STREAM`.
        """
        self._servers[host, port] = server
        if counts_requests:
            self._counting.add(host)
        address = self._addresses.setdefault(host, f"10.0.0.{len(self._addresses) + 1}")
        self._hosts[address] = host

    def link(self, worker: Worker, host: str) -> Link:
        """Return the link of ``worker`` and ``host``."""
        found = self._links.get((worker, host))
        if found is None:
            chance = random.Random(f"{self._seed}/{worker!r}/{host}")
            found = self._links[worker, host] = Link(worker, host, chance)
            if worker.life == 1:  # a plan names the requests of a worker's first life
                for fault in self._faults:
                    if (fault.worker, fault.host) == (worker.name, host) and not fault.phase:
                        kind = "connect" if fault.kind in CONNECT else "request"
                        found.faults[kind, fault.nth] = fault
        return found

    def part(self, link: Link, seconds: float) -> None:
        """Let nothing pass on ``link`` for so many seconds."""
        link.latest = max(link.latest, self.loop.now + seconds)

    def reach(self, link: Link, phase: Phase, number: int, at: float = 0.0) -> None:
        """A request of ``link`` reaches a phase now, or at a moment."""
        if self._phases and link.worker.life == 1:
            fault = self._phases.pop((link.worker.name, link.host, phase, number), None)
            if fault is not None:
                moment = max(at, self.loop.now)
                self.loop.call_at(moment, self._on_phase, link.worker, fault, context=self.outside)

    def arrival(self, link: Link, earliest: float = 0.0) -> float:
        """Draw when bytes that are sent on ``link`` now arrive."""
        now = self.loop.now
        moment = now + _NEAR + _SPREAD * link.random.random() ** 4
        if link.latest > now:
            moment += link.latest - now
        return max(moment, earliest)

    async def resolve(self, host: str, port: int) -> list[tuple[Any, ...]]:
        """Return the address of ``host``, as ``getaddrinfo`` does."""
        worker = WORKER.get()
        assert worker is not None
        link = self.link(worker, self._hosts.get(host, host))
        await asyncio.sleep(self.arrival(link) - self.loop.now)
        fault = link.faults.get(("connect", link.connects + 1))
        if host not in self._addresses and host not in self._hosts:
            raise socket.gaierror(socket.EAI_NONAME, f"unknown host {host}")
        if fault is not None and fault.kind == "no_name":
            link.connects += 1
            self.on_fault(fault, "resolve")
            raise socket.gaierror(socket.EAI_AGAIN, "no answer from the name server")
        address = self._addresses.get(host, host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    async def connect(
        self, factory: Callable[[], asyncio.BaseProtocol], host: str, port: int, *, tls: bool
    ) -> tuple[asyncio.Transport, asyncio.BaseProtocol]:
        """Open a connection for the running worker."""
        worker = WORKER.get()
        assert worker is not None, "only a worker connects"
        name = self._hosts.get(host, host)
        link = self.link(worker, name)
        link.connects += 1
        self.reach(link, "connect", link.connects)
        fault = link.faults.get(("connect", link.connects))
        if fault is not None and fault.kind == "unreachable":
            self.on_fault(fault, "connect")
            await asyncio.sleep(_UNREACHABLE)
            raise TimeoutError(errno.ETIMEDOUT, "no answer")
        for _ in range(4 if tls else 2):
            await asyncio.sleep(self.arrival(link) - self.loop.now)
        server = self._servers.get((name, port))
        if server is None or (fault is not None and fault.kind == "refused"):
            if fault is not None:
                self.on_fault(fault, "connect")
            raise ConnectionRefusedError(errno.ECONNREFUSED, "connection refused")
        protocol = factory()
        self._opened += 1
        client = ClientEnd(
            self,
            link,
            protocol,
            (host, port),
            self._opened,
            tls=tls,
            counted=name in self._counting,
        )
        client.server = server(ServerEnd(client))
        self.connections[client.number] = client
        protocol.connection_made(client)
        return client, protocol

    def open_connections(self, worker: Worker) -> int:
        """Return how many connections ``worker`` has open."""
        return sum(one.link.worker is worker for one in self.connections.values())

    def end_connections(self, worker: Worker) -> None:
        """Tell the servers that the connections of a dead worker have ended."""
        for one in [one for one in self.connections.values() if one.link.worker is worker]:
            one.end_of_client()


class ClientEnd(asyncio.Transport):
    """The client's end of a connection."""

    def __init__(
        self,
        network: Network,
        link: Link,
        protocol: asyncio.BaseProtocol,
        peer: tuple[str, int],
        number: int,
        *,
        tls: bool,
        counted: bool,
    ) -> None:
        super().__init__()
        self.network: Final = network
        self.link: Final = link
        self.number: Final = number
        self.server: ServerSide | None = None
        self._protocol = protocol
        self._extra: dict[str, Any] = {"peername": peer}
        if tls:
            self._extra |= {"sslcontext": self, "ssl_object": self}
        self._context: Final = context_of(link.worker)
        self._counted: Final = counted
        self._closing = False
        self._ended = False
        #: Whether nothing that the server writes arrives.
        self._muted = False
        self._late = 0.0
        #: Bytes on the way to the server, and the moments when the last ones arrive.
        self._outgoing: list[bytes] = []
        self._out_at = 0.0
        self.in_at = 0.0
        self._paused: list[bytes] | None = None

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._extra.get(name, default)

    # -- what protocols call ----------------------------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._closing:
            return
        if not self._outgoing:  # one delivery for all that is written at once
            network = self.network
            self._out_at = network.arrival(self.link, self._out_at)
            network.loop.call_at(self._out_at, self._deliver, context=network.outside)
        self._outgoing.append(bytes(data))

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        self.write(b"".join(list_of_data))

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        self._lose(None)

    def abort(self) -> None:
        self._lose(None)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def is_reading(self) -> bool:
        return self._paused is None and not self._closing

    def pause_reading(self) -> None:
        if self._paused is None:
            self._paused = []

    def resume_reading(self) -> None:
        held, self._paused = self._paused, None
        for data in held or ():
            self.network.loop.call_soon(self._receive, data, context=self._context)

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Do nothing: the buffer has no limit."""

    def can_write_eof(self) -> bool:
        return False

    # -- delivery -------------------------------------------------------------------------------

    def _deliver(self) -> None:
        """Give the server what has arrived."""
        data = b"".join(self._outgoing)
        self._outgoing.clear()
        if self.server is not None and not self._muted:
            if self._counted:
                self.server.data_received(data)
            else:
                self._deliver_with_faults(self.server, data)

    def _deliver_with_faults(self, server: ServerSide, data: bytes) -> None:
        link, network = self.link, self.network
        link.requests += 1
        number = link.requests
        fault = link.faults.get(("request", number))
        kind = "" if fault is None or fault.kind not in STREAM else fault.kind
        if kind and fault is not None:
            network.on_fault(fault, f"request {link.host}")
            if kind == "partition":
                network.part(link, fault.seconds)
            elif kind == "late":
                self._late = fault.seconds
        network.reach(link, "sent", number)
        if kind == "cut_before":
            self.break_off(ConnectionResetError(errno.ECONNRESET, "reset"))
        elif kind == "lost_request":
            self._muted = True
        else:
            self._muted = kind in ("cut_after", "lost_reply")
            server.data_received(data)
            self._late = 0.0
            network.reach(link, "arrived", number)
            if kind == "cut_after":
                self.break_off(ConnectionResetError(errno.ECONNRESET, "reset"))

    def send_to_client(self, data: bytes, after: float = 0.0) -> float:
        """Let ``data`` arrive at the client. Returns when it does."""
        network = self.network
        self.in_at = max(network.arrival(self.link) + after + self._late, self.in_at)
        if self._muted:
            return self.in_at
        network.loop.call_at(self.in_at, self._receive, data, context=self._context)
        return self.in_at

    def _receive(self, data: bytes) -> None:
        if self._ended:
            return
        if self._paused is not None:
            self._paused.append(data)
        elif isinstance(self._protocol, asyncio.BufferedProtocol):
            raise TypeError("buffered protocols are not simulated")
        else:
            self._protocol.data_received(data)  # type: ignore[attr-defined]

    def break_off(self, error: OSError | None, after: float = 0.0) -> None:
        """End the connection from the server's side: with a reset, or with an orderly end."""
        server, self.server = self.server, None
        if server is not None:
            self.network.loop.call_soon(server.closed, context=self.network.outside)
        self.in_at = max(self.network.arrival(self.link) + after, self.in_at)
        self.network.loop.call_at(self.in_at, self._broken, error, context=self._context)

    def _broken(self, error: OSError | None) -> None:
        if self._closing:
            return
        if error is None and isinstance(self._protocol, asyncio.Protocol):
            self._protocol.eof_received()
        self._lose(error)

    def _lose(self, error: OSError | None) -> None:
        if not self._closing:
            self._closing = True
            loop = self.network.loop
            loop.call_soon(self._lost, error, context=self._context)
            moment = self.network.arrival(self.link, self._out_at)
            loop.call_at(moment, self.end_of_client, context=self.network.outside)

    def _lost(self, error: OSError | None) -> None:
        self._ended = True
        self.network.connections.pop(self.number, None)
        self._protocol.connection_lost(error)

    def end_of_client(self) -> None:
        """Tell the server that the client's side has ended."""
        self.network.connections.pop(self.number, None)
        server, self.server = self.server, None
        if server is not None:
            server.closed()


class ServerEnd:
    """The server's end of a connection."""

    __slots__ = ("_client", "host", "link", "network", "worker")

    def __init__(self, client: ClientEnd) -> None:
        self._client: Final = client
        self.link: Final = client.link
        self.worker: Final = client.link.worker
        self.host: Final = client.link.host
        self.network: Final = client.network

    @property
    def latest(self) -> float:
        """When the last bytes that were written arrive."""
        return self._client.in_at

    def write(self, data: bytes, after: float = 0.0) -> float:
        """Send ``data`` after so many seconds. Returns when it arrives."""
        return self._client.send_to_client(data, after)

    def close(self, after: float = 0.0) -> None:
        """End the connection in an orderly way."""
        self._client.break_off(None, after)

    def cut(self, after: float = 0.0) -> None:
        """Reset the connection."""
        self._client.break_off(ConnectionResetError(errno.ECONNRESET, "reset"), after)
