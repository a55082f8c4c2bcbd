import time
from dataclasses import dataclass
from typing import Any

import orjson
import pytest

from services.common.cache.envelope import UnreadableValueError
from services.common.cache.lookup import Lookup
from services.common.snapshot import Snapshot


@dataclass(frozen=True)
class Thing:
    colour: str
    weights: tuple[int, ...]
    shape: str = "round"


THING: Lookup[Thing] = Lookup("thing", Thing, lambda _id, thing: thing.colour != "another's")
RED = Thing("red", (1, 2))


def sealed(**changes: Any) -> bytes:
    """What stands in Redis under ``thing:1``, with changes."""
    value = {"colour": "red", "weights": [1, 2]}
    fields = {"key": "thing:1", "cached_ms": int(time.time() * 1000), "value": value}
    return orjson.dumps({**fields, **changes})


def test_a_value_stands_as_json_with_its_key_and_the_time_of_loading() -> None:
    before_ms = time.time() * 1000 - 1
    made = THING.entry("1", Snapshot(RED))
    assert orjson.loads(made.raw) == {
        "key": "thing:1",
        "cached_ms": made.cached_ms,
        "value": {"colour": "red", "weights": [1, 2], "shape": "round"},
    }
    assert before_ms <= made.cached_ms <= time.time() * 1000
    assert made.ttl_s == 300


def test_that_there_is_none_stands_as_null_for_a_shorter_time() -> None:
    made = THING.entry("1", None)
    assert orjson.loads(made.raw)["value"] is None
    assert made.snapshot is None
    assert made.ttl_s == 30


def test_the_lease_of_a_value_is_kept_by_the_same_server_of_a_cluster() -> None:
    assert (THING.key("1"), THING.lease_key("1")) == ("thing:1", "{thing:1}:lease")


def test_what_was_written_is_read_as_it_was() -> None:
    made = THING.entry("1", Snapshot(RED))
    read = THING.read("1", made.raw)
    assert (read.raw, read.cached_ms, read.ttl_s) == (made.raw, made.cached_ms, 300)
    for entry in (made, read):
        assert entry.snapshot is not None
        assert entry.snapshot.value == RED
    assert THING.read("1", THING.entry("1", None).raw).snapshot is None


@pytest.mark.parametrize(("loaded_ms_ago", "age_ms"), [(0, 0), (1500, 1500), (-40_000, 0)])
def test_the_age_counts_from_loading_and_is_never_negative(loaded_ms_ago: int, age_ms: int) -> None:
    now_ms = int(time.time() * 1000)
    read = THING.read("1", sealed(cached_ms=now_ms - loaded_ms_ago))
    assert age_ms <= read.age_ms <= age_ms + 10_000


UNREADABLE = {
    "nothing": b"",
    "no json": b"{",
    "no text": b"\xff\xfe",
    "null": b"null",
    "a number": b"7",
    "a text": b'"thing:1"',
    "a list": b"[]",
    "no fields": b"{}",
    "no key": orjson.dumps({"cached_ms": 1, "value": None}),
    "no time": orjson.dumps({"key": "thing:1", "value": None}),
    "no value": orjson.dumps({"key": "thing:1", "cached_ms": 1}),
    "another key": sealed(key="thing:2"),
    "nobody's key": sealed(key=None),
    "nothing of another": sealed(key="thing:2", value=None),
    "a time in words": sealed(cached_ms="now"),
    "no time at all": sealed(cached_ms=None),
    "a value of another type": sealed(value=7),
    "a value in a list": sealed(value=[RED]),
    "a value without a field": sealed(value={"colour": "red"}),
    "a field of another type": sealed(value={"colour": "red", "weights": 7}),
    "bare fields": orjson.dumps({"colour": "red", "weights": [1]}),
    "a part of another type": sealed(value={"colour": "red", "weights": [1, "2"]}),
    "a flag for a number": sealed(value={"colour": "red", "weights": [True]}),
    "half a character": sealed(value={"colour": "RED", "weights": []}).replace(b"RED", b"\\ud800"),
    "an invalid value": sealed(value={"colour": "another's", "weights": []}),
    "a flag for a time": sealed(cached_ms=True),
    "a time long ago": sealed(cached_ms=1),
    "a time to come": sealed(cached_ms=int(time.time() * 1000) + 10**7),
    "a time beyond all bounds": sealed(cached_ms=2**63),
    "deep parts": sealed(x=0).replace(b'"x":0', b'"x":' + b"[" * 10**5 + b"]" * 10**5),
    "two values": sealed() * 2,
}


@pytest.mark.parametrize("raw", UNREADABLE.values(), ids=UNREADABLE)
def test_anything_else_is_unreadable(raw: bytes) -> None:
    with pytest.raises(UnreadableValueError):
        THING.read("1", raw)


def test_fields_that_nobody_knows_do_no_harm() -> None:
    raw = sealed(by="a later release", value={"colour": "red", "weights": [1, 2], "size": 3})
    read = THING.read("1", raw)
    assert read.snapshot is not None
    assert read.snapshot.value == RED


def test_nothing_found_is_believed_for_less_long_than_a_value() -> None:
    a_while_ago = int(time.time() * 1000) - 200_000
    assert THING.read("1", sealed(cached_ms=a_while_ago)).snapshot is not None
    with pytest.raises(UnreadableValueError):
        THING.read("1", sealed(cached_ms=a_while_ago, value=None))
