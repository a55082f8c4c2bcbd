"""Customers and an administrator who keep calling and renew their tokens as clients do."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import grpc
from grpc import aio
from shop.inventory.v1.inventory_pb2_grpc import InventoryServiceStub
from shop.order.v1.order_pb2_grpc import OrderServiceStub
from shop.user.v1 import user_pb2
from shop.user.v1.user_pb2_grpc import UserServiceStub

from tests.e2e.support.people import TIMEOUT_S, Admin, Caller, Customer, Stubs
from tests.e2e.support.refusals import outcome
from tests.e2e.support.running_shop import RunningShop

_PAUSE_S = 0.15
_CHANNEL_OPTIONS = (("grpc.use_local_subchannel_pool", 1),)

Outcomes = Counter[tuple[str, grpc.StatusCode]]


@asynccontextmanager
async def own_stubs(shop: RunningShop) -> AsyncIterator[Stubs]:
    """Connect to the services anew: of several workers another one may answer."""
    async with AsyncExitStack() as opened:
        users, inventory, orders = [
            await opened.enter_async_context(
                aio.insecure_channel(shop.settings.target(service), options=_CHANNEL_OPTIONS)
            )
            for service in ("user", "inventory", "order")
        ]
        yield Stubs(
            UserServiceStub(users), InventoryServiceStub(inventory), OrderServiceStub(orders)
        )


@dataclass(slots=True)
class Login:
    """A login, continued with its refresh token while its access token has enough time left."""

    stubs: Stubs
    user_id: str
    access_token: str
    refresh_token: str
    renew_before_end_s: float
    renew_at: float = 0.0
    renewals: int = 0

    async def renew(self) -> None:
        """Exchange the refresh token for new tokens."""
        request = user_pb2.RefreshTokensRequest(refresh_token=self.refresh_token)
        answer = await self.stubs.users.RefreshTokens(request, timeout=TIMEOUT_S)
        self.access_token, self.refresh_token = answer.access_token, answer.refresh_token
        self.renew_at = answer.expire_time.seconds - self.renew_before_end_s
        self.renewals += 1

    async def caller(self) -> Caller:
        """Return a caller whose token is good for a while."""
        if time.time() >= self.renew_at:
            await self.renew()
        return Caller(self.stubs, self.access_token)


@dataclass(slots=True)
class Shoppers:
    """People who call all three services, and what became of their calls."""

    product_id: str
    logins: list[Login]
    admin: Login
    outcomes: Outcomes = field(default_factory=Counter)

    async def shop(self) -> None:
        """Go on until cancelled. A login that cannot be continued ends it with that error."""
        async with asyncio.TaskGroup() as group:
            for login in self.logins:
                group.create_task(self._buy(login))
            group.create_task(self._manage(self.admin))

    async def _buy(self, login: Login) -> None:
        while True:
            await self._note("profile", (await login.caller()).profile(login.user_id))
            await self._note("orders", (await login.caller()).orders_of(login.user_id))
            await self._note("buy", (await login.caller()).buy({self.product_id: 1}))
            await asyncio.sleep(_PAUSE_S)

    async def _manage(self, login: Login) -> None:
        while True:
            caller = await login.caller()
            await self._note("add product", Admin(caller.stubs, caller.token).add_product())
            await asyncio.sleep(_PAUSE_S)

    async def _note(self, name: str, answer: Awaitable[object]) -> None:
        self.outcomes[name, await outcome(answer)] += 1


@asynccontextmanager
async def shopping(
    shop: RunningShop, customers: int, renew_before_end_s: float
) -> AsyncIterator[Shoppers]:
    """Let customers and the administrator call, each through connections of their own."""
    async with AsyncExitStack() as opened:
        admin = await shop.admin()
        logins = []
        for _ in range(customers):
            stubs = await opened.enter_async_context(own_stubs(shop))
            person = await Customer.new(stubs, "shopper")
            logins.append(
                Login(stubs, person.user_id, person.token, person.refresh_token, renew_before_end_s)
            )
        stubs = await opened.enter_async_context(own_stubs(shop))
        answer = await Caller(stubs).log_in("admin", shop.settings.credentials.admin_password)
        manager = Login(
            stubs, answer.user_id, answer.access_token, answer.refresh_token, renew_before_end_s
        )
        shoppers = Shoppers(await admin.add_product(1_000_000), logins, manager)
        calls = asyncio.create_task(shoppers.shop())
        try:
            yield shoppers
            assert not calls.done()
        finally:
            calls.cancel()
            await asyncio.gather(calls, return_exceptions=True)
