"""Between the messages of ``shop.order.v1`` and the use cases."""

from dataclasses import dataclass
from typing import Final

from shop.order.v1 import order_pb2 as pb
from shop.order.v1 import order_pb2_grpc as pb_grpc

from services.common.call import current_call
from services.common.paging import Page
from services.common.rpc.messages import (
    money,
    one_too_many,
    prepared,
    write_moment,
    write_money,
)
from services.common.rpc.methods import Context
from services.order.model import MAX_ITEMS, Order, OrderItem, OrderLine, OrderStatus
from services.order.usecases import OrderUseCases

_STATUS_MESSAGE: Final = {
    OrderStatus.PENDING: pb.ORDER_STATUS_PENDING,
    OrderStatus.CONFIRMED: pb.ORDER_STATUS_CONFIRMED,
    OrderStatus.REJECTED: pb.ORDER_STATUS_REJECTED,
    OrderStatus.CANCELLED: pb.ORDER_STATUS_CANCELLED,
    OrderStatus.SHIPPED: pb.ORDER_STATUS_SHIPPED,
    OrderStatus.DELIVERED: pb.ORDER_STATUS_DELIVERED,
}
_STATUS: Final = {message: status for status, message in _STATUS_MESSAGE.items()}


@dataclass(frozen=True, slots=True)
class OrderHandler(pb_grpc.OrderServiceServicer):
    """The Order service as gRPC sees it."""

    usecases: OrderUseCases

    async def CreateOrder(
        self, request: pb.CreateOrderRequest, context: Context
    ) -> pb.CreateOrderResponse:
        """Check out."""
        items = [
            OrderItem(item.product_id, item.quantity)
            for item in one_too_many(request.items, MAX_ITEMS)
        ]
        expected = money(request.expected_total) if request.HasField("expected_total") else None
        order = await self.usecases.create_order(
            current_call().principal, request.request_id, items, expected
        )
        return pb.CreateOrderResponse(order=_order(order))

    async def GetOrder(self, request: pb.GetOrderRequest, context: Context) -> pb.GetOrderResponse:
        """Return one order."""
        order = await self.usecases.get_order(current_call().principal, request.order_id)
        return pb.GetOrderResponse(order=_order(order))

    async def ListUserOrders(
        self, request: pb.ListUserOrdersRequest, context: Context
    ) -> pb.ListUserOrdersResponse:
        """Return a page of one user's orders."""
        page = await self.usecases.list_user_orders(
            request.user_id, request.page_size, request.page_token
        )
        return prepared(page, _page)

    async def CancelOrder(
        self, request: pb.CancelOrderRequest, context: Context
    ) -> pb.CancelOrderResponse:
        """Cancel an order."""
        order = await self.usecases.cancel_order(current_call().principal, request.order_id)
        return pb.CancelOrderResponse(order=_order(order))

    async def UpdateOrderStatus(
        self, request: pb.UpdateOrderStatusRequest, context: Context
    ) -> pb.UpdateOrderStatusResponse:
        """Move an order on."""
        order = await self.usecases.update_order_status(
            current_call().principal, request.order_id, _STATUS.get(request.status)
        )
        return pb.UpdateOrderStatusResponse(order=_order(order))


def _page(page: Page[Order]) -> pb.ListUserOrdersResponse:
    response = pb.ListUserOrdersResponse(next_page_token=page.next_page_token)
    for order in page.items:
        _write_order(response.orders.add(), order)
    return response


def _order(order: Order) -> pb.Order:
    message = pb.Order()
    _write_order(message, order)
    return message


def _write_order(message: pb.Order, order: Order) -> None:
    # Filled in place: a message that is given to another one is copied.
    message.order_id = order.order_id
    message.user_id = order.user_id
    message.status = _STATUS_MESSAGE[order.status]
    for line in order.lines:
        _write_line(message.lines.add(), line)
    if order.total is not None:
        write_money(message.total, order.total)
    message.reject_reason = order.reject_reason
    message.reject_message = order.reject_message
    write_moment(message.create_time, order.create_time)
    write_moment(message.update_time, order.update_time)


def _write_line(message: pb.OrderLine, line: OrderLine) -> None:
    message.product_id = line.product_id
    message.name = line.name
    message.quantity = line.quantity
    if line.unit_price is not None:
        write_money(message.unit_price, line.unit_price)
    total = line.line_total
    if total is not None:
        write_money(message.line_total, total)
