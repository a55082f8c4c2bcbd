"""Which service has what in the stores, and under which name it logs in."""

from dataclasses import dataclass
from typing import Final

from services.inventory.cached import PRODUCT
from services.inventory.settings import Settings as InventorySettings
from services.order.cached import NEWEST_ORDERS
from services.order.settings import Settings as OrderSettings
from services.user.cached import USER_PROFILE
from services.user.settings import Settings as UserSettings


@dataclass(frozen=True, slots=True)
class Login:
    """A service's own name in both stores; it reaches nothing else than what stands here.

    ``prefix`` begins the keys that it caches.
    """

    service: str
    database: str
    prefix: str

    @property
    def name(self) -> str:
        """What it logs in as."""
        return f"shop_{self.service}"


_USER: Final = UserSettings.model_fields["user_database"].default
_INVENTORY: Final = InventorySettings.model_fields["inventory_database"].default
_ORDER: Final = OrderSettings.model_fields["order_database"].default

LOGINS: Final = (
    Login("user", _USER, USER_PROFILE.prefix),
    Login("inventory", _INVENTORY, PRODUCT.prefix),
    Login("order", _ORDER, NEWEST_ORDERS.prefix),
)
