"""Filling the shop through its public interface; what is there already is left alone."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeVar

import grpc
from google.protobuf.message import Message
from grpc import aio
from shop.common.v1 import money_pb2
from shop.inventory.v1 import inventory_pb2
from shop.inventory.v1.inventory_pb2_grpc import InventoryServiceStub
from shop.order.v1 import order_pb2
from shop.order.v1.order_pb2_grpc import OrderServiceStub
from shop.user.v1 import user_pb2
from shop.user.v1.user_pb2_grpc import UserServiceStub

from services.common.rpc.channel import UnaryMethod, open_channel
from services.demo.catalogue import CURRENCY, SeedProduct, products
from services.demo.customers import SeedCustomer, SeedOrder, customers

if TYPE_CHECKING:  # the asynchronous stubs are there for type checkers only
    from shop.inventory.v1.inventory_pb2_grpc import InventoryServiceAsyncStub
    from shop.order.v1.order_pb2_grpc import OrderServiceAsyncStub
    from shop.user.v1.user_pb2_grpc import UserServiceAsyncStub

Tell = Callable[[str], None]

_TIMEOUT_S: Final = 10.0
_ATTEMPTS: Final = 10
_PAUSE_S: Final = 0.3
_PAGE_SIZE: Final = 100
_PRODUCTS_AT_ONCE: Final = 32
_CUSTOMERS_AT_ONCE: Final = 8
_TELL_EVERY: Final = 250
_REPEATABLE: Final = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
}
_NO_LOGIN: Final = {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.RESOURCE_EXHAUSTED}

Item = TypeVar("Item")
Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response")


class SeedError(Exception):
    """A service refuses what it should accept; the message says what it answered."""


@dataclass(frozen=True, slots=True)
class Doors:
    """Where the services of a shop are called, and with which passwords.

    ``demo_password`` is that of the customers who are made.
    """

    user: str
    inventory: str
    order: str
    admin_password: str
    demo_password: str


@dataclass(frozen=True, slots=True)
class Seeded:
    """What of the seeds a person can try."""

    product_id: str
    customer: str | None
    """A customer who can log in with the demo password, if there is one."""


async def seed(doors: Doors, tell: Tell) -> Seeded:
    """Create what is missing of catalogue, customers and orders, and tell how far it got.

    Raises ``SeedError`` when a service refuses what it should accept.
    """
    async with (
        open_channel(doors.user) as users,
        open_channel(doors.inventory) as inventory,
        open_channel(doors.order) as orders,
    ):
        seeder = _Seeder(
            users=UserServiceStub(users),
            inventory=InventoryServiceStub(inventory),
            orders=OrderServiceStub(orders),
            admin_password=doors.admin_password,
            demo_password=doors.demo_password,
            tell=tell,
        )
        try:
            return await seeder.run()
        except aio.AioRpcError as error:
            raise SeedError(
                f"the shop could not be seeded: {error.code().name}, {error.details()}"
            ) from error


@dataclass(frozen=True, slots=True)
class _Seeder:
    users: "UserServiceAsyncStub"
    inventory: "InventoryServiceAsyncStub"
    orders: "OrderServiceAsyncStub"
    admin_password: str
    demo_password: str
    tell: Tell
    locked_out: list[str] = field(default_factory=list)

    async def run(self) -> Seeded:
        catalogue = products()
        product_ids = await self._catalogue(catalogue)
        clientele = customers(catalogue)
        await self._clientele(clientele, product_ids)
        able = (c.username for c in clientele if c.username not in self.locked_out)
        return Seeded(product_ids[catalogue[0].sku], next(able, None))

    async def _catalogue(self, catalogue: Sequence[SeedProduct]) -> Mapping[str, str]:
        """Create the missing products and return the ids of all by sku."""
        wanted = {product.sku for product in catalogue}
        present = await self._product_ids(wanted)
        missing = [product for product in catalogue if product.sku not in present]
        if missing:
            await self._create(missing)
            present = await self._product_ids(wanted)
        self.tell(f"catalogue: {len(present):,} products")
        return present

    async def _product_ids(self, skus: set[str]) -> Mapping[str, str]:
        found: dict[str, str] = {}
        request = inventory_pb2.ListProductsRequest(page_size=_PAGE_SIZE)
        while len(found) < len(skus):
            page = await _ask(self.inventory.ListProducts, request)
            found |= {p.sku: p.product_id for p in page.products if p.sku in skus}
            request.page_token = page.next_page_token
            if not page.next_page_token:
                break
        return found

    async def _create(self, missing: Sequence[SeedProduct]) -> None:
        token = (await self._log_in("admin", self.admin_password)).access_token
        done = 0

        async def create(product: SeedProduct) -> None:
            nonlocal done
            await _unless_present(_ask(self.inventory.CreateProduct, _creation(product), token))
            done += 1
            if done % _TELL_EVERY == 0:
                self.tell(f"catalogue: {done:,} of {len(missing):,} created")

        await _for_each(missing, create, _PRODUCTS_AT_ONCE)

    async def _clientele(
        self, clientele: Sequence[SeedCustomer], product_ids: Mapping[str, str]
    ) -> None:
        async def serve(customer: SeedCustomer) -> None:
            await _unless_present(_ask(self.users.RegisterUser, self._registration(customer)))
            await self._place_orders(customer, product_ids)

        await _for_each(clientele, serve, _CUSTOMERS_AT_ONCE)
        self.tell(f"customers: {len(clientele)}, with their orders")
        if self.locked_out:
            self.tell(
                f"{len(self.locked_out)} of them have another password than the one kept here: "
                "their orders are left as they are"
            )

    async def _place_orders(self, customer: SeedCustomer, product_ids: Mapping[str, str]) -> None:
        try:
            login = await self._log_in(customer.username, self.demo_password)
        except aio.AioRpcError as error:
            if error.code() not in _NO_LOGIN:
                raise
            self.locked_out.append(customer.username)
            return
        placed = await _ask(
            self.orders.ListUserOrders,
            order_pb2.ListUserOrdersRequest(user_id=login.user_id, page_size=_PAGE_SIZE),
            login.access_token,
        )
        if len(placed.orders) < len(customer.orders):
            for order in customer.orders:
                request = _checkout(order, product_ids)
                await _unless_present(_ask(self.orders.CreateOrder, request, login.access_token))

    def _registration(self, customer: SeedCustomer) -> user_pb2.RegisterUserRequest:
        return user_pb2.RegisterUserRequest(
            username=customer.username,
            email=customer.email,
            full_name=customer.full_name,
            password=self.demo_password,
        )

    async def _log_in(self, username: str, password: str) -> user_pb2.AuthenticateUserResponse:
        request = user_pb2.AuthenticateUserRequest(username=username, password=password)
        return await _ask(self.users.AuthenticateUser, request)


def _creation(product: SeedProduct) -> inventory_pb2.CreateProductRequest:
    return inventory_pb2.CreateProductRequest(
        product=inventory_pb2.Product(
            sku=product.sku,
            name=product.name,
            description=product.description,
            category=product.category,
            price=money_pb2.Money(currency_code=CURRENCY, minor_units=product.price_cents),
            stock=product.stock,
            tags=product.tags,
        )
    )


def _checkout(order: SeedOrder, product_ids: Mapping[str, str]) -> order_pb2.CreateOrderRequest:
    return order_pb2.CreateOrderRequest(
        request_id=order.request_id,
        items=[
            order_pb2.OrderItem(product_id=product_ids[sku], quantity=quantity)
            for sku, quantity in order.quantities.items()
        ],
    )


async def _ask(
    method: UnaryMethod[Request, Response], request: Request, token: str = ""
) -> Response:
    """Return the answer; one that may go better later is repeated, as all of the seeds may be."""
    metadata = (("authorization", f"Bearer {token}"),) if token else ()
    for _ in range(_ATTEMPTS - 1):
        try:
            return await method(request, timeout=_TIMEOUT_S, metadata=metadata)
        except aio.AioRpcError as error:
            if error.code() not in _REPEATABLE:
                raise
        await asyncio.sleep(_PAUSE_S)
    return await method(request, timeout=_TIMEOUT_S, metadata=metadata)


async def _unless_present(answer: Awaitable[object]) -> None:
    try:
        await answer
    except aio.AioRpcError as error:
        if error.code() is not grpc.StatusCode.ALREADY_EXISTS:
            raise


async def _for_each(
    items: Iterable[Item], work: Callable[[Item], Awaitable[None]], at_once: int
) -> None:
    remaining = iter(items)

    async def worker() -> None:
        for item in remaining:
            await work(item)

    try:
        async with asyncio.TaskGroup() as workers:
            for _ in range(at_once):
                workers.create_task(worker())
    except* aio.AioRpcError as failures:
        failure = failures
    else:
        return
    raise failure.exceptions[0]
