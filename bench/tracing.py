"""What traces cost: ``python -m bench tracing``.

The same services run several times, on the same stores: not traced, and traced with other shares of
calls sampled, their spans taken by a collector in this process. Measured is the CPU time of the
services per call, the sending of spans included: of an empty call behind the whole chain of
interceptors, of a product read from the process's own memory, and of a checkout, of which the three
services' times are added up. Rounds go through all of them in an order of their own; a ratio is the
median of the ratios to the untraced service, round by round.

It also tells how many spans per call arrived: a service that makes more of them than it can send
loses some, and what is lost costs less.
"""

import argparse
import asyncio
import random
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field
from statistics import median
from typing import Final

from shop.order.v1.order_pb2 import CreateOrderRequest, OrderItem

from bench import progress
from bench.cache_shop import (
    Stores,
    reading_products,
    running_stores,
    seed_shop,
    shop_on,
    shuffled,
    signed_in,
)
from bench.cpu import cpu_seconds
from bench.load import Driver, Target, driving
from bench.seeds import nth_id
from bench.servers import started
from bench.span_sink import ARM, SpanSink, sinking
from services.stack.services import Shop, running_services

OFF: Final = "off"
CALLS: Final[Mapping[str, float]] = {"empty": 1.0, "GetProduct near": 1.0, "CreateOrder": 0.1}
"""What is called, and in what share of the calls."""

_CREATE_ORDER: Final = "/shop.order.v1.OrderService/CreateOrder"
_PRODUCTS: Final = 2_000
_USERS: Final = 200
_AT_ONCE: Final = {"CreateOrder": 8}
_SENT_WITHIN_S: Final = 0.5


@dataclass(slots=True)
class Arm:
    """One kind of call to services traced in one way, and what was measured of it, by rounds."""

    call: str
    way: str
    pids: Sequence[int]
    driver: Driver
    cpu_us: list[float] = field(default_factory=list)
    spans: list[float] = field(default_factory=list)

    @property
    def cpu_s(self) -> float:
        """What its services have used until now."""
        return sum(map(cpu_seconds, self.pids))

    def make(self, calls: int) -> int:
        """Make its share of so many calls and return how many those were."""
        share = max(1, round(calls * CALLS[self.call]))
        self.driver.make(share, _AT_ONCE.get(self.call, 64))
        return share


def environment(way: str, sink: SpanSink) -> dict[str, str]:
    """Return the variables of services that are traced in this way."""
    # What is shed on a busy machine would end the measurement.
    unlimited = {"SHOP_CONCURRENCY_LIMIT": "off"}
    if way == OFF:
        return {**unlimited, "SHOP_TRACING": OFF}
    return {
        **unlimited,
        "SHOP_TRACING": "otlp",
        "SHOP_TRACING_SAMPLE_RATIO": way,
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{sink.port}",
        "OTEL_RESOURCE_ATTRIBUTES": f"{ARM}={way}",
        "OTEL_BSP_SCHEDULE_DELAY": "200",
    }


async def measure(rounds: int, calls: int, sampled: Sequence[str]) -> str:
    """Return what each arm costs, as Markdown."""
    async with AsyncExitStack() as opened:
        own = await opened.enter_async_context(running_stores())
        await seed_shop(own, _PRODUCTS, _USERS)
        sink = await opened.enter_async_context(sinking())
        arms: list[Arm] = []
        for way in (OFF, *sampled):
            arms += await _arms(opened, own, way, sink)
        await asyncio.to_thread(_race, arms, sink, rounds, calls)
    return table(arms)


async def _arms(opened: AsyncExitStack, own: Stores, way: str, sink: SpanSink) -> list[Arm]:
    """Start what is traced in one way, and return its arms."""
    variables = environment(way, sink)
    clients = opened.enter_context(ExitStack())
    shop = opened.enter_context(shop_on(own, variables))
    children = await opened.enter_async_context(running_services(own.folder, shop))
    pids = {name: child.process.pid for name, child in children.items()}
    empty = clients.enter_context(
        started("bench.rpc_server", ["empty", "native", "watched"], shop.variables)
    )
    targets = {
        "empty": ([empty.pid], reading_products(empty.address, [0])),
        "GetProduct near": (
            [pids["inventory"]],
            reading_products(shop.inventory, shuffled(_PRODUCTS)),
        ),
        "CreateOrder": (list(pids.values()), _checkouts(shop, way)),
    }
    return [
        Arm(call, way, measured, clients.enter_context(driving(target)))
        for call, (measured, target) in targets.items()
    ]


def _checkouts(shop: Shop, way: str) -> Target:
    """Return the calls by which users buy a piece of two products, each once."""
    choose = random.Random(way)  # noqa: S311 (nothing secret)
    messages = [
        CreateOrderRequest(
            request_id=f"traced-{way}-{number}",
            items=[
                OrderItem(product_id=nth_id(product), quantity=1)
                for product in choose.sample(range(_PRODUCTS), 2)
            ],
        ).SerializeToString()
        for number in range(20_000)
    ]
    return Target(shop.order, _CREATE_ORDER, messages, signed_in(shop.credentials, range(_USERS)))


def _race(arms: Sequence[Arm], sink: SpanSink, rounds: int, calls: int) -> None:
    for arm in arms:
        arm.make(calls)
    for number in range(rounds):
        progress.show(f"round {number + 1} of {rounds}")
        for arm in random.Random(number).sample(arms, len(arms)):  # noqa: S311
            _measure(arm, sink, calls)
    progress.end()


def _measure(arm: Arm, sink: SpanSink, calls: int) -> None:
    """Make the calls, wait until what they left to be done is done, and note what it all cost."""
    spans, cpu_s = sink.spans[arm.way], arm.cpu_s
    made = arm.make(calls)
    time.sleep(_SENT_WITHIN_S)
    arm.cpu_us.append((arm.cpu_s - cpu_s) / made * 1e6)
    arm.spans.append((sink.spans[arm.way] - spans) / made)


def table(arms: Sequence[Arm]) -> str:
    """Return the figures as Markdown."""
    untraced = {arm.call: arm.cpu_us for arm in arms if arm.way == OFF}
    lines = [
        "| call | sampled | CPU per call | ratio to untraced | spans per call |",
        "|---|---|---:|---:|---:|",
    ]
    for call in CALLS:
        for arm in (arm for arm in arms if arm.call == call):
            ratios = [mine / off for mine, off in zip(arm.cpu_us, untraced[call], strict=True)]
            lines.append(
                f"| {call} | {arm.way} | {median(arm.cpu_us):.0f} us | {median(ratios):.2f} "
                f"| {median(arm.spans):.2f} |"
            )
    return "\n".join(lines)


def main(argv: Sequence[str]) -> int:
    """Measure, print the table, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench tracing", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--calls", type=int, default=10_000, help="per arm and round")
    parser.add_argument("--sampled", default="0,0.1,1", help="shares of calls, by commas")
    given = parser.parse_args(argv)
    found = asyncio.run(measure(given.rounds, given.calls, given.sampled.split(",")))
    sys.stdout.write(f"{given.rounds} rounds of {given.calls:,} calls\n\n{found}\n")
    return 0
