"""The RPCs of the three services, from their descriptors."""

from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from shop.inventory.v1 import inventory_pb2
from shop.order.v1 import order_pb2
from shop.user.v1 import user_pb2

SERVICES: dict[str, ServiceDescriptor] = {
    "user": user_pb2.DESCRIPTOR.services_by_name["UserService"],
    "inventory": inventory_pb2.DESCRIPTOR.services_by_name["InventoryService"],
    "order": order_pb2.DESCRIPTOR.services_by_name["OrderService"],
}

METHODS: dict[str, MethodDescriptor] = {
    method.name: method for service in SERVICES.values() for method in service.methods
}


def service_of(method: str) -> str:
    """Return the short name of the service that a method belongs to."""
    return next(
        name for name, service in SERVICES.items() if service is METHODS[method].containing_service
    )


def domain_of(method: str) -> str:
    """Return what ErrorInfo says as the domain of a method's refusals."""
    package: str = SERVICES[service_of(method)].file.package
    return package
