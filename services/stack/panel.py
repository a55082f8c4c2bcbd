"""What a person needs to know once the shop runs."""

import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson

from services.common.addresses import address
from services.demo.seed import Seeded
from services.stack.folder import DataFolder
from services.stack.services import Shop

_RULE: Final = "-" * 72
_REDIS_CLIENTS: Final = ("redis-cli", "valkey-cli")


@dataclass(frozen=True, slots=True)
class Panel:
    """The running shop as it is shown.

    The addresses of the stores hold what may be shown of them; so does ``admin_password``,
    which is None when it was not generated here.
    """

    shop: Shop
    folder: DataFolder
    mongo_address: str
    redis_address: str
    admin_password: str | None
    seeded: Seeded | None

    def text(self) -> str:
        """Return the panel as plain text."""
        return "\n".join(
            [
                _RULE,
                f"UserService       {self.shop.user}",
                f"InventoryService  {self.shop.inventory}",
                f"OrderService      {self.shop.order}",
                f"Metrics           {self._metrics()}",
                f"MongoDB           {self.mongo_address}",
                f"Redis             {self.redis_address}",
                "",
                *self._logins(),
                "",
                "Try in another terminal: read the catalogue, log in, look into the cache",
                f"  {self._read_catalogue()}",
                f"  {self._log_in()}",
                f"  {self._look_into_redis()}",
                "",
                f"Logs              {_near(self.folder.logs)}",
                f"Data              {_near(self.folder.path)}",
                "Stop              Ctrl-C; the data is kept",
                _RULE,
            ]
        )

    def _metrics(self) -> str:
        ports = self.shop.ports
        given = (ports.user_metrics, ports.inventory_metrics, ports.order_metrics)
        return (
            "  ".join(f"http://{address(self.shop.host, p)}/metrics" for p in given if p) or "off"
        )

    def _logins(self) -> Iterator[str]:
        shown = self.admin_password or "(the password set in SHOP_ADMIN_PASSWORD)"
        yield f"Administrator     admin  {shown}"
        if self.seeded and self.seeded.customer:
            yield f"Customer          {self.seeded.customer}  {self.shop.credentials.demo_password}"

    def _read_catalogue(self) -> str:
        method = f"{self.shop.inventory}/shop.inventory.v1.InventoryService"
        if self.seeded is None:
            return _call(f"{method}/ListProducts", {"page_size": 3})
        return _call(f"{method}/GetProduct", {"product_id": self.seeded.product_id})

    def _log_in(self) -> str:
        customer = self.seeded and self.seeded.customer
        ours = self.shop.credentials.demo_password if customer else self.admin_password
        return _call(
            f"{self.shop.user}/shop.user.v1.UserService/AuthenticateUser",
            {"username": customer or "admin", "password": ours or "..."},
        )

    def _look_into_redis(self) -> str:
        command = ("GET", f"product:{self.seeded.product_id}") if self.seeded else ("DBSIZE",)
        client = next(filter(shutil.which, _REDIS_CLIENTS), None)
        if client is not None:
            return shlex.join([client, "-u", self.redis_address, *command])
        url, words = repr(self.redis_address), ", ".join(map(repr, command))
        code = f"import redis; print(redis.Redis.from_url({url}).execute_command({words}))"
        return f'{_near(Path(sys.executable))} -c "{code}"'


def without_secrets(uri: str) -> str:
    """Return a store's address without user, password and options."""
    scheme, _, rest = uri.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2].partition('?')[0]}"


def _call(method: str, request: Mapping[str, object]) -> str:
    buf = Path(sys.executable).with_name("buf")
    return shlex.join(
        [
            str(_near(buf)) if buf.exists() else "buf",
            *("curl", "--protocol", "grpc", "--http2-prior-knowledge"),
            *("-d", orjson.dumps(request).decode(), f"http://{method}"),
        ]
    )


def _near(path: Path) -> Path:
    """Return the path as it is typed here."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
