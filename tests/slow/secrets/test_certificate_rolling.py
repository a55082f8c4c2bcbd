"""Certificates roll in three restarts, in any two neighbours of which all reach each other."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise, product
from pathlib import Path

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from grpc import aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from services.common.tls import TlsFiles
from tests.e2e.support.refusals import outcome
from tests.integration.certificates import Authority, Pair, PrivateKey

WITHIN_S = 30.0


@asynccontextmanager
async def serving(files: TlsFiles) -> AsyncIterator[str]:
    """Serve with these files, and return where."""
    server = aio.server()
    health_pb2_grpc.add_HealthServicer_to_server(health.aio.HealthServicer(), server)
    port = server.add_secure_port("127.0.0.1:0", files.server_credentials())
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


async def reaches(files: TlsFiles, target: str) -> bool:
    """Whether a service with these files reaches the server."""
    options = (("grpc.use_local_subchannel_pool", 1),)
    async with aio.secure_channel(target, files.channel_credentials(), options=options) as channel:
        check = health_pb2_grpc.HealthStub(channel).Check  # type: ignore[attr-defined]
        request = health_pb2.HealthCheckRequest()
        return await outcome(check(request, timeout=WITHIN_S)) is grpc.StatusCode.OK


def joined(folder: Path, name: str, *parts: Path) -> Path:
    """Write the parts one after the other into one file."""
    path = folder / name
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


def certificates_alone(folder: Path) -> list[TlsFiles]:
    """Each service trusts the very certificate that it serves with."""
    old, new = pairs(folder)
    return [
        TlsFiles(old.cert, old.key),
        TlsFiles(joined(folder, "1.pem", old.cert, new.cert), old.key),
        TlsFiles(joined(folder, "2.pem", new.cert, old.cert), new.key),
        TlsFiles(new.cert, new.key),
    ]


def with_authorities(folder: Path) -> list[TlsFiles]:
    """Servers and clients prove themselves with certificates of an authority, which rolls too."""
    old, new = pairs(folder)
    old_ca, new_ca = folder / "old.ca.pem", folder / "new.ca.pem"
    both = joined(folder, "both.ca.pem", old_ca, new_ca)
    return [
        TlsFiles(old.cert, old.key, old_ca),
        TlsFiles(old.cert, old.key, both),
        TlsFiles(new.cert, new.key, both),
        TlsFiles(new.cert, new.key, new_ca),
    ]


def pairs(folder: Path) -> list[Pair]:
    """Return an old certificate and a new one, each of an authority of its own."""
    issued = []
    for name in ("old", "new"):
        authority = Authority(name)
        authority.write(folder, name)
        issued.append(authority.issue(folder, name))
    return issued


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP384R1()),
        rsa.generate_private_key(public_exponent=65537, key_size=2048),
    ],
    ids=["P-256", "P-384", "RSA"],
)
async def test_every_kind_of_key_that_is_accepted_serves(tmp_path: Path, key: PrivateKey) -> None:
    pair = Authority("shop").issue(tmp_path, "server", key=key)
    files = TlsFiles(pair.cert, pair.key)
    async with serving(files) as target:
        assert await reaches(files, target)


@pytest.mark.parametrize("stages_in", [certificates_alone, with_authorities])
async def test_services_reach_each_other_in_every_step_and_not_without_the_steps(
    tmp_path: Path, stages_in: Callable[[Path], list[TlsFiles]]
) -> None:
    stages = stages_in(tmp_path)
    for neighbours in pairwise(stages):
        for server, client in product(neighbours, repeat=2):
            async with serving(server) as target:
                assert await reaches(client, target)
    async with serving(stages[-1]) as target:
        assert not await reaches(stages[0], target)
