"""The simulated Redis behind the network, and what goes wrong between it and its clients.

Model. Bytes become commands, and the server runs one command at a time, in the order of arrival.
While it stalls, commands wait and run afterwards, also those whose client has given up and closed
its connection, as with a real server. A command of a process that has ended since is lost.

While a worker is parted, what it sends (``"to"``), what it gets (``"from"``) or both is lost, and
its connections stay open: neither side hears of it. The network has faults of single requests.
"""

from __future__ import annotations

import random
from typing import Final, Literal, TypeAlias

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
        #: Whether the server reads it, and whether the client can hear it.
        self._reads = self._hears = True
        server.model.opened(self._client)

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
        server, network = self._server, self._server.network
        for command in commands:
            moment, run_id = server.turn(), server.model.run_id
            if moment <= network.loop.now:
                self._run(run_id, command)
            else:
                network.loop.call_at(moment, self._run, run_id, command)

    def closed(self) -> None:
        self._hears = False
        self._server.model.closed(self._client)

    def _run(self, run_id: str, command: list[bytes]) -> None:
        model = self._server.model
        if run_id == model.run_id and model.is_up:
            self._client.reply(model.execute(self._client, command))

    def _write(self, data: bytes) -> None:
        if self._hears and self._server.is_parted(self._end.worker.name, "from"):
            self._hears = False
        if self._hears:
            self._end.write(data)

    def _cut(self) -> None:
        self._reads = self._hears = False
        self._server.model.closed(self._client)
        self._end.cut()
