"""Customers who go on while MongoDB changes its primary, and what they were told."""

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count, cycle
from typing import Any, Final, TypeVar

import grpc
from google.protobuf.field_mask_pb2 import FieldMask
from grpc.aio import AioRpcError
from shop.inventory.v1 import inventory_pb2
from shop.order.v1 import order_pb2
from shop.user.v1 import user_pb2

from tests.e2e.support.ledger import Stock, eventually
from tests.e2e.support.people import Admin, Caller, Customer, unique
from tests.e2e.support.persistence import OPEN_OUTCOMES
from tests.e2e.support.running_shop import RunningShop

BUYERS: Final = 4
KEEPERS: Final = 2
INITIAL_STOCK: Final = 100_000
_ATTEMPT_S: Final = 5.0
_REST_S: Final = 0.2
_REGISTRAR_RESTS_S: Final = 0.5
_PERSISTS_S: Final = 60.0
_AT_REST_WITHIN_S: Final = 60.0
_NO_NEAR: Final = ("cache-control", "no-near")

Answer = TypeVar("Answer")


@dataclass(slots=True)
class Told:
    """What the shop said: writes it acknowledged, reads it answered, and what it got wrong."""

    orders: dict[str, order_pb2.Order] = field(default_factory=dict)
    newest: dict[str, order_pb2.Order] = field(default_factory=dict)
    """The order that a customer was last told to have made."""
    registered: dict[str, str] = field(default_factory=dict)
    kept: dict[str, int] = field(default_factory=dict)
    """The stock that a keeper was last told to have set, by product."""
    named: dict[str, int] = field(default_factory=dict)
    """The number in the name that a customer was last told to have, by user."""
    writes: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    """When each acknowledged attempt of a kind began and ended."""
    reads: list[tuple[float, float, bool]] = field(default_factory=list)
    """When each read of what is cached began and ended, and whether it was answered."""
    refused: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def first_write_after(self, moment: float, kind: str) -> float | None:
        """Return when the first attempt that began after a moment was acknowledged."""
        return min(
            (end for begin, end in self.writes.get(kind, []) if begin > moment), default=None
        )


