"""Many at once: nothing is sold twice, and nothing is lost."""

import asyncio
from collections import Counter

import grpc
from shop.inventory.v1 import inventory_pb2
from shop.order.v1 import order_pb2

from tests.e2e.support.ledger import Stock
from tests.e2e.support.people import Admin, Customer, unique
from tests.e2e.support.persistence import persistently
from tests.e2e.support.refusals import outcome
from tests.e2e.support.running_shop import RunningShop

CONFIRMED = order_pb2.ORDER_STATUS_CONFIRMED
REJECTED = order_pb2.ORDER_STATUS_REJECTED
CANCELLED = order_pb2.ORDER_STATUS_CANCELLED
SHIPPED = order_pb2.ORDER_STATUS_SHIPPED
AT_THE_DOOR = 4  # who registers and logs in takes much of a CPU, and is not what is tested here


async def bought(
    customer: Customer, items: dict[str, int], request_id: str = ""
) -> order_pb2.Order:
    """Check out, however long the others keep the shop busy."""
    name = request_id or unique("crowd")
    return await persistently(lambda: customer.buy(items, name))


async def test_fifty_buyers_of_the_last_ten_pieces_get_exactly_ten(
    shop: RunningShop, admin: Admin
) -> None:
    product = await admin.add_product(stock=10)
    doors = asyncio.Semaphore(AT_THE_DOOR)

    async def entered() -> Customer:
        async with doors:
            return await shop.customer("buyer")

    buyers = await asyncio.gather(*(entered() for _ in range(50)))

    orders = await asyncio.gather(*(bought(buyer, {product: 1}) for buyer in buyers))

    assert Counter(order.status for order in orders) == {CONFIRMED: 10, REJECTED: 40}
    assert {o.reject_reason for o in orders if o.status == REJECTED} == {"INSUFFICIENT_STOCK"}
    assert await shop.ledger.at_rest(product) == Stock(available=0, reserved=0, sold=10)
    assert (await shop.nobody.product(product)).stock == 0
    for buyer, order in zip(buyers, orders, strict=True):
        assert [o.status for o in await buyer.orders_of(buyer.user_id)] == [order.status]


async def test_carts_that_cross_each_other_are_filled_whole_or_not_at_all(
    shop: RunningShop, admin: Admin, customer: Customer
) -> None:
    products = [await admin.add_product(stock=8) for _ in range(3)]
    a, b, c = products
    carts = [{a: 1, b: 1, c: 1}, {c: 1, b: 1, a: 1}, {b: 2, a: 1}, {c: 2, a: 1}] * 5

    orders = await asyncio.gather(*(bought(customer, cart) for cart in carts))

    sold: Counter[str] = Counter()
    for order in orders:
        assert order.status in {CONFIRMED, REJECTED}
        if order.status == CONFIRMED:
            sold.update({line.product_id: line.quantity for line in order.lines})
    for product in products:
        stock = await shop.ledger.at_rest(product)
        assert stock == Stock(available=8 - sold[product], reserved=0, sold=sold[product])
    assert sold[a] == 8  # every cart holds one of these: all are gone


async def test_one_request_id_sent_twenty_times_at_once_makes_one_order(
    shop: RunningShop, customer: Customer, product_id: str
) -> None:
    request_id = unique("twenty")

    orders = await asyncio.gather(
        *(bought(customer, {product_id: 2}, request_id) for _ in range(20))
    )

    assert len({order.order_id for order in orders}) == 1
    assert {order.status for order in orders} == {CONFIRMED}
    assert len(await shop.ledger.orders(request_id=request_id)) == 1
    assert await shop.ledger.at_rest(product_id) == Stock(available=8, reserved=0, sold=2)


async def test_one_request_id_with_different_carts_at_once_makes_one_order(
    shop: RunningShop, customer: Customer, product_id: str
) -> None:
    request_id = unique("carts")

    codes = await asyncio.gather(
        *(outcome(customer.buy({product_id: n}, request_id)) for n in (1, 2, 3, 4))
    )

    assert Counter(codes) == {grpc.StatusCode.OK: 1, grpc.StatusCode.ALREADY_EXISTS: 3}
    (order,) = await shop.ledger.orders(request_id=request_id)
    stock = await shop.ledger.at_rest(product_id)
    assert stock.sold == order["lines"][0]["quantity"]
    assert stock.total == 10


async def test_an_order_cancelled_twenty_times_at_once_gives_its_stock_back_once(
    shop: RunningShop, customer: Customer, product_id: str
) -> None:
    order = await customer.buy({product_id: 3})

    answers = await asyncio.gather(
        *(persistently(lambda: customer.cancel(order.order_id)) for _ in range(20))
    )

    assert {answer.status for answer in answers} == {CANCELLED}
    assert await shop.ledger.at_rest(product_id) == Stock(available=10, reserved=0, sold=0)
    assert (await shop.nobody.product(product_id)).stock == 10


async def test_a_reservation_released_twenty_times_at_once_is_given_back_once(
    shop: RunningShop, product_id: str
) -> None:
    name = unique("release")
    await shop.service.reserve(name, {product_id: 3})
    commit = inventory_pb2.CommitReservationRequest(reservation_id=name)
    release = inventory_pb2.ReleaseReservationRequest(reservation_id=name)
    service = shop.service

    codes = await asyncio.gather(
        *(outcome(service.call(shop.inventory.CommitReservation, commit)) for _ in range(10)),
        *(outcome(service.call(shop.inventory.ReleaseReservation, release)) for _ in range(20)),
    )

    assert set(codes) <= {grpc.StatusCode.OK, grpc.StatusCode.FAILED_PRECONDITION}
    assert await shop.ledger.stock(product_id) == Stock(available=10, reserved=0, sold=0)


async def test_an_order_that_is_cancelled_and_shipped_at_once_ends_as_one_of_both(
    shop: RunningShop, admin: Admin, customer: Customer
) -> None:
    product = await admin.add_product(stock=100)
    orders = await asyncio.gather(*(bought(customer, {product: 1}) for _ in range(12)))

    async def tried(answer: object) -> bool:
        return await outcome(answer) is grpc.StatusCode.OK  # type: ignore[arg-type]

    ends = await asyncio.gather(
        *(
            asyncio.gather(
                tried(customer.cancel(order.order_id)), tried(admin.move(order.order_id, SHIPPED))
            )
            for order in orders
        )
    )

    shipped = 0
    for order, (was_cancelled, was_shipped) in zip(orders, ends, strict=True):
        assert was_cancelled != was_shipped
        end = (await customer.order(order.order_id)).status
        assert end == (SHIPPED if was_shipped else CANCELLED)
        shipped += was_shipped
    stock = await shop.ledger.at_rest(product)
    assert stock == Stock(available=100 - shipped, reserved=0, sold=shipped)


async def test_stock_that_an_admin_sets_while_it_is_sold_never_goes_below_zero(
    shop: RunningShop, admin: Admin, customer: Customer, product_id: str
) -> None:
    async def restock() -> None:
        for stock in (0, 1, 2, 3):
            update = inventory_pb2.UpdateProductRequest(
                product=inventory_pb2.Product(product_id=product_id, stock=stock)
            )
            update.update_mask.paths.append("stock")
            await admin.call(shop.inventory.UpdateProduct, update)

    orders, _ = await asyncio.gather(
        asyncio.gather(*(bought(customer, {product_id: 1}) for _ in range(20))), restock()
    )

    stock = await shop.ledger.at_rest(product_id)
    assert stock.available >= 0
    assert stock.sold == sum(order.status == CONFIRMED for order in orders)
