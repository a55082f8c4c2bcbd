"""Every rule a request can break, and the fields that the answer names for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from shop.common.v1.money_pb2 import Money
from shop.inventory.v1 import inventory_pb2 as inv
from shop.order.v1 import order_pb2 as ord_
from shop.user.v1 import user_pb2 as usr

from tests.e2e.support.people import UNKNOWN_ID, a_product

ID: Final = UNKNOWN_ID
BAD_IDS: Final = ("", "x", "0" * 23, "0" * 25, "A" * 24, "g" * 24, f"{ID}\n", "０" * 24)  # noqa: RUF001
BAD_NAMES: Final = ("", "x" * 65, "a b", "a/b", "é", "a\n", "$where")
FOREIGN_TOKENS: Final = ("abc", "!", "é", "AAAAAAAAAAA", "x" * 600, " ")
BAD_EMAILS: Final = (
    "",
    "nobody",
    "@example.com",
    "a@b",
    "a@@example.com",
    "a b@example.com",
    "a@example.com\n",
    f"{'a' * 65}@example.com",
    f"a@{'b' * 63}.{'c' * 63}.{'d' * 63}.{'e' * 63}.example",
)


@dataclass(frozen=True, slots=True)
class Bad:
    """A request that breaks rules, and the fields that the answer must name, all of them."""

    method: str
    request: Message
    fields: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.method}-{'+'.join(self.fields)}"


def _each(method: str, field: str, requests: Sequence[Message]) -> list[Bad]:
    return [Bad(method, request, (field,)) for request in requests]


def _registration(**changes: str) -> usr.RegisterUserRequest:
    good = {
        "username": "somebody",
        "email": "somebody@example.com",
        "password": "long enough",
        "full_name": "Some Body",
    }
    return usr.RegisterUserRequest(**{**good, **changes})


def _change(**changes: str) -> usr.ChangePasswordRequest:
    good = {"user_id": ID, "current_password": "password", "new_password": "long enough"}
    return usr.ChangePasswordRequest(**{**good, **changes})


def creation(**changes: Any) -> inv.CreateProductRequest:
    return inv.CreateProductRequest(product=_product(**changes))


def _product(**changes: Any) -> inv.Product:
    product = a_product()
    for name in changes:
        product.ClearField(name)  # type: ignore[arg-type]
    product.MergeFrom(inv.Product(**changes))
    return product


def _adjustment(
    product_id: str = ID, delta: int = 1, request_id: str = "r"
) -> inv.AdjustStockRequest:
    return inv.AdjustStockRequest(product_id=product_id, delta=delta, request_id=request_id)


def _money(currency: str = "EUR", minor_units: int = 1) -> Money:
    return Money(currency_code=currency, minor_units=minor_units)


def _update_user(*paths: str, user_id: str = ID, **changes: Any) -> usr.UpdateUserProfileRequest:
    return usr.UpdateUserProfileRequest(
        user=usr.User(user_id=user_id, **changes), update_mask=FieldMask(paths=paths)
    )


def _update_product(*paths: str, product_id: str = ID, **changes: Any) -> inv.UpdateProductRequest:
    return inv.UpdateProductRequest(
        product=inv.Product(product_id=product_id, **changes), update_mask=FieldMask(paths=paths)
    )


def _reservation(*items: tuple[str, int], name: str = "r") -> inv.ReserveStockRequest:
    return inv.ReserveStockRequest(
        reservation_id=name,
        items=[inv.ReservationItem(product_id=p, quantity=n) for p, n in items],
    )


def checkout(*items: tuple[str, int], request_id: str = "r") -> ord_.CreateOrderRequest:
    return ord_.CreateOrderRequest(
        request_id=request_id,
        items=[ord_.OrderItem(product_id=p, quantity=n) for p, n in items],
    )


def _many(count: int) -> list[tuple[str, int]]:
    return [(f"{number:024x}", 1) for number in range(count)]


def _users() -> list[Bad]:
    login = usr.AuthenticateUserRequest
    return [
        *_each(
            "RegisterUser",
            "username",
            [
                _registration(username=bad)
                for bad in (
                    "",
                    "ab",
                    "a" * 33,
                    "-abc",
                    ".abc",
                    "a b c",
                    "\u0430dmin",
                    "abc\n",
                    "a@b.c",
                )
            ],
        ),
        *_each("RegisterUser", "email", [_registration(email=bad) for bad in BAD_EMAILS]),
        *_each(
            "RegisterUser",
            "password",
            [
                _registration(password=bad)
                for bad in ("", "7 chars", "x" * 129, " " * 8, "nul\0in it")
            ],
        ),
        *_each(
            "RegisterUser",
            "full_name",
            [_registration(full_name=bad) for bad in ("", "  ", "x" * 101, "a\0b", "a\x1bb")],
        ),
        *_each(
            "RegisterUser",
            "request_id",
            [_registration(request_id=bad) for bad in ("a b", "x" * 65, "a\n")],
        ),
        Bad(
            "RegisterUser",
            usr.RegisterUserRequest(),
            ("username", "email", "password", "full_name"),
        ),
        *_each(
            "AuthenticateUser",
            "username",
            [login(username=bad, password="x") for bad in ("", "x" * 255)],
        ),
        *_each(
            "AuthenticateUser",
            "password",
            [login(username="somebody", password=bad) for bad in ("", "x" * 129)],
        ),
        *_each(
            "AuthenticateUser",
            "refresh_token",
            [login(username="somebody", password="x", refresh_token="x" * 257)],
        ),
        *_each(
            "RefreshTokens",
            "refresh_token",
            [usr.RefreshTokensRequest(refresh_token=bad) for bad in ("", "x" * 257)],
        ),
        *_each(
            "RevokeTokens",
            "refresh_token",
            [usr.RevokeTokensRequest(refresh_token=bad) for bad in ("", "x" * 257)],
        ),
        *_each(
            "ChangePassword",
            "current_password",
            [_change(current_password=bad) for bad in ("", "x" * 129)],
        ),
        *_each(
            "ChangePassword",
            "new_password",
            [_change(new_password=bad) for bad in ("", "7 chars", "x" * 129)],
        ),
        Bad(
            "ChangePassword",
            _change(current_password="", new_password=""),
            ("current_password", "new_password"),
        ),
        *_each(
            "GetUserProfile", "user_id", [usr.GetUserProfileRequest(user_id=bad) for bad in BAD_IDS]
        ),
        *_each(
            "UpdateUserProfile",
            "user.user_id",
            [_update_user("full_name", user_id=bad, full_name="x") for bad in BAD_IDS],
        ),
        *_each(
            "UpdateUserProfile",
            "update_mask",
            [
                _update_user("username", username="other"),
                _update_user("user_id"),
                _update_user("password_hash"),
                _update_user("full_name", "nonsense", full_name="x"),
                _update_user("user.full_name", full_name="x"),
                _update_user(""),
                _update_user("*", "email"),
                _update_user(),
            ],
        ),
        *_each(
            "UpdateUserProfile",
            "user.email",
            [_update_user("email", email=bad) for bad in BAD_EMAILS],
        ),
        *_each(
            "UpdateUserProfile",
            "user.full_name",
            [_update_user("full_name", full_name=bad) for bad in ("", " ", "x" * 101, "\0")],
        ),
        *_each(
            "UpdateUserProfile",
            "user.role",
            [_update_user("role"), _update_user("role", role=99)],
        ),
        Bad("UpdateUserProfile", _update_user("*"), ("user.email", "user.full_name", "user.role")),
    ]


def _catalogue() -> list[Bad]:
    return [
        *_each("CreateProduct", "product.sku", [creation(sku=bad) for bad in BAD_NAMES]),
        *_each(
            "CreateProduct",
            "product.name",
            [creation(name=bad) for bad in ("", " ", "x" * 201, "\0")],
        ),
        *_each("CreateProduct", "product.description", [creation(description="x" * 4_001)]),
        *_each(
            "CreateProduct",
            "product.category",
            [creation(category=bad) for bad in ("", "Upper", "a b", "x" * 65, "é")],
        ),
        *_each(
            "CreateProduct",
            "product.price.currency_code",
            [creation(price=_money(bad)) for bad in ("", "eur", "EURO", "€")],
        ),
        *_each(
            "CreateProduct",
            "product.price.minor_units",
            [creation(price=_money("EUR", bad)) for bad in (-1, -(2**63), 10**12 + 1, 2**63 - 1)],
        ),
        *_each(
            "CreateProduct",
            "product.stock",
            [creation(stock=bad) for bad in (-1, -(2**63), 10**9 + 1, 2**63 - 1)],
        ),
        *_each(
            "CreateProduct",
            "request_id",
            [
                inv.CreateProductRequest(product=a_product(), request_id=bad)
                for bad in BAD_NAMES
                if bad
            ],
        ),
        Bad("CreateProduct", creation(tags=["x"] * 21), ("product.tags",)),
        Bad(
            "CreateProduct",
            creation(tags=["a", "", "x" * 51]),
            ("product.tags[1]", "product.tags[2]"),
        ),
        Bad(
            "CreateProduct",
            inv.CreateProductRequest(),
            ("product.sku", "product.name", "product.category", "product.price.currency_code"),
        ),
        *_each(
            "GetProduct",
            "product_id",
            [inv.GetProductRequest(product_id=bad) for bad in BAD_IDS],
        ),
        *_each(
            "BatchGetProducts",
            "product_ids",
            [
                inv.BatchGetProductsRequest(),
                inv.BatchGetProductsRequest(product_ids=[p for p, _ in _many(101)]),
            ],
        ),
        *_each(
            "BatchGetProducts",
            "product_ids[1]",
            [inv.BatchGetProductsRequest(product_ids=[ID, bad]) for bad in BAD_IDS],
        ),
        *_each(
            "ListProducts",
            "page_size",
            [inv.ListProductsRequest(page_size=bad) for bad in (-1, -(2**31))],
        ),
        *_each(
            "ListProducts",
            "page_token",
            [inv.ListProductsRequest(page_token=bad) for bad in FOREIGN_TOKENS],
        ),
        *_each("ListProducts", "category", [inv.ListProductsRequest(category="x" * 65)]),
        *_each(
            "ListProducts",
            "query",
            [inv.ListProductsRequest(query=bad) for bad in ("x" * 201, "  ", "\0")],
        ),
        *_each(
            "UpdateProduct",
            "product.product_id",
            [_update_product("name", product_id=bad, name="x") for bad in BAD_IDS],
        ),
        *_each(
            "UpdateProduct",
            "update_mask",
            [
                _update_product("version"),
                _update_product("product_id"),
                _update_product("reserved"),
                _update_product("price.minor_units", price=_money()),
                _update_product("name", "create_time", name="x"),
                _update_product("*", "name"),
                _update_product(""),
                _update_product(),
            ],
        ),
        Bad("UpdateProduct", _update_product("name"), ("product.name",)),
        Bad("UpdateProduct", _update_product("sku", sku="a b"), ("product.sku",)),
        Bad("UpdateProduct", _update_product("stock", stock=-1), ("product.stock",)),
        Bad("UpdateProduct", _update_product(stock=-1), ("product.stock",)),
        Bad(
            "UpdateProduct",
            _update_product("price", price=_money("eur", -1)),
            ("product.price.currency_code", "product.price.minor_units"),
        ),
        *_each("AdjustStock", "product_id", [_adjustment(product_id=bad) for bad in BAD_IDS]),
        *_each(
            "AdjustStock",
            "delta",
            [_adjustment(delta=bad) for bad in (0, 10**9 + 1, -(10**9) - 1, -(2**63), 2**63 - 1)],
        ),
        *_each("AdjustStock", "request_id", [_adjustment(request_id=bad) for bad in BAD_NAMES]),
        Bad("AdjustStock", inv.AdjustStockRequest(), ("product_id", "delta", "request_id")),
        *_each(
            "DeleteProduct",
            "product_id",
            [inv.DeleteProductRequest(product_id=bad) for bad in BAD_IDS],
        ),
    ]


def _reservations() -> list[Bad]:
    before = Timestamp(seconds=10**9)
    return [
        *_each(
            "ReserveStock",
            "reservation_id",
            [_reservation((ID, 1), name=n) for n in BAD_NAMES],
        ),
        *_each("ReserveStock", "items", [_reservation(), _reservation(*_many(101))]),
        *_each("ReserveStock", "items[0].product_id", [_reservation((bad, 1)) for bad in BAD_IDS]),
        *_each(
            "ReserveStock",
            "items[0].quantity",
            [_reservation((ID, bad)) for bad in (0, -1, 10_001, -(2**63), 2**63 - 1)],
        ),
        Bad("ReserveStock", _reservation((ID, 1), (ID, 2)), ("items[1].product_id",)),
        *_each(
            "CommitReservation",
            "reservation_id",
            [inv.CommitReservationRequest(reservation_id=bad) for bad in BAD_NAMES],
        ),
        *_each(
            "ReleaseReservation",
            "reservation_id",
            [inv.ReleaseReservationRequest(reservation_id=bad) for bad in BAD_NAMES],
        ),
        Bad(
            "ListHeldReservations",
            inv.ListHeldReservationsRequest(page_size=-1, create_time_before=before),
            ("page_size",),
        ),
        *_each(
            "ListHeldReservations",
            "page_token",
            [
                inv.ListHeldReservationsRequest(page_token=bad, create_time_before=before)
                for bad in FOREIGN_TOKENS
            ],
        ),
        *_each(
            "ListHeldReservations",
            "create_time_before",
            [
                inv.ListHeldReservationsRequest(
                    create_time_before=Timestamp(seconds=bad, nanos=nanos)
                )
                for bad, nanos in ((10**15, 0), (-(10**15), 0), (0, -1), (0, 2 * 10**9))
            ],
        ),
        *_each(
            "ListHeldReservations",
            "min_age",
            [
                inv.ListHeldReservationsRequest(min_age=Duration(seconds=bad, nanos=nanos))
                for bad, nanos in (
                    (-1, 0),
                    (0, -1),
                    (315_576_000_001, 0),
                    (2**63 - 1, 0),
                    (0, 10**9),
                )
            ],
        ),
    ]


def _orders() -> list[Bad]:
    statuses = (ord_.ORDER_STATUS_UNSPECIFIED, 99)
    return [
        *_each("CreateOrder", "request_id", [checkout((ID, 1), request_id=n) for n in BAD_NAMES]),
        *_each("CreateOrder", "items", [checkout(), checkout(*_many(101))]),
        *_each("CreateOrder", "items[0].product_id", [checkout((bad, 1)) for bad in BAD_IDS]),
        *_each(
            "CreateOrder",
            "items[0].quantity",
            [checkout((ID, bad)) for bad in (0, -1, 10_001, -(2**63), 2**63 - 1)],
        ),
        Bad("CreateOrder", checkout((ID, 1), (ID, 2)), ("items[1].product_id",)),
        Bad("CreateOrder", ord_.CreateOrderRequest(), ("request_id", "items")),
        *_each("GetOrder", "order_id", [ord_.GetOrderRequest(order_id=bad) for bad in BAD_IDS]),
        *_each(
            "CancelOrder",
            "order_id",
            [ord_.CancelOrderRequest(order_id=bad) for bad in BAD_IDS],
        ),
        *_each(
            "UpdateOrderStatus",
            "order_id",
            [
                ord_.UpdateOrderStatusRequest(order_id=bad, status=ord_.ORDER_STATUS_SHIPPED)
                for bad in BAD_IDS
            ],
        ),
        *_each(
            "UpdateOrderStatus",
            "status",
            [
                ord_.UpdateOrderStatusRequest(order_id=ID, status=status)  # type: ignore[arg-type]
                for status in statuses
            ],
        ),
        *_each(
            "ListUserOrders",
            "user_id",
            [ord_.ListUserOrdersRequest(user_id=bad) for bad in BAD_IDS],
        ),
        *_each(
            "ListUserOrders", "page_size", [ord_.ListUserOrdersRequest(user_id=ID, page_size=-1)]
        ),
        *_each(
            "ListUserOrders",
            "page_token",
            [ord_.ListUserOrdersRequest(user_id=ID, page_token=bad) for bad in FOREIGN_TOKENS],
        ),
    ]


BAD: Final = [*_users(), *_catalogue(), *_reservations(), *_orders()]
