"""The shop as compose.yml runs it: stores that ask who is there, services with a login each."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from grpc import aio
from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError
from redis.asyncio import Redis
from redis.exceptions import RedisError
from shop.inventory.v1.inventory_pb2_grpc import InventoryServiceStub
from shop.order.v1.order_pb2_grpc import OrderServiceStub
from shop.user.v1.user_pb2_grpc import UserServiceStub

from services.provision.handout import Addresses, readers
from services.provision.logins import LOGINS
from services.provision.mongo_users import ROOT, prepare_mongodb
from services.provision.redis_users import OPERATOR
from services.provision.vault import Vault
from services.stack.binaries import find_mongod, find_redis_server
from services.stack.credentials import open_credentials
from services.stack.ports import LOOPBACK, claimed_ports
from services.stack.processes import attended, running
from tests.compose_file import containers
from tests.e2e.support.ledger import eventually
from tests.e2e.support.people import Admin, Customer, Stubs
from tests.e2e.support.shop_front import ask_health

START_WITHIN_S = 60.0
SERVICES = ("user", "inventory", "order")

Client = AsyncMongoClient[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Handout:
    """The folders of the readers, and the ports on which their stores are to listen."""

    folder: Path
    mongodb_port: int
    redis_port: int

    def read(self, reader: str, name: str) -> str:
        """Return what a reader's file says."""
        return (self.folder / reader / name).read_text()

    def passwords(self) -> Mapping[str, str]:
        """Return the passwords of MongoDB's users."""
        names = [ROOT, *(login.name for login in LOGINS)]
        return {name: self.read("mongodb-users", name) for name in names}


@dataclass(frozen=True, slots=True)
class ProvisionedShop:
    """The shop that runs on what was handed out."""

    stubs: Stubs
    admin_password: str

    async def admin(self) -> Admin:
        """Log the administrator in."""
        return await Admin.log_in_as_admin(self.stubs, self.admin_password)

    async def customer(self) -> Customer:
        """Register a customer."""
        return await Customer.new(self.stubs, "provisioned")


@pytest.fixture(scope="module")
def handout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Handout]:
    folder = tmp_path_factory.mktemp("provisioned")
    vault = folder / "vault"
    (vault / "keys").mkdir(parents=True, mode=0o700)
    open_credentials(vault / "keys")
    with claimed_ports(2) as (mongodb, redis):
        addresses = Addresses(f"{LOOPBACK}:{mongodb}", f"{LOOPBACK}:{redis}")
        for reader in readers(Vault(vault), addresses):
            (folder / reader.name).mkdir(exist_ok=True)
            replace(reader, owner=os.geteuid()).receive(folder)
        yield Handout(folder, mongodb, redis)


@pytest.fixture(scope="module")
async def guarded_mongodb(handout: Handout) -> AsyncIterator[Handout]:
    """MongoDB with a key file, made ready as ``mongodb-users`` does it."""
    data = handout.folder / "mongodb-data"
    data.mkdir()
    command = [
        str(await find_mongod()),
        *("--bind_ip", LOOPBACK, "--port", str(handout.mongodb_port), "--nounixsocket"),
        *("--dbpath", str(data), "--wiredTigerCacheSizeGB", "0.25", "--oplogSize", "128"),
        *("--replSet", "rs0", "--keyFile", str(handout.folder / "mongodb" / "key")),
        *("--setParameter", "diagnosticDataCollectionEnabled=false"),
    ]
    async with running("mongod", command, handout.folder / "mongod.log") as child:
        port = handout.mongodb_port
        member = f"{LOOPBACK}:{port}"
        preparing = asyncio.to_thread(
            prepare_mongodb, port, member, LOGINS, handout.passwords(), START_WITHIN_S
        )
        await attended([child], preparing)
        yield handout


@pytest.fixture(scope="module")
async def root(guarded_mongodb: Handout) -> AsyncIterator[Client]:
    """MongoDB, for somebody who may do everything."""
    async with mongodb_as(guarded_mongodb, ROOT, guarded_mongodb.passwords()[ROOT]) as client:
        yield client


