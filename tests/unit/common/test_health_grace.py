"""For how long a service that has lost its store of record says that it serves."""

from unittest.mock import ANY

import pytest
from grpc_health.v1 import health_pb2

from services.common.rpc.health import HealthReporter

SERVICE = "shop.Service"
GRACE_S = 15.0


class Store:
    """Answers, or does not."""

    up = True

    async def probe(self) -> None:
        if not self.up:
            raise ConnectionError


class Clock:
    """Stands still until it is moved."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("services.common.rpc.health.monotonic", clock)
    return clock


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
async def health(clock: Clock, store: Store) -> HealthReporter:
    reporter = HealthReporter(SERVICE, {"mongodb": store.probe}, {}, GRACE_S)
    reporter.begin()
    return reporter


async def said(health: HealthReporter) -> dict[str, str]:
    answers = {}
    for name in ("", SERVICE, "mongodb"):
        answer = await health.servicer.Check(health_pb2.HealthCheckRequest(service=name), ANY)
        answers[name] = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
    return answers


def all_say(overall: str, mongodb: str) -> dict[str, str]:
    return {"": overall, SERVICE: overall, "mongodb": mongodb}


async def test_a_service_serves_on_while_its_store_is_away_for_no_longer_than_the_grace(
    health: HealthReporter, clock: Clock, store: Store
) -> None:
    await health.refresh()
    store.up = False
    for passed_s in (0.1, GRACE_S - 0.2):
        clock.now += passed_s
        await health.refresh()
        assert await said(health) == all_say("SERVING", "NOT_SERVING")
    clock.now += 0.2
    await health.refresh()
    assert await said(health) == all_say("NOT_SERVING", "NOT_SERVING")

    store.up = True
    await health.refresh()
    assert await said(health) == all_say("SERVING", "SERVING")


async def test_the_grace_begins_when_the_store_was_last_seen_and_not_before_it_ever_was(
    health: HealthReporter, clock: Clock, store: Store
) -> None:
    store.up = False
    await health.refresh()
    assert await said(health) == all_say("NOT_SERVING", "NOT_SERVING")
    store.up = True
    for _ in range(3):
        clock.now += GRACE_S
        await health.refresh()
    store.up = False
    clock.now += GRACE_S - 0.1
    await health.refresh()
    assert await said(health) == all_say("SERVING", "NOT_SERVING")
