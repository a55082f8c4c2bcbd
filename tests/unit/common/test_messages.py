from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from shop.inventory.v1 import inventory_pb2 as pb

from services.common.errors import InvalidArgument
from services.common.money import Money
from services.common.rpc.messages import (
    duration,
    masked_fields,
    moment,
    money,
    money_message,
    prepared,
    timestamp,
)
from services.common.snapshot import Snapshot

UPDATABLE = ("sku", "name", "price", "tags")


def masked(*paths: str, product: pb.Product | None = None) -> list[str]:
    return masked_fields(product or pb.Product(), FieldMask(paths=paths), UPDATABLE)


def test_a_mask_names_the_fields_whether_they_are_set_or_not() -> None:
    assert masked("name", "price", product=pb.Product(sku="S")) == ["name", "price"]


def test_a_field_named_twice_counts_once() -> None:
    assert masked("name", "sku", "name") == ["name", "sku"]


def test_a_star_stands_for_all_fields() -> None:
    assert masked("*") == list(UPDATABLE)


def test_without_a_mask_the_fields_that_are_set_change() -> None:
    product = pb.Product(product_id="5", name="Lamp", tags=["light"], version=7)
    assert masked(product=product) == ["name", "tags"]


@pytest.mark.parametrize("path", ["product_id", "version", "price.minor_units", "Name", "", "nope"])
def test_a_path_that_cannot_be_changed_is_refused(path: str) -> None:
    with pytest.raises(InvalidArgument, match="is not one of name, price, sku, tags") as refused:
        masked("name", path)
    assert [v.field for v in refused.value.violations] == ["update_mask"]


def test_a_mask_is_counted_before_it_is_read() -> None:
    with pytest.raises(InvalidArgument, match="must name at most 100 fields"):
        masked(*["name"] * 101)


def test_a_star_among_others_is_no_path() -> None:
    with pytest.raises(InvalidArgument):
        masked("*", "name")


def test_an_update_of_nothing_is_refused() -> None:
    with pytest.raises(InvalidArgument) as refused:
        masked(product=pb.Product(product_id="5", version=7))
    assert [v.field for v in refused.value.violations] == ["update_mask"]


def test_moments_and_money_come_back_from_the_wire_as_they_were() -> None:
    then = datetime(2026, 5, 1, 12, 30, 15, 123_000, tzinfo=UTC)
    assert moment(timestamp(then)) == then
    assert money(money_message(Money("EUR", -5))) == Money("EUR", -5)


@pytest.mark.parametrize("seconds", [10**18, -(10**18)])
def test_a_moment_beyond_all_calendars_is_refused_by_name(seconds: int) -> None:
    with pytest.raises(InvalidArgument) as refused:
        moment(Timestamp(seconds=seconds), "before")
    assert [v.field for v in refused.value.violations] == ["before"]


@pytest.mark.parametrize(
    ("seconds", "nanos", "span"),
    [
        (0, 0, timedelta(0)),
        (1, 999_999_999, timedelta(seconds=1, microseconds=999_999)),
        (315_576_000_000, 0, timedelta(days=3_652_500)),
    ],
)
def test_a_duration_may_reach_its_bounds(seconds: int, nanos: int, span: timedelta) -> None:
    assert duration(Duration(seconds=seconds, nanos=nanos), "age") == span


@pytest.mark.parametrize(
    ("seconds", "nanos"), [(-1, 0), (0, -1), (315_576_000_001, 0), (2**63 - 1, 0), (0, 10**9)]
)
def test_what_is_no_duration_is_refused_by_name(seconds: int, nanos: int) -> None:
    with pytest.raises(InvalidArgument) as refused:
        duration(Duration(seconds=seconds, nanos=nanos), "age")
    assert [v.field for v in refused.value.violations] == ["age"]


def lamp(name: str) -> pb.GetProductResponse:
    return pb.GetProductResponse(product=pb.Product(name=name))


def lamp_list(name: str) -> pb.ListProductsResponse:
    return pb.ListProductsResponse(products=[pb.Product(name=name)])


def test_a_prepared_answer_is_the_serialized_message() -> None:
    assert prepared(Snapshot("Lamp"), lamp) == lamp("Lamp").SerializeToString()


def test_an_answer_is_prepared_once_per_snapshot() -> None:
    built: list[str] = []

    def counted(name: str) -> pb.GetProductResponse:
        built.append(name)
        return lamp(name)

    snapshot = Snapshot("Lamp")
    assert prepared(snapshot, counted) is prepared(snapshot, counted)
    assert built == ["Lamp"]
    prepared(Snapshot("Desk"), counted)
    assert built == ["Lamp", "Desk"]


def test_another_function_prepares_another_answer() -> None:
    snapshot = Snapshot("Lamp")
    for build in (lamp, lamp_list, lamp):
        assert prepared(snapshot, build) == build("Lamp").SerializeToString()
