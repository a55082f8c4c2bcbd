"""Services as processes on both transports, with stores of their own."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from services.common.rpc.transport import NATIVE_INSTALLED
from services.stack.ports import claimed_ports
from tests.slow.load.support.instance import Stores, stocked

TRANSPORTS = ("native", "grpcio") if NATIVE_INSTALLED else ("grpcio",)


@dataclass(frozen=True, slots=True)
class Ports:
    """Where a service is called, and where it and a second one give their figures."""

    rpc: int
    metrics: int
    more_metrics: int


@pytest.fixture(params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def ports() -> Iterator[Ports]:
    with claimed_ports(3) as claimed:
        yield Ports(*claimed)


@pytest.fixture(scope="session")
async def stores(mongo_uri: str, redis_url: str) -> Stores:
    return await stocked(mongo_uri, redis_url)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "first"
