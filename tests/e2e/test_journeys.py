"""What people do in the shop, from the first call to the last."""

import asyncio
import time
from typing import Any

import grpc
from google.protobuf.field_mask_pb2 import FieldMask
from shop.common.v1.money_pb2 import Money
from shop.inventory.v1 import inventory_pb2
from shop.order.v1 import order_pb2
from shop.user.v1 import user_pb2

from services.common.ids import ID_PATTERN
from tests.e2e.support.people import UNKNOWN_ID, Admin, Customer, a_product, unique
from tests.e2e.support.refusals import refused
from tests.e2e.support.shop_front import ShopFront

_QUARTER_HOUR_S = 900


async def test_a_customer_registers_logs_in_buys_and_cancels(shop: ShopFront, admin: Admin) -> None:
    nobody = shop.nobody
    kettle = await admin.add_product(stock=10, price=1_999, name="Kettle")
    teapot = await admin.add_product(stock=5, price=2_550, name="Teapot")

    username, password = unique("Anna.L"), "correct horse battery"
    registration = user_pb2.RegisterUserRequest(
        username=username, email=f"{username}@Mail.Example", password=password, full_name="Anna Ł"
    )
    registered = (await nobody.call(shop.users.RegisterUser, registration)).user
    assert ID_PATTERN.fullmatch(registered.user_id)
    assert registered.username == username
    assert registered.email == f"{username}@Mail.Example"
    assert registered.full_name == "Anna Ł"
    assert registered.role == user_pb2.ROLE_CUSTOMER
    assert registered.active
    assert abs(registered.create_time.seconds - time.time()) < 60

    by_name = await nobody.log_in(username.upper(), password)
    by_email = await nobody.log_in(f"{username}@mail.EXAMPLE", password)
    assert by_name.user_id == by_email.user_id == registered.user_id
    assert abs(by_name.expire_time.seconds - time.time() - _QUARTER_HOUR_S) < 60
    anna = shop.bearer(by_email.access_token)
    assert await anna.profile(registered.user_id) == registered

    assert (await nobody.product(kettle)).stock == 10
    assert await anna.orders_of(registered.user_id) == []
    order = await anna.buy({kettle: 2, teapot: 1})
    assert order.status == order_pb2.ORDER_STATUS_CONFIRMED
    assert order.user_id == registered.user_id
    assert [(line.product_id, line.name, line.quantity) for line in order.lines] == [
        (kettle, "Kettle", 2),
        (teapot, "Teapot", 1),
    ]
    assert [line.unit_price.minor_units for line in order.lines] == [1_999, 2_550]
    assert [line.line_total.minor_units for line in order.lines] == [3_998, 2_550]
    assert order.total == Money(currency_code="EUR", minor_units=6_548)
    assert (await nobody.product(kettle)).stock == 8
    assert (await nobody.product(teapot)).stock == 4

    second = await anna.buy({teapot: 1})
    assert [o.order_id for o in await anna.orders_of(registered.user_id)] == [
        second.order_id,
        order.order_id,
    ]
    assert await anna.order(order.order_id) == order

    cancelled = await anna.cancel(order.order_id)
    assert cancelled.status == order_pb2.ORDER_STATUS_CANCELLED
    assert await anna.order(order.order_id) == cancelled
    assert (await anna.orders_of(registered.user_id))[1] == cancelled
    assert (await shop.ledger.at_rest(kettle)).available == 10
    assert (await nobody.product(kettle)).stock == 10
    assert (await nobody.product(teapot)).stock == 4


