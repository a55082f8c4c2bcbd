"""Settings of the User service."""

import os
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from services.common.auth.tokens import ACCESS_TOKEN_LIFETIME_S
from services.common.settings import Database, MetricsPort, Port, Ports, Seconds, ServiceSettings
from services.user.model import PASSWORD_RULE, LoginLimits, is_acceptable_password


def _obeys_rule(password: SecretStr) -> SecretStr:
    if not is_acceptable_password(password.get_secret_value()):
        raise ValueError(PASSWORD_RULE)
    return password


class Settings(ServiceSettings):
    """What the User service reads from the environment."""

    user_port: Port = 50051
    user_metrics_port: MetricsPort = 9101
    user_database: Database = "shop_user"
    user_signing_key_file: Path
    admin_password: Annotated[SecretStr, AfterValidator(_obeys_rule)] | None = None
    access_token_lifetime_s: Annotated[int, Field(ge=1, le=86_400)] = ACCESS_TOKEN_LIFETIME_S
    refresh_token_lifetime_s: Annotated[int, Field(ge=1, le=366 * 86_400)] = 30 * 86_400
    login_max_failures: Annotated[int, Field(ge=1, le=1_000)] = 10
    login_max_failures_per_source: Annotated[int, Field(ge=1, le=1_000_000)] = 1_000
    login_window_s: Seconds = 300.0
    hash_workers: Annotated[int, Field(ge=1, le=64)] = min(4, os.cpu_count() or 1)
    hash_queue: Annotated[int, Field(ge=0, le=10_000)] = 64

    @property
    def login_limits(self) -> LoginLimits:
        """How often passwords may be tried. A client is known for as long as a login lasts."""
        return LoginLimits(
            per_account=self.login_max_failures,
            per_source=self.login_max_failures_per_source,
            window_s=self.login_window_s,
            known_s=self.refresh_token_lifetime_s,
        )

    @property
    def ports(self) -> Ports:
        """Where the service is called and where its figures are read."""
        return Ports(self.user_port, self.user_metrics_port)
