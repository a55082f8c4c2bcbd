"""Reads from MongoDB: alone, side by side, and sharing queries, by both drivers."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import cycle
from typing import Final

from bench.cache_shop import shuffled
from bench.layers.caches import products_in_mongo
from bench.layers.contest import Group
from bench.layers.members import Claim, Local, Member, called, confirm
from bench.layers.setting import READ_PRODUCTS, Setting
from bench.seeds import nth_id
from bench.stores import StoreCounts
from services.common.mongo import MongoDriver
from services.inventory.repository import MongoProducts

_DRIVERS: Final = tuple(MongoDriver)
_MANY: Final = 64
_LEAST_SHARED: Final = 4
_ASKED_ANYWAY: Final = 20


def _alone(driver: MongoDriver) -> str:
    return f"{driver}, one at a time"


def _side_by_side(driver: MongoDriver) -> str:
    return f"{driver}, {_MANY} at a time, a query each"


def _sharing(driver: MongoDriver) -> str:
    return f"{driver}, {_MANY} at a time, sharing queries"


@asynccontextmanager
async def _opened(setting: Setting) -> AsyncIterator[Sequence[Member]]:
    async with (
        products_in_mongo(setting, MongoDriver.MOTOR) as (_, motor),
        products_in_mongo(setting, MongoDriver.PYMONGO) as (_, pymongo),
    ):
        repositories = {MongoDriver.MOTOR: motor, MongoDriver.PYMONGO: pymongo}
        yield [
            member
            for driver in _DRIVERS
            for member in await _by(driver, repositories[driver], setting)
        ]


async def _by(driver: MongoDriver, products: MongoProducts, setting: Setting) -> list[Member]:
    counts, processes = await setting.counts(), await setting.processes()
    ids = cycle([nth_id(number) for number in shuffled(READ_PRODUCTS)])

    async def own_query() -> None:
        product_id = next(ids)
        found = await products.get_many((product_id,))
        confirm(found[product_id].value.product_id == product_id, "that is another product")

    async def shared_query() -> None:
        product_id = next(ids)
        found = await products.get(product_id)
        confirm(found.value.product_id == product_id, "that is another product")

    def member(name: str, at_once: int, read: Callable[[], Awaitable[None]], claim: Claim) -> Local:
        return Local(name, called(at_once, read), claim, processes, step=at_once)

    own, shared = Queries(counts, 1, 1), Queries(counts, 0, 1 / _LEAST_SHARED)
    return [
        member(_alone(driver), 1, own_query, own.claimed),
        member(_side_by_side(driver), _MANY, own_query, own.claimed),
        member(_sharing(driver), _MANY, shared_query, shared.claimed),
    ]


@dataclass(frozen=True, slots=True)
class Queries:
    """The claim that MongoDB gets so many queries per operation, by its own count."""

    counts: StoreCounts
    least: float
    most: float

    @asynccontextmanager
    async def claimed(self, operations: int) -> AsyncIterator[None]:
        """Raise ``NotWhatItClaimsError`` unless it holds of these operations."""
        before = self.counts.read().mongo
        yield
        queries = self.counts.read().mongo - before
        confirm(
            self.least * operations <= queries <= self.most * operations + _ASKED_ANYWAY,
            f"MongoDB was asked {queries} times for {operations} reads",
        )


GROUPS: Final = (
    Group(
        "mongo load",
        tuple(name(driver) for driver in _DRIVERS for name in (_alone, _side_by_side, _sharing)),
        _opened,
    ),
)