async def test_a_login_goes_on_with_its_newest_refresh_token_and_repeats_one_step(
    shop: ShopFront,
) -> None:
    customer = await shop.customer("refresher")

    async def refresh(token: str) -> user_pb2.RefreshTokensResponse:
        request = user_pb2.RefreshTokensRequest(refresh_token=token)
        return await shop.nobody.call(shop.users.RefreshTokens, request)

    renewed = await refresh(customer.refresh_token)
    assert renewed.user_id == customer.user_id
    assert renewed.refresh_token != customer.refresh_token
    again = await refresh(customer.refresh_token)  # as if the first answer had been lost
    assert again.refresh_token == renewed.refresh_token
    assert (await shop.bearer(again.access_token).profile(customer.user_id)).active

    newest = await refresh(renewed.refresh_token)
    forged = await refused(refresh(newest.refresh_token[:-1]))
    assert (forged.code, forged.reason) == (
        grpc.StatusCode.UNAUTHENTICATED,
        "REFRESH_TOKEN_INVALID",
    )
    newest = await refresh(newest.refresh_token)
    reused = await refused(refresh(customer.refresh_token))
    assert (reused.code, reused.reason) == (
        grpc.StatusCode.UNAUTHENTICATED,
        "REFRESH_TOKEN_REUSED",
    )
    revoked = await refused(refresh(newest.refresh_token))
    assert (revoked.code, revoked.reason) == (
        grpc.StatusCode.UNAUTHENTICATED,
        "REFRESH_TOKEN_INVALID",
    )


async def test_many_who_refresh_with_one_token_at_once_get_the_same_one(
    shop: ShopFront, customer: Customer
) -> None:
    login = await shop.nobody.log_in(customer.username, customer.password)
    request = user_pb2.RefreshTokensRequest(refresh_token=login.refresh_token)

    answers = await asyncio.gather(
        *(shop.nobody.call(shop.users.RefreshTokens, request) for _ in range(10))
    )

    (renewed,) = {answer.refresh_token for answer in answers}
    request = user_pb2.RefreshTokensRequest(refresh_token=renewed)
    assert (await shop.nobody.call(shop.users.RefreshTokens, request)).user_id == customer.user_id


async def test_a_revoked_login_cannot_be_refreshed(shop: ShopFront, customer: Customer) -> None:
    login = await shop.nobody.log_in(customer.username, customer.password)
    request = user_pb2.RefreshTokensRequest(refresh_token=login.refresh_token)
    guess = user_pb2.RevokeTokensRequest(refresh_token=login.refresh_token[:-1])
    await shop.nobody.call(shop.users.RevokeTokens, guess)
    await shop.nobody.call(shop.users.RefreshTokens, request)
    revocation = user_pb2.RevokeTokensRequest(refresh_token=login.refresh_token)

    await shop.nobody.call(shop.users.RevokeTokens, revocation)
    await shop.nobody.call(shop.users.RevokeTokens, revocation)

    end = await refused(shop.nobody.call(shop.users.RefreshTokens, request))
    assert end.code is grpc.StatusCode.UNAUTHENTICATED


async def test_another_password_ends_all_logins_and_the_old_password(shop: ShopFront) -> None:
    customer = await shop.customer("changer")
    wrong = user_pb2.ChangePasswordRequest(
        user_id=customer.user_id, current_password="not it", new_password="another password"
    )
    refusal = await refused(customer.call(shop.users.ChangePassword, wrong))
    assert (refusal.code, refusal.reason) == (
        grpc.StatusCode.UNAUTHENTICATED,
        "INVALID_CREDENTIALS",
    )

    right = user_pb2.ChangePasswordRequest(
        user_id=customer.user_id,
        current_password=customer.password,
        new_password="another password",
    )
    await customer.call(shop.users.ChangePassword, right)

    login = await shop.nobody.log_in(customer.username, "another password")
    assert login.user_id == customer.user_id
    old = await refused(shop.nobody.log_in(customer.username, customer.password))
    assert old.reason == "INVALID_CREDENTIALS"
    request = user_pb2.RefreshTokensRequest(refresh_token=customer.refresh_token)
    end = await refused(shop.nobody.call(shop.users.RefreshTokens, request))
    assert end.code is grpc.StatusCode.UNAUTHENTICATED


