"""The process of a link, as the one that breaks it sees it."""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from bench.prove_cache import link
from services.stack.ports import LOOPBACK

_ENDS_WITHIN_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class RunningLink:
    """A link in a process of its own."""

    process: Process
    port: int

    @property
    def uri(self) -> str:
        """How to reach Redis through it."""
        return f"redis://{LOOPBACK}:{self.port}/0"

    async def break_replies(self) -> None:
        """End each connection in the middle of its next reply."""
        await self._order(link.BREAK)

    async def mend(self) -> None:
        """Pass replies whole again."""
        await self._order(link.MEND)

    async def _order(self, order: str) -> None:
        if self.process.stdin is not None and self.process.stdout is not None:
            self.process.stdin.write(f"{order}\n".encode())
            await self.process.stdout.readline()


@asynccontextmanager
async def running_link(redis_port: int) -> AsyncIterator[RunningLink]:
    """Run a link to Redis until the end. Raises ``RuntimeError`` if it does not start."""
    command = (sys.executable, "-m", "bench.prove_cache.link", str(redis_port))
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)
    try:
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("no pipes")
        port = await process.stdout.readline()
        if not port:
            raise RuntimeError("the link to Redis does not start")
        yield RunningLink(process, int(port))
        process.stdin.close()
        async with asyncio.timeout(_ENDS_WITHIN_S):
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
