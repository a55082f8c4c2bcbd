"""Redis is optional at run time: killed or hung, everything goes on, a bounded time later."""

import asyncio
from dataclasses import replace

import pytest

from services.common.auth.principal import Role
from services.common.cache.breaker import BreakerState
from services.common.clock import utc_now
from services.inventory.model import Product
from services.stack.stores import Store
from services.user.model import ProfileDraft, User
from tests.integration.cache.conftest import Shop
from tests.integration.conftest import PATIENT_MS
from tests.integration.hanging import hung
from tests.integration.inventory.conftest import LAMP, OWNER, Counts, by_id, got, items
from tests.integration.order.conftest import LINES, begun
from tests.integration.patience import PATIENT_S, until
from tests.integration.user.conftest import ADA

# Two timeouts open the breaker. The fills that give a lease back fail too.
MOST_ASKED = 4


async def kill(store: Store) -> None:
    store.child.process.kill()
    await store.child.process.wait()


async def confirm_reads_and_writes_go_on(shop: Shop, lamp: Product, ada: User) -> None:
    """Do everything that touches the cache once, and see that it was done."""
    products, users, shelf = shop.inventory.products, shop.people.users, shop.shelf
    assert (await products.get(lamp.product_id)).value == lamp
    assert await got(shop.inventory, lamp.product_id) == by_id(lamp)
    assert (await users.get(ada.user_id)).value == ada
    assert await shelf.walk(5) == [[]]
    await products.update(lamp.product_id, replace(LAMP, name="New"), ["name"], 0)
    await shop.inventory.reservations.reserve(OWNER, "a", items((lamp, 2)))
    await shop.inventory.reservations.release(OWNER, "a")
    await shop.inventory.reservations.reserve(OWNER, "b", items((lamp, 3)))
    await shop.inventory.reservations.commit(OWNER, "b")
    await users.update(
        ada.user_id, ProfileDraft("", "New", Role.CUSTOMER, active=True), ["full_name"]
    )
    checkout = await shelf.orders.open(begun(shelf.user_id))
    confirmed = checkout.confirmed(LINES, utc_now())
    assert await shelf.orders.save(confirmed)
    assert (await products.get(lamp.product_id)).value.name == "New"
    assert await shop.inventory.counts(lamp) == Counts(7, 0, 3)
    assert (await users.get(ada.user_id)).value.full_name == "New"
    assert await shelf.walk(5) == [[confirmed.order]]


@pytest.fixture
async def lamp(fragile_shop: Shop) -> Product:
    lamp = await fragile_shop.inventory.products.add(LAMP)
    return (await fragile_shop.inventory.products.get(lamp.product_id)).value


@pytest.fixture
async def ada(fragile_shop: Shop) -> User:
    ada = await fragile_shop.people.registered(ADA)
    return (await fragile_shop.people.users.get(ada.user_id)).value


@pytest.mark.parametrize("timeout_ms", [PATIENT_MS])
async def test_with_redis_dead_everything_goes_on_at_once(
    fragile_shop: Shop, own_store: Store, lamp: Product, ada: User, timeout_ms: int
) -> None:
    await kill(own_store)
    async with asyncio.timeout(timeout_ms / 1000 / 2):
        await confirm_reads_and_writes_go_on(fragile_shop, lamp, ada)


def errors_of(shop: Shop) -> list[int]:
    """How often each cache asked Redis for a value, or gave it one, and got no answer."""
    return [cache.figures.redis_error for cache in (shop.products, shop.pages, shop.profiles)]


async def test_with_redis_hung_everything_goes_on_and_redis_is_asked_no_more(
    fragile_shop: Shop, own_store: Store, lamp: Product, ada: User
) -> None:
    async with hung(own_store), asyncio.timeout(PATIENT_S):
        await confirm_reads_and_writes_go_on(fragile_shop, lamp, ada)
        await fragile_shop.filled()
        asked = errors_of(fragile_shop)
        assert max(asked) <= MOST_ASKED
        assert fragile_shop.products.breaker.state is BreakerState.OPEN
        for _ in range(2):
            assert (await fragile_shop.inventory.products.get(lamp.product_id)).value.name == "New"
        assert errors_of(fragile_shop) == asked


@pytest.mark.parametrize("timeout_ms", [500])  # they ask before others find that it hangs
async def test_with_redis_hung_a_crowd_of_readers_asks_it_no_more_often(
    fragile_shop: Shop, own_store: Store, lamp: Product
) -> None:
    await until(lambda: fragile_shop.products.breaker.closed)
    async with hung(own_store), asyncio.timeout(PATIENT_S):
        found = await asyncio.gather(
            *(fragile_shop.inventory.products.get(lamp.product_id) for _ in range(200))
        )
        await fragile_shop.filled()
    assert {snapshot.value for snapshot in found} == {lamp}
    assert 0 < fragile_shop.products.figures.redis_error <= MOST_ASKED


async def test_when_redis_answers_again_it_is_used_again(
    fragile_shop: Shop, own_store: Store, lamp: Product
) -> None:
    async with hung(own_store):
        await fragile_shop.inventory.products.get(lamp.product_id)
        await until(lambda: fragile_shop.products.breaker.state is BreakerState.OPEN)
    await until(lambda: fragile_shop.products.breaker.closed)
    chair = await fragile_shop.inventory.stocked(1)

    async def shown() -> Product:
        return (await fragile_shop.inventory.products.get(chair.product_id)).value

    async def is_filled_in() -> bool:
        assert await shown() == chair
        return await fragile_shop.cached(f"product:{chair.product_id}") is not None

    async def is_what_redis_has() -> bool:
        return await shown() == chair

    await until(is_filled_in)
    cached = await fragile_shop.cached(f"product:{chair.product_id}")
    assert cached["value"]["name"] == chair.name
    await fragile_shop.change_behind("products", chair.product_id, name="behind")
    await until(is_what_redis_has)


async def test_a_reader_who_goes_away_leaves_no_answer_to_another(
    fragile_shop: Shop, lamp: Product
) -> None:
    """A cancelled read must not leave its reply on a connection that the next read uses."""
    chairs = [await fragile_shop.inventory.stocked(1) for _ in range(5)]
    for chair in chairs:
        await fragile_shop.inventory.products.get(chair.product_id)
    for n in range(200):
        gone = asyncio.create_task(fragile_shop.inventory.products.get(lamp.product_id))
        await asyncio.sleep(n / 400_000)
        gone.cancel()
        chair = chairs[n % len(chairs)]
        assert (await fragile_shop.inventory.products.get(chair.product_id)).value == chair
        await asyncio.gather(gone, return_exceptions=True)
