"""What a service says of its health while dependencies come and go, and at its end."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from grpc.aio import AbortError
from grpc_health.v1 import health_pb2

from services.common.rpc.health import LIVENESS, OVERALL, HealthReporter, HealthServicer
from tests.unit.common.fakes import FakeContext

SERVICE = "shop.test.v1.TestService"


class Store:
    """Answers, or does not."""

    def __init__(self) -> None:
        self.answers = True

    async def ping(self) -> None:
        if not self.answers:
            raise ConnectionError


class Clinic:
    """A reporter whose vital store and whose optional one are at hand."""

    def __init__(self) -> None:
        self.vital, self.optional = Store(), Store()
        self.reporter = HealthReporter(
            SERVICE, {"mongodb": self.vital.ping}, {"redis": self.optional.ping}
        )

    async def says(self, name: str) -> str:
        request = health_pb2.HealthCheckRequest(service=name)
        answer = await self.reporter.servicer.Check(request, FakeContext().context)
        return health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)

    async def says_of_itself(self) -> set[str]:
        return {await self.says(name) for name in (OVERALL, SERVICE)}


@pytest.fixture
def clinic() -> Clinic:
    return Clinic()


async def test_before_the_first_look_at_its_stores_a_service_is_alive_and_serves_not(
    clinic: Clinic,
) -> None:
    clinic.reporter.begin()
    assert await clinic.says(LIVENESS) == "SERVING"
    assert await clinic.says_of_itself() == {"NOT_SERVING"}


async def test_without_a_vital_store_it_is_alive_and_serves_not(clinic: Clinic) -> None:
    clinic.reporter.begin()
    await clinic.reporter.refresh()
    assert await clinic.says_of_itself() == {"SERVING"}
    clinic.vital.answers = False
    await clinic.reporter.refresh()
    assert await clinic.says(LIVENESS) == "SERVING"
    assert await clinic.says_of_itself() == {"NOT_SERVING"}
    assert await clinic.says("mongodb") == "NOT_SERVING"


async def test_without_an_optional_store_it_serves(clinic: Clinic) -> None:
    clinic.reporter.begin()
    clinic.optional.answers = False
    await clinic.reporter.refresh()
    assert await clinic.says_of_itself() == {"SERVING"}
    assert await clinic.says("redis") == "NOT_SERVING"


async def test_at_its_end_it_is_alive_and_serves_not_whatever_its_stores_say(
    clinic: Clinic,
) -> None:
    clinic.reporter.begin()
    await clinic.reporter.refresh()
    clinic.reporter.stop_serving()
    assert await clinic.says_of_itself() == {"NOT_SERVING"}
    await clinic.reporter.refresh()
    assert await clinic.says_of_itself() == {"NOT_SERVING"}
    assert await clinic.says(LIVENESS) == "SERVING"


# ---- those who watch

UNKNOWN, SERVING, NOT_SERVING = (
    health_pb2.HealthCheckResponse.SERVICE_UNKNOWN,
    health_pb2.HealthCheckResponse.SERVING,
    health_pb2.HealthCheckResponse.NOT_SERVING,
)


@dataclass
class Watcher(FakeContext):
    """The context of a watcher at an address, who reads while ``reads`` is set."""

    address: str = "10.0.0.1"
    heard: list[int] = field(default_factory=list)
    reads: asyncio.Event = field(default_factory=asyncio.Event)

    def peer(self) -> str:
        return f"ipv4:{self.address}:40000"

    async def write(self, message: Any) -> None:
        await self.reads.wait()
        self.heard.append(message.status)


async def watched(
    servicer: HealthServicer, name: str = OVERALL, address: str = "10.0.0.1"
) -> tuple[Watcher, "asyncio.Task[None]"]:
    watcher = Watcher(address=address)
    request = health_pb2.HealthCheckRequest(service=name)
    task = asyncio.create_task(servicer.Watch(request, watcher.context))
    await asyncio.sleep(0)
    return watcher, task


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_watcher_that_reads_late_hears_of_the_newest_status_alone() -> None:
    servicer = HealthServicer()
    servicer.set(OVERALL, NOT_SERVING)
    watcher, task = await watched(servicer)
    for status in (SERVING, NOT_SERVING, SERVING):
        servicer.set(OVERALL, status)
    watcher.reads.set()
    await settle()
    assert watcher.heard == [NOT_SERVING, SERVING]  # the first was being written
    servicer.end_watches()
    with pytest.raises(AbortError):
        await task
    assert watcher.aborted_with is grpc.StatusCode.UNAVAILABLE


async def test_who_watches_an_unknown_name_hears_so_and_when_it_is_known() -> None:
    servicer = HealthServicer()
    watcher, task = await watched(servicer, "new")
    watcher.reads.set()
    await settle()
    servicer.set("new", SERVING)
    await settle()
    assert watcher.heard == [UNKNOWN, SERVING]
    task.cancel()


@pytest.mark.parametrize(
    ("count", "name", "one_address", "others_may"),
    [
        (200, OVERALL, True, True),
        (500, OVERALL, False, False),
        (500, "unknown {}", False, True),
    ],
    ids=["of one address", "of a name", "of unknown names"],
)
async def test_watchers_are_bounded(
    count: int, name: str, *, one_address: bool, others_may: bool
) -> None:
    servicer = HealthServicer()
    servicer.set(OVERALL, SERVING)
    tasks = []
    for number in range(count):
        address = "10.0.0.1" if one_address else f"10.0.0.{number % 50}"
        tasks.append((await watched(servicer, name.format(number), address))[1])
    assert servicer.watchers == count

    one_more, refused = await watched(servicer, name.format("other"))
    assert one_more.aborted_with is grpc.StatusCode.RESOURCE_EXHAUSTED
    other, others = await watched(servicer, OVERALL, "10.9.9.9")
    assert (other.aborted_with is None) is others_may

    for task in (*tasks, others):
        task.cancel()
    await asyncio.gather(refused, *tasks, others, return_exceptions=True)
    again, task = await watched(servicer, name.format("other"))
    assert again.aborted_with is None
    task.cancel()


async def test_all_watchers_of_a_process_are_bounded_together() -> None:
    servicer = HealthServicer()
    for name in "abc":
        servicer.set(name, SERVING)
    tasks = [
        (await watched(servicer, "ab"[number % 2], f"10.0.0.{number % 50}"))[1]
        for number in range(1_000)
    ]
    late, refused = await watched(servicer, "c", "10.9.9.9")
    assert late.aborted_with is grpc.StatusCode.RESOURCE_EXHAUSTED
    for task in tasks:
        task.cancel()
    await asyncio.gather(refused, *tasks, return_exceptions=True)
