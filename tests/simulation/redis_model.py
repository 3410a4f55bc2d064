"""Redis as a model in virtual time, with the commands that the package uses and its real scripts.

Model
-----
One server, which runs one command at a time. Its clock is the world's clock plus ``offset``. During
a script, time does not pass. A key has a text, a hash or a sorted set, and perhaps an end.

An unknown command or option is an error, as in Redis, and is noted in ``unknown``: a world that
ends with an unknown command proves nothing.

Faults
------
- `restart`: all connections break and the scripts are gone. The data is that of a snapshot, or
  none. Another process has another ``run_id``.
- `failover`: the same with a replica's data, which lacks the writes of the last seconds.
- `flush_scripts`: only the scripts are gone (``SCRIPT FLUSH``).
- `step`: the clock is set.
- ``refusal``: an error that each write gets, such as that of a replica that is read only.
- ``loading``: an error that each command gets, as after a restart.

Slowness and what happens to bytes on their way is in `redis_network`.
"""

from __future__ import annotations

import copy
import math
import random
from collections import deque
from collections.abc import Callable
from hashlib import sha1
from typing import Final, NamedTuple, TypeAlias

from tests.simulation.redis_lua import run_script
from tests.simulation.redis_reply import Push, RedisError, Reply, Status, encode

Value: TypeAlias = "bytes | dict[bytes, bytes] | dict[bytes, float]"
#: Seconds of writes that a failover may lose.
JOURNAL: Final = 60.0
READ_ONLY: Final = "READONLY You can't write against a read only replica."
LOADING: Final = "LOADING Redis is loading the dataset in memory"
OUT_OF_MEMORY: Final = "OOM command not allowed when used memory > 'maxmemory'."
CANNOT_SAVE: Final = "MISCONF Redis is configured to save RDB snapshots, but it cannot persist"
OK: Final = Status("OK")


class Entry(NamedTuple):
    """The value of a key, and when it ends (by the server's clock)."""

    value: Value
    ends: float = math.inf


class Snapshot(NamedTuple):
    """All keys at one moment."""

    entries: dict[bytes, Entry]


class Change(NamedTuple):
    """A write: when it was, by the world's clock, and what the key held before."""

    at: float
    key: bytes
    before: Entry | None


