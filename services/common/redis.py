"""Redis as the cache sees it: short waits, no retries, nothing unbounded."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

_POOL_SIZE = 32


@dataclass(frozen=True, slots=True)
class RedisOptions:
    """Which server, and how long anything may take."""

    url: str
    timeout_ms: int

    @property
    def timeout_s(self) -> float:
        """The same bound in seconds."""
        return self.timeout_ms / 1000


@asynccontextmanager
async def open_redis(options: RedisOptions) -> AsyncIterator[Redis]:
    """Open a client and close it at the end. Redis need not be reachable, now or ever.

    Connecting, waiting for a connection and each command fail after ``timeout_ms`` of the options.
    """
    timeout_s = options.timeout_s
    pool = BlockingConnectionPool.from_url(
        options.url,
        max_connections=_POOL_SIZE,
        timeout=timeout_s,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), retries=0),
    )
    client = Redis.from_pool(pool)
    try:
        yield client
    finally:
        await client.aclose()
