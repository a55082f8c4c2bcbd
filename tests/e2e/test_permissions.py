"""Who may call what: every RPC of the contracts, by every kind of caller."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from grpc.aio import AioRpcError
from shop.inventory.v1 import inventory_pb2
from shop.order.v1 import order_pb2
from shop.user.v1 import user_pb2

from services.common.auth.principal import Role
from tests.e2e.support.contracts import METHODS, domain_of, service_of
from tests.e2e.support.people import UNKNOWN_ID, Admin, Customer
from tests.e2e.support.refusals import outcome, read, refused
from tests.e2e.support.shop_front import ShopFront
from tests.e2e.support.tokens import Mint, claims, foreign_key, signed

OK: Final = grpc.StatusCode.OK
INVALID: Final = grpc.StatusCode.INVALID_ARGUMENT
NOT_FOUND: Final = grpc.StatusCode.NOT_FOUND
FAILED_PRECONDITION: Final = grpc.StatusCode.FAILED_PRECONDITION
UNAUTHENTICATED: Final = grpc.StatusCode.UNAUTHENTICATED
PERMISSION_DENIED: Final = grpc.StatusCode.PERMISSION_DENIED


class Who(Enum):
    """Every kind of caller."""

    NOBODY = auto()
    EXPIRED = auto()
    """The owner and administrator of old."""
    FORGED = auto()
    """Somebody who signs with a key of their own."""
    FORGED_KEY_ID = auto()
    """The same, under the name of a trusted key."""
    SERVICE_AS_USER_ISSUER = auto()
    """A service that signs an administrator's token as the User service would."""
    SERVICE_AS_ADMIN = auto()
    """A service that says in its own token that it is an administrator."""
    STRANGER = auto()
    """A customer to whom the object does not belong."""
    OWNER = auto()
    ADMIN = auto()
    SERVICE = auto()


UNPROVEN: Final = (
    Who.NOBODY,
    Who.EXPIRED,
    Who.FORGED,
    Who.FORGED_KEY_ID,
    Who.SERVICE_AS_USER_ISSUER,
)


@dataclass(frozen=True, slots=True)
class World:
    """What the requests are about; all of it belongs to the owner."""

    owner: str
    product: str
    confirmed_order: str
    cancelled_order: str


@dataclass(frozen=True, slots=True)
class Row:
    """A harmless request, its status when it is permitted, and to whom what is refused."""

    request: Callable[[World], Message]
    permitted: grpc.StatusCode
    refused: Mapping[Who, grpc.StatusCode]


def _public(request: Callable[[World], Message], permitted: grpc.StatusCode = OK) -> Row:
    return Row(request, permitted, {})


def _guarded(
    request: Callable[[World], Message],
    permitted: grpc.StatusCode = OK,
    *,
    to: tuple[Who, ...],
    others: grpc.StatusCode = PERMISSION_DENIED,
) -> Row:
    """Permit the request to some. What a service claims to be makes it no more than a service."""
    allowed = {*to, Who.SERVICE_AS_ADMIN} if Who.SERVICE in to else set(to)
    return Row(
        request,
        permitted,
        {who: UNAUTHENTICATED if who in UNPROVEN else others for who in Who if who not in allowed},
    )


_OWNER_ADMIN_SERVICE: Final = (Who.OWNER, Who.ADMIN, Who.SERVICE)

