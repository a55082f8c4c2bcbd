"""One service as a process, or as a supervisor with workers, and what can be seen of it."""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample
from shop.inventory.v1.inventory_pb2 import GetProductRequest, ListProductsRequest

from services.common.clock import utc_now
from services.common.mongo import MongoDriver, MongoOptions, open_mongo
from services.common.settings import PREFIX
from services.inventory.repository import prepare_schema
from services.stack.credentials import open_credentials
from services.stack.folder import DataFolder
from services.stack.processes import Child
from services.stack.services import ServicePorts, Shop, running_service
from tests.slow.load.support.client import Plan

SERVICE = "shop.inventory.v1.InventoryService"
GET = f"/{SERVICE}/GetProduct"
LIST = f"/{SERVICE}/ListProducts"
BATCH = f"/{SERVICE}/BatchGetProducts"

UNHURRIED: Final = {
    "SHOP_CONCURRENCY_LIMIT": "off",
    "SHOP_MONGO_TIMEOUT_MS": "5000",
    "SHOP_REDIS_TIMEOUT_MS": "5000",
}
"""How a service runs where a busy machine shall not look like a busy service."""


@dataclass(frozen=True, slots=True)
class Stores:
    """The stores of one test, with a product in them."""

    mongo_uri: str
    redis_url: str
    database: str
    product_id: str


@dataclass(frozen=True, slots=True)
class Instance:
    """A running Inventory service."""

    child: Child
    stores: Stores
    port: int
    metrics_port: int
    folder: DataFolder

    @property
    def pid(self) -> int:
        """The process: the supervisor, if there are workers."""
        return self.child.process.pid

    @property
    def address(self) -> str:
        """Where it is called."""
        return f"127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """What it has logged."""
        return self.child.log.read_text()

    def reads(self, seconds: float, **how: object) -> Plan:
        """Return a plan of reading the product."""
        message = GetProductRequest(product_id=self.stores.product_id)
        return Plan(self.address, GET, message.SerializeToString().hex(), seconds, **how)  # type: ignore[arg-type]

    def searches(self, seconds: float, size: int, **how: object) -> Plan:
        """Return a plan of searching the catalogue, which no cache shortens."""
        message = ListProductsRequest(query="lamp", page_size=size)
        return Plan(self.address, LIST, message.SerializeToString().hex(), seconds, **how)  # type: ignore[arg-type]

    async def samples(self) -> list[Sample]:
        """Return its figures."""
        return await asyncio.to_thread(scrape, self.metrics_port)

    async def has_served(self, calls: int) -> bool:
        """Whether it has answered so many reads of the product."""
        answered = await self.figure("grpc_server_handled_total", grpc_method="GetProduct")
        return answered >= calls

    async def figure(self, name: str, **labels: str) -> float:
        """Return the sum of the samples with this name and these labels."""
        return sum(
            sample.value
            for sample in await self.samples()
            if sample.name == name and labels.items() <= sample.labels.items()
        )


def scrape(port: int) -> list[Sample]:
    """Return the figures that a process gives at a port."""
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as page:
        text = page.read().decode()
    return [s for family in text_string_to_metric_families(text) for s in family.samples]


def children_of(pid: int) -> list[int]:
    """Return the processes that a process has started and that have not ended."""
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [child for child in map(int, path.read_text().split()) if is_alive(child)]


def is_alive(pid: int) -> bool:
    """Whether the process runs."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def open_files(pid: int) -> int:
    """Return how many descriptors a process has open, its connections among them."""
    return len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208 (the links need not be read)


def resident_bytes(pid: int) -> int:
    """Return how much memory a process holds."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


async def stocked(mongo_uri: str, redis_url: str, products: int = 120) -> Stores:
    """Return a database of its own with so many lamps in it."""
    database = f"load_{secrets.token_hex(4)}"
    ids = [secrets.token_hex(12) for _ in range(products)]
    options = MongoOptions(mongo_uri, MongoDriver.PYMONGO, 10_000)
    async with open_mongo(options, database) as mongo:
        await prepare_schema(mongo)
        for product_id in ids:
            await mongo.collection("products").insert_one(_lamp(product_id))
    return Stores(mongo_uri, redis_url, database, ids[0])


def _lamp(product_id: str) -> dict[str, object]:
    return {
        "_id": product_id,
        "sku": f"LMP-{product_id}",
        "name": "Desk lamp",
        "category": "lighting",
        "description": "A lamp for a desk, with an arm that stays where it is put. " * 3,
        "price": {"currency_code": "EUR", "minor_units": 4_900},
        "stock": 120,
        "reserved": 0,
        "sold": 0,
        "version": 1,
        "tags": ["lamp", "desk"],
        "create_time": utc_now(),
        "update_time": utc_now(),
    }


@asynccontextmanager
async def inventory(
    path: Path, stores: Stores, ports: tuple[int, int], transport: str, **variables: str
) -> AsyncIterator[Instance]:
    """Run the Inventory service at a port, with its figures at another; it is SERVING."""
    folder = DataFolder(path)
    folder.prepare()
    port, metrics_port = ports
    inherited = {name: v for name, v in os.environ.items() if not name.startswith(PREFIX)}
    shop = Shop(
        mongo_uri=stores.mongo_uri,
        redis_url=stores.redis_url,
        credentials=open_credentials(folder.secrets),
        ports=ServicePorts(inventory=port, inventory_metrics=metrics_port),
        variables={
            **inherited,
            "SHOP_TRANSPORT": transport,
            "SHOP_INVENTORY_DATABASE": stores.database,
            "SHOP_LOG_LEVEL": "warning",
            **variables,
        },
    )
    async with running_service(folder, shop, "inventory") as child:
        yield Instance(child, stores, port, metrics_port, folder)
