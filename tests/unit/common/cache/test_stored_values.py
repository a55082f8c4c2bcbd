"""Whatever Redis holds under a key is the key's value, which can be shown, or a miss."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import orjson
import pytest
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from services.common.auth.principal import Role
from services.common.cache.envelope import UnreadableValueError
from services.common.cache.lookup import Lookup
from services.common.money import Money
from services.common.paging import Page
from services.common.snapshot import Snapshot
from services.inventory import cached as inventory
from services.inventory import handler as inventory_handler
from services.inventory.model import Product
from services.order import cached as order
from services.order import handler as order_handler
from services.order.model import Order, OrderLine, OrderStatus
from services.user import cached as user
from services.user import handler as user_handler
from services.user.model import User

NOW: Final = datetime.now(UTC)
LINES: Final = (OrderLine("p1", 2, "Lamp", Money("EUR", 500)), OrderLine("p2", 1))
ORDERS: Final = tuple(
    Order(f"o{n}", "me", OrderStatus.CONFIRMED, LINES, Money("EUR", 1000), "", "", NOW, NOW)
    for n in range(2)
)

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Kind:
    """One kind of cached value: how it is looked up, how it is shown, and a good one."""

    lookup: Lookup[Any]
    show: Callable[[Any], Message]
    good: object

    @property
    def entry(self) -> dict[str, Any]:
        """What Redis holds of the good one."""
        entry: dict[str, Any] = orjson.loads(self.lookup.entry("me", Snapshot(self.good)).raw)
        return entry

    def hits(self, raw: bytes) -> bool:
        """Read an entry, and show what is in it."""
        try:
            snapshot = self.lookup.read("me", raw).snapshot
        except UnreadableValueError:
            return False
        if snapshot is not None:
            self.show(snapshot.value).SerializeToString()
        return True


KINDS: Final[Mapping[str, Kind]] = {
    "user_profile": Kind(
        user.USER_PROFILE,
        user_handler._profile,
        User("me", "ada", "ada@shop.example", "Ada", Role.CUSTOMER, True, NOW, NOW),  # noqa: FBT003
    ),
    "product": Kind(
        inventory.PRODUCT,
        inventory_handler._one_product,
        Product("me", "L-1", "Lamp", "", "lamps", Money("EUR", 1), 5, ("new",), 1, NOW, NOW),
    ),
    "user_orders": Kind(order.NEWEST_ORDERS, order_handler._page, Page(ORDERS, "next")),
}
MAY_BE_NULL: Final = {"unit_price", "total", "value"}
JSON: Final[Sequence[object]] = (None, True, 7, 1.5, "text", [], [1], {}, {"a": 1})
OUT_OF_RANGE: Final = (-1, 2**63, 2**64, 10**30)
NO_MOMENTS: Final = (
    "",
    "yesterday",
    "2026-01-01",
    "2026-01-01T00:00:00",
    "2026-01-01T00:00:00+24:00",
    "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59-23:59",
    "10000-01-01T00:00:00+00:00",
)


def places(content: object, path: Path = ()) -> Iterator[tuple[Path, object]]:
    """Go through all that an entry consists of."""
    yield path, content
    parts: Iterable[tuple[str | int, object]] = ()
    if isinstance(content, dict):
        parts = content.items()
    elif isinstance(content, list):
        parts = enumerate(content)
    for name, part in parts:
        yield from places(part, (*path, name))


def replaced(entry: Any, path: Path, content: object) -> bytes:
    """Return the entry with something else in one place."""
    if not path:
        return orjson.dumps(content)
    changed = part = deepcopy(entry)
    for name in path[:-1]:
        part = part[name]
    part[path[-1]] = content
    if isinstance(content, int) and content >= 2**64:  # more than orjson writes
        part[path[-1]] = "BIG"
        return orjson.dumps(changed).replace(b'"BIG"', str(content).encode())
    return orjson.dumps(changed)


def impossible(path: Path, content: object) -> Iterator[object]:
    """What cannot stand in this place."""
    yield from (
        other
        for other in JSON
        if type(other) is not type(content)
        and not (other is None and path and path[-1] in MAY_BE_NULL)
        and not (other == [] and isinstance(content, list))
        and content is not None  # what may stand there its twin tells, which is not null
    )
    if type(content) is int:
        yield from OUT_OF_RANGE
    if path and str(path[-1]).endswith("_time"):
        yield from NO_MOMENTS
    if path and path[-1] in {"status", "role"}:
        yield from ("LOST", "", "service", "anonymous")
    if path and (path[-1] == "key" or content == "me"):
        yield "somebody else"


@pytest.mark.parametrize("name", KINDS)
def test_what_is_good_is_a_hit(name: str) -> None:
    assert KINDS[name].hits(orjson.dumps(KINDS[name].entry))
    assert KINDS[name].lookup.read("me", KINDS[name].lookup.entry("me", None).raw).snapshot is None


@pytest.mark.parametrize("name", KINDS)
def test_whatever_cannot_stand_in_a_field_makes_a_miss(name: str) -> None:
    kind = KINDS[name]
    entry = kind.entry
    believed = [
        (path, other)
        for path, content in places(entry)
        for other in impossible(path, content)
        if kind.hits(replaced(entry, path, other))
    ]
    assert not believed


@pytest.mark.parametrize("name", KINDS)
def test_a_field_that_is_missing_makes_a_miss_and_one_too_many_does_not(name: str) -> None:
    kind = KINDS[name]
    for path, content in places(kind.entry):
        if isinstance(content, dict):
            assert kind.hits(replaced(kind.entry, path, {**content, "of_a_later_release": [1]}))
            for field in content:
                less = {name: part for name, part in content.items() if name != field}
                defaults = {"name", "unit_price"} if "lines" in path else set()
                assert kind.hits(replaced(kind.entry, path, less)) == (field in defaults)


def test_more_orders_than_a_page_has_make_a_miss() -> None:
    kind = KINDS["user_orders"]
    entry = kind.entry
    many = entry["value"]["items"][:1] * 20
    assert kind.hits(replaced(entry, ("value", "items"), many))
    assert not kind.hits(replaced(entry, ("value", "items"), [*many, *many[:1]]))


def test_a_line_whose_total_no_message_can_carry_makes_a_miss() -> None:
    kind = KINDS["user_orders"]
    entry = kind.entry
    price: Path = ("value", "items", 0, "lines", 0, "unit_price", "minor_units")
    assert kind.hits(replaced(entry, price, 2**62 - 1))
    assert not kind.hits(replaced(entry, price, 2**62))


NUMBERS = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False)
ANYTHING = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text() | st.datetimes().map(datetime.isoformat),
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(st.text(), parts, max_size=3),
    max_leaves=5,
)


@given(name=st.sampled_from(sorted(KINDS)), data=st.data(), other=ANYTHING)
def test_anything_anywhere_can_be_shown_or_is_a_miss(
    name: str, data: st.DataObject, other: object
) -> None:
    entry = KINDS[name].entry
    path = data.draw(st.sampled_from([path for path, _ in places(entry)]))
    KINDS[name].hits(replaced(entry, path, other))


@given(name=st.sampled_from(sorted(KINDS)), data=st.data())
def test_any_bytes_anywhere_can_be_shown_or_are_a_miss(name: str, data: st.DataObject) -> None:
    raw = orjson.dumps(KINDS[name].entry)
    begin = data.draw(st.integers(0, len(raw)))
    end = data.draw(st.integers(begin, min(len(raw), begin + 20)))
    KINDS[name].hits(raw[:begin] + data.draw(st.binary(max_size=20)) + raw[end:])


@pytest.mark.parametrize("name", KINDS)
def test_what_is_older_than_it_may_be_is_a_miss(name: str) -> None:
    kind = KINDS[name]
    now_ms = int(time.time() * 1000)
    assert kind.hits(replaced(kind.entry, ("cached_ms",), now_ms - 290_000))
    assert not kind.hits(replaced(kind.entry, ("cached_ms",), now_ms - 370_000))
