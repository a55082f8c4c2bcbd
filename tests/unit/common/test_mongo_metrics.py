import pytest
from pymongo.errors import (
    DuplicateKeyError,
    ExecutionTimeout,
    PyMongoError,
    ServerSelectionTimeoutError,
)

from services.common.mongo_metrics import MongoMetrics
from tests.unit.pages import page_of


def fail(metrics: MongoMetrics, error: Exception) -> None:
    with pytest.raises(type(error)), metrics.operation():
        raise error


def test_operations_are_timed_and_counted_while_they_are_under_way() -> None:
    metrics = MongoMetrics(pool_size=7)
    with metrics.operation():
        with metrics.operation():
            assert page_of(metrics).value("shop_mongo_in_flight") == 2
        page = page_of(metrics)
        assert page.value("shop_mongo_in_flight") == 1
        assert page.value("shop_mongo_operation_seconds_count") == 1
    page = page_of(metrics)
    assert page.value("shop_mongo_in_flight") == 0
    assert page.value("shop_mongo_operation_seconds_count") == 2
    assert 0 < page.value("shop_mongo_operation_seconds_sum") < 60
    assert page.value("shop_mongo_pool_size") == 7


@pytest.mark.parametrize(
    "error", [ServerSelectionTimeoutError("no server"), ExecutionTimeout("too long", code=50)]
)
def test_an_operation_without_an_answer_in_time_is_counted_as_unanswered(
    error: PyMongoError,
) -> None:
    metrics = MongoMetrics(1)
    fail(metrics, error)
    page = page_of(metrics)
    assert page.value("shop_mongo_unanswered_total") == 1
    assert page.value("shop_mongo_in_flight") == 0


@pytest.mark.parametrize("error", [DuplicateKeyError("known"), ValueError("nonsense")])
def test_an_answer_that_is_an_error_is_an_answer(error: Exception) -> None:
    metrics = MongoMetrics(1)
    fail(metrics, error)
    page = page_of(metrics)
    assert page.value("shop_mongo_unanswered_total") == 0
    assert page.value("shop_mongo_operation_seconds_count") == 1
