"""Callers in a process of their own, so that they do not slow down what they measure.

``python -m tests.slow.load.support.client`` reads a ``Plan`` from standard input as JSON and writes
its ``Outcome`` to standard output.
"""

import asyncio
import json
import math
import sys
import time
from asyncio.subprocess import PIPE
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

import grpc
import uvloop
from grpc import aio
from grpc_health.v1 import health_pb2

from services.common.rpc.channel import service_config

PUSHBACK_KEY = "grpc-retry-pushback-ms"
HEALTH = "/grpc.health.v1.Health/Check"
_MAX_OUTSTANDING = 2_000
_PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What to call, and how: ``callers`` in a closed loop, or else ``rate`` calls per second.

    With ``retrying`` a refused call is tried again as the services do among themselves.
    """

    address: str
    method: str
    message: str
    seconds: float
    callers: int = 0
    rate: float = 0.0
    timeout_s: float = 5.0
    connections: int = 2
    retrying: bool = False
    cancel_every: int = 0
    pause_s: float = 0.0
    health_every_s: float = 0.0


@dataclass(slots=True)
class Outcome:
    """How the calls ended: times in seconds, of a scheduled call from when it was due."""

    seconds: float = 0.0
    accepted: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    codes: dict[str, int] = field(default_factory=dict)
    said: dict[str, int] = field(default_factory=dict)
    pushbacks: dict[str, int] = field(default_factory=dict)
    health: dict[str, int] = field(default_factory=dict)
    late_s: float = 0.0

    @property
    def goodput(self) -> float:
        """Accepted calls per second."""
        return len(self.accepted) / self.seconds

    @property
    def failures(self) -> dict[str, int]:
        """How many calls ended with something else than OK, by status."""
        return {code: count for code, count in self.codes.items() if code != "OK"}


def quantile(values: list[float], share: float) -> float:
    """Return the value that this share of the values does not exceed; of none, infinity."""
    if not values:
        return math.inf
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


class _Driver:
    def __init__(self, plan: Plan, channels: list[aio.Channel]) -> None:
        self.plan = plan
        self.methods: list[Any] = [channel.unary_unary(plan.method) for channel in channels]
        self.message = bytes.fromhex(plan.message)
        self.outcome = Outcome()
        self.codes: Counter[str] = Counter()
        self.said: Counter[str] = Counter()
        self.pushbacks: Counter[str] = Counter()
        self.health: Counter[str] = Counter()
        self.made = 0

    async def one(self, due: float) -> None:
        self.made += 1
        method = self.methods[self.made % len(self.methods)]
        call = method(self.message, timeout=self.plan.timeout_s)
        every = self.plan.cancel_every
        if every and self.made % 10 < every:
            asyncio.get_running_loop().call_later(0.0005 * (self.made % 7), call.cancel)
        try:
            await call
        except aio.AioRpcError as error:
            code = error.code()
            self.said[f"{code.name}: {error.details()}"] += 1
            if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
                self.outcome.refused.append(time.perf_counter() - due)
                pairs = {key: str(value) for key, value in error.trailing_metadata() or ()}
                self.pushbacks[pairs.get(PUSHBACK_KEY, "none")] += 1
        except asyncio.CancelledError:
            if not call.cancelled():
                raise
            code = grpc.StatusCode.CANCELLED
        else:
            code = grpc.StatusCode.OK
            self.outcome.accepted.append(time.perf_counter() - due)
        self.codes[code.name] += 1

    async def closed(self) -> None:
        end = time.perf_counter() + self.plan.seconds

        async def caller() -> None:
            while (now := time.perf_counter()) < end:
                await self.one(now)
                if self.plan.pause_s:
                    await asyncio.sleep(self.plan.pause_s)

        await asyncio.gather(*(caller() for _ in range(self.plan.callers)))

    async def scheduled(self) -> None:
        begun = time.perf_counter()
        number, outstanding = 0, set[asyncio.Task[None]]()
        total = int(self.plan.rate * self.plan.seconds)
        while number < total:
            now = time.perf_counter()
            while number < total and (due := begun + number / self.plan.rate) <= now:
                self.outcome.late_s = max(self.outcome.late_s, now - due)
                if len(outstanding) < _MAX_OUTSTANDING:
                    task = asyncio.create_task(self.one(due))
                    outstanding.add(task)
                    task.add_done_callback(outstanding.discard)
                else:
                    self.codes["NOT_MADE"] += 1
                number += 1
            await asyncio.sleep(0.001)
        if outstanding:
            await asyncio.wait(outstanding, timeout=_PATIENCE_S)

    async def ask_health(self, channel: aio.Channel) -> None:
        check: Any = channel.unary_unary(
            HEALTH, response_deserializer=health_pb2.HealthCheckResponse.FromString
        )
        while True:
            try:
                answer = await check(b"", timeout=1.0)
            except aio.AioRpcError as error:
                self.health[error.code().name] += 1
            else:
                self.health[health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)] += 1
            await asyncio.sleep(self.plan.health_every_s)

    async def run(self, health: aio.Channel) -> Outcome:
        asking = None
        if self.plan.health_every_s:
            asking = asyncio.create_task(self.ask_health(health))
        begun = time.perf_counter()
        await (self.closed() if self.plan.callers else self.scheduled())
        self.outcome.seconds = time.perf_counter() - begun
        if asking is not None:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        self.outcome.codes = dict(self.codes)
        self.outcome.said = dict(self.said.most_common(10))
        self.outcome.pushbacks = dict(self.pushbacks)
        self.outcome.health = dict(self.health)
        return self.outcome


def _channel(plan: Plan) -> aio.Channel:
    _, service, method = plan.method.split("/")
    retried = [method] if plan.retrying else []
    options = (
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.initial_reconnect_backoff_ms", 50),
        ("grpc.max_reconnect_backoff_ms", 200),
        ("grpc.service_config", service_config(service, retried)),
    )
    return aio.insecure_channel(plan.address, options=options)


async def _main(plan: Plan) -> Outcome:
    channels = [_channel(plan) for _ in range(plan.connections + 1)]
    await asyncio.gather(*(asyncio.wait_for(c.channel_ready(), 10.0) for c in channels))
    outcome = await _Driver(plan, channels[1:]).run(channels[0])
    await asyncio.gather(*(channel.close() for channel in channels))
    return outcome


async def drive(plan: Plan) -> Outcome:
    """Make the calls from another process and return how they ended."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", __name__, stdin=PIPE, stdout=PIPE
    )
    try:
        async with asyncio.timeout(plan.seconds + _PATIENCE_S + 15.0):
            output, _ = await process.communicate(json.dumps(asdict(plan)).encode())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0
    return Outcome(**json.loads(output))


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asdict(uvloop.run(_main(Plan(**json.loads(sys.stdin.read())))))))