async def test_a_customer_changes_name_and_address_and_nothing_else(
    shop: ShopFront, stranger: Customer
) -> None:
    customer = await shop.customer("mover")
    await customer.profile(customer.user_id)
    new_email = f"{unique('moved')}@example.org"
    update = user_pb2.UpdateUserProfileRequest(
        user=user_pb2.User(
            user_id=customer.user_id,
            username="other",
            email=new_email,
            full_name="New Name",
            role=user_pb2.ROLE_ADMIN,
        ),
        update_mask=FieldMask(paths=["email", "full_name"]),
    )
    for password, code in (
        ("", grpc.StatusCode.INVALID_ARGUMENT),
        ("not it", grpc.StatusCode.UNAUTHENTICATED),
    ):
        update.current_password = password
        refusal = await refused(customer.call(shop.users.UpdateUserProfile, update))
        assert refusal.code is code
    update.current_password = customer.password

    changed = (await customer.call(shop.users.UpdateUserProfile, update)).user

    assert (changed.email, changed.full_name) == (new_email, "New Name")
    assert (changed.username, changed.role) == (customer.username, user_pb2.ROLE_CUSTOMER)
    assert await customer.profile(customer.user_id) == changed
    assert (await shop.nobody.log_in(new_email, customer.password)).user_id == customer.user_id

    for path in ("role", "active"):
        update.update_mask.CopyFrom(FieldMask(paths=[path]))
        refusal = await refused(customer.call(shop.users.UpdateUserProfile, update))
        assert refusal.code is grpc.StatusCode.PERMISSION_DENIED
    update.user.email = stranger.email.upper()
    update.update_mask.CopyFrom(FieldMask(paths=["email"]))
    refusal = await refused(customer.call(shop.users.UpdateUserProfile, update))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.ALREADY_EXISTS, "EMAIL_TAKEN")


async def test_anybody_browses_and_searches_the_catalogue(shop: ShopFront, admin: Admin) -> None:
    category, word = unique("category"), unique("word").replace("-", "")
    ids = []
    for number in range(5):
        product = a_product(name=f"Thing {number}")
        product.category = category
        if number % 2:
            product.description = f"With {word} and more"
        answer = await admin.call(
            shop.inventory.CreateProduct, inventory_pb2.CreateProductRequest(product=product)
        )
        ids.append(answer.product.product_id)

    request = inventory_pb2.ListProductsRequest(category=category, page_size=2)
    pages = []
    while True:
        page = await shop.nobody.call(shop.inventory.ListProducts, request)
        pages.append([product.product_id for product in page.products])
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert pages == [ids[:2], ids[2:4], ids[4:]]

    search = inventory_pb2.ListProductsRequest(query=f"more {word.upper()}")
    found = await shop.nobody.call(shop.inventory.ListProducts, search)
    assert [product.product_id for product in found.products] == [ids[1], ids[3]]

    batch = inventory_pb2.BatchGetProductsRequest(product_ids=[ids[3], UNKNOWN_ID, ids[0], ids[3]])
    for _ in range(2):  # from the store, then from the cache
        some = await shop.nobody.call(shop.inventory.BatchGetProducts, batch)
        assert [product.product_id for product in some.products] == [ids[3], ids[0]]
        assert list(some.missing_ids) == [UNKNOWN_ID]


