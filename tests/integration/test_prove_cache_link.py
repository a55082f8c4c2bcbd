"""The breaking link of the cache's check, between a real client and a real Redis."""

from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from bench.prove_cache.links import RunningLink, running_link

KEY = "link-test"
VALUE = b"x" * 10_000


@pytest.fixture
async def link(redis_url: str) -> AsyncIterator[RunningLink]:
    async with running_link(urlsplit(redis_url).port or 6379) as opened:
        yield opened


@pytest.fixture
async def redis(link: RunningLink) -> AsyncIterator[Redis]:
    client = Redis.from_url(link.uri, socket_timeout=30, retry=Retry(NoBackoff(), retries=0))
    async with client:
        await client.set(KEY, VALUE)
        yield client
        await client.delete(KEY)


async def test_a_whole_link_passes_what_is_asked_and_answered(redis: Redis) -> None:
    assert await redis.get(KEY) == VALUE


async def test_a_broken_link_ends_in_the_middle_of_a_reply_and_a_mended_one_works(
    redis: Redis, link: RunningLink
) -> None:
    await link.break_replies()
    for _ in range(3):
        with pytest.raises((RedisError, OSError)):
            await redis.get(KEY)
    await link.mend()
    assert await redis.get(KEY) == VALUE
