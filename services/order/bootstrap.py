"""The composition root of the Order service."""

from contextlib import AsyncExitStack
from typing import Final

from shop.inventory.v1.inventory_pb2_grpc import InventoryServiceStub
from shop.order.v1 import order_pb2
from shop.user.v1.user_pb2_grpc import UserServiceStub

from services.common.auth.keys import load_signing_key
from services.common.auth.reload import LiveKeys
from services.common.auth.tokens import ServiceIdentity
from services.common.background import BackgroundTasks, repeating
from services.common.cache.wiring import open_cache
from services.common.hosting import host
from services.common.mongo import open_mongo
from services.common.rpc.channel import open_channel
from services.common.rpc.renewal import RENEW_S, renewed
from services.common.rpc.service import Service
from services.common.telemetry.peers import PeerMetrics
from services.common.tracing.opening import open_instruments
from services.order.access import ACCESS, MAX_BYTES
from services.order.cached import NEWEST_ORDERS, CachedOrders
from services.order.counted import CountedOrders
from services.order.figures import CheckoutFigures
from services.order.handler import OrderHandler
from services.order.metrics import OrderMetrics
from services.order.peers import InventoryPeer, UserPeer
from services.order.ports import Orders
from services.order.reconciler import Reconciler
from services.order.repository import ORDER_CHANGES, MongoOrders, prepare_schema
from services.order.settings import Settings
from services.order.settlement import BackgroundAftermath, Settlement
from services.order.usecases import OrderUseCases

DESCRIPTOR: Final = order_pb2.DESCRIPTOR.services_by_name["OrderService"]
MAX_S: Final = {"GetOrder": 2.5, "ListUserOrders": 2.5}
CACHED: Final = ("ListUserOrders",)
USER_SERVICE: Final = "shop.user.v1.UserService"
INVENTORY_SERVICE: Final = "shop.inventory.v1.InventoryService"
_IDEMPOTENT_STOCK_METHODS: Final = (
    "ReserveStock",
    "CommitReservation",
    "ReleaseReservation",
    "ListHeldReservations",
)
_MAX_BACKGROUND_TASKS: Final = 1_000
_BACKGROUND_DRAIN_S: Final = 3.0  # what is not done by then, a reconciler does


async def run(settings: Settings) -> None:
    """Open the stores and channels, wire the service, serve, and close what was opened."""
    async with AsyncExitStack() as stack:
        watch = await stack.enter_async_context(open_instruments("order", settings.traces))
        identity = ServiceIdentity("order", load_signing_key(settings.order_signing_key_file))
        keys = LiveKeys(
            settings.trusted_keys_file,
            (settings.order_signing_key_file, identity),
            service=DESCRIPTOR.full_name,
        )
        mongo = await stack.enter_async_context(
            open_mongo(settings.mongo, settings.order_database, watch.mongo_listeners)
        )
        timeout_s = settings.peer_timeout_ms / 1000
        renew_s = max(RENEW_S, timeout_s)
        users = await stack.enter_async_context(
            renewed(
                UserServiceStub,
                lambda: open_channel(
                    settings.user_target, USER_SERVICE, ["GetUserProfile"], settings.tls
                ),
                renew_s,
            )
        )
        inventory = await stack.enter_async_context(
            renewed(
                InventoryServiceStub,
                lambda: open_channel(
                    settings.inventory_target,
                    INVENTORY_SERVICE,
                    _IDEMPOTENT_STOCK_METHODS,
                    settings.tls,
                ),
                renew_s,
            )
        )
        peer_metrics = PeerMetrics()
        stock = InventoryPeer(
            inventory, watch.peer_caller(INVENTORY_SERVICE, identity, timeout_s, peer_metrics)
        )
        stored = MongoOrders(mongo, watch.batcher)
        checkouts = CheckoutFigures()
        orders: Orders = CountedOrders(stored, checkouts)
        cache = await stack.enter_async_context(
            open_cache(
                NEWEST_ORDERS, stored.newest_of_users, mongo, ORDER_CHANGES, settings.caching, watch
            )
        )
        orders = CachedOrders(orders, cache.values)
        settlement = Settlement(orders, stock)
        background = BackgroundTasks(_MAX_BACKGROUND_TASKS, watch.work)
        stack.push_async_callback(background.drain, _BACKGROUND_DRAIN_S)
        reconciler = Reconciler(orders, stock, settlement, settings.reconcile_age_s)
        await stack.enter_async_context(
            repeating(
                "reconcile",
                lambda: watch.work("reconcile", reconciler.run()),
                settings.reconcile_interval_s,
            )
        )
        usecases = OrderUseCases(
            orders=orders,
            stock=stock,
            customers=UserPeer(
                users, watch.peer_caller(USER_SERVICE, identity, timeout_s, peer_metrics)
            ),
            aftermath=BackgroundAftermath(settlement, background),
        )
        await host(
            Service(
                descriptor=DESCRIPTOR,
                servicer=OrderHandler(usecases),
                access=ACCESS,
                max_s=MAX_S,
                max_bytes=MAX_BYTES,
                cached=CACHED,
            ),
            settings,
            keys=keys,
            mongo=mongo,
            cache=cache,
            prepare=lambda: prepare_schema(mongo),
            instruments=watch,
            collectors=[
                peer_metrics,
                OrderMetrics(checkouts, reconciler.figures, background, settings.reconcile_age_s),
            ],
        )
