"""The other services, asked over gRPC."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import grpc
from google.protobuf.duration_pb2 import Duration
from grpc.aio import AioRpcError
from shop.inventory.v1 import inventory_pb2
from shop.user.v1 import user_pb2

if TYPE_CHECKING:  # the generated stubs have these types for type checkers alone
    from shop.inventory.v1.inventory_pb2_grpc import InventoryServiceAsyncStub
    from shop.user.v1.user_pb2_grpc import UserServiceAsyncStub

from services.common.paging import Page
from services.common.rpc.channel import PeerCaller
from services.common.rpc.messages import money
from services.common.rpc.renewal import Renewed
from services.common.rpc.status import read_refusal
from services.order.model import (
    AttemptGivenUpError,
    OrderItem,
    OrderLine,
    RejectedError,
    RejectReason,
)

_REJECTIONS: Final = {
    "INSUFFICIENT_STOCK": RejectReason.INSUFFICIENT_STOCK,
    "PRODUCT_NOT_FOUND": RejectReason.PRODUCT_NOT_FOUND,
}
# Who was deactivated a moment ago must not order any more.
_NO_NEAR: Final = ("cache-control", "no-near")
_HELD_PAGE: Final = 100


@dataclass(frozen=True, slots=True)
class InventoryPeer:
    """The stock, kept by the Inventory service."""

    inventory: "Renewed[InventoryServiceAsyncStub]"
    peer: PeerCaller

    async def reserve(self, reservation_id: str, items: Sequence[OrderItem]) -> Sequence[OrderLine]:
        """Hold all items back and return them priced, in the same order."""
        request = inventory_pb2.ReserveStockRequest(
            reservation_id=reservation_id,
            items=[
                inventory_pb2.ReservationItem(product_id=item.product_id, quantity=item.quantity)
                for item in items
            ],
        )
        try:
            response = await self.peer.call(self.inventory.stub.ReserveStock, request)
        except AioRpcError as error:
            refusal = read_refusal(error)
            if refusal.reason in _REJECTIONS:
                raise RejectedError(_REJECTIONS[refusal.reason], refusal.message) from None
            if refusal.reason == "RESERVATION_RELEASED":
                raise AttemptGivenUpError from None
            raise
        return [
            OrderLine(line.product_id, line.quantity, line.name, money(line.unit_price))
            for line in response.lines
        ]

    async def commit(self, reservation_id: str, *, irrevocable: bool) -> None:
        """Turn held stock into sold stock."""
        request = inventory_pb2.CommitReservationRequest(
            reservation_id=reservation_id, irrevocable=irrevocable
        )
        await self.peer.call(self.inventory.stub.CommitReservation, request)

    async def release(self, reservation_id: str) -> None:
        """Give held or sold stock back."""
        request = inventory_pb2.ReleaseReservationRequest(reservation_id=reservation_id)
        await self.peer.call(self.inventory.stub.ReleaseReservation, request)

    async def held(self, min_age_s: float, token: str) -> Page[str]:
        """Return a page of the names of reservations held for so long, oldest first."""
        min_age = Duration()
        min_age.FromMilliseconds(int(min_age_s * 1000))
        request = inventory_pb2.ListHeldReservationsRequest(
            page_size=_HELD_PAGE, page_token=token, min_age=min_age
        )
        response = await self.peer.call(self.inventory.stub.ListHeldReservations, request)
        names = tuple(reservation.reservation_id for reservation in response.reservations)
        return Page(names, response.next_page_token)


@dataclass(frozen=True, slots=True)
class UserPeer:
    """The people who buy, kept by the User service."""

    users: "Renewed[UserServiceAsyncStub]"
    peer: PeerCaller

    async def confirm_active(self, user_id: str) -> None:
        """Raise ``RejectedError`` unless this user exists and may order."""
        try:
            response = await self.peer.call(
                self.users.stub.GetUserProfile,
                user_pb2.GetUserProfileRequest(user_id=user_id),
                _NO_NEAR,
            )
        except AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                raise RejectedError(
                    RejectReason.USER_NOT_FOUND, f"there is no user {user_id}"
                ) from None
            raise
        if not response.user.active:
            raise RejectedError(RejectReason.USER_NOT_ACTIVE, f"user {user_id} is not active")
