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


LOGINS: Final = (
    Login("user", UserSettings.model_fields["user_database"].default, USER_PROFILE.prefix),
    Login(
        "inventory", InventorySettings.model_fields["inventory_database"].default, PRODUCT.prefix
    ),
    Login("order", OrderSettings.model_fields["order_database"].default, NEWEST_ORDERS.prefix),
)
