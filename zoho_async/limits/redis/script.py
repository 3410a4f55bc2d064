"""What Redis does with the usage, in one script, and the names of its keys.

The script reads, or compares and sets. It is given what the worker saw and what it made of that;
what stands there now comes back where it is something else, so that a refusal costs no further
question.
"""

from __future__ import annotations

from hashlib import sha1
from typing import Any, Final

import msgspec

PREFIX: Final = "zoho_async:1"
WORKERS: Final = f"{PREFIX}:workers"
#: Seconds that usage is kept after the last call.
KEPT: Final = 2 * 86_400

#: KEYS: an organization's usage, its account's, the leases. ARGV: this worker's name, the lease in
#: seconds, the lifetime of usage in seconds, and to write something: SHA-1 of both usages that it
#: was made from, the new usage, that of the account ("" where it stays), and whether to tell those
#: who wait for it.
SCRIPT: Final = """
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now)
redis.call('ZADD', KEYS[3], now + tonumber(ARGV[2]), ARGV[1])
local own = redis.call('GET', KEYS[1]) or ''
local whole = redis.call('GET', KEYS[2]) or ''
if ARGV[4] and redis.sha1hex(own) == ARGV[4] and redis.sha1hex(whole) == ARGV[5] then
  redis.call('SET', KEYS[1], ARGV[6], 'EX', ARGV[3])
  if ARGV[7] ~= '' then redis.call('SET', KEYS[2], ARGV[7], 'EX', ARGV[3]) end
  if ARGV[8] ~= '' then redis.call('PUBLISH', KEYS[1], '') end
  return {1, time[1], time[2]}
end
return {0, time[1], time[2], own, whole, redis.call('ZRANGEBYSCORE', KEYS[3], now, '+inf')}
"""
SCRIPT_SHA: Final = sha1(SCRIPT.encode()).hexdigest()


class Reply(msgspec.Struct, frozen=True):
    """The script's answer; ``own``, ``whole`` and ``alive`` tell where nothing was written.

    ``time`` is the server's, ``since`` and ``until`` this machine's (monotonic) when it was asked
    and when it had answered: somewhere between them lies ``time``.
    """

    written: bool
    time: float
    since: float
    until: float
    own: bytes
    whole: bytes
    alive: frozenset[str]


def understood(answer: list[Any], since: float, until: float, time: float) -> Reply:
    """What the script gave, at the server's ``time``."""
    if answer[0]:
        return Reply(True, time, since, until, b"", b"", frozenset())
    alive = frozenset(name.decode() for name in answer[5])
    return Reply(False, time, since, until, answer[3], answer[4], alive)


def name(key: str) -> str:
    """The Redis key of a usage, and the channel on which its changes are told."""
    return f"{PREFIX}:usage:{key}"


def sha_of(packed: bytes) -> str:
    return sha1(packed).hexdigest()
