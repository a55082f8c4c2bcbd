from time import monotonic

import pytest

from services.common.cache.lookup import ABSENT_TTL_S, TTL_S, Entry, Lookup
from services.common.cache.near import Near, NearOptions
from services.common.snapshot import Snapshot

NAME: Lookup[str] = Lookup("name", str)


def entry(name: str | None, age_s: float = 0.0) -> Entry[str]:
    """An entry that was loaded some time ago."""
    made = NAME.entry("x", None if name is None else Snapshot(name))
    made.cached_ms -= int(age_s * 1000)
    return made


def opened(entries: int = 3, bytes_: int = 10**9) -> Near[str]:
    near: Near[str] = Near(NearOptions(entries, bytes_, lease_s=1.0))
    near.closed = False
    near.valid_until = monotonic() + 3600
    return near


def bring(near: Near[str], **entries: Entry[str]) -> None:
    with near.flight() as flight:
        near.bring(flight, entries)


def known(near: Near[str]) -> str:
    """Which ids are there, without asking for any."""
    return "".join(sorted(near._places))


def test_what_was_brought_is_there_and_nothing_else() -> None:
    near, a = opened(), entry("Ada")
    bring(near, a=a)
    assert near.get("a") is a
    assert near.get("b") is None


def test_that_there_is_none_is_there_too() -> None:
    near = opened()
    bring(near, a=entry(None))
    found = near.get("a")
    assert found is not None
    assert found.snapshot is None


def test_beyond_so_many_entries_the_oldest_goes() -> None:
    near = opened(entries=3)
    for value_id in "abcde":
        bring(near, **{value_id: entry(value_id)})
    assert (len(near), known(near), near.evicted) == (3, "cde", 2)


def test_what_was_asked_for_gets_a_second_chance_but_no_third() -> None:
    near = opened(entries=3)
    for value_id in "abc":
        bring(near, **{value_id: entry(value_id)})
    near.get("a")
    bring(near, d=entry("d"))
    assert known(near) == "acd"
    for value_id in "efg":
        bring(near, **{value_id: entry(value_id)})
    assert known(near) == "efg"


def test_what_is_asked_for_again_and_again_stays_however_much_passes() -> None:
    near = opened(entries=10)
    bring(near, hot=entry("hot"))
    for number in range(1000):
        assert near.get("hot") is not None
        bring(near, **{f"cold{number}": entry("cold")})
    assert len(near) == 10


def test_when_everything_was_asked_for_something_goes_nevertheless() -> None:
    near = opened(entries=3)
    for value_id in "abc":
        bring(near, **{value_id: entry(value_id)})
        near.get(value_id)
    for value_id in "def":
        bring(near, **{value_id: entry(value_id)})
        assert len(near) == 3
    assert near.evicted == 3


def test_beyond_so_many_bytes_the_oldest_goes() -> None:
    size = entry("x" * 1000).size_bytes + 1
    near = opened(entries=100, bytes_=3 * size)
    for value_id in "abcde":
        bring(near, **{value_id: entry("x" * 1000)})
        assert near.bytes <= 3 * size
    assert known(near) == "cde"


def test_what_is_larger_than_all_room_is_not_taken_and_drives_nothing_out() -> None:
    near = opened(bytes_=10_000)
    bring(near, a=entry("a"))
    bring(near, b=entry("x" * 10_000))
    assert known(near) == "a"


def test_what_grows_larger_than_all_room_goes() -> None:
    near = opened(bytes_=10_000)
    bring(near, a=entry("a"))
    bring(near, a=entry("x" * 10_000))
    assert (len(near), near.bytes) == (0, 0)


def test_bytes_are_those_of_the_entries_that_are_there() -> None:
    near = opened(entries=2)
    bring(near, a=entry("a"), b=entry("bb"), c=entry("ccc"))
    bring(near, b=entry("b" * 50))
    near.forget(["c", "unknown"])
    only = near.get("b")
    assert only is not None
    assert near.bytes == only.size_bytes + 1
    near.drop()
    assert (near.bytes, len(near)) == (0, 0)


@pytest.mark.parametrize(("name", "ttl_s"), [("Ada", TTL_S), (None, ABSENT_TTL_S)])
def test_an_entry_is_as_old_as_its_loading_and_expires_with_it(
    name: str | None, ttl_s: int
) -> None:
    near = opened()
    bring(near, young=entry(name, age_s=ttl_s - 20))
    bring(near, old=entry(name, age_s=ttl_s + 1))
    assert near.get("young") is not None
    assert near.get("old") is None
    assert known(near) == "young"


def test_nothing_is_answered_after_it_stopped_being_valid_and_all_again_after() -> None:
    near = opened()
    bring(near, a=entry("a"))
    near.valid_until = monotonic() - 0.001
    assert near.get("a") is None
    near.valid_until = monotonic() + 3600
    assert near.get("a") is not None


def test_while_closed_nothing_is_taken() -> None:
    near = opened()
    near.closed = True
    bring(near, a=entry("a"))
    assert len(near) == 0


def test_what_is_forgotten_during_a_flight_is_not_brought_in_and_the_rest_is() -> None:
    near = opened()
    with near.flight() as flight, near.flight() as other:
        near.forget(["a"])
        near.bring(flight, {"a": entry("old"), "b": entry("b")})
        near.bring(other, {"a": entry("old")})
    assert known(near) == "b"
    bring(near, a=entry("new"))
    assert known(near) == "ab"


def test_what_was_forgotten_before_a_flight_may_be_brought_in() -> None:
    near = opened()
    near.forget(["a"])
    bring(near, a=entry("a"))
    assert known(near) == "a"


def test_after_a_drop_nothing_comes_in_from_the_flights_under_way() -> None:
    near = opened()
    bring(near, a=entry("a"))
    with near.flight() as flight:
        near.drop()
        near.bring(flight, {"a": entry("a"), "b": entry("b")})
    assert len(near) == 0
    bring(near, b=entry("b"))
    assert known(near) == "b"


def test_after_a_drop_nothing_is_answered_until_it_is_valid_again() -> None:
    near = opened()
    near.drop()
    bring(near, a=entry("a"))
    assert near.get("a") is None


def test_what_is_known_already_is_recognised_by_its_form_in_redis() -> None:
    near, a = opened(), entry("a")
    bring(near, a=a)
    assert near.known("a", bytes(bytearray(a.raw))) is a
    assert near.known("a", entry("other").raw) is None
    assert near.known("b", a.raw) is None


def test_what_has_expired_is_read_again_though_redis_still_has_it() -> None:
    near, a = opened(), entry("Ada", age_s=TTL_S + 1)
    bring(near, a=a)
    assert near.known("a", a.raw) is None


def test_an_entry_brought_again_stays_where_it_is() -> None:
    near, a = opened(entries=2), entry("a")
    bring(near, a=a, b=entry("b"))
    bring(near, a=a)
    bring(near, c=entry("c"))
    assert known(near) == "bc"
