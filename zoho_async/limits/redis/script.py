"""The script that runs in Redis, and the names of its keys.

The script reads, or compares and sets. Its arguments are the usage that the worker saw and the new
usage. If the usage in Redis is another one, the script returns it, so that a lost race costs no
further request.

Each run also checks the epoch (`epoch`). The script asks its own server for the ``run_id``, so the
answer is about the process that holds the data, whichever connection, proxy or failover led there.
If there is no epoch, or another process began it, the run begins a new one.
"""

from __future__ import annotations

from hashlib import sha1
from typing import Any, Final

import msgspec

from zoho_async.limits.redis.epoch import Epoch, Share

PREFIX: Final = "zoho_async:1"
WORKERS: Final = f"{PREFIX}:workers"
EPOCH: Final = f"{PREFIX}:epoch"
WRITTEN: Final = f"{PREFIX}:written"
#: How long usage is kept after the last call, in seconds.
KEPT: Final = 2 * 86_400

#: KEYS:
#: 1. usage of the organization
#: 2. usage of its account
#: 3. leases
#: 4. epoch and registered shares
#: 5. when each usage was written last
#:
#: ARGV:
#: 1. name of this worker
#: 2. lease in seconds ("" renews none)
#: 3. lifetime of usage in seconds
#: 4. time ("": the server's)
#: 5. whether the server is durable
#: 6. epoch that this worker knows
#: 7. id for a new epoch
#: 8. share of this worker ("": none)
#: 9. seconds for which the registration of the share lasts
#:
#: Only to write:
#: 10. SHA-1 of the organization's usage that was read
#: 11. SHA-1 of the account's usage that was read
#: 12. new usage of the organization
#: 13. new usage of the account ("": unchanged)
#: 14. whether to wake waiters
#: 15. number of shares that were registered when the usage was read
#: 16. whether to return the live workers and the shares, too
#:
#: Each new usage is published, with the time, the epoch and two flags, to the workers that listen
#: to its key (`subscriber`).
SCRIPT: Final = """
local name, lease = ARGV[1], tonumber(ARGV[2])
local now = tonumber(ARGV[4])
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) + tonumber(time[2]) / 1000000
end
local moment = string.format('%.6f', now)
local run_id = ''
if ARGV[5] == '' then run_id = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)') end

local epoch, registrations = {}, {}
local fields = redis.call('HGETALL', KEYS[4])
for at = 1, #fields, 2 do
  if string.sub(fields[at], 1, 2) == 's:' then
    registrations[#registrations + 1] = {string.sub(fields[at], 3), fields[at + 1]}
  else
    epoch[fields[at]] = fields[at + 1]
  end
end
if not epoch.id or (run_id ~= '' and epoch.run_id ~= run_id) then
  local birth = moment
  if run_id == '' and not epoch.id and ARGV[6] == '' then birth = '0' end
  epoch = {id = ARGV[7], birth = birth}
  redis.call('HSET', KEYS[4], 'id', ARGV[7], 'run_id', run_id, 'birth', birth)
  redis.call('DEL', KEYS[3])  -- by another clock, perhaps
end
if lease then redis.call('ZADD', KEYS[3], now + lease, name) end

local shares, others, living = {}, 0, 0
for _, registration in ipairs(registrations) do
  local owner = registration[1]
  local share, ends = string.match(registration[2], '^(%S+) (%S+)$')
  if tonumber(ends) < now then
    redis.call('HDEL', KEYS[4], 's:' .. owner)
  else
    shares[#shares + 1] = {owner, share, ends}
    if owner ~= name then
      others = others + tonumber(share)
      local ends = tonumber(redis.call('ZSCORE', KEYS[3], owner) or 0)
      if ends > now then living = living + tonumber(share) end
    end
  end
end
local registered = ''
local share = tonumber(ARGV[8])
if share and lease then
  if others + share <= 1.000001 then
    redis.call('HSET', KEYS[4], 's:' .. name,
      ARGV[8] .. ' ' .. string.format('%.6f', now + tonumber(ARGV[9])))
    registered = '1'
  elseif living + share > 1.000001 then
    registered = tostring(living + share)
  end
end

local function live_workers()
  redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now)
  return redis.call('ZRANGEBYSCORE', KEYS[3], now, '+inf')
end
local own = redis.call('GET', KEYS[1]) or ''
local whole = redis.call('GET', KEYS[2]) or ''
if ARGV[10] and epoch.id == ARGV[6] and #shares == tonumber(ARGV[15])
    and redis.sha1hex(own) == ARGV[10] and redis.sha1hex(whole) == ARGV[11] then
  redis.call('SET', KEYS[1], ARGV[12], 'EX', ARGV[3])
  redis.call('HSET', KEYS[5], KEYS[1], moment)
  if ARGV[13] ~= '' then
    redis.call('SET', KEYS[2], ARGV[13], 'EX', ARGV[3])
    redis.call('HSET', KEYS[5], KEYS[2], moment)
  end
  local flags = (ARGV[13] ~= '' and 'a' or '-') .. (ARGV[14] ~= '' and 'w' or '-')
  local message = moment .. ' ' .. epoch.id .. ' ' .. flags .. ' ' .. ARGV[12]
  local listeners = redis.call('PUBLISH', KEYS[1], message)
  if ARGV[16] == '' then return {1, moment, registered, listeners} end
  return {1, moment, registered, listeners, live_workers(), shares}
end
local lost = {'', ''}
if own == '' then lost[1] = redis.call('HGET', KEYS[5], KEYS[1]) or '' end
if whole == '' then lost[2] = redis.call('HGET', KEYS[5], KEYS[2]) or '' end
return {0, moment, registered, own, whole, live_workers(),
  epoch.id, epoch.birth, shares, lost[1], lost[2]}
"""
SCRIPT_SHA: Final = sha1(SCRIPT.encode()).hexdigest()