def mongodb_as(handout: Handout, name: str, password: str) -> Client:
    return AsyncMongoClient(
        LOOPBACK,
        handout.mongodb_port,
        directConnection=True,
        username=name,
        password=password,
        serverSelectionTimeoutMS=10_000,
    )


@pytest.fixture(scope="module")
async def guarded_redis(handout: Handout) -> AsyncIterator[Handout]:
    """Redis with the file of users."""
    users = handout.folder / "redis" / "users.acl"
    command = [
        str(await find_redis_server()),
        *("--bind", LOOPBACK, "--port", str(handout.redis_port), "--dir", str(handout.folder)),
        *("--aclfile", str(users), "--protected-mode", "yes", "--save", "", "--appendonly", "no"),
    ]
    async with running("redis", command, handout.folder / "redis.log") as child:
        await attended([child], _answering(handout))
        yield handout


async def _answering(handout: Handout) -> None:
    async with redis_as(handout, OPERATOR) as client:

        async def answers() -> bool:
            try:
                return bool(await client.ping())
            except (RedisError, OSError):
                return False

        await eventually(answers, START_WITHIN_S, "Redis does not answer")


def redis_as(handout: Handout, name: str) -> Redis:
    password = handout.read("redis", f"{name}-password")
    return Redis(host=LOOPBACK, port=handout.redis_port, username=name, password=password)


@pytest.fixture(scope="module")
async def operator(guarded_redis: Handout) -> AsyncIterator[Redis]:
    """Redis, for somebody who may do everything."""
    async with redis_as(guarded_redis, OPERATOR) as client:
        yield client


@pytest.fixture(scope="module")
async def shop(guarded_mongodb: Handout, guarded_redis: Handout) -> AsyncIterator[ProvisionedShop]:
    """The three services, in the environment that compose.yml gives them."""
    handout = guarded_mongodb
    with claimed_ports(3) as numbers:
        ports = dict(zip(SERVICES, numbers, strict=True))
        async with AsyncExitStack() as opened:
            channels = {}
            for service, port in ports.items():
                child = await opened.enter_async_context(
                    running(
                        service,
                        [sys.executable, "-m", f"services.{service}"],
                        handout.folder / f"{service}.log",
                        _environment(handout, service, ports),
                    )
                )
                channels[service] = await opened.enter_async_context(
                    aio.insecure_channel(f"{LOOPBACK}:{port}")
                )
                await attended([child], _serving(channels[service]))
            stubs = Stubs(
                users=UserServiceStub(channels["user"]),
                inventory=InventoryServiceStub(channels["inventory"]),
                orders=OrderServiceStub(channels["order"]),
            )
            yield ProvisionedShop(stubs, handout.read("user", "shop_admin_password"))


async def _serving(channel: aio.Channel) -> None:
    async def serves() -> bool:
        try:
            return await ask_health(channel) == "SERVING"
        except aio.AioRpcError:
            return False

    await eventually(serves, START_WITHIN_S, "a service does not serve")


def _environment(handout: Handout, service: str, ports: Mapping[str, int]) -> dict[str, str]:
    """Return what compose.yml says, on this host and with these ports."""
    inherited = {name: v for name, v in os.environ.items() if not name.startswith("SHOP_")}
    given = {
        name: value.replace("/run/shop", str(handout.folder / service))
        for name, value in containers()[service]["environment"].items()
    }
    here = {
        "SHOP_BIND_HOST": LOOPBACK,
        "SHOP_CONCURRENCY_LIMIT": "off",  # it would notice how busy the machine is
        **{f"SHOP_{name.upper()}_PORT": str(port) for name, port in ports.items()},
        **{f"SHOP_{name.upper()}_METRICS_PORT": "0" for name in ports},
        "SHOP_USER_TARGET": f"{LOOPBACK}:{ports['user']}",
        "SHOP_INVENTORY_TARGET": f"{LOOPBACK}:{ports['inventory']}",
    }
    return {**inherited, **given, **here}


async def refused(client: Client) -> bool:
    """Whether MongoDB knows another password."""
    async with client:
        try:
            await client.admin.command("ping")
        except PyMongoError:
            return True
        return False
