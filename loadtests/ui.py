"""``python -m loadtests ui``: Locust's web interface on a shop of its own, or a running one."""

import os
import signal
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import asdict

import loadtests.engine  # noqa: F401 (its import makes gRPC fit for gevent)
from loadtests import PROJECT
from loadtests.channel import Channels
from loadtests.goods import Stubs
from loadtests.plan import Targets, address, given_targets
from loadtests.prepare import restock
from loadtests.shops import UnusableShopError
from loadtests.stack import running_shop

_DESCRIPTION = """\
Start Locust's web interface with the shop's users. Without addresses a shop of its own is started.
All other options are Locust's and those of `locust -f loadtests/locustfile.py --help`.
"""


def main(argv: Sequence[str]) -> int:
    """Serve until Ctrl-C and return the exit code."""
    parser = ArgumentParser(
        prog="python -m loadtests ui", description=_DESCRIPTION, allow_abbrev=False
    )
    for service in ("user", "inventory", "order"):
        parser.add_argument(f"--{service}", type=address, metavar="HOST:PORT")
    parser.add_argument("--web-host", default="127.0.0.1", help="(%(default)s)")
    parser.add_argument("--web-port", default="8089", help="(%(default)s)")
    given, others = parser.parse_known_args(argv)
    try:
        targets = given_targets(given)
    except ValueError as error:
        parser.error(str(error))
    web = ["--web-host", given.web_host, "--web-port", given.web_port]
    if targets is not None:
        return _serve(targets, [*web, *others])
    try:
        return _serve_own([*web, *others])
    except UnusableShopError as error:
        sys.stderr.write(f"{error}\n")
        return 2


def _serve_own(options: Sequence[str]) -> int:
    sys.stderr.write("starting a shop\n")
    with running_shop() as shop:
        channels = Channels()
        if shop.admin_password is not None:
            restock(Stubs.over(channels.to, shop.targets), shop.admin_password)
        channels.close()
        return _serve(shop.targets, options)


def _serve(targets: Targets, options: Sequence[str]) -> int:
    command = [
        *(sys.executable, "-m", "locust", "-f", str(PROJECT / "loadtests/locustfile.py")),
        *(f"--{service}={target}" for service, target in asdict(targets).items()),
        *("--class-picker", *options),
    ]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    process = subprocess.Popen(command, env=environment)  # noqa: S603 (our own command line)
    # Ctrl-C in a terminal reaches Locust, which ends; then the shop is to end in order.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    return process.wait()
