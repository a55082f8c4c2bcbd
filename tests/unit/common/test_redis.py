"""What a client of Redis raises when it cannot do what it was asked."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, cast

import pytest
from redis.asyncio import Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.exceptions import RedisClusterException

from services.common.redis.cluster import ClusteredRedis
from services.common.redis.one import OneRedis
from services.common.redis.reign import StrangerError
from services.common.redis.servers import Item, RedisServers

SCRIPT = "return {1}"


class Broken:
    """A client of which everything raises the same."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def keyslot(self, key: str) -> int:
        """Return the slot of a key, for which no server is needed."""
        return len(key)

    def __getattr__(self, name: str) -> Callable[..., Awaitable[None]]:
        async def fail(*_: object, **__: object) -> None:
            await asyncio.sleep(0)
            raise self._error

        return fail


USES: dict[str, Callable[[RedisServers], Awaitable[Any]]] = {
    "run": lambda redis: redis.run(SCRIPT, [Item(("key",))]),
    "identity": lambda redis: redis.identity(),
    "ping": lambda redis: redis.ping(),
}
BESIDE_SCRIPTS = {name: use for name, use in USES.items() if name != "run"}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
async def test_a_connection_to_a_cluster_lost_under_a_write_is_a_connection_error(
    use: Callable[[RedisServers], Awaitable[Any]],
) -> None:
    broken = Broken(RuntimeError("the handler is closed"))
    with pytest.raises(ConnectionError, match="the handler is closed"):
        await use(ClusteredRedis(cast("RedisCluster", broken)))


@pytest.mark.parametrize("use", BESIDE_SCRIPTS.values(), ids=BESIDE_SCRIPTS)
async def test_a_connection_to_one_server_lost_under_a_write_is_a_connection_error(
    use: Callable[[RedisServers], Awaitable[Any]],
) -> None:
    broken = Broken(RuntimeError("the handler is closed"))
    with pytest.raises(ConnectionError, match="the handler is closed"):
        await use(OneRedis(cast("Redis", broken), timeout_s=30.0))


@pytest.mark.parametrize("use", USES.values(), ids=USES)
async def test_a_cluster_that_cannot_be_used_is_a_connection_error(
    use: Callable[[RedisServers], Awaitable[Any]],
) -> None:
    broken = Broken(RedisClusterException("no node answers"))
    with pytest.raises(ConnectionError, match="no node answers"):
        await use(ClusteredRedis(cast("RedisCluster", broken)))


class Forgetful:
    """A client that takes a cancellation for the end of its work, as a write may."""

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        async def answer(*_: object, **__: object) -> Any:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(60)
            return {"run_id": "1"}

        return answer


@pytest.mark.parametrize("use", BESIDE_SCRIPTS.values(), ids=BESIDE_SCRIPTS)
async def test_a_cancellation_that_the_client_loses_is_heeded(
    use: Callable[[RedisServers], Awaitable[Any]],
) -> None:
    redis = OneRedis(cast("Redis", Forgetful()), timeout_s=30.0)
    task = asyncio.ensure_future(use(redis))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await use(redis)


class Deserted:
    """A client of a cluster without primaries."""

    @property
    def nodes_manager(self) -> "Deserted":
        """Return what knows as much."""
        return self

    async def initialize(self) -> None:
        """Find nobody."""

    def get_primaries(self) -> list[ClusterNode]:
        """Return none."""
        return []


async def test_what_cannot_be_deleted_everywhere_is_not_taken_for_deleted() -> None:
    redis = ClusteredRedis(cast("RedisCluster", Deserted()))
    await redis.delete("product:*")
    with pytest.raises(StrangerError):
        await redis.delete("product:*", ["gone:1"])
