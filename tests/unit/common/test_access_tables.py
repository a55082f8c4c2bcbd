import importlib

import pytest
from google.protobuf.descriptor import ServiceDescriptor
from shop.inventory.v1 import inventory_pb2
from shop.order.v1 import order_pb2
from shop.user.v1 import user_pb2

from services.common.rpc.access import PUBLIC, AccessTable, Rule

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
