"""Calls that prepare a load are repeated while the shop refuses them for the moment."""

import time
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2

from loadtests.patience import persistently

Call = Callable[[], str]


class Refused(grpc.RpcError):
    """How a channel says that a call was refused."""

    def __init__(self, code: grpc.StatusCode, trailing: tuple[tuple[str, bytes], ...]) -> None:
        self._code = code
        self._trailing = trailing

    def code(self) -> grpc.StatusCode:
        return self._code

    def trailing_metadata(self) -> Any:
        return self._trailing


def saying(code: grpc.StatusCode, delay_ms: int | None = None) -> Refused:
    status = status_pb2.Status(code=code.value[0], message="not now")
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason="OVERLOADED"))
    if delay_ms is not None:
        delay = Duration()
        delay.FromMilliseconds(delay_ms)
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    details = status.SerializeToString()
    return Refused(code, (("x-other", b"a"), ("grpc-status-details-bin", details)))


BUSY = grpc.StatusCode.RESOURCE_EXHAUSTED
DOWN = grpc.StatusCode.UNAVAILABLE


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long it waits, without waiting."""
    taken: list[float] = []
    monkeypatch.setattr(time, "sleep", taken.append)
    return taken


def refusing(*errors: Refused) -> Call:
    """A call that is refused so often before it is answered."""
    left = iter(errors)

    def call() -> str:
        for error in left:
            raise error
        return "answered"

    return call


def test_an_answer_is_returned_at_once(pauses: list[float]) -> None:
    assert persistently(refusing()) == "answered"
    assert pauses == []


def test_what_is_refused_for_the_moment_is_tried_again_less_and_less_often(
    pauses: list[float],
) -> None:
    assert persistently(refusing(*[Refused(BUSY, ())] * 7)) == "answered"
    assert pauses == pytest.approx([0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2])


def test_it_waits_for_as_long_as_the_shop_says(pauses: list[float]) -> None:
    assert persistently(refusing(saying(BUSY, 200), saying(BUSY, 1_500), saying(DOWN))) == (
        "answered"
    )
    assert pauses == pytest.approx([0.2, 1.5, 0.2])


@pytest.mark.parametrize(
    ("code", "attempts"), [(BUSY, 8), (DOWN, 5)], ids=["no room", "nobody there"]
)
def test_it_gives_up_after_some_attempts(
    code: grpc.StatusCode, attempts: int, pauses: list[float]
) -> None:
    with pytest.raises(Refused):
        persistently(refusing(*[saying(code, 10)] * attempts))
    assert len(pauses) == attempts - 1


def test_it_does_not_wait_for_minutes(pauses: list[float]) -> None:
    with pytest.raises(Refused):
        persistently(refusing(saying(BUSY, 300_000)))
    assert pauses == []


def test_other_refusals_are_told_at_once(pauses: list[float]) -> None:
    with pytest.raises(Refused):
        persistently(refusing(saying(grpc.StatusCode.ALREADY_EXISTS)))
    assert pauses == []


def test_details_that_cannot_be_read_say_nothing_of_a_delay(pauses: list[float]) -> None:
    broken = Refused(BUSY, (("grpc-status-details-bin", b"\xff\xff"),))
    assert persistently(refusing(broken)) == "answered"
    assert pauses == [0.05]
