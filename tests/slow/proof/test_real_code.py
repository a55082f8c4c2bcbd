"""The real cache keeps its promises in every order of events."""

import pytest

from tests.slow.proof.protocol import NONE, Accidents
from tests.slow.proof.rehearsal import Actor, Scene, rehearse

pytestmark = pytest.mark.timeout(900)  # it computes, perhaps with a small part of a core

A, B = 0, 1
READER_AND_WRITER = [Actor.reader(A), Actor.writer(B)]
TWO_READERS = [Actor.reader(A), Actor.reader(B), Actor.writer(B)]
TWO_WRITERS = [Actor.reader(A), Actor.writer(A), Actor.writer(B)]
NEIGHBOURS = [Actor.reader(A), Actor.reader(A), Actor.writer(B)]
TO_ITSELF = [Actor.reader(A), Actor.reader(A), Actor.writer(A)]


@pytest.mark.parametrize(
    ("scene", "at_least"),
    [
        pytest.param(
            Scene([*TWO_READERS, Actor.writer(A)], near=False),
            3_000,
            id="two readers, two writers, Redis alone",
        ),
        pytest.param(
            Scene(TWO_WRITERS, NONE._replace(expiries=1, crashes=1, losses=1), near=False),
            4_000,
            id="two writers, an expiry, a crash and a lost deletion, Redis alone",
        ),
        pytest.param(
            Scene(TWO_READERS, NONE._replace(losses=1)),
            3_000,
            id="two near caches, a lost deletion",
        ),
        pytest.param(
            Scene(TWO_READERS, NONE._replace(crashes=1)), 2_000, id="two near caches, a crash"
        ),
        pytest.param(
            Scene(READER_AND_WRITER, Accidents()), 1_000, id="a near cache and every accident"
        ),
        pytest.param(Scene(NEIGHBOURS), 1_000, id="two readers in one process"),
        pytest.param(Scene(TO_ITSELF), 500, id="a process that reads what it writes"),
    ],
)
def test_no_order_of_events_breaks_a_promise_and_nobody_waits_for_ever(
    scene: Scene, at_least: int
) -> None:
    played = rehearse(scene)
    assert played.states > at_least, played.told()
    assert not played.broken, played.told()
    assert played.stuck == 0, played.told()