#: Remove a worker's registration and lease. KEYS: the leases, the epoch. ARGV: the worker's name.
SIGN_OFF: Final = """
redis.call('HDEL', KEYS[2], 's:' .. ARGV[1])
redis.call('ZREM', KEYS[1], ARGV[1])
"""

#: Mark the server as complete. KEYS: the epoch. ARGV: whether it is durable, id of an epoch.
INITIALIZE: Final = """
local run_id = ''
if ARGV[1] == '' then run_id = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)') end
redis.call('HSETNX', KEYS[1], 'id', ARGV[2])
redis.call('HSET', KEYS[1], 'run_id', run_id, 'birth', '0')
"""


class ScriptResult(msgspec.Struct, frozen=True):
    """What Redis holds: both usages, the live workers, the epoch, and the registered shares.

    ``own_lost`` and ``account_lost``: if a usage is missing, the server's time when it was written.
    None if it is there or never was.
    """

    own: bytes
    account: bytes
    alive: frozenset[str]
    epoch: Epoch
    own_lost: float | None = None
    account_lost: float | None = None


class ScriptReply(msgspec.Struct, frozen=True):
    """The answer of the script. ``found``: None if the new usage was written.

    ``listeners``: the workers that a written usage was published to. ``live``: the live workers and
    the shares when it was written, if the script was asked for them.

    ``time`` is the server's. It lies between ``since`` and ``until``, which are this machine's
    (monotonic). ``registered``: whether this worker's share is registered. ``over``: the sum of the
    shares of all connected workers, if it is above 1.
    """

    time: float
    since: float
    until: float
    registered: bool
    over: float | None
    found: ScriptResult | None
    listeners: int = 0
    live: tuple[frozenset[str], tuple[Share, ...]] | None = None


def parse_reply(answer: list[Any], since: float, until: float) -> ScriptReply:
    """Decode the answer of the script."""
    registered = answer[2] == b"1"
    over = float(answer[2]) if answer[2] and not registered else None
    time = float(answer[1])
    if answer[0]:
        live = None if len(answer) == 4 else (_names(answer[4]), _shares(answer[5]))
        return ScriptReply(time, since, until, registered, over, None, answer[3], live)
    found = ScriptResult(
        answer[3],
        answer[4],
        _names(answer[5]),
        Epoch(answer[6].decode(), float(answer[7]), _shares(answer[8])),
        float(answer[9]) if answer[9] else None,
        float(answer[10]) if answer[10] else None,
    )
    return ScriptReply(time, since, until, registered, over, found)


def _names(found: list[bytes]) -> frozenset[str]:
    return frozenset(name.decode() for name in found)


def _shares(found: list[list[bytes]]) -> tuple[Share, ...]:
    return tuple(Share(owner.decode(), float(share), float(ends)) for owner, share, ends in found)


class Message(msgspec.Struct, frozen=True):
    """A usage that a worker wrote, as published: the server's time, the epoch, and the usage.

    ``alone``: the usage of the account was not written with it. ``wakes``: a call ended.
    """

    time: float
    epoch: str
    alone: bool
    wakes: bool
    own: bytes


#: Published by a worker that waits for replies: the others write theirs.
REQUEST: Final = b"?"


def parse_message(data: bytes) -> Message | None:
    """Decode a published usage. None for another message: an earlier version's has no usage."""
    try:
        time, epoch, flags, own = data.split(b" ", 3)
        return Message(float(time), epoch.decode(), flags[:1] != b"a", flags[1:] == b"w", own)
    except ValueError:
        return None


def usage_key(key: str) -> str:
    """Return the Redis key of a usage, which is also the channel of its changes."""
    return f"{PREFIX}:usage:{key}"


def sha_of(packed: bytes) -> str:
    return sha1(packed).hexdigest()
