from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from tests.unit.order.fakes import Shop


@pytest.fixture
def shop() -> Iterator[Shop]:
    with capture_logs():
        yield Shop()
