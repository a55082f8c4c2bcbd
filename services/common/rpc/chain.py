"""What happens around every call of a service."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from prometheus_client.registry import Collector

from services.common.auth.tokens import TokenVerifier
from services.common.rpc.adaptive_limit import AdaptiveLimit
from services.common.rpc.interceptors.authorization import AuthorizationInterceptor
from services.common.rpc.interceptors.base import MethodInterceptor
from services.common.rpc.interceptors.cache_control import (
    CacheControlInterceptor,
    CacheControlPolicy,
)
from services.common.rpc.interceptors.concurrency_limit import ConcurrencyLimitInterceptor
from services.common.rpc.interceptors.deadline import DeadlineInterceptor
from services.common.rpc.interceptors.drain import DrainInterceptor
from services.common.rpc.interceptors.error_mapping import ErrorMappingInterceptor, Translate
from services.common.rpc.interceptors.metrics import MetricsInterceptor
from services.common.rpc.interceptors.request_log import RequestLogInterceptor
from services.common.rpc.load_gauge import LoadGauge
from services.common.rpc.load_metrics import LoadMetrics
from services.common.rpc.service import Service
from services.common.rpc.watchdog import Watchdog
from services.common.telemetry.rpc import RpcMetrics

_LEAST_LIMIT: Final = 4
_QUEUE_SIZE: Final = 32
_QUEUE_TIMEOUT_S: Final = 0.01


class LimitKind(StrEnum):
    """How calls in flight are limited: by what the latencies say, to a fixed number, or not."""

    ADAPTIVE = "adaptive"
    FIXED = "fixed"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class ChainOptions:
    """How the chain behaves. ``max_in_flight`` is the most that the limit may become."""

    limit: LimitKind
    max_in_flight: int
    log_every_call: bool
    cache_control: CacheControlPolicy = CacheControlPolicy.ADMIN


class Chain:
    """The interceptors of a service, outermost first, and the figures they keep.

    Those that are ``watching`` see each call under its name, and what becomes of it.
    """

    def __init__(
        self,
        service: Service,
        verifier: TokenVerifier,
        translate: Translate,
        options: ChainOptions,
        watching: Sequence[MethodInterceptor] = (),
    ) -> None:
        self._rpc_metrics = RpcMetrics()
        self._load = LoadGauge()
        self._drain = DrainInterceptor()
        self._limiter = _limiter(service, options, self._load)
        self.interceptors: tuple[MethodInterceptor, ...] = (
            MetricsInterceptor(self._rpc_metrics),
            RequestLogInterceptor(every_call=options.log_every_call),
            *watching,
            ErrorMappingInterceptor(service.descriptor.file.package, translate),
            self._drain,
            *(() if self._limiter is None else (self._limiter,)),
            DeadlineInterceptor(service.max_s, Watchdog(self._load.notice)),
            AuthorizationInterceptor(service.access, verifier),
            CacheControlInterceptor(options.cache_control, verifier, service.cached),
        )

    @property
    def in_flight(self) -> int:
        """How many calls have begun and not ended, those left out that wait to be refused."""
        return self._rpc_metrics.in_flight - self._drain.kept

    def refuse_new_calls(self) -> None:
        """Answer UNAVAILABLE to every call that begins from now on, after a moment."""
        self._drain.closed = True

    def refuse_kept_calls(self) -> None:
        """Answer at once from now on."""
        self._drain.refuse_kept_calls()

    def collectors(self) -> Iterator[Collector]:
        """Yield the figures, for a registry."""
        yield self._rpc_metrics
        if self._limiter is not None:
            yield LoadMetrics(self._limiter, self._load)


def _limiter(
    service: Service, options: ChainOptions, load: LoadGauge
) -> ConcurrencyLimitInterceptor | None:
    most = options.max_in_flight
    if options.limit is LimitKind.OFF:
        return None
    if options.limit is LimitKind.FIXED:
        limit = AdaptiveLimit(most, at_least=most, at_most=most)
    else:
        limit = AdaptiveLimit(max(most // 2, 1), at_least=min(_LEAST_LIMIT, most), at_most=most)
    return ConcurrencyLimitInterceptor(
        limit, load, _QUEUE_SIZE, _QUEUE_TIMEOUT_S, service.unlimited
    )
