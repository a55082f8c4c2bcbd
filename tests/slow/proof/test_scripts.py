"""The scripts in Redis do in every state what the fake does that the rehearsals run on."""

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import pytest
from redis.asyncio import Redis

from services.common.cache import shared
from services.common.cache.envelope import seal
from services.common.cache.lookup import Lookup
from services.common.cache.shared import Fill, RedisValues
from services.common.ids import new_id
from services.common.redis.one import OneRedis, client_of
from services.common.redis.servers import RedisOptions
from tests.slow.proof.memory import ALL_GUARDS, MemoryRedis

KINDS: Final[Lookup[int]] = Lookup("scripted", int)
VALUES: Final = (None, b"old")
LEASES: Final = ("", "mine", "theirs")
NEW: Final = seal("new", 0, 1)


@dataclass(frozen=True)
class Both:
    """A real server and the fake, with the value of one id."""

    client: Redis
    redis: OneRedis
    value_id: str

    async def differences(self) -> Sequence[str]:
        """Return in which states which operations do not do the same."""
        return [
            f"{name} at {value!r}, {lease!r}"
            for value, lease in itertools.product(VALUES, LEASES)
            for name, (ask, expect) in self._operations().items()
            if await self._really(ask, value, lease) != self._supposedly(expect, value, lease)
        ]

    def _operations(
        self,
    ) -> Mapping[
        str, tuple[Callable[[RedisValues], Awaitable[object]], Callable[[MemoryRedis], object]]
    ]:
        value_id = self.value_id
        fill, nothing = Fill(value_id, "mine", NEW, 300), Fill(value_id, "mine")
        return {
            "look": (
                lambda real: real.look([value_id], "mine"),
                lambda fake: {value_id: fake.look("mine")},
            ),
            "fill": (lambda real: real.fill([fill]), lambda fake: [fake.fill(fill)]),
            "give back": (lambda real: real.fill([nothing]), lambda fake: [fake.fill(nothing)]),
            "forget": (lambda real: real.forget([value_id]), lambda fake: fake.forget()),
        }

    async def _really(
        self, ask: Callable[[RedisValues], Awaitable[object]], value: bytes | None, lease: str
    ) -> object:
        keys = (KINDS.key(self.value_id), KINDS.lease_key(self.value_id))
        await self.client.delete(*keys)
        for key, content in zip(keys, (value, lease), strict=True):
            if content:
                await self.client.set(key, content, ex=60)
        answer = await ask(RedisValues(self.redis, KINDS))
        left_value, left_lease = [await self.client.get(key) for key in keys]
        return answer, left_value, left_lease

    def _supposedly(
        self, expect: Callable[[MemoryRedis], object], value: bytes | None, lease: str
    ) -> object:
        fake = MemoryRedis(ALL_GUARDS, clock=lambda: 0.0)
        if lease:
            fake.look(lease)
        fake.value = value
        return expect(fake), fake.value, fake.held().encode() or None


@pytest.fixture
async def both(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Both]:
    monkeypatch.setattr(shared, "LEASE_S", 60.0)  # none expires meanwhile
    client = client_of(RedisOptions(redis_url, timeout_ms=10_000))
    redis = OneRedis(client, timeout_s=10.0)
    try:
        yield Both(client, redis, new_id())
    finally:
        await redis.close()


async def test_in_every_state_every_script_does_what_the_fake_does(both: Both) -> None:
    assert not await both.differences()


@pytest.mark.parametrize(
    ("script", "guard", "mutant"),
    [
        ("_FILL", "== ARGV[argument + 1]", "~= ''"),
        ("_FORGET", "'DEL', KEYS[i], KEYS[i + 1]", "'DEL', KEYS[i]"),
        ("_FORGET", "'DEL', KEYS[i], KEYS[i + 1]", "'DEL', KEYS[i + 1]"),
        ("_LOOK", ", 'NX'", ""),
    ],
)
async def test_a_script_without_one_of_its_guards_does_something_else(
    monkeypatch: pytest.MonkeyPatch, both: Both, script: str, guard: str, mutant: str
) -> None:
    whole = getattr(shared, script)
    assert guard in whole
    monkeypatch.setattr(shared, script, whole.replace(guard, mutant))
    assert await both.differences()
