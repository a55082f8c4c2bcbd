"""What an RPC method is to the code around it."""

from collections.abc import Awaitable, Callable
from typing import Any

from grpc.aio import ServicerContext

Context = ServicerContext[Any, Any]
Method = Callable[[Any, Context], Awaitable[Any]]