@dataclass(slots=True)
class Load:
    """Buyers, keepers of stock, people who register, and readers, at all shops in turns."""

    shops: Sequence[RunningShop]
    admin: Admin
    buyers: Sequence[Customer]
    article: str
    kept: Sequence[str]
    quiet: Customer
    quiet_article: str
    told: Told = field(default_factory=Told)
    _over: bool = False

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Told]:
        """Go on until the end of the block; then finish what is begun."""
        self._over = False
        works = [
            *(self._buy(buyer) for buyer in self.buyers),
            *(self._rename(buyer) for buyer in self.buyers),
            *(self._look_at_orders(buyer) for buyer in self.buyers),
            *(self._look_at_name(buyer) for buyer in self.buyers),
            *(self._keep(article) for article in self.kept),
            *(self._look_at_stock(article) for article in self.kept),
            self._register(),
            *(self._read_cached(reads) for reads in self._cached_reads()),
        ]
        tasks = [asyncio.create_task(work) for work in works]
        try:
            yield self.told
        finally:
            self._over = True
            ends = await asyncio.gather(*tasks, return_exceptions=True)
            self.told.faults += [repr(end) for end in ends if isinstance(end, BaseException)]

    async def acknowledged_after(self, moment: float, within_s: float) -> dict[str, float]:
        """Wait until writes of all kinds are; return how long after the moment each first was."""
        kinds = ("order", "registration", "stock", "profile")
        firsts: dict[str, float] = {}

        async def all_are() -> bool:
            for kind in kinds:
                first = self.told.first_write_after(moment, kind)
                if first is not None:
                    firsts[kind] = first - moment
            return firsts.keys() == set(kinds)

        await eventually(all_are, within_s, f"only {list(firsts)} are acknowledged")
        return firsts

    async def confirm_kept(self, shop: RunningShop) -> None:
        """Confirm that what was acknowledged is there, once, and nothing that was not."""
        told = self.told
        assert told.faults == []
        stock = await shop.ledger.at_rest(self.article, _AT_REST_WITHIN_S)
        for buyer in self.buyers:
            mine = {
                name: order for name, order in told.orders.items() if order.user_id == buyer.user_id
            }
            stored = await shop.ledger.orders(user_id=buyer.user_id)
            assert Counter(order["request_id"] for order in stored) == Counter(list(mine))
            for document in stored:
                confirm_same(document, mine[document["request_id"]])
        confirmed = order_pb2.ORDER_STATUS_CONFIRMED
        sold = sum(order.status == confirmed for order in told.orders.values())
        assert stock == Stock(available=INITIAL_STOCK - sold, reserved=0, sold=sold)
        for article, known in told.kept.items():
            assert (await shop.nobody.product(article)).stock == known
        for buyer in self.buyers:
            name = (await replace(buyer, stubs=shop.stubs).profile(buyer.user_id)).full_name
            assert name == str(told.named[buyer.user_id])
        await confirm_registered(shop, told.registered)

    # ---- writes

    async def _buy(self, buyer: Customer) -> None:
        for people in self._through(buyer):
            request_id = unique("failover")
            order = await self._persistently(
                "order", people, partial(_bought, article=self.article, request_id=request_id)
            )
            self.told.orders[request_id] = self.told.newest[buyer.user_id] = order

    async def _keep(self, article: str) -> None:
        for stock, people in zip(count(1), self._through(self.admin), strict=False):
            change = partial(_stocked, article=article, stock=stock)
            await self._persistently("stock", people, change)
            self.told.kept[article] = stock

    async def _rename(self, buyer: Customer) -> None:
        for number, people in zip(count(1), self._through(buyer), strict=False):
            change = partial(_renamed, user_id=buyer.user_id, number=number)
            await self._persistently("profile", people, change)
            self.told.named[buyer.user_id] = number

    async def _register(self) -> None:
        for people in self._through(Caller(self.shops[0].stubs)):
            name, password = unique("new"), secrets.token_urlsafe(12)
            registration = partial(_registered, name=name, password=password)
            if await self._persistently("registration", people, registration):
                self.told.registered[name] = password
            await asyncio.sleep(_REGISTRAR_RESTS_S)

    async def _persistently(
        self,
        kind: str,
        people: Iterator[Caller],
        attempt: Callable[[Caller], Awaitable[Answer]],
    ) -> Answer:
        """Repeat a write while its outcome is open, at the next shop each time."""
        end = time.monotonic() + _PERSISTS_S
        while True:
            await asyncio.sleep(_REST_S)
            begin = time.monotonic()
            try:
                answer = await attempt(next(people))
            except AioRpcError as error:
                self.told.refused[error.code().name] += 1
                if error.code() not in OPEN_OUTCOMES or time.monotonic() > end:
                    raise
            else:
                self.told.writes.setdefault(kind, []).append((begin, time.monotonic()))
                return answer

    # ---- reads of what changes, which may show nothing older than was acknowledged

    async def _look_at_stock(self, article: str) -> None:
        request = inventory_pb2.GetProductRequest(product_id=article)
        for people in self._through(self.admin):
            known = self.told.kept.get(article, 0)
            answer = await self._strict(people, "inventory", "GetProduct", request)
            if answer is not None and answer.product.stock < known:
                self.told.faults.append(f"stock {answer.product.stock} after {known}")

    async def _look_at_name(self, buyer: Customer) -> None:
        request = user_pb2.GetUserProfileRequest(user_id=buyer.user_id)
        for people in self._through(buyer):
            known = self.told.named.get(buyer.user_id, 0)
            answer = await self._strict(people, "users", "GetUserProfile", request)
            if answer is not None and known and int(answer.user.full_name) < known:
                self.told.faults.append(f"name {answer.user.full_name} after {known}")

    async def _look_at_orders(self, buyer: Customer) -> None:
        request = order_pb2.ListUserOrdersRequest(user_id=buyer.user_id)
        for people in self._through(buyer):
            known = self.told.newest.get(buyer.user_id)
            answer = await self._strict(people, "orders", "ListUserOrders", request)
            if answer is not None and known is not None and not _shows(answer.orders, known):
                self.told.faults.append(f"order {known.order_id} is not shown")

    async def _strict(
        self, people: Iterator[Caller], service: str, name: str, request: Any
    ) -> Any | None:
        """Ask without what is near; return the answer, or None if there is none."""
        caller = next(people)
        method = getattr(getattr(caller.stubs, service), name)
        metadata = [("authorization", f"Bearer {caller.token}"), _NO_NEAR]
        await asyncio.sleep(_REST_S)
        try:
            return await method(request, timeout=_ATTEMPT_S, metadata=metadata)
        except AioRpcError as error:
            if error.code() not in OPEN_OUTCOMES:
                self.told.faults.append(f"{name}: {error.code().name} {error.details()}")
            return None

    # ---- reads of what does not change, and is cached

    def _cached_reads(self) -> Sequence[Sequence[tuple[Any, Any]]]:
        product = inventory_pb2.GetProductRequest(product_id=self.quiet_article)
        profile = user_pb2.GetUserProfileRequest(user_id=self.quiet.user_id)
        orders = order_pb2.ListUserOrdersRequest(user_id=self.quiet.user_id)
        stubs = [shop.stubs for shop in self.shops]
        return [
            [(stub.inventory.GetProduct, product) for stub in stubs],
            [(stub.users.GetUserProfile, profile) for stub in stubs],
            [(stub.orders.ListUserOrders, orders) for stub in stubs],
        ]

    async def _read_cached(self, reads: Sequence[tuple[Any, Any]]) -> None:
        metadata = [("authorization", f"Bearer {self.quiet.token}")]
        for method, request in cycle(reads):
            if self._over:
                return
            begin = time.monotonic()
            try:
                await method(request, timeout=_ATTEMPT_S, metadata=metadata)
            except AioRpcError:
                answered = False
            else:
                answered = True
            self.told.reads.append((begin, time.monotonic(), answered))
            await asyncio.sleep(_REST_S)

    def _through(self, caller: Any) -> Iterator[Iterator[Any]]:
        """Yield, until it is over, the caller at each shop in turns."""
        turns = cycle([replace(caller, stubs=shop.stubs) for shop in self.shops])
        while not self._over:
            yield turns


