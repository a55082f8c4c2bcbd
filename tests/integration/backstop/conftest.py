"""A backstop over collections of its own, and a cache that notes what it is told to forget."""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from services.common.cache.backstop import Backstop
from services.common.cache.hold import prepare_backstop
from services.common.cache.watched import Watched
from services.common.mongo import Document, Mongo
from tests.integration.patience import until

RENEWS_S = 0.1
SHOWN = frozenset({"name", "price", "tags"})


@dataclass
class NotedCache:
    """Notes which ids were forgotten, in which order; when ``refusing``, it forgets nothing."""

    ids: list[str] = field(default_factory=list)
    all_forgotten: int = 0
    refusing: bool = False

    async def invalidate(self, ids: Collection[str]) -> None:
        if self.refusing:
            raise ConnectionError("no Redis")
        self.ids += ids

    async def forget_all(self) -> None:
        if self.refusing:
            raise ConnectionError("no Redis")
        self.all_forgotten += 1

    async def has(self, *ids: str) -> None:
        """Wait until exactly these ids are forgotten, in this order."""
        await until(lambda: len(self.ids) >= len(ids))
        assert self.ids == list(ids)


def backstop_on(mongo: Mongo, cache: NotedCache) -> Backstop:
    watched = {
        "things": Watched(cache.invalidate),
        "pages": Watched(cache.invalidate, shown=SHOWN),
        "orders": Watched(cache.invalidate, owner="user_id"),
    }
    return Backstop(mongo, watched, cache.forget_all)


@asynccontextmanager
async def at_work(backstop: Backstop) -> AsyncIterator[None]:
    """Let it watch, or stand by, until the end of the block."""
    task = asyncio.create_task(backstop.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def watching(mongo: Mongo, cache: NotedCache) -> AsyncIterator[Backstop]:
    """Run a backstop that has got the watch."""
    backstop = backstop_on(mongo, cache)
    async with at_work(backstop):
        await until(lambda: backstop.figures.holding)
        yield backstop


async def watch_of(mongo: Mongo) -> Document:
    """Return what is noted of who watches, and how far it has come."""
    watch = await mongo.collection("cache_backstop").find_one({})
    assert watch is not None
    return watch


async def renewed(mongo: Mongo) -> None:
    """Wait until whoever watches has saved its position once more than it was about to."""
    for _ in range(2):
        before = (await watch_of(mongo))["expire_time"]

        async def is_so(before: object = before) -> bool:
            return bool((await watch_of(mongo))["expire_time"] != before)

        await until(is_so)


async def insert(mongo: Mongo, key: str, collection: str = "things", **fields: object) -> None:
    await mongo.collection(collection).insert_one({"_id": key, **fields})


async def update(mongo: Mongo, key: str, collection: str = "things", **fields: object) -> None:
    await change(mongo, key, {"$set": fields}, collection)


async def change(
    mongo: Mongo, key: str, operators: Document | list[Document], collection: str = "things"
) -> None:
    result = await mongo._database[collection].update_one({"_id": key}, operators)
    assert result.modified_count == 1


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let who watches save its position ten times a second, and who stands by look as often."""
    monkeypatch.setattr("services.common.cache.backstop._RENEW_S", RENEWS_S)


@pytest.fixture
def cache() -> NotedCache:
    return NotedCache()


@pytest.fixture
def rival_cache() -> NotedCache:
    return NotedCache()


@pytest.fixture
async def prepared(mongo: Mongo) -> Mongo:
    await prepare_backstop(mongo)
    return mongo
