"""Settings of the Order service."""

from pathlib import Path

from services.common.settings import (
    Database,
    Interval,
    MetricsPort,
    Milliseconds,
    Port,
    Ports,
    Seconds,
    ServiceSettings,
    Target,
)


class Settings(ServiceSettings):
    """What the Order service reads from the environment."""

    order_port: Port = 50053
    order_metrics_port: MetricsPort = 9103
    order_database: Database = "shop_order"
    order_signing_key_file: Path
    user_target: Target = "127.0.0.1:50051"
    inventory_target: Target = "127.0.0.1:50052"
    peer_timeout_ms: Milliseconds = 2_000
    reconcile_age_s: Seconds = 30.0
    reconcile_interval_s: Interval = 5.0

    @property
    def ports(self) -> Ports:
        """Where the service is called and where its figures are read."""
        return Ports(self.order_port, self.order_metrics_port)
