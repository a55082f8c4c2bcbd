"""Reading settings from the environment, once, with messages a person can act on."""

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Self, TypeVar

from pydantic import (
    AfterValidator,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings.exceptions import SettingsError

from services.common.addresses import Host, address
from services.common.auth.reload import KEYS_REFRESH_S
from services.common.cache.near import NearOptions
from services.common.cache.wiring import CacheMode, CacheOptions
from services.common.logs import LogFormat, LogLevel
from services.common.mongo import MongoDriver, MongoOptions
from services.common.mongo_uri import check_uri
from services.common.redis.sentinel_urls import SentinelUrl, UnusableUrlError, names_several
from services.common.redis.servers import RedisOptions
from services.common.redis.urls import check_url
from services.common.rpc.chain import ChainOptions, LimitKind
from services.common.rpc.interceptors.cache_control import CacheControlPolicy
from services.common.rpc.server import ServerOptions
from services.common.rpc.transport import Endpoint, Transport
from services.common.tls import TlsFiles
from services.common.tracing.options import TracingMode, TracingOptions

PREFIX = "SHOP_"
SECRETS_DIR = f"{PREFIX}SECRETS_DIR"
_DATABASE = re.compile(r"[A-Za-z0-9_-]{1,63}")
_RESERVED = {"admin", "config", "local"}
_ADDRESS = r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):[1-9][0-9]{0,4}"
_TARGET = re.compile(rf"(dns:(//[^/]*/)?)?{_ADDRESS}|ipv[46]:{_ADDRESS}(,{_ADDRESS})*")
_OTHER_SCHEMES = ("unix:", "unix-abstract:", "xds:")


def _is_database(name: str) -> str:
    if not _DATABASE.fullmatch(name) or name.lower() in _RESERVED:
        raise ValueError("must be 1 to 63 letters, digits, '_' and '-', and no database of MongoDB")
    return name


def _is_target(target: str) -> str:
    if not (_TARGET.fullmatch(target) or target.startswith(_OTHER_SCHEMES)):
        raise ValueError("must be host:port, or like dns:///host:port")
    return target


Port = Annotated[int, Field(ge=1, le=65535)]
MetricsPort = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]
Grace = Annotated[float, Field(ge=0, le=86_400)]
Milliseconds = Annotated[int, Field(ge=1, le=600_000)]
Interval = Annotated[float, Field(ge=0.05, le=86_400)]
Database = Annotated[str, AfterValidator(_is_database)]
Target = Annotated[str, AfterValidator(_is_target)]


class UnusableSettingsError(Exception):
    """A setting is missing or wrong; the message names the environment variable."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Where a service is called and where its figures are read; 0 for no figures."""

    rpc: int
    metrics: int


