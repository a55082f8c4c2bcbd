"""A service as a container's first process, on a root that it cannot write to."""

import asyncio
import os
import signal
from dataclasses import replace
from typing import Final

from services.stack.processes import Child, running
from tests.image.containers import Container, catches, first_of
from tests.image.shop import ImageShop, healthy

_WITHIN_S: Final = 30.0
_POLL_S: Final = 0.02
_ENDED_BEFORE_IT_SERVED: Final = 128 + signal.SIGTERM


async def serves_and_drains(at: ImageShop, service: str, *, workers: int) -> int:
    """Start a service, wait until it is healthy, send SIGTERM and return the exit code."""
    held = _with(at.containers[service], SHOP_WORKERS=str(workers))
    log = at.folder.log(f"{service}-first")
    words = held.read_only(service, keys=at.folder.secrets)
    async with running(service, words, log) as child:
        await healthy(held, log)
        return await _told_to_stop(child, held)


async def ends_before_it_serves(at: ImageShop, service: str) -> bool:
    """Whether a service that gets SIGTERM while it starts ends at once."""
    held = at.containers[service]
    words = held.read_only(service, keys=at.folder.secrets)
    async with running(service, words, at.folder.log(f"{service}-first")) as child:
        return await _told_to_stop(child, held) == _ENDED_BEFORE_IT_SERVED


async def _told_to_stop(child: Child, held: Container) -> int:
    async with asyncio.timeout(_WITHIN_S):
        while True:
            process = first_of(child.process.pid, held.image)
            if process is not None and catches(process, signal.SIGTERM):
                break
            await asyncio.sleep(_POLL_S)
        os.kill(process, signal.SIGTERM)
        return await child.process.wait()


def _with(held: Container, **variables: str) -> Container:
    return replace(held, variables={**held.variables, **variables})
