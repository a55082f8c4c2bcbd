"""A service that cannot start says why in words, on standard error, and exits with 2."""

import asyncio
import os
import socket
import sys
from asyncio.subprocess import PIPE
from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)

from services.stack.credentials import Credentials, open_credentials
from services.stack.ports import claimed_ports
from services.stack.services import SERVICES, ServicePorts, Shop
from tests.forks import Ended, Forks
from tests.integration.certificates import Authority, Pair, PrivateKey
from tests.no_opentelemetry import hiding_opentelemetry

NOWHERE = "mongodb://127.0.0.1:1/?replicaSet=rs0"
NO_REDIS = "redis://127.0.0.1:1/0"
SIGNERS = ("user", "order")
WITHIN_S = 200.0  # some of them are started at once
Refused = Callable[[str, Mapping[str, str]], Awaitable[str]]

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def credentials(tmp_path: Path) -> Credentials:
    return open_credentials(tmp_path)


@pytest.fixture
def shop(credentials: Credentials) -> Iterator[Shop]:
    """Everything that services need to know; the stores do not answer."""
    inherited = {name: v for name, v in os.environ.items() if not name.startswith("SHOP_")}
    with claimed_ports(3) as ports:
        yield Shop(NOWHERE, NO_REDIS, credentials, ServicePorts(*ports), variables=inherited)


