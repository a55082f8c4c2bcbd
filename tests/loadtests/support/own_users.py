"""Users of one's own for Locust's command, on nothing but ``GrpcUser``.

It prints as JSON what they have heard, when Locust ends.
"""

import json
import os
import sys
from typing import Any, ClassVar

import grpc
from locust import constant, events
from shop.inventory.v1.inventory_pb2 import GetProductRequest
from shop.inventory.v1.inventory_pb2_grpc import InventoryServiceStub

from loadtests.grpc_user import GrpcUser
from loadtests.timing import Heard

_heard: list[Heard] = []


class Reader(GrpcUser):
    """Reads one product now and then."""

    wait_time = constant(0.02)
    timeout_s = 0.5

    def on_start(self) -> None:
        """Open a channel."""
        super().on_start()
        self.inventory = InventoryServiceStub(self.channel(os.environ["OWN_TARGET"]))

    def heard(self, call: Heard) -> None:
        """Keep what was heard."""
        super().heard(call)
        _heard.append(call)

    def read(self) -> None:
        """Read a product, whatever comes of it."""
        try:
            self.inventory.GetProduct(GetProductRequest(product_id="0" * 24))
        except grpc.RpcError:
            return

    tasks: ClassVar[list[Any]] = [read]


def _print(**_: Any) -> None:
    sys.stdout.write(json.dumps([call._asdict() for call in _heard]) + "\n")


events.quit.add_listener(_print)
