"""What two processes do when the cache does less: something untrue is read."""

import asyncio
from collections.abc import Callable

import pytest

from services.common.cache import shared
from services.common.cache.backstop import Backstop
from services.common.cache.read_through import ReadThroughCache
from tests.integration.cache.test_stateful import play_until_untrue, world


def nobody_tells_of_writes(patch: pytest.MonkeyPatch) -> None:
    async def keep_it(*_: object) -> None:
        """Invalidate nothing."""

    async def watch_nothing(_: Backstop) -> None:
        await asyncio.Event().wait()

    patch.setattr(ReadThroughCache, "invalidate", keep_it)
    patch.setattr(Backstop, "run", watch_nothing)  # it is so fast that it would hide the rest


def values_are_not_deleted(patch: pytest.MonkeyPatch) -> None:
    keys = "'DEL', KEYS[i], KEYS[i + 1]"
    assert keys in shared._FORGET
    patch.setattr(shared, "_FORGET", shared._FORGET.replace(keys, "'DEL', KEYS[i + 1]"))


@pytest.mark.parametrize("mutate", [nobody_tells_of_writes, values_are_not_deleted])
def test_where_the_cache_does_less_something_untrue_is_read(
    monkeypatch: pytest.MonkeyPatch,
    mongo_uri: str,
    redis_url: str,
    mutate: Callable[[pytest.MonkeyPatch], None],
) -> None:
    mutate(monkeypatch)
    with world(mongo_uri, redis_url) as opened:
        play_until_untrue(opened)
