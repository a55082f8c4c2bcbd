"""A client that knows nothing but ``proto/`` and grpcio.

Run as a file with ``PYTHONPATH=proto`` and the addresses of the three services, a product id
and a name nobody has; it prints what it got as JSON.
"""

import importlib.util
import json
import sys

import grpc
from shop.inventory.v1 import inventory_pb2
from shop.inventory.v1.inventory_pb2_grpc import InventoryServiceStub
from shop.order.v1 import order_pb2
from shop.order.v1.order_pb2_grpc import OrderServiceStub
from shop.user.v1 import user_pb2
from shop.user.v1.user_pb2_grpc import UserServiceStub


def main(user: str, inventory: str, order: str, product_id: str, username: str) -> None:
    users = UserServiceStub(grpc.insecure_channel(user))
    products = InventoryServiceStub(grpc.insecure_channel(inventory))
    orders = OrderServiceStub(grpc.insecure_channel(order))
    users.RegisterUser(
        user_pb2.RegisterUserRequest(
            username=username,
            email=f"{username}@example.com",
            password="only-for-this-test",
            full_name="Plain Client",
        ),
        timeout=10,
    )
    login = users.AuthenticateUser(
        user_pb2.AuthenticateUserRequest(username=username, password="only-for-this-test"),
        timeout=10,
    )
    token = (("authorization", f"Bearer {login.access_token}"),)
    placed = orders.CreateOrder(
        order_pb2.CreateOrderRequest(
            request_id="plain", items=[order_pb2.OrderItem(product_id=product_id, quantity=2)]
        ),
        timeout=10,
        metadata=token,
    )
    product = products.GetProduct(
        inventory_pb2.GetProductRequest(product_id=product_id), timeout=10
    )
    profile = users.GetUserProfile(
        user_pb2.GetUserProfileRequest(user_id=login.user_id), timeout=10, metadata=token
    )
    listed = orders.ListUserOrders(
        order_pb2.ListUserOrdersRequest(user_id=login.user_id), timeout=10, metadata=token
    )
    result = {
        "knows_services": importlib.util.find_spec("services") is not None,
        "user_id": login.user_id,
        "username": profile.user.username,
        "status": order_pb2.OrderStatus.Name(placed.order.status),
        "order_id": placed.order.order_id,
        "total": placed.order.total.minor_units,
        "stock": product.product.stock,
        "listed": [order.order_id for order in listed.orders],
    }
    sys.stdout.write(json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
