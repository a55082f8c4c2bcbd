import importlib
from collections.abc import Mapping

import pytest
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from shop.common.v1.money_pb2 import Money
from shop.inventory.v1 import inventory_pb2
from shop.order.v1 import order_pb2
from shop.user.v1 import user_pb2

from services.common.rpc.access import PUBLIC, AccessTable, Rule
from services.common.rpc.registration import DEFAULT_MAX_BYTES
from services.common.rpc.transport import MAX_REQUEST_BYTES

DESCRIPTORS: dict[str, ServiceDescriptor] = {
    "user": user_pb2.DESCRIPTOR.services_by_name["UserService"],
    "inventory": inventory_pb2.DESCRIPTOR.services_by_name["InventoryService"],
    "order": order_pb2.DESCRIPTOR.services_by_name["OrderService"],
}
PUBLIC_METHODS = {
    "user": {"RegisterUser", "AuthenticateUser", "RefreshTokens", "RevokeTokens"},
    "inventory": {"GetProduct", "BatchGetProducts", "ListProducts"},
    "order": set[str](),
}


def text(characters: int) -> str:
    return "😀" * characters


ID, NAME, TOKEN, LONG = "f" * 24, "n" * 64, "t" * 512, 2**63 - 1
A_LOT_OF_PRODUCT = inventory_pb2.Product(
    product_id=ID,
    sku=NAME,
    name=text(200),
    description=text(4_000),
    category=NAME,
    price=Money(currency_code="EUR", minor_units=LONG),
    stock=LONG,
    tags=[text(50)] * 20,
    version=LONG,
    create_time=Timestamp(seconds=LONG, nanos=2**31 - 1),
    update_time=Timestamp(seconds=LONG, nanos=2**31 - 1),
)
A_LOT_OF_USER = user_pb2.User(user_id=ID, username=NAME, email="e" * 254, full_name=text(100))
PASSWORD = text(128)
LONGEST: Mapping[str, Message] = {
    "RegisterUser": user_pb2.RegisterUserRequest(
        username=NAME, email="e" * 254, password=PASSWORD, full_name=text(100)
    ),
    "AuthenticateUser": user_pb2.AuthenticateUserRequest(username=text(254), password=PASSWORD),
    "UpdateUserProfile": user_pb2.UpdateUserProfileRequest(
        user=A_LOT_OF_USER, update_mask=FieldMask(paths=["full_name"] * 10)
    ),
    "ChangePassword": user_pb2.ChangePasswordRequest(
        user_id=ID, current_password=PASSWORD, new_password=PASSWORD
    ),
    "RefreshTokens": user_pb2.RefreshTokensRequest(refresh_token="t" * 256),
    "CreateProduct": inventory_pb2.CreateProductRequest(product=A_LOT_OF_PRODUCT),
    "UpdateProduct": inventory_pb2.UpdateProductRequest(
        product=A_LOT_OF_PRODUCT, update_mask=FieldMask(paths=["description"] * 100)
    ),
    "BatchGetProducts": inventory_pb2.BatchGetProductsRequest(product_ids=[ID] * 100),
    "ListProducts": inventory_pb2.ListProductsRequest(
        page_size=1, page_token=TOKEN, category=text(64), query=text(200)
    ),
    "ReserveStock": inventory_pb2.ReserveStockRequest(
        reservation_id=NAME,
        items=[inventory_pb2.ReservationItem(product_id=ID, quantity=-1)] * 100,
    ),
    "CreateOrder": order_pb2.CreateOrderRequest(
        request_id=NAME, items=[order_pb2.OrderItem(product_id=ID, quantity=-1)] * 100
    ),
    "ListUserOrders": order_pb2.ListUserOrdersRequest(user_id=ID, page_size=-1, page_token=TOKEN),
}


def max_bytes(house: str) -> Mapping[str, int]:
    sizes: Mapping[str, int] = importlib.import_module(f"services.{house}.access").MAX_BYTES
    return sizes


def table(house: str) -> AccessTable:
    access: AccessTable = importlib.import_module(f"services.{house}.access").ACCESS
    return access


@pytest.mark.parametrize("house", DESCRIPTORS)
def test_every_rpc_has_a_row_and_every_row_an_rpc(house: str) -> None:
    rows = table(house)
    assert set(rows) == {method.name for method in DESCRIPTORS[house].methods}
    assert all(isinstance(rule, Rule) for rule in rows.values())


@pytest.mark.parametrize("house", DESCRIPTORS)
def test_only_these_methods_are_public(house: str) -> None:
    public = {name for name, rule in table(house).items() if rule.permits is None}
    assert public == PUBLIC_METHODS[house]
    assert all(table(house)[name] is PUBLIC for name in public)


@pytest.mark.parametrize("house", DESCRIPTORS)
def test_the_longest_request_finds_room_and_not_much_more(house: str) -> None:
    sizes = max_bytes(house)
    methods = {method.name for method in DESCRIPTORS[house].methods}
    assert set(sizes) <= methods & set(LONGEST)
    assert max(sizes.values()) <= MAX_REQUEST_BYTES
    for name in methods & set(LONGEST):
        needed = LONGEST[name].ByteSize()
        allowed = sizes.get(name, DEFAULT_MAX_BYTES)
        assert needed <= allowed
        assert name not in sizes or allowed <= 5 * needed
