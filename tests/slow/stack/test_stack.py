"""``python -m services.stack``: the whole shop by one command."""

import asyncio
import fcntl
import os
import re
import signal
import stat
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import pytest
from grpc import aio
from shop.inventory.v1 import inventory_pb2
from shop.inventory.v1.inventory_pb2_grpc import InventoryServiceStub
from shop.order.v1 import order_pb2
from shop.order.v1.order_pb2_grpc import OrderServiceStub
from shop.user.v1.user_pb2_grpc import UserServiceStub

from services.common.settings import PREFIX
from services.stack.ports import claimed_ports, is_free
from services.stack.settings import PROJECT, StackSettings
from tests.e2e.support.people import Caller, Stubs

START_WITHIN_S = 180.0
STOP_WITHIN_S = 60.0
PRODUCTS = 1_000
CUSTOMERS = 20
READY = "shop is ready"
CHOSEN = "chosen by the owner"

pytestmark = pytest.mark.timeout(400)


@dataclass(frozen=True, slots=True)
class Ports:
    """Where everything of one stack listens."""

    user: int
    inventory: int
    order: int
    stack_mongo: int
    stack_redis: int
    user_metrics: int
    inventory_metrics: int
    order_metrics: int

    def variables(self) -> dict[str, str]:
        """Return the settings that say so."""
        return {f"{PREFIX}{name.upper()}_PORT": str(port) for name, port in asdict(self).items()}


@dataclass(frozen=True, slots=True)
class Stack:
    """A stack that can be started again on the same data."""

    folder: Path
    ports: Ports

    def environment(self, **variables: str) -> Mapping[str, str]:
        inherited = {name: v for name, v in os.environ.items() if not name.startswith(PREFIX)}
        return {
            **inherited,
            "SHOP_DATA_DIR": str(self.folder),
            **self.ports.variables(),
            "SHOP_CONCURRENCY_LIMIT": "off",  # it would notice how busy the machine is
            **variables,
        }

    def secret(self, name: str) -> str:
        return (self.folder / "secrets" / name).read_text()

    def is_over(self) -> bool:
        """Whether nothing of it runs: every process of it holds the lock, and listens."""
        with (self.folder / "stack.lock").open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
        return all(is_free(port) for port in asdict(self.ports).values())


@dataclass(frozen=True, slots=True)
class Run:
    """A running stack and what it has written so far."""

    process: Process
    output: list[str]

    async def until_ready(self) -> None:
        assert self.process.stdout is not None
        while not self.output or self.output[-1] != READY:
            line = await self.process.stdout.readline()
            assert line, "it ended:\n" + "\n".join(self.output)
            self.output.append(line.decode().rstrip("\n"))

    async def to_the_end(self, within_s: float) -> int:
        """Return the exit code, having read the rest of what it says."""
        assert self.process.stdout is not None
        async with asyncio.timeout(within_s):
            rest = await self.process.stdout.read()
            self.output.extend(rest.decode().splitlines())
            return await self.process.wait()

    @property
    def text(self) -> str:
        return "\n".join(self.output)


@asynccontextmanager
async def started(stack: Stack, **variables: str) -> AsyncIterator[Run]:
    """Start the stack; it is ready when the block is entered, and killed if still there after."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.stack",
        env=stack.environment(**variables),
        cwd=PROJECT,
        stdout=PIPE,
        stderr=STDOUT,
    )
    run = Run(process, [])
    try:
        async with asyncio.timeout(START_WITHIN_S):
            await run.until_ready()
        yield run
    finally:
        if process.returncode is None:
            process.terminate()
            await run.to_the_end(2 * STOP_WITHIN_S)


@asynccontextmanager
async def visited(stack: Stack) -> AsyncIterator[Stubs]:
    """Call the services of a stack."""
    async with (
        aio.insecure_channel(f"127.0.0.1:{stack.ports.user}") as users,
        aio.insecure_channel(f"127.0.0.1:{stack.ports.inventory}") as inventory,
        aio.insecure_channel(f"127.0.0.1:{stack.ports.order}") as orders,
    ):
        yield Stubs(
            UserServiceStub(users), InventoryServiceStub(inventory), OrderServiceStub(orders)
        )


async def skus(stubs: Stubs) -> list[str]:
    """Return the skus of the whole catalogue."""
    found: list[str] = []
    request = inventory_pb2.ListProductsRequest(page_size=100)
    while True:
        page = await Caller(stubs).call(stubs.inventory.ListProducts, request)
        found += [product.sku for product in page.products]
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token


async def logged_in(stubs: Stubs, username: str, password: str) -> tuple[Caller, str]:
    """Log somebody in and return them with their id."""
    login = await Caller(stubs).log_in(username, password)
    return Caller(stubs, login.access_token), login.user_id


async def orders_of(caller: Caller, user_id: str) -> list[str]:
    """Return the ids of a customer's orders."""
    return [order.order_id for order in await caller.orders_of(user_id, 100)]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with claimed_ports(len(fields(Ports))) as ports:
        yield Stack(tmp_path_factory.mktemp("stack") / "data", Ports(*ports))


