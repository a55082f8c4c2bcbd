import importlib
import pkgutil
import re
from pathlib import Path

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.message import Message
from google.rpc import error_details_pb2 as details_pb
from google.rpc import status_pb2
from grpc.aio import AioRpcError, Metadata

import services
from services.common import errors
from services.common.errors import DomainError, FieldViolation, InvalidArgument
from services.common.rpc.status import (
    STATUS_OF,
    Answer,
    Refusal,
    internal_status,
    read_refusal,
    status_code,
    to_status,
)
from services.common.rpc.unreadable import RequestTooLarge

DOMAIN = "shop.test.v1"
CONTRACT = Path(__file__).parents[3] / "proto" / "contract.binpb"
HOUSES = ("common", "user", "inventory", "order")


def every_domain_error() -> list[type[DomainError]]:
    """All of them, in whatever module of whatever service."""
    for house in HOUSES:
        package = importlib.import_module(f"services.{house}")
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    known = below(DomainError)
    return sorted(
        (kind for kind in known if kind.__module__.startswith(services.__name__)),
        key=lambda kind: f"{kind.__module__}.{kind.__name__}",
    )


def below(kind: type[DomainError]) -> set[type[DomainError]]:
    children = set(kind.__subclasses__())
    return children.union(*map(below, children))


ALL = every_domain_error()


def packed(status: Answer) -> status_pb2.Status:
    """What travels to the client beside the code and the message."""
    (raw,) = (value for key, value in status.trailing_metadata if key == "grpc-status-details-bin")
    assert isinstance(raw, bytes)
    return status_pb2.Status.FromString(raw)


def detail(status: Answer, into: Message) -> bool:
    """Unpack the detail of this type, if the status has one."""
    return any(entry.Unpack(into) for entry in packed(status).details)


def as_received(status: Answer) -> AioRpcError:
    return AioRpcError(
        status.code, Metadata(), Metadata(*status.trailing_metadata), details=status.details
    )


