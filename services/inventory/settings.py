"""Settings of the Inventory service."""

from services.common.settings import Port, ServiceSettings


class Settings(ServiceSettings):
    """What the Inventory service reads from the environment."""

    inventory_port: Port = 50052
    inventory_database: str = "shop_inventory"