async def test_orders_are_listed_newest_first_page_by_page(shop: ShopFront, admin: Admin) -> None:
    customer = await shop.customer("pager")
    product = await admin.add_product(stock=100)
    placed = [(await customer.buy({product: 1})).order_id for _ in range(23)]
    newest_first = placed[::-1]

    request = order_pb2.ListUserOrdersRequest(user_id=customer.user_id)
    first = await customer.call(shop.orders.ListUserOrders, request)
    assert [order.order_id for order in first.orders] == newest_first[:20]
    request.page_token = first.next_page_token
    second = await customer.call(shop.orders.ListUserOrders, request)
    assert [order.order_id for order in second.orders] == newest_first[20:]
    assert not second.next_page_token

    seen: list[str] = []
    small = order_pb2.ListUserOrdersRequest(user_id=customer.user_id, page_size=7)
    while True:
        page = await customer.call(shop.orders.ListUserOrders, small)
        seen += [order.order_id for order in page.orders]
        if not page.next_page_token:
            break
        small.page_token = page.next_page_token
    assert seen == newest_first

    assert [o.order_id for o in await customer.orders_of(customer.user_id, 1_000)] == newest_first


async def test_an_admin_keeps_the_catalogue(shop: ShopFront, admin: Admin) -> None:
    wanted = a_product(name="Toaster", stock=3)
    creation = inventory_pb2.CreateProductRequest(product=wanted)
    created = (await admin.call(shop.inventory.CreateProduct, creation)).product
    assert ID_PATTERN.fullmatch(created.product_id)
    assert created.version == 1
    assert (created.sku, created.name, created.stock) == (wanted.sku, "Toaster", 3)
    assert await shop.nobody.product(created.product_id) == created

    change = inventory_pb2.Product(
        product_id=created.product_id,
        name="Toaster XL",
        price=Money(currency_code="EUR", minor_units=4_999),
        description="not in the mask",
        version=1,
    )
    update = inventory_pb2.UpdateProductRequest(
        product=change, update_mask=FieldMask(paths=["name", "price"])
    )
    changed = (await admin.call(shop.inventory.UpdateProduct, update)).product
    assert (changed.name, changed.price.minor_units, changed.version) == ("Toaster XL", 4_999, 2)
    assert changed.description == created.description
    assert await shop.nobody.product(created.product_id) == changed

    stale = await refused(admin.call(shop.inventory.UpdateProduct, update))
    assert (stale.code, stale.reason) == (grpc.StatusCode.ABORTED, "VERSION_CONFLICT")

    deletion = inventory_pb2.DeleteProductRequest(product_id=created.product_id)
    await admin.call(shop.inventory.DeleteProduct, deletion)
    for gone in (
        shop.nobody.product(created.product_id),
        admin.call(shop.inventory.DeleteProduct, deletion),
        admin.call(
            shop.inventory.UpdateProduct,
            inventory_pb2.UpdateProductRequest(
                product=change, update_mask=FieldMask(paths=["name"])
            ),
        ),
    ):
        refusal = await refused(gone)
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "PRODUCT_NOT_FOUND")


async def test_a_product_that_is_reserved_cannot_be_deleted(
    shop: ShopFront, admin: Admin, product_id: str
) -> None:
    await shop.service.reserve(unique("held"), {product_id: 1})

    deletion = inventory_pb2.DeleteProductRequest(product_id=product_id)
    refusal = await refused(admin.call(shop.inventory.DeleteProduct, deletion))

    assert (refusal.code, refusal.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "PRODUCT_RESERVED",
    )


async def test_an_order_outlives_its_product_with_name_and_price(
    shop: ShopFront, admin: Admin, customer: Customer, product_id: str
) -> None:
    order = await customer.buy({product_id: 1})
    await shop.ledger.at_rest(product_id)
    deletion = inventory_pb2.DeleteProductRequest(product_id=product_id)
    await admin.call(shop.inventory.DeleteProduct, deletion)

    assert (await customer.order(order.order_id)).lines == order.lines
    rejected = await customer.buy({product_id: 1})
    assert rejected.status == order_pb2.ORDER_STATUS_REJECTED
    assert rejected.reject_reason == "PRODUCT_NOT_FOUND"


