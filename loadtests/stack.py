"""A whole shop that lives as long as a run."""

import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from loadtests import PROJECT
from loadtests.plan import Targets
from loadtests.ports import LOOPBACK, claimed_ports
from loadtests.shops import ADMIN_PASSWORD_VARIABLE, SERVICES, Shop, UnusableShopError

_PYTHON: Final = PROJECT / ".venv/bin/python"
_TETHER: Final = PROJECT / "services/stack/tether.py"
_READY: Final = "shop is ready"
_READY_WITHIN_S: Final = 180.0
_STOP_WITHIN_S: Final = 60.0
_POLL_S: Final = 0.1
_LAST_LINES: Final = 15
_TOKEN_LIFETIME_S: Final = 86_400
_PORTS: Final = (
    "SHOP_USER_PORT",
    "SHOP_INVENTORY_PORT",
    "SHOP_ORDER_PORT",
    "SHOP_USER_METRICS_PORT",
    "SHOP_INVENTORY_METRICS_PORT",
    "SHOP_ORDER_METRICS_PORT",
    "SHOP_STACK_MONGO_PORT",
    "SHOP_STACK_REDIS_PORT",
)


@contextmanager
def running_shop() -> Iterator[Shop]:
    """Run stores, services and demonstration data on free ports until the end of the block.

    Everybody's ``cache-control`` is heeded. What SHOP_* variables say reaches the services. Raises
    ``UnusableShopError`` with the last lines of its output when it does not start.
    """
    if not _PYTHON.exists():
        raise UnusableShopError(f"{_PYTHON} is missing: `make run` or `make test` installs it")
    with tempfile.TemporaryDirectory(prefix="shop-load-") as folder, claimed_ports(8) as ports:
        settings = _settings(dict(zip(_PORTS, map(str, ports), strict=True)))
        password = os.environ.get(ADMIN_PASSWORD_VARIABLE) or secrets.token_urlsafe(24)
        log = Path(folder) / "stack.log"
        environment = {
            **os.environ,
            **settings,
            "SHOP_DATA_DIR": f"{folder}/data",
            ADMIN_PASSWORD_VARIABLE: password,
            "PYTHONPATH": f"{PROJECT}:{PROJECT / 'proto'}",
        }
        with _started(environment, log) as process:
            _wait_until_ready(process, log)
            yield Shop(
                targets=Targets(*(f"{LOOPBACK}:{port}" for port in ports[:3])),
                metrics={
                    service: f"http://{LOOPBACK}:{port}/metrics"
                    for service, port in zip(SERVICES, ports[3:6], strict=True)
                },
                settings=settings,
                pid=process.pid,
                admin_password=password,
            )


def _settings(ports: Mapping[str, str]) -> dict[str, str]:
    return {
        **ports,
        "SHOP_CACHE_CONTROL": "any",
        "SHOP_LOG_LEVEL": os.environ.get("SHOP_LOG_LEVEL", "warning"),
        "SHOP_ACCESS_TOKEN_LIFETIME_S": str(_TOKEN_LIFETIME_S),
        "SHOP_SEED": "true",
    }


@contextmanager
def _started(environment: Mapping[str, str], log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    command = (_PYTHON, "-IS", _TETHER, str(os.getpid()), _PYTHON, "-m", "services.stack")
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 (our own command line)
            list(map(str, command)),
            cwd=PROJECT,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # Ctrl-C in a terminal ends the run, and the run ends the shop.
            start_new_session=True,
        )
    try:
        yield process
    finally:
        _stop(process)


def _wait_until_ready(process: "subprocess.Popen[bytes]", log: Path) -> None:
    end = time.monotonic() + _READY_WITHIN_S
    while _READY not in log.read_text(errors="replace"):
        if process.poll() is not None or time.monotonic() > end:
            lines = log.read_text(errors="replace").splitlines()[-_LAST_LINES:]
            raise UnusableShopError("the shop did not start:\n  " + "\n  ".join(lines))
        time.sleep(_POLL_S)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(_STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        sys.stderr.write(f"the shop (process {process.pid}) does not end by itself\n")
        process.kill()
        process.wait()
