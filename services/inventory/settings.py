"""Settings of the Inventory service."""

from services.common.settings import Database, MetricsPort, Port, Ports, ServiceSettings


class Settings(ServiceSettings):
    """What the Inventory service reads from the environment."""

    inventory_port: Port = 50052
    inventory_metrics_port: MetricsPort = 9102
    inventory_database: Database = "shop_inventory"

    @property
    def ports(self) -> Ports:
        """Where the service is called and where its figures are read."""
        return Ports(self.inventory_port, self.inventory_metrics_port)
