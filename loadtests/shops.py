"""A shop under load, whoever runs it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from loadtests.plan import Targets

SERVICES: Final = ("user", "inventory", "order")
ADMIN_PASSWORD_VARIABLE: Final = "SHOP_ADMIN_PASSWORD"  # noqa: S105 (its name)


class UnusableShopError(Exception):
    """The shop cannot be put under this load; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Shop:
    """A shop under load.

    ``metrics`` are the addresses of its figures by service, as far as they are known. ``pid`` is
    the process that all others descend from, and ``admin_password`` its administrator's; both
    are None for a shop that somebody else runs. ``settings`` are the variables it was given.
    """

    targets: Targets
    metrics: Mapping[str, str]
    settings: Mapping[str, str]
    pid: int | None = None
    admin_password: str | None = None
