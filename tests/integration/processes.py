"""Processes that cache names, the truth about which a test keeps."""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass

from services.common.cache.hold import prepare_backstop
from services.common.cache.lookup import Lookup
from services.common.cache.near import NearOptions
from services.common.cache.watched import Changes
from services.common.cache.wiring import CacheMode, CacheOptions, OpenCache, open_cache
from services.common.call import Call, enter_call
from services.common.freshness import Freshness, Source
from services.common.ids import new_id
from services.common.mongo import Mongo, MongoDriver, MongoOptions, open_mongo
from services.common.redis.servers import RedisOptions
from services.common.snapshot import Snapshot
from tests.integration.conftest import PATIENT_MS, new_database
from tests.integration.patience import until

NAME: Lookup[str] = Lookup("name", str)


@dataclass
class Process:
    """A process with a cache of names, whose store of record is shared by all."""

    truth: dict[str, str]
    opened: OpenCache[str]
    loaded: list[str]

    async def read(
        self, *value_ids: str, freshness: Freshness = Freshness.SHARED
    ) -> tuple[dict[str, str], Source | None]:
        """Return the names, and what answered."""
        call = Call("test")
        call.freshness = freshness

        async def served() -> dict[str, str]:
            enter_call(call)
            found = await self.opened.values.get_many(value_ids)
            return {value_id: snapshot.value for value_id, snapshot in found.items()}

        return await asyncio.create_task(served()), call.source

    async def write(self, value_id: str, name: str) -> None:
        """Change a name."""
        async with self.opened.values.forgetting([value_id]):
            self.truth[value_id] = name

    async def answers_from(
        self, source: Source, *value_ids: str, freshness: Freshness = Freshness.SHARED
    ) -> None:
        """Read the true names until they come from this source."""

        async def do() -> bool:
            names, answered = await self.read(*value_ids, freshness=freshness)
            assert names == {value_id: self.truth[value_id] for value_id in value_ids}
            return answered is source

        await until(do)

    @property
    def states(self) -> set[str]:
        """The states that the breaker is in."""
        return {
            sample.labels["state"]
            for family in self.opened.metrics.collect()
            for sample in family.samples
            if sample.name == "shop_cache_breaker_state" and sample.value
        }


@asynccontextmanager
async def process(
    truth: dict[str, str], mongo: Mongo, redis: RedisOptions
) -> AsyncIterator[Process]:
    loaded: list[str] = []

    async def load(value_ids: Collection[str]) -> dict[str, Snapshot[str]]:
        loaded.extend(value_ids)
        return {value_id: Snapshot(truth[value_id]) for value_id in value_ids if value_id in truth}

    options = CacheOptions(
        CacheMode.NEAR,
        NearOptions(entries=1_000, bytes=1_000_000, lease_s=10.0),
        redis,
    )
    async with open_cache(NAME, load, mongo, Changes("names"), options) as opened:
        assert opened is not None
        yield Process(truth, opened, loaded)


@asynccontextmanager
async def database_of_names(mongo_uri: str) -> AsyncIterator[Mongo]:
    """Open a new database, in which nothing stands but what the backstop needs."""
    how = MongoOptions(mongo_uri, MongoDriver.MOTOR, PATIENT_MS)
    async with open_mongo(how, new_database()) as opened:
        await prepare_backstop(opened)
        yield opened


def new_names(count: int) -> dict[str, str]:
    """Return names whose ids no other test has."""
    test = new_id()
    return {f"{test}-{number}": f"name {number}" for number in range(count)}
