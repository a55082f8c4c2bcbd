"""The calls whose cost decides how large a shop must be, each as a client would make it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import grpc
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from shop.inventory.v1 import inventory_pb2 as inventory
from shop.order.v1 import order_pb2 as order
from shop.user.v1 import user_pb2 as user
from shop.user.v1 import user_pb2_grpc

from bench.cache_shop import FRESHNESS, listing_orders, reading_products, reading_profiles, shuffled
from bench.hpack import Metadata
from bench.load import Target
from bench.seeds import nth_id
from services.common.auth.keys import load_signing_key
from services.common.auth.principal import Principal, Role
from services.common.auth.tokens import USER_ISSUER, TokenSigner
from services.common.rpc.channel_options import DIRECT
from services.stack.services import Shop

PRODUCTS: Final = 1_000
USERS: Final = 200
_INVENTORY: Final = "/shop.inventory.v1.InventoryService"
_TOKEN_LIFETIME_S: Final = 3_600
_PAGE: Final = 20
_REGULARS: Final = 16
_CALL_WITHIN_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Work:
    """Calls of one kind: how many are made in a round, and how many at a time."""

    name: str
    target: Target
    calls: int
    at_once: int


def works(shop: Shop, rounds: int, calls: int) -> Sequence[Work]:
    """Return all kinds of calls; of the cheapest ones ``calls`` a round, of dearer ones fewer."""
    few, fewer = max(calls // 10, 8), max(calls // 40, 8)
    return [
        Work("`GetProduct`, near", _reading(shop, "near"), calls, 32),
        Work("`GetProduct`, from Redis", _reading(shop, "redis"), calls, 32),
        Work("`GetProduct`, from MongoDB", _reading(shop, "uncached"), calls, 32),
        Work("`ListProducts`, 20 of them", _listing(shop), few, 8),
        Work("`UpdateProduct`", _updating(shop), few, 8),
        Work("`GetUserProfile`, near", reading_profiles(shop, USERS, ()), calls, 32),
        Work("`ListUserOrders`, 20, near", listing_orders(shop, USERS, ()), calls, 32),
        Work(
            "`ListUserOrders`, 20, from MongoDB",
            listing_orders(shop, USERS, FRESHNESS["uncached"]),
            few,
            8,
        ),
        Work("`AuthenticateUser`", _logging_in(shop), fewer, 4),
        Work("`CreateOrder`, 1 product", _buying(shop, 1, rounds * fewer), fewer, 8),
        Work("`CreateOrder`, 3 products", _buying(shop, 3, rounds * fewer), fewer, 8),
    ]


def _reading(shop: Shop, layer: str) -> Target:
    return reading_products(shop.inventory, shuffled(PRODUCTS), FRESHNESS[layer])


def _listing(shop: Shop) -> Target:
    request = inventory.ListProductsRequest(page_size=_PAGE)
    return _target(shop.inventory, f"{_INVENTORY}/ListProducts", [request])


def _updating(shop: Shop) -> Target:
    mask = FieldMask(paths=["description"])
    requests = [
        inventory.UpdateProductRequest(
            product=inventory.Product(product_id=nth_id(number), description=f"Of lot {number}"),
            update_mask=mask,
        )
        for number in shuffled(PRODUCTS)
    ]
    admin = _as(shop, Principal(nth_id(0), Role.ADMIN))
    return _target(shop.inventory, f"{_INVENTORY}/UpdateProduct", requests, [admin])


def _logging_in(shop: Shop) -> Target:
    phrase = "a long secret"
    names = [f"regular-{number}" for number in range(_REGULARS)]
    with grpc.insecure_channel(shop.user, options=DIRECT) as channel:
        register = user_pb2_grpc.UserServiceStub(channel).RegisterUser
        for name in names:
            register(
                user.RegisterUserRequest(
                    username=name, email=f"{name}@example.com", password=phrase, full_name=name
                ),
                timeout=_CALL_WITHIN_S,
            )
    requests = [user.AuthenticateUserRequest(username=name, password=phrase) for name in names]
    return _target(shop.user, "/shop.user.v1.UserService/AuthenticateUser", requests)


def _buying(shop: Shop, lines: int, orders: int) -> Target:
    """Return checkouts of many customers, no two with the same request id."""
    requests = [
        order.CreateOrderRequest(
            request_id=f"sizing-{lines}-{number}",
            items=[
                order.OrderItem(product_id=nth_id((number * lines + line) % PRODUCTS), quantity=1)
                for line in range(lines)
            ],
        )
        for number in range(orders)
    ]
    customers = [_as(shop, Principal(nth_id(n), Role.CUSTOMER)) for n in range(USERS)]
    return _target(shop.order, "/shop.order.v1.OrderService/CreateOrder", requests, customers)


def _target(
    address: str, method: str, requests: Sequence[Message], callers: Sequence[Metadata] = ((),)
) -> Target:
    return Target(address, method, [r.SerializeToString() for r in requests], callers)


def _as(shop: Shop, principal: Principal) -> Metadata:
    signer = TokenSigner(load_signing_key(shop.credentials.user_key), USER_ISSUER)
    token, _ = signer.sign(principal, _TOKEN_LIFETIME_S)
    return (("authorization", f"Bearer {token}"),)
