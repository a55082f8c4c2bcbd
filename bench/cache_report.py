"""What the measurement of the cache prints: tables in Markdown, and whether the goals are met."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from bench.arms import Arm

ECHO_ARM: Final = "echo"


@dataclass(frozen=True, slots=True)
class Goal:
    """How dear an arm may be beside the empty call, and how much cheaper than the naive one."""

    arm: str
    at_most: float
    at_least: float


GOALS: Final = (
    Goal("GetProduct near", at_most=1.2, at_least=9.0),
    Goal("GetProduct redis", at_most=1.6, at_least=6.0),
    Goal("GetProduct uncached", at_most=2.2, at_least=9.0),
)


def ratio(arm: Arm, to: Arm) -> float:
    """Return how many times as dear an arm is, the median of the rounds."""
    return median(mine / other for mine, other in zip(arm.cpu_us, to.cpu_us, strict=True))


def table(arms: Sequence[Arm]) -> str:
    """Return what a request costs the server in each arm."""
    named = _by_name(arms)
    lines = [
        "| arm | CPU per request | ratio to echo | cheaper than naive | calls/s |",
        "|---|---:|---:|---:|---:|",
    ]
    for arm in arms:
        cheaper = f"{ratio(named[arm.naive], arm):.1f} x" if arm.naive else ""
        lines.append(
            f"| {arm.name} | {median(arm.cpu_us):.1f} us | {ratio(arm, named[ECHO_ARM]):.2f} "
            f"| {cheaper} | {median(arm.rate):,.0f} |"
        )
    return "\n".join(lines)


def origins(arms: Sequence[Arm]) -> str:
    """Return where the answers of each arm came from, as they and as the stores say."""
    lines = [
        "| arm | x-cache | Redis commands per request | MongoDB queries per request |",
        "|---|---|---:|---:|",
    ]
    for arm in arms:
        said = ", ".join(
            f"{source} {count / arm.calls:.1%}" for source, count in arm.sources.most_common()
        )
        lines.append(
            f"| {arm.name} | {said} | {arm.redis / arm.calls:.3f} | {arm.mongo / arm.calls:.3f} |"
        )
    return "\n".join(lines)


def verdicts(arms: Sequence[Arm], goals: Sequence[Goal] = GOALS) -> str:
    """Return a line for each goal: met or missed, and the value."""
    named = _by_name(arms)
    lines = []
    for goal in goals:
        arm = named[goal.arm]
        dear, cheaper = ratio(arm, named[ECHO_ARM]), ratio(named[arm.naive], arm)
        lines.append(
            f"- {_verdict(dear <= goal.at_most)}: {arm.name} costs {dear:.2f} x the empty call "
            f"(at most {goal.at_most:g})"
        )
        lines.append(
            f"- {_verdict(cheaper >= goal.at_least)}: {arm.name} is {cheaper:.1f} x cheaper than "
            f"{arm.naive} (at least {goal.at_least:g})"
        )
    return "\n".join(lines)


def _verdict(met: bool) -> str:  # noqa: FBT001
    return "met" if met else "missed"


def _by_name(arms: Sequence[Arm]) -> Mapping[str, Arm]:
    return {arm.name: arm for arm in arms}
