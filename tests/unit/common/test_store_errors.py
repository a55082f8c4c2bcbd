"""What a driver's timeout stands for depends on whose time was up."""

import asyncio
import time

import pytest
from pymongo.errors import (
    AutoReconnect,
    ExecutionTimeout,
    NetworkTimeout,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WTimeoutError,
)

from services.common.call import Call, enter_call
from services.common.errors import DeadlineExceeded, DomainError
from services.common.mongo import StoreUnavailable, as_domain_error

TIMEOUTS = [ExecutionTimeout, NetworkTimeout, ServerSelectionTimeoutError, WTimeoutError]


async def refusal(error: Exception, left_s: float | None) -> DomainError | None:
    """What the error stands for in a call with so much time left."""

    async def in_call() -> DomainError | None:
        enter_call(Call("r", deadline=None if left_s is None else time.monotonic() + left_s))
        return as_domain_error(error)

    return await asyncio.create_task(in_call())


@pytest.mark.parametrize("kind", TIMEOUTS)
async def test_a_store_that_takes_too_long_is_unavailable(kind: type[PyMongoError]) -> None:
    for left_s in (None, 60.0):
        assert isinstance(await refusal(kind("late"), left_s), StoreUnavailable)


@pytest.mark.parametrize("kind", TIMEOUTS)
@pytest.mark.parametrize("left_s", [0.01, -1.0])
async def test_a_store_given_up_because_the_calls_time_is_over_is_not_to_blame(
    kind: type[PyMongoError], left_s: float
) -> None:
    assert isinstance(await refusal(kind("late"), left_s), DeadlineExceeded)


@pytest.mark.parametrize("left_s", [None, 60.0, -1.0])
async def test_a_store_that_breaks_the_connection_is_unavailable(left_s: float | None) -> None:
    assert isinstance(await refusal(AutoReconnect("gone"), left_s), StoreUnavailable)
    assert await refusal(PyMongoError("a fault"), left_s) is None


@pytest.mark.parametrize(
    "label", ["RetryableWriteError", "TransientTransactionError", "UnknownTransactionCommitResult"]
)
async def test_what_could_have_been_repeated_had_there_been_time_is_no_fault_of_ours(
    label: str,
) -> None:
    given_up = OperationFailure("a rival was faster", 112, {"errorLabels": [label]})
    assert isinstance(await refusal(given_up, 60.0), StoreUnavailable)
    assert await refusal(OperationFailure("a fault", 9, {"errorLabels": []}), 60.0) is None