ROWS: Final[Mapping[str, Row]] = {
    "RegisterUser": _public(lambda _: user_pb2.RegisterUserRequest(), INVALID),
    "AuthenticateUser": _public(lambda _: user_pb2.AuthenticateUserRequest(), INVALID),
    "RefreshTokens": _public(lambda _: user_pb2.RefreshTokensRequest(), INVALID),
    "RevokeTokens": _public(lambda _: user_pb2.RevokeTokensRequest(refresh_token="no.such")),
    "GetUserProfile": _guarded(
        lambda w: user_pb2.GetUserProfileRequest(user_id=w.owner), to=_OWNER_ADMIN_SERVICE
    ),
    "UpdateUserProfile": _guarded(
        lambda w: user_pb2.UpdateUserProfileRequest(
            user=user_pb2.User(user_id=w.owner, full_name="Owner"),
            update_mask=FieldMask(paths=["full_name"]),
        ),
        to=(Who.OWNER, Who.ADMIN),
    ),
    "ChangePassword": _guarded(
        lambda w: user_pb2.ChangePasswordRequest(user_id=w.owner), INVALID, to=(Who.OWNER,)
    ),
    "CreateProduct": _guarded(
        lambda _: inventory_pb2.CreateProductRequest(), INVALID, to=(Who.ADMIN,)
    ),
    "GetProduct": _public(lambda w: inventory_pb2.GetProductRequest(product_id=w.product)),
    "BatchGetProducts": _public(
        lambda w: inventory_pb2.BatchGetProductsRequest(product_ids=[w.product])
    ),
    "ListProducts": _public(lambda _: inventory_pb2.ListProductsRequest(page_size=1)),
    "UpdateProduct": _guarded(
        lambda w: inventory_pb2.UpdateProductRequest(
            product=inventory_pb2.Product(product_id=w.product, name="Kettle"),
            update_mask=FieldMask(paths=["name"]),
        ),
        to=(Who.ADMIN,),
    ),
    "AdjustStock": _guarded(
        lambda _: inventory_pb2.AdjustStockRequest(
            product_id=UNKNOWN_ID, delta=1, request_id="no-such"
        ),
        NOT_FOUND,
        to=(Who.ADMIN,),
    ),
    "DeleteProduct": _guarded(
        lambda _: inventory_pb2.DeleteProductRequest(product_id=UNKNOWN_ID),
        NOT_FOUND,
        to=(Who.ADMIN,),
    ),
    "ReserveStock": _guarded(
        lambda _: inventory_pb2.ReserveStockRequest(), INVALID, to=(Who.SERVICE,)
    ),
    "CommitReservation": _guarded(
        lambda _: inventory_pb2.CommitReservationRequest(reservation_id="no-such"),
        NOT_FOUND,
        to=(Who.SERVICE,),
    ),
    "ReleaseReservation": _guarded(
        lambda _: inventory_pb2.ReleaseReservationRequest(reservation_id="no-such-either"),
        to=(Who.SERVICE,),
    ),
    "ListHeldReservations": _guarded(
        lambda _: inventory_pb2.ListHeldReservationsRequest(), to=(Who.SERVICE,)
    ),
    "CreateOrder": _guarded(
        lambda _: order_pb2.CreateOrderRequest(),
        INVALID,
        to=(Who.OWNER, Who.STRANGER, Who.ADMIN),
    ),
    "GetOrder": _guarded(
        lambda w: order_pb2.GetOrderRequest(order_id=w.confirmed_order),
        to=_OWNER_ADMIN_SERVICE,
        others=NOT_FOUND,
    ),
    "ListUserOrders": _guarded(
        lambda w: order_pb2.ListUserOrdersRequest(user_id=w.owner), to=_OWNER_ADMIN_SERVICE
    ),
    "CancelOrder": _guarded(
        lambda w: order_pb2.CancelOrderRequest(order_id=w.cancelled_order),
        to=_OWNER_ADMIN_SERVICE,
        others=NOT_FOUND,
    ),
    "UpdateOrderStatus": _guarded(
        lambda w: order_pb2.UpdateOrderStatusRequest(
            order_id=w.confirmed_order, status=order_pb2.ORDER_STATUS_DELIVERED
        ),
        FAILED_PRECONDITION,
        to=(Who.ADMIN, Who.SERVICE),
    ),
}


@pytest.fixture(scope="module")
async def world(shop: ShopFront, admin: Admin, customer: Customer) -> World:
    product = await admin.add_product()
    confirmed = await customer.buy({product: 1})
    cancelled = await customer.cancel((await customer.buy({product: 1})).order_id)
    await shop.ledger.at_rest(product)
    return World(customer.user_id, product, confirmed.order_id, cancelled.order_id)


