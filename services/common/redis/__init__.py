"""Redis: short waits, no retries, nothing unbounded. Needs Redis 7 or newer, or Valkey."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.common.redis.cluster import ClusteredRedis, cluster_client
from services.common.redis.one import OneRedis, client_of
from services.common.redis.sentinel import SentinelRedis, sentinel_clients
from services.common.redis.servers import RedisOptions, RedisServers


@asynccontextmanager
async def open_redis(options: RedisOptions) -> AsyncIterator[RedisServers]:
    """Open a client and close it at the end. Redis need not be reachable, now or ever.

    Connecting, waiting for a connection and each command fail after ``timeout_ms`` of the options.
    """
    redis: OneRedis | SentinelRedis | ClusteredRedis
    if options.sentinel:
        redis = SentinelRedis(sentinel_clients(options), options)
    elif options.cluster:
        redis = ClusteredRedis(cluster_client(options))
    else:
        redis = OneRedis(client_of(options), options.timeout_s)
    try:
        yield redis
    finally:
        await redis.close()
