"""The scenarios: what a user does, step by step, on seeded data with popular and rare keys."""

import random
import uuid
from collections.abc import Callable
from typing import Any, ClassVar, Final

import gevent
import grpc
from locust.exception import StopUser
from shop.inventory.v1 import inventory_pb2
from shop.order.v1 import order_pb2
from shop.user.v1 import user_pb2

from loadtests.arms import ARMS, Arm, Metadata
from loadtests.goods import Login, Stubs, status_of
from loadtests.grpc_user import GrpcUser
from loadtests.session import Session
from loadtests.timing import Heard, intending

_BATCH: Final = 10
_PAGE_SIZE: Final = 20
_MOST_ITEMS: Final = 3
_MOST_PIECES: Final = 3
_ATTEMPTS: Final = 4
_PAUSE_S: Final = 0.25
_OPEN: Final = {"UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED", "UNKNOWN", "INTERNAL"}

Action = Callable[[], None]


class ShopUser(GrpcUser):
    """A customer of the shop; what it does in one step is up to the scenario.

    In the open model a step begins when it is scheduled, and its first call counts from then.
    """

    abstract = True

    def on_start(self) -> None:
        """Take a place in the session, whose preparation may have failed: then there is none."""
        super().on_start()
        session: Session | None = getattr(self.environment, "shop_session", None)
        if session is None:
            raise StopUser
        self.session = session
        self.shared_channels = session.plan.shared_channels
        number, seed = self.session.next_user()
        self.random = random.Random(seed)  # noqa: S311 (nothing secret)
        customers = self.session.goods.customers
        self.customer: Login = customers[number % len(customers)]
        self.stubs = Stubs.over(self.channel, self.session.plan.targets)

    def wait_time(self) -> float:
        """Return the pause before the next step, in seconds."""
        mean = self.session.plan.think_s
        if not mean or self.session.plan.rate_per_s is not None:
            return 0.0
        return self.random.expovariate(1 / mean)

    def step(self) -> None:
        """Do one step when it is due."""
        with intending(due=self.session.wait_for_turn()) as self.intent:
            self.act()

    def act(self) -> None:
        """Do what the scenario is about, once."""
        raise NotImplementedError

    def heard(self, call: Heard) -> None:
        """Record a call, and tell Locust of it."""
        super().heard(call)
        self.session.recorder.add(
            (call.method, call.arm), call.ended, call.elapsed_us, call.error, call.source
        )

    def choose(self, *weighted: tuple[Action, int]) -> None:
        """Do one of the actions, by their weights."""
        actions, weights = zip(*weighted, strict=True)
        self.random.choices(actions, weights)[0]()

    def get_product(self) -> None:
        """Look at one product."""
        request = inventory_pb2.GetProductRequest(product_id=self.drawn_product())
        self.ask(self.stubs.inventory.GetProduct, request)

    def batch_get_products(self) -> None:
        """Look at ten products at once."""
        drawn = self.session.goods.products.draw_several(self.random, _BATCH)
        request = inventory_pb2.BatchGetProductsRequest(product_ids=drawn)
        self.ask(self.stubs.inventory.BatchGetProducts, request)

    def list_products(self) -> None:
        """Look at the first page of one category."""
        category = self.random.choice(self.session.goods.categories)
        request = inventory_pb2.ListProductsRequest(page_size=_PAGE_SIZE, category=category)
        self.ask(self.stubs.inventory.ListProducts, request)

    def get_profile(self) -> None:
        """Look at one's own profile."""
        request = user_pb2.GetUserProfileRequest(user_id=self.customer.user_id)
        self.ask(self.stubs.users.GetUserProfile, request, self.customer.metadata())

    def list_orders(self) -> None:
        """Look at one's own newest orders."""
        request = order_pb2.ListUserOrdersRequest(user_id=self.customer.user_id)
        self.ask(self.stubs.orders.ListUserOrders, request, self.customer.metadata())

    def drawn_product(self) -> str:
        """Return the id of some product, more often of a popular one."""
        return self.session.goods.product(self.random)

    def ask(self, method: Any, request: Any, metadata: Metadata = ()) -> Any:
        """Return the answer, or None for a call that failed, which is recorded as it is."""
        try:
            return method(request, metadata=metadata)
        except grpc.RpcError:
            return None

    tasks: ClassVar[list[Any]] = [step]


class BrowseUser(ShopUser):
    """Looks around: one product (70 %), ten at once (15 %), a page of a category (15 %)."""

    def act(self) -> None:
        """Look at something."""
        self.choose((self.get_product, 70), (self.batch_get_products, 15), (self.list_products, 15))


class OrdersUser(ShopUser):
    """Is logged in and looks at their own orders."""

    def act(self) -> None:
        """Look at the newest orders."""
        self.list_orders()


