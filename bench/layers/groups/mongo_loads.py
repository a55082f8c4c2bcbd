"""Reads from MongoDB: alone, side by side, and sharing queries, by both drivers."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import cycle
from typing import Final

from bench.cache_shop import shuffled
from bench.layers.caches import products_in_mongo
from bench.layers.contest import Group
from bench.layers.members import Local, Member, called, confirm
from bench.layers.setting import READ_PRODUCTS, Setting
from bench.seeds import nth_id
from bench.stores import StoreCounts
from services.common.mongo import MongoDriver
from services.inventory.repository import MongoProducts

_DRIVERS: Final = tuple(MongoDriver)
_MANY: Final = 64
_LEAST_SHARED: Final = 8
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

    def member(
        name: str, at_once: int, read: Callable[[], Awaitable[None]], claim: Queries
    ) -> Local:
        return Local(name, called(at_once, read), claim.claimed, processes, step=at_once)

    return [
        member(_alone(driver), 1, own_query, Queries(counts, 1, 1)),
        member(_side_by_side(driver), _MANY, own_query, Queries(counts, 1, 1)),
        member(_sharing(driver), _MANY, shared_query, Queries(counts, 0, 1 / _LEAST_SHARED)),
    ]


class Queries:
    """The claim that MongoDB gets so many queries per operation, by its own count.

    It is made of all operations so far: in one short round a few queries of others would count.
    """

    def __init__(self, counts: StoreCounts, least: float, most: float) -> None:
        self._counts = counts
        self._least = least
        self._most = most
        self._operations = 0
        self._queries = 0

    @asynccontextmanager
    async def claimed(self, operations: int) -> AsyncIterator[None]:
        """Raise ``NotWhatItClaimsError`` unless it holds with these operations."""
        before = self._counts.read().mongo
        yield
        self._queries += self._counts.read().mongo - before
        self._operations += operations
        confirm(
            self._least * self._operations
            <= self._queries
            <= self._most * self._operations + _ASKED_ANYWAY,
            f"MongoDB was asked {self._queries} times for {self._operations} reads",
        )


GROUPS: Final = (
    Group(
        "mongo load",
        tuple(name(driver) for driver in _DRIVERS for name in (_alone, _side_by_side, _sharing)),
        _opened,
    ),
)
