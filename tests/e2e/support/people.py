"""Callers of the services: nobody, customers, the administrator."""

import secrets
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from shop.common.v1.money_pb2 import Money
from shop.inventory.v1 import inventory_pb2
from shop.order.v1 import order_pb2
from shop.user.v1 import user_pb2

if TYPE_CHECKING:
    from shop.inventory.v1.inventory_pb2_grpc import InventoryServiceAsyncStub
    from shop.order.v1.order_pb2_grpc import OrderServiceAsyncStub
    from shop.user.v1.user_pb2_grpc import UserServiceAsyncStub

TIMEOUT_S = 10.0
UNKNOWN_ID = "0" * 24

Request = TypeVar("Request", contravariant=True)
Response = TypeVar("Response", covariant=True)


class Method(Protocol[Request, Response]):
    """A method of a stub."""

    def __call__(
        self, request: Request, /, *, timeout: float, metadata: Any, wait_for_ready: bool
    ) -> Awaitable[Response]: ...


@dataclass(frozen=True, slots=True)
class Stubs:
    """The three services."""

    users: "UserServiceAsyncStub"
    inventory: "InventoryServiceAsyncStub"
    orders: "OrderServiceAsyncStub"


@dataclass(frozen=True, slots=True)
class Caller:
    """Calls with a token, or without one."""

    stubs: Stubs
    token: str = ""

    async def call(
        self,
        method: Method[Request, Response],
        request: Request,
        *,
        call_id: str = "",
        timeout_s: float = TIMEOUT_S,
        wait_for_ready: bool = False,
    ) -> Response:
        """Make any call. ``call_id`` names it in the logs."""
        metadata = [("authorization", f"Bearer {self.token}")] if self.token else []
        if call_id:
            metadata.append(("x-request-id", call_id))
        return await method(
            request, timeout=timeout_s, metadata=metadata, wait_for_ready=wait_for_ready
        )

    # ---- what several tests ask for

    async def product(self, product_id: str) -> inventory_pb2.Product:
        """Read a product."""
        request = inventory_pb2.GetProductRequest(product_id=product_id)
        return (await self.call(self.stubs.inventory.GetProduct, request)).product

    async def profile(self, user_id: str) -> user_pb2.User:
        """Read a profile."""
        request = user_pb2.GetUserProfileRequest(user_id=user_id)
        return (await self.call(self.stubs.users.GetUserProfile, request)).user

    async def log_in(self, username: str, password: str) -> user_pb2.AuthenticateUserResponse:
        """Exchange a password for tokens."""
        request = user_pb2.AuthenticateUserRequest(username=username, password=password)
        return await self.call(self.stubs.users.AuthenticateUser, request)

    async def buy(
        self,
        items: dict[str, int],
        request_id: str = "",
        *,
        call_id: str = "",
        timeout_s: float = TIMEOUT_S,
        wait_for_ready: bool = False,
    ) -> order_pb2.Order:
        """Check out with so many pieces of each product."""
        request = order_pb2.CreateOrderRequest(
            request_id=request_id or unique("buy"),
            items=[order_pb2.OrderItem(product_id=p, quantity=n) for p, n in items.items()],
        )
        answer = await self.call(
            self.stubs.orders.CreateOrder,
            request,
            call_id=call_id,
            timeout_s=timeout_s,
            wait_for_ready=wait_for_ready,
        )
        return answer.order

    async def order(self, order_id: str) -> order_pb2.Order:
        """Read an order."""
        request = order_pb2.GetOrderRequest(order_id=order_id)
        return (await self.call(self.stubs.orders.GetOrder, request)).order

    async def orders_of(self, user_id: str, size: int = 0) -> list[order_pb2.Order]:
        """Read the first page of a user's orders."""
        request = order_pb2.ListUserOrdersRequest(user_id=user_id, page_size=size)
        return list((await self.call(self.stubs.orders.ListUserOrders, request)).orders)

    async def cancel(self, order_id: str) -> order_pb2.Order:
        """Cancel an order."""
        request = order_pb2.CancelOrderRequest(order_id=order_id)
        return (await self.call(self.stubs.orders.CancelOrder, request)).order

    async def move(
        self, order_id: str, status: "order_pb2.OrderStatus.ValueType"
    ) -> order_pb2.Order:
        """Move an order on."""
        request = order_pb2.UpdateOrderStatusRequest(order_id=order_id, status=status)
        return (await self.call(self.stubs.orders.UpdateOrderStatus, request)).order

    async def reserve(self, reservation_id: str, items: dict[str, int]) -> None:
        """Hold stock back, as services do."""
        request = inventory_pb2.ReserveStockRequest(
            reservation_id=reservation_id,
            items=[
                inventory_pb2.ReservationItem(product_id=p, quantity=n) for p, n in items.items()
            ],
        )
        await self.call(self.stubs.inventory.ReserveStock, request)


@dataclass(frozen=True, slots=True)
class Customer(Caller):
    """Somebody who registered and logged in."""

    user_id: str = ""
    username: str = ""
    email: str = ""
    password: str = ""
    refresh_token: str = ""

    @classmethod
    async def new(cls, stubs: Stubs, name: str) -> "Customer":
        """Register under a unique name and log in."""
        username = unique(name)
        email = f"{username}@Example.com"
        password = secrets.token_urlsafe(12)
        registration = user_pb2.RegisterUserRequest(
            username=username, email=email, password=password, full_name=f"Full {name}"
        )
        await Caller(stubs).call(stubs.users.RegisterUser, registration)
        login = await Caller(stubs).log_in(username, password)
        return cls(
            stubs=stubs,
            token=login.access_token,
            user_id=login.user_id,
            username=username,
            email=email,
            password=password,
            refresh_token=login.refresh_token,
        )


@dataclass(frozen=True, slots=True)
class Admin(Caller):
    """The administrator, logged in."""

    user_id: str = ""

    @classmethod
    async def log_in_as_admin(cls, stubs: Stubs, password: str) -> "Admin":
        """Log in."""
        login = await Caller(stubs).log_in("admin", password)
        return cls(stubs, login.access_token, login.user_id)

    async def add_product(
        self, stock: int = 10, *, price: int = 1_999, name: str = "Kettle", currency: str = "EUR"
    ) -> str:
        """Add a product and return its id."""
        product = a_product(name=name, stock=stock)
        product.price.CopyFrom(Money(currency_code=currency, minor_units=price))
        request = inventory_pb2.CreateProductRequest(product=product)
        return (await self.call(self.stubs.inventory.CreateProduct, request)).product.product_id


def a_product(name: str = "Kettle", stock: int = 10) -> inventory_pb2.Product:
    """Return a product that can be added, with a unique sku."""
    return inventory_pb2.Product(
        sku=unique("sku"),
        name=name,
        description="Boils 1.7 litres of water",
        category="kitchen",
        price=Money(currency_code="EUR", minor_units=1_999),
        stock=stock,
        tags=["steel", "electric"],
    )


def unique(name: str) -> str:
    """Return a name nobody else has."""
    return f"{name}-{secrets.token_hex(6)}"
