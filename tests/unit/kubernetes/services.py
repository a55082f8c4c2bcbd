"""What the code says of each service that the manifests have to agree with."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from services.common.settings import Ports, ServiceSettings
from services.inventory.settings import Settings as InventorySettings
from services.order.settings import Settings as OrderSettings
from services.user.settings import Settings as UserSettings
from tests.e2e.support.contracts import SERVICES


@dataclass(frozen=True, slots=True)
class Service:
    """A service as its code knows it."""

    settings: type[ServiceSettings]
    secrets: frozenset[str]
    key_files: frozenset[str]

    @property
    def ports(self) -> Ports:
        """Where it listens unless it is told otherwise."""
        usual = self.settings.model_construct(
            mongo_uri=None, redis_url=None, trusted_keys_file=Path()
        )
        return usual.ports


STORES: Final = frozenset({"shop_mongo_uri", "shop_redis_url"})
CODE: Final = {
    "user": Service(
        UserSettings,
        STORES | {"shop_admin_password"},
        frozenset({"trusted_keys_file", "user_signing_key_file"}),
    ),
    "inventory": Service(InventorySettings, STORES, frozenset({"trusted_keys_file"})),
    "order": Service(
        OrderSettings, STORES, frozenset({"trusted_keys_file", "order_signing_key_file"})
    ),
}
assert CODE.keys() == SERVICES.keys()
