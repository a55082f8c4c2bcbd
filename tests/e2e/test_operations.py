"""What those who run the shop rely on: logs, reflection, signals, refusing to start."""

import asyncio
import json
import re
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from google.protobuf.field_mask_pb2 import FieldMask
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from shop.inventory.v1 import inventory_pb2
from shop.user.v1 import user_pb2

from bench.figures import figures_at
from bench.proxy import Proxy
from tests.e2e.support.contracts import SERVICES
from tests.e2e.support.ledger import eventually
from tests.e2e.support.people import UNKNOWN_ID, Customer, unique
from tests.e2e.support.refusals import outcome
from tests.e2e.support.running_shop import RunningShop

GRPC_CORE_LINE = re.compile(r"[DIWEF]\d{4} ")


def lines(shop: RunningShop, service: str) -> list[dict[str, Any]]:
    """What a service logged; gRPC's C core writes lines of its own beside."""
    logged = shop.log(service).rpartition("\n")[0].splitlines()  # the last may be half a line
    return [json.loads(line) for line in logged if not GRPC_CORE_LINE.match(line)]


def events(shop: RunningShop, service: str) -> list[str]:
    """Of what kinds the lines are that a service logged."""
    return [line["event"] for line in lines(shop, service)]


async def test_a_request_id_follows_a_call_through_all_services(
    shop: RunningShop, customer: Customer, product_id: str
) -> None:
    call_id = unique("follow.me")

    await customer.buy({product_id: 1}, call_id=call_id)
    await shop.ledger.at_rest(product_id)

    async def is_logged() -> bool:
        methods = {
            line["method"].rpartition("/")[2]
            for service in SERVICES
            for line in lines(shop, service)
            if line.get("request_id") == call_id and line["event"] == "call"
        }
        return methods == {"CreateOrder", "ReserveStock", "GetUserProfile", "CommitReservation"}

    await eventually(is_logged, 30.0, "the request id is not in all logs")


async def test_a_call_without_a_usable_request_id_gets_one(
    shop: RunningShop, product_id: str
) -> None:
    for call_id in ("", "x" * 65, "a b"):
        await shop.nobody.call(
            shop.inventory.GetProduct,
            inventory_pb2.GetProductRequest(product_id=product_id),
            call_id=call_id,
        )
    ids = [line["request_id"] for line in lines(shop, "inventory") if line["event"] == "call"]
    assert all(ids)
    assert "x" * 65 not in ids


async def test_logs_are_json_with_level_time_and_service_and_hold_no_secret(
    shop: RunningShop, customer: Customer
) -> None:
    for service in SERVICES:
        logged = lines(shop, service)
        assert logged
        for line in logged:
            assert {"event", "level", "timestamp", "service"} <= line.keys()
            assert line["service"] == service
        text = shop.log(service)
        for secret in (customer.password, customer.token, customer.refresh_token):
            assert secret not in text
        assert shop.settings.credentials.admin_password not in text


def _reflected(target: str) -> list[str]:
    with grpc.insecure_channel(target) as channel:
        return list(ProtoReflectionDescriptorDatabase(channel).get_services())


async def test_reflection_lists_what_is_served(shop: RunningShop) -> None:
    for name, service in SERVICES.items():
        listed = await asyncio.to_thread(_reflected, shop.settings.target(name))
        assert set(listed) == {
            service.full_name,
            "grpc.health.v1.Health",
            "grpc.reflection.v1alpha.ServerReflection",
        }


async def test_reflection_can_be_switched_off(fragile_shop: RunningShop) -> None:
    await fragile_shop.restart("inventory", SHOP_REFLECTION="false")

    with pytest.raises(grpc.RpcError) as caught:
        await asyncio.to_thread(_reflected, fragile_shop.settings.inventory)

    assert isinstance(caught.value, grpc.Call)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda n: n.name)
