"""Several processes on one port: they end together, drain together, and replace each other."""

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests.e2e.support.ledger import eventually
from tests.load.conftest import Ports
from tests.load.support.client import drive
from tests.load.support.instance import Instance, Stores, children_of, inventory, is_alive

CALLERS = 8


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

    await eventually(check, 10.0, "the workers do not serve")


async def test_a_stopped_instance_hands_over_to_another_on_its_port_without_a_failed_call(
    transport: str, ports: Ports, folder: Path, tmp_path: Path, stores: Stores
) -> None:
    async with inventory(
        folder, stores, (ports.rpc, ports.metrics), transport, SHOP_WORKERS="2"
    ) as first:
        await both_serve(first)
        async with inventory(
            tmp_path / "second",
            stores,
            (ports.rpc, ports.more_metrics),
            transport,
            SHOP_WORKERS="2",
        ) as second:
            await both_serve(second)
            workers = children_of(first.pid)
            plan = first.reads(3.0, callers=CALLERS, connections=8, retrying=True, pause_s=0.002)
            load = asyncio.create_task(drive(plan))
            await asyncio.sleep(1.5)
            assert len(workers) == 2

            first.child.process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(8.0):
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
        folder, stores, (ports.rpc, ports.metrics), transport, SHOP_WORKERS="2"
    ) as service:
        await both_serve(service)
        workers = children_of(service.pid)
        assert len(workers) == 2
        assert await service.figure("shop_worker_deaths_total") == 0
        plan = service.reads(3.0, callers=CALLERS, connections=8, retrying=True, pause_s=0.002)
        load = asyncio.create_task(drive(plan))
        await asyncio.sleep(1.5)

        os.kill(workers[0], signal.SIGKILL)

        await until(
            lambda: (
                len(children_of(service.pid)) == 2 and workers[0] not in children_of(service.pid)
            ),
            5.0,
            "the worker is not replaced",
        )
        outcome = await load
        assert set(outcome.failures) <= {"UNAVAILABLE"}, outcome.said
        # An answer that has begun cannot be retried; each caller waits for one at a time.
        assert sum(outcome.failures.values()) <= CALLERS
        assert await service.figure("shop_worker_deaths_total") == 1
        await both_serve(service)


async def test_the_figures_of_the_workers_add_up_to_the_calls_made(
    transport: str, ports: Ports, folder: Path, stores: Stores
) -> None:
    async with inventory(
        folder, stores, (ports.rpc, ports.metrics), transport, SHOP_WORKERS="2"
    ) as service:
        await both_serve(service)
        outcome = await drive(service.reads(1.0, callers=CALLERS, connections=12))
        made = len(outcome.accepted)
        assert outcome.failures == {}

        async def served(worker: str) -> float:
            return await service.figure(
                "grpc_server_handled_total",
                grpc_method="GetProduct",
                grpc_code="OK",
                worker=worker,
            )

        each = [await served("0"), await served("1")]
        assert sum(each) == made
        assert all(each)


async def test_the_workers_end_with_a_killed_supervisor(
    transport: str, ports: Ports, folder: Path, stores: Stores
) -> None:
    async with inventory(
        folder, stores, (ports.rpc, ports.metrics), transport, SHOP_WORKERS="2"
    ) as service:
        await both_serve(service)
        workers = children_of(service.pid)
        assert len(workers) == 2
        service.child.process.kill()
        await service.child.process.wait()
        await until(lambda: not any(map(is_alive, workers)), 5.0, "workers live on")
