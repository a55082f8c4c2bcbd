"""The limits of the gate, as ``bench/limits.toml`` states them."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

FILE: Final = Path(__file__).parents[1] / "limits.toml"


class UnusableLimitsError(Exception):
    """The file of limits is not what it should be; the message names the place."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What one call of an RPC may ask: queries, round trips to Redis, and calls to other services.

    All are exact. Those of the services that it calls are among them.
    """

    queries: int
    redis: int
    peers: int = 0


@dataclass(frozen=True, slots=True)
class Crowd:
    """How many calls come at once, and the most round trips to either store that they may take."""

    calls: int
    at_most: int


@dataclass(frozen=True, slots=True)
class RatioLimit:
    """How many times the CPU time of another arm an arm may take at most."""

    arm: str
    to: str
    at_most: float

    @property
    def name(self) -> str:
        """What is limited, in words."""
        return f"{self.arm} / {self.to}"


@dataclass(frozen=True, slots=True)
class Limits:
    """All of them. Budgets are by RPC and case, such as ``GetProduct.near``.

    ``calibrated`` is the commit whose ratios the limits allow.
    """

    calibrated: str
    budgets: Mapping[str, Budget]
    refused: Budget
    crowd: Crowd
    ratios: Sequence[RatioLimit]


def read_limits(file: Path = FILE) -> Limits:
    """Return what the file says. Raises ``UnusableLimitsError``."""
    try:
        found = tomllib.loads(file.read_text())
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise UnusableLimitsError(f"{file}: {error}") from None
    try:
        return _limits(found)
    except UnusableLimitsError as error:
        raise UnusableLimitsError(f"{file}: {error}") from None


def _limits(found: Mapping[str, Any]) -> Limits:
    _confirm_keys("the file", found, {"calibrated", "budgets", "refused", "crowd", "ratios"})
    budgets = {
        f"{rpc}.{case}": _budget(f"budgets.{rpc}.{case}", fields)
        for rpc, cases in _table("budgets", found["budgets"]).items()
        for case, fields in _table(f"budgets.{rpc}", cases).items()
    }
    crowd = _table("crowd", found["crowd"])
    _confirm_keys("crowd", crowd, {"calls", "at_most"})
    if not isinstance(found["ratios"], list):
        raise UnusableLimitsError("ratios: must be an array of tables, [[ratios]]")
    ratios = [_ratio(f"ratios[{n}]", fields) for n, fields in enumerate(found["ratios"])]
    if not isinstance(found["calibrated"], str):
        raise UnusableLimitsError("calibrated: must be the name of a commit")
    return Limits(
        found["calibrated"],
        budgets,
        _budget("refused", found["refused"]),
        Crowd(_count("crowd.calls", crowd["calls"]), _count("crowd.at_most", crowd["at_most"])),
        ratios,
    )


def _budget(place: str, fields: object) -> Budget:
    table = _table(place, fields)
    _confirm_keys(place, table, {"queries", "redis"}, {"peers"})
    return Budget(**{name: _count(f"{place}.{name}", value) for name, value in table.items()})


def _ratio(place: str, fields: object) -> RatioLimit:
    table = _table(place, fields)
    _confirm_keys(place, table, {"arm", "to", "at_most"})
    at_most = table["at_most"]
    if isinstance(at_most, bool) or not isinstance(at_most, int | float) or at_most <= 0:
        raise UnusableLimitsError(f"{place}.at_most: must be a number above 0")
    for name in ("arm", "to"):
        if not isinstance(table[name], str):
            raise UnusableLimitsError(f"{place}.{name}: must be the name of an arm")
    return RatioLimit(table["arm"], table["to"], float(at_most))


def _count(place: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise UnusableLimitsError(f"{place}: must be a whole number, 0 or more")
    return value


def _table(place: str, value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise UnusableLimitsError(f"{place}: must be a table")
    return value


def _confirm_keys(
    place: str,
    table: Mapping[str, Any],
    wanted: set[str],
    allowed: set[str] = set(),  # noqa: B006 (never changed)
) -> None:
    if missing := wanted - table.keys():
        raise UnusableLimitsError(f"{place}: lacks {', '.join(sorted(missing))}")
    if unknown := table.keys() - wanted - allowed:
        raise UnusableLimitsError(f"{place}: has no {', '.join(sorted(unknown))}")
