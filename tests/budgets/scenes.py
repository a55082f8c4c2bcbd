"""For each budget: what has to be there, and the one call that is counted."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from shop.inventory.v1 import inventory_pb2 as inventory
from shop.order.v1 import order_pb2 as order
from shop.user.v1 import user_pb2 as user

from services.common.ids import new_id
from tests.budgets.desk import Act, Desk
from tests.e2e.support.people import Caller, a_product, unique
from tests.e2e.support.refusals import refused

Scene = Callable[[Desk], Awaitable[Act]]

SCENES: Final[dict[str, Scene]] = {}
_REDIS: Final = "no-near"
_STORE: Final = "no-cache"


def scene(name: str) -> Callable[[Scene], Scene]:
    """Name the budget that a scene is for."""

    def add(play: Scene) -> Scene:
        SCENES[name] = play
        return play

    return add


def nobody(desk: Desk) -> Caller:
    """Return a caller without a token."""
    return Caller(desk.shop.stubs)


# ---- User


@scene("RegisterUser.new")
async def _(desk: Desk) -> Act:
    name = unique("new")
    request = user.RegisterUserRequest(
        username=name, email=f"{name}@example.com", password="a long secret", full_name="New"
    )
    return lambda: desk.call("RegisterUser", request, nobody(desk))


@scene("AuthenticateUser.right")
async def _(desk: Desk) -> Act:
    request = user.AuthenticateUserRequest(
        username=desk.customer.username, password=desk.customer.password
    )
    return lambda: desk.call("AuthenticateUser", request, nobody(desk))


@scene("AuthenticateUser.wrong")
async def _(desk: Desk) -> Act:
    who = await desk.somebody()
    request = user.AuthenticateUserRequest(username=who.username, password="not the password")

    async def try_it() -> None:
        failure = await refused(desk.call("AuthenticateUser", request, nobody(desk)))
        assert failure.reason == "INVALID_CREDENTIALS"

    return try_it


@scene("RefreshTokens.newest")
async def _(desk: Desk) -> Act:
    request = user.RefreshTokensRequest(refresh_token=(await desk.somebody()).refresh_token)
    return lambda: desk.call("RefreshTokens", request, nobody(desk))


@scene("RefreshTokens.again")
async def _(desk: Desk) -> Act:
    request = user.RefreshTokensRequest(refresh_token=(await desk.somebody()).refresh_token)
    await desk.call("RefreshTokens", request, nobody(desk))
    return lambda: desk.call("RefreshTokens", request, nobody(desk))


@scene("RevokeTokens.any")
async def _(desk: Desk) -> Act:
    request = user.RevokeTokensRequest(refresh_token=(await desk.somebody()).refresh_token)
    return lambda: desk.call("RevokeTokens", request, nobody(desk))


@scene("GetUserProfile.near")
async def _(desk: Desk) -> Act:
    await desk.until_near(lambda: desk.profile(desk.customer))
    return lambda: desk.profile(desk.customer)


@scene("GetUserProfile.redis")
async def _(desk: Desk) -> Act:
    await desk.until_near(lambda: desk.profile(desk.customer))
    return lambda: desk.profile(desk.customer, _REDIS)


@scene("GetUserProfile.cold")
async def _(desk: Desk) -> Act:
    who = await desk.somebody()
    return lambda: desk.profile(who)


@scene("GetUserProfile.uncached")
async def _(desk: Desk) -> Act:
    return lambda: desk.profile(desk.customer, _STORE)


@scene("UpdateUserProfile.name")
async def _(desk: Desk) -> Act:
    who = await desk.somebody()
    await desk.until_near(lambda: desk.profile(who))
    request = user.UpdateUserProfileRequest(
        user=user.User(user_id=who.user_id, full_name="Another"),
        update_mask=FieldMask(paths=["full_name"]),
    )
    return lambda: desk.call("UpdateUserProfile", request, who)


@scene("UpdateUserProfile.of_another")
async def _(desk: Desk) -> Act:
    who = await desk.somebody()
    await desk.until_near(lambda: desk.profile(who))
    request = user.UpdateUserProfileRequest(
        user=user.User(user_id=who.user_id, full_name="Another"),
        update_mask=FieldMask(paths=["full_name"]),
    )
    return lambda: desk.call("UpdateUserProfile", request, desk.admin)


@scene("ChangePassword.right")
async def _(desk: Desk) -> Act:
    who = await desk.somebody()
    request = user.ChangePasswordRequest(
        user_id=who.user_id, current_password=who.password, new_password="another long secret"
    )
    return lambda: desk.call("ChangePassword", request, who)


# ---- Inventory


@scene("CreateProduct.new")
async def _(desk: Desk) -> Act:
    request = inventory.CreateProductRequest(product=a_product())
    return lambda: desk.call("CreateProduct", request, desk.admin)


@scene("GetProduct.near")
async def _(desk: Desk) -> Act:
    (product_id,) = await desk.stocked(1)
    await desk.until_near(lambda: desk.product(product_id))
    return lambda: desk.product(product_id)


@scene("GetProduct.redis")
async def _(desk: Desk) -> Act:
    (product_id,) = await desk.stocked(1)
    await desk.until_near(lambda: desk.product(product_id))
    return lambda: desk.product(product_id, _REDIS)


@scene("GetProduct.cold")
async def _(desk: Desk) -> Act:
    (product_id,) = await desk.stocked(1)
    return lambda: desk.product(product_id)


@scene("GetProduct.uncached")
async def _(desk: Desk) -> Act:
    (product_id,) = await desk.stocked(1)
    return lambda: desk.product(product_id, _STORE)


async def _missed(desk: Desk, product_id: str) -> None:
    assert (await refused(desk.product(product_id))).reason == "PRODUCT_NOT_FOUND"


@scene("GetProduct.missing")
async def _(desk: Desk) -> Act:
    return partial(_missed, desk, new_id())


@scene("GetProduct.missing_again")
async def _(desk: Desk) -> Act:
    product_id = new_id()
    await desk.until_near(lambda: desk.batch([product_id]))
    return partial(_missed, desk, product_id)


@scene("BatchGetProducts.near")
async def _(desk: Desk) -> Act:
    product_ids = await desk.stocked(100)
    await desk.until_near(lambda: desk.batch(product_ids))
    return lambda: desk.batch(product_ids)


@scene("BatchGetProducts.redis")
async def _(desk: Desk) -> Act:
    product_ids = await desk.stocked(100)
    await desk.until_near(lambda: desk.batch(product_ids))
    return lambda: desk.batch(product_ids, _REDIS)


@scene("BatchGetProducts.cold")
async def _(desk: Desk) -> Act:
    product_ids = await desk.stocked(100)
    return lambda: desk.batch(product_ids)


@scene("BatchGetProducts.half_cold")
async def _(desk: Desk) -> Act:
    product_ids = await desk.stocked(100)
    await desk.until_near(lambda: desk.batch(product_ids[:60]))
    return lambda: desk.batch(product_ids, _REDIS)


@scene("BatchGetProducts.uncached")
async def _(desk: Desk) -> Act:
    product_ids = await desk.stocked(100)
    return lambda: desk.batch(product_ids, _STORE)


@scene("ListProducts.page")
async def _(desk: Desk) -> Act:
    return lambda: desk.call("ListProducts", inventory.ListProductsRequest(page_size=10))


@scene("UpdateProduct.name")
async def _(desk: Desk) -> Act:
    (product_id,) = await desk.stocked(1)
    await desk.until_near(lambda: desk.product(product_id))
    request = inventory.UpdateProductRequest(
        product=inventory.Product(product_id=product_id, name="Another"),
        update_mask=FieldMask(paths=["name"]),
    )
    return lambda: desk.call("UpdateProduct", request, desk.admin)


@scene("CreateProduct.again")
async def _(desk: Desk) -> Act:
    request = inventory.CreateProductRequest(product=a_product(), request_id=unique("once"))
    await desk.call("CreateProduct", request, desk.admin)
    return lambda: desk.call("CreateProduct", request, desk.admin)


async def _adjustment(desk: Desk) -> inventory.AdjustStockRequest:
    (product_id,) = await desk.stocked(1)
    await desk.until_near(lambda: desk.product(product_id))
    return inventory.AdjustStockRequest(product_id=product_id, delta=1, request_id=unique("once"))


@scene("AdjustStock.new")
async def _(desk: Desk) -> Act:
    request = await _adjustment(desk)
    return lambda: desk.call("AdjustStock", request, desk.admin)


@scene("AdjustStock.again")
async def _(desk: Desk) -> Act:
    request = await _adjustment(desk)
    await desk.call("AdjustStock", request, desk.admin)
    return lambda: desk.call("AdjustStock", request, desk.admin)


@scene("DeleteProduct.present")
async def _(desk: Desk) -> Act:
    (product_id,) = await desk.stocked(1)
    request = inventory.DeleteProductRequest(product_id=product_id)
    return lambda: desk.call("DeleteProduct", request, desk.admin)


@scene("ReserveStock.new")
async def _(desk: Desk) -> Act:
    request = desk.reservation(await desk.stocked(3))
    return lambda: desk.call("ReserveStock", request, desk.shop.service)


@scene("ReserveStock.again")
async def _(desk: Desk) -> Act:
    request = await desk.reserved()
    return lambda: desk.call("ReserveStock", request, desk.shop.service)


@scene("CommitReservation.held")
async def _(desk: Desk) -> Act:
    held = await desk.reserved()
    request = inventory.CommitReservationRequest(reservation_id=held.reservation_id)
    return lambda: desk.call("CommitReservation", request, desk.shop.service)


@scene("ReleaseReservation.held")
async def _(desk: Desk) -> Act:
    held = await desk.reserved()
    request = inventory.ReleaseReservationRequest(reservation_id=held.reservation_id)
    return lambda: desk.call("ReleaseReservation", request, desk.shop.service)


@scene("CommitReservation.again")
async def _(desk: Desk) -> Act:
    held = await desk.reserved()
    request = inventory.CommitReservationRequest(reservation_id=held.reservation_id)
    await desk.call("CommitReservation", request, desk.shop.service)
    return lambda: desk.call("CommitReservation", request, desk.shop.service)


@scene("ReleaseReservation.again")
async def _(desk: Desk) -> Act:
    held = await desk.reserved()
    request = inventory.ReleaseReservationRequest(reservation_id=held.reservation_id)
    await desk.call("ReleaseReservation", request, desk.shop.service)
    return lambda: desk.call("ReleaseReservation", request, desk.shop.service)


@scene("ListHeldReservations.page")
async def _(desk: Desk) -> Act:
    request = inventory.ListHeldReservationsRequest(page_size=10, min_age=Duration())
    return lambda: desk.call("ListHeldReservations", request, desk.shop.service)


# ---- Order


@scene("CreateOrder.new")
async def _(desk: Desk) -> Act:
    await desk.until_near(lambda: desk.profile(desk.customer))
    request = desk.basket(await desk.stocked(3))
    return lambda: desk.call("CreateOrder", request)


@scene("CreateOrder.again")
async def _(desk: Desk) -> Act:
    request = desk.basket(await desk.stocked(3))
    placed: order.CreateOrderResponse = await desk.call("CreateOrder", request)
    await desk.at_rest(placed.order)
    return lambda: desk.call("CreateOrder", request)


@scene("CreateOrder.rejected")
async def _(desk: Desk) -> Act:
    await desk.until_near(lambda: desk.profile(desk.customer))
    request = desk.basket(await desk.stocked(3, stock=0))
    return lambda: desk.call("CreateOrder", request)


@scene("GetOrder.own")
async def _(desk: Desk) -> Act:
    request = order.GetOrderRequest(order_id=(await desk.ordered()).order_id)
    return lambda: desk.call("GetOrder", request)


@scene("ListUserOrders.near")
async def _(desk: Desk) -> Act:
    await desk.ordered()
    await desk.until_near(lambda: desk.orders(desk.customer))
    return lambda: desk.orders(desk.customer)


@scene("ListUserOrders.redis")
async def _(desk: Desk) -> Act:
    await desk.ordered()
    await desk.until_near(lambda: desk.orders(desk.customer))
    return lambda: desk.orders(desk.customer, _REDIS)


@scene("ListUserOrders.cold")
async def _(desk: Desk) -> Act:
    await desk.ordered()
    return lambda: desk.orders(desk.customer)


@scene("ListUserOrders.uncached")
async def _(desk: Desk) -> Act:
    return lambda: desk.orders(desk.customer, _STORE)


@scene("ListUserOrders.second_page")
async def _(desk: Desk) -> Act:
    for _ in range(2):
        await desk.ordered()
    request = order.ListUserOrdersRequest(user_id=desk.customer.user_id, page_size=1)
    first: order.ListUserOrdersResponse = await desk.call("ListUserOrders", request)
    request.page_token = first.next_page_token
    return lambda: desk.call("ListUserOrders", request)


@scene("CancelOrder.confirmed")
async def _(desk: Desk) -> Act:
    request = order.CancelOrderRequest(order_id=(await desk.ordered()).order_id)
    return lambda: desk.call("CancelOrder", request)


@scene("UpdateOrderStatus.shipped")
async def _(desk: Desk) -> Act:
    request = order.UpdateOrderStatusRequest(
        order_id=(await desk.ordered()).order_id, status=order.ORDER_STATUS_SHIPPED
    )
    return lambda: desk.call("UpdateOrderStatus", request, desk.admin)
