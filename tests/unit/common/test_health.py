"""What a service says of its health while dependencies come and go, and at its end."""

import pytest
from grpc_health.v1 import health_pb2

from services.common.rpc.health import LIVENESS, OVERALL, HealthReporter
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
    await clinic.reporter.begin()
    assert await clinic.says(LIVENESS) == "SERVING"
    assert await clinic.says_of_itself() == {"NOT_SERVING"}


async def test_without_a_vital_store_it_is_alive_and_serves_not(clinic: Clinic) -> None:
    await clinic.reporter.begin()
    await clinic.reporter.refresh()
    assert await clinic.says_of_itself() == {"SERVING"}
    clinic.vital.answers = False
    await clinic.reporter.refresh()
    assert await clinic.says(LIVENESS) == "SERVING"
    assert await clinic.says_of_itself() == {"NOT_SERVING"}
    assert await clinic.says("mongodb") == "NOT_SERVING"


async def test_without_an_optional_store_it_serves(clinic: Clinic) -> None:
    await clinic.reporter.begin()
    clinic.optional.answers = False
    await clinic.reporter.refresh()
    assert await clinic.says_of_itself() == {"SERVING"}
    assert await clinic.says("redis") == "NOT_SERVING"


async def test_at_its_end_it_is_alive_and_serves_not_whatever_its_stores_say(
    clinic: Clinic,
) -> None:
    await clinic.reporter.begin()
    await clinic.reporter.refresh()
    await clinic.reporter.stop_serving()
    assert await clinic.says_of_itself() == {"NOT_SERVING"}
    await clinic.reporter.refresh()
    assert await clinic.says_of_itself() == {"NOT_SERVING"}
    assert await clinic.says(LIVENESS) == "SERVING"
