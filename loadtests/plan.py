"""What a run is to do, and the options that say so."""

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from dataclasses import dataclass
from math import isfinite
from typing import Final

from loadtests.shapes import SHAPES

SCENARIOS: Final = ("ab", "browse", "orders", "checkout", "mixed")
CHANNELS: Final = ("user", "shared")
CLOSED: Final = "closed"
OPEN: Final = "open"

USERS_CLOSED: Final = 8
USERS_OPEN: Final = 64
AB_RATE_PER_S: Final = 300.0
CUSTOMERS: Final = 50


@dataclass(frozen=True, slots=True)
class Targets:
    """Where the services are called, each ``host:port``."""

    user: str = "127.0.0.1:50051"
    inventory: str = "127.0.0.1:50052"
    order: str = "127.0.0.1:50053"


@dataclass(frozen=True, slots=True)
class Plan:
    """What every generating process needs to know; it is the same in all of them.

    ``rate_per_s`` is None in the closed model. ``think_s`` is the mean of the pauses.
    """

    scenario: str
    targets: Targets
    users: int
    rate_per_s: float | None
    zipf_exponent: float
    seed: int
    think_s: float
    customers: int
    shared_channels: bool

    @property
    def model(self) -> str:
        """``closed`` or ``open``."""
        return CLOSED if self.rate_per_s is None else OPEN


def add_load_options(parser: ArgumentParser, scenario: str | None = "ab") -> None:
    """Add what makes a plan, besides the users; Locust's own command has an option for those.

    ``scenario`` is the default of the option for it, or None for no such option.
    """
    group = parser.add_argument_group("load")
    if scenario is not None:
        group.add_argument(
            "--scenario", choices=SCENARIOS, default=scenario, help="what users do (%(default)s)"
        )
    group.add_argument(
        "--rate",
        type=positive,
        metavar="PER_S",
        help="open model: so many calls are started in a second, whether or not others have ended",
    )
    group.add_argument(
        "--think",
        type=not_negative,
        default=0.0,
        metavar="S",
        help="closed model: mean pause of a user between calls (%(default)s)",
    )
    group.add_argument(
        "--zipf",
        type=not_negative,
        default=1.0,
        metavar="S",
        help="exponent of the keys' popularity, 0 for all alike (%(default)s)",
    )
    group.add_argument(
        "--seed", type=int, default=1, metavar="N", help="of keys, arms and arrivals (%(default)s)"
    )
    group.add_argument(
        "--customers",
        type=whole,
        default=CUSTOMERS,
        metavar="N",
        help="customers who take part, each with 20 orders of 3 lines (%(default)s)",
    )
    group.add_argument(
        "--channels",
        choices=CHANNELS,
        default=CHANNELS[0],
        help="a connection for each user and service, or one per service for all (%(default)s)",
    )
    targets = parser.add_argument_group("a running shop")
    for service in ("user", "inventory", "order"):
        targets.add_argument(
            f"--{service}",
            type=address,
            metavar="HOST:PORT",
            help=f"where the {service.capitalize()} service is",
        )


def add_shape_options(parser: ArgumentParser) -> None:
    """Add what makes the load's course."""
    group = parser.add_argument_group("shape")
    group.add_argument(
        "--shape", choices=SHAPES, default=SHAPES[0], help="course of the load (%(default)s)"
    )
    group.add_argument(
        "--step",
        type=whole,
        default=10,
        metavar="S",
        help="shape step: seconds until --users or --rate is added once more (%(default)s)",
    )
    group.add_argument(
        "--knee-p99-ms",
        type=positive,
        default=100.0,
        metavar="MS",
        help="shape step: p99 at which it ends; it also ends when throughput grows by less than "
        "5 %% (%(default)s)",
    )


def plan_of(options: Namespace, scenario: str, users: int | None, targets: Targets) -> Plan:
    """Return the plan that the options make; the A/B is open unless users are given."""
    rate = positive(options.rate) if options.rate else None  # Locust's page sends it as text
    if scenario == "ab" and rate is None and users is None:
        rate = AB_RATE_PER_S
    return Plan(
        scenario=scenario,
        targets=targets,
        users=users or (USERS_CLOSED if rate is None else USERS_OPEN),
        rate_per_s=rate,
        zipf_exponent=options.zipf,
        seed=options.seed,
        think_s=options.think,
        customers=options.customers,
        shared_channels=options.channels == "shared",
    )


def given_targets(options: Namespace) -> Targets | None:
    """Return where the running shop is, or None when no address is given.

    Raises ``ValueError`` when only some are.
    """
    given = [options.user, options.inventory, options.order]
    if not any(given):
        return None
    if not all(given):
        raise ValueError("--user, --inventory and --order belong together: give all or none")
    return Targets(*given)


def positive(text: str | float) -> float:
    """Return a number greater than 0."""
    number = _number(text)
    if number <= 0:
        raise ArgumentTypeError(f"{text!r} is not greater than 0")
    return number


def not_negative(text: str) -> float:
    """Return a number that is 0 or more."""
    number = _number(text)
    if number < 0:
        raise ArgumentTypeError(f"{text!r} is less than 0")
    return number


def whole(text: str) -> int:
    """Return a whole number greater than 0."""
    number = positive(text)
    if number != int(number):
        raise ArgumentTypeError(f"{text!r} is no whole number")
    return int(number)


def address(text: str) -> str:
    """Return ``host:port``."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal():
        hint = "; the number of users is --users" if text.isdecimal() else ""
        raise ArgumentTypeError(f"{text!r} is no HOST:PORT{hint}")
    return text


def _number(text: str | float) -> float:
    try:
        number = float(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no number") from None
    if not isfinite(number):
        raise ArgumentTypeError(f"{text!r} is not finite")
    return number
