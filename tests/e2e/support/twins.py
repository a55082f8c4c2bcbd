"""Two shops with the same stores: each service runs as two processes."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Generator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from google.protobuf.field_mask_pb2 import FieldMask
from shop.inventory.v1 import inventory_pb2
from shop.order.v1 import order_pb2
from shop.user.v1 import user_pb2

from bench.figures import figures_at
from services.stack.services import SERVICES
from tests.e2e.support.ledger import Databases, eventually
from tests.e2e.support.people import TIMEOUT_S, Admin, Customer, unique
from tests.e2e.support.running_shop import RunningShop, opened_shop

CHANGES_WITHIN_S = 90.0


class UnaryCall(Protocol):
    """A call that was begun."""

    def __await__(self) -> Generator[Any, None, Any]: ...

    def trailing_metadata(self) -> Awaitable[Any]: ...


@dataclass(frozen=True, slots=True)
class Sight:
    """What a customer sees of what is cached."""

    product: str
    in_batch: str
    profile: str
    newest_order: str


@dataclass(frozen=True, slots=True)
class Window:
    """A customer at one of the shops, and a product."""

    shop: RunningShop
    customer: Customer
    product_id: str

    async def look(self) -> tuple[Sight, Sequence[str]]:
        """Read what is cached, and where it came from."""
        stubs = self.shop.stubs
        metadata = [("authorization", f"Bearer {self.customer.token}")]
        reads: Sequence[tuple[Any, Any]] = (
            (
                stubs.inventory.GetProduct,
                inventory_pb2.GetProductRequest(product_id=self.product_id),
            ),
            (
                stubs.inventory.BatchGetProducts,
                inventory_pb2.BatchGetProductsRequest(product_ids=[self.product_id]),
            ),
            (
                stubs.users.GetUserProfile,
                user_pb2.GetUserProfileRequest(user_id=self.customer.user_id),
            ),
            (
                stubs.orders.ListUserOrders,
                order_pb2.ListUserOrdersRequest(user_id=self.customer.user_id),
            ),
        )
        product, batch, profile, orders = await asyncio.gather(
            *(
                self._told(method(request, timeout=TIMEOUT_S, metadata=metadata))
                for method, request in reads
            )
        )
        sight = Sight(
            product=product[0].product.name,
            in_batch=batch[0].products[0].name,
            profile=profile[0].user.full_name,
            newest_order=orders[0].orders[0].order_id if orders[0].orders else "",
        )
        return sight, [source for _, source in (product, batch, profile, orders)]

    async def _told(self, call: UnaryCall) -> tuple[Any, str]:
        answer = await call
        told = await call.trailing_metadata()
        return answer, told["x-cache"].partition(";")[0]


@dataclass(frozen=True, slots=True)
class Twins:
    """Two shops with the same stores, through both of which one customer looks."""

    shops: tuple[RunningShop, RunningShop]
    admin: Admin
    windows: tuple[Window, Window]

    async def look(self) -> tuple[Sequence[Sight], Counter[str]]:
        """Look through both windows; return what is seen and how often each source answered."""
        seen = await asyncio.gather(*(window.look() for window in self.windows))
        return [sight for sight, _ in seen], Counter(
            source for _, sources in seen for source in sources
        )

    async def change(self) -> Sight:
        """Change all that is cached; return what is to be seen now."""
        name = unique("new")
        window = self.windows[0]
        customer, stubs = window.customer, window.shop.stubs
        product = inventory_pb2.Product(product_id=window.product_id, name=name)
        user = user_pb2.User(user_id=customer.user_id, full_name=name)
        await self.admin.call(
            stubs.inventory.UpdateProduct,
            inventory_pb2.UpdateProductRequest(
                product=product, update_mask=FieldMask(paths=["name"])
            ),
        )
        await customer.call(
            stubs.users.UpdateUserProfile,
            user_pb2.UpdateUserProfileRequest(
                user=user, update_mask=FieldMask(paths=["full_name"])
            ),
        )
        order = await customer.buy({window.product_id: 1})
        return Sight(name, name, name, order.order_id)

    async def is_cached(self, sight: Sight) -> None:
        """Look until no answer comes from MongoDB.

        All show what is to be seen, but for those from a process's memory, which may lag behind.
        """

        async def is_so() -> bool:
            seen, sources = await self.look()
            assert seen == [sight, sight] or "near" in sources
            return seen == [sight, sight] and sources.keys() <= {"near", "redis"}

        await eventually(is_so, CHANGES_WITHIN_S, "the caches do not answer with what is so")

    async def become(self, state: str) -> None:
        """Look until all breakers are in this state."""

        async def are_so() -> bool:
            await self.look()
            return await self._breakers() == {state}

        await eventually(are_so, CHANGES_WITHIN_S, f"not all breakers are {state}")

    async def _breakers(self) -> set[str]:
        """Return the states of the breakers before Redis in all processes."""
        found = await self._figures("shop_cache_breaker_state", "state")
        return {state for (state,), is_so in found if is_so}

    async def invalidations(self, result: str) -> int:
        """Return how many invalidations of all processes had this result."""
        found = await self._figures("shop_cache_invalidations_total", "result")
        return sum(count for labels, count in found if labels == (result,))

    async def _figures(self, name: str, label: str) -> Sequence[tuple[tuple[str, ...], int]]:
        pages = await asyncio.gather(
            *(
                figures_at(getattr(shop.settings.ports, f"{service}_metrics"), name, label)
                for shop in self.shops
                for service in SERVICES
            )
        )
        return [sample for page in pages for sample in page.items()]


@asynccontextmanager
async def opened_twins(
    path: Path, mongo_uri: str, redis_url: str, **variables: str
) -> AsyncIterator[Twins]:
    """Run two shops with the same stores until the end of the block."""

    def shop(
        name: str, databases: Databases | None = None, keys: Path | None = None
    ) -> AbstractAsyncContextManager[RunningShop]:
        return opened_shop(
            path / name,
            mongo_uri=mongo_uri,
            redis_url=redis_url,
            ledger_uri=mongo_uri,
            databases=databases,
            keys=keys,
            **variables,
        )

    async with (
        shop("one") as one,
        shop("two", databases=one.databases, keys=one.folder.secrets) as two,
    ):
        admin = await one.admin()
        customer = await one.customer()
        product_id = await admin.add_product(10_000)
        windows = (
            Window(one, customer, product_id),
            Window(two, replace(customer, stubs=two.stubs), product_id),
        )
        yield Twins((one, two), admin, windows)