class ServiceSettings(BaseSettings, ABC):
    """What every service reads, each from the variable ``SHOP_<NAME IN CAPITALS>``."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, env_ignore_empty=True)

    mongo_uri: SecretStr
    mongo_driver: MongoDriver = MongoDriver.PYMONGO
    mongo_timeout_ms: Milliseconds = 2_000
    mongo_grace_s: Grace = 15.0  # longer than an election takes
    redis_url: SecretStr
    redis_timeout_ms: Annotated[int, Field(ge=1, le=30_000)] = 200
    redis_cluster: bool = False
    redis_sentinel: str = ""
    redis_sentinel_password: SecretStr = SecretStr("")
    cache: CacheMode = CacheMode.NEAR
    near_entries: Annotated[int, Field(ge=1, le=10_000_000)] = 10_000
    near_bytes: Annotated[int, Field(ge=1024 * 1024)] = 64 * 1024 * 1024
    near_lease_ms: Annotated[int, Field(ge=50, le=600_000)] = 1_000
    trusted_keys_file: Path
    keys_refresh_s: Interval = KEYS_REFRESH_S
    bind_host: Host = "127.0.0.1"
    reflection: bool = True
    drain_timeout_s: Seconds = 10.0
    drain_notice_s: Annotated[float, Field(ge=0, le=60)] = 0.0
    max_connection_age_s: Annotated[float, Field(ge=0, le=86_400)] = 0.0
    transport: Transport = Transport.AUTO
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_client_ca: Path | None = None
    workers: Annotated[int, Field(ge=1, le=256)] = 1
    worker_index: int | None = None
    worker_metrics_socket: Path | None = None
    concurrency_limit: LimitKind = LimitKind.ADAPTIVE
    max_in_flight: Annotated[int, Field(ge=1, le=100_000)] = 512
    cache_control: CacheControlPolicy = CacheControlPolicy.ADMIN
    tracing: TracingMode = TracingMode.OFF
    tracing_sample_ratio: Annotated[float, Field(ge=0, le=1)] = 0.1
    log_level: LogLevel = LogLevel.INFO
    log_format: LogFormat = LogFormat.AUTO

    @field_validator("mongo_uri")
    @classmethod
    def _mongo_can_be_found(cls, uri: SecretStr) -> SecretStr:
        check_uri(uri.get_secret_value())
        return uri

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("SHOP_TLS_CERT and SHOP_TLS_KEY: set both or none")
        if self.tls_client_ca is not None and self.tls_cert is None:
            raise ValueError("SHOP_TLS_CLIENT_CA: needs SHOP_TLS_CERT and SHOP_TLS_KEY")
        return self

    @model_validator(mode="after")
    def _redis_is_one_kind(self) -> Self:
        url = self.redis_url.get_secret_value()
        if self.redis_sentinel and self.redis_cluster:
            raise ValueError("SHOP_REDIS_SENTINEL and SHOP_REDIS_CLUSTER: set one of them")
        if not self.redis_sentinel:
            if self.redis_sentinel_password.get_secret_value():
                raise ValueError("SHOP_REDIS_SENTINEL_PASSWORD: needs SHOP_REDIS_SENTINEL")
            if names_several(url):
                raise ValueError("SHOP_REDIS_URL: several hosts need SHOP_REDIS_SENTINEL")
        try:
            if self.redis_sentinel:
                url = SentinelUrl.parse(url).server("host", 6379)
            check_url(url, cluster=self.redis_cluster)
        except UnusableUrlError as error:
            told = "with SHOP_REDIS_SENTINEL, " if self.redis_sentinel else ""
            raise ValueError(f"SHOP_REDIS_URL: {told}{error}") from None
        return self

    @property
    def tls(self) -> TlsFiles | None:
        """The certificate to serve with; None for plaintext."""
        if self.tls_cert is None or self.tls_key is None:
            return None
        return TlsFiles(self.tls_cert, self.tls_key, self.tls_client_ca)

    @property
    def mongo(self) -> MongoOptions:
        """How to reach MongoDB."""
        return MongoOptions(
            self.mongo_uri.get_secret_value(), self.mongo_driver, self.mongo_timeout_ms
        )

    @property
    def redis(self) -> RedisOptions:
        """How to reach Redis."""
        return RedisOptions(
            self.redis_url.get_secret_value(),
            self.redis_timeout_ms,
            self.redis_cluster,
            self.redis_sentinel,
            self.redis_sentinel_password.get_secret_value(),
        )

    @property
    def caching(self) -> CacheOptions:
        """How reads by id are cached."""
        near = NearOptions(self.near_entries, self.near_bytes, self.near_lease_ms / 1000)
        return CacheOptions(self.cache, near, self.redis)

    @property
    def traces(self) -> TracingOptions:
        """Whether calls are traced."""
        return TracingOptions(self.tracing, self.tracing_sample_ratio)

    @property
    @abstractmethod
    def ports(self) -> Ports:
        """Where the service is called and where its figures are read."""

    @property
    def server(self) -> ServerOptions:
        """Return how to serve on a port."""
        endpoint = Endpoint(
            address(self.bind_host, self.ports.rpc),
            self.transport,
            self.tls,
            shared=self.worker_index is not None,
            max_connection_age_s=self.max_connection_age_s,
        )
        return ServerOptions(endpoint, self.reflection, self.drain_timeout_s, self.drain_notice_s)

    def chain(self) -> ChainOptions:
        """Return how calls are handled."""
        return ChainOptions(
            self.concurrency_limit,
            self.max_in_flight,
            log_every_call=self.log_level is LogLevel.DEBUG,
            cache_control=self.cache_control,
        )


AnySettings = TypeVar("AnySettings", bound=BaseSettings)


def read_settings(
    kind: type[AnySettings], overrides: Mapping[str, Any] = MappingProxyType({})
) -> AnySettings:
    """Return the settings of this kind from the environment, unless overridden.

    What the environment does not say is looked for in the folder that ``SHOP_SECRETS_DIR`` names,
    one file for each variable, called like it in whatever case. Raises ``UnusableSettingsError``
    naming each variable that is missing or wrong.
    """
    try:
        return kind(_secrets_dir=_secrets_dir(), **overrides)
    except ValidationError as error:
        complaints = [
            _describe(complaint)
            for complaint in error.errors(include_input=False, include_url=False)
        ]
        raise UnusableSettingsError("\n".join(complaints)) from None
    except SettingsError as error:  # a file of the folder
        raise UnusableSettingsError(f"{SECRETS_DIR}: {error.__cause__}") from None


def _secrets_dir() -> Path | None:
    """Return the folder with a file for each secret setting, if there is one."""
    named = os.environ.get(SECRETS_DIR)
    if not named:
        return None
    if not Path(named).is_dir():
        raise UnusableSettingsError(f"{SECRETS_DIR}: {named} is not a folder")
    return Path(named)


def _describe(complaint: Any) -> str:
    text = str(complaint["msg"]).removeprefix("Value error, ")
    if complaint["type"] == "missing":
        text = "must be set"
    if not complaint["loc"]:  # it concerns several, and names them
        return text
    return f"{PREFIX}{'_'.join(map(str, complaint['loc'])).upper()}: {text}"
