"""What every service does alike: serve behind the interceptors, with health from its stores."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from redis.asyncio import Redis

from services.common.auth.tokens import TokenVerifier
from services.common.mongo import Mongo, as_domain_error
from services.common.rpc.health import HealthReporter
from services.common.rpc.server import RpcServer, ServerOptions, Service, interceptors


@dataclass(slots=True)
class _Readiness:
    """Prepares the store once it answers, and from then on only asks whether it does."""

    mongo: Mongo
    prepare: Callable[[], Awaitable[None]]
    prepared: bool = False

    async def probe(self) -> None:
        if not self.prepared:
            await self.prepare()
            self.prepared = True
        await self.mongo.ping()


async def host(
    service: Service,
    options: ServerOptions,
    *,
    verifier: TokenVerifier,
    mongo: Mongo,
    redis: Redis,
    prepare: Callable[[], Awaitable[None]],
) -> None:
    """Serve until told to stop.

    ``prepare`` runs once, as soon as MongoDB answers; until it has succeeded, and whenever
    MongoDB does not answer, the service is NOT_SERVING. Without Redis it goes on serving.
    """
    health = HealthReporter(
        service.descriptor.full_name,
        vital={"mongodb": _Readiness(mongo, prepare).probe},
        optional={"redis": redis.ping},
    )
    chain = interceptors(service, verifier, as_domain_error)
    await RpcServer(service, chain, health, options).serve()
