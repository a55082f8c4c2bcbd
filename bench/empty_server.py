"""A server that does nothing but answer: ``python -m bench.empty_server <transport>``.

It imports next to nothing, so that it runs on any grpcio release. It writes its port and serves
until its standard input ends.
"""

import asyncio
import sys
from typing import Any, Final

import uvloop
from shop.common.v1.money_pb2 import Money
from shop.inventory.v1 import inventory_pb2

from bench import lamp
from services.common.rpc.registration import register
from services.common.rpc.transport import Endpoint, Transport, open_server

INVENTORY: Final = inventory_pb2.DESCRIPTOR.services_by_name["InventoryService"]
PRODUCT_ID: Final = "0123456789abcdef01234567"
_ANSWER: Final = inventory_pb2.GetProductResponse(
    product=inventory_pb2.Product(
        product_id=PRODUCT_ID,
        sku="LMP-0001",
        name=lamp.NAME,
        description=lamp.DESCRIPTION,
        category=lamp.CATEGORY,
        price=Money(currency_code=lamp.CURRENCY, minor_units=lamp.CENTS),
        stock=lamp.STOCK,
        tags=lamp.TAGS,
        version=1,
    )
)


class EmptyHandler:
    """Does nothing but answer."""

    async def answer(self, _request: Any, _context: Any) -> inventory_pb2.GetProductResponse:
        """Return the prepared answer."""
        return _ANSWER

    def __getattr__(self, _method: str) -> Any:
        return self.answer


async def serve(servicer: Any, transport: str) -> None:
    """Serve the Inventory service on a free port until the standard input ends."""
    server, port = open_server(Endpoint("127.0.0.1:0", Transport(transport)))
    register(servicer, INVENTORY, server)
    await server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    await until_input_ends()
    await server.stop(0)


async def until_input_ends() -> None:
    """Wait until whoever started the process closes its standard input."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    await reader.read()


if __name__ == "__main__":
    uvloop.run(serve(EmptyHandler(), sys.argv[1]))
