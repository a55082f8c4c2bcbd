"""What a load needs of the shop: stubs, products, and customers who are logged in."""

import os
import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar

import grpc
from gevent.lock import Semaphore
from gevent.pool import Pool
from shop.inventory.v1 import inventory_pb2
from shop.inventory.v1.inventory_pb2_grpc import InventoryServiceStub
from shop.order.v1.order_pb2_grpc import OrderServiceStub
from shop.user.v1 import user_pb2
from shop.user.v1.user_pb2_grpc import UserServiceStub

from loadtests.arms import MONGO, REDIS, Metadata, source_of
from loadtests.patience import persistently
from loadtests.plan import Plan, Targets
from loadtests.shops import ADMIN_PASSWORD_VARIABLE, UnusableShopError
from loadtests.zipf import Zipf

PASSWORD_VARIABLE: Final = "SHOP_LOAD_PASSWORD"  # noqa: S105 (its name)
TIMEOUT_S: Final = 10.0
_PASSWORD: Final = "only for load tests"  # noqa: S105 (of customers who own nothing)
_PAGE_SIZE: Final = 100
_LOGINS_AT_ONCE: Final = 8
_RENEW_BEFORE_S: Final = 60.0

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Stubs:
    """The generated stubs of the three services."""

    users: UserServiceStub
    inventory: InventoryServiceStub
    orders: OrderServiceStub

    @classmethod
    def over(cls, channel: Callable[[str], grpc.Channel], targets: Targets) -> "Stubs":
        """Return stubs on the channels to the targets."""
        return cls(
            UserServiceStub(channel(targets.user)),
            InventoryServiceStub(channel(targets.inventory)),
            OrderServiceStub(channel(targets.order)),
        )


class Login:
    """One customer who is logged in, for as long as it takes."""

    def __init__(self, users: UserServiceStub, username: str, password: str) -> None:
        self.username = username
        self._users = users
        self._renewing = Semaphore()
        self._take(_log_in(users, username, password))

    def metadata(self) -> Metadata:
        """Return what proves the customer, with a token that holds for a minute at least."""
        if self._ends - time.time() < _RENEW_BEFORE_S:
            self._renew()
        return self._metadata

    def _renew(self) -> None:
        with self._renewing:
            if self._ends - time.time() < _RENEW_BEFORE_S:
                request = user_pb2.RefreshTokensRequest(refresh_token=self._refresh_token)
                self._take(self._users.RefreshTokens(request, timeout=TIMEOUT_S))

    def _take(
        self, tokens: user_pb2.AuthenticateUserResponse | user_pb2.RefreshTokensResponse
    ) -> None:
        self.user_id = tokens.user_id
        self._refresh_token = tokens.refresh_token
        self._ends = tokens.expire_time.seconds
        self._metadata: Metadata = (("authorization", f"Bearer {tokens.access_token}"),)


@dataclass(frozen=True, slots=True)
class Goods:
    """What users ask for.

    ``trusted`` proves a caller whose ``cache-control`` is heeded, or is empty when anybody's is.
    """

    products: Zipf[str]
    categories: Sequence[str]
    customers: Sequence[Login]
    popular_customers: Zipf[Login]
    trusted: Login | None

    def product(self, by: random.Random) -> str:
        """Return the id of one product."""
        return self.products.draw(by)


def load_goods(stubs: Stubs, plan: Plan) -> Goods:
    """Return the shop's products, and its load customers logged in.

    Raises ``UnusableShopError`` when it has none.
    """
    found = list(all_products(stubs))
    if not found:
        raise UnusableShopError("the shop has no products: start it with SHOP_SEED=true")
    customers = log_in_customers(stubs, plan.customers)
    return Goods(
        products=Zipf([product.product_id for product in found], plan.zipf_exponent, plan.seed),
        categories=sorted({product.category for product in found}),
        customers=customers,
        popular_customers=Zipf(customers, plan.zipf_exponent, plan.seed),
        trusted=_trusted(stubs, found[0].product_id) if plan.scenario == "ab" else None,
    )


def all_products(stubs: Stubs) -> Iterator[inventory_pb2.Product]:
    """Return the whole catalogue, oldest product first."""
    request = inventory_pb2.ListProductsRequest(page_size=_PAGE_SIZE)
    while True:
        page = persistently(lambda: stubs.inventory.ListProducts(request, timeout=TIMEOUT_S))
        yield from page.products
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token


def customer_names(count: int) -> list[str]:
    """Return the usernames of so many load customers, the same in every run."""
    return [f"load-{number:04}" for number in range(1, count + 1)]


def customer_password() -> str:
    """Return the password of the load customers."""
    return os.environ.get(PASSWORD_VARIABLE) or _PASSWORD


def log_in_customers(stubs: Stubs, count: int) -> list[Login]:
    """Return so many load customers, logged in."""
    password = customer_password()
    return for_each(
        customer_names(count), lambda name: Login(stubs.users, name, password), _LOGINS_AT_ONCE
    )


def for_each(items: Iterable[Any], work: Callable[[Any], Item], at_once: int) -> list[Item]:
    """Return what the work returns for each item, so many at once."""
    return list(Pool(at_once).imap(work, items))


def _log_in(
    users: UserServiceStub, username: str, password: str
) -> user_pb2.AuthenticateUserResponse:
    request = user_pb2.AuthenticateUserRequest(username=username, password=password)
    try:
        return persistently(lambda: users.AuthenticateUser(request, timeout=TIMEOUT_S))
    except grpc.RpcError as error:
        if status_of(error) is not grpc.StatusCode.UNAUTHENTICATED:
            raise
    variable = ADMIN_PASSWORD_VARIABLE if username == "admin" else PASSWORD_VARIABLE
    raise UnusableShopError(f"{username} has another password: set {variable}")


def _trusted(stubs: Stubs, product_id: str) -> Login | None:
    """Return who may say how fresh an answer must be, None for anybody."""
    if _heeded(stubs, product_id, ()):
        return None
    password = os.environ.get(ADMIN_PASSWORD_VARIABLE)
    if password:
        admin = Login(stubs.users, "admin", password)
        if _heeded(stubs, product_id, admin.metadata()):
            return admin
    raise UnusableShopError(
        "the shop does not heed cache-control: start it with SHOP_CACHE_CONTROL=any, or set "
        f"{ADMIN_PASSWORD_VARIABLE} to its administrator's password; and it needs SHOP_CACHE=near"
    )


def _heeded(stubs: Stubs, product_id: str, proof: Metadata) -> bool:
    """Whether the arms that ask for something get it, and there is a cache at all."""
    request = inventory_pb2.GetProductRequest(product_id=product_id)
    for arm in (MONGO, REDIS):
        _, call = persistently(
            partial(
                stubs.inventory.GetProduct.with_call,
                request,
                timeout=TIMEOUT_S,
                metadata=(*proof, *arm.metadata),
            )
        )
        said = {key: str(value) for key, value in call.trailing_metadata() or ()}
        if source_of(said.get("x-cache", "")) not in arm.sources:
            return False
    return True


def status_of(error: grpc.RpcError) -> grpc.StatusCode | None:
    """Return how a call ended, None if it never was one."""
    code = getattr(error, "code", None)
    return None if code is None else code()


def reason_of(error: grpc.RpcError) -> str:
    """Return how a call ended and what the server or the channel said of it."""
    code = status_of(error)
    details = getattr(error, "details", None)
    return str(error) if code is None or details is None else f"{code.name}, {details()}"