@pytest.fixture(scope="module")
def tokens(
    shop: ShopFront, admin: Admin, customer: Customer, stranger: Customer
) -> Mapping[Who, str]:
    mint, foreign = shop.mint, foreign_key()
    admins = claims(customer.user_id, role=Role.ADMIN.value)
    return {
        Who.NOBODY: "",
        Who.EXPIRED: mint.expired(customer.user_id, Role.ADMIN),
        Who.FORGED: signed(foreign, admins),
        Who.FORGED_KEY_ID: signed(foreign, admins, kid=mint.user_key.key_id),
        Who.SERVICE_AS_USER_ISSUER: signed(mint.order_key, admins),
        Who.STRANGER: stranger.token,
        Who.OWNER: customer.token,
        Who.ADMIN: admin.token,
    }


def test_there_is_a_row_for_every_rpc_and_no_other() -> None:
    assert set(ROWS) == set(METHODS)


@pytest.mark.parametrize("name", METHODS)
async def test_a_call_is_permitted_or_refused_as_its_row_says(
    name: str, shop: ShopFront, world: World, tokens: Mapping[Who, str]
) -> None:
    row = ROWS[name]
    service = METHODS[name].containing_service.full_name
    codes = {}
    for who in Who:
        token = _of_service(shop.mint, who, service) or tokens[who]
        try:
            await shop.bearer(token).call(shop.method(name), row.request(world))
        except AioRpcError as error:
            refusal = read(error)
            codes[who] = refusal.code
            refusal.confirm_complete(domain_of(name))
        else:
            codes[who] = OK

    assert codes == {who: row.refused.get(who, row.permitted) for who in Who}


def _of_service(mint: Mint, who: Who, called: str) -> str:
    """Return the token with which a service calls another one, if it is one who calls."""
    if who is Who.SERVICE:
        return mint.service(called)
    if who is Who.SERVICE_AS_ADMIN:
        return signed(mint.order_key, claims(UNKNOWN_ID, iss="order", aud=called))
    return ""


@pytest.mark.parametrize("name", METHODS)
async def test_a_service_is_believed_by_the_one_that_its_token_is_for_alone(
    name: str, shop: ShopFront, world: World
) -> None:
    called = METHODS[name].containing_service.full_name
    audiences = {method.containing_service.full_name for method in METHODS.values()} | {"shop"}
    if ROWS[name].refused:
        for audience in audiences - {called}:
            caller = shop.bearer(shop.mint.service(audience))
            answer = caller.call(shop.method(name), ROWS[name].request(world))
            assert await outcome(answer) is UNAUTHENTICATED


@pytest.mark.parametrize("name", ["GetOrder", "CancelOrder"])
async def test_the_order_of_another_answers_as_one_that_does_not_exist(
    name: str, shop: ShopFront, world: World, stranger: Customer
) -> None:
    def request(order_id: str) -> Any:
        return {"GetOrder": order_pb2.GetOrderRequest, "CancelOrder": order_pb2.CancelOrderRequest}[
            name
        ](order_id=order_id)

    real = await refused(stranger.call(shop.method(name), request(world.confirmed_order)))
    none = await refused(stranger.call(shop.method(name), request(UNKNOWN_ID)))

    assert real.code is none.code is NOT_FOUND
    assert real.reason == none.reason
    assert real.message.replace(world.confirmed_order, "") == none.message.replace(UNKNOWN_ID, "")
    assert (real.metadata or {}).keys() == (none.metadata or {}).keys()


async def test_the_services_permit_nothing_to_a_wrong_scheme(
    shop: ShopFront, customer: Customer
) -> None:
    request = user_pb2.GetUserProfileRequest(user_id=customer.user_id)
    for value in (customer.token, f"Basic {customer.token}", "Bearer", "Bearer "):
        call = shop.users.GetUserProfile(request, metadata=(("authorization", value),), timeout=10)
        assert await outcome(call) is UNAUTHENTICATED


def test_services_are_named_as_their_contracts_are() -> None:
    assert {service_of(name) for name in METHODS} == {"user", "inventory", "order"}
