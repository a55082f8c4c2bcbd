"""Redis as the cache sees it, in memory, and a store of record that notes what it is asked."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from services.common.cache.breaker import Breaker
from services.common.cache.figures import CacheFigures
from services.common.cache.invalidation import Invalidations
from services.common.cache.lookup import Lookup
from services.common.cache.near import Near, NearOptions
from services.common.cache.read_through import ReadThroughCache
from services.common.cache.shared import Fill, Lease
from services.common.snapshot import Snapshot

NAME: Lookup[str] = Lookup("name", str)
TIMEOUT_S = 20.0


@dataclass
class FakeValues:
    """Values and leases. While ``errors`` last each round trip raises one; a gate holds them up.

    ``asked`` is how many round trips have come to the gate.
    """

    values: dict[str, bytes] = field(default_factory=dict)
    leases: dict[str, str] = field(default_factory=dict)
    ttl_s: dict[str, int] = field(default_factory=dict)
    forgotten: list[list[str]] = field(default_factory=list)
    all_forgotten: int = 0
    looks: list[list[str]] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)
    asked: int = 0
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.gate.set()

    async def look(self, value_ids: Collection[str], token: str) -> Mapping[str, bytes | Lease]:
        await self._answer()
        self.looks.append(list(value_ids))
        return {value_id: self._look(value_id, token) for value_id in value_ids}

    async def fill(self, fills: Sequence[Fill]) -> Sequence[bool]:
        await self._answer()
        return [self._fill(fill) for fill in fills]

    async def forget(self, value_ids: Collection[str]) -> None:
        await self._answer()
        self.forgotten.append(sorted(value_ids))
        for value_id in value_ids:
            self.values.pop(value_id, None)
            self.leases.pop(value_id, None)

    async def forget_all(self) -> None:
        await self._answer()
        self.all_forgotten += 1
        self.values.clear()
        self.leases.clear()

    def _look(self, value_id: str, token: str) -> bytes | Lease:
        if value_id in self.values:
            return self.values[value_id]
        if value_id in self.leases:
            return Lease.TAKEN
        self.leases[value_id] = token
        return Lease.GRANTED

    def _fill(self, fill: Fill) -> bool:
        if self.leases.get(fill.value_id) != fill.token:
            return False
        del self.leases[fill.value_id]
        if fill.raw:
            self.values[fill.value_id] = fill.raw
            self.ttl_s[fill.value_id] = fill.ttl_s
        return bool(fill.raw)

    async def _answer(self) -> None:
        self.asked += 1
        await self.gate.wait()
        if self.errors:
            raise self.errors.pop(0)


@dataclass
class FakeStore:
    """The store of record, and what it was asked for in each round trip."""

    names: dict[str, str] = field(default_factory=dict)
    asked: list[list[str]] = field(default_factory=list)
    error: Exception | None = None
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.gate.set()

    async def load(self, value_ids: Collection[str]) -> Mapping[str, Snapshot[str]]:
        self.asked.append(sorted(value_ids))
        found = {i: Snapshot(self.names[i]) for i in value_ids if i in self.names}
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return found


class Parts:
    """A cache over these two, with all its parts; what is near is valid until told otherwise."""

    def __init__(self, shared: FakeValues | None = None, store: FakeStore | None = None) -> None:
        self.shared = shared or FakeValues()
        self.store = store or FakeStore({"a": "Ada", "b": "Bob"})
        self.figures = CacheFigures()
        self.near: Near[str] = Near(NearOptions(entries=100, bytes=10**9, lease_s=1.0))
        self.near.closed = False
        self.near.valid_until = float("inf")
        self.breaker = Breaker(settle_s=3600, on_open=self.near.drop)
        self.invalidations = Invalidations(self.shared, self.breaker, self.figures, TIMEOUT_S)
        self.cache = ReadThroughCache(
            NAME,
            self.store.load,
            self.shared,
            self.near,
            self.breaker,
            self.invalidations,
            self.figures,
            TIMEOUT_S,
        )

    async def name(self, value_id: str) -> str | None:
        """Read, and wait until what was loaded is filled in."""
        snapshot = await self.cache.get(value_id)
        await self.cache.drain()
        return None if snapshot is None else snapshot.value