async def refusal(service: str, environment: Mapping[str, str]) -> str:
    """Start a service that is to end with code 2 and return what it said."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", f"services.{service}", stderr=PIPE, stdout=PIPE, env=environment
    )
    try:
        async with asyncio.timeout(WITHIN_S):
            output, error = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return said_by(service, Ended(process.returncode, output.decode(), error.decode()))


def said_by(service: str, ended: Ended) -> str:
    assert ended.code == 2, ended.error
    assert ended.output == ""
    assert f"services.{service} cannot start:" in ended.error
    assert "Traceback" not in ended.error
    return ended.error


@pytest.fixture
def refused(forks: Forks) -> Refused:
    """Start a service that is to end with code 2, with its imports behind it, likewise."""

    async def start(service: str, environment: Mapping[str, str]) -> str:
        return said_by(service, await forks.run(environment, f"services.{service}"))

    return start


def without(environment: Mapping[str, str], *names: str) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name not in names}


@pytest.mark.parametrize("service", SERVICES)
async def test_every_variable_that_is_missing_is_named(shop: Shop, service: str) -> None:
    needed = {"SHOP_MONGO_URI", "SHOP_REDIS_URL", "SHOP_TRUSTED_KEYS_FILE"}
    if service in SIGNERS:
        needed.add(f"SHOP_{service.upper()}_SIGNING_KEY_FILE")
    said = await refusal(service, without(shop.environment(service), *needed))
    for name in needed:
        assert f"{name}: must be set" in said


async def test_a_value_that_cannot_be_is_named_and_a_secret_not_shown(
    shop: Shop, refused: Refused
) -> None:
    wrong = {
        "SHOP_USER_PORT": "70000",
        "SHOP_MONGO_DRIVER": "other",
        "SHOP_MONGO_TIMEOUT_MS": "soon",
        "SHOP_ADMIN_PASSWORD": "hunter2",
    }
    said = await refused("user", shop.environment("user") | wrong)
    for name in wrong:
        assert name in said
    assert "hunter2" not in said
    assert NOWHERE not in said


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SHOP_REDIS_URL", f"{NO_REDIS}?decode_responses=true"),
        ("SHOP_MONGO_URI", f"{NOWHERE}&readPreference=secondary"),
    ],
)
async def test_an_option_that_would_break_a_promise_is_refused(
    shop: Shop, refused: Refused, name: str, value: str
) -> None:
    said = await refused("inventory", shop.environment("inventory") | {name: value})
    assert f"{name}: " in said


def pem(
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey,
    encryption: KeySerializationEncryption | None = None,
) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())


@pytest.mark.parametrize("service", SIGNERS)
async def test_a_key_of_another_kind_is_refused(
    shop: Shop, refused: Refused, service: str, tmp_path: Path
) -> None:
    rsa_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    keys = {
        "rsa": (pem(rsa_key), "is not an Ed25519 key"),
        "ec": (pem(ec.generate_private_key(ec.SECP256R1())), "is not an Ed25519 key"),
        "encrypted": (pem(rsa_key, BestAvailableEncryption(b"x")), "is not an unencrypted"),
        "empty": (b"", "is not an unencrypted private key"),
        "missing": (None, "cannot be read"),
    }

    async def attempt(name: str, content: bytes | None, complaint: str) -> None:
        path = tmp_path / f"{name}.pem"
        if content is not None:
            path.write_bytes(content)
        variable = {f"SHOP_{service.upper()}_SIGNING_KEY_FILE": str(path)}
        said = await refused(service, shop.environment(service) | variable)
        assert f"{path} {complaint}" in said

    await asyncio.gather(*(attempt(name, *key) for name, key in keys.items()))


@pytest.mark.parametrize("content", [b"{}", b'{"keys": []}', b"secret"])
async def test_a_service_that_could_trust_nobody_does_not_start(
    shop: Shop, refused: Refused, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "other.json"
    path.write_bytes(content)
    variable = {"SHOP_TRUSTED_KEYS_FILE": str(path)}
    said = await refused("inventory", shop.environment("inventory") | variable)
    assert str(path) in said
    assert "secret" not in said


@pytest.mark.parametrize("service", SERVICES)
async def test_a_port_in_use_is_named(shop: Shop, refused: Refused, service: str) -> None:
    with socket.socket() as taken:
        # As another server of gRPC's would have it by default: willing to share.
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ports = ServicePorts(port, port, port)
        elsewhere = Shop(NOWHERE, NO_REDIS, shop.credentials, ports, variables=shop.variables)
        said = await refused(service, elsewhere.environment(service))
    assert f"cannot listen on 127.0.0.1:{port}: is it in use?" in said


# ---- TLS, figures, workers


@pytest.fixture
def tls(tmp_path: Path) -> dict[str, str]:
    """The variables of a service with a certificate."""
    pair = Authority("shop").issue(tmp_path, "server")
    return {"SHOP_TLS_CERT": str(pair.cert), "SHOP_TLS_KEY": str(pair.key)}


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_the_native_transport_with_tls_is_refused(
    shop: Shop, refused: Refused, tls: dict[str, str], workers: str
) -> None:
    variables = tls | {"SHOP_TRANSPORT": "native", "SHOP_WORKERS": workers}
    said = await refused("inventory", shop.environment("inventory") | variables)
    assert "SHOP_TRANSPORT=native serves no TLS: use grpcio or auto" in said


async def test_half_a_certificate_is_named(
    shop: Shop, refused: Refused, tls: dict[str, str]
) -> None:
    said = await refused("user", shop.environment("user") | without(tls, "SHOP_TLS_KEY"))
    assert "SHOP_TLS_CERT and SHOP_TLS_KEY: set both or none" in said


@pytest.mark.parametrize("service", ["inventory", "order"])
async def test_certificates_that_cannot_be_used_are_named(
    shop: Shop, refused: Refused, tls: dict[str, str], service: str, tmp_path: Path
) -> None:
    other = Authority("other").issue(tmp_path, "other")
    garbage, encrypted = tmp_path / "garbage.pem", tmp_path / "encrypted.pem"
    garbage.write_bytes(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    encrypted.write_bytes(
        pem(ec.generate_private_key(ec.SECP256R1()), BestAvailableEncryption(b"x"))
    )
    missing = tmp_path / "missing.pem"
    attempts = [
        ("SHOP_TLS_CERT", missing, "cannot be read"),
        ("SHOP_TLS_CERT", garbage, "are not a PEM certificate and its unencrypted key"),
        ("SHOP_TLS_KEY", garbage, "are not a PEM certificate and its unencrypted key"),
        ("SHOP_TLS_KEY", encrypted, "are not a PEM certificate and its unencrypted key"),
        ("SHOP_TLS_KEY", other.key, "are not a PEM certificate and its unencrypted key"),
        ("SHOP_TLS_CLIENT_CA", garbage, "is not a PEM certificate"),
        ("SHOP_TLS_CLIENT_CA", missing, "cannot be read"),
    ]

    async def attempt(variable: str, path: Path, complaint: str) -> None:
        said = await refused(service, shop.environment(service) | tls | {variable: str(path)})
        assert variable in said
        assert str(path) in said
        assert complaint in said

    await asyncio.gather(*(attempt(*one) for one in attempts))


async def test_a_certificate_that_nobody_could_be_served_with_is_refused(
    shop: Shop, refused: Refused, tmp_path: Path
) -> None:
    authority = Authority("shop")
    keys: dict[str, PrivateKey] = {
        "ed25519": ed25519.Ed25519PrivateKey.generate(),
        "p521": ec.generate_private_key(ec.SECP521R1()),
        "small": rsa.generate_private_key(public_exponent=65537, key_size=1024),  # noqa: S505
    }
    over = authority.issue(tmp_path, "over", ends_in=timedelta(minutes=-1))

    async def attempt(pair: Pair, variable: str, complaint: str) -> None:
        variables = {"SHOP_TLS_CERT": str(pair.cert), "SHOP_TLS_KEY": str(pair.key)}
        said = await refused("inventory", shop.environment("inventory") | variables)
        assert f"{variable}: " in said
        assert complaint in said

    await asyncio.gather(
        attempt(over, "SHOP_TLS_CERT", f"{over.cert} is valid from"),
        *(
            attempt(authority.issue(tmp_path, name, key=key), "SHOP_TLS_KEY", "it takes RSA of")
            for name, key in keys.items()
        ),
    )


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_metrics_port_in_use_is_named(shop: Shop, refused: Refused, workers: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        variables = {"SHOP_INVENTORY_METRICS_PORT": str(port), "SHOP_WORKERS": workers}
        said = await refused("inventory", shop.environment("inventory") | variables)
    assert f"cannot serve metrics on 127.0.0.1:{port}" in said


async def test_traces_without_what_they_need_are_refused_and_the_extra_named(
    shop: Shop, tmp_path: Path
) -> None:
    variables = {"SHOP_TRACING": "otlp", **hiding_opentelemetry(tmp_path)}
    said = await refusal("order", shop.environment("order") | variables)
    assert "SHOP_TRACING=otlp needs the extra 'tracing'" in said


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SHOP_TRACING", "jaeger"),
        ("SHOP_TRACING_SAMPLE_RATIO", "1.5"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "brotli"),
    ],
)
async def test_tracing_that_cannot_be_is_refused_and_the_variable_named(
    shop: Shop, refused: Refused, variable: str, value: str
) -> None:
    variables = {"SHOP_TRACING": "otlp", variable: value}
    said = await refused("user", shop.environment("user") | variables)
    assert variable in said
