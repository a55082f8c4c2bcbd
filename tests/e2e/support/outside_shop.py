"""A shop that runs already, for the tests that only call one: `E2E_*` variables say where it is.

`E2E_USER_TARGET`, `E2E_INVENTORY_TARGET` and `E2E_ORDER_TARGET` are the addresses of its services,
`E2E_MONGO_URI` is its MongoDB as this process reaches it, `E2E_KEYS` the folder with the signing
keys `user.pem` and `order.pem` and with `trusted-keys.json`, `E2E_ADMIN_PASSWORD` its
administrator's. The tests leave products, users and orders behind.
"""

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from pydantic_settings import BaseSettings, SettingsConfigDict
from pymongo import AsyncMongoClient

from services.stack.credentials import Credentials
from tests.e2e.support.ledger import Databases, Ledger
from tests.e2e.support.shop_front import ShopFront, opened_channels, stubs_over
from tests.e2e.support.tokens import Mint

_PREFIX = "E2E_"


class OutsideShop(BaseSettings):
    """Where the shop is."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, frozen=True)

    user_target: str
    inventory_target: str
    order_target: str
    mongo_uri: str
    keys: Path
    admin_password: str
    user_database: str = "shop_user"
    inventory_database: str = "shop_inventory"
    order_database: str = "shop_order"

    @property
    def targets(self) -> dict[str, str]:
        """The addresses of the services by name."""
        return {
            "user": self.user_target,
            "inventory": self.inventory_target,
            "order": self.order_target,
        }

    @property
    def credentials(self) -> Credentials:
        """Its keys, and its administrator's password; it has no demonstration customers."""
        return Credentials(
            user_key=self.keys / "user.pem",
            order_key=self.keys / "order.pem",
            trusted_keys=self.keys / "trusted-keys.json",
            admin_password=self.admin_password,
            demo_password="",
        )

    @property
    def databases(self) -> Databases:
        """The names of its databases."""
        return Databases(self.user_database, self.inventory_database, self.order_database)


def is_given() -> bool:
    """Whether the environment names a shop that runs already."""
    return any(name.startswith(_PREFIX) for name in os.environ)


@asynccontextmanager
async def opened_outside_shop() -> AsyncIterator[ShopFront]:
    """Reach the shop that the environment names, until the end of the block."""
    shop = OutsideShop.model_validate({})
    client: AsyncMongoClient[Mapping[str, Any]] = AsyncMongoClient(shop.mongo_uri)
    async with client, opened_channels(shop.targets) as channels:
        yield ShopFront(
            credentials=shop.credentials,
            stubs=stubs_over(channels),
            ledger=Ledger(client, shop.databases),
            databases=shop.databases,
            channels=channels,
            mint=Mint.of(shop.credentials),
        )
