"""The composition root of the stack."""

import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace

from pydantic import SecretStr

from services.demo.seed import Seeded, SeedError, seed
from services.stack.credentials import Credentials, open_credentials
from services.stack.errors import StackError
from services.stack.folder import DataFolder
from services.stack.panel import Panel, without_secrets
from services.stack.ports import is_free, require_free, reserved_port
from services.stack.processes import Child, attended, first_end
from services.stack.services import ServicePorts, Shop, running_services
from services.stack.settings import StackSettings
from services.stack.stores import require_transactions, running_mongod, running_redis


@dataclass(frozen=True, slots=True)
class _Backend:
    """A store that the shop uses: its address, what may be shown of it, its process if any."""

    uri: str
    shown: str
    children: tuple[Child, ...]


async def run(settings: StackSettings) -> None:
    """Start what is not given from outside, seed it, and stay until cancelled.

    Raises ``StackError``, having told why, when something cannot be started or ends by
    itself. In either case all that was started is stopped, the services before the stores.
    """
    async with AsyncExitStack() as opened:
        try:
            await _operate(settings, opened)
        except StackError as error:
            sys.stderr.write(f"\n{error}\n\n")
            raise


async def _operate(settings: StackSettings, opened: AsyncExitStack) -> None:
    folder = DataFolder(settings.data_dir.absolute())
    folder.prepare()
    await opened.enter_async_context(folder.held())
    ports = ServicePorts(
        user=await _reserve(opened, settings.user_port, "SHOP_USER_PORT"),
        inventory=await _reserve(opened, settings.inventory_port, "SHOP_INVENTORY_PORT"),
        order=await _reserve(opened, settings.order_port, "SHOP_ORDER_PORT"),
        user_metrics=_metrics(settings.user_metrics_port, "SHOP_USER_METRICS_PORT"),
        inventory_metrics=_metrics(settings.inventory_metrics_port, "SHOP_INVENTORY_METRICS_PORT"),
        order_metrics=_metrics(settings.order_metrics_port, "SHOP_ORDER_METRICS_PORT"),
    )
    opened.callback(_tell, "stopped")
    mongo = await opened.enter_async_context(_mongodb(settings, folder))
    redis = await opened.enter_async_context(_redis(settings, folder))
    shop = Shop(
        mongo_uri=mongo.uri,
        redis_url=redis.uri,
        credentials=_credentials(settings, folder),
        ports=ports,
        host=settings.reachable_host,
    )
    _tell("starting the services")
    stores = [*mongo.children, *redis.children]
    services = await attended(stores, opened.enter_async_context(running_services(folder, shop)))
    opened.callback(_tell, "stopping")
    everything = [*stores, *services.values()]
    seeded = await attended(everything, _seed(shop)) if settings.seed else None
    panel = Panel(
        shop=shop,
        folder=folder,
        mongo_address=mongo.shown,
        redis_address=redis.shown,
        admin_password=None if settings.admin_password else shop.credentials.admin_password,
        seeded=seeded,
    )
    _tell(panel.text())
    _tell("shop is ready")
    raise await first_end(everything)


async def _reserve(opened: AsyncExitStack, port: int, variable: str) -> int:
    return await opened.enter_async_context(reserved_port(port, variable, _tell))


@asynccontextmanager
async def _mongodb(settings: StackSettings, folder: DataFolder) -> AsyncIterator[_Backend]:
    if settings.mongo_uri is not None:
        outside = _outside(settings.mongo_uri)
        await require_transactions(outside.uri)
        yield outside
        return
    _tell("starting MongoDB")
    port = _port(settings.stack_mongo_port, "SHOP_STACK_MONGO_PORT", usual=27017)
    async with running_mongod(folder, port) as store:
        yield _Backend(store.uri, store.uri, (store.child,))


@asynccontextmanager
async def _redis(settings: StackSettings, folder: DataFolder) -> AsyncIterator[_Backend]:
    if settings.redis_url is not None:
        yield _outside(settings.redis_url)
        return
    _tell("starting Redis")
    port = _port(settings.stack_redis_port, "SHOP_STACK_REDIS_PORT", usual=6379)
    async with running_redis(folder, port) as store:
        yield _Backend(store.uri, store.uri, (store.child,))


def _outside(given: SecretStr) -> _Backend:
    uri = given.get_secret_value()
    return _Backend(uri, without_secrets(uri), ())


def _port(chosen: int | None, variable: str, usual: int) -> int | None:
    """Return the port that was chosen, else the usual one, or None if that is taken."""
    if chosen is not None:
        return require_free(chosen, variable)
    return usual if is_free(usual) else None


def _metrics(port: int, variable: str) -> int:
    return require_free(port, variable) if port else 0


def _credentials(settings: StackSettings, folder: DataFolder) -> Credentials:
    kept = open_credentials(folder.secrets)
    if settings.admin_password is None:
        return kept
    return replace(kept, admin_password=settings.admin_password.get_secret_value())


async def _seed(shop: Shop) -> Seeded:
    try:
        return await seed(shop.doors, _tell)
    except SeedError as error:
        raise StackError(str(error)) from error


def _tell(text: str) -> None:
    print(text, flush=True)
