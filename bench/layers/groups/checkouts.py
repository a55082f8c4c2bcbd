"""CreateOrder through the three real services: the order, the reservation, the customer."""

import random
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

from pymongo import AsyncMongoClient
from shop.order.v1.order_pb2 import CreateOrderRequest, OrderItem

from bench.arms import Arm, Claim
from bench.cache_shop import ORDER_DATABASE
from bench.h2 import NO_SOURCE
from bench.hpack import Metadata
from bench.layers.contest import Group
from bench.layers.members import Measured, Member, confirm
from bench.layers.remote import Remote, connected
from bench.layers.setting import PRODUCTS, READ_PRODUCTS, READING_USERS, USERS, Setting
from bench.load import Target
from bench.seeds import nth_id
from services.common.auth.keys import load_signing_key
from services.common.auth.principal import Principal, Role
from services.common.auth.tokens import USER_ISSUER, TokenSigner
from services.stack.services import Shop

_CREATE_ORDER: Final = "/shop.order.v1.OrderService/CreateOrder"
_ITEMS: Final = 3
_ALONE: Final = f"{_ITEMS} items, 4 at a time"
_TOGETHER: Final = f"{_ITEMS} items, 16 at a time"
_ONE_ITEM: Final = "1 item, 4 at a time"
_BASKETS: Final = 4_000
_MOST: Final = 64
_TOKEN_LIFETIME_S: Final = 3_600
_ANY: Final = float("inf")
_WRITES: Final = Claim(NO_SOURCE, redis=(1.0, _ANY), mongo=(1.0, _ANY))
_SEED: Final = 1


class _Checkouts:
    """Orders made by calls, each of which must be there and confirmed."""

    def __init__(self, calls: Remote, orders: Any, basket: str) -> None:
        self.name: Final = calls.name
        self.step: Final = calls.step
        self.most: Final = calls.most
        self._calls = calls
        self._orders = orders
        self._wanted = {"request_id": {"$regex": f"^{basket}-"}, "status": "CONFIRMED"}
        self._made = 0

    async def run(self, operations: int) -> Measured:
        """Make so many orders. Raises ``NotWhatItClaimsError`` and ``CallsFailedError``."""
        measured = await self._calls.run(operations)
        self._made += operations
        confirmed = await self._orders.count_documents(self._wanted)
        confirm(
            confirmed == self._made,
            f"{self.name}: of {self._made} orders {confirmed} are there and confirmed",
        )
        return measured


@asynccontextmanager
async def _opened(setting: Setting) -> AsyncIterator[Sequence[Member]]:
    running = await setting.shop()
    stores, counts = await setting.stores(), await setting.counts()
    processes = await setting.processes(list(running.pids.values()))
    bearers = _bearers(running.shop)
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(AsyncMongoClient[Any](stores.mongo.uri))

        def member(name: str, items: int, at_once: int) -> Member:
            arm = Arm(name, _WRITES, at_once=at_once)
            basket = name.replace(" ", "-").replace(",", "")
            target = Target(running.shop.order, _CREATE_ORDER, _baskets(basket, items), bearers)
            calls = connected(stack, arm, target, processes, counts, _MOST)
            return _Checkouts(calls, client[ORDER_DATABASE]["orders"], basket)

        yield [
            member(_ALONE, _ITEMS, 4),
            member(_TOGETHER, _ITEMS, 16),
            member(_ONE_ITEM, 1, 4),
        ]


def _baskets(name: str, items: int) -> list[bytes]:
    """Return orders of some of the products that are there to be sold, one piece of each."""
    choose = random.Random(_SEED)  # noqa: S311 (nothing secret)
    return [
        CreateOrderRequest(
            request_id=f"{name}-{number}",
            items=[
                OrderItem(product_id=nth_id(product), quantity=1)
                for product in choose.sample(range(READ_PRODUCTS, PRODUCTS), items)
            ],
        ).SerializeToString()
        for number in range(_BASKETS)
    ]


def _bearers(shop: Shop) -> list[Metadata]:
    """Return what the users who buy send along: a token of their own."""
    signer = TokenSigner(load_signing_key(shop.credentials.user_key), USER_ISSUER)
    users = [Principal(nth_id(number), Role.CUSTOMER) for number in range(READING_USERS, USERS)]
    tokens = [signer.sign(user, _TOKEN_LIFETIME_S)[0] for user in users]
    return [(("authorization", f"Bearer {token}"),) for token in tokens]


GROUPS: Final = (Group("checkout", (_ALONE, _TOGETHER, _ONE_ITEM), _opened),)
