"""The passwords of the stores change while a service goes on, one process after the other."""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from grpc import aio
from pymongo import AsyncMongoClient
from redis.asyncio import Redis
from shop.inventory.v1 import inventory_pb2
from shop.inventory.v1.inventory_pb2_grpc import InventoryServiceStub

from services.common.auth.principal import Role
from services.stack.credentials import Credentials, open_credentials
from services.stack.ports import claimed_ports
from services.stack.processes import Child, running
from services.stack.services import ServicePorts, Shop
from tests.e2e.support.ledger import eventually
from tests.e2e.support.people import a_product, unique
from tests.e2e.support.shop_front import ask_health
from tests.e2e.support.tokens import Mint

WITHIN_S = 60.0
DATABASE = unique("e2e-passwords")
ADMIN_ID = "a" * 24

pytestmark = pytest.mark.timeout(240)


@dataclass(frozen=True, slots=True)
class Instance:
    """A process of the Inventory service."""

    child: Child
    channel: aio.Channel
    token: str

    async def is_up(self, component: str = "") -> bool:
        """Whether it, or what it depends on by this name, serves."""
        with suppress(aio.AioRpcError):  # it is not listening yet
            return await ask_health(self.channel, component) == "SERVING"
        return False

    async def add(self) -> str:
        """Add a product, so that both stores are written to; return its id."""
        answer = await InventoryServiceStub(self.channel).CreateProduct(
            inventory_pb2.CreateProductRequest(product=a_product()),
            timeout=10,
            metadata=self._metadata,
        )
        return answer.product.product_id

    async def source(self, product_id: str) -> str:
        """Read a product past the near cache and return where the answer is from."""
        call = InventoryServiceStub(self.channel).GetProduct(
            inventory_pb2.GetProductRequest(product_id=product_id),
            timeout=10,
            metadata=(*self._metadata, ("cache-control", "no-near")),
        )
        await call
        trailing = await call.trailing_metadata()
        return str(trailing["x-cache"]).partition(";")[0]

    async def uses_both_stores(self) -> None:
        """Wait until what it wrote to MongoDB is answered from Redis."""
        product_id = await self.add()

        async def cached() -> bool:
            return await self.source(product_id) == "redis"

        await eventually(cached, WITHIN_S, "nothing is answered from Redis")

    @property
    def _metadata(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self.token}"),)


@dataclass(frozen=True, slots=True)
class Stores:
    """Both stores, where names and passwords come and go."""

    mongo_uri: str
    redis_url: str
    redis_user: str = field(default_factory=lambda: unique("shop"))

    async def let_in(self, name: str) -> None:
        """Add a user of MongoDB with this name and password, and a password in Redis."""
        async with self._mongo() as mongo:
            roles = [{"role": "readWrite", "db": DATABASE}, {"role": "dbAdmin", "db": DATABASE}]
            await mongo.admin.command("createUser", name, pwd=name, roles=roles)
        rules = ("on", f">{name}", "~*", "&*", "+@all")
        async with Redis.from_url(self.redis_url) as redis:
            await redis.execute_command("ACL", "SETUSER", self.redis_user, *rules)  # type: ignore[no-untyped-call]

    async def shut_out(self, name: str) -> None:
        """Take both away again."""
        async with self._mongo() as mongo:
            await mongo.admin.command("dropUser", name)
        async with Redis.from_url(self.redis_url) as redis:
            await redis.execute_command("ACL", "SETUSER", self.redis_user, f"<{name}")  # type: ignore[no-untyped-call]

    async def forget(self) -> None:
        """Take away the user of Redis."""
        async with Redis.from_url(self.redis_url) as redis:
            await redis.execute_command("ACL", "DELUSER", self.redis_user)  # type: ignore[no-untyped-call]

    def write_secrets(self, folder: Path, name: str) -> Path:
        """Write the secrets that let in with this name and return their folder."""
        folder.mkdir()
        mongo, redis = urlsplit(self.mongo_uri), urlsplit(self.redis_url)
        (folder / "shop_mongo_uri").write_text(
            f"mongodb://{name}:{name}@{mongo.netloc}/?{mongo.query}&authSource=admin"
        )
        (folder / "shop_redis_url").write_text(
            f"redis://{self.redis_user}:{name}@{redis.netloc}{redis.path}"
        )
        return folder

    def _mongo(self) -> "AsyncMongoClient[dict[str, object]]":
        return AsyncMongoClient(self.mongo_uri)


@pytest.fixture
async def stores(mongo_uri: str, redis_url: str) -> AsyncIterator[Stores]:
    found = Stores(mongo_uri, redis_url)
    yield found
    await found.forget()


@pytest.fixture
def keys(tmp_path: Path) -> Credentials:
    return open_credentials(tmp_path / "keys")


@asynccontextmanager
async def started(
    tmp_path: Path, keys: Credentials, stores: Stores, name: str
) -> AsyncIterator[Instance]:
    """Start an instance with the secrets of this name, which need not let it in."""
    async with AsyncExitStack() as opened:
        (rpc,) = opened.enter_context(claimed_ports(1))
        inherited = {name: v for name, v in os.environ.items() if not name.startswith("SHOP_")}
        shop = Shop("", "", keys, ServicePorts(inventory=rpc), variables=inherited)
        environment = shop.environment("inventory") | {
            "SHOP_SECRETS_DIR": str(stores.write_secrets(tmp_path / unique(name), name)),
            "SHOP_INVENTORY_DATABASE": DATABASE,
            "SHOP_CONCURRENCY_LIMIT": "off",  # it would notice how busy the machine is
            "SHOP_MONGO_TIMEOUT_MS": "5000",
        }
        for variable in ("SHOP_MONGO_URI", "SHOP_REDIS_URL"):
            del environment[variable]
        command = [sys.executable, "-m", "services.inventory"]
        log = tmp_path / f"{unique(name)}.log"
        child = await opened.enter_async_context(running("inventory", command, log, environment))
        channel = await opened.enter_async_context(aio.insecure_channel(shop.inventory))
        yield Instance(child, channel, Mint.of(keys).user(ADMIN_ID, Role.ADMIN))


async def test_processes_with_the_old_and_the_new_passwords_serve_side_by_side_until_the_old_end(
    tmp_path: Path, keys: Credentials, stores: Stores
) -> None:
    old, new = unique("old"), unique("new")
    await stores.let_in(old)
    async with started(tmp_path, keys, stores, new) as late:
        async with started(tmp_path, keys, stores, old) as first:
            await eventually(first.is_up, WITHIN_S, "the old password does not let in")
            assert not await late.is_up()
            await stores.let_in(new)
            await eventually(late.is_up, WITHIN_S, "the new password does not let in")
            await first.uses_both_stores()
            await late.uses_both_stores()
        await stores.shut_out(old)
        await late.uses_both_stores()
        async with started(tmp_path, keys, stores, old) as barred:
            await eventually(
                lambda: is_listening(barred), WITHIN_S, "a process without a password does not tell"
            )
            assert not await barred.is_up()
            assert not await barred.is_up("mongodb")
            assert not await barred.is_up("redis")
    assert late.child.process.returncode == 0


async def is_listening(instance: Instance) -> bool:
    with suppress(aio.AioRpcError):
        return await ask_health(instance.channel, "mongodb") == "NOT_SERVING"
    return False
