"""The real services as the measurement of the cache runs them, and what it asks them."""

import os
import random
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from shop.inventory.v1.inventory_pb2 import GetProductRequest
from shop.order.v1.order_pb2 import ListUserOrdersRequest
from shop.user.v1.user_pb2 import GetUserProfileRequest

from bench.hpack import Metadata
from bench.load import Target
from bench.rpc import METHOD as GET_PRODUCT
from bench.seeds import nth_id, seed_orders, seed_products, seed_users
from services.common.auth.keys import load_signing_key
from services.common.auth.principal import Principal, Role
from services.common.auth.tokens import USER_ISSUER, TokenSigner
from services.common.settings import PREFIX
from services.stack.credentials import Credentials, open_credentials
from services.stack.folder import DataFolder
from services.stack.ports import claimed_ports
from services.stack.services import ServicePorts, Shop
from services.stack.stores import Store, running_mongod, running_redis

INVENTORY_DATABASE: Final = "shop_inventory"
ORDER_DATABASE: Final = "shop_order"
USER_DATABASE: Final = "shop_user"
LIST_ORDERS: Final = "/shop.order.v1.OrderService/ListUserOrders"
GET_PROFILE: Final = "/shop.user.v1.UserService/GetUserProfile"
FRESHNESS: Final[Mapping[str, Metadata]] = {
    "near": (),
    "redis": (("cache-control", "no-near"),),
    "uncached": (("cache-control", "no-cache"),),
}
_SETTINGS: Final = {
    "SHOP_TRANSPORT": "native",
    "SHOP_LOG_LEVEL": "warning",
    "SHOP_CACHE": "near",
    "SHOP_CACHE_CONTROL": "any",
}
# A machine that stands still for a second spoils nothing: its lag is not taken for overload, nor a
# silence for a lost Redis, and what is near stays proven.
STEADY: Final = {
    "SHOP_CONCURRENCY_LIMIT": "off",
    "SHOP_NEAR_LEASE_MS": "60000",
    "SHOP_REDIS_TIMEOUT_MS": "30000",
}
_TOKEN_LIFETIME_S: Final = 3_600
_SEED: Final = 1


@dataclass(frozen=True, slots=True)
class Stores:
    """The stores that all arms share, and the folder of everything that runs."""

    folder: DataFolder
    mongo: Store
    redis: Store


@asynccontextmanager
async def running_stores() -> AsyncIterator[Stores]:
    """Run new stores until the end of the block."""
    with tempfile.TemporaryDirectory() as name:
        folder = DataFolder(Path(name))
        folder.prepare()
        async with running_mongod(folder) as mongo, running_redis(folder) as redis:
            yield Stores(folder, mongo, redis)


async def seed_shop(stores: Stores, products: int, users: int) -> None:
    """Store so many products, and users with their orders, where the services look for them."""
    uri = stores.mongo.uri
    await seed_products(uri, INVENTORY_DATABASE, products)
    await seed_users(uri, USER_DATABASE, users)
    await seed_orders(uri, ORDER_DATABASE, users, products)


@contextmanager
def shop_on(stores: Stores, settings: Mapping[str, str]) -> Iterator[Shop]:
    """Choose ports and settings for services on these stores."""
    inherited = {name: v for name, v in os.environ.items() if not name.startswith(PREFIX)}
    with claimed_ports(6) as ports:
        yield Shop(
            stores.mongo.uri,
            stores.redis.uri,
            open_credentials(stores.folder.secrets),
            ServicePorts(*ports),
            variables={**inherited, **_SETTINGS, **settings},
        )


def reading_products(address: str, numbers: Sequence[int], metadata: Metadata = ()) -> Target:
    """Return the calls that read the products of these numbers, in this order."""
    messages = [GetProductRequest(product_id=nth_id(n)).SerializeToString() for n in numbers]
    return Target(address, GET_PRODUCT, messages, [metadata])


def listing_orders(shop: Shop, users: int, metadata: Metadata) -> Target:
    """Return the calls by which so many users list their orders."""
    who = shuffled(users)
    messages = [ListUserOrdersRequest(user_id=nth_id(n)).SerializeToString() for n in who]
    return Target(shop.order, LIST_ORDERS, messages, signed_in(shop.credentials, who, metadata))


def reading_profiles(shop: Shop, users: int, metadata: Metadata) -> Target:
    """Return the calls by which so many users read their profiles."""
    who = shuffled(users)
    messages = [GetUserProfileRequest(user_id=nth_id(n)).SerializeToString() for n in who]
    return Target(shop.user, GET_PROFILE, messages, signed_in(shop.credentials, who, metadata))


def shuffled(count: int) -> list[int]:
    """Return the numbers below ``count`` in an order that is the same every time."""
    numbers = list(range(count))
    random.Random(_SEED).shuffle(numbers)  # noqa: S311 (nothing secret)
    return numbers


def signed_in(
    credentials: Credentials, users: Sequence[int], metadata: Metadata = ()
) -> list[Metadata]:
    """Return what each user sends along: a token of their own, and what is sent anyway."""
    signer = TokenSigner(load_signing_key(credentials.user_key), USER_ISSUER)

    def token(number: int) -> str:
        return signer.sign(Principal(nth_id(number), Role.CUSTOMER), _TOKEN_LIFETIME_S)[0]

    return [(("authorization", f"Bearer {token(number)}"), *metadata) for number in users]
