"""What stands under the three keys, how long, and when it is forgotten."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

import orjson
import pytest

from services.common.auth.principal import Role
from services.common.clock import utc_now
from services.common.ids import new_id
from services.common.money import Money
from services.common.paging import DEFAULT_PAGE_SIZE
from services.inventory.model import Adjustment, InsufficientStock, Product, ProductNotFound
from services.user.model import ProfileDraft, UserNotFound
from tests.integration.cache.conftest import Shop
from tests.integration.inventory.conftest import LAMP, OWNER, by_id, got, items
from tests.integration.order.conftest import LINES, begun
from tests.integration.user.conftest import ADA


@pytest.fixture
async def lamp(shop: Shop) -> Product:
    return await shop.inventory.products.add(LAMP)


async def confirm_lives_300_s(shop: Shop, key: str) -> None:
    assert 240 < await shop.redis.ttl(key) <= 300


async def test_a_product_read_stands_in_redis_as_json_for_300_s(shop: Shop, lamp: Product) -> None:
    key = f"product:{lamp.product_id}"
    assert await shop.cached(key) is None
    earliest_ms = time.time() * 1000 - 1
    await shop.inventory.products.get(lamp.product_id)
    cached = await shop.cached(key)
    assert earliest_ms <= cached["cached_ms"] <= time.time() * 1000
    assert cached["key"] == key
    assert cached["value"] == {
        "product_id": lamp.product_id,
        "sku": "lamp-1",
        "name": "Red Lamp",
        "description": "Shines at night",
        "category": "lamps",
        "price": {"currency_code": "EUR", "minor_units": 1999},
        "stock": 10,
        "tags": ["red", "light"],
        "version": 1,
        "create_time": lamp.create_time.isoformat(),
        "update_time": lamp.update_time.isoformat(),
    }
    await confirm_lives_300_s(shop, key)


async def test_products_read_together_stand_in_redis_each_for_300_s(
    shop: Shop, lamp: Product
) -> None:
    other = await shop.inventory.stocked(3)
    await shop.inventory.products.get_many([lamp.product_id, other.product_id])
    for product in (lamp, other):
        key = f"product:{product.product_id}"
        assert (await shop.cached(key))["value"]["sku"] == product.sku
        await confirm_lives_300_s(shop, key)


async def test_a_profile_read_stands_in_redis_for_300_s_without_a_secret(shop: Shop) -> None:
    ada = await shop.people.registered(ADA)
    await shop.people.users.get(ada.user_id)
    await shop.people.users.find_account(ada.user_id)
    await shop.people.users.find_account_named(ada.username)
    key = f"user_profile:{ada.user_id}"
    assert (await shop.cached(key))["value"] == {
        "user_id": ada.user_id,
        "username": "Ada.L",
        "email": "Ada@Example.com",
        "full_name": "Ada Lovelace",
        "role": "customer",
        "active": True,
        "create_time": ada.create_time.isoformat(),
        "update_time": ada.update_time.isoformat(),
    }
    await confirm_lives_300_s(shop, key)


async def test_the_orders_listed_stand_in_redis_as_json_for_300_s(shop: Shop) -> None:
    opened = await shop.shelf.orders.open(begun(shop.shelf.user_id))
    confirmed = opened.confirmed(LINES, utc_now())
    await shop.shelf.orders.save(confirmed)
    await shop.shelf.orders.page_of_user(shop.shelf.user_id, DEFAULT_PAGE_SIZE, "")
    key = f"user_orders:{shop.shelf.user_id}"
    cached = await shop.cached(key)
    assert cached["key"] == key
    assert cached["value"]["next_page_token"] == ""
    (order,) = cached["value"]["items"]
    assert (order["order_id"], order["status"]) == (opened.order.order_id, "CONFIRMED")
    assert order["total"] == {"currency_code": "EUR", "minor_units": 3999}
    await confirm_lives_300_s(shop, key)


async def test_that_there_is_nothing_is_remembered_for_30_s(shop: Shop) -> None:
    unknown = new_id()
    for _ in range(2):
        with pytest.raises(ProductNotFound):
            await shop.inventory.products.get(unknown)
        with pytest.raises(UserNotFound):
            await shop.people.users.get(unknown)
        assert not await shop.inventory.products.get_many([unknown])
        await shop.filled()
    assert (shop.products.figures.mongo_absent, shop.profiles.figures.mongo_absent) == (1, 1)
    for key in (f"product:{unknown}", f"user_profile:{unknown}"):
        assert (await shop.cached(key))["value"] is None
        assert 15 < await shop.redis.ttl(key) <= 30


async def test_what_stands_in_redis_is_not_asked_of_mongodb(shop: Shop, lamp: Product) -> None:
    ada = await shop.people.registered(ADA)
    (order,) = await shop.shelf.ordered(1)
    for _ in range(2):
        assert (await shop.inventory.products.get(lamp.product_id)).value == lamp
        assert await got(shop.inventory, lamp.product_id) == by_id(lamp)
        assert (await shop.people.users.get(ada.user_id)).value == ada
        assert await shop.shelf.walk(5) == [[order]]
        await shop.filled()
        name = f"changed {new_id()}"
        await shop.change_behind("products", lamp.product_id, name=name)
        await shop.change_behind("users", ada.user_id, full_name=name)
        await shop.change_behind("orders", order.order_id, reject_reason=name)


async def test_only_the_products_that_redis_lacks_are_asked_of_mongodb(
    shop: Shop, lamp: Product
) -> None:
    a, b, c = [await shop.inventory.stocked(1) for _ in range(3)]
    await shop.inventory.products.get_many([a.product_id, c.product_id])
    await shop.filled()
    before = shop.products.figures.mongo_hit
    wanted = [product.product_id for product in (lamp, a, b, c)]
    for _ in range(2):
        assert await got(shop.inventory, *wanted) == by_id(lamp, a, b, c)
        await shop.filled()
        assert shop.products.figures.mongo_hit - before == 2


ProductWrite = Callable[[Shop, Product], Awaitable[object]]

PRODUCT_WRITES: dict[str, ProductWrite] = {
    "update": lambda shop, product: shop.inventory.products.update(
        product.product_id, replace(LAMP, name="New"), ["name"], 0
    ),
    "adjust": lambda shop, product: shop.inventory.products.adjust(
        Adjustment(new_id(), product.product_id, 5)
    ),
    "remove": lambda shop, product: shop.inventory.products.remove(product.product_id),
    "reserve": lambda shop, product: shop.inventory.reservations.reserve(
        OWNER, "r", items((product, 1))
    ),
    "reserve again": lambda shop, product: shop.inventory.reservations.reserve(
        OWNER, "held", items((product, 2))
    ),
    "release what was held": lambda shop, _: shop.inventory.reservations.release(OWNER, "held"),
    "release what was sold": lambda shop, _: shop.inventory.reservations.release(OWNER, "sold"),
}


@pytest.mark.parametrize("write", PRODUCT_WRITES.values(), ids=PRODUCT_WRITES)
async def test_a_write_that_changes_what_a_product_shows_makes_redis_forget_it(
    shop: Shop, write: ProductWrite
) -> None:
    other, product = await shop.inventory.stocked(10), await shop.inventory.stocked(10)
    if write is PRODUCT_WRITES["release what was sold"]:
        await shop.inventory.reservations.reserve(OWNER, "sold", items((product, 2)))
        await shop.inventory.reservations.commit(OWNER, "sold")
    elif write is not PRODUCT_WRITES["remove"]:
        await shop.inventory.reservations.reserve(OWNER, "held", items((product, 2)))
    await shop.inventory.products.get_many([product.product_id, other.product_id])
    await shop.filled()
    await write(shop, product)
    assert await shop.cached(f"product:{product.product_id}") is None
    assert await shop.cached(f"product:{other.product_id}") is not None


async def test_selling_what_is_held_leaves_the_product_in_redis(shop: Shop, lamp: Product) -> None:
    await shop.inventory.reservations.reserve(OWNER, "r", items((lamp, 1)))
    await shop.inventory.products.get(lamp.product_id)
    await shop.filled()
    await shop.inventory.reservations.commit(OWNER, "r")
    assert (await shop.cached(f"product:{lamp.product_id}"))["value"]["stock"] == 9


async def test_neither_stock_nor_price_of_a_reservation_comes_from_redis(
    shop: Shop, lamp: Product
) -> None:
    await shop.inventory.products.get(lamp.product_id)
    await shop.filled()
    cheap = {"currency_code": "EUR", "minor_units": 5}
    await shop.change_behind("products", lamp.product_id, stock=1, price=cheap)
    assert (await shop.inventory.products.get(lamp.product_id)).value.stock == 10
    with pytest.raises(InsufficientStock):
        await shop.inventory.reservations.reserve(OWNER, "two", items((lamp, 2)))
    reserved = await shop.inventory.reservations.reserve(OWNER, "one", items((lamp, 1)))
    assert reserved.lines[0].unit_price == Money("EUR", 5)
    assert (await shop.inventory.products.get(lamp.product_id)).value.stock == 0


@pytest.mark.parametrize("fields", [["email"], ["full_name"], ["role"], ["active"]], ids=str)
async def test_an_update_of_a_profile_makes_redis_forget_it(shop: Shop, fields: list[str]) -> None:
    ada = await shop.people.registered(ADA)
    await shop.people.users.get(ada.user_id)
    await shop.filled()
    draft = ProfileDraft("new@example.com", "New", Role.ADMIN, active=False)
    updated = await shop.people.users.update(ada.user_id, draft, fields)
    assert await shop.cached(f"user_profile:{ada.user_id}") is None
    assert (await shop.people.users.get(ada.user_id)).value == updated


async def test_every_new_or_changed_order_makes_redis_forget_the_list(shop: Shop) -> None:
    shelf, key = shop.shelf, f"user_orders:{shop.shelf.user_id}"
    await shelf.walk(5)
    assert await shop.cached(key) is not None
    checkout = await shelf.orders.open(begun(shelf.user_id))
    assert await shop.cached(key) is None
    confirmed = checkout.confirmed(LINES, utc_now())
    for changed in (confirmed, confirmed.followed(), confirmed.followed().cancelled(utc_now())):
        await shelf.walk(5)
        await shop.filled()
        assert await shelf.orders.save(changed)
        assert await shop.cached(key) is None
        assert await shelf.walk(5) == [[changed.order]]


async def test_a_list_of_someone_else_stays_in_redis(shop: Shop) -> None:
    other = replace(shop.shelf, user_id=new_id())
    await other.walk(5)
    await shop.filled()
    await shop.shelf.ordered(1)
    assert await shop.cached(f"user_orders:{other.user_id}") is not None


async def test_the_newest_twenty_orders_stand_in_redis_and_the_rest_comes_from_mongodb(
    shop: Shop,
) -> None:
    shelf = shop.shelf
    orders = (await shelf.ordered(DEFAULT_PAGE_SIZE + 3))[::-1]
    assert await shelf.walk(DEFAULT_PAGE_SIZE) == [
        orders[:DEFAULT_PAGE_SIZE],
        orders[DEFAULT_PAGE_SIZE:],
    ]
    cached = await shop.cached(f"user_orders:{shelf.user_id}")
    assert [order["order_id"] for order in cached["value"]["items"]] == [
        order.order_id for order in orders[:DEFAULT_PAGE_SIZE]
    ]
    assert cached["value"]["next_page_token"]
    oldest = orders[-1]
    await shop.change_behind("orders", oldest.order_id, reject_reason="CHANGED")
    assert (await shelf.walk(DEFAULT_PAGE_SIZE))[1][-1].reject_reason == "CHANGED"


async def test_a_smaller_first_page_comes_from_the_same_value(shop: Shop) -> None:
    shelf = shop.shelf
    orders = (await shelf.ordered(5))[::-1]
    await shelf.orders.page_of_user(shelf.user_id, DEFAULT_PAGE_SIZE, "")
    await shop.filled()
    await shop.change_behind("orders", orders[0].order_id, reject_reason="CHANGED")
    for size in (1, 3, 5, 6):
        page = (await shelf.orders.page_of_user(shelf.user_id, size, "")).value
        assert list(page.items) == orders[:size]
        assert bool(page.next_page_token) == (size < 5)
    larger = await shelf.orders.page_of_user(shelf.user_id, DEFAULT_PAGE_SIZE + 1, "")
    assert larger.value.items[0].reject_reason == "CHANGED"


UNREADABLE = [
    b"",
    b"not json",
    b"\xff\xfe",
    b"null",
    b"7",
    b'"text"',
    b"[]",
    b"{}",
    b'{"product_id": "x"}',
    b'{"key": "product:x", "cached_ms": 1, "value": null}',
]


async def test_a_value_that_cannot_be_read_is_replaced(shop: Shop, lamp: Product) -> None:
    ada = await shop.people.registered(ADA)
    (order,) = await shop.shelf.ordered(1)
    keys = [
        f"product:{lamp.product_id}",
        f"user_profile:{ada.user_id}",
        f"user_orders:{shop.shelf.user_id}",
    ]
    for raw in UNREADABLE:
        for key in keys:
            await shop.redis.set(key, raw)
        assert (await shop.inventory.products.get(lamp.product_id)).value == lamp
        assert (await shop.people.users.get(ada.user_id)).value == ada
        assert await shop.shelf.walk(5) == [[order]]
        for key in keys:
            assert isinstance(await shop.cached(key), dict)
            await confirm_lives_300_s(shop, key)


async def test_a_value_of_another_type_of_redis_is_no_obstacle(shop: Shop, lamp: Product) -> None:
    key = f"product:{lamp.product_id}"
    await shop.redis.lpush(key, "x")
    assert (await shop.inventory.products.get(lamp.product_id)).value == lamp
    assert await got(shop.inventory, lamp.product_id) == by_id(lamp)
    assert (await shop.cached(key))["value"]["name"] == lamp.name


async def test_a_value_without_a_field_that_is_needed_is_replaced(
    shop: Shop, lamp: Product
) -> None:
    """As after an upgrade that added the field."""
    key = f"product:{lamp.product_id}"
    await shop.inventory.products.get(lamp.product_id)
    cached = await shop.cached(key)
    for missing in cached["value"]:
        incomplete = {name: value for name, value in cached["value"].items() if name != missing}
        await shop.redis.set(key, orjson.dumps({**cached, "value": incomplete}))
        assert (await shop.inventory.products.get(lamp.product_id)).value == lamp
        assert (await shop.cached(key))["value"] == cached["value"]


async def test_a_value_under_the_key_of_another_is_not_served(shop: Shop, lamp: Product) -> None:
    ada = await shop.people.registered(ADA)
    bob = await shop.people.registered(replace(ADA, username="bob", email="bob@example.com"))
    chair = await shop.inventory.stocked(1)
    theirs = replace(shop.shelf, user_id=new_id())
    mine = await shop.shelf.ordered(1)
    await theirs.ordered(2)
    await shop.inventory.products.get(chair.product_id)
    await shop.people.users.get(bob.user_id)
    await theirs.walk(5)
    await shop.filled()
    for key, other in (
        (f"product:{lamp.product_id}", f"product:{chair.product_id}"),
        (f"user_profile:{ada.user_id}", f"user_profile:{bob.user_id}"),
        (f"user_orders:{shop.shelf.user_id}", f"user_orders:{theirs.user_id}"),
    ):
        await shop.redis.copy(other, key, replace=True)
    assert await got(shop.inventory, lamp.product_id, chair.product_id) == by_id(lamp, chair)
    assert (await shop.inventory.products.get(lamp.product_id)).value == lamp
    assert (await shop.people.users.get(ada.user_id)).value == ada
    assert await shop.shelf.walk(5) == [mine]


async def test_a_hundred_readers_and_a_writer_at_once_end_with_the_new_value(
    shop: Shop, lamp: Product
) -> None:
    async def read() -> Product:
        return (await shop.inventory.products.get(lamp.product_id)).value

    await asyncio.gather(*(read() for _ in range(100)))
    updated = await shop.inventory.products.update(
        lamp.product_id, replace(LAMP, name="New"), ["name"], 0
    )
    assert set(await asyncio.gather(*(read() for _ in range(100)))) == {updated}
