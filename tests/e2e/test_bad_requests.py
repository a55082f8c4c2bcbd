"""What the client of a bad request is told; tests/unit/test_bad_requests.py tries every rule."""

from typing import Final

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from shop.inventory.v1 import inventory_pb2 as inv
from shop.order.v1 import order_pb2 as ord_
from shop.user.v1 import user_pb2 as usr

from tests.bad_requests import BAD, checkout, creation
from tests.e2e.support.contracts import METHODS, domain_of
from tests.e2e.support.people import Admin, Caller, Customer, unique
from tests.e2e.support.refusals import outcome, refused
from tests.e2e.support.running_shop import RunningShop

PUBLIC: Final = {"RegisterUser", "AuthenticateUser", "RefreshTokens", "RevokeTokens"}
FOR_SERVICES: Final = {
    "ReserveStock",
    "CommitReservation",
    "ReleaseReservation",
    "ListHeldReservations",
}
FOR_THEIR_OWNER: Final = {"ChangePassword"}


@pytest.fixture
def callers(shop: RunningShop, admin: Admin, customer: Customer) -> dict[str, Caller]:
    """Who may make the call, so that only the request can be at fault."""
    special: dict[str, Caller] = {
        **dict.fromkeys(PUBLIC, shop.nobody),
        **dict.fromkeys(FOR_SERVICES, shop.service),
        **dict.fromkeys(FOR_THEIR_OWNER, customer),
    }
    return {method: special.get(method, admin) for method in METHODS}


@pytest.mark.parametrize("method", METHODS)
async def test_the_client_of_a_bad_request_is_told_its_fields(
    method: str, shop: RunningShop, callers: dict[str, Caller], customer: Customer
) -> None:
    bad = max((bad for bad in BAD if bad.method == method), key=lambda bad: len(bad.fields))
    if isinstance(bad.request, usr.ChangePasswordRequest):
        bad.request.user_id = customer.user_id
    call_id = unique("call")

    refusal = await refused(callers[method].call(shop.method(method), bad.request, call_id=call_id))

    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert set(refusal.fields or ()) == set(bad.fields)
    assert all(refusal.descriptions)
    assert bad.fields[0] in refusal.message
    refusal.confirm_complete(domain_of(method))
    assert refusal.request_id == call_id


async def test_a_page_token_is_good_for_its_own_list_alone(
    shop: RunningShop, admin: Admin, customer: Customer, stranger: Customer, product_id: str
) -> None:
    category = unique("category")
    for _ in range(2):
        await admin.call(shop.inventory.CreateProduct, creation(category=category))
    for _ in range(2):
        await customer.buy({product_id: 1})
    for _ in range(2):
        await shop.service.reserve(unique("page"), {product_id: 1})
    list_products, list_orders = shop.inventory.ListProducts, shop.orders.ListUserOrders
    list_held = shop.inventory.ListHeldReservations
    now = Timestamp()
    now.GetCurrentTime()
    in_category = await admin.call(
        list_products, inv.ListProductsRequest(page_size=1, category=category)
    )
    own = await admin.call(
        list_orders, ord_.ListUserOrdersRequest(user_id=customer.user_id, page_size=1)
    )
    held = await shop.service.call(
        list_held, inv.ListHeldReservationsRequest(page_size=1, create_time_before=now)
    )
    assert in_category.next_page_token
    assert own.next_page_token
    assert held.next_page_token

    for answer in (
        admin.call(list_products, inv.ListProductsRequest(page_token=in_category.next_page_token)),
        admin.call(
            list_products,
            inv.ListProductsRequest(
                page_token=in_category.next_page_token, category=category, query="kettle"
            ),
        ),
        admin.call(list_products, inv.ListProductsRequest(page_token=own.next_page_token)),
        admin.call(
            list_orders,
            ord_.ListUserOrdersRequest(user_id=stranger.user_id, page_token=own.next_page_token),
        ),
        shop.service.call(
            list_held,
            inv.ListHeldReservationsRequest(
                page_token=held.next_page_token, create_time_before=Timestamp(seconds=10**9)
            ),
        ),
    ):
        refusal = await refused(answer)
        assert (refusal.code, refusal.fields) == (
            grpc.StatusCode.INVALID_ARGUMENT,
            ["page_token"],
        )


async def test_an_answer_with_very_much_to_complain_about_still_arrives(
    shop: RunningShop, customer: Customer
) -> None:
    worst = checkout(*[("x" * 100, -1)] * 100)

    refusal = await refused(customer.call(shop.orders.CreateOrder, worst))

    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert "items[0].product_id" in (refusal.fields or ())
    refusal.confirm_complete("shop.order.v1")


async def test_a_message_that_is_too_large_is_refused_and_the_service_lives(
    shop: RunningShop, admin: Admin
) -> None:
    for characters in (60_000, 1_000_000, 2_000_000):
        huge = creation(description="x" * characters)

        code = await outcome(admin.call(shop.inventory.CreateProduct, huge))

        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert await shop.health("inventory") == "SERVING"
