"""Several processes on one port: they end together, drain together, and replace each other."""

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.e2e.support.ledger import eventually
from tests.slow.load.conftest import Ports
from tests.slow.load.support.client import drive
from tests.slow.load.support.instance import (
    UNHURRIED,
    Instance,
    Stores,
    children_of,
    inventory,
    is_alive,
)

CALLERS = 8
CALLS = 50
CONNECTIONS = 24  # the chance that one of two processes gets them all is 1 in 8 million
WITHIN_S = 60.0
TWO_WORKERS = {**UNHURRIED, "SHOP_WORKERS": "2"}

pytestmark = pytest.mark.timeout(240)


async def until(condition: Callable[[], bool], within_s: float, otherwise: str) -> None:
    async def check() -> bool:
        return condition()

    await eventually(check, within_s, otherwise)


async def both_serve(service: Instance) -> None:
    """Wait until both workers give figures."""

    async def check() -> bool:
        with suppress(OSError):  # the supervisor is not up yet
            return await found_both()
        return False

    async def found_both() -> bool:
        found = {sample.labels.get("worker") for sample in await service.samples()}
        return {"0", "1"} <= found

    await eventually(check, WITHIN_S, "the workers do not serve")


async def test_a_stopped_instance_hands_over_to_another_on_its_port_without_a_failed_call(
    transport: str, ports: Ports, folder: Path, tmp_path: Path, stores: Stores
) -> None:
    async with inventory(
        folder, stores, (ports.rpc, ports.metrics), transport, **TWO_WORKERS
    ) as first:
        await both_serve(first)
        async with inventory(
            tmp_path / "second",
            stores,
            (ports.rpc, ports.more_metrics),
            transport,
            **TWO_WORKERS,
        ) as second:
            await both_serve(second)
            workers = children_of(first.pid)
            plan = first.reads(
                2.5, callers=CALLERS, connections=CONNECTIONS, retrying=True, pause_s=0.002
            )
            load = asyncio.create_task(drive(plan))
            await eventually(lambda: first.has_served(CALLS), WITHIN_S, "it is not called")
            assert len(workers) == 2

            first.child.process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(WITHIN_S):
                code = await first.child.process.wait()

            assert code == 0
            assert not any(map(is_alive, workers))
            outcome = await load
            assert outcome.failures == {}, outcome.said
            assert len(outcome.accepted) > 100


async def test_a_killed_worker_is_replaced_and_counted_and_loses_no_more_than_it_was_answering(
    transport: str, ports: Ports, folder: Path, stores: Stores
) -> None:
    async with inventory(
        folder, stores, (ports.rpc, ports.metrics), transport, **TWO_WORKERS
    ) as service:
        await both_serve(service)
        workers = children_of(service.pid)
        assert len(workers) == 2
        assert await service.figure("shop_worker_deaths_total") == 0
        plan = service.reads(2.5, callers=CALLERS, connections=8, retrying=True, pause_s=0.002)
        load = asyncio.create_task(drive(plan))
        await eventually(lambda: service.has_served(CALLS), WITHIN_S, "it is not called")

        os.kill(workers[0], signal.SIGKILL)

        await until(
            lambda: (
                len(children_of(service.pid)) == 2 and workers[0] not in children_of(service.pid)
            ),
            WITHIN_S,
            "the worker is not replaced",
        )
        outcome = await load
        assert set(outcome.failures) <= {"UNAVAILABLE"}, outcome.said
        # An answer that has begun cannot be retried; each caller waits for one at a time.
        assert sum(outcome.failures.values()) <= CALLERS

        async def is_counted() -> bool:
            return await service.figure("shop_worker_deaths_total") == 1

        await eventually(is_counted, WITHIN_S, "its death is not counted")
        await both_serve(service)


async def test_a_worker_that_hangs_is_replaced_and_counted(
    transport: str, ports: Ports, folder: Path, stores: Stores
) -> None:
    async with inventory(
        folder, stores, (ports.rpc, ports.metrics), transport, **TWO_WORKERS
    ) as service:
        await both_serve(service)
        hung, healthy = children_of(service.pid)

        os.kill(hung, signal.SIGSTOP)

        await until(
            lambda: len(children_of(service.pid)) == 2 and not is_alive(hung),
            WITHIN_S,
            "the worker is not replaced",
        )
        await both_serve(service)
        assert healthy in children_of(service.pid)
        assert await service.figure("shop_worker_silent_total") == 1
        outcome = await drive(service.reads(0.5, callers=CALLERS, connections=CONNECTIONS))
        assert outcome.failures == {}, outcome.said


async def test_the_figures_of_the_workers_add_up_to_the_calls_made(
    transport: str, ports: Ports, folder: Path, stores: Stores
) -> None:
    long = folder / ("x" * 90)  # of a path that no socket can have
    long.mkdir(parents=True)
    variables = {**TWO_WORKERS, "TMPDIR": str(long)}
    async with inventory(
        folder, stores, (ports.rpc, ports.metrics), transport, **variables
    ) as service:
        await both_serve(service)
        outcome = await drive(service.reads(1.0, callers=CALLERS, connections=CONNECTIONS))
        made = len(outcome.accepted)
        assert outcome.failures == {}

        async def served(worker: str) -> float:
            return await service.figure(
                "grpc_server_handled_total",
                grpc_method="GetProduct",
                grpc_code="OK",
                worker=worker,
            )

        async def add_up() -> bool:
            return await served("0") + await served("1") == made

        await eventually(add_up, WITHIN_S, "the figures do not add up")
        assert await served("0")
        assert await served("1")


async def test_the_workers_end_with_a_killed_supervisor(
    transport: str, ports: Ports, folder: Path, stores: Stores
) -> None:
    async with inventory(
        folder, stores, (ports.rpc, ports.metrics), transport, **TWO_WORKERS
    ) as service:
        await both_serve(service)
        workers = children_of(service.pid)
        assert len(workers) == 2
        service.child.process.kill()
        await service.child.process.wait()
        await until(lambda: not any(map(is_alive, workers)), WITHIN_S, "workers live on")
