"""Settings of the demonstration."""

from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.common.settings import PREFIX, Target
from services.demo.seed import Doors


class DemoSettings(BaseSettings):
    """Which shop is filled, each from the variable ``SHOP_<NAME IN CAPITALS>``."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, env_ignore_empty=True)

    user_target: Target = "127.0.0.1:50051"
    inventory_target: Target = "127.0.0.1:50052"
    order_target: Target = "127.0.0.1:50053"
    admin_password: SecretStr
    demo_password: SecretStr

    @property
    def doors(self) -> Doors:
        """Where the shop is called, and with which passwords."""
        return Doors(
            user=self.user_target,
            inventory=self.inventory_target,
            order=self.order_target,
            admin_password=self.admin_password.get_secret_value(),
            demo_password=self.demo_password.get_secret_value(),
        )
