"""One run: a shop, its clients, its faults, and the history of it all."""

import asyncio
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from bench.prove_cache.calls import opened_twins
from bench.prove_cache.faults import Faults
from bench.prove_cache.history import History
from bench.prove_cache.plan import Plan
from bench.prove_cache.prepare import Identities, prepare
from bench.prove_cache.seeds import seeded
from bench.prove_cache.twins import Twins, running_twins
from services.stack.services import SERVICES

_POLL_S: Final = 0.25
_CLIENT_ENDS_WITHIN_S: Final = 60.0


class ClientEndedError(Exception):
    """A client process ended by itself."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a run is like. It ends when so many reads were made and each fault was seen."""

    reads: int
    clients: int
    readers: int
    """Readers in each client."""
    seed: int
    faults: Sequence[str]
    limit_s: float
    settings: Mapping[str, str]
    """More settings of the services."""
    folder: Path | None = None
    """Where logs, data and histories are kept; None to leave nothing behind."""


@dataclass(slots=True)
class _Client:
    process: Process
    history: Path
    reads: int = 0

    async def listen(self) -> None:
        """Follow how many reads it has made, until it ends."""
        if self.process.stdout is not None:
            async for line in self.process.stdout:
                self.reads = int(line)

    async def end(self) -> None:
        """Let it finish what it does and write its history."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        async with asyncio.timeout(_CLIENT_ENDS_WITHIN_S):
            if await self.process.wait():
                raise ClientEndedError(f"a client ended with {self.process.returncode}")


async def run(options: Options, tell: Callable[[str], None]) -> History:
    """Make a run and return its history."""
    history = History()
    with _folder(options.folder) as folder:
        tell("starting the stores and two processes of each service")
        async with running_twins(folder, options.settings) as twins:
            plan = await _plan(twins, options)
            faults = Faults(twins, options.faults, seeded(options.seed, "faults"), tell)
            async with _running_clients(plan, folder) as clients:
                await _go(clients, faults, options, tell)
                await asyncio.gather(*(client.end() for client in clients))
        for client in clients:
            history.add(client.history)
    history.faults = faults.injected
    return history


@contextmanager
def _folder(kept: Path | None) -> Iterator[Path]:
    if kept is not None:
        kept.mkdir(parents=True)
        yield kept.absolute()
        return
    with tempfile.TemporaryDirectory(prefix="prove-cache-") as name:
        yield Path(name)


async def _plan(twins: Twins, options: Options) -> Plan:
    addresses = {
        f"{service}-{index}": shop.target(service)
        for index, shop in enumerate(twins.shops)
        for service in SERVICES
    }
    identities = Identities(twins.credentials)
    async with opened_twins(addresses) as (first, _):
        assets = await prepare(first, identities)
    return Plan(
        addresses=addresses,
        admin=identities.admin,
        service=identities.service,
        assets=assets,
        seed=options.seed,
        readers=options.readers,
        clients=options.clients,
    )


@asynccontextmanager
async def _running_clients(plan: Plan, folder: Path) -> AsyncIterator[Sequence[_Client]]:
    async with AsyncExitStack() as opened:
        clients = []
        for number in range(plan.clients):
            own = replace(plan, number=number, history=str(folder / f"client-{number}.json"))
            clients.append(await opened.enter_async_context(_client(own)))
        yield clients


@asynccontextmanager
async def _client(plan: Plan) -> AsyncIterator[_Client]:
    command = (sys.executable, "-m", "bench.prove_cache.client")
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)
    client = _Client(process, Path(plan.history))
    if process.stdin is not None:
        process.stdin.write(plan.to_json())
    listening = asyncio.create_task(client.listen())
    try:
        yield client
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        await listening


async def _go(
    clients: Sequence[_Client],
    faults: Faults,
    options: Options,
    tell: Callable[[str], None],
) -> None:
    """Return when enough was read and every fault was seen, or when the time is over."""
    stopping = asyncio.Event()
    injecting = asyncio.create_task(faults.run(stopping))
    loop = asyncio.get_running_loop()
    begun = told = loop.time()
    try:
        while loop.time() < begun + options.limit_s:
            reads = sum(client.reads for client in clients)
            if reads >= options.reads and faults.all_seen:
                break
            _confirm_alive(clients, injecting)
            if loop.time() > told + 5.0:
                told = loop.time()
                tell(f"{reads:,} reads after {told - begun:.0f} s")
            await asyncio.sleep(_POLL_S)
    finally:
        stopping.set()
        await injecting


def _confirm_alive(clients: Sequence[_Client], injecting: asyncio.Task[None]) -> None:
    for client in clients:
        if client.process.returncode is not None:
            raise ClientEndedError(f"a client ended with {client.process.returncode}")
    if injecting.done() and (error := injecting.exception()) is not None:
        raise error
