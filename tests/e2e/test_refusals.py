"""Refusals that depend on the state of the shop: what is taken, wrong or tried too often."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from grpc import aio
from shop.inventory.v1 import inventory_pb2
from shop.user.v1 import user_pb2
from shop.user.v1.user_pb2_grpc import UserServiceStub

from bench.figures import figures_at
from bench.relay import Relay
from tests.e2e.support.contracts import METHODS, SERVICES, domain_of, service_of
from tests.e2e.support.ledger import eventually
from tests.e2e.support.people import UNKNOWN_ID, Admin, Caller, Customer, a_product, unique
from tests.e2e.support.refusals import Refused, outcome, refused
from tests.e2e.support.running_shop import RunningShop
from tests.e2e.support.shop_front import ShopFront

MAX_FAILURES = 10
WINDOW_S = 300


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"username": "{username}"}, "USERNAME_TAKEN"),
        ({"username": "{USERNAME}"}, "USERNAME_TAKEN"),
        ({"email": "{email}"}, "EMAIL_TAKEN"),
        ({"email": "{EMAIL}"}, "EMAIL_TAKEN"),
        ({"username": "Admin"}, "USERNAME_TAKEN"),
        ({"email": "ADMIN@shop.example"}, "EMAIL_TAKEN"),
    ],
    ids=str,
)
async def test_a_username_and_an_email_belong_to_one_user_whatever_their_case(
    changes: dict[str, str], reason: str, shop: ShopFront, customer: Customer
) -> None:
    taken = {
        "{username}": customer.username,
        "{USERNAME}": customer.username.upper(),
        "{email}": customer.email,
        "{EMAIL}": customer.email.swapcase(),
    }
    username = unique("other")
    fields = {"username": username, "email": f"{username}@example.com"}
    fields |= {name: taken.get(value, value) for name, value in changes.items()}
    request = user_pb2.RegisterUserRequest(password="long enough", full_name="Other", **fields)

    refusal = await refused(shop.nobody.call(shop.users.RegisterUser, request))

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.ALREADY_EXISTS, reason)
    refusal.confirm_complete("shop.user.v1")


async def test_of_many_who_register_one_username_at_once_one_gets_it(shop: ShopFront) -> None:
    username = unique("rush")

    async def register(number: int) -> grpc.StatusCode:
        request = user_pb2.RegisterUserRequest(
            username=username.upper() if number % 2 else username,
            email=f"{username}-{number}@example.com",
            password="long enough",
            full_name="Rush",
        )
        return await outcome(shop.nobody.call(shop.users.RegisterUser, request))

    codes = await asyncio.gather(*(register(number) for number in range(8)))

    assert codes.count(grpc.StatusCode.OK) == 1
    assert codes.count(grpc.StatusCode.ALREADY_EXISTS) == 7


async def test_a_sku_belongs_to_one_product(shop: ShopFront, admin: Admin) -> None:
    product, other = a_product(), a_product()
    creation = inventory_pb2.CreateProductRequest(product=product)
    await admin.call(shop.inventory.CreateProduct, creation)
    second = await admin.call(
        shop.inventory.CreateProduct, inventory_pb2.CreateProductRequest(product=other)
    )
    update = inventory_pb2.UpdateProductRequest(
        product=inventory_pb2.Product(product_id=second.product.product_id, sku=product.sku),
        update_mask=FieldMask(paths=["sku"]),
    )

    for answer in (
        admin.call(shop.inventory.CreateProduct, creation),
        admin.call(shop.inventory.UpdateProduct, update),
    ):
        refusal = await refused(answer)
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.ALREADY_EXISTS, "SKU_TAKEN")
        refusal.confirm_complete("shop.inventory.v1")


async def test_a_repeated_creation_is_told_from_a_sku_that_somebody_else_has(
    shop: ShopFront, admin: Admin
) -> None:
    product = a_product()
    creation = inventory_pb2.CreateProductRequest(product=product, request_id=unique("once"))
    create = shop.inventory.CreateProduct
    made = await admin.call(create, creation)
    assert await admin.call(create, creation) == made

    creation.product.stock += 1
    other = await refused(admin.call(create, creation))
    creation.request_id = unique("once")
    taken = await refused(admin.call(create, creation))

    assert (other.code, other.reason) == (
        grpc.StatusCode.ALREADY_EXISTS,
        "PRODUCT_REQUEST_ID_REUSED",
    )
    assert (taken.code, taken.reason) == (grpc.StatusCode.ALREADY_EXISTS, "SKU_TAKEN")
    other.confirm_complete("shop.inventory.v1")


async def test_the_stock_moves_by_an_amount_once_per_request_and_within_its_bounds(
    shop: ShopFront, admin: Admin, product_id: str
) -> None:
    adjust = shop.inventory.AdjustStock
    assert (await admin.product(product_id)).stock == 10

    def less(by: int, request_id: str) -> Any:
        request = inventory_pb2.AdjustStockRequest(
            product_id=product_id, delta=-by, request_id=request_id
        )
        return admin.call(adjust, request)

    request_id = unique("once")
    for _ in range(2):
        assert (await less(3, request_id)).product.stock == 7
        assert (await admin.product(product_id)).stock == 7
    other = await refused(less(2, request_id))
    too_much = await refused(less(8, unique("once")))
    too_many = await refused(less(-(10**9), unique("once")))

    assert (other.code, other.reason) == (
        grpc.StatusCode.ALREADY_EXISTS,
        "PRODUCT_REQUEST_ID_REUSED",
    )
    for refusal, reason in (
        (too_much, "INSUFFICIENT_STOCK"),
        (too_many, "STOCK_LIMIT_EXCEEDED"),
    ):
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, reason)
        refusal.confirm_complete("shop.inventory.v1")


async def test_a_request_id_stands_for_one_order_of_one_user(
    admin: Admin, customer: Customer, stranger: Customer, product_id: str
) -> None:
    request_id = unique("once")
    other_id = await admin.add_product()
    first = await customer.buy({product_id: 1, other_id: 1}, request_id)

    assert await customer.buy({other_id: 1, product_id: 1}, request_id) == first
    reuse = await refused(customer.buy({product_id: 2}, request_id))
    assert (reuse.code, reuse.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    reuse.confirm_complete("shop.order.v1")
    assert (await stranger.buy({product_id: 1}, request_id)).order_id != first.order_id


async def test_a_reservation_id_stands_for_one_reservation(
    shop: ShopFront, product_id: str
) -> None:
    service, name = shop.service, unique("reservation")
    await service.reserve(name, {product_id: 1})
    await service.reserve(name, {product_id: 1})
    assert (await shop.ledger.stock(product_id)).reserved == 1

    other = await refused(service.reserve(name, {product_id: 2}))
    assert (other.code, other.reason) == (
        grpc.StatusCode.ALREADY_EXISTS,
        "RESERVATION_ID_REUSED",
    )
    release = inventory_pb2.ReleaseReservationRequest(reservation_id=name)
    for _ in range(2):
        await service.call(shop.inventory.ReleaseReservation, release)
    released = await refused(service.reserve(name, {product_id: 1}))
    assert (released.code, released.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "RESERVATION_RELEASED",
    )
    commit = inventory_pb2.CommitReservationRequest(reservation_id=name)
    late = await refused(service.call(shop.inventory.CommitReservation, commit))
    assert late.reason == "RESERVATION_RELEASED"
    assert (await shop.ledger.stock(product_id)).available == 10


async def test_a_reservation_that_was_released_before_it_was_made_is_never_made(
    shop: ShopFront, product_id: str
) -> None:
    service, name = shop.service, unique("overtaken")
    release = inventory_pb2.ReleaseReservationRequest(reservation_id=name)
    await service.call(shop.inventory.ReleaseReservation, release)

    late = await refused(service.reserve(name, {product_id: 1}))

    assert late.reason == "RESERVATION_RELEASED"
    assert (await shop.ledger.stock(product_id)).available == 10


@pytest.mark.parametrize("name", METHODS)
async def test_a_request_that_is_no_message_is_refused_as_bad_input(
    name: str, shop: ShopFront
) -> None:
    service = service_of(name)
    send: Any = shop.channels[service].unary_unary(f"/{SERVICES[service].full_name}/{name}")

    refusal = await refused(send(b"\xff\xff", timeout=10))

    assert (refusal.code, refusal.reason) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "REQUEST_UNREADABLE",
    )
    refusal.confirm_complete(domain_of(name))


async def test_what_does_not_exist_is_not_found(
    shop: ShopFront, admin: Admin, customer: Customer
) -> None:
    for answer, reason in (
        (shop.nobody.product(UNKNOWN_ID), "PRODUCT_NOT_FOUND"),
        (customer.order(UNKNOWN_ID), "ORDER_NOT_FOUND"),
        (admin.cancel(UNKNOWN_ID), "ORDER_NOT_FOUND"),
        (admin.profile(UNKNOWN_ID), "USER_NOT_FOUND"),
    ):
        refusal = await refused(answer)
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, reason)


# ---- logging in


async def test_an_unknown_user_and_a_wrong_password_are_answered_alike(
    shop: ShopFront, customer: Customer
) -> None:
    unknown = await refused(shop.nobody.log_in(unique("nobody"), "wrong password"))
    wrong = await refused(shop.nobody.log_in(customer.username, "wrong password"))

    assert unknown.code is grpc.StatusCode.UNAUTHENTICATED
    assert unknown.reason == "INVALID_CREDENTIALS"
    unknown.confirm_complete("shop.user.v1")
    assert replace(unknown, request_id=None) == replace(wrong, request_id=None)
    await shop.nobody.log_in(customer.username, customer.password)


async def test_an_unknown_user_and_a_wrong_password_cost_a_hash_each(
    shop: ShopFront, customer: Customer
) -> None:
    """Hashing is nearly all that a login takes: without it the time would tell who is known."""
    if not isinstance(shop, RunningShop):
        pytest.skip("only a shop of the tests' own shows how many hashes it made")
    port = shop.settings.ports.user_metrics

    async def hashes(username: str) -> int:
        before = (await figures_at(port, "shop_hash_done_total"))[()]
        await refused(shop.nobody.log_in(username, "wrong password"))
        return (await figures_at(port, "shop_hash_done_total"))[()] - before

    assert (await hashes(unique("nobody")), await hashes(customer.username)) == (1, 1)
    await shop.nobody.log_in(customer.username, customer.password)


async def throttled(nobody: Caller, names: list[str], password: str) -> Refused:
    """Fail to log in as often as one may, under any of the names, and return the next answer."""
    for attempt in range(MAX_FAILURES):
        failure = await refused(nobody.log_in(names[attempt % len(names)], "wrong password"))
        assert failure.code is grpc.StatusCode.UNAUTHENTICATED
    return await refused(nobody.log_in(names[0], password))


def confirm_throttled(refusal: Refused) -> None:
    assert (refusal.code, refusal.reason) == (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "LOGIN_THROTTLED",
    )
    assert refusal.retry_delay_s is not None
    assert 0 < refusal.retry_delay_s <= WINDOW_S
    refusal.confirm_complete("shop.user.v1")


async def test_too_many_failed_logins_close_an_account_by_all_its_names(
    shop: ShopFront,
) -> None:
    victim = await shop.customer("victim")
    names = [victim.username, victim.email, victim.username.upper()]

    confirm_throttled(await throttled(shop.nobody, names, victim.password))

    for name in names:
        confirm_throttled(await refused(shop.nobody.log_in(name, victim.password)))
    # Who is logged in stays so, and is asked for the password apart from strangers.
    assert (await victim.profile(victim.user_id)).active
    change = user_pb2.ChangePasswordRequest(
        user_id=victim.user_id, current_password="wrong password", new_password="another one"
    )
    for _ in range(MAX_FAILURES):
        failure = await refused(victim.call(shop.users.ChangePassword, change))
        assert failure.code is grpc.StatusCode.UNAUTHENTICATED
    confirm_throttled(await refused(victim.call(shop.users.ChangePassword, change)))


@asynccontextmanager
async def called_from(source: str, shop: ShopFront) -> AsyncIterator[Caller]:
    """Let somebody call the User service from another address of loopback."""
    if not isinstance(shop, RunningShop) or sys.platform != "linux":
        pytest.skip("only Linux has all of 127.0.0.0/8, and only to call what runs here")
    upstream = (shop.settings.host, shop.settings.ports.user)
    async with (
        Relay(upstream, source=source).opened() as relay,
        aio.insecure_channel(f"127.0.0.1:{relay.port}") as channel,
    ):
        yield Caller(replace(shop.stubs, users=UserServiceStub(channel)))


async def test_strangers_close_an_account_to_strangers_alone(shop: ShopFront) -> None:
    victim = await shop.customer("victim")
    login = user_pb2.AuthenticateUserRequest(username=victim.username, password=victim.password)

    async with called_from("127.0.0.2", shop) as stranger:
        confirm_throttled(await throttled(stranger, [victim.username], victim.password))
        # A token of a login is good from anywhere, used up or not, and is not used up by this.
        login.refresh_token = victim.refresh_token
        for _ in range(2):
            known = await stranger.call(stranger.stubs.users.AuthenticateUser, login)
        assert known.user_id == victim.user_id
    async with called_from("127.0.0.3", shop) as other:
        confirm_throttled(await refused(other.log_in(victim.username, victim.password)))
    assert (await shop.nobody.log_in(victim.username, victim.password)).user_id == victim.user_id


async def test_a_flood_of_logins_from_one_address_leaves_room_for_others(
    shop: ShopFront, customer: Customer
) -> None:
    reasons: set[str | None] = set()
    async with called_from("127.0.0.4", shop) as stranger:

        async def flood() -> None:
            while True:
                failure = await refused(stranger.log_in(unique("nobody"), "wrong password"))
                reasons.add(failure.reason)

        async def is_full() -> bool:
            return "LOGIN_OVERLOADED" in reasons

        flooding = [asyncio.create_task(flood()) for _ in range(80)]
        try:
            await eventually(is_full, 30, "nobody was refused")
            for _ in range(3):
                await shop.nobody.log_in(customer.username, customer.password)
        finally:
            for task in flooding:
                task.cancel()
            await asyncio.gather(*flooding, return_exceptions=True)
    assert reasons <= {"LOGIN_OVERLOADED", "LOGIN_THROTTLED", "INVALID_CREDENTIALS"}


async def test_a_registration_repeated_by_its_request_id_returns_the_user_it_made(
    shop: ShopFront,
) -> None:
    name = unique("again")
    request = user_pb2.RegisterUserRequest(
        username=name,
        email=f"{name}@example.com",
        password="long enough",
        full_name="Again",
        request_id=name,
    )
    made = await shop.nobody.call(shop.users.RegisterUser, request)

    assert await shop.nobody.call(shop.users.RegisterUser, request) == made
    request.password = "long enough too"
    refusal = await refused(shop.nobody.call(shop.users.RegisterUser, request))
    assert refusal.reason == "USERNAME_TAKEN"


async def test_an_unknown_user_is_throttled_as_a_known_one_is(shop: ShopFront) -> None:
    name = unique("nobody")

    confirm_throttled(await throttled(shop.nobody, [name, name.upper()], "any password"))


async def test_logins_tried_at_once_are_all_counted(shop: ShopFront) -> None:
    name = unique("nobody")

    refusals = await asyncio.gather(
        *(refused(shop.nobody.log_in(name, "wrong password")) for _ in range(2 * MAX_FAILURES))
    )

    codes = [refusal.code for refusal in refusals]
    assert codes.count(grpc.StatusCode.UNAUTHENTICATED) == MAX_FAILURES
    assert codes.count(grpc.StatusCode.RESOURCE_EXHAUSTED) == MAX_FAILURES


async def test_a_right_password_forgets_the_failures_before(
    shop: ShopFront, customer: Customer
) -> None:
    for _ in range(2):
        for _ in range(MAX_FAILURES - 1):
            await refused(shop.nobody.log_in(customer.username, "wrong password"))
        await shop.nobody.log_in(customer.username, customer.password)
