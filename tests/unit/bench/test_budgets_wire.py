"""What counts as a round trip on the wire."""

from typing import Any

import bson
from hiredis import pack_command

from tests.budgets.wire import Heard, MongoEar, RedisEar


def message(command: dict[str, Any]) -> bytes:
    """A command as drivers send it (OP_MSG)."""
    body = bytes(4) + b"\x00" + bson.encode(command)
    return (16 + len(body)).to_bytes(4, "little") + bytes(8) + (2013).to_bytes(4, "little") + body


def look(*keys: str) -> bytes:
    return packed("EVAL", "return {}", len(keys), *keys)


def packed(*words: str | int) -> bytes:
    """A command as clients send it."""
    command: Any = words
    return bytes(pack_command(command))


def test_each_command_to_mongodb_is_a_round_trip() -> None:
    heard = Heard()
    said = message({"find": "orders"}) + message({"commitTransaction": 1, "$db": "admin"})
    ear = MongoEar(heard)
    for byte in said[:-1]:
        ear.said(bytes([byte]))
    assert heard.queries == ["find orders"]
    ear.said(said[-1:])
    assert heard.queries == ["find orders", "commitTransaction"]


def test_what_a_process_does_beside_its_calls_is_no_query() -> None:
    heard = Heard()
    ear = MongoEar(heard)
    commands: list[dict[str, Any]] = [
        {"hello": 1},
        {"ping": 1},
        {"endSessions": []},
        {"findAndModify": "cache_backstop"},
        {"getMore": 7, "collection": "cache_backstop"},
    ]
    for command in commands:
        ear.said(message(command))
    assert heard.queries == []
    ear.said(message({"aggregate": "orders", "pipeline": [{"$changeStream": {}}]}))
    assert (heard.queries, heard.streams) == ([], 1)
    ear.said(message({"aggregate": "orders", "pipeline": [{"$match": {}}]}))
    assert heard.queries == ["aggregate orders"]


def test_what_goes_to_redis_before_an_answer_is_one_round_trip() -> None:
    heard = Heard()
    ear = RedisEar(heard)
    assert ear.said(look("product:1", "{product:1}:lease") + look("product:2"))
    assert len(heard.redis) == 1
    ear.answered()
    assert ear.said(look("user_orders:1"))
    assert heard.redis[1:] == ["EVAL 1 x user_orders:1"]


def test_what_names_no_value_belongs_to_no_call() -> None:
    heard = Heard()
    ear = RedisEar(heard)
    for words in (
        ("PING",),
        ("INFO", "server"),
        ("SUBSCRIBE", "invalidated:product"),
        ("EVAL", "return {}", "2", "product:", "{product:}:lease"),
    ):
        assert not ear.said(packed(*words))
    assert heard.redis == []
