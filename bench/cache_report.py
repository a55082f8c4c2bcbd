"""What the measurement of the cache prints: tables in Markdown."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Final

from bench.arms import Arm

ECHO_ARM: Final = "echo"


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


def _by_name(arms: Sequence[Arm]) -> Mapping[str, Arm]:
    return {arm.name: arm for arm in arms}
