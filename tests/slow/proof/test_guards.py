"""Each guard of the cache is needed: without it some order of events breaks a promise."""

from collections.abc import Callable, Collection
from typing import Any

import pytest

from services.common.batching import Batch, Batcher
from services.common.cache.invalidation import Invalidations
from services.common.cache.link import InvalidationLink
from services.common.cache.near import Near
from services.common.cache.read_through import ReadThroughCache
from tests.slow.proof.memory import Guards
from tests.slow.proof.protocol import NONE, OLD_IN_REDIS, OLD_NEAR, STALE, STALE_TO_ITSELF, UNLEASED
from tests.slow.proof.rehearsal import Actor, Scene, rehearse

pytestmark = pytest.mark.timeout(900)  # it computes, perhaps with a small part of a core

A, B = 0, 1
READER_AND_WRITER = [Actor.reader(A), Actor.writer(B)]
TWO_READERS = [Actor.reader(A), Actor.reader(B), Actor.writer(B)]
NEIGHBOURS = [Actor.reader(A), Actor.reader(A), Actor.writer(B)]
TO_ITSELF = [Actor.reader(A), Actor.reader(A), Actor.writer(A)]

LOSS = NONE._replace(losses=1)
CRASH = NONE._replace(crashes=1)
BREAK = NONE._replace(breaks=1)

Replace = Callable[[pytest.MonkeyPatch], None]


@pytest.mark.parametrize(
    ("scene", "promise"),
    [
        pytest.param(Scene(READER_AND_WRITER, guards=Guards(fill_needs_lease=False)), UNLEASED),
        pytest.param(Scene(READER_AND_WRITER, guards=Guards(fill_needs_lease=False)), OLD_IN_REDIS),
        pytest.param(Scene(READER_AND_WRITER, guards=Guards(lease_deleted=False)), OLD_IN_REDIS),
        pytest.param(Scene(READER_AND_WRITER, guards=Guards(value_deleted=False)), OLD_IN_REDIS),
        pytest.param(Scene(TWO_READERS, guards=Guards(lease_deleted=False)), STALE),
        pytest.param(Scene(TWO_READERS, guards=Guards(value_deleted=False)), STALE),
        pytest.param(Scene(READER_AND_WRITER, CRASH, backstop=False), OLD_IN_REDIS),
    ],
)
def test_where_redis_or_the_backstop_does_less_some_order_of_events_breaks_a_promise(
    scene: Scene, promise: str
) -> None:
    assert promise in rehearse(scene, promise).broken


def what_was_forgotten_is_brought_near(patch: pytest.MonkeyPatch) -> None:
    def bring(self: Near[Any], flight: object, entries: dict[str, Any]) -> None:
        for value_id, entry in entries.items():
            self._put(value_id, entry)

    patch.setattr(Near, "bring", bring)


def doubt_drops_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Near, "drop", lambda _: None)


def a_link_opens_without_doubt(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(InvalidationLink, "_open", lambda link: setattr(link._near, "closed", False))


def a_writer_keeps_its_own_near_value(patch: pytest.MonkeyPatch) -> None:
    async def invalidate(self: ReadThroughCache[Any], value_ids: Collection[str]) -> None:
        await self._invalidations.send(value_ids)

    patch.setattr(ReadThroughCache, "invalidate", invalidate)


def nothing_is_owed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Invalidations, "_owe", lambda *_: None)


def what_is_owed_is_read_from_redis(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Invalidations, "owes", lambda *_: False)


def a_round_trip_is_joined_that_has_begun(patch: pytest.MonkeyPatch) -> None:
    fly, join = Batcher._fly, Batcher.join
    begun: dict[Batcher[Any, Any], Batch[Any, Any]] = {}

    async def noted(self: Batcher[Any, Any], batch: Batch[Any, Any]) -> None:
        begun[self] = batch
        await fly(self, batch)
        del begun[self]

    def join_late(self: Batcher[Any, Any], keys: Collection[Any]) -> Batch[Any, Any]:
        batch = begun.get(self)
        return batch if batch and batch.keys.keys() >= set(keys) else join(self, keys)

    patch.setattr(Batcher, "_fly", noted)
    patch.setattr(Batcher, "join", join_late)


@pytest.mark.parametrize(
    ("mutate", "scene", "promise"),
    [
        (what_was_forgotten_is_brought_near, Scene(READER_AND_WRITER), OLD_NEAR),
        (doubt_drops_nothing, Scene(READER_AND_WRITER, BREAK), OLD_NEAR),
        (a_link_opens_without_doubt, Scene(READER_AND_WRITER, BREAK), OLD_NEAR),
        (a_writer_keeps_its_own_near_value, Scene(TO_ITSELF), STALE_TO_ITSELF),
        (nothing_is_owed, Scene(READER_AND_WRITER, LOSS), OLD_IN_REDIS),
        (what_is_owed_is_read_from_redis, Scene(TO_ITSELF, LOSS, near=False), STALE),
        (a_round_trip_is_joined_that_has_begun, Scene(NEIGHBOURS, near=False), STALE),
    ],
)
def test_without_any_one_guard_of_the_code_some_order_of_events_breaks_a_promise(
    monkeypatch: pytest.MonkeyPatch, mutate: Replace, scene: Scene, promise: str
) -> None:
    mutate(monkeypatch)
    played = rehearse(scene, promise)
    assert promise in played.broken
    print(f"{mutate.__name__}, {promise}: {', '.join(played.broken[promise])}")  # noqa: T201