def test_the_tree_has_branches_in_every_house() -> None:
    assert {kind.__module__.split(".")[1] for kind in ALL} == set(HOUSES)


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_every_domain_error_has_a_status_and_a_reason(kind: type[DomainError]) -> None:
    bare = kind.__new__(kind)
    assert status_code(bare) in STATUS_OF.values()
    assert "reason" in vars(kind)
    assert re.fullmatch(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*", kind.reason)
    assert kind.reason != DomainError.reason


def test_no_reason_stands_for_two_errors() -> None:
    reasons = [kind.reason for kind in ALL]
    assert sorted(set(reasons)) == sorted(reasons)


def test_every_branch_of_the_tree_has_its_own_status() -> None:
    assert set(DomainError.__subclasses__()) == set(STATUS_OF)
    assert len(set(STATUS_OF.values())) == len(STATUS_OF)


class OddlyNotFound(errors.NotFound):
    reason = "ODDLY_NOT_FOUND"


def test_a_refusal_tells_its_reason_its_particulars_and_the_request_id() -> None:
    status = to_status(OddlyNotFound("no such thing", {"thing": "7"}), DOMAIN, "r-1")
    info, request = details_pb.ErrorInfo(), details_pb.RequestInfo()
    assert (status.code, status.details) == (grpc.StatusCode.NOT_FOUND, "no such thing")
    assert detail(status, info)
    assert detail(status, request)
    assert (info.reason, info.domain, dict(info.metadata)) == (
        "ODDLY_NOT_FOUND",
        DOMAIN,
        {"thing": "7"},
    )
    assert request.request_id == "r-1"
    assert not detail(status, details_pb.BadRequest())
    assert not detail(status, details_pb.RetryInfo())


def test_the_checked_in_contract_holds_the_details_that_refusals_carry() -> None:
    files = descriptor_pb2.FileDescriptorSet.FromString(CONTRACT.read_bytes())
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    refusals = (errors.ResourceExhausted("slowly", 1.0), InvalidArgument.of("a", "is bad"))
    carried = {
        entry.type_url.rpartition("/")[2]
        for refusal in refusals
        for entry in packed(to_status(refusal, DOMAIN, "r")).details
    }
    assert carried == {
        f"google.rpc.{name}" for name in ("ErrorInfo", "RequestInfo", "RetryInfo", "BadRequest")
    }
    for name in (*carried, "google.rpc.Status", "shop.order.v1.Order"):
        assert pool.FindMessageTypeByName(name).full_name == name


def test_bad_input_names_each_field() -> None:
    error = InvalidArgument([FieldViolation("a", "is bad"), FieldViolation("b[1].c", "is worse")])
    bad = details_pb.BadRequest()
    assert detail(to_status(error, DOMAIN, "r"), bad)
    assert [(v.field, v.description) for v in bad.field_violations] == [
        ("a", "is bad"),
        ("b[1].c", "is worse"),
    ]


def test_too_much_at_once_says_when_to_come_back() -> None:
    retry = details_pb.RetryInfo()
    status = to_status(errors.ResourceExhausted("slowly", 1.5), DOMAIN, "r")
    assert detail(status, retry)
    assert retry.retry_delay.ToMilliseconds() == 1500
    assert ("grpc-retry-pushback-ms", "1500") in status.trailing_metadata


def test_what_will_never_do_says_so_to_people_and_to_clients_that_retry() -> None:
    status = to_status(RequestTooLarge(2_000, 1_024), DOMAIN, "r")
    assert status.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert not detail(status, details_pb.RetryInfo())
    assert ("grpc-retry-pushback-ms", "-1") in status.trailing_metadata


@pytest.mark.parametrize("text", ["x", "é", "\U0001f469"])
def test_however_much_is_wrong_the_status_fits_into_the_metadata_that_grpc_takes(text: str) -> None:
    error = InvalidArgument([FieldViolation(f"items[{n}]", text * 100) for n in range(1000)])
    status = to_status(error, DOMAIN, "r" * 64)
    percent_encoded = 3 * len((status.details or "").encode())
    base64_encoded = len(packed(status).SerializeToString()) * 4 // 3
    bad = details_pb.BadRequest()
    assert percent_encoded + base64_encoded < 8 * 1024
    assert detail(status, bad)
    assert len(bad.field_violations) >= 4
    assert bad.field_violations[0].field == "items[0]"


def test_a_fault_of_ours_tells_nothing_but_where_to_look() -> None:
    status = internal_status(DOMAIN, "r-1")
    info, request = details_pb.ErrorInfo(), details_pb.RequestInfo()
    assert (status.code, status.details) == (grpc.StatusCode.INTERNAL, "internal error")
    assert detail(status, info)
    assert detail(status, request)
    assert (info.reason, dict(info.metadata)) == ("INTERNAL", {})
    assert request.request_id == "r-1"


def test_a_service_reads_the_refusal_that_another_sent() -> None:
    sent = to_status(OddlyNotFound("no such thing", {"thing": "7"}), DOMAIN, "r")
    assert read_refusal(as_received(sent)) == Refusal(
        grpc.StatusCode.NOT_FOUND, "no such thing", "ODDLY_NOT_FOUND", {"thing": "7"}
    )


@pytest.mark.parametrize(
    "trailing",
    [
        Metadata(),
        Metadata(("x-other", "5")),
        Metadata(("grpc-status-details-bin", b"\xff\xff\xff")),
        Metadata(("grpc-status-details-bin", "text")),
        Metadata(("grpc-status-details-bin", b"")),
    ],
    ids=["none", "others", "garbage", "text", "empty"],
)
def test_a_refusal_without_readable_details_has_no_reason(trailing: Metadata) -> None:
    error = AioRpcError(grpc.StatusCode.ABORTED, Metadata(), trailing, details="oh")
    assert read_refusal(error) == Refusal(grpc.StatusCode.ABORTED, "oh")
