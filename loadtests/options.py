"""The options of ``python -m loadtests run`` and of ``python -m loadtests master``."""

import os
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from loadtests import thresholds
from loadtests.plan import (
    USERS_CLOSED,
    USERS_OPEN,
    add_load_options,
    add_shape_options,
    address,
    given_targets,
    not_negative,
    whole,
)
from loadtests.shops import SERVICES
from loadtests.worker import MASTER_PORT

DURATION_S: Final = 90
WARMUP_S: Final = 10.0

_RUN: Final = """\
Put the shop under load and report what a client sees. Without addresses a shop of its own is
started, on free ports, and removed afterwards.
"""
_MASTER: Final = """\
Put a running shop under load by workers on other machines (`python -m loadtests worker`) and report
what a client sees. The shop's addresses are options, or SHOP_USER_TARGET, SHOP_INVENTORY_TARGET and
SHOP_ORDER_TARGET.
"""


def of_run(argv: Sequence[str]) -> Namespace:
    """Return the options of a run. Ends the process with 2, naming what is wrong with them."""
    parser = _parser("run", _RUN)
    parser.add_argument(
        "--processes",
        type=whole,
        default=1,
        metavar="N",
        help="processes that generate the load (%(default)s)",
    )
    options = parser.parse_args(argv, Namespace(master_port=None))
    _check(parser, options)
    return options


def of_master(argv: Sequence[str]) -> Namespace:
    """Return the options of a master. Ends the process with 2, naming what is wrong with them."""
    parser = _parser("master", _MASTER)
    parser.add_argument(
        "--workers",
        type=whole,
        required=True,
        dest="processes",
        metavar="N",
        help="workers to wait for; all of them generate the load",
    )
    parser.add_argument(
        "--port",
        type=whole,
        default=MASTER_PORT,
        dest="master_port",
        help="where it waits for them (%(default)s)",
    )
    options = parser.parse_args(argv)
    for service in SERVICES:
        if getattr(options, service) is None:
            setattr(options, service, _target_of(parser, service))
    _check(parser, options)
    if not options.user:
        parser.error("which shop? Give --user, --inventory and --order")
    return options


def _target_of(parser: ArgumentParser, service: str) -> str | None:
    variable = f"SHOP_{service.upper()}_TARGET"
    target = os.environ.get(variable)
    try:
        return address(target) if target else None
    except ArgumentTypeError as error:
        parser.error(f"{variable}: {error}")


def _parser(command: str, description: str) -> ArgumentParser:
    parser = ArgumentParser(
        prog=f"python -m loadtests {command}", description=description, allow_abbrev=False
    )
    add_load_options(parser)
    parser.add_argument(
        "--users",
        type=whole,
        metavar="N",
        help=f"closed model: users at the same time ({USERS_CLOSED}); open model: the most calls "
        f"at the same time ({USERS_OPEN}); the ab is open unless this is given alone",
    )
    parser.add_argument(
        "--duration", type=whole, default=DURATION_S, metavar="S", help="measured (%(default)s)"
    )
    parser.add_argument(
        "--warmup",
        type=not_negative,
        default=WARMUP_S,
        metavar="S",
        help="before that, not measured (%(default)s)",
    )
    add_shape_options(parser)
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="where the report goes (out/load/<UTC time>)"
    )
    for service in SERVICES:
        parser.add_argument(
            f"--{service}-metrics",
            metavar="URL",
            help=f"a running shop's figures of the {service.capitalize()} service",
        )
    thresholds.add_options(parser)
    return parser


def _check(parser: ArgumentParser, options: Namespace) -> None:
    try:
        targets = given_targets(options)
    except ValueError as error:
        parser.error(str(error))
    for service in SERVICES:
        url = getattr(options, f"{service}_metrics")
        if url is not None and targets is None:
            parser.error(f"--{service}-metrics is for a running shop: give --{service} too")
        if url is not None and not url.startswith("http://"):
            parser.error(f"--{service}-metrics: {url!r} does not begin with http://")
    if options.rate is not None and options.think:
        parser.error("--think is for the closed model: --rate decides when calls start")
    if options.fail_speedup_below and options.scenario != "ab":
        parser.error("--fail-speedup-below needs the scenario ab")
    if options.out is not None and options.out.exists() and not options.out.is_dir():
        parser.error(f"--out: {options.out} is not a folder")