@dataclass(frozen=True, slots=True)
class SeenOfStart:
    """What any start shows."""

    output: list[str]
    exit_code: int
    skus: list[str]
    orders: dict[str, list[str]]
    """By the id of the customer."""


@dataclass(frozen=True, slots=True)
class Seen(SeenOfStart):
    """What the first start left behind."""

    buyer: str
    bought: str
    tried: list[str]


async def try_commands(output: list[str]) -> list[str]:
    """Run the commands that the panel shows and return what they print.

    What was read is stored after the answer: it is read and looked for until it is there.
    """
    first = next(n for n, line in enumerate(output) if line.startswith("Try in another")) + 1
    read, log_in, look = output[first : first + 3]
    login = await printed_by(log_in)
    async with asyncio.timeout(STOP_WITHIN_S):
        while True:
            product, cached = await printed_by(read), await printed_by(look)
            if "{" in cached:
                return [product, login, cached]


async def printed_by(command: str) -> str:
    """Run a command in a shell, as a person would."""
    process = await asyncio.create_subprocess_shell(command, cwd=PROJECT, stdout=PIPE)
    said, _ = await process.communicate()
    assert process.returncode == 0, command
    return said.decode()


@pytest.fixture(scope="module")
async def first_start(stack: Stack) -> Seen:
    """Start on an empty folder, look round, buy something, and press Ctrl-C."""
    async with started(stack) as run:
        demo = stack.secret("demo-password")
        async with visited(stack) as stubs:
            catalogue = await skus(stubs)
            people = [
                await logged_in(stubs, f"customer{number:02}", demo)
                for number in range(1, CUSTOMERS + 1)
            ]
            orders = {user_id: await orders_of(caller, user_id) for caller, user_id in people}
            customer, buyer = people[0]
            page = await customer.call(
                stubs.inventory.ListProducts, inventory_pb2.ListProductsRequest(page_size=1)
            )
            order = await customer.buy({page.products[0].product_id: 1})
            assert order.status == order_pb2.ORDER_STATUS_CONFIRMED
            await logged_in(stubs, "admin", stack.secret("admin-password"))
        tried = await try_commands(run.output)
        run.process.send_signal(signal.SIGINT)
        code = await run.to_the_end(STOP_WITHIN_S)
        return Seen(run.output, code, catalogue, orders, buyer, order.order_id, tried)


def test_no_port_of_it_is_one_that_another_stack_uses(stack: Stack) -> None:
    names = {name for name in StackSettings.model_fields if name.endswith("_port")}
    assert stack.ports.variables().keys() == {f"{PREFIX}{name.upper()}" for name in names}


async def test_it_ends_its_start_with_the_shop_is_ready_after_a_panel(
    stack: Stack, first_start: Seen
) -> None:
    before = first_start.output[: first_start.output.index(READY) + 1]
    panel = "\n".join(before)
    assert before[-1] == READY
    for port in (stack.ports.user, stack.ports.inventory, stack.ports.order):
        assert f"127.0.0.1:{port}" in panel
    assert "admin" in panel
    assert stack.secret("admin-password") in panel
    assert "customer01" in panel
    assert stack.secret("demo-password") in panel


async def test_the_commands_of_the_panel_do_what_it_says(first_start: Seen) -> None:
    product, login, cached = first_start.tried
    (product_id,) = re.findall(r'"productId": *"(\w+)"', product)
    assert '"accessToken"' in login
    assert f'{{"key":"product:{product_id}",' in cached


async def test_it_seeds_a_catalogue_and_customers_with_orders(first_start: Seen) -> None:
    assert len(first_start.skus) == len(set(first_start.skus)) == PRODUCTS
    assert len(first_start.orders) == CUSTOMERS
    assert all(first_start.orders.values())