async def test_an_admin_ships_and_delivers_an_order(
    shop: ShopFront, admin: Admin, customer: Customer, product_id: str
) -> None:
    order = await customer.buy({product_id: 4})
    for status in (
        order_pb2.ORDER_STATUS_DELIVERED,
        order_pb2.ORDER_STATUS_PENDING,
        order_pb2.ORDER_STATUS_CONFIRMED,
        order_pb2.ORDER_STATUS_REJECTED,
    ):
        refusal = await refused(admin.move(order.order_id, status))
        assert (refusal.code, refusal.reason) == (
            grpc.StatusCode.FAILED_PRECONDITION,
            "STATUS_MOVE_NOT_ALLOWED",
        )

    shipped = await admin.move(order.order_id, order_pb2.ORDER_STATUS_SHIPPED)
    assert shipped.status == order_pb2.ORDER_STATUS_SHIPPED
    too_late = await refused(customer.cancel(order.order_id))
    assert (too_late.code, too_late.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "STATUS_MOVE_NOT_ALLOWED",
    )
    delivered = await admin.move(order.order_id, order_pb2.ORDER_STATUS_DELIVERED)
    assert delivered.status == order_pb2.ORDER_STATUS_DELIVERED
    assert await customer.order(order.order_id) == delivered
    for status in (order_pb2.ORDER_STATUS_SHIPPED, order_pb2.ORDER_STATUS_CANCELLED):
        refusal = await refused(admin.move(order.order_id, status))
        assert refusal.code is grpc.StatusCode.FAILED_PRECONDITION
    assert (await shop.ledger.at_rest(product_id)).sold == 4


async def test_an_order_that_cannot_be_filled_is_rejected_and_reserves_nothing(
    shop: ShopFront, admin: Admin, customer: Customer, product_id: str
) -> None:
    dollars = await admin.add_product(currency="USD")
    for items, reason in (
        ({product_id: 11}, "INSUFFICIENT_STOCK"),
        ({product_id: 1, UNKNOWN_ID: 1}, "PRODUCT_NOT_FOUND"),
        ({product_id: 1, dollars: 1}, "MIXED_CURRENCIES"),
    ):
        order = await customer.buy(items)
        assert order.status == order_pb2.ORDER_STATUS_REJECTED
        assert order.reject_reason == reason
        assert order.reject_message
        assert not order.HasField("total")
        assert [(line.product_id, line.quantity) for line in order.lines] == [*items.items()]
        refusal = await refused(customer.cancel(order.order_id))
        assert refusal.code is grpc.StatusCode.FAILED_PRECONDITION
    assert (await shop.ledger.at_rest(product_id)).available == 10
    assert (await shop.ledger.at_rest(dollars)).available == 10


async def test_an_order_whose_price_is_not_the_expected_one_is_rejected(
    shop: ShopFront, admin: Admin, customer: Customer, product_id: str
) -> None:
    request = order_pb2.CreateOrderRequest(
        request_id=unique("dear"),
        items=[order_pb2.OrderItem(product_id=product_id, quantity=2)],
        expected_total=Money(currency_code="EUR", minor_units=2 * 1_999),
    )
    bought = (await customer.call(shop.orders.CreateOrder, request)).order
    assert (bought.status, bought.total) == (
        order_pb2.ORDER_STATUS_CONFIRMED,
        request.expected_total,
    )
    dearer = inventory_pb2.UpdateProductRequest(
        product=inventory_pb2.Product(
            product_id=product_id, price=Money(currency_code="EUR", minor_units=2_999)
        ),
        update_mask=FieldMask(paths=["price"]),
    )
    await admin.call(shop.inventory.UpdateProduct, dearer)
    assert (await customer.call(shop.orders.CreateOrder, request)).order.order_id == bought.order_id
    request.request_id = unique("dear")
    rejected = (await customer.call(shop.orders.CreateOrder, request)).order
    assert (rejected.status, rejected.reject_reason) == (
        order_pb2.ORDER_STATUS_REJECTED,
        "PRICE_CHANGED",
    )
    stock = await shop.ledger.at_rest(product_id)
    assert (stock.available, stock.sold) == (8, 2)


