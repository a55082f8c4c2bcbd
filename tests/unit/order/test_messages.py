"""What Order makes of its callers' messages, and what it sends to Inventory."""

from typing import Any, cast

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from shop.common.v1.money_pb2 import Money as MoneyMessage
from shop.inventory.v1 import inventory_pb2
from shop.order.v1 import order_pb2 as pb

from services.common.call import Call, enter_call
from services.common.money import Money
from services.common.paging import Page
from services.common.rpc.channel import PeerCaller
from services.order.handler import OrderHandler
from services.order.peers import InventoryPeer
from tests.unit.order.fakes import ANNA, LAMP, Shop


class Heard:
    """Inventory, which answers everything with the same message."""

    def __init__(self, answer: Message) -> None:
        self.requests: list[Message] = []
        self._answer = answer

    @property
    def stub(self) -> "Heard":
        return self

    def __getattr__(self, _method: str) -> None:
        return None

    async def call(self, _method: object, request: Message) -> Message:
        self.requests.append(request)
        return self._answer


async def test_held_reservations_are_asked_for_by_their_age_and_page_by_page() -> None:
    """No moment is sent: it would be one of this process's clock."""
    answer = inventory_pb2.ListHeldReservationsResponse(next_page_token="next")
    answer.reservations.add(reservation_id="a-1")
    inventory = Heard(answer)
    peer = InventoryPeer(cast("Any", inventory), cast("PeerCaller", inventory))
    assert await peer.held(30.5, "token") == Page(("a-1",), "next")
    assert inventory.requests == [
        inventory_pb2.ListHeldReservationsRequest(
            page_size=100, page_token="token", min_age=Duration(seconds=30, nanos=500_000_000)
        )
    ]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (None, None),
        (MoneyMessage(currency_code="EUR"), Money("EUR", 0)),
        (MoneyMessage(currency_code="EUR", minor_units=1_999), Money("EUR", 1_999)),
    ],
)
async def test_a_total_is_expected_when_the_request_says_so(
    shop: Shop, message: MoneyMessage | None, expected: Money | None
) -> None:
    call = Call()
    call.principal = ANNA
    enter_call(call)
    request = pb.CreateOrderRequest(request_id="r-1", expected_total=message)
    request.items.add(product_id=LAMP, quantity=1)
    await OrderHandler(shop.usecases).CreateOrder(request, cast("Any", None))
    assert shop.checkout().expected_total == expected