async def test_ctrl_c_leaves_nothing_running(stack: Stack, first_start: Seen) -> None:
    assert first_start.exit_code == 0
    assert "Traceback" not in "\n".join(first_start.output)
    assert stack.is_over()


async def test_its_secrets_are_for_its_owner_alone(stack: Stack, first_start: Seen) -> None:
    public = stack.folder / "secrets" / "trusted-keys.json"
    files = [p for p in (stack.folder / "secrets").rglob("*") if p.is_file() and p != public]
    assert files
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert stat.S_IMODE(stack.folder.stat().st_mode) == 0o700


@dataclass(frozen=True, slots=True)
class SeenAgain(SeenOfStart):
    """What the next start found, and what a third said meanwhile."""

    other: str


@pytest.fixture(scope="module")
async def next_start(stack: Stack, first_start: Seen) -> SeenAgain:
    """Start again, with an admin's password from outside, look round, and end it."""
    async with started(stack, SHOP_ADMIN_PASSWORD=CHOSEN) as run:
        async with visited(stack) as stubs:
            await logged_in(stubs, "customer01", stack.secret("demo-password"))
            admin, _ = await logged_in(stubs, "admin", CHOSEN)
            catalogue = await skus(stubs)
            orders = {user_id: await orders_of(admin, user_id) for user_id in first_start.orders}
        other = await refuses(stack)
        run.process.send_signal(signal.SIGTERM)
        code = await run.to_the_end(STOP_WITHIN_S)
        return SeenAgain(run.output, code, catalogue, orders, other)


async def test_the_next_start_makes_nothing_anew_and_finds_everything_as_it_was(
    first_start: Seen, next_start: SeenAgain
) -> None:
    assert next_start.skus == first_start.skus
    before = first_start.orders[first_start.buyer]
    assert next_start.orders == {
        **first_start.orders,
        first_start.buyer: [first_start.bought, *before],
    }
    assert "created" in "\n".join(first_start.output)
    assert "created" not in "\n".join(next_start.output)


async def test_a_second_one_on_the_same_data_refuses_to_start_and_the_first_ends_in_order(
    stack: Stack, next_start: SeenAgain
) -> None:
    assert "SHOP_DATA_DIR" in next_start.other or "SHOP_USER_PORT" in next_start.other
    assert next_start.exit_code == 0
    assert stack.is_over()


async def test_an_admin_password_from_outside_is_taken_and_not_shown(
    next_start: SeenAgain,
) -> None:
    assert READY in next_start.output
    assert CHOSEN not in "\n".join(next_start.output)


async def refuses(stack: Stack) -> str:
    """Start the same stack a second time and return what it says."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.stack",
        env=stack.environment(),
        cwd=PROJECT,
        stdout=PIPE,
        stderr=STDOUT,
    )
    code = await (run := Run(process, [])).to_the_end(STOP_WITHIN_S)
    assert code not in {0, None}
    assert READY not in run.output
    assert "Traceback" not in run.text
    return run.text


@pytest.mark.parametrize("victim", ["inventory", "mongod"])
async def test_when_a_child_dies_it_is_named_and_the_rest_is_stopped(
    victim: str, stack: Stack, first_start: Seen
) -> None:
    async with started(stack, SHOP_SEED="false", SHOP_MONGO_TIMEOUT_MS="1000") as run:
        os.kill(pid_of(stack, victim), signal.SIGKILL)

        code = await run.to_the_end(2 * STOP_WITHIN_S)

    assert code not in {0, None}
    after = run.text.partition(READY)[2]
    assert victim in after
    assert "SIGKILL" in after
    assert "Traceback" not in run.text
    assert stack.is_over()


def pid_of(stack: Stack, name: str) -> int:
    """Return the process of the stack that has this name in its command line."""
    if not Path("/proc").is_dir():
        pytest.skip("there is no /proc to find the process in")
    of_this_stack = f"SHOP_INVENTORY_PORT={stack.ports.inventory}\0".encode()
    names = (f"services.{name}\0".encode(), f"/{name}\0".encode())
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            command = (folder / "cmdline").read_bytes()
            if (
                any(known in command for known in names)
                and of_this_stack in (folder / "environ").read_bytes()
            ):
                return int(folder.name)
    raise LookupError(name)
