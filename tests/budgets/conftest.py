"""The counted shop."""

from collections.abc import AsyncIterator

import pytest

from tests.budgets.desk import Desk, opened_desk


@pytest.fixture(scope="session")
async def desk(
    mongo_uri: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Desk]:
    async with opened_desk(tmp_path_factory.mktemp("budgets"), mongo_uri, redis_url) as opened:
        yield opened
