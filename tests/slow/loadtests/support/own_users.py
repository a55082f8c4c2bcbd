"""Users of one's own for Locust's command, on nothing but ``GrpcUser``.

They end when each has made ``OWN_CALLS`` calls, of ``OWN_TIMEOUT_S`` seconds at most; what they
have heard is then printed as JSON.
"""

import json
import os
import sys
from collections import Counter
from typing import Any, ClassVar

import gevent
import grpc
from locust import constant, events
from shop.inventory.v1.inventory_pb2 import GetProductRequest
from shop.inventory.v1.inventory_pb2_grpc import InventoryServiceStub

from loadtests.grpc_user import GrpcUser
from loadtests.timing import Heard

_CALLS = int(os.environ["OWN_CALLS"])

_heard: list[Heard] = []
_made: Counter[int] = Counter()


class Reader(GrpcUser):
    """Reads one product now and then."""

    wait_time = constant(0.02)
    timeout_s = float(os.environ["OWN_TIMEOUT_S"])

    def on_start(self) -> None:
        """Open a channel."""
        super().on_start()
        self.inventory = InventoryServiceStub(self.channel(os.environ["OWN_TARGET"]))

    def heard(self, call: Heard) -> None:
        """Keep what was heard."""
        super().heard(call)
        _heard.append(call)
        _made[id(self)] += 1
        runner = self.environment.runner
        all_have = len(_made) == runner.target_user_count and min(_made.values()) >= _CALLS
        if all_have and _made[id(self)] == _CALLS:
            gevent.spawn(runner.quit)

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
