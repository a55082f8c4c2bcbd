"""Making sure that the shop has the customers and orders that a load asks for."""

from typing import Final

import grpc
from google.protobuf.field_mask_pb2 import FieldMask
from shop.inventory.v1 import inventory_pb2
from shop.order.v1 import order_pb2
from shop.user.v1 import user_pb2

from loadtests.goods import (
    TIMEOUT_S,
    Login,
    Stubs,
    all_products,
    customer_names,
    customer_password,
    for_each,
    status_of,
)
from loadtests.patience import persistently
from loadtests.shops import UnusableShopError

ORDERS_PER_CUSTOMER: Final = 20
LINES_PER_ORDER: Final = 3
AMPLE_STOCK: Final = 1_000_000
_AT_ONCE: Final = 8
_STRIDES: Final = (53, 17, 211)  # without a common divisor: orders spread over the catalogue


def prepare(stubs: Stubs, customers: int) -> None:
    """Create what is missing of so many customers with 20 orders of 3 lines each.

    All of it may be repeated: what is there already is left alone. What the shop refuses for the
    moment is tried again.
    """
    products = [product.product_id for product in all_products(stubs)]
    if len(products) < LINES_PER_ORDER:
        raise UnusableShopError("the shop has no products: start it with SHOP_SEED=true")
    names = list(enumerate(customer_names(customers)))
    for_each(names, lambda named: _prepare_customer(stubs, products, *named), _AT_ONCE)


def restock(stubs: Stubs, admin_password: str) -> None:
    """Give every product so much stock that no load sells it out."""
    admin = Login(stubs.users, "admin", admin_password)
    only_stock = FieldMask(paths=["stock"])

    def refill(product: inventory_pb2.Product) -> None:
        wanted = inventory_pb2.Product(product_id=product.product_id, stock=AMPLE_STOCK)
        request = inventory_pb2.UpdateProductRequest(product=wanted, update_mask=only_stock)
        persistently(
            lambda: stubs.inventory.UpdateProduct(
                request, timeout=TIMEOUT_S, metadata=admin.metadata()
            )
        )

    for_each(list(all_products(stubs)), refill, _AT_ONCE)


def _prepare_customer(stubs: Stubs, products: list[str], number: int, name: str) -> None:
    _register(stubs, name)
    customer = Login(stubs.users, name, customer_password())
    request = order_pb2.ListUserOrdersRequest(
        user_id=customer.user_id, page_size=ORDERS_PER_CUSTOMER
    )
    present = persistently(
        lambda: stubs.orders.ListUserOrders(
            request, timeout=TIMEOUT_S, metadata=customer.metadata()
        )
    )
    for order in range(len(present.orders), ORDERS_PER_CUSTOMER):
        _place_order(stubs, customer, products, number, order)


def _register(stubs: Stubs, name: str) -> None:
    request = user_pb2.RegisterUserRequest(
        username=name,
        email=f"{name}@example.com",
        full_name="Load Customer",
        password=customer_password(),
    )
    try:
        persistently(lambda: stubs.users.RegisterUser(request, timeout=TIMEOUT_S))
    except grpc.RpcError as error:
        if status_of(error) is not grpc.StatusCode.ALREADY_EXISTS:
            raise


def _place_order(
    stubs: Stubs, customer: Login, products: list[str], number: int, order: int
) -> None:
    by_customer, by_order, by_line = _STRIDES
    first = by_customer * number + by_order * order
    chosen = {
        products[(first + by_line * line) % len(products)]: None for line in range(LINES_PER_ORDER)
    }
    request = order_pb2.CreateOrderRequest(
        request_id=f"load-{order:02}",
        items=[order_pb2.OrderItem(product_id=each, quantity=1) for each in chosen],
    )
    persistently(
        lambda: stubs.orders.CreateOrder(request, timeout=TIMEOUT_S, metadata=customer.metadata())
    )
