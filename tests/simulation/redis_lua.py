"""Lua scripts as Redis runs them, in the Lua 5.1 of lupa.

A script gets ``KEYS`` and ``ARGV`` and calls Redis by ``redis.call``. As in Redis, it can neither
create a global variable nor read one that does not exist, so it cannot keep anything. Of the
library ``redis``, only what the package uses exists: a script that uses more fails.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from hashlib import sha1
from importlib import import_module
from typing import Any, Final, TypeAlias

from tests.simulation.redis_reply import RedisError, Reply, Status

#: Its types are wrong for an interpreter of bytes.
lua51: Final[Any] = import_module("lupa.lua51")
#: Runs one command for a script.
Call: TypeAlias = Callable[[list[bytes]], Reply]

_GUARD: Final = b"""
setmetatable(_G, {
  __newindex = function(_, name) error('script creates the global variable ' .. name) end,
  __index = function(_, name) error('script reads the missing global ' .. name) end,
})
"""


class _Interpreter:
    """The interpreter of this process, because starting one takes a millisecond."""

    def __init__(self) -> None:
        self._lua: Final = lua51.LuaRuntime(
            encoding=None, register_eval=False, register_builtins=False
        )
        self._call: Call | None = None
        names = self._lua.globals()
        for name in (b"python", b"io", b"os", b"require", b"dofile", b"loadfile", b"print"):
            names[name] = None
        names[b"redis"] = self._lua.table_from({b"call": self._run_command, b"sha1hex": _sha1hex})
        self._lua.execute(_GUARD)
        self._compiled: Final[dict[bytes, Any]] = {}

    def run(
        self, source: bytes, keys: Sequence[bytes], arguments: Sequence[bytes], call: Call
    ) -> Reply:
        function = self._compiled.get(source)
        if function is None:
            function = self._lua.execute(b"return function(KEYS, ARGV) " + source + b"\nend")
            self._compiled[source] = function
        self._call = call
        try:
            answer = function(self._lua.table_from(keys), self._lua.table_from(arguments))
        except lua51.LuaError as error:
            raise RedisError(f"ERR {error}") from None
        finally:
            self._call = None
        return _to_reply(answer)

    def _run_command(self, *command: bytes | float) -> Any:
        assert self._call is not None
        return self._to_lua(self._call([_to_argument(each) for each in command]))

    def _to_lua(self, reply: Reply) -> Any:
        if reply is None:
            return False
        if isinstance(reply, Status):
            return self._lua.table_from({b"ok": reply.text.encode()})
        if isinstance(reply, list):
            return self._lua.table_from([self._to_lua(each) for each in reply])
        return reply


def _sha1hex(data: bytes) -> bytes:
    return sha1(data).hexdigest().encode()


def _to_argument(value: bytes | float) -> bytes:
    """Return an argument of ``redis.call`` as Redis gets it."""
    return value if isinstance(value, bytes) else b"%.17g" % value


def _to_reply(value: Any) -> Reply:
    if value is None or value is False:
        return None
    if value is True:
        return 1
    if isinstance(value, bytes):
        return value
    if isinstance(value, int | float):
        return int(value)
    if b"err" in value or b"ok" in value:
        raise RedisError("ERR the package's scripts return no status")
    return [_to_reply(value[at]) for at in range(1, len(value) + 1)]


@functools.cache
def _interpreter() -> _Interpreter:
    return _Interpreter()


def run_script(
    source: bytes, keys: Sequence[bytes], arguments: Sequence[bytes], call: Call
) -> Reply:
    """Run ``source``. Raises `RedisError` if it fails."""
    return _interpreter().run(source, keys, arguments, call)