async def _bought(who: Caller, article: str, request_id: str) -> order_pb2.Order:
    return await who.buy({article: 1}, request_id, timeout_s=_ATTEMPT_S)


async def _stocked(who: Caller, article: str, stock: int) -> None:
    product = inventory_pb2.Product(product_id=article, stock=stock)
    request = inventory_pb2.UpdateProductRequest(
        product=product, update_mask=FieldMask(paths=["stock"])
    )
    await who.call(who.stubs.inventory.UpdateProduct, request, timeout_s=_ATTEMPT_S)


async def _renamed(who: Caller, user_id: str, number: int) -> None:
    user = user_pb2.User(user_id=user_id, full_name=str(number))
    request = user_pb2.UpdateUserProfileRequest(
        user=user, update_mask=FieldMask(paths=["full_name"])
    )
    await who.call(who.stubs.users.UpdateUserProfile, request, timeout_s=_ATTEMPT_S)


async def _registered(who: Caller, name: str, password: str) -> bool:
    """Register; False if the name is taken, by an attempt whose outcome was open."""
    request = user_pb2.RegisterUserRequest(
        username=name, email=f"{name}@example.com", password=password, full_name="New"
    )
    try:
        await who.call(who.stubs.users.RegisterUser, request, timeout_s=_ATTEMPT_S)
    except AioRpcError as error:
        if error.code() is not grpc.StatusCode.ALREADY_EXISTS:
            raise
        return False
    return True


def confirm_same(document: Mapping[str, Any], order: order_pb2.Order) -> None:
    """Confirm that an order is stored as its customer was told."""
    status = order_pb2.OrderStatus.Name(order.status)
    assert (document["_id"], f"ORDER_STATUS_{document['status']}") == (order.order_id, status)
    lines = [(line["product_id"], line["quantity"]) for line in document["lines"]]
    assert lines == [(line.product_id, line.quantity) for line in order.lines]


async def confirm_registered(shop: RunningShop, registered: Mapping[str, str]) -> None:
    """Confirm that all these people can log in."""
    for name, password in registered.items():
        assert (await shop.nobody.log_in(name, password)).user_id


def _shows(orders: Sequence[order_pb2.Order], known: order_pb2.Order) -> bool:
    """Whether the newest orders have this one, or are all newer."""
    moments = [order.create_time.ToNanoseconds() for order in orders]
    if moments and min(moments) > known.create_time.ToNanoseconds():
        return True
    return known.order_id in {order.order_id for order in orders}


async def prepared_load(shops: Sequence[RunningShop]) -> Load:
    """Return a load on products and customers of its own. The shops have the same stores."""
    shop = shops[0]
    buyers = [await shop.customer("buyer") for _ in range(BUYERS)]
    for buyer in buyers:
        await _renamed(buyer, buyer.user_id, 0)
    admin = await shop.admin()
    return Load(
        shops=shops,
        admin=admin,
        buyers=buyers,
        article=await admin.add_product(INITIAL_STOCK),
        kept=[await admin.add_product(0) for _ in range(KEEPERS)],
        quiet=await shop.customer("quiet"),
        quiet_article=await admin.add_product(),
    )
