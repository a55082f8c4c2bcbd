"""Spans of the round trips to Redis."""

from collections.abc import Collection, Sequence
from typing import Any, Final

from opentelemetry.semconv.attributes.db_attributes import (
    DB_OPERATION_BATCH_SIZE,
    DB_OPERATION_NAME,
    DB_STORED_PROCEDURE_NAME,
    DB_SYSTEM_NAME,
)
from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE
from opentelemetry.trace import StatusCode, Tracer
from opentelemetry.util.types import AttributeValue
from redis.asyncio import Connection

from services.common.cache.shared import SCRIPT_NAMES
from services.common.redis.servers import Item, RedisServers
from services.common.tracing.waiting import store_span

_COMMAND: Final = "EVAL"


class TracedRedis:
    """Redis servers, each round trip to which is a span: which script, on how many items."""

    def __init__(self, tracer: Tracer, redis: RedisServers) -> None:
        self._tracer = tracer
        self._redis = redis

    async def run(
        self, script: str, items: Sequence[Item], *arguments: str | bytes | int
    ) -> Sequence[Any]:
        """Run a script on items and return its answers."""
        name = SCRIPT_NAMES.get(script, "script")
        attributes: dict[str, AttributeValue] = {
            DB_SYSTEM_NAME: "redis",
            DB_OPERATION_NAME: _COMMAND,
            DB_STORED_PROCEDURE_NAME: name,
            DB_OPERATION_BATCH_SIZE: len(items),
        }
        span = store_span(self._tracer, f"{_COMMAND} {name}", attributes)
        if span is None:
            return await self._redis.run(script, items, *arguments)
        try:
            return await self._redis.run(script, items, *arguments)
        except BaseException as error:
            span.set_attribute(ERROR_TYPE, type(error).__name__)
            span.set_status(StatusCode.ERROR)
            raise
        finally:
            span.end()

    async def links(self) -> Sequence[Connection]:
        """Return connections of their own to every server."""
        return await self._redis.links()

    async def rearranged(self) -> None:
        """Wait until there are other servers than at the last ``links``."""
        await self._redis.rearranged()

    async def delete(self, pattern: str, reigns: Collection[str] | None = None) -> None:
        """Delete all keys like the pattern."""
        await self._redis.delete(pattern, reigns)

    async def identity(self) -> frozenset[str]:
        """Return the reign of each server."""
        return await self._redis.identity()

    async def trust(self, reigns: frozenset[str]) -> None:
        """Run scripts on servers of these reigns alone."""
        await self._redis.trust(reigns)

    async def noted(self, key: str) -> str | None:
        """Return the text under a key."""
        return await self._redis.noted(key)

    async def note(self, key: str, text: str) -> None:
        """Put a text under a key."""
        await self._redis.note(key, text)

    async def ping(self) -> object:
        """Raise the client's error unless Redis answers."""
        return await self._redis.ping()
