"""The bytes that Redis and its clients exchange: RESP2, and RESP3 after ``HELLO 3``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias, Union


class RedisError(Exception):
    """An error reply. Its text begins with the kind, such as ``NOSCRIPT``."""


@dataclass(frozen=True, slots=True)
class Status:
    """A short text, such as OK."""

    text: str


@dataclass(frozen=True, slots=True)
class Push:
    """A message that answers no command, or confirms a subscription."""

    parts: list[Reply]


Reply: TypeAlias = Union[
    int, bytes, Status, RedisError, Push, "list[Reply]", "dict[bytes, Reply]", None
]


def encode(reply: Reply, protocol: int) -> bytes:
    """Return the bytes of ``reply``."""
    match reply:
        case None:
            return b"_\r\n" if protocol == 3 else b"$-1\r\n"
        case int():
            return b":%d\r\n" % reply
        case bytes():
            return b"$%d\r\n%b\r\n" % (len(reply), reply)
        case Status():
            return b"+%b\r\n" % reply.text.encode()
        case RedisError():
            return b"-%b\r\n" % str(reply).replace("\r", " ").replace("\n", " ").encode()
        case Push():
            sign = b">" if protocol == 3 else b"*"
            return sign + _items(reply.parts, protocol)
        case dict() if protocol == 3:
            flat = b"".join(encode(key, 3) + encode(each, 3) for key, each in reply.items())
            return b"%%%d\r\n" % len(reply) + flat
        case dict():
            return b"*" + _items([each for pair in reply.items() for each in pair], protocol)
        case list():
            return b"*" + _items(reply, protocol)


def _items(items: list[Reply], protocol: int) -> bytes:
    return b"%d\r\n" % len(items) + b"".join(encode(each, protocol) for each in items)


class Commands:
    """The commands in a stream of bytes. Raises `RedisError` if it is no such stream."""

    def __init__(self) -> None:
        self._bytes = b""

    def feed(self, data: bytes) -> list[list[bytes]]:
        """Add ``data``. Returns the commands that are complete now."""
        self._bytes += data
        found: list[list[bytes]] = []
        at = 0
        while (parsed := self._command(at)) is not None:
            command, at = parsed
            found.append(command)
        self._bytes = self._bytes[at:]
        return found

    def _command(self, at: int) -> tuple[list[bytes], int] | None:
        head = self._number(at, b"*")
        if head is None:
            return None
        count, at = head
        command: list[bytes] = []
        for _ in range(count):
            head = self._number(at, b"$")
            if head is None:
                return None
            size, at = head
            if len(self._bytes) < at + size + 2:
                return None
            if self._bytes[at + size : at + size + 2] != b"\r\n":
                raise RedisError("ERR Protocol error: an argument has no end")
            command.append(self._bytes[at : at + size])
            at += size + 2
        return command, at

    def _number(self, at: int, sign: bytes) -> tuple[int, int] | None:
        end = self._bytes.find(b"\r\n", at)
        if end < 0:
            return None
        digits = self._bytes[at + 1 : end]
        if self._bytes[at : at + 1] != sign or not digits.isdigit():
            raise RedisError("ERR Protocol error: expected a command")
        return int(digits), end + 2
