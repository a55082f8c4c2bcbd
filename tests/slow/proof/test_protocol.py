"""The protocol keeps its promises in every order of events, and each protection is needed."""

from dataclasses import replace

import pytest

from tests.slow.proof.explorer import Exploration, explore
from tests.slow.proof.protocol import (
    NONE,
    OLD_IN_REDIS,
    OLD_NEAR,
    STALE,
    STALE_TO_ITSELF,
    UNLEASED,
    Accidents,
    Protections,
    protocol,
)

pytestmark = pytest.mark.timeout(900)  # it computes, perhaps with a small part of a core

ALL = Protections()


def explored(
    accidents: Accidents, protections: Protections = ALL, reads: int = 1, sought: str = ""
) -> Exploration:
    return explore(protocol(protections, accidents, reads), sought)


@pytest.mark.parametrize(
    ("accidents", "reads", "at_least"),
    [
        pytest.param(NONE, 2, 20_000, id="two reads and a write in each process"),
        pytest.param(Accidents(breaks=0), 1, 40_000, id="an expiry, a crash and a lost deletion"),
        pytest.param(NONE._replace(breaks=1), 1, 20_000, id="a link that breaks"),
        pytest.param(NONE._replace(late=1), 1, 10_000, id="a write that is done too late"),
    ],
)
def test_no_order_of_events_breaks_a_promise_and_nobody_waits_for_ever(
    accidents: Accidents, reads: int, at_least: int
) -> None:
    found = explored(accidents, reads=reads)
    assert found.states > at_least, found.told()
    assert not found.broken, found.told()
    assert found.stuck is None, found.told()


@pytest.mark.parametrize(
    ("without", "accidents", "promise"),
    [
        ("fill_needs_lease", NONE, STALE),
        ("fill_needs_lease", NONE, UNLEASED),
        ("fill_needs_lease", NONE, OLD_IN_REDIS),
        ("value_deleted", NONE, STALE),
        ("lease_deleted", NONE, STALE),
        ("flights_watched", NONE, OLD_NEAR),
        ("own_near_forgotten", NONE, STALE_TO_ITSELF),
        ("near_dropped_in_doubt", NONE._replace(breaks=1), OLD_NEAR),
        ("flights_doubted_at_opening", NONE._replace(breaks=1), OLD_NEAR),
        ("owed_read_past_redis", NONE._replace(losses=1), STALE),
        ("owed_is_paid", NONE._replace(losses=1), OLD_IN_REDIS),
        ("backstop", NONE._replace(crashes=1), OLD_IN_REDIS),
        ("backstop", NONE._replace(late=1), OLD_IN_REDIS),
    ],
)
def test_without_any_one_protection_some_order_of_events_breaks_a_promise(
    without: str, accidents: Accidents, promise: str
) -> None:
    reads = 2 if promise is STALE_TO_ITSELF else 1
    found = explored(accidents, replace(ALL, **{without: False}), reads, promise)
    assert promise in found.broken
    print(f"without {without}, {promise}: {', '.join(found.broken[promise])}")  # noqa: T201


def test_without_a_lost_deletion_nothing_is_ever_owed() -> None:
    assert not explored(NONE, replace(ALL, owed_is_paid=False, backstop=False)).broken


def test_either_an_end_of_leases_or_an_end_of_waiting_frees_who_waits_for_a_crashed_reader() -> (
    None
):
    crash = NONE._replace(crashes=1)
    for without in ("waiting_ends", "leases_expire"):
        assert explored(crash, replace(ALL, **{without: False})).stuck is None
    neither = replace(ALL, waiting_ends=False, leases_expire=False)
    stuck = explored(crash, neither).stuck
    assert stuck is not None
    assert [name for name in stuck if "crashes" in name]
