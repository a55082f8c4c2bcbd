"""Settings of the stack."""

from pathlib import Path
from typing import Final

from pydantic import SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.common.addresses import Host, reachable
from services.common.settings import PREFIX, MetricsPort, Port

PROJECT: Final = Path(__file__).parents[2]


class StackSettings(BaseSettings):
    """What the stack reads, each from the variable ``SHOP_<NAME IN CAPITALS>``."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, env_ignore_empty=True)

    data_dir: Path = PROJECT / ".data"
    mongo_uri: SecretStr | None = None
    redis_url: SecretStr | None = None
    stack_mongo_port: Port | None = None
    stack_redis_port: Port | None = None
    user_port: Port = 50051
    inventory_port: Port = 50052
    order_port: Port = 50053
    user_metrics_port: MetricsPort = 9101
    inventory_metrics_port: MetricsPort = 9102
    order_metrics_port: MetricsPort = 9103
    bind_host: Host = "127.0.0.1"
    admin_password: SecretStr | None = None
    seed: bool = True
    tls_cert: Path | None = None

    @field_validator("tls_cert")
    @classmethod
    def _plaintext(cls, cert: Path | None) -> None:
        if cert is not None:
            raise ValueError("the stack serves plaintext; start the services by hand for TLS")

    @property
    def reachable_host(self) -> str:
        """The address at which clients on this machine find the services."""
        return reachable(self.bind_host)
