"""A shop as those outside its processes see it: its RPCs, its health, what MongoDB has of it."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from shop.inventory.v1.inventory_pb2_grpc import InventoryServiceStub
from shop.order.v1.order_pb2_grpc import OrderServiceStub
from shop.user.v1.user_pb2_grpc import UserServiceStub

from services.stack.credentials import Credentials
from tests.e2e.support.contracts import service_of
from tests.e2e.support.ledger import Databases, Ledger
from tests.e2e.support.people import Admin, Caller, Customer, Method, Stubs
from tests.e2e.support.tokens import Mint

if TYPE_CHECKING:
    from shop.inventory.v1.inventory_pb2_grpc import InventoryServiceAsyncStub
    from shop.order.v1.order_pb2_grpc import OrderServiceAsyncStub
    from shop.user.v1.user_pb2_grpc import UserServiceAsyncStub

_CHANNEL_OPTIONS = (
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 5_000),  # as long may an attempt to connect take
    ("grpc.max_reconnect_backoff_ms", 200),
)


@dataclass(slots=True)
class ShopFront:
    """A shop whose processes somebody else may run."""

    credentials: Credentials
    stubs: Stubs
    ledger: Ledger
    databases: Databases
    channels: Mapping[str, aio.Channel]
    mint: Mint

    @property
    def users(self) -> "UserServiceAsyncStub":
        """The User service."""
        return self.stubs.users

    @property
    def inventory(self) -> "InventoryServiceAsyncStub":
        """The Inventory service."""
        return self.stubs.inventory

    @property
    def orders(self) -> "OrderServiceAsyncStub":
        """The Order service."""
        return self.stubs.orders

    def method(self, name: str) -> Method[Any, Any]:
        """Return a method of any of the services by name."""
        stub = {"user": self.users, "inventory": self.inventory, "order": self.orders}
        method: Method[Any, Any] = getattr(stub[service_of(name)], name)
        return method

    # ---- people

    @property
    def nobody(self) -> Caller:
        """A caller without a token."""
        return Caller(self.stubs)

    def bearer(self, token: str) -> Caller:
        """Return a caller with this token."""
        return Caller(self.stubs, token)

    @property
    def service(self) -> Caller:
        """A caller with the identity of the Order service."""
        return Caller(self.stubs, self.mint.service())

    async def customer(self, name: str = "customer") -> Customer:
        """Register a customer under a unique name and log them in."""
        return await Customer.new(self.stubs, name)

    async def admin(self) -> Admin:
        """Log the administrator in."""
        return await Admin.log_in_as_admin(self.stubs, self.credentials.admin_password)

    # ---- what the services say about themselves

    async def health(self, service: str, component: str = "") -> str:
        """Return the health of a component of a service by name; of all of it without one."""
        return await ask_health(self.channels[service], component)


async def ask_health(channel: aio.Channel, component: str = "") -> str:
    """Return the health that a server reports, by name."""
    check = health_pb2_grpc.HealthStub(channel).Check  # type: ignore[attr-defined]
    answer = await check(health_pb2.HealthCheckRequest(service=component), timeout=5)
    return health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)


@asynccontextmanager
async def opened_channels(targets: Mapping[str, str]) -> AsyncIterator[Mapping[str, aio.Channel]]:
    """Open a channel to each service by name, until the end of the block."""
    async with AsyncExitStack() as opened:
        yield {
            service: await opened.enter_async_context(
                aio.insecure_channel(target, options=_CHANNEL_OPTIONS)
            )
            for service, target in targets.items()
        }


def stubs_over(channels: Mapping[str, aio.Channel]) -> Stubs:
    """Return the services behind the channels."""
    return Stubs(
        users=UserServiceStub(channels["user"]),
        inventory=InventoryServiceStub(channels["inventory"]),
        orders=OrderServiceStub(channels["order"]),
    )