async def test_a_deactivated_user_can_neither_log_in_nor_order(
    shop: ShopFront, admin: Admin, product_id: str
) -> None:
    leaver = await shop.customer("leaver")
    await leaver.profile(leaver.user_id)  # it is cached now
    off = user_pb2.UpdateUserProfileRequest(
        user=user_pb2.User(user_id=leaver.user_id), update_mask=FieldMask(paths=["active"])
    )
    assert not (await admin.call(shop.users.UpdateUserProfile, off)).user.active

    right = await refused(shop.nobody.log_in(leaver.username, leaver.password))
    wrong = await refused(shop.nobody.log_in(leaver.username, "wrong password"))
    assert right.reason == "INVALID_CREDENTIALS"
    assert (right.code, right.message, right.metadata) == (
        wrong.code,
        wrong.message,
        wrong.metadata,
    )
    refresh = user_pb2.RefreshTokensRequest(refresh_token=leaver.refresh_token)
    assert (
        await refused(shop.nobody.call(shop.users.RefreshTokens, refresh))
    ).code is grpc.StatusCode.UNAUTHENTICATED
    order = await leaver.buy({product_id: 1})
    assert order.status == order_pb2.ORDER_STATUS_REJECTED
    assert order.reject_reason == "USER_NOT_ACTIVE"
    assert (await shop.ledger.at_rest(product_id)).available == 10

    off.user.active = True
    await admin.call(shop.users.UpdateUserProfile, off)
    assert (await shop.nobody.log_in(leaver.username, leaver.password)).user_id == leaver.user_id
    assert (await leaver.buy({product_id: 1})).status == order_pb2.ORDER_STATUS_CONFIRMED


async def test_a_dismissed_administrator_does_not_restore_itself(
    shop: ShopFront, admin: Admin
) -> None:
    boss = await shop.customer("boss")

    def change(**values: Any) -> user_pb2.UpdateUserProfileRequest:
        return user_pb2.UpdateUserProfileRequest(
            user=user_pb2.User(user_id=boss.user_id, **values),
            update_mask=FieldMask(paths=["role", "active"]),
        )

    promotion = change(role=user_pb2.ROLE_ADMIN, active=True)
    await admin.call(shop.users.UpdateUserProfile, promotion)
    login = await shop.nobody.log_in(boss.username, boss.password)
    token_of_before = shop.bearer(login.access_token)
    await token_of_before.call(shop.users.UpdateUserProfile, promotion)
    resignation = await refused(
        token_of_before.call(shop.users.UpdateUserProfile, change(role=user_pb2.ROLE_CUSTOMER))
    )
    assert (resignation.code, resignation.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "OWN_ADMINISTRATION",
    )

    dismissed = (
        await admin.call(shop.users.UpdateUserProfile, change(role=user_pb2.ROLE_CUSTOMER))
    ).user

    refusal = await refused(token_of_before.call(shop.users.UpdateUserProfile, promotion))
    assert (refusal.code, refusal.reason) == (
        grpc.StatusCode.PERMISSION_DENIED,
        "ADMINISTRATOR_REQUIRED",
    )
    assert await admin.profile(boss.user_id) == dismissed
    request = user_pb2.RefreshTokensRequest(refresh_token=login.refresh_token)
    end = await refused(shop.nobody.call(shop.users.RefreshTokens, request))
    assert end.code is grpc.StatusCode.UNAUTHENTICATED


async def test_a_user_who_never_was_cannot_order(shop: ShopFront, product_id: str) -> None:
    ghost = shop.bearer(shop.mint.user(UNKNOWN_ID))

    order = await ghost.buy({product_id: 1})

    assert order.reject_reason == "USER_NOT_FOUND"
    assert (await shop.ledger.at_rest(product_id)).available == 10
