"""Signing keys roll while people shop, and nobody notices."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import grpc
import pytest

from bench.figures import figures_at
from services.common.auth.keys import load_signing_key, load_trusted_keys
from services.keyring.command import main
from services.stack.services import SERVICES
from tests.e2e.support.ledger import eventually
from tests.e2e.support.people import Caller, Customer, Stubs, unique
from tests.e2e.support.refusals import outcome
from tests.e2e.support.running_shop import RunningShop, opened_shop
from tests.e2e.support.shoppers import Login, own_stubs, shopping
from tests.e2e.support.tokens import Mint, claims, foreign_key, signed

WORKERS = ("0", "1")
REFRESH_S = 0.25
LIFETIME_S = 10
RENEW_BEFORE_END_S = 8.0
WITHIN_S = 60.0
CONNECTIONS = 4
CALLS = {"profile", "orders", "buy", "add product"}
UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED
SETTINGS = {
    "SHOP_KEYS_REFRESH_S": str(REFRESH_S),
    "SHOP_KEYS_SPREAD_S": "0",
    "SHOP_ACCESS_TOKEN_LIFETIME_S": str(LIFETIME_S),
}
BUSY = {
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.UNAVAILABLE,
}
NO_REFUSALS = {grpc.StatusCode.OK, *BUSY}

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
async def shop(
    mongo_uri: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[RunningShop]:
    """A shop of two processes per service, whose keys a test may roll."""
    async with opened_shop(
        tmp_path_factory.mktemp("rolling"),
        mongo_uri=mongo_uri,
        redis_url=redis_url,
        ledger_uri=mongo_uri,
        SHOP_WORKERS=str(len(WORKERS)),
        SHOP_KEYS_REFRESH_S=SETTINGS["SHOP_KEYS_REFRESH_S"],
        SHOP_ACCESS_TOKEN_LIFETIME_S=SETTINGS["SHOP_ACCESS_TOKEN_LIFETIME_S"],
    ) as running:
        yield running


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """The keyring has the settings of the services."""
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)


def port(shop: RunningShop, service: str) -> int:
    ports = shop.settings.ports
    return {
        "user": ports.user_metrics,
        "inventory": ports.inventory_metrics,
        "order": ports.order_metrics,
    }[service]


async def trusted_by_all(shop: RunningShop) -> bool:
    """Whether every process trusts just the keys in the file."""
    wanted = set(load_trusted_keys(shop.settings.credentials.trusted_keys))
    for service in SERVICES:
        found = await figures_at(port(shop, service), "shop_trusted_keys", "worker", "key_id")
        if set(found) != {(worker, key_id) for worker in WORKERS for key_id in wanted}:
            return False
    return True


async def signed_by_all(shop: RunningShop) -> bool:
    """Whether every process that signs does so with the key in its file."""
    for issuer in ("user", "order"):
        key_id = load_signing_key(shop.folder.secrets / f"{issuer}.pem").key_id
        found = await figures_at(port(shop, issuer), "shop_signing_key_info", "worker", "key_id")
        if set(found) != {(worker, key_id) for worker in WORKERS}:
            return False
    return True


async def keys(shop: RunningShop, command: str, issuer: str, *options: str) -> None:
    """Give the keyring a command, again and again while it comes too early."""

    async def done() -> bool:
        folder = str(shop.folder.secrets)
        return await asyncio.to_thread(main, [command, folder, issuer, *options]) == 0

    await eventually(done, WITHIN_S, f"the keyring refuses to {command} a key")


async def all_answers(
    callers: list[Stubs], token: str, user_id: str, service_token: str
) -> set[grpc.StatusCode]:
    """Return what a user's token gets from User and Order, and a service's from Inventory."""
    found: set[grpc.StatusCode] = set()
    for stubs in callers:
        user = Caller(stubs, token)
        found.add(await outcome(user.profile(user_id)))
        found.add(await outcome(user.orders_of(user_id)))
        service = Caller(stubs, service_token)
        found.add(await outcome(service.reserve(unique("held"), {"0" * 24: 1})))
    return found


async def test_both_keys_roll_while_people_shop_and_nobody_is_logged_out(
    shop: RunningShop,
) -> None:
    old = Mint.of(shop.settings.credentials)
    idle = await shop.customer("idle")
    kept = old.user(idle.user_id)
    stranger = foreign_key()
    forged = (
        signed(stranger, claims(idle.user_id)),
        signed(stranger, claims("order", iss="order", aud="shop.inventory.v1.InventoryService")),
    )
    old_ids = {old.user_key.key_id, old.order_key.key_id}
    async with AsyncExitStack() as opened:
        callers = [await opened.enter_async_context(own_stubs(shop)) for _ in range(CONNECTIONS)]

        async def confirm(old_is_good: bool) -> None:  # noqa: FBT001
            answers = await all_answers(callers, kept, idle.user_id, old.service())
            if old_is_good:
                assert UNAUTHENTICATED not in answers
            else:
                assert answers - BUSY == {UNAUTHENTICATED}
            refused = await all_answers(callers, forged[0], idle.user_id, forged[1])
            assert refused - BUSY == {UNAUTHENTICATED}

        shoppers = await opened.enter_async_context(shopping(shop, 3, RENEW_BEFORE_END_S))
        await confirm(old_is_good=True)

        for issuer in ("user", "order"):
            await keys(shop, "add", issuer)
        await eventually(
            lambda: trusted_by_all(shop), WITHIN_S, "not everybody trusts the new keys"
        )
        await confirm(old_is_good=True)

        for issuer in ("user", "order"):
            await keys(shop, "use", issuer)
        await eventually(lambda: signed_by_all(shop), WITHIN_S, "a new key does not sign")
        await confirm(old_is_good=True)

        await keys(shop, "retire", "user")
        await keys(shop, "retire", "order", "--now")
        await eventually(lambda: trusted_by_all(shop), WITHIN_S, "an old key is still trusted")
        await confirm(old_is_good=False)
        before = shoppers.outcomes.copy()
        await asyncio.sleep(1.0)
        await confirm(old_is_good=False)

        async def all_go_on() -> bool:
            called = {name for name, _ in shoppers.outcomes - before}
            renewed = [login.renewals for login in (*shoppers.logins, shoppers.admin)]
            return called == CALLS and min(renewed) >= 2

        await eventually(all_go_on, WITHIN_S, "not everybody goes on shopping")
    assert {code for _, code in shoppers.outcomes} <= NO_REFUSALS, shoppers.outcomes
    for call in CALLS:
        assert shoppers.outcomes[call, grpc.StatusCode.OK] >= 10, shoppers.outcomes
    assert not old_ids & set(load_trusted_keys(shop.settings.credentials.trusted_keys))
    await confirm_logged_in(idle)
    assert not await codes_of_peers(shop) & {"UNAUTHENTICATED", "PERMISSION_DENIED"}


async def confirm_logged_in(customer: Customer) -> None:
    """Fail unless somebody who has not called since the old key signed can go on."""
    login = Login(customer.stubs, customer.user_id, customer.token, customer.refresh_token, 0)
    await login.renew()
    again = Caller(customer.stubs, login.access_token)
    assert (await again.profile(customer.user_id)).user_id == customer.user_id


async def codes_of_peers(shop: RunningShop) -> set[str]:
    """Return how the calls of Order to the other services have ended."""
    found = await figures_at(port(shop, "order"), "grpc_client_handled_total", "grpc_code")
    return {code for (code,) in found}


async def failed_for_all(shop: RunningShop) -> bool:
    """Whether every process has found its trusted keys not usable."""
    name = "shop_keys_reload_failures_total"
    for service in SERVICES:
        found = await figures_at(port(shop, service), name, "worker", "file")
        if not all(found[worker, "trusted keys"] for worker in WORKERS):
            return False
    return True


async def test_a_broken_file_of_trusted_keys_is_counted_and_changes_nothing(
    shop: RunningShop,
) -> None:
    customer = await shop.customer("unaware")
    path = shop.settings.credentials.trusted_keys
    good = path.read_bytes()
    path.write_bytes(good[: len(good) // 2])
    try:
        await eventually(lambda: failed_for_all(shop), WITHIN_S, "the failures are not counted")
        assert (await customer.profile(customer.user_id)).user_id == customer.user_id
        assert await customer.orders_of(customer.user_id) == []
    finally:
        path.write_bytes(good)
    await eventually(lambda: trusted_by_all(shop), WITHIN_S, "the mended file is not read")