class RedisModel:
    """The server. ``now`` is the world's clock, in seconds since 1970."""

    def __init__(self, now: Callable[[], float], chance: random.Random) -> None:
        self._now: Final = now
        self._chance: Final = chance
        self.offset = 0.0
        self.refusal = ""
        self.loading = False
        self.is_up = True
        self.run_id = ""
        #: The commands and options that this model does not have.
        self.unknown: Final[list[str]] = []
        #: Number of commands and of scripts that were run.
        self.commands_run = 0
        self.scripts_run = 0
        self._entries: dict[bytes, Entry] = {}
        self._scripts: Final[dict[bytes, bytes]] = {}
        self._journal: Final[deque[Change]] = deque()
        self._clients: Final[dict[RedisClient, None]] = {}
        self._begin_process()

    # -- faults -----------------------------------------------------------------------------------

    def save(self) -> Snapshot:
        """Return the data now."""
        return Snapshot(copy.deepcopy(self._entries))

    def restart(self, snapshot: Snapshot | None = None) -> None:
        """Start again with the data of ``snapshot``, or with none."""
        self._entries = {} if snapshot is None else copy.deepcopy(snapshot.entries)
        self._begin_process()

    def failover(self, lost: float) -> None:
        """Continue on a replica that lacks the writes of the last ``lost`` seconds."""
        since = self._now() - lost
        while self._journal and self._journal[-1].at >= since:
            change = self._journal.pop()
            if change.before is None:
                self._entries.pop(change.key, None)
            else:
                self._entries[change.key] = change.before
        self._begin_process()

    def stop(self) -> None:
        """End the process. Its data is lost, but for what `restart` gets."""
        self.is_up = False
        self._break_connections()

    def flush_scripts(self) -> None:
        """Forget the scripts."""
        self._scripts.clear()

    def flush(self) -> None:
        """Forget the data."""
        for key in tuple(self._entries):
            self._note_write(key)
        self._entries.clear()

    def lose_key(self, number: int) -> None:
        """Forget one usage, as an eviction does."""
        found = sorted(key for key in self._entries if b":usage:" in key)
        if found:
            self._del([found[number % len(found)]])

    def initialize(self) -> None:
        """Mark the server as one that lost no data, as `RedisLedger.initialize` does."""
        epoch = {b"id": b"first", b"run_id": self.run_id.encode(), b"birth": b"0"}
        self._hset([b"zoho_async:1:epoch", *(each for pair in epoch.items() for each in pair)])

    def step(self, seconds: float) -> None:
        """Set the clock forward, or back if below 0."""
        self.offset += seconds

    def _begin_process(self) -> None:
        self.run_id = f"{self._chance.getrandbits(160):040x}"
        self._scripts.clear()
        self._journal.clear()
        self._break_connections()
        self.is_up = True

    def _break_connections(self) -> None:
        for client in tuple(self._clients):
            client.abort()
        self._clients.clear()

    # -- connections ------------------------------------------------------------------------------

    def opened(self, client: RedisClient) -> None:
        """Note a new connection."""
        if self.is_up:
            self._clients[client] = None
        else:
            client.abort()

    def closed(self, client: RedisClient) -> None:
        """Forget a connection."""
        self._clients.pop(client, None)

    # -- commands ---------------------------------------------------------------------------------

    def now(self) -> float:
        """Return the server's time, in whole microseconds."""
        return round((self._now() + self.offset) * 1e6) / 1e6

    def execute(self, client: RedisClient, command: list[bytes]) -> Reply:
        """Run one command of a client."""
        self.commands_run += 1
        name = command[0].upper()
        try:
            if self.loading:
                raise RedisError(LOADING)
            if client.queue is not None and name not in (b"EXEC", b"DISCARD"):
                client.queue.append(command)
                return Status("QUEUED")
            of_connection = _OF_CONNECTION.get(name)
            if of_connection is not None:
                return of_connection(self, client, command[1:])
            return self._run(command)
        except RedisError as error:
            return error

    def _run(self, command: list[bytes]) -> Reply:
        """Run a command that does not depend on the connection."""
        name = command[0].upper()
        if name in _WRITES and self.refusal:
            raise RedisError(self.refusal)
        known = _COMMANDS.get(name)
        if known is None:
            raise self._unknown(command)
        return known(self, command[1:])

    def _unknown(self, command: list[bytes]) -> RedisError:
        text = b" ".join(command[:2]).decode("utf-8", "replace")
        self.unknown.append(text)
        return RedisError(f"ERR unknown command '{text}'")

    def _entry(self, key: bytes) -> Entry | None:
        entry = self._entries.get(key)
        if entry is not None and entry.ends <= self.now():
            self._note_write(key)
            del self._entries[key]
            return None
        return entry

    def _text(self, key: bytes) -> bytes | None:
        entry = self._entry(key)
        if entry is None:
            return None
        if not isinstance(entry.value, bytes):
            raise RedisError("WRONGTYPE Operation against a key holding the wrong kind of value")
        return entry.value

    def _fields(self, key: bytes) -> dict[bytes, bytes]:
        entry = self._entry(key)
        return {} if entry is None else entry.value  # type: ignore[return-value] # by its commands

    def _scores(self, key: bytes) -> dict[bytes, float]:
        entry = self._entry(key)
        return {} if entry is None else entry.value  # type: ignore[return-value] # by its commands

    def _note_write(self, key: bytes) -> None:
        """Note that ``key`` is about to change."""
        before, now = self._entries.get(key), self._now()
        if before is not None and not isinstance(before.value, bytes):
            before = Entry(before.value.copy(), before.ends)
        self._journal.append(Change(now, key, before))
        while self._journal[0].at < now - JOURNAL:
            self._journal.popleft()
        for client in self._clients:
            if key in client.watched:
                client.is_outdated = True

    def _store(self, key: bytes, value: dict[bytes, bytes] | dict[bytes, float]) -> None:
        """Keep a hash or a sorted set, which does not exist if it is empty."""
        if value:
            entry = self._entries.get(key)
            self._entries[key] = Entry(value, math.inf if entry is None else entry.ends)
        else:
            self._entries.pop(key, None)

    def _get(self, given: list[bytes]) -> Reply:
        (key,) = given
        return self._text(key)

    def _set(self, given: list[bytes]) -> Reply:
        key, value, *options = given
        ends = math.inf
        match [option.upper() for option in options]:
            case []:
                pass
            case [b"EX", seconds]:
                ends = self.now() + int(seconds)
            case [b"EXAT", moment]:
                ends = float(int(moment))
            case _:
                raise self._unknown([b"SET", *options])
        self._note_write(key)
        self._entries[key] = Entry(value, ends)
        return OK

    def _del(self, given: list[bytes]) -> Reply:
        found = [key for key in given if self._entry(key) is not None]
        for key in found:
            self._note_write(key)
            del self._entries[key]
        return len(found)

    def _hget(self, given: list[bytes]) -> Reply:
        key, field = given
        return self._fields(key).get(field)

    def _hgetall(self, given: list[bytes]) -> Reply:
        (key,) = given
        return [each for pair in self._fields(key).items() for each in pair]

    def _hset(self, given: list[bytes]) -> Reply:
        key, *pairs = given
        fields = self._fields(key)
        self._note_write(key)
        before = len(fields)
        fields.update(zip(pairs[::2], pairs[1::2], strict=True))
        self._store(key, fields)
        return len(fields) - before

    def _hsetnx(self, given: list[bytes]) -> Reply:
        key, field, value = given
        return 0 if field in self._fields(key) else self._hset([key, field, value])

    def _hdel(self, given: list[bytes]) -> Reply:
        key, *names = given
        return self._remove(key, self._fields(key), names)

    def _zadd(self, given: list[bytes]) -> Reply:
        key, score, member = given
        scores = self._scores(key)
        self._note_write(key)
        before = len(scores)
        scores[member] = float(score)
        self._store(key, scores)
        return len(scores) - before

    def _zrem(self, given: list[bytes]) -> Reply:
        key, *names = given
        return self._remove(key, self._scores(key), names)

    def _remove(
        self, key: bytes, value: dict[bytes, bytes] | dict[bytes, float], names: list[bytes]
    ) -> int:
        found = [name for name in names if name in value]
        if found:
            self._note_write(key)
            for name in found:
                del value[name]
            self._store(key, value)
        return len(found)

    def _zscore(self, given: list[bytes]) -> Reply:
        key, member = given
        score = self._scores(key).get(member)
        return None if score is None else b"%.17g" % score

    def _zrangebyscore(self, given: list[bytes]) -> Reply:
        key, least, most = given
        ordered = sorted((score, member) for member, score in self._scores(key).items())
        return [member for score, member in ordered if float(least) <= score <= float(most)]

    def _zremrangebyscore(self, given: list[bytes]) -> Reply:
        found = self._zrangebyscore(given)
        assert isinstance(found, list)
        return self._zrem([given[0], *found]) if found else 0  # type: ignore[list-item]

    def _time(self, given: list[bytes]) -> Reply:
        seconds, micros = divmod(round(self.now() * 1e6), 1_000_000)
        return [b"%d" % seconds, b"%d" % micros]

    def _ping(self, given: list[bytes]) -> Reply:
        return Status("PONG")

    def _info(self, given: list[bytes]) -> Reply:
        match given:
            case [b"server"]:
                text = f"# Server\r\nredis_version:7.4.0\r\nrun_id:{self.run_id}\r\n"
            case [b"memory"]:
                text = "# Memory\r\nmaxmemory:0\r\nmaxmemory_policy:noeviction\r\n"
            case _:
                raise self._unknown([b"INFO", *given])
        return text.encode()

    def _publish(self, given: list[bytes]) -> Reply:
        channel, message = given
        listeners = [client for client in self._clients if channel in client.channels]
        for client in listeners:
            client.reply(Push([b"message", channel, message]))
        return len(listeners)

    def _eval(self, given: list[bytes]) -> Reply:
        source = given[0]
        self._scripts[sha1(source).hexdigest().encode()] = source
        return self._run_script(source, given[1:])

    def _evalsha(self, given: list[bytes]) -> Reply:
        source = self._scripts.get(given[0])
        if source is None:
            raise RedisError("NOSCRIPT No matching script. Please use EVAL.")
        return self._run_script(source, given[1:])

    def _run_script(self, source: bytes, given: list[bytes]) -> Reply:
        if self.refusal == OUT_OF_MEMORY:
            raise RedisError(self.refusal)
        self.scripts_run += 1
        count = int(given[0])
        return run_script(source, given[1 : 1 + count], given[1 + count :], self._run)

    # -- commands of a connection -----------------------------------------------------------------

    def _hello(self, client: RedisClient, given: list[bytes]) -> Reply:
        if given not in ([b"2"], [b"3"]):
            raise self._unknown([b"HELLO", *given])
        client.version = int(given[0])
        return {b"server": b"redis", b"version": b"7.4.0", b"proto": client.version, b"id": 1}

    def _client(self, client: RedisClient, given: list[bytes]) -> Reply:
        match given[0].upper():
            case b"SETINFO":
                return OK
            case b"MAINT_NOTIFICATIONS":  # of Redis Enterprise; the library asks every server
                raise RedisError("ERR unknown subcommand 'MAINT_NOTIFICATIONS'. Try CLIENT HELP.")
            case _:
                raise self._unknown([b"CLIENT", *given])

    def _subscribe(self, client: RedisClient, given: list[bytes]) -> Reply:
        for channel in given:
            client.channels[channel] = None
            client.reply(Push([b"subscribe", channel, len(client.channels)]))
        return Push([])

    def _unsubscribe(self, client: RedisClient, given: list[bytes]) -> Reply:
        for channel in given or tuple(client.channels):
            client.channels.pop(channel, None)
            client.reply(Push([b"unsubscribe", channel, len(client.channels)]))
        return Push([])

    def _watch(self, client: RedisClient, given: list[bytes]) -> Reply:
        for key in given:
            self._entry(key)
            client.watched[key] = None
        return OK

    def _unwatch(self, client: RedisClient, given: list[bytes]) -> Reply:
        client.watched.clear()
        client.is_outdated = False
        return OK

    def _multi(self, client: RedisClient, given: list[bytes]) -> Reply:
        client.queue = []
        return OK

    def _discard(self, client: RedisClient, given: list[bytes]) -> Reply:
        client.queue = None
        return self._unwatch(client, [])

    def _exec(self, client: RedisClient, given: list[bytes]) -> Reply:
        if client.queue is None:
            raise RedisError("ERR EXEC without MULTI")
        queue, client.queue = client.queue, None
        for key in client.watched:
            self._entry(key)  # one that ended was changed
        outdated = client.is_outdated
        self._unwatch(client, [])
        return None if outdated else [self.execute(client, command) for command in queue]


