from collections.abc import Collection, Sequence
from typing import Any

import orjson
import pytest
from opentelemetry.trace import SpanKind, StatusCode
from redis.asyncio import Connection

from services.common.cache.shared import RedisValues
from services.common.redis.servers import Item
from services.common.tracing.redis import TracedRedis
from services.common.tracing.shape import shape_text
from tests.spans import Spans, id_of, parent_id


class Names:
    prefix = "thing"

    def key(self, value_id: str) -> str:
        return f"thing:{value_id}"

    def lease_key(self, value_id: str) -> str:
        return f"{{thing:{value_id}}}:lease"


class FakeRedis:
    """Answers every script, or fails, and says what else it was asked."""

    def __init__(self, failure: Exception | None = None) -> None:
        self._failure = failure
        self.asked: list[object] = []

    async def run(
        self, script: str, items: Sequence[Item], *arguments: str | bytes | int
    ) -> Sequence[Any]:
        if self._failure is not None:
            raise self._failure
        return [b"value" for _ in items]

    async def links(self) -> Sequence[Connection]:
        self.asked.append("links")
        return []

    async def rearranged(self) -> None:
        self.asked.append("rearranged")

    async def delete(self, pattern: str, reigns: Collection[str] | None = None) -> None:
        self.asked.append((pattern, reigns))

    async def identity(self) -> frozenset[str]:
        return frozenset({"one"})

    async def trust(self, reigns: frozenset[str]) -> None:
        self.asked.append(reigns)

    async def noted(self, key: str) -> str | None:
        return f"noted under {key}"

    async def note(self, key: str, text: str) -> None:
        self.asked.append((key, text))

    async def ping(self) -> object:
        return "pong"


async def test_a_round_trip_to_redis_tells_script_and_number_and_no_key(spans: Spans) -> None:
    values = RedisValues(TracedRedis(spans.tracer, FakeRedis()), Names())
    with spans.asking() as asker:
        assert await values.look(["a", "b"], "token") == {"a": b"value", "b": b"value"}
        await values.forget(["a"])
    look, forget = spans.ended
    assert (look.name, look.kind, parent_id(look)) == ("EVAL look", SpanKind.CLIENT, id_of(asker))
    assert look.attributes == {
        "db.system.name": "redis",
        "db.operation.name": "EVAL",
        "db.stored_procedure.name": "look",
        "db.operation.batch.size": 2,
    }
    assert forget.name == "EVAL forget"


async def test_a_round_trip_that_nobody_who_is_traced_waits_for_is_no_span(spans: Spans) -> None:
    values = RedisValues(TracedRedis(spans.tracer, FakeRedis()), Names())
    assert await values.look(["a"], "token") == {"a": b"value"}
    assert not spans.ended


async def test_a_round_trip_that_fails_says_how_and_not_why(spans: Spans) -> None:
    redis = TracedRedis(spans.tracer, FakeRedis(ConnectionError("names a key")))
    with spans.asking(), pytest.raises(ConnectionError):
        await redis.run("script", [])
    assert spans.only.attributes is not None
    assert spans.only.attributes["error.type"] == "ConnectionError"
    assert spans.only.status.status_code is StatusCode.ERROR
    assert spans.only.status.description is None
    assert not spans.only.events


async def test_all_else_that_redis_is_asked_goes_to_it_as_it_is(spans: Spans) -> None:
    redis = FakeRedis()
    traced = TracedRedis(spans.tracer, redis)
    await traced.links()
    await traced.rearranged()
    await traced.delete("pattern", {"one"})
    await traced.trust(frozenset({"one"}))
    await traced.note("key", "text")
    assert redis.asked == [
        *("links", "rearranged", ("pattern", {"one"})),
        *(frozenset({"one"}), ("key", "text")),
    ]
    assert await traced.noted("key") == "noted under key"
    assert (await traced.identity(), await traced.ping()) == (frozenset({"one"}), "pong")


# ---- what is told of a command to MongoDB


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (
            {"find": "users", "filter": {"email_key": "me@example.com"}, "limit": 1},
            {"filter": {"email_key": "?"}},
        ),
        (
            {"find": "users", "filter": {"_id": {"$in": ["1", "2"]}}},
            {"filter": {"_id": {"$in": ["?"]}}},
        ),
        (
            {
                "update": "users",
                "updates": [{"q": {"_id": 1}, "u": {"$set": {"password_hash": "x"}}}],
            },
            {"updates": [{"q": {"_id": "?"}, "u": {"$set": {"password_hash": "?"}}}]},
        ),
        (
            {"aggregate": "orders", "pipeline": [{"$match": {"a": 1}}, {"$limit": 5}]},
            {"pipeline": [{"$match": {"a": "?"}}, {"$limit": "?"}]},
        ),
        (
            {"find": "orders", "filter": {}, "sort": {"_id": -1}},
            {"filter": {}, "sort": {"_id": "?"}},
        ),
    ],
    ids=["find", "in", "update", "aggregate", "sort"],
)
def test_a_command_is_told_by_its_fields_and_operators(
    command: dict[str, Any], told: dict[str, Any]
) -> None:
    assert orjson.loads(shape_text(command)) == told


def test_nothing_is_told_of_documents() -> None:
    assert shape_text({"insert": "users", "documents": [{"email": "me@example.com"}]}) == ""


def test_what_is_nested_too_deeply_is_one_value() -> None:
    nested: Any = "secret"
    for _ in range(100):
        nested = {"a": [nested]}
    text = shape_text({"filter": nested})
    assert "secret" not in text
    assert len(text) < 200
