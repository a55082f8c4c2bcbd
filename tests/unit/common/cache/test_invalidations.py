import asyncio
from collections.abc import Iterator

import pytest
from redis.exceptions import RedisError
from structlog.testing import capture_logs

from services.common.cache.breaker import BreakerState
from services.common.cache.shared import ALL
from tests.patience import until
from tests.unit.common.cache.fakes import Parts


@pytest.fixture
def parts() -> Iterator[Parts]:
    with capture_logs():
        yield Parts()


async def test_what_is_sent_is_forgotten_and_nothing_is_owed(parts: Parts) -> None:
    await parts.invalidations.send(["a", "b"])
    assert parts.shared.forgotten == [["a", "b"]]
    assert not parts.invalidations.owes(["a"])
    assert not parts.invalidations.due.is_set()
    assert (parts.figures.invalidations_sent, parts.figures.invalidations_lost) == (2, 0)


async def test_what_is_sent_at_once_goes_out_together(parts: Parts) -> None:
    await asyncio.gather(*(parts.invalidations.send([f"{n}"]) for n in range(50)))
    assert [len(ids) for ids in parts.shared.forgotten] == [50]


async def test_what_redis_does_not_take_is_owed_until_it_is_paid(parts: Parts) -> None:
    parts.shared.errors = [RedisError("no")] * 3
    await parts.invalidations.send(["a", "b"])
    assert parts.invalidations.due.is_set()
    assert parts.invalidations.owes(["x", "b"])
    assert not parts.invalidations.owes(["x"])
    assert parts.figures.invalidations_lost == 2
    await parts.invalidations.pay()
    assert parts.shared.forgotten == [["a", "b"]]
    assert not parts.invalidations.owes(["a", "b"])
    assert not parts.invalidations.due.is_set()


async def test_what_redis_takes_at_another_try_is_not_owed(parts: Parts) -> None:
    parts.shared.errors = [RedisError("no")]
    await parts.invalidations.send(["a"])
    assert parts.shared.forgotten == [["a"]]
    assert not parts.invalidations.owes(["a"])


async def test_while_the_breaker_is_open_all_is_owed_at_once_and_told_while_it_settles(
    parts: Parts,
) -> None:
    parts.breaker.open()
    await parts.invalidations.send(["a"])
    assert parts.shared.forgotten == []
    assert parts.invalidations.owes(["a"])
    parts.breaker.recovered()
    assert parts.breaker.state is BreakerState.SETTLING
    await parts.invalidations.send(["b"])
    assert parts.shared.forgotten == [["b"]]


async def test_what_is_being_paid_is_owed_until_redis_has_taken_it(parts: Parts) -> None:
    parts.breaker.open()
    await parts.invalidations.send(["a"])
    parts.shared.gate.clear()
    paying = asyncio.create_task(parts.invalidations.pay())
    await until(lambda: parts.shared.asked == 1)
    assert parts.invalidations.owes(["a"])
    parts.shared.gate.set()
    await paying
    assert not parts.invalidations.owes(["a"])


async def test_what_could_not_be_paid_is_owed_again(parts: Parts) -> None:
    parts.breaker.open()
    await parts.invalidations.send(["a", "b"])
    parts.shared.errors = [RedisError("no")]
    with pytest.raises(RedisError):
        await parts.invalidations.pay()
    assert parts.invalidations.owes(["a"])
    assert parts.invalidations.due.is_set()
    await parts.invalidations.pay()
    assert parts.shared.forgotten == [["a", "b"]]


async def test_a_payment_that_is_given_up_is_owed_again(parts: Parts) -> None:
    parts.breaker.open()
    await parts.invalidations.send(["a"])
    parts.shared.gate.clear()
    paying = asyncio.create_task(parts.invalidations.pay())
    await until(lambda: parts.shared.asked == 1)
    paying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await paying
    assert parts.invalidations.owes(["a"])


async def test_what_becomes_owed_during_a_payment_is_paid_as_well(parts: Parts) -> None:
    parts.breaker.open()
    await parts.invalidations.send(["a"])
    parts.shared.gate.clear()
    paying = asyncio.create_task(parts.invalidations.pay())
    await until(lambda: parts.shared.asked == 1)
    await parts.invalidations.send(["b", "a"])
    parts.shared.gate.set()
    await paying
    assert parts.shared.forgotten == [["a"], ["a", "b"]]
    assert not parts.invalidations.due.is_set()


async def test_much_that_is_owed_is_paid_in_parts(parts: Parts) -> None:
    parts.breaker.open()
    ids = [f"{number:04}" for number in range(1001)]
    await parts.invalidations.send(ids)
    await parts.invalidations.pay()
    assert sorted(i for part in parts.shared.forgotten for i in part) == ids
    assert max(len(part) for part in parts.shared.forgotten) <= 200


async def test_more_than_can_be_remembered_is_everything(parts: Parts) -> None:
    parts.breaker.open()
    await parts.invalidations.send([f"{number}" for number in range(100_001)])
    assert parts.invalidations.owes(["never heard of"])
    parts.shared.errors = [RedisError("no")]
    with pytest.raises(RedisError):
        await parts.invalidations.pay()
    assert parts.invalidations.owes(["never heard of"])
    await parts.invalidations.pay()
    assert (parts.shared.forgotten, parts.shared.all_forgotten) == ([], 1)
    assert not parts.invalidations.owes(["never heard of"])


async def test_everything_may_be_owed_by_name(parts: Parts) -> None:
    parts.breaker.open()
    await parts.invalidations.send([ALL])
    assert parts.invalidations.owes(["a"])
    await parts.invalidations.pay()
    assert parts.shared.all_forgotten == 1


async def test_what_is_sent_is_done_to_the_end_though_its_caller_goes_away(parts: Parts) -> None:
    parts.shared.gate.clear()
    sending = asyncio.create_task(parts.invalidations.send(["a"]))
    await until(lambda: parts.shared.asked == 1)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    parts.shared.gate.set()
    await parts.invalidations.drain()
    assert parts.shared.forgotten == [["a"]]


async def test_what_is_only_started_is_waited_for_by_draining(parts: Parts) -> None:
    parts.invalidations.start(["a"])
    assert parts.shared.forgotten == []
    await parts.invalidations.drain()
    assert parts.shared.forgotten == [["a"]]


async def test_a_delivery_raises_what_redis_raises_and_owes_nothing(parts: Parts) -> None:
    parts.shared.errors = [RedisError("no"), RedisError("no")]
    with pytest.raises(RedisError):
        await parts.invalidations.deliver(["a"])
    with pytest.raises(RedisError):
        await parts.invalidations.deliver_all()
    assert not parts.invalidations.owes(["a"])
