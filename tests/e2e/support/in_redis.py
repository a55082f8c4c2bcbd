"""What stands in Redis under a key."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from redis.asyncio import Redis

PATIENCE_S = 60.0


async def in_redis(
    redis: Redis, key: str, read: Callable[[], Awaitable[object]]
) -> tuple[bytes, int]:
    """Read until the value is there, and return it with its time to live in seconds.

    It is stored after the answer, and a change of a moment ago may remove it once more.
    """
    async with asyncio.timeout(PATIENCE_S):
        while True:
            await read()
            commands: Any = redis.pipeline()
            raw, ttl_s = await commands.get(key).ttl(key).execute()
            if raw is not None:
                return raw, ttl_s
            await asyncio.sleep(0.02)
