import pytest

from tests.spans import Spans


@pytest.fixture
def spans() -> Spans:
    return Spans()
