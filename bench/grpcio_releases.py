"""Which grpcio release is the cheapest: ``python -m bench grpcio``.

Each release is installed into a temporary folder and put before the locked one on the path. The
server's figure is an empty call over ``grpc.aio.server``; the
client's is an empty call from ``grpc.aio`` to the native server. Rounds are interleaved.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Final

from shop.inventory.v1.inventory_pb2 import GetProductRequest

from bench import progress
from bench.cpu import cpu_seconds
from bench.load import AT_ONCE, Target, driving
from bench.rpc import METHOD
from bench.seeds import nth_id
from bench.servers import Server, started

RELEASES: Final = ("1.76.0", "1.78.2", "1.80.1", "1.82.3", "1.85.1")
MESSAGE: Final = GetProductRequest(product_id=nth_id(0)).SerializeToString()
_OLD_ENGINE: Final = "-event_engine_listener,-event_engine_client"
_FIRST_WITH_EVENT_ENGINE: Final = (1, 80)


@dataclass(slots=True)
class Variant:
    """A release, with or without experiments, and what its calls cost, round by round."""

    release: str
    experiments: str
    server_us: list[float] = field(default_factory=list)
    client_us: list[float] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The release and what was switched."""
        return f"{self.release} {self.experiments}".strip()


def variants() -> Iterator[Variant]:
    """Yield what is compared."""
    for release in RELEASES:
        yield Variant(release, "")
        if tuple(map(int, release.split(".")[:2])) >= _FIRST_WITH_EVENT_ENGINE:
            yield Variant(release, _OLD_ENGINE)


def install(release: str, folder: Path) -> Path:
    """Install a release and return the folder to put on the path."""
    target = folder / release
    subprocess.run(  # noqa: S603
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"),
            *("--target", str(target), f"grpcio=={release}"),
        ],
        check=True,
        stdout=sys.stderr,
    )
    return target


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Run a block with more environment variables, for the processes it starts."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _before(path: Path) -> str:
    """Return the module search path with this one put before the present ones."""
    return os.pathsep.join(filter(None, [str(path), os.environ.get("PYTHONPATH")]))


def client_cpu_us(server: Server, calls: int) -> float:
    """Return what a call costs a grpc.aio client process, in microseconds of CPU."""
    command = [sys.executable, "-m", "bench.aio_client", server.address, METHOD, str(calls)]
    done = subprocess.run(  # noqa: S603
        command, input=MESSAGE, stdout=subprocess.PIPE, check=True, timeout=60
    )
    return float(done.stdout) / calls * 1e6


def measure(compared: list[Variant], rounds: int, calls: int) -> None:
    """Fill in what each variant costs."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        paths = {release: install(release, folder) for release in RELEASES}
        native = stack.enter_context(started("bench.empty_server", ["native"]))
        settings = {
            v.name: {"PYTHONPATH": _before(paths[v.release]), "GRPC_EXPERIMENTS": v.experiments}
            for v in compared
        }
        running = []
        for v in compared:
            with environment(settings[v.name]):
                server = stack.enter_context(started("bench.empty_server", ["grpcio"]))
            driver = stack.enter_context(driving(Target(server.address, METHOD, [MESSAGE])))
            running.append((v, server.pid, driver))
        for number in range(rounds):
            progress.show(f"round {number + 1} of {rounds}")
            for v, pid, driver in running:
                before = cpu_seconds(pid)
                driver.make(calls)
                v.server_us.append((cpu_seconds(pid) - before) / calls * 1e6)
                with environment(settings[v.name]):
                    v.client_us.append(client_cpu_us(native, calls))
        progress.end()


def table(compared: list[Variant]) -> str:
    """Return the figures as Markdown."""
    first = compared[0]
    lines = [
        "| grpcio | server, CPU per call | ratio | client, CPU per call | ratio |",
        "|---|---:|---:|---:|---:|",
    ]
    for v in compared:
        server = median(a / b for a, b in zip(v.server_us, first.server_us, strict=True))
        client = median(a / b for a, b in zip(v.client_us, first.client_us, strict=True))
        lines.append(
            f"| {v.name} | {median(v.server_us):.0f} us | {server:.2f} "
            f"| {median(v.client_us):.0f} us | {client:.2f} |"
        )
    return "\n".join(lines)


def main(argv: Sequence[str]) -> int:
    """Measure, print the table, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench grpcio", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--calls", type=int, default=3_000, help="per variant and round")
    given = parser.parse_args(argv)
    compared = list(variants())
    measure(compared, given.rounds, given.calls)
    sys.stdout.write(
        f"{given.rounds} rounds of {given.calls:,} calls each, {AT_ONCE} at a time\n\n"
        f"{table(compared)}\n"
    )
    return 0
