"""Values and leases in Redis.

The protocol is that of leases (R. Nishtala et al., *Scaling Memcache at Facebook*, NSDI 2013). A
reader who finds nothing takes a lease, which only one can have; a fill counts only with the lease
it was granted; a writer, once MongoDB holds the write, deletes value and lease. So what was loaded
before a write is never filled after it, and only one loads.

Each operation is a script, so that it happens at once and is refused as a whole by a server that
could not take part in all of it: a replica, for example, does not even answer reads, nor does a
server that has no memory left to take a fill. Only forgetting needs none.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from time import time
from typing import Final, Protocol

from services.common.redis.servers import Item, RedisServers

LEASE_S: Final = 1.0
ALL: Final = "*"
"""In place of an id, it stands for all."""

_LOOK: Final = """#!lua
local answers = {}
for i = 1, #KEYS, 2 do
  local raw = redis.pcall('GET', KEYS[i])
  if type(raw) == 'table' then
    answers[#answers + 1] = '' -- what is no string is no value
  elseif raw then
    answers[#answers + 1] = raw
  elseif redis.call('SET', KEYS[i + 1], ARGV[1], 'NX', 'PX', ARGV[2]) then
    answers[#answers + 1] = 1
  else
    local left = redis.call('PTTL', KEYS[i + 1])
    if left < 0 or left > tonumber(ARGV[2]) then -- nobody's lease: it would be taken for ever
      redis.call('SET', KEYS[i + 1], ARGV[1], 'PX', ARGV[2])
      answers[#answers + 1] = 1
    else
      answers[#answers + 1] = 0
    end
  end
end
return answers
"""

_FILL: Final = """#!lua
local answers = {}
for i = 1, #KEYS, 2 do
  local argument = (i - 1) / 2 * 3
  local accepted = 0
  if redis.pcall('GET', KEYS[i + 1]) == ARGV[argument + 1] then
    redis.call('DEL', KEYS[i + 1])
    if ARGV[argument + 2] ~= '' then
      redis.call('SET', KEYS[i], ARGV[argument + 2], 'EX', ARGV[argument + 3])
      accepted = 1
    end
  end
  answers[#answers + 1] = accepted
end
return answers
"""

_FORGET: Final = """#!lua flags=allow-oom
local message = ARGV[2]
local answers = {}
for i = 1, #KEYS, 2 do
  answers[#answers + 1] = redis.call('DEL', KEYS[i], KEYS[i + 1])
  message = message .. '\\n' .. KEYS[i]
end
redis.call('PUBLISH', ARGV[1], message)
return answers
"""

SCRIPT_NAMES: Final[Mapping[str, str]] = {_LOOK: "look", _FILL: "fill", _FORGET: "forget"}


class Lease(Enum):
    """What a reader gets where there is no value."""

    GRANTED = 1
    TAKEN = 0


@dataclass(frozen=True, slots=True)
class Fill:
    """A value to be stored with the lease it was granted; an empty one only gives the lease back.

    ``ttl_s`` is its time to live in seconds.
    """

    value_id: str
    token: str
    raw: bytes = b""
    ttl_s: int = 0


class Names(Protocol):
    """How keys are made of ids."""

    @property
    def prefix(self) -> str:
        """What all keys begin with."""
        ...

    def key(self, value_id: str) -> str:
        """Return the key of a value."""
        ...

    def lease_key(self, value_id: str) -> str:
        """Return the key of its lease."""
        ...


class SharedValues(Protocol):
    """The values of one kind, as all processes share them.

    Every method happens at once or raises: RedisError, OSError or TimeoutError.
    """

    async def look(self, value_ids: Collection[str], token: str) -> Mapping[str, bytes | Lease]:
        """Return each value; where there is none, take the lease under ``token``, if it is free."""
        ...

    async def fill(self, fills: Sequence[Fill]) -> Sequence[bool]:
        """Store the values whose lease still holds, and say which those were."""
        ...

    async def forget(self, value_ids: Collection[str]) -> None:
        """Delete values and leases, and tell every process."""
        ...

    async def forget_all(self) -> None:
        """Delete everything of this kind, and tell every process."""
        ...


class RedisValues:
    """Values of one kind in Redis."""

    def __init__(self, redis: RedisServers, names: Names) -> None:
        self._redis = redis
        self._names = names
        self._channel = channel(names.prefix)

    async def look(self, value_ids: Collection[str], token: str) -> Mapping[str, bytes | Lease]:
        """Return each value; where there is none, take the lease, if it is free."""
        answers = await self._redis.run(
            _LOOK, [self._item(value_id) for value_id in value_ids], token, int(LEASE_S * 1000)
        )
        return {
            value_id: answer if isinstance(answer, bytes) else Lease(answer)
            for value_id, answer in zip(value_ids, answers, strict=True)
        }

    async def fill(self, fills: Sequence[Fill]) -> Sequence[bool]:
        """Store the values whose lease still holds, and say which those were."""
        answers = await self._redis.run(
            _FILL, [self._item(fill.value_id, fill.token, fill.raw, fill.ttl_s) for fill in fills]
        )
        return [answer == 1 for answer in answers]

    async def forget(self, value_ids: Collection[str]) -> None:
        """Delete values and leases, and tell every process."""
        items = [self._item(value_id) for value_id in value_ids]
        await self._redis.run(_FORGET, items, self._channel, int(time() * 1000))

    async def forget_all(self) -> None:
        """Delete everything of this kind, and tell every process."""
        # The leases first: what was loaded until now must not be filled behind the deletion.
        await self._redis.delete(self._names.lease_key(ALL))
        await self._redis.delete(self._names.key(ALL))
        await self.forget([ALL])

    def _item(self, value_id: str, *arguments: str | bytes | int) -> Item:
        return Item((self._names.key(value_id), self._names.lease_key(value_id)), arguments)


def channel(prefix: str) -> str:
    """Return the channel on which the invalidations of a kind are published.

    A message is the time of sending, in milliseconds since 1970, and a key on each further line;
    the key of ``*`` stands for all.
    """
    return f"invalidated:{prefix}"
