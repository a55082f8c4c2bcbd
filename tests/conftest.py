"""Real stores, started when the first test asks for one and stopped after the last.

They listen on free ports and keep their data in pytest's folder of this run, so that runs side
by side do not meet.
"""

import os
from asyncio import AbstractEventLoop
from collections.abc import AsyncIterator, Callable, Mapping

import pytest
import uvloop
from hypothesis import HealthCheck, settings

from services.stack.folder import DataFolder
from services.stack.stores import running_mongod, running_redis

# The same examples in every run, and nothing that depends on how fast the machine is; with
# `--hypothesis-profile random` other examples each time, and ten times as many.
settings.register_profile(
    "fixed",
    derandomize=True,
    deadline=None,
    max_examples=100,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "random",
    settings.get_profile("fixed"),
    derandomize=False,
    max_examples=1_000,
    print_blob=True,
)
settings.load_profile("fixed")


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], AbstractEventLoop]]:
    """Run the tests on the loop that the services run on."""
    return {"uvloop": uvloop.new_event_loop}


def pytest_xdist_auto_num_workers() -> int:
    """Use more workers than there are processors: half of the time they wait for processes."""
    return 3 * (os.cpu_count() or 1) // 2


@pytest.fixture(scope="session")
def store_folder(tmp_path_factory: pytest.TempPathFactory) -> DataFolder:
    folder = DataFolder(tmp_path_factory.mktemp("stores"))
    folder.prepare()
    return folder


@pytest.fixture(scope="session")
async def mongo_uri(store_folder: DataFolder) -> AsyncIterator[str]:
    async with running_mongod(store_folder) as store:
        yield store.uri


@pytest.fixture(scope="session")
async def redis_url(store_folder: DataFolder) -> AsyncIterator[str]:
    async with running_redis(store_folder) as store:
        yield store.uri
