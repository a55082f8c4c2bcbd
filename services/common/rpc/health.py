"""Telling orchestrators and clients whether a service can serve (grpc.health.v1)."""

import asyncio
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from time import monotonic
from typing import Any, Final

import grpc
import structlog
from google.protobuf.message import DecodeError
from grpc import aio
from grpc_health.v1 import health_pb2

from services.common.rpc.methods import Context

Request = health_pb2.HealthCheckRequest | None  # None for what could not be read
Probe = Callable[[], Awaitable[object]]

OVERALL: Final = ""
LIVENESS: Final = "liveness"

_ALL: Final = "all"
_REQUEST_BYTES: Final = 512
_WATCHERS: Final = 1_000  # of this process
_WATCHERS_OF_A_NAME: Final = 500  # all unknown names count as one
_WATCHERS_OF_AN_ADDRESS: Final = 200

log = structlog.get_logger()


class HealthServicer:
    """The standard contract: ``Check`` answers once, ``Watch`` with each change.

    A watcher is written to by its own call alone, and gets the newest status when it has read
    the one before: nothing queues up, and one that does not read delays nobody. The number of
    watchers is bounded, and so is the size of a request, which lives as long as its watcher.
    """

    def __init__(self) -> None:
        self._statuses: dict[str, int] = {}
        self._changed = asyncio.Event()
        self._ended = False
        self._watchers: Counter[Hashable] = Counter()

    def serve_on(self, server: aio.Server) -> None:
        """Add the contract to a server."""
        handlers = {
            "Check": grpc.unary_unary_rpc_method_handler(self.Check, _read, _serialized),
            "Watch": grpc.unary_stream_rpc_method_handler(self.Watch, _read, _serialized),
        }
        name = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
        generic = grpc.method_handlers_generic_handler(name, handlers)
        server.add_generic_rpc_handlers((generic,))
        server.add_registered_method_handlers(name, handlers)

    @property
    def watchers(self) -> int:
        """How many watch."""
        return self._watchers[_ALL]

    def set(self, name: str, status: int) -> None:
        """Change the status of a name and wake those who watch."""
        if self._statuses.get(name) != status:
            self._statuses[name] = status
            self._wake()

    def end_watches(self) -> None:
        """End the calls of all watchers; they get UNAVAILABLE and watch another server."""
        self._ended = True
        self._wake()

    async def Check(self, request: Request, context: Context) -> Any:
        """Return the status of a name; NOT_FOUND for an unknown one."""
        name = await _name(request, context)
        status = self._statuses.get(name)
        if status is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no service of this name")
        return health_pb2.HealthCheckResponse(status=status)

    async def Watch(self, request: Request, context: Context) -> None:
        """Write the status of a name, SERVICE_UNKNOWN for an unknown one, and each change."""
        name = await _name(request, context)
        with self._place(name, context) as taken:
            if not taken:
                await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many watchers")
            await self._tell_changes(name, context)

    async def _tell_changes(self, name: str, context: Context) -> None:
        told = None
        while not self._ended:
            changed = self._changed
            status = self._statuses.get(name, health_pb2.HealthCheckResponse.SERVICE_UNKNOWN)
            if status == told:
                await changed.wait()
            else:
                await context.write(health_pb2.HealthCheckResponse(status=status))
                told = status
        await context.abort(grpc.StatusCode.UNAVAILABLE, "the server is shutting down")

    @contextmanager
    def _place(self, name: str, context: Context) -> Iterator[bool]:
        """Take a place for a watcher until the end, and yield whether there was one."""
        limits: dict[Hashable, int] = {
            _ALL: _WATCHERS,
            ("name", name if name in self._statuses else None): _WATCHERS_OF_A_NAME,
            ("address", context.peer().rpartition(":")[0]): _WATCHERS_OF_AN_ADDRESS,
        }
        if any(self._watchers[group] >= limit for group, limit in limits.items()):
            yield False
            return
        self._watchers.update(limits.keys())
        try:
            yield True
        finally:
            self._watchers.subtract(limits.keys())
            for group in limits:
                if not self._watchers[group]:
                    del self._watchers[group]

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def _read(raw: bytes) -> Request:
    try:
        return health_pb2.HealthCheckRequest.FromString(raw) if len(raw) <= _REQUEST_BYTES else None
    except DecodeError:
        return None


def _serialized(response: health_pb2.HealthCheckResponse) -> bytes:
    return response.SerializeToString()


async def _name(request: Request, context: Context) -> str:
    if request is None:
        problem = f"request: must be a HealthCheckRequest of at most {_REQUEST_BYTES} bytes"
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, problem)
    return request.service


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
        self.servicer: Final = HealthServicer()
        self._service = service
        self._vital = vital
        self._optional = optional
        self._grace_s = grace_s
        self._well_until = -math.inf
        self._last: dict[str, bool] = {}
        self._stopping = False

    def begin(self) -> None:
        """Say NOT_SERVING until the first probes are done."""
        self._set(LIVENESS, up=True)
        for name in (OVERALL, self._service):
            self._set(name, up=False)

    async def refresh(self) -> None:
        """Probe all dependencies and set the health that follows."""
        vital = [await self._probe(name, probe) for name, probe in self._vital.items()]
        for name, probe in self._optional.items():
            await self._probe(name, probe)
        if all(vital):
            self._well_until = monotonic() + self._grace_s
        well = all(vital) or monotonic() < self._well_until
        for name in (OVERALL, self._service):
            self._set(name, well and not self._stopping)

    def stop_serving(self) -> None:
        """Say NOT_SERVING from now on, whatever the probes find."""
        self._stopping = True
        for name in (OVERALL, self._service):
            self._set(name, up=False)

    async def _probe(self, name: str, probe: Probe) -> bool:
        try:
            await probe()
        except Exception as error:  # noqa: BLE001 (any failure means that it does not serve)
            if self._last.get(name, True):
                log.warning("dependency down", dependency=name, error=repr(error))
            up = False
        else:
            up = True
        self._set(name, up)
        return up

    def _set(self, name: str, up: bool) -> None:  # noqa: FBT001
        if self._last.get(name) is not up:
            log.info("health changed", component=name or "overall", serving=up)
        self._last[name] = up
        status = health_pb2.HealthCheckResponse
        self.servicer.set(name, status.SERVING if up else status.NOT_SERVING)
