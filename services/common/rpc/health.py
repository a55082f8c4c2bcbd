"""Telling orchestrators and clients whether a service can serve (grpc.health.v1)."""

import math
from collections.abc import Awaitable, Callable, Mapping
from time import monotonic
from typing import Final

import structlog
from grpc_health.v1 import health, health_pb2

Probe = Callable[[], Awaitable[object]]

OVERALL: Final = ""
LIVENESS: Final = "liveness"

log = structlog.get_logger()


class HealthReporter:
    """Keeps the health of a service up to date from probes of what it depends on.

    The service, and the process as a whole, are SERVING from when every vital dependency has
    answered until one has not for more than ``grace_s``. Each dependency can be asked after by
    its own name, without grace. ``liveness`` is SERVING from the beginning to the end: a process
    that waits for a dependency, or finishes its last calls, must not be restarted for it.
    """

    def __init__(
        self,
        service: str,
        vital: Mapping[str, Probe],
        optional: Mapping[str, Probe],
        grace_s: float = 0.0,
    ) -> None:
        self.servicer: Final = health.aio.HealthServicer()
        self._service = service
        self._vital = vital
        self._optional = optional
        self._grace_s = grace_s
        self._well_until = -math.inf
        self._last: dict[str, bool] = {}
        self._stopping = False

    async def begin(self) -> None:
        """Say NOT_SERVING until the first probes are done; the library would say SERVING."""
        await self._set(LIVENESS, up=True)
        for name in (OVERALL, self._service):
            await self._set(name, up=False)

    async def refresh(self) -> None:
        """Probe all dependencies and set the health that follows."""
        vital = [await self._probe(name, probe) for name, probe in self._vital.items()]
        for name, probe in self._optional.items():
            await self._probe(name, probe)
        if all(vital):
            self._well_until = monotonic() + self._grace_s
        well = all(vital) or monotonic() < self._well_until
        for name in (OVERALL, self._service):
            await self._set(name, well and not self._stopping)

    async def stop_serving(self) -> None:
        """Say NOT_SERVING from now on, whatever the probes find."""
        self._stopping = True
        for name in (OVERALL, self._service):
            await self._set(name, up=False)

    async def _probe(self, name: str, probe: Probe) -> bool:
        try:
            await probe()
        except Exception as error:  # noqa: BLE001 (any failure means that it does not serve)
            if self._last.get(name, True):
                log.warning("dependency down", dependency=name, error=repr(error))
            up = False
        else:
            up = True
        await self._set(name, up)
        return up

    async def _set(self, name: str, up: bool) -> None:  # noqa: FBT001
        if self._last.get(name) is not up:
            log.info("health changed", component=name or "overall", serving=up)
        self._last[name] = up
        status = health_pb2.HealthCheckResponse
        await self.servicer.set(name, status.SERVING if up else status.NOT_SERVING)
