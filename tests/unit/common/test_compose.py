from typing import Any

from google.protobuf.descriptor import ServiceDescriptor
from shop.order.v1 import order_pb2

from services.common.rpc.compose import compose
from services.common.rpc.interceptors.base import MethodInterceptor
from services.common.rpc.methods import Context, Method
from tests.unit.common.fakes import FakeContext

DESCRIPTOR: ServiceDescriptor = order_pb2.DESCRIPTOR.services_by_name["OrderService"]


class Tracing(MethodInterceptor):
    def __init__(self, name: str, trace: list[str]) -> None:
        self._name = name
        self._trace = trace

    def bind(self, method: Method, method_name: str) -> Method:
        async def call(request: Any, context: Context) -> Any:
            self._trace.append(f"{self._name} before {method_name}")
            response = await method(request, context)
            self._trace.append(f"{self._name} after")
            return response

        return call


class Servicer:
    """Answers each method with its name."""

    def __getattr__(self, name: str) -> Any:
        async def method(request: Any, context: Context) -> str:
            return f"{name} of {request}"

        return method


async def test_the_first_interceptor_is_the_outermost() -> None:
    trace: list[str] = []
    composed = compose(Servicer(), DESCRIPTOR, [Tracing("outer", trace), Tracing("inner", trace)])
    answer = await composed.GetOrder("5", FakeContext().context)
    assert answer == "GetOrder of 5"
    assert trace == [
        "outer before /shop.order.v1.OrderService/GetOrder",
        "inner before /shop.order.v1.OrderService/GetOrder",
        "inner after",
        "outer after",
    ]


async def test_every_method_of_the_contract_is_there_and_answers_for_itself() -> None:
    composed = compose(Servicer(), DESCRIPTOR, [Tracing("only", [])])
    assert set(vars(composed)) == {method.name for method in DESCRIPTOR.methods}
    for name, method in vars(composed).items():
        assert await method("x", FakeContext().context) == f"{name} of x"
