"""The arms in which reads are measured: an empty call, and each service from each layer."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

from bench.arms import ECHO, NAIVE_CACHED, NAIVE_UNCACHED, NEAR, REDIS, UNCACHED, Arm
from bench.cache_report import ECHO_ARM
from bench.cache_shop import (
    FRESHNESS,
    INVENTORY_DATABASE,
    Stores,
    listing_orders,
    reading_products,
    reading_profiles,
    shuffled,
)
from bench.hpack import Metadata
from bench.load import Target
from bench.racing import Entry, entered
from bench.servers import started
from services.stack.services import Shop

METHODS: Final = ("GetProduct", "ListUserOrders", "GetUserProfile")
_CLAIMS: Final = {"near": NEAR, "redis": REDIS, "uncached": UNCACHED}
LAYERS: Final = tuple(_CLAIMS)
_NAIVE_CLAIMS: Final = {"cached": NAIVE_CACHED, "uncached": NAIVE_UNCACHED}
_NAIVE_SHARE: Final = 0.25
_NAIVE: Final = {
    "near": "naive cached",
    "redis": "naive cached",
    "uncached": "naive uncached",
}
_DEAR: Final = {"ListUserOrders redis": 0.25, "ListUserOrders uncached": 0.1}
_FEW: Final = 16


@dataclass(frozen=True, slots=True)
class Extent:
    """How much is measured."""

    products: int
    users: int
    rounds: int
    calls: int
    callers: int


def echo(stack: ExitStack, extent: Extent, shop: Shop | None = None) -> Entry:
    """Return the empty call, of a server of ours, or run as the services of a shop are."""
    arguments = ["empty", "native", "full"]
    server = stack.enter_context(
        started("bench.rpc_server", arguments)
        if shop is None
        else started("bench.rpc_server", arguments, shop.variables, shop.python)
    )
    arm = Arm(ECHO_ARM, ECHO, at_once=extent.callers)
    return entered(stack, arm, server.pid, reading_products(server.address, [0]))


def bare(stack: ExitStack, extent: Extent) -> Entry:
    """Return the empty call with nothing round it: the transport alone."""
    server = stack.enter_context(started("bench.rpc_server", ["empty", "native", "none"]))
    arm = Arm("bare", ECHO, at_once=extent.callers)
    return entered(stack, arm, server.pid, reading_products(server.address, [0]))


def naive(stack: ExitStack, own: Stores, extent: Extent, mode: str) -> Entry:
    """Return reads of products by the server as tutorials write it, ``cached`` or ``uncached``."""
    arguments = [mode, INVENTORY_DATABASE, own.mongo.uri, own.redis.uri]
    server = stack.enter_context(started("bench.naive_server", arguments))
    target = reading_products(server.address, shuffled(extent.products))
    arm = Arm(f"naive {mode}", _NAIVE_CLAIMS[mode], share=_NAIVE_SHARE, at_once=extent.callers)
    return entered(stack, arm, server.pid, target)


def of_services(
    stack: ExitStack, extent: Extent, shop: Shop, pids: Mapping[str, int]
) -> dict[str, list[Entry]]:
    """Return the arms of each method of running services, by its name."""

    def products(metadata: Metadata) -> Target:
        return reading_products(shop.inventory, shuffled(extent.products), metadata)

    def orders(metadata: Metadata) -> Target:
        return listing_orders(shop, extent.users, metadata)

    def profiles(metadata: Metadata) -> Target:
        return reading_profiles(shop, extent.users, metadata)

    return {
        "GetProduct": _layers(stack, extent, "GetProduct", pids["inventory"], products),
        "ListUserOrders": _layers(stack, extent, "ListUserOrders", pids["order"], orders),
        "GetUserProfile": _layers(stack, extent, "GetUserProfile", pids["user"], profiles),
    }


def _layers(
    stack: ExitStack, extent: Extent, method: str, pid: int, target: Callable[[Metadata], Target]
) -> list[Entry]:
    """Return the three arms of one method of a real service."""
    entries = []
    for layer, claim in _CLAIMS.items():
        arm = Arm(f"{method} {layer}", claim, at_once=extent.callers)
        if method == "GetProduct":
            arm.naive = _NAIVE[layer]
        if arm.name in _DEAR:
            arm.share = _DEAR[arm.name]
            arm.at_once = min(_FEW, extent.callers)
        entries.append(entered(stack, arm, pid, target(FRESHNESS[layer])))
    return entries