class RedisClient:
    """What the server knows of one connection. ``write`` sends bytes, ``cut`` ends it."""

    def __init__(self, write: Callable[[bytes], object], cut: Callable[[], object]) -> None:
        self._write: Final = write
        self.abort: Final = cut
        self.version = 2
        self.channels: Final[dict[bytes, None]] = {}
        self.watched: Final[dict[bytes, None]] = {}
        self.is_outdated = False
        self.queue: list[list[bytes]] | None = None

    def reply(self, reply: Reply) -> None:
        """Send ``reply``. An empty `Push` is not sent."""
        if reply != Push([]):
            self._write(encode(reply, self.version))


_OF_CONNECTION: Final[dict[bytes, Callable[[RedisModel, RedisClient, list[bytes]], Reply]]] = {
    b"CLIENT": RedisModel._client,
    b"DISCARD": RedisModel._discard,
    b"EXEC": RedisModel._exec,
    b"HELLO": RedisModel._hello,
    b"MULTI": RedisModel._multi,
    b"SUBSCRIBE": RedisModel._subscribe,
    b"UNSUBSCRIBE": RedisModel._unsubscribe,
    b"UNWATCH": RedisModel._unwatch,
    b"WATCH": RedisModel._watch,
}
_COMMANDS: Final[dict[bytes, Callable[[RedisModel, list[bytes]], Reply]]] = {
    b"DEL": RedisModel._del,
    b"EVAL": RedisModel._eval,
    b"EVALSHA": RedisModel._evalsha,
    b"GET": RedisModel._get,
    b"HDEL": RedisModel._hdel,
    b"HGET": RedisModel._hget,
    b"HGETALL": RedisModel._hgetall,
    b"HSET": RedisModel._hset,
    b"HSETNX": RedisModel._hsetnx,
    b"INFO": RedisModel._info,
    b"PING": RedisModel._ping,
    b"PUBLISH": RedisModel._publish,
    b"SET": RedisModel._set,
    b"TIME": RedisModel._time,
    b"ZADD": RedisModel._zadd,
    b"ZRANGEBYSCORE": RedisModel._zrangebyscore,
    b"ZREM": RedisModel._zrem,
    b"ZREMRANGEBYSCORE": RedisModel._zremrangebyscore,
    b"ZSCORE": RedisModel._zscore,
}
_WRITES: Final = frozenset(
    (b"DEL", b"HDEL", b"HSET", b"HSETNX", b"SET", b"ZADD", b"ZREM", b"ZREMRANGEBYSCORE")
)
