"""The simulated Redis behind the network, and what goes wrong between it and its clients.

Model. Bytes become commands, and the server runs one command at a time, in the order of arrival.
While it stalls, commands wait and run afterwards, also those whose client has given up and closed
its connection, as with a real server. A command of a process that has ended since is lost.

Faults of a link count its commands (`faults.LINK`). TCP delivers each byte once, so there are no
duplicates and no stray bytes. While a worker is parted, what it sends (``"to"``), what it gets
(``"from"``) or both is lost, and its connections stay open: neither side hears of it.
"""

from __future__ import annotations

import random
from typing import Final, Literal, TypeAlias

from tests.simulation.faults import Fault
from tests.simulation.network import Network, ServerEnd
from tests.simulation.redis_model import RedisClient, RedisModel
from tests.simulation.redis_reply import Commands, RedisError
from tests.simulation.world import World

HOST: Final = "redis.internal"
PORT: Final = 6379
URL: Final = f"redis://{HOST}:{PORT}/0"

Way: TypeAlias = Literal["to", "from", "both"]


class RedisServer:
    """The server of a world, at `URL`. ``slow`` is the seconds that each command takes."""

    def __init__(self, world: World) -> None:
        chance = random.Random(f"{world.plan.seed}/redis")
        self.model: Final = RedisModel(world.clock.time, chance)
        self.network: Final[Network] = world.network
        self.slow = 0.0
        self._free_at = 0.0
        self._parted: Final[dict[str, tuple[float, Way]]] = {}
        world.network.listen(HOST, PORT, lambda end: _Connection(self, end))

    def stall(self, seconds: float) -> None:
        """Run no command for so many seconds."""
        self._free_at = max(self._free_at, self.network.loop.now + seconds)

    def part(self, worker: str, seconds: float, way: Way) -> None:
        """Lose what the worker of this name sends, gets, or both, for so many seconds."""
        self._parted[worker] = (self.network.loop.now + seconds, way)

    def is_parted(self, worker: str, way: Way) -> bool:
        """Return whether bytes on this way are lost."""
        until, ways = self._parted.get(worker, (0.0, way))
        return self.network.loop.now < until and ways in (way, "both")

    def turn(self) -> float:
        """Return when a command that arrives now is run."""
        now = self.network.loop.now
        if self.slow or self._free_at > now:
            self._free_at = max(self._free_at, now) + self.slow
            return self._free_at
        return now


class _Connection:
    """The server's side of one connection."""

    def __init__(self, server: RedisServer, end: ServerEnd) -> None:
        self._server: Final = server
        self._end: Final = end
        self._client: Final = RedisClient(self._write, self._cut)
        self._commands: Final = Commands()
        self._fault: Fault | None = None
        #: Whether the server still reads it, and whether the client can hear it.
        self._reads = self._hears = True
        server.model.opened(self._client)

    # -- of the network ---------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if not self._reads:
            return
        if self._server.is_parted(self._end.worker.name, "to"):
            self._reads = False  # a stream with a gap
            return
        try:
            commands = self._commands.feed(data)
        except RedisError as error:
            self._client.reply(error)
            self._cut()
            return
        for command in commands:
            if self._reads:
                self._arrive(command)

    def closed(self) -> None:
        self._hears = False
        self._server.model.closed(self._client)

    # -- commands ---------------------------------------------------------------------------------

    def _arrive(self, command: list[bytes]) -> None:
        link, network = self._end.link, self._server.network
        link.requests += 1
        number = link.requests
        fault = link.faults.get(("request", number)) if link.faults else None
        if fault is not None:
            network.met(fault, f"{command[0].decode()} {self._end.host}")
        kind = "" if fault is None else fault.kind
        if kind in ("lost_request", "cut_before"):
            self._reads = False
            if kind == "cut_before":
                self._cut()
            return
        if kind == "partition" and fault is not None:
            network.part(link, fault.seconds)
        network.on_phase(link, "sent", number)
        moment, run_id = self._server.turn(), self._server.model.run_id
        if moment <= network.loop.now:
            self._run(run_id, command, fault, number)
        else:
            network.loop.call_at(moment, self._run, run_id, command, fault, number)

    def _run(self, run_id: str, command: list[bytes], fault: Fault | None, number: int) -> None:
        model = self._server.model
        if run_id != model.run_id or not model.is_up:
            return
        self._fault = fault
        kind = "" if fault is None else fault.kind
        self._client.reply(model.execute(self._client, command))
        self._fault = None
        self._server.network.on_phase(self._end.link, "arrived", number)
        if kind == "lost_reply":
            self._hears = False
        elif kind in ("cut_after", "cut_within"):
            self._cut()
        elif kind == "cut_idle":
            self._cut(self._end.link.random.random())

    def _write(self, data: bytes) -> None:
        if not self._hears:
            return
        fault, end = self._fault, self._end
        kind = "" if fault is None else fault.kind
        if self._server.is_parted(end.worker.name, "from") or kind in ("lost_reply", "cut_after"):
            self._hears = False
        elif kind == "late" and fault is not None:
            end.write(data, fault.seconds)
        elif kind == "cut_within":
            end.write(data[: end.link.random.randrange(1, len(data))])
        elif kind == "bytewise":
            after = 0.0
            for start in range(0, len(data), 7):
                end.write(data[start : start + 7], after)
                after += 0.002
        else:
            end.write(data)

    def _cut(self, after: float = 0.0) -> None:
        self._reads = self._hears = False
        self._server.model.closed(self._client)
        self._end.cut(after)
