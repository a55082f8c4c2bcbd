"""Reading settings from the environment, once, with messages a person can act on."""

from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.common.logs import LogFormat, LogLevel
from services.common.mongo import MongoDriver, MongoOptions
from services.common.redis import RedisOptions
from services.common.rpc.server import ServerOptions

PREFIX = "SHOP_"

Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]
Milliseconds = Annotated[int, Field(ge=1, le=600_000)]


class UnusableSettingsError(Exception):
    """A setting is missing or wrong; the message names the environment variable."""


class ServiceSettings(BaseSettings):
    """What every service reads, each from the variable ``SHOP_<NAME IN CAPITALS>``."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, env_ignore_empty=True)

    mongo_uri: SecretStr
    mongo_driver: MongoDriver = MongoDriver.MOTOR
    mongo_timeout_ms: Milliseconds = 2_000
    redis_url: SecretStr
    redis_timeout_ms: Milliseconds = 200
    trusted_keys_file: Path
    bind_host: str = "127.0.0.1"
    reflection: bool = True
    drain_timeout_s: Seconds = 10.0
    log_level: LogLevel = LogLevel.INFO
    log_format: LogFormat = LogFormat.AUTO

    @property
    def mongo(self) -> MongoOptions:
        """How to reach MongoDB."""
        return MongoOptions(
            self.mongo_uri.get_secret_value(), self.mongo_driver, self.mongo_timeout_ms
        )

    @property
    def redis(self) -> RedisOptions:
        """How to reach Redis."""
        return RedisOptions(self.redis_url.get_secret_value(), self.redis_timeout_ms)

    def server(self, port: int) -> ServerOptions:
        """Return how to serve on a port."""
        return ServerOptions(f"{self.bind_host}:{port}", self.reflection, self.drain_timeout_s)


AnySettings = TypeVar("AnySettings", bound=BaseSettings)


def read_settings(kind: type[AnySettings]) -> AnySettings:
    """Return the settings of this kind from the environment.

    Raises ``UnusableSettingsError`` naming each variable that is missing or wrong.
    """
    try:
        return kind()
    except ValidationError as error:
        complaints = [
            f"{PREFIX}{'_'.join(map(str, e['loc'])).upper()}: {_describe(e['type'], e['msg'])}"
            for e in error.errors(include_input=False, include_url=False)
        ]
        raise UnusableSettingsError("\n".join(complaints)) from None


def _describe(kind: str, message: str) -> str:
    return "must be set" if kind == "missing" else message.removeprefix("Value error, ")
