"""The composition root of the stack."""

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace

from pydantic import SecretStr

from services.stack.credentials import Credentials, open_credentials
from services.stack.errors import StackError
from services.stack.folder import DataFolder
from services.stack.panel import Panel, without_secrets
from services.stack.ports import is_free, require_free
from services.stack.processes import Child, attended, first_end
from services.stack.seed import seed
from services.stack.services import ServicePorts, Shop, running_services
from services.stack.settings import StackSettings
from services.stack.stores import Store, running_mongod, running_redis


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
        user=require_free(settings.user_port, "SHOP_USER_PORT"),
        inventory=require_free(settings.inventory_port, "SHOP_INVENTORY_PORT"),
        order=require_free(settings.order_port, "SHOP_ORDER_PORT"),
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
    seeded = await attended(everything, seed(shop, _tell)) if settings.seed else None
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


def _mongodb(settings: StackSettings, folder: DataFolder) -> AbstractAsyncContextManager[_Backend]:
    def start() -> AbstractAsyncContextManager[Store]:
        port = _port(settings.stack_mongo_port, "SHOP_STACK_MONGO_PORT", usual=27017)
        return running_mongod(folder, port)

    return _backend("MongoDB", settings.mongo_uri, start)


def _redis(settings: StackSettings, folder: DataFolder) -> AbstractAsyncContextManager[_Backend]:
    def start() -> AbstractAsyncContextManager[Store]:
        port = _port(settings.stack_redis_port, "SHOP_STACK_REDIS_PORT", usual=6379)
        return running_redis(folder, port)

    return _backend("Redis", settings.redis_url, start)


@asynccontextmanager
async def _backend(
    name: str, given: SecretStr | None, start: Callable[[], AbstractAsyncContextManager[Store]]
) -> AsyncIterator[_Backend]:
    if given is not None:
        uri = given.get_secret_value()
        yield _Backend(uri, without_secrets(uri), ())
        return
    _tell(f"starting {name}")
    async with start() as store:
        yield _Backend(store.uri, store.uri, (store.child,))


def _port(chosen: int | None, variable: str, usual: int) -> int | None:
    """Return the port that was chosen, else the usual one, or None if that is taken."""
    if chosen is not None:
        return require_free(chosen, variable)
    return usual if is_free(usual) else None


def _credentials(settings: StackSettings, folder: DataFolder) -> Credentials:
    kept = open_credentials(folder.secrets)
    if settings.admin_password is None:
        return kept
    return replace(kept, admin_password=settings.admin_password.get_secret_value())


def _tell(text: str) -> None:
    print(text, flush=True)
