"""``python -m services check [SERVICE]``: whether a service on this host says that it is serving.

A container's health check. It imports little, for it is run every few seconds.
"""

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.common.addresses import Host, reachable
from services.common.rpc.probe import Server, asked, verdict
from services.common.tls import TlsFiles, UnusableCertificateError

SERVICES: Final = ("user", "inventory", "order")

_SERVING: Final = "SERVING"
_WITHIN_S: Final = 2.0
_NOT_SERVING: Final = 1

Port = Annotated[int, Field(ge=1, le=65535)]


class CheckSettings(BaseSettings):
    """Where the services of this host listen, from the variables that tell it to them."""

    model_config = SettingsConfigDict(env_prefix="SHOP_", frozen=True, env_ignore_empty=True)

    bind_host: Host = "127.0.0.1"
    user_port: Port = 50051
    inventory_port: Port = 50052
    order_port: Port = 50053
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_client_ca: Path | None = None

    def server(self, service: str) -> Server:
        """Return the server of a service by name."""
        tls = None
        if self.tls_cert is not None and self.tls_key is not None:
            tls = TlsFiles(self.tls_cert, self.tls_key, self.tls_client_ca)
        return Server(
            host=reachable(self.bind_host),
            port=getattr(self, f"{service}_port"),
            service=f"shop.{service}.v1.{service.capitalize()}Service",
            tls=tls,
        )


def main() -> int:
    """Return 0 if what is asked after is serving, else 1, having told why not."""
    parser = argparse.ArgumentParser(
        prog="python -m services check",
        description="Exit with 0 if a service on this host says within 2 s that it is serving.",
    )
    parser.add_argument(
        "service",
        nargs="?",
        choices=SERVICES,
        help="which (every one that listens on its port, and at least one)",
    )
    service = parser.parse_args().service
    try:
        complaints = check(CheckSettings(), service)
    except (ValidationError, UnusableCertificateError) as error:
        complaints = [f"nothing can be asked: {error}"]
    for complaint in complaints:
        sys.stderr.write(f"{complaint}\n")
    return _NOT_SERVING if complaints else 0


def check(settings: CheckSettings, service: str | None = None) -> list[str]:
    """Return what keeps this host's services from being called; nothing if all are serving.

    Without the name of one, all that listen on their ports are meant, and at least one must.
    It takes at most about 2 s. Raises ``UnusableCertificateError``.
    """
    if service is not None:
        return _complaints({service: settings.server(service)})
    servers = {name: settings.server(name) for name in SERVICES}
    listening = {name: server for name, server in servers.items() if server.listens()}
    if not listening:
        return ["no service listens on this host"]
    return _complaints(listening)


def _complaints(servers: dict[str, Server]) -> list[str]:
    with ExitStack() as opened:
        calls = {
            name: opened.enter_context(asked(server, _WITHIN_S)) for name, server in servers.items()
        }
        states = {name: verdict(call) for name, call in calls.items()}
    return [
        f"{name} at {servers[name].address}: {state}"
        for name, state in states.items()
        if state != _SERVING
    ]


if __name__ == "__main__":
    sys.exit(main())