async def test_a_signal_lets_the_calls_in_flight_finish(
    number: signal.Signals, fragile_shop: RunningShop, mongo_proxy: Proxy
) -> None:
    shop = fragile_shop
    admin, customer = await shop.admin(), await shop.customer()
    renaming = user_pb2.UpdateUserProfileRequest(
        user=user_pb2.User(user_id=customer.user_id, full_name="Other"),
        update_mask=FieldMask(paths=["full_name"]),
    )
    mongo_proxy.hold()  # reads are given up in half the time of these
    adding = asyncio.create_task(admin.add_product())
    changing = asyncio.create_task(customer.call(shop.users.UpdateUserProfile, renaming))
    cancelling = asyncio.create_task(outcome(customer.cancel(UNKNOWN_ID)))
    await eventually(lambda: all_have_a_call(shop), 30.0, "the calls have not arrived")
    ends = [asyncio.create_task(shop.signal(service, number)) for service in SERVICES]

    async def all_drain() -> bool:
        return all("draining" in events(shop, service) for service in SERVICES)

    await eventually(all_drain, 30.0, "the signal is not heeded")
    assert not any(call.done() for call in (adding, changing, cancelling))

    mongo_proxy.release()

    assert await adding
    assert (await changing).user.full_name == "Other"
    assert await cancelling is grpc.StatusCode.NOT_FOUND
    assert await asyncio.gather(*ends) == [0, 0, 0]
    for service in SERVICES:
        assert "stopped" in events(shop, service)


async def all_have_a_call(shop: RunningShop) -> bool:
    """Whether each service has a call in flight."""
    ports = shop.settings.ports
    for port in (ports.user_metrics, ports.inventory_metrics, ports.order_metrics):
        in_flight = await figures_at(port, "grpc_server_in_flight", "grpc_method")
        if not in_flight.total():
            return False
    return True


async def test_an_order_service_that_stops_finishes_what_goes_on_after_the_answer(
    fragile_shop: RunningShop,
) -> None:
    shop = fragile_shop
    customer = await shop.customer()
    product = await (await shop.admin()).add_product(stock=100)
    orders = await asyncio.gather(*(customer.buy({product: 1}) for _ in range(10)))

    code = await shop.signal("order", signal.SIGTERM)

    assert code == 0
    for order in orders:
        (document,) = await shop.ledger.orders(_id=order.order_id)
        assert (document["status"], document["settled"]) == ("CONFIRMED", True)
    assert (await shop.ledger.stock(product)).sold == 10


# ---- refusing to start


async def _start(service: str, environment: Mapping[str, str]) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", f"services.{service}", env=environment, stdout=PIPE, stderr=PIPE
    )
    try:
        async with asyncio.timeout(90):
            _, complaints = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode, complaints.decode()


def _weak_key(folder: Path) -> str:
    path = folder / "weak.pem"
    key = rsa.generate_private_key(65_537, 1_024)  # noqa: S505 (that it is weak is the point)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return str(path)


@pytest.mark.parametrize(
    ("service", "variable", "value"),
    [
        ("order", "SHOP_ORDER_SIGNING_KEY_FILE", "{weak}"),
        ("inventory", "SHOP_MONGO_URI", ""),
        ("user", "SHOP_ADMIN_PASSWORD", "short"),
    ],
)
async def test_a_service_with_a_missing_or_weak_setting_refuses_to_start(
    service: str, variable: str, value: str, shop: RunningShop, tmp_path: Path
) -> None:
    known = {"{weak}": _weak_key(tmp_path)}
    environment = shop.settings.environment(service)
    environment[variable] = known.get(value, value)

    code, complaint = await _start(service, environment)

    assert code == 2
    assert f"services.{service} cannot start:" in complaint
    assert "Traceback" not in complaint
    named = known.get(value, value) if value in known else variable
    assert named in complaint
    if value == "short":
        assert "short" not in complaint.replace("be short", "")


async def test_a_service_ends_when_the_process_that_started_it_does(shop: RunningShop) -> None:
    if sys.platform != "linux":
        pytest.skip("only Linux can tie a process to its parent")
    program = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from services.stack.processes import running\n"
        "async def main():\n"
        "    async with running('s', ['/bin/sleep', '60'], Path(sys.argv[1])) as child:\n"
        "        print(child.process.pid, flush=True)\n"
        "        await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, str(shop.folder.log("sleep")), stdout=PIPE
    )
    assert parent.stdout is not None
    pid = int(await parent.stdout.readline())
    parent.kill()
    await parent.wait()

    async def is_gone() -> bool:
        return not _is_alive(pid)

    await eventually(is_gone, 30.0, "the child lives on")


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False
