"""What every service does alike: serve behind the interceptors, with health from its stores."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.registry import Collector

from services.common.auth.metrics import KeyMetrics
from services.common.auth.reload import LiveKeys
from services.common.background import repeating
from services.common.cache.hold import prepare_backstop
from services.common.cache.wiring import OpenCache
from services.common.instruments import NO_INSTRUMENTS, Instruments
from services.common.logs import LogMetrics
from services.common.mongo import Mongo, as_domain_error
from services.common.rpc.chain import Chain
from services.common.rpc.health import HealthReporter
from services.common.rpc.server import RpcServer
from services.common.rpc.service import Service
from services.common.settings import ServiceSettings
from services.common.telemetry.dependencies import DependencyMetrics
from services.common.telemetry.exposition import (
    exposed_at_socket,
    exposed_over_http,
    new_registry,
)


@dataclass(slots=True)
class _Readiness:
    """Prepares the store once it answers, and from then on only asks whether it does."""

    mongo: Mongo
    prepare: Callable[[], Awaitable[None]]
    prepared: bool = False

    async def probe(self) -> None:
        if not self.prepared:
            await self.prepare()
            await prepare_backstop(self.mongo)
            self.prepared = True
        await self.mongo.ping()


async def host(
    service: Service,
    settings: ServiceSettings,
    *,
    keys: LiveKeys,
    mongo: Mongo,
    cache: OpenCache[Any],
    prepare: Callable[[], Awaitable[None]],
    collectors: Iterable[Collector] = (),
    instruments: Instruments = NO_INSTRUMENTS,
) -> None:
    """Serve until told to stop, with keys that follow their files.

    The service's figures are exposed with those of ``collectors``.

    ``prepare`` runs once, as soon as MongoDB answers; until it has succeeded, and when MongoDB
    has not answered for longer than its grace, the service is NOT_SERVING. Without Redis it goes
    on serving.
    """
    if not cache.answers:
        service = replace(service, cached=())
    dependencies = DependencyMetrics()
    readiness = _Readiness(mongo, prepare)
    health = HealthReporter(
        service.descriptor.full_name,
        vital={"mongodb": dependencies.watched("mongodb", readiness.probe)},
        optional={"redis": dependencies.watched("redis", cache.redis.ping)},
        grace_s=settings.mongo_grace_s,
    )
    chain = Chain(
        service, keys.verifier, as_domain_error, settings.chain(), instruments.interceptors
    )
    registry = new_registry()
    own = (KeyMetrics(keys), LogMetrics(), dependencies, mongo.metrics, cache.metrics)
    for collector in (*chain.collectors(), *own, *collectors):
        registry.register(collector)
    server = RpcServer(service, chain, health, settings.server)
    async with (
        repeating("look at key files", keys.refresh, settings.keys_refresh_s),
        _exposed(registry, settings),
    ):
        await server.serve()


@asynccontextmanager
async def _exposed(registry: CollectorRegistry, settings: ServiceSettings) -> AsyncIterator[None]:
    if settings.worker_metrics_socket is not None:
        async with exposed_at_socket(registry, settings.worker_metrics_socket):
            yield
    elif settings.ports.metrics:
        async with exposed_over_http(registry, settings.bind_host, settings.ports.metrics):
            yield
    else:
        yield