class CheckoutUser(ShopUser):
    """Buys 1 to 3 products, then looks at the order or at all; a fifth of the orders is cancelled.

    What was sold is counted, so that it can be held against the stock afterwards.
    """

    def act(self) -> None:
        """Buy something and look at it."""
        self.check_out()

    def check_out(self) -> None:
        """Buy something, look at it, and sometimes give it back."""
        order = self._ordered(self._basket())
        if order is None:
            return
        sold = order.status == order_pb2.ORDER_STATUS_CONFIRMED
        if sold:
            self._count(order, 1)
        if self.random.random() < 0.5:
            request = order_pb2.GetOrderRequest(order_id=order.order_id)
            self.ask(self.stubs.orders.GetOrder, request, self.customer.metadata())
        else:
            self.list_orders()
        if sold and self.random.random() < 0.2:
            self._cancel(order)

    def _basket(self) -> order_pb2.CreateOrderRequest:
        drawn = self.session.goods.products.draw_several(
            self.random, self.random.randint(1, _MOST_ITEMS)
        )
        # One of its own in every run: a repeated one would give back the order of then.
        return order_pb2.CreateOrderRequest(
            request_id=str(uuid.uuid4()),
            items=[
                order_pb2.OrderItem(
                    product_id=product, quantity=self.random.randint(1, _MOST_PIECES)
                )
                for product in drawn
            ],
        )

    def _ordered(self, request: order_pb2.CreateOrderRequest) -> order_pb2.Order | None:
        answer = self._settled(self.stubs.orders.CreateOrder, request)
        return None if answer is None else answer.order

    def _cancel(self, order: order_pb2.Order) -> None:
        request = order_pb2.CancelOrderRequest(order_id=order.order_id)
        if self._settled(self.stubs.orders.CancelOrder, request) is not None:
            self._count(order, -1)

    def _settled(self, method: Any, request: Any) -> Any:
        """Return the answer to a call that may be repeated; None for a refusal, or unknown."""
        for _ in range(_ATTEMPTS):
            try:
                return method(request, metadata=self.customer.metadata())
            except grpc.RpcError as error:
                code = status_of(error)
                if code is not None and code.name not in _OPEN:
                    return None
            gevent.sleep(_PAUSE_S)
        self.session.recorder.left_open()
        return None

    def _count(self, order: order_pb2.Order, sign: int) -> None:
        for line in order.lines:
            self.session.recorder.sold(line.product_id, sign * line.quantity)


class MixedUser(CheckoutUser):
    """A day in the shop.

    One product 50 %, ten at once 10 %, a page of a category 10 %, one's profile 10 %, one's orders
    10 %, a checkout 10 %.
    """

    def act(self) -> None:
        """Do one of it."""
        self.choose(
            (self.get_product, 50),
            (self.batch_get_products, 10),
            (self.list_products, 10),
            (self.get_profile, 10),
            (self.list_orders, 10),
            (self.check_out, 10),
        )


class AbUser(ShopUser):
    """Asks each question three times: as customers do, without near, and without any cache.

    ``GetProduct`` and ``ListUserOrders`` take turns. The three arms of one question follow each
    other, call by call, in an order that is drawn anew each time: the same keys, equally often,
    under the same load.
    """

    def on_start(self) -> None:
        """Begin with a product."""
        super().on_start()
        self._pending: list[Callable[[], None]] = []
        self._products_next = True

    def act(self) -> None:
        """Ask the next question of the next arm."""
        if not self._pending:
            question = self._product() if self._products_next else self._orders()
            self._products_next = not self._products_next
            arms = self.random.sample(ARMS, len(ARMS))
            self._pending = [_bound(question, arm) for arm in arms]
        self._pending.pop()()

    def _product(self) -> Callable[[Arm], None]:
        request = inventory_pb2.GetProductRequest(product_id=self.drawn_product())

        def ask(arm: Arm) -> None:
            self.ask_in(arm, self.stubs.inventory.GetProduct, request, self._proof())

        return ask

    def _orders(self) -> Callable[[Arm], None]:
        customer = self.session.goods.popular_customers.draw(self.random)
        request = order_pb2.ListUserOrdersRequest(user_id=customer.user_id)

        def ask(arm: Arm) -> None:
            proof = self._proof() or customer.metadata()
            self.ask_in(arm, self.stubs.orders.ListUserOrders, request, proof)

        return ask

    def _proof(self) -> Metadata:
        trusted = self.session.goods.trusted
        return () if trusted is None else trusted.metadata()

    def ask_in(self, arm: Arm, method: Any, request: Any, proof: Metadata) -> None:
        """Ask within an arm."""
        self.intent.arm = arm.name
        self.ask(method, request, (*proof, *arm.metadata))


def _bound(question: Callable[[Arm], None], arm: Arm) -> Callable[[], None]:
    return lambda: question(arm)


USERS: Final[dict[str, type[ShopUser]]] = {
    "ab": AbUser,
    "browse": BrowseUser,
    "orders": OrdersUser,
    "checkout": CheckoutUser,
    "mixed": MixedUser,
}
