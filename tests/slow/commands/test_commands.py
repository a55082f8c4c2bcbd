"""``python -m services``: the image's commands, and its health check."""

import asyncio
import os
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography import x509

from services.stack.credentials import open_credentials
from services.stack.ports import claimed_ports
from services.stack.services import SERVICES, ServicePorts, Shop
from tests.forks import Forks
from tests.integration.certificates import Authority
from tests.integration.conftest import new_database

pytestmark = pytest.mark.timeout(300)

WITHIN_S = 90.0
CHECK_S = 2.0
NOWHERE = "mongodb://127.0.0.1:1/?replicaSet=rs0"
Ends = Callable[..., Awaitable[tuple[int, str]]]
Comes = Callable[..., Awaitable[str]]


@asynccontextmanager
async def started(environment: Mapping[str, str], *words: str) -> AsyncIterator[Process]:
    """Run ``python -m services`` until the end of the block."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services", *words), env=environment, stdout=PIPE, stderr=PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.fixture
def ended(forks: Forks) -> Ends:
    """Run ``python -m services`` to its end; return the exit code and all that it said."""

    async def run(environment: Mapping[str, str], *words: str) -> tuple[int, str]:
        code, output, error = await forks.run(environment, "services", *words)
        return code, output + error

    return run


@pytest.fixture
def comes_to(ended: Ends) -> Comes:
    """Check until that ends with this code and says this; return all that it said then."""

    async def check(
        environment: Mapping[str, str], code: int, *words: str, saying: str = ""
    ) -> str:
        async with asyncio.timeout(WITHIN_S):
            while True:
                found, said = await ended(environment, "check", *words)
                if found == code and saying in said:
                    return said
                await asyncio.sleep(0.25)

    return check


def inherited() -> dict[str, str]:
    """Return the environment without settings of a shop."""
    return {name: value for name, value in os.environ.items() if not name.startswith("SHOP_")}


@pytest.fixture
def shop(tmp_path: Path, mongo_uri: str, redis_url: str) -> Iterator[Shop]:
    """What a service needs, in a database that no other has, on ports that nobody listens on."""
    variables = inherited() | {f"SHOP_{name.upper()}_DATABASE": new_database() for name in SERVICES}
    with claimed_ports(3) as ports:
        yield Shop(
            mongo_uri,
            redis_url,
            open_credentials(tmp_path),
            ports=ServicePorts(*ports),
            variables=variables,
        )


async def test_a_name_that_is_no_command_is_told_with_those_that_are(ended: Ends) -> None:
    code, said = await ended(inherited(), "users")
    assert code == 2
    assert "no such command: users" in said
    assert "user, inventory, order" in said


@pytest.mark.parametrize("words", [(), ("--help",)], ids=["nothing", "help"])
async def test_without_a_command_the_usage_is_told(ended: Ends, words: tuple[str, ...]) -> None:
    code, said = await ended(inherited(), *words)
    assert code == 0
    assert said.startswith("usage: python -m services COMMAND")


@pytest.mark.parametrize(
    ("service", "workers"), [("user", "1"), ("inventory", "1"), ("order", "2")]
)
async def test_a_service_runs_by_name_is_found_serving_and_drains(
    shop: Shop, ended: Ends, comes_to: Comes, service: str, workers: str
) -> None:
    environment = shop.environment(service)
    async with started(environment, service, "--workers", workers) as process:
        assert await comes_to(environment, 0, service) == ""
        assert await comes_to(environment, 0) == ""
        for other in SERVICES:
            if other != service:
                await comes_to(environment, 1, other, saying="UNAVAILABLE")
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(WITHIN_S):
            await process.communicate()
        assert process.returncode == 0
    nobody = "no service listens on this host\n"
    assert await comes_to(environment, 1, saying=nobody) == nobody


async def test_a_service_without_its_store_is_found_not_serving(
    shop: Shop, comes_to: Comes
) -> None:
    environment = shop.environment("user") | {"SHOP_MONGO_URI": NOWHERE}
    async with started(environment, "user"):
        said = await comes_to(environment, 1, "user", saying="NOT_SERVING")
    assert said == f"user at {shop.user}: NOT_SERVING\n"


async def test_another_service_at_the_port_is_not_taken_for_the_one_asked_after(
    shop: Shop, ended: Ends, comes_to: Comes
) -> None:
    environment = shop.environment("inventory")
    async with started(environment, "inventory"):
        await comes_to(environment, 0, "inventory")
        misled = environment | {"SHOP_ORDER_PORT": str(shop.ports.inventory)}
        await comes_to(misled, 1, "order", saying="NOT_FOUND")


@pytest.mark.parametrize("words", [(), ("user",)], ids=["any", "user"])
async def test_a_server_that_does_not_answer_is_waited_for_within_a_bound(
    ended: Ends, words: tuple[str, ...]
) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        environment = inherited() | {"SHOP_USER_PORT": str(silent.getsockname()[1])}
        # The other two are at ports that nobody listens on, or at this one too.
        for name in ("SHOP_INVENTORY_PORT", "SHOP_ORDER_PORT"):
            environment[name] = environment["SHOP_USER_PORT"]
        begun = asyncio.get_running_loop().time()
        code, said = await ended(environment, "check", *words)
        took_s = asyncio.get_running_loop().time() - begun
    assert code == 1
    assert "DEADLINE_EXCEEDED" in said
    assert CHECK_S <= took_s < CHECK_S + 20


@pytest.mark.parametrize("kind", ["tls", "mutual-tls"])
async def test_a_service_with_a_certificate_is_asked_over_tls(
    shop: Shop, ended: Ends, comes_to: Comes, tmp_path: Path, kind: str
) -> None:
    authority = Authority("shop")
    pair = authority.issue(tmp_path, "server", [x509.DNSName("*.shop.example")])
    tls = {"SHOP_TLS_CERT": str(pair.cert), "SHOP_TLS_KEY": str(pair.key)}
    if kind == "mutual-tls":
        tls["SHOP_TLS_CLIENT_CA"] = str(authority.write(tmp_path, "shop"))
    environment = shop.environment("inventory") | tls
    async with started(environment, "inventory"):
        await comes_to(environment, 0, "inventory")
        await comes_to(shop.environment("inventory"), 1, "inventory", saying="UNAVAILABLE")


async def test_what_keeps_the_check_from_asking_is_told(ended: Ends, tmp_path: Path) -> None:
    wrong = inherited() | {"SHOP_USER_PORT": "many"}
    code, said = await ended(wrong, "check", "user")
    assert code == 1
    assert "user_port" in said
    missing = str(tmp_path / "missing.pem")
    tls = inherited() | {"SHOP_TLS_CERT": missing, "SHOP_TLS_KEY": missing}
    code, said = await ended(tls, "check", "user")
    assert code == 1
    assert missing in said
    assert "Traceback" not in said
